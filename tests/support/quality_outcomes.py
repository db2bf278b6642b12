"""Outcomes of the data quality pipeline, made by hand: one as it might be, one of hostile values, one that is very large.

Invariant: made without the pipeline, from fixed seeds; what `patch` and `anomalies` say is so in the tables.
"""

import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final, get_args

from tools.data_quality.columns.cells import Cell, read_number, shape_of
from tools.data_quality.columns.column import encode
from tools.data_quality.datasets.dataset import Dataset
from tools.data_quality.detectors.flags import KINDS, Kind, Suggestion, Tier
from tools.data_quality.outcome import Anomaly, Change, Outcome, Pass
from tools.data_quality.rules.model import RULE_TYPES, Rule, RuleType, make_rule

Table = dict[str, list[Cell]]

PARAMS: Final[Mapping[RuleType, tuple[list[str], dict[str, Any]]]] = {
    "placeholder": (["phone"], {"words": ["n/a", "?"]}),
    "trimmed": (["customer"], {}),
    "encoding": (["customer"], {"map": [["ZoÃ« Klein", "Zoë Klein"]]}),
    "plain_number": (["price"], {"as_text": True, "grouping_is_safe": True}),
    "unit": (["weight"], {"unit": "kg", "spellings": {"kg": 1.0, " kg": 1.0, "g": 0.001}}),
    "variant_map": (["product"], {"map": [["City-Bike", "City Bike", 0.97], ["CITY BIKE", "City Bike", 0.96]]}),
    "typo_map": (["city"], {"map": [["Springfeild", "Springfield", 0.94]]}),
    "type": (["price"], {"type": "decimal", "format": None}),
    "not_null": (["order"], {}),
    "range": (["price"], {"min": 5.0, "max": 2400.0}),
    "date_range": (["ordered"], {"min": "2023-01-01", "max": "2024-12-31", "format": "%Y-%m-%d"}),
    "regex": (["order"], {"pattern": r"[A-Z]{2}-\d{4}", "shape": "AA-9999"}),
    "set": (["state"], {"values": ["AK", "CO", "IL", "NY", "OR"]}),
    "unique": (["order"], {}),
    "key": (["customer", "ordered"], {}),
    "dependency": (["zip", "city"], {"determinants": [["city"]], "agreement": [0.982], "offset": [0], "source": None}),
    "merged": (["city", "state"], {}),
    "swapped": (["city", "state"], {}),
    "compare": (["ordered", "delivered"], {"operator": "<=", "type": "date"}),
    "location": (["lat", "lon", "state"], {}),
    "sign": (["lon"], {"sign": -1}),
    "duplicate_rows": (["order", "customer"], {}),
}
"""For every type of rule, columns and params it may have."""

TIERS: Final[tuple[Tier, ...]] = get_args(Tier)

_CITIES: Final = (
    ("Springfield", "62701", "IL", 39.8, -89.65),
    ("Portland", "97201", "OR", 45.51, -122.68),
    ("Boulder", "80301", "CO", 40.02, -105.27),
    ("Ithaca", "14850", "NY", 42.44, -76.5),
    ("Juneau", "99801", "AK", 58.3, -134.42),
)
_NAMES: Final = ("Ada Frost", "Zoë Klein", "Ben Okafor", "Mai Tran", "Jon Hale", "Eva Lind", "Sam Ruiz", "Ida Moe")
_PRODUCTS: Final = (("City Bike", 749, 14.5), ("Trail Bike", 1249, 13.1), ("Road Bike", 1899, 8.4), ("Lock", 39.9, 1.2))

# Row, column, the faulty value, the repaired one, kind, tier, type of the rule, confidence, reason, evidence.
_FAULTS: Final[Sequence[tuple[int, str, Cell, Cell, Kind, Tier, RuleType, float, str, dict[str, Any]]]] = (
    (3, "phone", "n/a", None, "placeholder", "auto", "placeholder", 0.95, "stands for a missing value", {}),
    (117, "phone", "?", None, "placeholder", "auto", "placeholder", 0.95, "stands for a missing value", {}),
    (240, "phone", "n/a", None, "placeholder", "auto", "placeholder", 0.95, "stands for a missing value", {}),
    (14, "customer", "  Mai Tran ", "Mai Tran", "format", "auto", "trimmed", 0.99, "white space at an end", {}),
    (61, "customer", "ZoÃ« Klein", "Zoë Klein", "encoding", "auto", "encoding", 0.98, "UTF-8 that was read as Latin-1", {}),
    (88, "price", "1,249", "1249", "format", "auto", "plain_number", 0.99, "a number with separators", {}),
    (19, "weight", "13.1 kg", "13.1", "unit", "auto", "unit", 0.97, "a number with its unit", {"unit": "kg"}),
    (150, "weight", "14500g", "14.5", "unit", "suggest", "unit", 0.82, "a number in another unit", {"unit": "g", "factor": 0.001}),
    (33, "product", "City-Bike", "City Bike", "format", "suggest", "variant_map", 0.91, "another spelling of a frequent value",
     {"usual": "City Bike", "occurs": 104}),
    (207, "product", "CITY BIKE", "City Bike", "format", "suggest", "variant_map", 0.9, "another spelling of a frequent value",
     {"usual": "City Bike", "occurs": 104}),
    (45, "city", "Springfeild", "Springfield", "typo", "suggest", "typo_map", 0.94, "one swap away from a frequent value",
     {"distance": 1, "occurs": 79, "determined_by": ["zip"]}),
    (71, "zip", "97102", "97201", "dependency", "suggest", "dependency", 0.88, "contradicts what city determines",
     {"determinant": "city", "agree": "84 of 85 rows"}),
    (133, "zip", "41850", "14850", "dependency", "suggest", "dependency", 0.86, "contradicts what city determines",
     {"determinant": "city", "agree": "76 of 77 rows"}),
    (164, "city", "Portland OR", "Portland", "merged", "suggest", "merged", 0.93, "holds at its end what state is empty of", {}),
    (230, "city", "NY", "Ithaca", "swapped", "suggest", "swapped", 0.9, "belongs to 'state', and the value there belongs here", {}),
    (230, "state", "Ithaca", "NY", "swapped", "suggest", "swapped", 0.9, "belongs to 'city', and the value there belongs here", {}),
    (26, "lon", 122.68, -122.68, "sign", "suggest", "sign", 0.9, "positive, where nearly all others are negative", {}),
    (99, "price", "free", None, "type", "report", "type", 0.9, "no number, in a column of numbers", {}),
    (178, "price", "74900", None, "outlier", "report", "range", 0.78, "far from the others, half of which lie from 39.9 to 1,249",
     {"quartiles": [39.9, 1249], "fence": 4877.2}),
    (52, "order", "BK-01o2", None, "format", "report", "regex", 0.8, "a rare shape", {"shape": "AA-99a9", "usual": "AA-9999"}),
    (210, "state", "XX", None, "rare_category", "report", "set", 0.7, "occurs once among five frequent values", {}),
    (81, "ordered", "2203-05-14", None, "date", "report", "date_range", 0.85, "179 years after the latest of the others", {}),
    (190, "delivered", "2023-01-02", None, "order", "report", "compare", 0.8, "before the day it was ordered", {}),
    (222, "lat", 20.01, None, "geography", "report", "location", 0.72, "1,370 km from the other rows of the same state", {}),
    (140, "delivered", None, None, "missing", "report", "not_null", 0.6, "empty, where the column is otherwise filled", {}),
)  # fmt: skip


def dataset(table: Table, path: str | None = None) -> Dataset:
    """A dataset of columns."""
    columns = tuple(encode(name, cells) for name, cells in table.items())
    return Dataset(table, columns, len(next(iter(table.values()))), path)


def rule(type_: RuleType, tier: Tier = "report", support: int = 400, violations: int = 3) -> Rule:
    """A rule of that type."""
    columns, params = PARAMS[type_]
    repair = "replaces the value" if tier != "report" else None
    return make_rule(type_, columns, params, tier=tier, repair=repair).measured(support, violations)


def orders() -> Outcome:
    """Orders of a bicycle shop: 400 rows with every kind of fault, some repaired, some waiting, some only reported."""
    dirty = _clean_orders(400)
    anomalies, patch = [], []
    dirty["state"][164] = None
    for row, column, value, new, kind, tier, type_, confidence, reason, evidence in _FAULTS:
        dirty[column][row] = value
        suggestion = None if tier == "report" else Suggestion(new)
        rule_id = rule(type_, tier).rule_id
        anomalies.append(Anomaly(row, column, value, kind, confidence, reason, evidence, suggestion, tier, rule_id))
        if tier != "report":
            patch.append(Change(row, column, value, new, rule_id, confidence, tier, 1 if tier == "auto" else 2))
    for cells in dirty.values():
        cells.append(cells[12])
    whole = rule("duplicate_rows", "suggest", 401, 1)
    reason, evidence = "repeats an earlier row in every cell", {"first": 12}
    anomalies.append(
        Anomaly(400, None, None, "duplicate_row", 0.99, reason, evidence, Suggestion(None), "suggest", whole.rule_id)
    )
    patch.append(Change(400, None, None, None, whole.rule_id, 0.99, "suggest", 2))
    tiers = {fault[6]: fault[5] for fault in _FAULTS}
    rules = [rule(type_, tiers.get(type_, "report"), 401, _violations(type_)) for type_ in RULE_TYPES[:-1]]
    rules.append(whole)
    by_kind = Counter(anomaly.kind for anomaly in anomalies)
    auto = sum(change.tier == "auto" for change in patch)
    left = len(anomalies) - auto
    passes = [
        Pass(1, "auto", len(anomalies), {kind: by_kind[kind] for kind in KINDS if by_kind[kind]}, auto),
        Pass(2, "suggest", left, {"dependency": 2, "format": 3, "typo": 1}, len(patch) - auto),
        Pass(3, "suggest", left - len(patch) + auto, {"outlier": 1, "missing": 1}, 0),
    ]
    before = dataset(dirty, "orders.csv")
    repaired = dataset(_patched(dirty, patch, "auto"))
    proposed = dataset(_patched(_patched(dirty, patch, "auto"), patch, "suggest"))
    profile = {
        **profiled(dirty),
        "duplicate_rows": 1,
        "notes": ["the file is not UTF-8 and was read as Latin-1"],
        "candidate_keys": [["order"], ["customer", "ordered"]],
        "dependencies": [
            {"determinant": ["city"], "dependent": "zip", "share": 0.982, "lift": 4.6, "noisy": False},
            {"determinant": ["zip"], "dependent": "state", "share": 1.0, "lift": 4.4, "noisy": False},
            {"determinant": ["product"], "dependent": "weight", "share": 0.994, "lift": 3.1, "noisy": True},
        ],
        "panels": [{"entity": "order", "source": "customer"}],
    }
    profile["column_profiles"][5]["findings"] = [
        {"kind": "missing", "rows": 120, "reason": "empty in so many rows that it is how the column is"}
    ]
    after = profiled({column.name: [column.values[code] for code in column.codes] for column in proposed.columns})
    anomalies.sort(key=lambda anomaly: (anomaly.row, anomaly.column or ""))
    return Outcome(
        "orders", before, repaired, proposed, profile, after, anomalies, rules, rules, patch, passes, "unchanged"
    )


def hostile(values: Sequence[str]) -> Outcome:
    """A table whose cells, column names, reasons, rules, notes and name are all the given values."""
    table: Table = {value: [*values, value] for value in values}
    table["plain"] = list(range(len(values) + 1))
    anomalies, patch, rules = [], [], []
    for row, value in enumerate(values):
        tier = TIERS[row % 3]
        made = make_rule("typo_map", [value], {"map": [[value, value + "!", 0.9]]}, tier=tier, repair=value)
        rules.append(made.measured(10, 1))
        evidence = {value: value, "list": [value, None], "deep": {value: [value]}}
        suggestion = Suggestion(value + "!")
        anomalies.append(Anomaly(row, value, value, "typo", 0.9, value, evidence, suggestion, tier, made.rule_id))
        if tier != "report":
            patch.append(Change(row, value, value, value + "!", made.rule_id, 0.9, tier, 1))
    frame = dataset(table, values[0])
    profile = {
        **profiled(table),
        "notes": list(values),
        "candidate_keys": [[value] for value in values],
        "dependencies": [{"determinant": [value], "dependent": value, "share": 0.5} for value in values],
        "panels": [{"entity": value, "source": value} for value in values],
    }
    for column in profile["column_profiles"]:
        column["findings"] = [{"kind": value, "rows": 1, "reason": value} for value in values]
    passes = [Pass(1, "auto", len(anomalies), {"typo": len(anomalies)}, len(patch))]
    return Outcome(
        "".join(values), frame, frame, frame, profile, profile, anomalies, rules, rules, patch, passes, "cap"
    )


def large(rows: int, anomalies: int, columns: int) -> Outcome:
    """A table of many columns with that many anomalies, half of them with repairs, each value as long as it is shown."""
    names = [f"column {number} {'&' * 40}" for number in range(columns)]
    long = "<\"&'>" * 30
    cells: list[Cell] = [f"{number}{long}" for number in range(1000)]
    one = encode("", cells * (rows // 1000))
    frame = Dataset({}, tuple(replace(one, name=name) for name in names), rows)
    entry = profiled({"": cells})["column_profiles"][0]
    profile = {"rows": rows, "columns": columns, "column_profiles": [{**entry, "name": name} for name in names]}
    profile["candidate_keys"] = [[names[0]]]
    rules = [make_rule("set", [name], {"values": [long] * 9}).measured(rows, 7) for name in names for _ in range(2)]
    found, patch = [], []
    for index in range(anomalies):
        row, name, kind = index % rows, names[index % columns], KINDS[index % (len(KINDS) - 1)]
        rule_id = rules[2 * (index % columns)].rule_id
        evidence = {f"{key} {long}": long for key in range(9)}
        found.append(Anomaly(row, name, long, kind, 0.5, long, evidence, Suggestion(long), "suggest", rule_id))
        if index % 2:
            patch.append(Change(row, name, long + "a", long, rule_id, 0.5, "suggest" if index % 3 else "auto", 1))
    passes = [Pass(number, "auto", anomalies, dict.fromkeys(KINDS, 9), 5) for number in range(1, 4)]
    return Outcome("large", frame, frame, frame, profile, profile, found, rules, rules, patch, passes, "not_fewer")


def profiled(table: Table) -> dict[str, Any]:
    """A profile as plain as it can be."""
    rows = len(next(iter(table.values())))
    return {"rows": rows, "columns": len(table), "column_profiles": [_column(name, table[name]) for name in table]}


def _column(name: str, cells: list[Cell]) -> dict[str, Any]:
    words = [cell for cell in cells if cell not in (None, "", "n/a", "?")]
    counted = Counter(words)
    placeholders = sum(cell in ("n/a", "?") for cell in cells)
    result: dict[str, Any] = {
        "name": name,
        "type": "text",
        "missing": len(cells) - len(words) - placeholders,
        "placeholders": placeholders,
        "distinct": len(counted),
        "top": [{"value": value, "count": count} for value, count in counted.most_common(5)],
        "lengths": {
            "min": min((len(str(word)) for word in words), default=0),
            "max": max((len(str(word)) for word in words), default=0),
        },
        "findings": [],
    }
    numbers = sorted(number for word in words if (number := read_number(word)) is not None)
    if name != "zip" and len(numbers) > 0.9 * len(words) > 0:
        q1, median, q3 = statistics.quantiles(numbers, n=4, method="inclusive")
        room = 3 * (q3 - q1)
        quartiles = {"min": numbers[0], "q1": q1, "median": median, "q3": q3, "max": numbers[-1]}
        result["type"] = "decimal"
        result["numbers"] = {"count": len(numbers), **quartiles, "mad": 1.0, "fences": [q1 - room, q3 + room]}
    elif len(counted) > 0.9 * len(words) > 0:
        result["type"] = "code"
        shapes = Counter(shape_of(str(word)[:40]) for word in words)
        result["shapes"] = [{"shape": shape, "count": count} for shape, count in shapes.most_common(5)]
    elif 0 < len(counted) < 20:
        result["type"] = "category"
    return result


def _clean_orders(rows: int) -> Table:
    chance = random.Random(7)
    names = ("order", "customer", "phone", "product", "price", "coupon", "weight", "city", "zip", "state")
    table: Table = {name: [] for name in (*names, "lat", "lon", "ordered", "delivered")}
    for row in range(rows):
        city, code, state, lat, lon = chance.choice(_CITIES)
        product, price, weight = chance.choice(_PRODUCTS)
        day = date(2023, 1, 9) + timedelta(days=chance.randrange(700))
        cells: tuple[Cell, ...] = (
            f"BK-{1000 + row}", chance.choice(_NAMES), f"555-{chance.randrange(10_000):04}", product, str(price),
            chance.choice(("SPRING", "WELCOME", None)), str(weight), city, code, state, lat, lon, day.isoformat(),
            (day + timedelta(days=chance.randrange(1, 9))).isoformat(),
        )  # fmt: skip
        for name, cell in zip(table, cells, strict=True):
            table[name].append(cell)
    return table


def _violations(type_: RuleType) -> int:
    return 7 if type_ == "dependency" else sum(fault[6] == type_ for fault in _FAULTS)


def _patched(table: Table, patch: Sequence[Change], tier: Tier) -> Table:
    table = {name: list(cells) for name, cells in table.items()}
    for change in patch:
        if change.tier == tier and change.column is not None:
            table[change.column][change.row] = change.new
    removed = {change.row for change in patch if change.tier == tier and change.column is None}
    if removed:
        table = {name: [cell for row, cell in enumerate(cells) if row not in removed] for name, cells in table.items()}
    return table
