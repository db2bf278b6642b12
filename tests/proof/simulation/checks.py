"""What must hold when all is over, whatever happened: the promises of the engine, read from disk, ledger and clients."""

from collections import Counter
from typing import Any

import msgspec

from runtime.errors import JournalDamaged
from runtime.journal import RunRow
from runtime.journal.base import check_chain
from runtime.run.records import AnyRecord, StepFailed, decode_record
from tests.proof.simulation.programs import MAX_ATTEMPTS, Program
from tests.proof.simulation.world import Violation, World
from tests.support.agreement import same
from tests.support.ledger import Ledger


def check(world: World) -> None:
    """Check everything.

    Raises:
        Violation: A promise was broken.
    """
    rows = {row.run_id: row for row in _rows(world)}
    lines = {run_id: world.disk.lines_of(row.number) for run_id, row in rows.items()}
    check_epochs(world)
    for run_id, row in rows.items():
        records = check_log(world, row, lines[run_id])
        if run_id not in world.orphans:  # their questions may have been out of time before anybody knew of them
            check_result(world.programs[row.graph_id], row, records)
    check_acks(world, rows, lines)
    check_watched(world, lines)
    check_views(world, rows)
    check_effects(world)


def _rows(world: World) -> list[RunRow]:
    return [
        row for run in range(1, world.disk.last_run_number() + 1) for row in [world.disk.row(run)] if row is not None
    ]


def demand(holds: bool, broken: str) -> None:
    """Raise if a promise does not hold."""
    if not holds:
        raise Violation(broken)


def check_epochs(world: World) -> None:
    """Nothing follows from an owner whom another one has replaced."""
    epochs = [entry.epoch for entry in world.disk.stored]
    demand(epochs == sorted(epochs), "an entry of an old owner follows one of a newer owner")


def check_log(world: World, row: RunRow, lines: list[bytes]) -> list[AnyRecord]:
    """The log of a run is whole, ends once, and tells a story that can be."""
    try:
        check_chain(row.run_id, world.disk.entries(row.number, after=0, limit=1_000_000))
        records = [decode_record(line) for line in lines]
    except (JournalDamaged, msgspec.MsgspecError) as error:
        raise Violation(f"{row.run_id}: {error}") from error
    where = row.run_id
    demand([record.seq for record in records] == list(range(1, len(records) + 1)), f"{where}: numbers have gaps")
    ends = [record.seq for record in records if record.terminal is not None]
    demand(ends == [len(records)], f"{where}: ends at {ends} of {len(records)}")
    last = records[-1].terminal
    demand(last is not None and row.status == last.value, f"{where}: row says {row.status}, log says {last}")
    demand(row.completed_at is not None and row.last_seq == len(records), f"{where}: the row is behind the log")
    demand(row.status != "dead_lettered", f"{where}: a healthy run was put aside")
    crashes = [record for record in records if getattr(record, "cause", None) == "crash"]
    demand(not crashes, f"{where}: an actor failed: {crashes}")
    completions = Counter(
        (getattr(r, "path", ""), getattr(r, "node", ""), getattr(r, "iteration", 0))
        for r in records
        if r.event == "step_completed"
    )
    demand(max(completions.values(), default=0) <= 1, f"{where}: a step completed twice: {completions}")
    try:
        Ledger(world.programs[row.graph_id].plan).read(records)
    except AssertionError as error:
        raise Violation(f"{where}: {error}") from error
    return records


def check_result(program: Program, row: RunRow, records: list[AnyRecord]) -> None:
    """A run that nobody cancelled comes to what the rules say, however often it was interrupted.

    By the rules no step fails of being out of time. It may, when its server is frozen or its calls queue for a worker.
    """
    codes = {getattr(getattr(record, "error", None), "code", "") for record in records}
    if program.status is None or "OUTCOME_UNKNOWN" in codes or row.status == "cancelled":
        return
    if any(isinstance(record, StepFailed) and record.error.code == "TIMEOUT" for record in records):
        return
    demand(row.status == program.status, f"{row.run_id}: {row.status}, and not {program.status}: {row.error}")
    if row.status == "completed":
        state = msgspec.json.decode(row.final_state or b"{}")
        demand(same(state, program.state), f"{row.run_id}: came to {state}, and not {program.state}")


def check_acks(world: World, rows: dict[str, RunRow], lines: dict[str, list[bytes]]) -> None:
    """What was acknowledged is there; one key is one run; what was cancelled was told to end, or had ended."""
    runs_of: dict[str, set[str]] = {}
    for ack in world.acks:
        demand(ack.run_id in rows, f"{ack.run_id} was acknowledged and is lost")
        if ack.key is not None:
            runs_of.setdefault(ack.key, set()).add(ack.run_id)
            demand(rows[ack.run_id].key == ack.key, f"{ack.run_id} has lost its key {ack.key}")
    for key, runs in runs_of.items():
        demand(len(runs) == 1, f"key {key} was answered with several runs: {sorted(runs)}")
    keys = Counter(row.key for row in rows.values() if row.key is not None)
    demand(max(keys.values(), default=0) <= 1, f"a key has several runs: {keys}")
    for run_id in world.cancelled:
        told = any(b'"event":"run_cancel_requested"' in line for line in lines[run_id])
        ended = rows[run_id].status == "cancelled" or any(map(_is_finishing, lines[run_id]))
        demand(told or ended, f"{run_id}: the cancellation was acknowledged and is lost")


def _is_finishing(line: bytes) -> bool:
    """Return whether the run itself, or its time, has come to an end: then a cancellation changes nothing."""
    if b'"event":"run_deadline_passed"' in line:
        return True
    return b'"path":' not in line and (b'"event":"run_finishing"' in line or b'"event":"end_reached"' in line)


def check_watched(world: World, lines: dict[str, list[bytes]]) -> None:
    """Nothing that was shown was taken back, and whoever watched to the end saw everything."""
    for seen in (*world.watched, *world.read):
        log = lines.get(seen.run_id, [])
        demand(len(seen.lines) <= len(log), f"{seen.run_id}: {len(seen.lines)} records shown of {len(log)}")
        for seq, (shown, kept) in enumerate(zip(seen.lines, log, strict=False), start=1):
            demand(shown == kept, f"{seen.run_id}: record {seq} was shown as {shown!r}, and is {kept!r}")
    for watched in world.watched:
        whole = len(lines[watched.run_id])
        demand(len(watched.lines) == whole, f"{watched.run_id}: a watcher saw {len(watched.lines)} records of {whole}")


def check_views(world: World, rows: dict[str, RunRow]) -> None:
    """A state that was shown is one the run had; a final one is the final one."""
    for view in world.views:
        row = rows.get(view.run_id)
        demand(row is not None and view.last_seq <= row.last_seq, f"{view.run_id}: shown beyond its end: {view}")
        if row is not None and view.last_seq == row.last_seq:
            shown: Any = (view.status, view.state_json)
            demand(shown == (row.status, row.final_state), f"{view.run_id}: ended as {row}, shown was {view}")


def check_effects(world: World) -> None:
    """Tools were called as announced: those with effects only after their step was durable, `once` tools at most once.

    A `pure` tool is called ahead of the disk, so an engine that ends may have called it in vain; nobody outside can tell.
    """
    effects = [effect for effect in world.effects if effect.tool != "work"]
    for effect in effects:
        demand(effect.was_announced, f"{effect} was called before its record was durable")
    calls = Counter((effect.key, effect.attempt) for effect in effects)
    demand(max(calls.values(), default=0) <= 1, f"an attempt was made twice: {calls.most_common(1)}")
    once = Counter(effect.key for effect in effects if effect.tool == "once")
    demand(max(once.values(), default=0) <= 1, f"a `once` tool was called again: {once.most_common(1)}")
    attempts = Counter(effect.key for effect in effects)
    bound = MAX_ATTEMPTS + len(world.incarnations)
    demand(max(attempts.values(), default=0) <= bound, f"called too often: {attempts.most_common(1)}")
