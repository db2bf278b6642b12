"""Each invariant of the crash loop is shown a history that breaks it, and has to say so; and one that breaks none."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import msgspec
import pytest

from tests.proof.crash.checks import INVARIANTS, violations
from tests.proof.crash.client import Watcher
from tests.proof.crash.history import Effect, History, Run, StoredEntry
from tests.proof.crash.record import Asked, Line

KEPT, CANCELLED = "run-kept", "run-cancelled"


def stored(run_id: str, lines: list[bytes]) -> list[StoredEntry]:
    """Return entries of two records each, chained."""
    head, entries = blake2b(run_id.encode(), digest_size=16).digest(), []
    for first in range(0, len(lines), 2):
        body = b"\n".join(lines[first : first + 2])
        head = blake2b(head + body, digest_size=16).digest()
        entries.append(StoredEntry(first + 1, len(lines[first : first + 2]), body, head))
    return entries


def run_of(run_id: str, status: str, state: dict[str, Any], *records: dict[str, Any]) -> Run:
    numbered = [
        {"event": one["event"], "seq": seq, "run_id": run_id, **one} for seq, one in enumerate(records, start=1)
    ]
    lines = [msgspec.json.encode(record) for record in numbered]
    return Run(run_id, status, state, lines, numbered, stored(run_id, lines), status, len(lines))


def retold(run: Run, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the records of a run, as if they had always been so."""
    change(run.records)
    run.lines = [msgspec.json.encode(record) for record in run.records]
    run.entries = stored(run.run_id, run.lines)


def step(event: str, node: str, attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"event": event, "node": node, "iteration": 1, "attempt": attempt, **more}


def good() -> History:
    """Return a history that is as it should be: a run that was interrupted in its second step, and one that was cancelled."""
    kept = run_of(
        KEPT,
        "completed",
        {"n": 5, "first": 6, "said": 5, "after": 11},
        {"event": "run_submitted"},
        step("step_started", "first", tool="sum_idempotent@1"),
        step("step_completed", "first"),
        {"event": "signal_received", "id": "k-go"},
        step("step_started", "after", tool="sum_undeclared@1"),
        {"event": "run_recovered"},
        step("step_started", "after", 2, tool="sum_undeclared@1"),
        step("step_completed", "after", 2),
        {"event": "run_completed"},
    )
    cancelled = run_of(
        CANCELLED,
        "cancelled",
        {"n": 1, "first": 2},
        {"event": "run_submitted"},
        step("step_started", "first", tool="sum_undeclared@1"),
        step("step_completed", "first"),
        {"event": "run_cancel_requested"},
        {"event": "run_cancelled"},
    )
    effects = [
        Effect(f"{KEPT}/first/1", 1, "idempotent", 10),
        Effect(f"{KEPT}/after/1", 1, "undeclared", 10),
        Effect(f"{KEPT}/after/1", 2, "undeclared", 20),
        Effect(f"{CANCELLED}/first/1", 1, "undeclared", 20),
    ]
    submit = Line("submit", "k", "signal", 5, 200, run_id=KEPT)
    asked = {
        "k": Asked("k", "signal", 5, [KEPT, KEPT], {"submit": submit, "signal": Line("signal", "k", status=200)}),
        "c": Asked("c", "cancelled", 1, [CANCELLED], {"submit": submit, "cancel": Line("cancel", "c", status=200)}),
    }
    for one in asked.values():
        one.intended = set(one.acked)
    seen = list(enumerate(kept.lines, start=1))
    watchers = [Watcher(KEPT, seen, has_ended=True, connections=2), Watcher(CANCELLED)]
    return History(asked, {KEPT: kept, CANCELLED: cancelled}, watchers, effects, kills=1, stored={KEPT, CANCELLED})


def test_a_history_as_it_should_be_breaks_no_invariant() -> None:
    assert violations(good()) == []


# --- what each invariant has to notice --------------------------------------------------------------------------------


def lost_run(history: History) -> None:
    del history.runs[KEPT]
    history.stored.remove(KEPT)


def two_runs_for_one_key(history: History) -> None:
    history.asked["k"].run_ids.append(CANCELLED)


def a_run_that_nobody_asked_for(history: History) -> None:
    history.stored.add("run-other")


def lost_signal(history: History) -> None:
    retold(history.runs[KEPT], lambda records: records[3].update(event="tool_log"))


def signal_taken_twice(history: History) -> None:
    retold(history.runs[KEPT], lambda records: records[5].update(event="signal_received", id="k-go"))


def two_ends(history: History) -> None:
    retold(history.runs[KEPT], lambda records: records[7].update(event="run_completed"))


def no_end(history: History) -> None:
    retold(history.runs[KEPT], lambda records: records[-1].update(event="tool_log"))


def status_against_the_log(history: History) -> None:
    history.runs[CANCELLED].row_status = "failed"


def a_gap(history: History) -> None:
    retold(history.runs[KEPT], lambda records: records.pop(4))


def an_altered_record(history: History) -> None:
    run = history.runs[KEPT]
    run.entries[1] = replace(run.entries[1], body=run.entries[1].body.replace(b'"k-go"', b'"k-no"'))


def shown_and_not_stored(history: History) -> None:
    history.runs[KEPT].entries.pop()


def an_index_ahead_of_the_log(history: History) -> None:
    history.runs[KEPT].row_last_seq += 1


def completed_twice(history: History) -> None:
    retold(history.runs[KEPT], lambda records: records[5].update(step("step_completed", "after")))


def an_attempt_without_a_reason(history: History) -> None:
    retold(history.runs[KEPT], lambda records: records[5].update(event="tool_log"))


def an_attempt_made_twice(history: History) -> None:
    history.effects.append(Effect(f"{KEPT}/first/1", 1, "idempotent", 20))


def an_effect_too_many_in_one_process(history: History) -> None:
    history.effects += [Effect(f"{KEPT}/pure/1", 1, "pure", 10)] * 2
    retold(history.runs[KEPT], lambda records: records.insert(-1, step("step_started", "pure", tool="sum_pure@1")))


def more_processes_than_deaths(history: History) -> None:
    history.effects.append(Effect(f"{KEPT}/after/1", 3, "undeclared", 30))


def a_once_tool_called_twice(history: History) -> None:
    history.effects = [replace(effect, effect="once") for effect in history.effects]


def an_effect_that_the_log_does_not_know(history: History) -> None:
    history.effects.append(Effect(f"{KEPT}/other/1", 1, "undeclared", 10))


def a_step_without_its_effect(history: History) -> None:
    del history.effects[0]


def a_wrong_state(history: History) -> None:
    history.runs[KEPT].state["after"] = 12


def a_wrong_end(history: History) -> None:
    history.asked["c"].program = "signal"


def a_foreign_key_in_a_cancelled_run(history: History) -> None:
    history.runs[CANCELLED].state["after"] = 3


def seen_and_retracted(history: History) -> None:
    history.watchers[0].seen[-1] = (9, b'{"event":"run_failed","seq":9}')


def seen_beyond_the_end(history: History) -> None:
    history.watchers[1].seen += [(seq, b"{}") for seq in range(1, 8)]


def seen_twice(history: History) -> None:
    history.watchers[0].seen.insert(3, history.watchers[0].seen[2])


def a_gap_in_what_was_seen(history: History) -> None:
    del history.watchers[0].seen[3]


def told_the_end_too_early(history: History) -> None:
    history.watchers[0].seen.pop()


def a_step_after_the_cancellation(history: History) -> None:
    late = step("step_started", "after", tool="sum_once@1")
    retold(history.runs[CANCELLED], lambda records: records.insert(4, late))


def cancelled_and_still_running(history: History) -> None:
    history.runs[CANCELLED].status = "running"


def a_run_that_hangs(history: History) -> None:
    history.unfinished.append(f"{KEPT} (running)")


def a_question_without_an_answer(history: History) -> None:
    history.asked["c"].intended.add("resume")


def a_damaged_file(history: History) -> None:
    history.integrity = "row 7 missing from index runs_by_status"


def fewer_commits_than_confirmed(history: History) -> None:
    history.verified = (65, "the journal ends before its watermark")


BROKEN: list[tuple[str, Callable[[History], None]]] = [
    ("I1", lost_run),
    ("I1", two_runs_for_one_key),
    ("I1", a_run_that_nobody_asked_for),
    ("I1", lost_signal),
    ("I1", signal_taken_twice),
    ("I2", two_ends),
    ("I2", no_end),
    ("I2", status_against_the_log),
    ("I3", a_gap),
    ("I3", an_altered_record),
    ("I3", shown_and_not_stored),
    ("I3", an_index_ahead_of_the_log),
    ("I4", completed_twice),
    ("I4", an_attempt_without_a_reason),
    ("I4", an_attempt_made_twice),
    ("I4", an_effect_too_many_in_one_process),
    ("I4", more_processes_than_deaths),
    ("I4", a_once_tool_called_twice),
    ("I4", an_effect_that_the_log_does_not_know),
    ("I4", a_step_without_its_effect),
    ("I5", a_wrong_state),
    ("I5", a_wrong_end),
    ("I5", a_foreign_key_in_a_cancelled_run),
    ("I6", seen_and_retracted),
    ("I6", seen_beyond_the_end),
    ("I7", seen_twice),
    ("I7", a_gap_in_what_was_seen),
    ("I7", told_the_end_too_early),
    ("I8", a_step_after_the_cancellation),
    ("I8", cancelled_and_still_running),
    ("I9", a_run_that_hangs),
    ("I9", a_question_without_an_answer),
    ("I10", a_damaged_file),
    ("I10", fewer_commits_than_confirmed),
]


@pytest.mark.parametrize(("invariant", "doctor"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_a_doctored_history_breaks_its_invariant(invariant: str, doctor: Callable[[History], None]) -> None:
    history = good()
    doctor(history)
    assert list(INVARIANTS[invariant](history)) != []


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    assert {invariant for invariant, _ in BROKEN} == set(INVARIANTS)


def a_dead_letter(history: History, killed: int) -> None:
    """Let the kept run be put aside after so many rebuildings that were killed."""
    run = history.runs[KEPT]
    rebuilt = [{"event": "run_recovering", "seq": 0, "run_id": KEPT, "cause": "killed"} for _ in range(killed)]
    end = {"event": "run_dead_lettered", "seq": 0, "run_id": KEPT}

    def put_aside(records: list[dict[str, Any]]) -> None:
        records[:] = [dict(record, seq=seq) for seq, record in enumerate([records[0], *rebuilt, end], start=1)]

    retold(run, put_aside)
    run.status = run.row_status = "dead_lettered"
    run.row_last_seq = len(run.records)


@pytest.mark.parametrize(("killed", "kills", "allowed"), [(3, 3, True), (2, 9, False), (3, 2, False), (0, 9, False)])
def test_a_dead_letter_is_right_only_after_three_killed_rebuildings(killed: int, kills: int, allowed: bool) -> None:
    history = good()
    a_dead_letter(history, killed)
    history.kills_of_recovery = kills
    assert (not any(wrong.startswith("I5") for wrong in violations(history))) is allowed
