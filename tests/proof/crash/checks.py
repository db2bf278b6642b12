"""The ten invariants. Each check takes a history and returns what contradicts it, in sentences; nothing means that it holds."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Final

from runtime.actors.recovery import MAX_RECOVERIES
from tests.proof.crash.history import FINAL, Effect, History, Run
from tests.proof.crash.programs import BY_NAME
from tests.proof.crash.record import Asked, Verb

Check = Callable[[History], Iterator[str]]

_TOLD: Final[Mapping[Verb, tuple[str, ...]]] = {
    "signal": ("signal_received",),
    "answer": ("approval_answered",),
    "cancel": ("run_cancel_requested", "run_cancelled"),
    "pause": ("run_paused",),
    "resume": ("run_resumed",),
}
"""The records of which there has to be one when a command was taken."""


def acknowledged_is_kept(history: History) -> Iterator[str]:
    """I1: every acknowledged submission is one run, the same for its key, and there is no other run; commands have records."""
    acked: Counter[str] = Counter()
    for asked in history.asked.values():
        ids = set(asked.run_ids)
        if len(ids) > 1:
            yield f"key {asked.key} was answered with several runs: {sorted(ids)}"
        acked.update(ids)
        for run_id in ids:
            if run_id not in history.runs or run_id not in history.stored:
                yield f"key {asked.key}: run {run_id} was acknowledged and is not there"
            else:
                yield from _commands_kept(asked, history.runs[run_id])
    yield from (f"run {run_id} was answered for {count} keys" for run_id, count in acked.items() if count > 1)
    if all(asked.run_ids for asked in history.asked.values()):
        for run_id in sorted(history.stored - set(acked)):
            yield f"run {run_id} belongs to no submission: one was taken twice"


def _commands_kept(asked: Asked, run: Run) -> Iterator[str]:
    events = {record["event"] for record in run.records}
    for verb, wanted in _TOLD.items():
        ack = asked.acked.get(verb)
        if verb == "resume" and "run_paused" not in events:
            continue  # resuming what is not paused is taken, and changes nothing
        if ack is not None and ack.status == 200 and not events & set(wanted):
            yield f"run {run.run_id}: {verb} was acknowledged and has no record"
    signals = [record["id"] for record in run.records if record["event"] == "signal_received"]
    if len(signals) != len(set(signals)):
        yield f"run {run.run_id}: a signal was taken twice: {signals}"


def one_end(history: History) -> Iterator[str]:
    """I2: a run has one terminal record, its last one, which says the same as its status."""
    for run in history.runs.values():
        ends = [record for record in run.records if record["event"].removeprefix("run_") in FINAL]
        if len(ends) != 1 or ends[0] is not run.records[-1]:
            yield f"run {run.run_id} ({run.status}) has the ends {[(one['event'], one['seq']) for one in ends]}"
        elif not (ends[0]["event"] == f"run_{run.status}" == f"run_{run.row_status}"):
            yield f"run {run.run_id} ends with {ends[0]['event']}; its status is {run.status}, in the file {run.row_status}"


def contiguous(history: History) -> Iterator[str]:
    """I3: records are numbered 1 to n, the hash chain in the file holds, and API and file say the same."""
    for run in history.runs.values():
        numbers = [record["seq"] for record in run.records]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"run {run.run_id} has the record numbers {numbers}"
        head = blake2b(run.run_id.encode(), digest_size=16).digest()
        lines: list[bytes] = []
        for entry in run.entries:
            head = blake2b(head + entry.body, digest_size=16).digest()
            if entry.hash != head or entry.first_seq != len(lines) + 1:
                yield f"run {run.run_id}: the chain breaks at record {entry.first_seq}"
                break
            lines += entry.body.split(b"\n")
        if lines != run.lines:
            yield f"run {run.run_id}: the file has {len(lines)} records, and the API shows others ({len(run.lines)})"
        if run.row_last_seq > len(lines):
            yield f"run {run.run_id}: the index counts {run.row_last_seq} records of {len(lines)}"


def once_each(history: History) -> Iterator[str]:
    """I4: a step completes once; attempts begin again only after a failure or a restart; effects are those of the log."""
    ledger: dict[str, list[Effect]] = defaultdict(list)
    for effect in history.effects:
        ledger[effect.key].append(effect)
    for run in history.runs.values():
        begun, completed, retried = _steps(run)
        restarts = sum(record["event"] == "run_recovered" for record in run.records)
        for key, attempts in begun.items():
            if completed[key] > 1:
                yield f"{key} completed {completed[key]} times"
            if len(attempts) != len(set(attempts)):
                yield f"{key} began an attempt twice: {attempts}"
            if len(attempts) > 1 + retried[key] + restarts:
                yield f"{key} began {len(attempts)} attempts, with {retried[key]} retries and {restarts} restarts"
            if completed[key] and key not in ledger:
                yield f"{key} completed, and the world saw nothing of it"
            yield from _effects(ledger.get(key, []), attempts, retried[key], history.kills)
    known = {key for run in history.runs.values() for key in _steps(run)[0]}
    for key, effects in ledger.items():
        if (
            key not in known and effects[0].effect != "pure"
        ):  # what a pure tool did may be forgotten and never be repeated
            yield f"{key} had an effect, and the log knows nothing of it"


def _effects(effects: list[Effect], attempts: list[int], retried: int, kills: int) -> Iterator[str]:
    """Look at what one step did to the world."""
    if not effects:
        return
    key, kind = effects[0].key, effects[0].effect
    processes = Counter(effect.pid for effect in effects)
    if kind == "once" and len(effects) > 1:
        yield f"{key}: a tool that must not be called twice was called {len(effects)} times"
    if len(processes) > kills + 1 or max(processes.values()) > 1 + retried:
        yield f"{key} had {len(effects)} effects in {len(processes)} processes, with {retried} retries and {kills} kills"
    if kind != "pure":
        made = [effect.attempt for effect in effects]
        if len(made) != len(set(made)) or not set(made) <= set(attempts):
            yield f"{key} had effects in attempts {made}, and its log has {attempts}"


def _steps(run: Run) -> tuple[dict[str, list[int]], Counter[str], Counter[str]]:
    """Return by idempotency key the attempts that began with a tool of the harness, the completions and the retries."""
    begun: dict[str, list[int]] = defaultdict(list)
    completed: Counter[str] = Counter()
    retried: Counter[str] = Counter()
    for record in run.records:
        if not record["event"].startswith("step_"):
            continue
        place = f"{record['path']}/{record['node']}" if record.get("path") else record["node"]
        key = f"{run.run_id}/{place}/{record['iteration']}"
        match record["event"]:
            case "step_started" if record.get("tool", "").startswith(("sum_", "refuse")):
                begun[key].append(record["attempt"])
            case "step_completed":
                completed[key] += 1
            case "step_retrying":
                retried[key] += 1
    return begun, completed, retried


def as_the_model_says(history: History) -> Iterator[str]:
    """I5: status and final state are those that the program has to come to.

    A healthy run may be put aside if servers were killed three times at exactly its own rebuilding, as the loop does on purpose.
    """
    for asked in history.asked.values():
        program = BY_NAME[asked.program]
        for run in _runs_of(history, asked):
            if was_put_aside_by_rule(run) and history.kills_of_recovery >= MAX_RECOVERIES:
                continue
            lost = any(_code(record) == "OUTCOME_UNKNOWN" for record in run.records if record["event"] == "step_failed")
            wrong = program.allows(asked.n, run.status, run.state, lost=lost)
            if wrong:
                yield f"run {run.run_id} of {program.name!r} with n={asked.n}: {wrong}"


def was_put_aside_by_rule(run: Run) -> bool:
    """Whether a run is a dead letter because its last records are those of rebuildings that were all killed."""
    told = [(record["event"], record.get("cause")) for record in run.records[-MAX_RECOVERIES - 1 :]]
    return told == [("run_recovering", "killed")] * MAX_RECOVERIES + [("run_dead_lettered", None)]


def seen_is_kept(history: History) -> Iterator[str]:
    """I6: what a watcher saw is in the final log, with the same number and the same bytes."""
    for watcher in history.watchers:
        run = history.runs.get(watcher.run_id)
        if run is None:
            yield f"run {watcher.run_id} was watched and is not there"
            continue
        for seq, line in watcher.seen:
            if seq > len(run.lines) or run.lines[seq - 1] != line:
                yield f"run {run.run_id}: record {seq} was seen as {line!r} and is not in the log"
                break


def watched_without_gaps(history: History) -> Iterator[str]:
    """I7: over all its connections a watcher saw 1, 2, 3 … and, if it was told the end, all of them."""
    for watcher in history.watchers:
        numbers = [seq for seq, _ in watcher.seen]
        if numbers != list(range(1, len(numbers) + 1)):
            breaks = [pair for pair in pairwise([0, *numbers]) if pair[1] != pair[0] + 1]
            yield f"run {watcher.run_id}: a watcher saw {breaks[0][1]} behind {breaks[0][0]}"
        run = history.runs.get(watcher.run_id)
        if run is not None and watcher.has_ended and len(numbers) != len(run.lines):
            yield f"run {run.run_id}: a watcher was told the end after {len(numbers)} of {len(run.lines)} records"


def cancelled_starts_nothing(history: History) -> Iterator[str]:
    """I8: after an acknowledged cancellation no step starts, and the run has ended."""
    for asked in history.asked.values():
        ack = asked.acked.get("cancel")
        if ack is None or ack.status != 200:
            continue
        for run in _runs_of(history, asked):
            if run.status not in FINAL:
                yield f"run {run.run_id} was cancelled and is {run.status}"
            events = [record["event"] for record in run.records]
            if "run_cancel_requested" in events and "step_started" in events[events.index("run_cancel_requested") :]:
                yield f"run {run.run_id} started a step after it was cancelled"


def all_ended(history: History) -> Iterator[str]:
    """I9: some seconds after the load has stopped every run has ended, and everything asked is answered."""
    if history.unfinished:
        yield f"{len(history.unfinished)} runs have not ended: {', '.join(history.unfinished[:5])}"
    for run in history.runs.values():
        if run.status not in FINAL:
            yield f"run {run.run_id} is {run.status}"
    for asked in history.asked.values():
        waiting = asked.intended - set(asked.acked)
        if waiting:
            yield f"key {asked.key}: {', '.join(sorted(waiting))} was never answered"


def file_is_sound(history: History) -> Iterator[str]:
    """I10: SQLite finds nothing wrong with the file, and the server's own check finds everything that was confirmed."""
    if history.integrity != "ok":
        yield f"quick_check says: {history.integrity}"
    if history.verified is not None and history.verified[0] != 0:
        yield f"verify exited with {history.verified[0]}: {history.verified[1]}"


INVARIANTS: Final[Mapping[str, Check]] = {
    "I1": acknowledged_is_kept,
    "I2": one_end,
    "I3": contiguous,
    "I4": once_each,
    "I5": as_the_model_says,
    "I6": seen_is_kept,
    "I7": watched_without_gaps,
    "I8": cancelled_starts_nothing,
    "I9": all_ended,
    "I10": file_is_sound,
}


def violations(history: History) -> list[str]:
    """Return everything that is wrong, each with the invariant that it breaks."""
    return [f"{name}: {wrong}" for name, check in INVARIANTS.items() for wrong in check(history)]


def _runs_of(history: History, asked: Asked) -> Iterable[Run]:
    return (history.runs[run_id] for run_id in set(asked.run_ids) if run_id in history.runs)


def _code(record: Mapping[str, Any]) -> str:
    return str(record.get("error", {}).get("code", ""))
