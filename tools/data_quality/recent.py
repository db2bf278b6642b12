"""The tables that were examined last, so that the tools of a pass, each of which judges the table anew, do the work once.

What is remembered is found by everything it follows from: the content, the policies, and the rules of passes before. So it
makes no difference but in time, whichever tool, run or thread asks. Invariant: never more than `most_cells` cells are kept,
and a larger table is not kept at all.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from threading import Lock

from tools.data_quality.columns.column import Column
from tools.data_quality.judging import Judgement


class Recent:
    """Judgements by what they follow from, the least recently used ones forgotten first; for any number of threads."""

    def __init__(self, most_cells: int) -> None:
        self._most_cells = most_cells
        self._kept: OrderedDict[bytes, Judgement] = OrderedDict()
        self._lock = Lock()

    def of(self, columns: Sequence[Column], asked: str, judge: Callable[[], Judgement]) -> Judgement:
        """Return what `judge` returns, or returned when it was last asked the same about equal columns.

        Args:
            columns: The table.
            asked: Everything else that the judgement follows from.
            judge: Called without a lock; two threads may both call it, with equal results.
        """
        if _cells(columns) > self._most_cells:
            return judge()
        key = _fingerprint(columns, asked)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        judgement = judge()
        with self._lock:
            self._kept[key] = judgement
            while sum(_cells(kept.table.columns) for kept in self._kept.values()) > self._most_cells:
                self._kept.popitem(last=False)
        return judgement

    def forget(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


def _cells(columns: Sequence[Column]) -> int:
    return sum(column.rows for column in columns)


def _fingerprint(columns: Sequence[Column], asked: str) -> bytes:
    digest = blake2b(asked.encode())
    for column in columns:
        digest.update(
            repr((column.name, column.is_bare, column.stores_text, column.values)).encode("utf-8", "surrogatepass")
        )
        digest.update(array("I", column.codes.to_list()).tobytes())
    return digest.digest()
