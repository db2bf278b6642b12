"""What simulated runs came to, counted over all seeds."""

import hashlib
import re
from ast import literal_eval
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any, Final, TypeVar

import msgspec

from runtime.json_values import canonical
from runtime.run.records import Failure, RunStatus
from runtime.views import LogRecord

SEEDS_SHOWN: Final = 5

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class End:
    """A way in which runs ended: `count` of them, with these `seeds` among them. `code` is that of the run's error, if any."""

    status: str
    code: str | None
    count: int
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that happened at a node in `count` runs. A node of a sub-graph stands behind those around it: `sub/inner`."""

    node: str
    count: int
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A key that two `writers` gave different values, noticed by `node`, where their branches met."""

    key: str
    writers: tuple[str, str]
    node: str
    count: int
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """Virtual seconds that the runs took."""

    min: float
    median: float
    max: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulation found out.

    Attributes:
        seeds: Runs that were simulated to their end.
        complete: Whether these are all that were asked for.
        stopped_by: What kept the others from it: `time`, or the next run's `steps` or `size`; None if it is complete.
        ends: The ways in which they ended, the most frequent first.
        final_states: Number of different final states for each status.
        unstable_keys: State keys that completed runs left behind with different values, or only some of them.
        dead_nodes: Nodes that ran in none of the runs; of a sub-graph that never ran, only the node that it stands for.
        skipped_sometimes: Nodes that did not run in some of them.
        conflicts: What made steps fail with `STATE_CONFLICT`.
        exhausted_loops: Nodes with a loop definition that ended by `max_iterations`.
        unmatched_routes: Nodes none of whose edges held.
        unused_mocks: Indexes of rules that fitted no attempt.
        status, state_json, records: The run of the first seed. If even that took too long: `running`, None, and what there is.
    """

    seeds: int
    complete: bool
    stopped_by: str | None
    ends: tuple[End, ...]
    final_states: Mapping[str, int]
    unstable_keys: tuple[str, ...]
    dead_nodes: tuple[str, ...]
    skipped_sometimes: tuple[Finding, ...]
    conflicts: tuple[Conflict, ...]
    exhausted_loops: tuple[Finding, ...]
    unmatched_routes: tuple[Finding, ...]
    unused_mocks: tuple[int, ...]
    virtual_s: Spread | None
    status: str
    state_json: bytes | None
    records: tuple[LogRecord, ...]

    @property
    def final_state(self) -> dict[str, Any] | None:
        """The final state of the first run, decoded anew at each call."""
        return None if self.state_json is None else msgspec.json.decode(self.state_json)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One simulated run: `lines` are its records, encoded. `final_state` is None where it did not get to its end."""

    status: str
    final_state: bytes | None
    lines: tuple[bytes, ...]


class Tally:
    """Takes in one run after the other.

    Attributes:
        ran: For each node that ever ran the seeds with which it did.
    """

    def __init__(self) -> None:
        self.ran: dict[str, list[int]] = defaultdict(list)
        self._first: Outcome | None = None
        self._seeds: list[int] = []
        self._seconds: list[float] = []
        self._ends: dict[tuple[str, str | None], list[int]] = defaultdict(list)
        self._finals: dict[str, set[bytes]] = defaultdict(set)
        self._completed: dict[str, Any] | None = None
        self._unstable: set[str] = set()
        self._conflicts: dict[tuple[str, tuple[str, str], str], list[int]] = defaultdict(list)
        self._exhausted: dict[str, list[int]] = defaultdict(list)
        self._unmatched: dict[str, list[int]] = defaultdict(list)

    def add(self, seed: int, outcome: Outcome) -> None:
        """Count a run; one that did not get to its end is only shown, if it is the first."""
        self._first = self._first or outcome
        if outcome.final_state is None:
            return
        seen = [_decode(line) for line in outcome.lines]
        self._seeds.append(seed)
        self._seconds.append((_instant(outcome.lines[-1]) - _instant(outcome.lines[0])).total_seconds())
        self._ends[outcome.status, seen[-1].error.code if seen[-1].error else None].append(seed)
        self._compare_states(outcome.status, outcome.final_state)
        noticed = {"step_started": self.ran, "loop_exhausted": self._exhausted, "route_unmatched": self._unmatched}
        for event, node in dict.fromkeys((one.event, _name(one)) for one in seen if one.event in noticed):
            noticed[event][node].append(seed)
        for conflict in _conflicts(seen):
            self._conflicts[conflict].append(seed)

    def result(
        self, *, stopped_by: str | None, dead_nodes: Iterable[str] = (), unused_mocks: Iterable[int] = ()
    ) -> Simulation:
        """Return what all the runs came to."""
        first = self._first or Outcome(RunStatus.PENDING.value, None, ())
        count = len(self._seeds)
        missed = {node: self._without(seeds) for node, seeds in self.ran.items() if len(seeds) < count}
        return Simulation(
            seeds=count,
            complete=stopped_by is None,
            stopped_by=stopped_by,
            ends=tuple(End(*end, len(seeds), _some(seeds)) for end, seeds in _most_frequent(self._ends)),
            final_states={status: len(states) for status, states in sorted(self._finals.items())},
            unstable_keys=tuple(sorted(self._unstable)),
            dead_nodes=tuple(dead_nodes),
            skipped_sometimes=_findings(missed),
            conflicts=tuple(
                Conflict(*what, len(seeds), _some(seeds)) for what, seeds in _most_frequent(self._conflicts)
            ),
            exhausted_loops=_findings(self._exhausted),
            unmatched_routes=_findings(self._unmatched),
            unused_mocks=tuple(unused_mocks),
            virtual_s=_spread(self._seconds) if count else None,
            status=first.status,
            state_json=first.final_state,
            records=tuple(LogRecord(seq, line) for seq, line in enumerate(_on_virtual_time(first.lines), start=1)),
        )

    def _without(self, seeds: Sequence[int]) -> list[int]:
        left_out = frozenset(seeds)
        return [seed for seed in self._seeds if seed not in left_out]

    def _compare_states(self, status: str, encoded: bytes) -> None:
        state: dict[str, Any] = msgspec.json.decode(encoded)
        self._finals[status].add(hashlib.sha256(canonical(state)).digest())
        if status != RunStatus.COMPLETED.value:
            return
        known = self._completed
        if known is None:
            self._completed = state
            return
        self._unstable |= known.keys() ^ state.keys()
        self._unstable |= {key for key in known.keys() & state.keys() if canonical(known[key]) != canonical(state[key])}


class _Seen(msgspec.Struct):
    """What is looked at in a record."""

    event: str
    node: str = ""
    path: str = ""
    error: Failure | None = None


class _Dated(msgspec.Struct):
    timestamp: datetime


_CONFLICT: Final = re.compile(
    r"Key (?P<key>.*) was written with different values by (?P<left>.*) and by (?P<right>.*), neither of which",
    re.DOTALL,
)
_WRITER: Final = re.compile(r"node (?P<name>.*) \(iteration \d+, record \d+\)", re.DOTALL)
_decode: Final = msgspec.json.Decoder(_Seen).decode
_decode_date: Final = msgspec.json.Decoder(_Dated).decode


def _instant(line: bytes) -> datetime:
    return _decode_date(line).timestamp


def _name(record: _Seen) -> str:
    """Return the name of a record's node with those around it: of `sub#1/each#2[7]` and `inner` it is `sub/each/inner`."""
    if not record.path:
        return record.node
    around = (part.rpartition("#")[0] for part in record.path.split("/"))
    return "/".join((*around, record.node))


def _conflicts(seen: Iterable[_Seen]) -> list[tuple[str, tuple[str, str], str]]:
    """Return key, writers and node of each conflict; where a sub-graph failed by one, the nodes around it tell it again."""
    found: dict[tuple[str, tuple[str, str]], str] = {}
    for record in seen:
        if record.event == "step_failed" and record.error is not None and record.error.code == "STATE_CONFLICT":
            told = _CONFLICT.match(record.error.message)
            if told:
                writers = (_writer(told["left"]), _writer(told["right"]))
                found.setdefault((str(literal_eval(told["key"])), writers), _name(record))
    return [(*what, node) for what, node in found.items()]


def _writer(told: str) -> str:
    node = _WRITER.fullmatch(told)
    return str(literal_eval(node["name"])) if node else told


def _on_virtual_time(lines: Sequence[bytes]) -> list[bytes]:
    """Return records whose attempts took the virtual time that passed, where the engine measured the real one."""
    started: dict[tuple[Any, ...], datetime] = {}
    changed = []
    for line in lines:
        record: dict[str, Any] = msgspec.json.decode(line)
        attempt = tuple(record.get(key) for key in ("path", "node", "iteration", "attempt"))
        if record["event"] == "step_started":
            started[attempt] = _instant(line)
        elif record.get("duration_ms") and attempt in started:
            record["duration_ms"] = round((_instant(line) - started[attempt]).total_seconds() * 1_000, 3)
            line = msgspec.json.encode(record)
        changed.append(line)
    return changed


def _spread(seconds: Sequence[float]) -> Spread:
    return Spread(min(seconds), round(median(seconds), 6), max(seconds))


def _most_frequent(counted: Mapping[K, list[int]]) -> list[tuple[K, list[int]]]:
    return sorted(counted.items(), key=lambda found: -len(found[1]))


def _findings(counted: Mapping[str, list[int]]) -> tuple[Finding, ...]:
    return tuple(Finding(node, len(seeds), _some(seeds)) for node, seeds in _most_frequent(counted))


def _some(seeds: Sequence[int]) -> tuple[int, ...]:
    return tuple(seeds[:SEEDS_SHOWN])
