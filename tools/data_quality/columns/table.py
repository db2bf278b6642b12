"""A dataset as the detectors see it: its columns studied, found by name or by place.

Invariant: a function of the dataset alone; columns are studied when first asked for, and once.
"""

from collections.abc import Sequence

from tools.data_quality.columns.column import Column
from tools.data_quality.columns.study import Study, study


class Table:
    """The columns of a dataset, with what each was found to hold."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.rows = self.columns[0].rows if self.columns else 0
        self._places = {column.name: place for place, column in enumerate(self.columns)}
        self._studies: dict[int, Study] = {}

    @property
    def studies(self) -> tuple[Study, ...]:
        """What each column holds, in the order of the columns."""
        return tuple(self.study_at(place) for place in range(len(self.columns)))

    def study_at(self, place: int) -> Study:
        """What the column at a place holds."""
        if place not in self._studies:
            self._studies[place] = study(self.columns[place])
        return self._studies[place]

    def place(self, name: str) -> int | None:
        """Index of the column of that name, or None."""
        return self._places.get(name)

    def study(self, name: str) -> Study | None:
        """What the column of that name holds, or None where there is no such column."""
        place = self._places.get(name)
        return None if place is None else self.study_at(place)
