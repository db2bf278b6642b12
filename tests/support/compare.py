"""Says whether two runs are the same in everything that can ever matter."""

from typing import Any

from runtime.run.model import Frame, Run, Step
from runtime.run.state import Lineage, View, Write


def assert_same_run(left: Run, right: Run) -> None:
    """Compare every field, views and the ancestry of every write included."""
    assert _same_frame(left, right, {}) == ""


def _same_frame(left: Frame, right: Frame, seen: dict[int, int]) -> str:
    """Return the name of the field that differs, if one does; frames may refer to each other."""
    if id(left) in seen:
        return "" if seen[id(left)] == id(right) else "frame"
    seen[id(left)] = id(right)
    for name in type(left).__dataclass_fields__:
        ours, theirs = getattr(left, name), getattr(right, name)
        if name == "is_behind":
            continue  # not part of the history
        if name in ("plan", "policies"):
            same = ours is theirs
        elif name == "state":
            same = _same(ours._newest, theirs._newest, seen) and ours._reducers == theirs._reducers
        else:
            same = _same(ours, theirs, seen)
        if not same:
            return f"{left.path} {name}"
    return ""


def _same(left: Any, right: Any, seen: dict[int, int]) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, Frame):
        return not _same_frame(left, right, seen)
    if isinstance(left, Write):
        plain = (left.value, left.writer, left.size) == (right.value, right.writer, right.size)
        return plain and _same_lineage(left.lineage, right.lineage, seen)
    if isinstance(left, Step):
        fields = Step.__dataclass_fields__
        return all(_same(getattr(left, name), getattr(right, name), seen) for name in fields)
    if isinstance(left, dict):
        return list(left) == list(right) and all(_same(value, right[key], seen) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(_same(a, b, seen) for a, b in zip(left, right, strict=True))
    if hasattr(left, "__dataclass_fields__"):
        return all(_same(getattr(left, name), getattr(right, name), seen) for name in left.__dataclass_fields__)
    return bool(left == right)


def _same_lineage(left: Lineage, right: Lineage, seen: dict[int, int]) -> bool:
    """Compare two ancestries, shared ancestors included: `seen` maps one side's to the other's."""
    pending = [(left, right)]
    while pending:
        ours, theirs = pending.pop()
        if id(ours) in seen:
            if seen[id(ours)] != id(theirs):
                return False
            continue
        seen[id(ours)] = id(theirs)
        if (ours.number, ours.has_contribution, len(ours.parents)) != (
            theirs.number,
            theirs.has_contribution,
            len(theirs.parents),
        ):
            return False
        if ours.contribution != theirs.contribution:
            return False
        pending += zip(ours.parents, theirs.parents, strict=True)
    return True


def plain(view: View) -> dict[str, Any]:
    """Return the values of a view."""
    return {key: write.value for key, write in view.items()}
