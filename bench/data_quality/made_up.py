"""Tables of people and things that do not exist, with the rules that such registers keep.

Invariant: the same seed gives the same rows in every process; every name is put together from syllables by chance; and every
rule that a docstring states holds in every row.
"""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

Rows = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Header and rows of a table."""

_BEGINNINGS: Final = ("Al", "Ber", "Cor", "Dal", "Ei", "Fen", "Gar", "Hol", "In", "Jar", "Kel", "Lor", "Mar", "Nor", "Or",
                      "Pel", "Quin", "Ros", "Sal", "Tor", "Ul", "Vel", "Wes", "Yar", "Zel", "Bré", "Mü", "Sö")  # fmt: skip
_MIDDLES: Final = ("", "a", "e", "in", "o", "er", "an", "il", "ás")
_OF_PLACES: Final = ("bury", "dale", "field", "ford", "ham", "mouth", "port", "ridge", "stead", "ton", "vale", "wick")
_OF_PEOPLE: Final = ("dan", "ley", "mond", "na", "rick", "son", "tin", "via", "bert", "lia", "ro", "nné")
_OF_FIRMS: Final = ("Supply", "Partners", "Works", "Trading", "Brothers", "Labs")
_TITLE_WORDS: Final = ("Silent", "River", "Garden", "Night", "Stone", "Letters", "Winter", "Machine", "Glass", "Island",
                       "Clock", "Fire", "Atlas", "Harbour", "Shadow", "Orchard")  # fmt: skip


def _names(chance: random.Random, endings: Sequence[str], count: int) -> list[str]:
    """Return `count` different names, sorted."""
    names: set[str] = set()
    while len(names) < count:
        names.add(chance.choice(_BEGINNINGS) + chance.choice(_MIDDLES) + chance.choice(endings))
    return sorted(names)


def _some(chance: random.Random, low: int, high: int, count: int) -> list[str]:
    """Return `count` different numbers from `low` up to `high`, as texts in random order."""
    return [str(number) for number in chance.sample(range(low, high), count)]


def _date(chance: random.Random, first: str, last: str) -> date:
    begin = date.fromisoformat(first)
    return begin + timedelta(days=chance.randrange((date.fromisoformat(last) - begin).days))


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isascii() and letter.isalpha())


def register(seed: int) -> Rows:
    """Employees: zip decides city and state, a state has one or two area codes, a grade has bounds of salary.

    born < hired < left, low <= salary <= high, the e-mail is made of the name, and department decides head and floor.
    """
    chance = random.Random(f"register/{seed}")
    states = [name.upper()[:2] + str(number) for number, name in enumerate(_names(chance, _OF_PLACES, 12))]
    cities = [(city, chance.choice(states)) for city in _names(chance, _OF_PLACES, 45)]
    zips = [(code, *chance.choice(cities)) for code in _some(chance, 10000, 99999, 90)]
    codes = _some(chance, 201, 989, 24)
    areas = {state: codes[2 * place : 2 * place + chance.randint(1, 2)] for place, state in enumerate(states)}
    first_names, last_names = _names(chance, _OF_PEOPLE, 60), _names(chance, _OF_PEOPLE, 160)
    wards = ("Accounting", "Engineering", "Legal", "Logistics", "Marketing", "Purchasing", "Research", "Sales")
    departments = [(name, " ".join((chance.choice(first_names), chance.choice(last_names))), str(floor))
                   for floor, name in enumerate(wards, start=1)]  # fmt: skip
    grades = [(f"G{grade}", 24000 + 9000 * grade, 36000 + 11000 * grade) for grade in range(1, 8)]
    header = ("person_id", "first_name", "last_name", "sex", "born", "hired", "left", "department", "head", "floor",
              "grade", "low", "salary", "high", "area_code", "phone", "zip", "city", "state", "email")  # fmt: skip
    rows = []
    for number in range(1100):
        first, last = chance.choice(first_names), chance.choice(last_names)
        born = _date(chance, "1955-01-01", "1996-01-01")
        hired = max(born + timedelta(days=18 * 366), _date(chance, "1995-01-01", "2020-01-01"))
        left = hired + timedelta(days=chance.randint(30, 1500)) if chance.random() < 0.6 else None
        grade, low, high = chance.choice(grades)
        code, city, state = chance.choice(zips)
        rows.append((f"E{20000 + number}", first, last, chance.choice("FM"), born.isoformat(), hired.isoformat(),
                     left.isoformat() if left else "", *chance.choice(departments), grade, str(low),
                     str(100 * chance.randint(low // 100, high // 100)), str(high), chance.choice(areas[state]),
                     f"{chance.randint(200, 999)}-{chance.randint(0, 9999):04}", code, city, state,
                     f"{_letters(first)}.{_letters(last)}@example.org"))  # fmt: skip
    return header, rows


def orders(seed: int) -> Rows:
    """Lines of orders: a product has one name, category and price, a customer one firm and country.

    ordered <= shipped <= delivered, total is price times quantity, and minimum <= quantity <= stock.
    """
    chance = random.Random(f"orders/{seed}")
    categories = ("Fasteners", "Hand tools", "Lighting", "Paint", "Plumbing", "Safety")
    products = [(f"{category[:2].upper()}-{code}", f"{name} {category.lower()}", category, 5 * chance.randint(30, 4000))
                for name, code, category in zip(_names(chance, _OF_PLACES, 48), _some(chance, 1000, 9999, 48),
                                                categories * 8, strict=True)]  # fmt: skip
    customers = [(f"C{code}", f"{name} {chance.choice(_OF_FIRMS)}", chance.choice(("Austria", "Belgium", "France",
                  "Norway", "Portugal"))) for code, name in zip(_some(chance, 100, 999, 60),
                                                                _names(chance, _OF_PEOPLE, 60), strict=True)]  # fmt: skip
    header = ("order_id", "line", "customer", "firm", "country", "product", "description", "category", "price", "quantity",
              "total", "minimum", "stock", "discount", "ordered", "shipped", "delivered", "status")  # fmt: skip
    rows: list[tuple[str, ...]] = []
    for number in range(340):
        customer = chance.choice(customers)
        ordered = _date(chance, "2021-01-01", "2022-12-01")
        shipped = ordered + timedelta(days=chance.randint(0, 9))
        delivered = shipped + timedelta(days=chance.randint(1, 12)) if chance.random() < 0.9 else None
        lines = chance.sample(products, chance.randint(1, 5))
        for line, (code, name, category, cents) in enumerate(lines, start=1):
            quantity, minimum = chance.randint(10, 60), chance.randint(1, 10)
            rows.append((f"2021-{5000 + number}", str(line), *customer, code, name, category, f"{cents / 100:.2f}",
                         str(quantity), f"{cents * quantity / 100:.2f}", str(minimum),
                         str(quantity + chance.randint(0, 400)), str(chance.choice((0, 0, 0, 5, 10, 15))),
                         ordered.isoformat(), shipped.isoformat(), delivered.isoformat() if delivered else "",
                         "delivered" if delivered else "under way"))  # fmt: skip
    return header, rows


def clinic_visits(seed: int) -> Rows:
    """Visits: a patient has one name, date of birth and sex, a ward one name and doctor, a diagnosis one title.

    born < admitted <= discharged, diastolic < systolic.
    """
    chance = random.Random(f"clinic/{seed}")
    people = [(f"P{code}", f"{chance.choice(_BEGINNINGS)}{chance.choice(_OF_PEOPLE)} {last}",
               _date(chance, "1930-01-01", "2010-01-01").isoformat(), chance.choice(("female", "male")),
               f"{chance.choice('ABCD')}{chance.randint(100000, 999999)}")
              for code, last in zip(_some(chance, 30000, 99999, 180), _names(chance, _OF_PEOPLE, 180),
                                    strict=True)]  # fmt: skip
    wards = [(f"W{place}", ward, f"Dr. {doctor}") for place, (ward, doctor) in enumerate(
        zip(("Cardiology", "Dermatology", "Neurology", "Oncology", "Orthopaedics", "Paediatrics", "Urology"),
            _names(chance, _OF_PEOPLE, 7), strict=True), start=1)]  # fmt: skip
    titles = ("Fracture of the wrist", "Fracture of the ankle", "Migraine without aura", "Essential hypertension",
              "Contact dermatitis", "Acute bronchitis", "Stable angina", "Renal colic", "Sprain of the knee",
              "Type two diabetes", "Iron deficiency", "Concussion", "Benign tumour", "Eczema")  # fmt: skip
    diagnoses = [
        (f"{chance.choice('EGIJLMNRS')}{place + 10}.{chance.randint(0, 9)}", t) for place, t in enumerate(titles)
    ]
    header = ("visit_id", "patient", "name", "born", "sex", "insurance", "ward", "ward_name", "doctor", "diagnosis",
              "title", "admitted", "discharged", "weight_kg", "temperature", "systolic", "diastolic")  # fmt: skip
    rows = []
    for number in range(1000):
        admitted = _date(chance, "2019-01-01", "2021-12-01")
        discharged = admitted + timedelta(days=chance.randint(0, 20))
        systolic = chance.randint(105, 165)
        rows.append((f"V{70001 + number}", *chance.choice(people), *chance.choice(wards), *chance.choice(diagnoses),
                     admitted.isoformat(), discharged.isoformat(), f"{chance.gauss(74, 11):.1f}",
                     f"{chance.gauss(37.1, 0.6):.1f}", str(systolic), str(systolic - chance.randint(25, 60))))  # fmt: skip
    return header, rows


def library_loans(seed: int) -> Rows:
    """Loans: a book has one title, author, publisher and year, a publisher one city, a branch one street.

    borrowed < due, borrowed <= returned, year of the book before all of them.
    """
    chance = random.Random(f"library/{seed}")
    publishers = list(zip((f"{name} Press" for name in _names(chance, _OF_PEOPLE, 14)),
                          _names(chance, _OF_PLACES, 14), strict=True))  # fmt: skip
    authors = [
        f"{chance.choice(_BEGINNINGS)}{chance.choice(_OF_PEOPLE)} {name}" for name in _names(chance, _OF_PEOPLE, 70)
    ]
    books = []
    for code in _some(chance, 100000, 999999, 110):
        one, other = chance.sample(_TITLE_WORDS, 2)
        title = chance.choice((f"The {one} {other}", f"{one} and {other}", f"A {one} of {other}"))
        books.append((f"{code[:3]}-{code[3:]}", title, chance.choice(authors), *chance.choice(publishers),
                      str(chance.randint(1961, 2015))))  # fmt: skip
    branches = [(f"B{place}", f"{chance.randint(1, 99)} {name} Street", chance.choice(("Mon-Fri", "Tue-Sat", "daily")))
                for place, name in enumerate(_names(chance, _OF_PLACES, 9), start=1)]  # fmt: skip
    header = ("loan", "book", "title", "author", "publisher", "city", "year", "branch", "street", "open", "member",
              "borrowed", "due", "returned", "fee")  # fmt: skip
    rows = []
    for number in range(1000):
        borrowed = _date(chance, "2016-01-02", "2018-12-01")
        returned = borrowed + timedelta(days=chance.randint(1, 45))
        late = max(0, (returned - borrowed).days - 28)
        rows.append((str(400001 + number), *chance.choice(books), *chance.choice(branches),
                     f"M{chance.randint(1000, 1300)}", borrowed.isoformat(), (borrowed + timedelta(days=28)).isoformat(),
                     returned.isoformat(), f"{late * 0.25:.2f}"))  # fmt: skip
    return header, rows


GATE: Final = (register, orders)
HOLDOUT: Final = (clinic_visits, library_loans)
