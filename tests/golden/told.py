"""What a journal tells about its runs, read without an engine, and how the unfinished ones among them go on."""

import hashlib
import random
import shutil
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import msgspec

from runtime import Engine, Settings, open_engine
from runtime.actors.binding import bind
from runtime.clock import Clock
from runtime.graph.definition import GraphDefinition
from runtime.graph.plan import Plan, compile_plan, references
from runtime.journal import Journal, RunFilter, RunRow, SqliteJournal
from runtime.journal.base import check_chain
from runtime.run.apply import apply
from runtime.run.model import Frame, Run, new_run
from runtime.run.records import AnyRecord, RunStatus, RunSubmitted, decode_record, encode_json
from runtime.testing import ScriptedTools
from tests.golden.scenarios import Scenario

GATES: Final = ("gate", "missed", "poison")
Json = dict[str, Any]


def journal_files(folder: Path) -> list[Path]:
    """Return the files that a journal consists of."""
    return sorted(folder.glob("workflow.db*"))


def digest(folder: Path) -> str:
    """Return the SHA-256 of a journal's files, one behind the other."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in journal_files(folder))).hexdigest()


def copied(folder: Path, target: Path) -> Path:
    """Copy a journal, and return the path of the copy."""
    target.mkdir(exist_ok=True)
    for path in journal_files(folder):
        shutil.copyfile(path, target / path.name)
    return target / "workflow.db"


class InlineJournal(SqliteJournal):
    """A SQLite journal without threads, so that virtual time stands still while it works."""

    blocks = False


def all_rows(journal: Journal) -> list[RunRow]:
    """Return the rows of all runs, the oldest first."""
    found = journal.runs(RunFilter(limit=10_000))[::-1]
    return [row for line in found if (row := journal.run(line.run_id)) is not None]


def lines_of(journal: Journal, row: RunRow) -> list[bytes]:
    """Return the records of a run, encoded.

    Raises:
        JournalDamaged: They do not fit their chain.
    """
    entries = journal.entries(row.number, after=0, limit=1_000_000)
    check_chain(row.run_id, entries)
    return [line for entry in entries for line in entry.lines]


def plan_of(journal: Journal, graph_id: str) -> tuple[GraphDefinition, Plan]:
    """Return a stored graph, compiled."""
    graph = journal.graph(graph_id, deleted=True)
    assert graph is not None
    source = msgspec.json.decode(graph.definition)
    inside = {wanted: plan_of(journal, wanted) for wanted in references(source)}
    definition = GraphDefinition.model_validate(source)
    return definition, compile_plan(definition, graph_id, graphs=inside.__getitem__)


def folded(journal: Journal, row: RunRow, records: list[AnyRecord]) -> Run:
    """Return the run that its records give."""
    submitted = records[0]
    assert isinstance(submitted, RunSubmitted)
    bound, missing = bind(plan_of(journal, row.graph_id)[1], ScriptedTools(), submitted.tools)
    assert not missing
    run = new_run(bound.plan, row.run_id, bound.policies)
    for record in records:
        apply(run, record)
    return run


def told(journal: Journal, row: RunRow) -> Json:
    """Return what a journal says about a run: its row, its records, and what folding them gives."""
    lines = lines_of(journal, row)
    run = folded(journal, row, [decode_record(line) for line in lines])
    state = encode_json(run.state.newest(run.plan.index_of))
    active = sorted(_active(frame) for frame in (run, *run.inside()))
    return {
        "row": {"status": row.status, "error": row.error, "final_state": (row.final_state or b"").decode()},
        "records": len(lines),
        "digest": hashlib.sha256(b"\n".join(lines)).hexdigest(),
        "status": run.word.value,
        "state": state.decode(),
        "active": [step for steps in active for step in steps],
        "signals": [signal.name for signal in run.signals],
    }


def _active(frame: Frame) -> list[str]:
    place = f"{frame.path}/" if frame.path else ""
    return sorted(
        f"{place}{frame.plan.nodes[node].name}#{step.iteration} attempt {step.attempt}"
        for node, step in frame.active.items()
    )


def quiet(**keys: Any) -> Settings:
    return Settings(log_format="none", close_grace_s=0.05, **keys)


def open_tools() -> ScriptedTools:
    """Return tools that hold nobody up."""
    tools = ScriptedTools()
    for name in GATES:
        tools.gate(name).open()
    return tools


async def until_status(engine: Engine, run_id: str, *wanted: str) -> None:
    """Wait until the run has one of these statuses."""
    async with aclosing(engine.subscribe_batches(run_id)) as batches:
        async for _ in batches:
            if (await engine.state(run_id)).status in wanted:
                return
    raise AssertionError(f"{run_id} ended and never was {' or '.join(wanted)}")


async def provide(engine: Engine, run_id: str, scenario: Scenario) -> None:
    """Send the signals and answers that the run waits for, each once the run waits."""
    for name, data in scenario.signals.items():
        await until_status(engine, run_id, "waiting")
        await engine.signal(run_id, name, data, signal_id=f"id-{name}")
    for question, answer in scenario.answers.items():
        await until_status(engine, run_id, "waiting")
        await engine.answer(run_id, question, answer, by="somebody")


async def ends(path: Path, clock: Clock, unfinished: Mapping[str, Scenario]) -> dict[str, Json]:
    """Let an engine go on with the unfinished runs of a journal, given by their ids, and return how each of them ends."""
    found = {}
    async with open_engine(
        quiet(), open_tools(), clock=clock, journal=InlineJournal(path), chance=random.Random(1)
    ) as engine:
        for run_id, scenario in unfinished.items():
            if (await engine.state(run_id)).status == RunStatus.PAUSED.value:
                await engine.resume(run_id)
            await provide(engine, run_id, scenario)
            view = await engine.wait(run_id)
            found[run_id] = {"status": view.status, "state": view.state, "error": view.error}
    return found
