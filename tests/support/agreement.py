"""Says whether a run came to what the naive interpreter says, as far as that does not depend on timing."""

from collections import Counter
from typing import Any

from tests.support.naive import Frame
from tests.support.player import Player, path_of

Key = tuple[str, str, int]
GROWING = ("log", "log1", "log2", "set", "bag")
"""Keys whose lists have an order that follows from the order of merges, which the interpreter does not know."""


def assert_agrees(player: Player, frame: Frame, status: str) -> None:
    """Assert that a run ended as the interpreter says, ran what it says, and left the state that it says.

    In a frame that failed, timing decides how much of it ran; whatever did run is known to the interpreter.
    """
    world = frame.world
    failing = player.run.failing
    assert player.run.status == status, f"{player.run.status} is not {status}: {failing} or {frame.failures}"
    if "STEP_LIMIT" in frame.failures:
        return
    if status == "failed":
        assert failing is not None
        assert failing.code in codes(frame)
    started = set(player.started())
    assert started <= world.started.keys(), f"ran, and should not have: {started - world.started.keys()}"
    missing = {key for key in world.started.keys() - started if not world.is_vague(key[0])}
    assert not missing, f"should have run, and did not: {missing}"
    for call in player.calls:
        ours, theirs = call.state, world.started[call.path, call.node, call.iteration]
        assert world.is_vague(call.path) or same(ours, theirs), f"{call}: {theirs}"
    assert skipped(player, frame) == {key: n for key, n in world.skipped.items() if is_definite(frame, key[0])}
    if status == "completed":
        ours, theirs = player.state, frame.state.final()
        assert same(ours, theirs), f"{ours} is not {theirs}"


def codes(frame: Frame) -> set[str]:
    """Return the codes with which a run may have failed."""
    return set("|".join(frame.failures).split("|"))


def skipped(player: Player, frame: Frame) -> dict[Key, int]:
    """Return how often each step was skipped, in frames where that is definite."""
    records = [record for record in player.of("step_skipped") if is_definite(frame, path_of(record))]
    return dict(Counter((path_of(record), record.node, record.iteration) for record in records))


def is_definite(frame: Frame, path: str) -> bool:
    return not frame.world.is_vague(path) and path not in frame.world.ended


def same(ours: Any, theirs: Any, key: str = "") -> bool:
    """Return whether two states are the same: lists that grow in any order, errors of items by index and code."""
    if isinstance(theirs, dict) and theirs.keys() == {"index", "code", "message"}:
        return ours["index"] == theirs["index"] and ours["code"] in theirs["code"].split("|")
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[word], theirs[word], word) for word in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        if key in GROWING:
            return sorted(ours, key=repr) == sorted(theirs, key=repr)
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return bool(type(ours) is type(theirs) and ours == theirs)
