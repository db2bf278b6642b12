"""A right table made wrong, with the truth about every cell.

Invariant: the same table, errors and seed give the same bytes in every process; each cell gets at most one error; and
`truth` put back into `dirty` is `clean`, exactly. A value counts as wrong only if it differs by more than white space.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.data_quality.cell_errors import PAIRS, SINGLE, PairError, same, typo, unit

Table = dict[str, list[str]]
"""Column -> its values as texts, all columns of one length; a missing value is ''."""

CellKey = tuple[int, str]
"""Row, from 0 without the header, and column."""

OTHER_KINDS: Final = ("unit", "other_row", "duplicate", "near_duplicate")
KINDS: Final = (*SINGLE, *PAIRS, *OTHER_KINDS)


@dataclass(frozen=True, slots=True)
class Error:
    """One kind of error and how much of it.

    Attributes:
        kind: One of `KINDS`.
        rate: Share of the cells of `columns` that get it, 0 to 1, right or not; of pairs, the share of rows for each
            pair; of duplicates, the share of rows that come a second time.
        columns: Where. Pairs (`PAIRS`) need an even number: first with second, third with fourth. Unused by `duplicate`.
        spellings: Of the unit that `unit` writes.
        where: Column and value of the only rows it happens to; None for all.
    """

    kind: str
    rate: float
    columns: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()
    where: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no error of kind {self.kind!r}; use one of {', '.join(KINDS)}")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate of {self.kind!r} must be from 0 to 1, not {self.rate}")
        if self.kind in PAIRS and len(self.columns) % 2:
            raise ValueError(f"{self.kind!r} happens to pairs of columns, and {len(self.columns)} is no even number")
        if (self.kind == "unit") != bool(self.spellings):
            raise ValueError(f"{self.kind!r}: spellings are needed for the kind 'unit', and for it alone")


@dataclass(frozen=True, slots=True)
class Injected:
    """A wrong table and its truth.

    Attributes:
        dirty, clean: Of the same columns and rows; duplicates are in both.
        truth: What stands in `clean`, for the cells that were made wrong.
        kinds: What was done to those cells.
        duplicates: Rows that repeat another one -> the row they repeat.
    """

    dirty: Table
    clean: Table
    truth: dict[CellKey, str]
    kinds: dict[CellKey, str]
    duplicates: dict[int, int]


def inject(table: Mapping[str, Sequence[str]], seed: int, errors: Iterable[Error]) -> Injected:
    """Return `table` with `errors`; earlier ones have the first choice of cells.

    An error that finds too few cells that it can happen to makes fewer wrong than its rate says.

    Raises:
        ValueError: An error names a column that is not there.
    """
    clean = {name: list(values) for name, values in table.items()}
    dirty = {name: list(values) for name, values in table.items()}
    kinds: dict[CellKey, str] = {}
    repeats: list[tuple[Error, random.Random]] = []
    for number, error in enumerate(errors):
        unknown = [name for name in error.columns if name not in clean]
        if unknown:
            raise ValueError(f"{error.kind!r} is to happen to column {unknown[0]!r}, which the table does not have")
        # Each error has a chance of its own, so that another rate of one leaves the choices of the others alone.
        chance = random.Random(f"{seed}/{number}/{error.kind}")
        if error.kind in ("duplicate", "near_duplicate"):
            repeats.append((error, chance))
        elif error.kind in PAIRS:
            _to_pairs(clean, dirty, kinds, error, PAIRS[error.kind], chance)
        else:
            _to_cells(clean, dirty, kinds, error, chance)
    return _repeated(clean, dirty, kinds, repeats)


def _rows(clean: Table, error: Error) -> list[int]:
    if error.where is None:
        return list(range(_length(clean)))
    column, value = error.where
    return [row for row, here in enumerate(clean[column]) if here == value]


def _to_cells(clean: Table, dirty: Table, kinds: dict[CellKey, str], error: Error, chance: random.Random) -> None:
    cells = [(row, column) for column in error.columns for row in _rows(clean, error)]
    wanted = round(error.rate * len(cells))
    chance.shuffle(cells)
    alter = None if error.kind == "other_row" else SINGLE.get(error.kind) or unit(error.spellings)
    for row, column in cells:
        if wanted <= 0:
            break
        right = clean[column][row]
        if not right or (row, column) in kinds:
            continue
        wrong = _of_another_row(clean[column], right, chance) if alter is None else alter(right, chance)
        if wrong is not None and not same(wrong, right):
            dirty[column][row] = wrong
            kinds[row, column] = error.kind
            wanted -= 1


def _of_another_row(values: list[str], right: str, chance: random.Random) -> str | None:
    # Drawn by rows, not by distinct values: a slip of the row takes what is frequent.
    for _ in range(20):
        wrong = chance.choice(values)
        if wrong and not same(wrong, right):
            return wrong
    return None


def _to_pairs(
    clean: Table, dirty: Table, kinds: dict[CellKey, str], error: Error, alter: PairError, chance: random.Random
) -> None:
    for one, other in zip(error.columns[::2], error.columns[1::2], strict=True):
        rows = _rows(clean, error)
        wanted = round(error.rate * len(rows))
        chance.shuffle(rows)
        for row in rows:
            if wanted <= 0:
                break
            right = clean[one][row], clean[other][row]
            if not all(right) or (row, one) in kinds or (row, other) in kinds:
                continue
            wrong = alter(*right, chance)
            if wrong is None:
                continue
            for column, old, new in zip((one, other), right, wrong, strict=True):
                if not same(old, new):
                    dirty[column][row] = new
                    kinds[row, column] = error.kind
            wanted -= 1


def _repeated(
    clean: Table, dirty: Table, kinds: dict[CellKey, str], repeats: list[tuple[Error, random.Random]]
) -> Injected:
    """Put copies of rows anywhere into the table, the near ones with a typo that the row itself does not have."""
    rows = list(range(_length(clean)))
    order = [(row, False, "") for row in rows]  # row, whether it is a copy, column of the copy's own typo
    slips: dict[int, str] = {}
    taken: set[int] = set()
    for error, chance in repeats:
        wanted = round(error.rate * len(rows))
        for row in chance.sample(rows, len(rows)):
            if wanted <= 0:
                break
            if row in taken:
                continue
            column = ""
            if error.kind == "near_duplicate":
                column = _slip(clean, kinds, row, error.columns, slips, chance)
                if not column:
                    continue
            taken.add(row)
            order.insert(chance.randint(0, len(order)), (row, True, column))
            wanted -= 1
    result = Injected({name: [] for name in clean}, {name: [] for name in clean}, {}, {}, {})
    first = {row: place for place, (row, is_copy, _) in enumerate(order) if not is_copy}
    for place, (row, is_copy, slipped) in enumerate(order):
        if is_copy:
            result.duplicates[place] = first[row]
        for column in clean:
            right = clean[column][row]
            wrong = slips[row] if column == slipped else dirty[column][row]
            result.clean[column].append(right)
            result.dirty[column].append(wrong)
            if column == slipped or (row, column) in kinds:
                result.truth[place, column] = right
                result.kinds[place, column] = "near_duplicate" if column == slipped else kinds[row, column]
    return result


def _slip(
    clean: Table,
    kinds: dict[CellKey, str],
    row: int,
    columns: Sequence[str],
    slips: dict[int, str],
    chance: random.Random,
) -> str:
    """Note a typo for a copy of `row` in `slips`, and return its column; '' if there can be none."""
    for column in chance.sample(columns, len(columns)):
        if (row, column) not in kinds:
            wrong = typo(clean[column][row], chance)
            if wrong is not None:
                slips[row] = wrong
                return column
    return ""


def _length(table: Table) -> int:
    return len(next(iter(table.values()), []))
