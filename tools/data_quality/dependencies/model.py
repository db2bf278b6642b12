"""What a dependency is: columns that together decide another one, and how well.

Invariant: columns are named by their place in the table.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dependency:
    """`determinants` together decide `dependent` (places of columns).

    Attributes:
        agreement: Share of rows that agree with another row of their group, from 0 to 1.
        lift: Share of the disagreement by chance that the dependency removes.
        repeated: Share of disagreeing rows whose value occurs more than once in their group: exceptions, not errors.
        source: In a table that tells the same facts by several sources, the column that names the source.
        offset: The determinant is read in another row: the one before (-1) or after (1). 0 for the row itself.
        is_doubtful: So many rows disagree, or the determinant is a measure, that it is only believed of one that names
            entities.
        foreign_only: Nearly all cells of the dependent are alike, so that only a value which is usual in no group at all
            speaks of an error.
    """

    determinants: tuple[int, ...]
    dependent: int
    agreement: float
    lift: float = 1.0
    repeated: float = 0.0
    groups: int = 0
    source: int | None = None
    foreign_only: bool = False
    offset: int = 0
    is_doubtful: bool = False

    @property
    def is_noisy(self) -> bool:
        """Sources contradict each other, so that a majority is likely and not certain."""
        return self.source is not None
