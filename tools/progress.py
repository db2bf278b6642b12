"""How often a tool's progress is told: by the share of the work that is done, and never by the clock.

So the same work tells the same on every machine, and a bar moves by five percent at most. A tool may work in stages, each with
numbers of its own. Invariant: of one stage at most `STEPS` + 1 reports are due, its first and its last among them.
"""

from typing import Final

STEPS: Final = 20


class Pace:
    """Chooses among the reports of one call.

    A stage is over when all of its work is done, or when a report says that less is done than the one before.
    """

    __slots__ = ("_last", "_step")

    def __init__(self) -> None:
        self._last: tuple[int, int, str, str] | None = None
        self._step = 0

    def is_due(self, done: int, total: int, unit: str, message: str) -> bool:
        """Return whether a report is to be told: it is the first or the last of its stage, or a twentieth further.

        Raises:
            ValueError: Not 0 <= `done` <= `total`.
        """
        if not 0 <= done <= total:
            raise ValueError(f"progress is {done!r} of {total!r} {unit}; the first number goes from 0 up to the second")
        report = done, total, unit, message
        step = STEPS * done // total if total else STEPS
        is_due = self._begins_stage(report) or step > self._step
        if is_due:
            self._step = step
        self._last = report
        return is_due

    def _begins_stage(self, report: tuple[int, int, str, str]) -> bool:
        last = self._last
        return last is None or report[0] < last[0] or (last[0] == last[1] and report != last)
