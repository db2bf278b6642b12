"""Small tables for the tests of data quality, made from fixed seeds, and short ways to judge and clean them.

Invariant: every name, code and number is invented here; two calls with the same arguments make equal tables.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from tools.data_quality.columns.cells import Cell
from tools.data_quality.columns.column import encode
from tools.data_quality.columns.study import Study, study
from tools.data_quality.columns.table import Table
from tools.data_quality.datasets.dataset import Dataset, load
from tools.data_quality.detectors.flags import Flag
from tools.data_quality.judging import Judgement
from tools.data_quality.outcome import Outcome
from tools.data_quality.pipeline import clean, examine
from tools.data_quality.rules.policies import Policies

Columns = dict[str, list[Any]]

_SYLLABLES: Final = (
    "ba",
    "cor",
    "den",
    "fil",
    "gar",
    "hol",
    "kin",
    "lum",
    "mor",
    "nes",
    "pol",
    "rit",
    "sam",
    "tor",
    "vel",
)
_ENDS: Final = ("ton", "ville", "burg", "ford", "field", "wick", "haven", "stead", "mouth", "bridge")


def table_of(**columns: Sequence[Cell]) -> Table:
    return Table([encode(name, cells) for name, cells in columns.items()])


def dataset_of(content: object) -> Dataset:
    return load(content, None)


def studied(*cells: Cell) -> Study:
    """What a column of a table, not a bare list, holds."""
    return study(encode("column", cells))


def judged(content: object, policies: Policies | None = None) -> Judgement:
    return examine(dataset_of(content), policies)


def cleaned(content: object, **options: Any) -> Outcome:
    return clean(dataset_of(content), **options)


def flags_of(detector: ModuleType, table: Table) -> list[Flag]:
    """What one detector says about a table by the rules it finds there."""
    return [flag for rule in detector.discover(table) for flag in detector.check(rule, table)]


def found(content: object, kind: str | None = None, least: float = 0.5) -> list[tuple[int, str | None]]:
    """(row, column) of every anomaly with at least some confidence, or of those of one kind."""
    judgement = judged(content)
    anomalies = judgement.anomalies(flag for flag in judgement.flags if flag.confidence >= least)
    return [(anomaly.row, anomaly.column) for anomaly in anomalies if kind in (None, anomaly.kind)]


def kinds(content: object) -> dict[str, int]:
    """How many anomalies of each kind count."""
    return judged(content).by_kind


def words(count: int, seed: int = 0, ends: Sequence[str] = _ENDS) -> list[str]:
    """Distinct invented names that are far from each other."""
    chance = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(chance.choice(_SYLLABLES) for _ in range(3)).capitalize() + chance.choice(ends)] = None
    return list(made)


def sites(count: int = 40, visits: int = 10, seed: int = 1) -> Columns:
    """Visits to sites: each site has a code, a name, a town, a region of the town and a postcode; visits differ."""
    chance = random.Random(seed)
    names, towns = words(count, seed), words(count // 2, seed + 1)
    regions = ("North", "South", "East", "West", "Centre", "Islands", "Coast", "Border", "Lakes", "Hills")
    order = [site for site in range(count) for _ in range(visits)]
    chance.shuffle(order)
    return {
        "visit": [f"V{number:05}" for number in range(len(order))],
        "site": [f"S-{10 + site}" for site in order],
        "name": [names[site] for site in order],
        "town": [towns[site // 2] for site in order],
        "region": [regions[site // 2 % len(regions)] for site in order],
        "postcode": [f"{20_000 + 137 * (site // 2)}" for site in order],
        "inspector": [chance.choice(("Ada Brook", "Ben Castle", "Cleo Dunn", "Eli Frost", "Gus Hale")) for _ in order],
        "score": [str(chance.randint(40, 100)) for _ in order],
    }


def changed(columns: Mapping[str, Sequence[Cell]], **cells: Mapping[int, Cell]) -> Columns:
    """The same table with some cells replaced: column -> row -> value."""
    result = {name: list(column) for name, column in columns.items()}
    for name, new in cells.items():
        for row, cell in new.items():
            result[name][row] = cell
    return result


def scattered(columns: Columns, name: str, count: int, wrong: Callable[[Cell], Cell], seed: int = 3) -> dict[int, Cell]:
    """Wrong values for `count` rows of a column, for `changed`."""
    rows = random.Random(seed).sample(range(len(columns[name])), count)
    return {row: wrong(columns[name][row]) for row in sorted(rows)}


def swapped(cell: Cell) -> str:
    """A name with two neighbouring letters in the middle exchanged."""
    text = str(cell)
    middle = next(place for place in range(len(text) // 2, len(text)) if text[place] != text[place - 1])
    return text[: middle - 1] + text[middle] + text[middle - 1] + text[middle + 1 :]


def slips(seed: int) -> Callable[[Cell], str]:
    """Replaces one letter of a text, never the first one, by another; differently each time."""
    chance = random.Random(seed)

    def slip(cell: Cell) -> str:
        text = str(cell)
        place = chance.randrange(1, len(text))
        letter = chance.choice([letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter != text[place]])
        return text[:place] + letter + text[place + 1 :]

    return slip
