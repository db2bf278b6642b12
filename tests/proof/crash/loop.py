"""A series: load, kill, start again, so many times; then let everything end, and look."""

import asyncio
import random
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from runtime.testing.fault_points import POINTS
from tests.proof.crash.checks import violations, was_put_aside_by_rule
from tests.proof.crash.client import Load, Refused, Target
from tests.proof.crash.history import FINAL, History, read_file, read_ledger, read_runs, unfinished_runs, verify
from tests.proof.crash.processes import Fleet, ServerFailed, ServerProcess
from tests.proof.crash.record import ClientRecord, read_record

PATIENCE_S: Final = 30.0
"""How long everything may take to end once the load has stopped."""

Lives = tuple[float, float]
"""How long a server lives under load, in seconds: at least, at most."""

LIVES: Final[Lives] = (0.1, 2.0)

TOOLS: Final = Path(__file__).with_name("crash_tools.py")
AT_START: Final = frozenset({"recovery_announced", "run_folding", "recovery_rebuilt"})
"""Points that a server passes when it starts: the load does not have to wait for them."""


@dataclass(slots=True)
class Report:
    """What a series came to."""

    seed: str
    kills: int = 0
    points: Counter[str] = field(default_factory=Counter)
    submitted: int = 0
    acked: int = 0
    replayed: int = 0
    unanswered: int = 0
    put_aside: int = 0
    ended: int = 0
    records: int = 0
    effects: int = 0
    watched: int = 0
    restarts_s: list[float] = field(default_factory=list)
    quiet_s: float = 0.0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    @property
    def kills_of_recovery(self) -> int:
        """Kills at points of the recovery, and those at moments by chance."""
        return self.kills - sum(times for point, times in self.points.items() if point not in AT_START)

    @property
    def line(self) -> str:
        """The series in one line."""
        slowest = max(self.restarts_s, default=0.0)
        verdict = f"{len(self.violations)} VIOLATIONS" if self.violations else "all invariants hold"
        return (
            f"{self.seed}: {self.kills} kills ({sum(self.points.values())} at {len(self.points)} points), "
            f"{self.submitted:,} runs submitted, {self.acked:,} acked ({self.replayed:,} replays), {self.ended:,} ended"
            f"{f' ({self.put_aside} put aside)' if self.put_aside else ''}, "
            f"{self.unanswered:,} requests resent, {self.records:,} records and {self.effects:,} effects checked, "
            f"{self.watched} watchers, slowest restart {slowest:.2f} s, quiet after {self.quiet_s:.1f} s, "
            f"{self.seconds:.0f} s: {verdict}"
        )

    def as_json(self) -> dict[str, Any]:
        """The series for the summary."""
        return {**asdict(self), "points": dict(self.points)}


@dataclass(frozen=True, slots=True)
class Death:
    """How a server is to die: after `life_s` of load, or before that where `fault` strikes."""

    life_s: float
    fault: str = ""

    @property
    def point(self) -> str:
        return self.fault.partition(":")[0]


UNUSED: Final = frozenset({"before_retention_commit"})
"""Points that these servers never pass: they keep every run."""

FIRST: Final = "before_migration_commit"
"""A point that only the first server on a folder passes."""


def plan(chance: random.Random, kills: int, lives: Lives = LIVES) -> list[Death]:
    """Return the deaths of a series: each named point once if there are kills enough, at moments by chance otherwise."""
    points = [point for point in POINTS if point not in UNUSED | {FIRST}]
    chance.shuffle(points)
    deaths = [
        Death(
            lives[1], f"{point}:{chance.randint(1, 3) if point in AT_START else int(10 ** chance.uniform(0, 2))}:kill"
        )
        for point in points[: kills - 1]
    ]
    deaths += [Death(chance.uniform(*lives)) for _ in range(kills - 1 - len(deaths))]
    chance.shuffle(deaths)
    return [Death(lives[1], f"{FIRST}:{chance.randint(1, 2)}:kill"), *deaths]


class Series:
    """One series in a folder of its own; its data stays there if anything is wrong."""

    def __init__(self, folder: Path, seed: str, kills: int, *, rate: float, lives: Lives = LIVES) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._data = folder / "data"
        self._ledger = folder / "ledger"
        self._target = Target()
        self._rate = rate
        self._lives = lives
        self._kills = kills
        self._began = time.monotonic()
        self._report = Report(seed)
        arguments = ["--port", "0", "--data-dir", str(self._data), "--tools", str(TOOLS)]
        arguments += ["--log-format", "json", "--log-level", "error"]
        self._fleet = Fleet(folder, arguments, {"CRASH_LEDGER": str(self._ledger)}, servers=kills + 1)

    async def run(self) -> Report:
        """Kill all servers but the last one, then check; what is wrong is in the report."""
        report = self._report
        try:
            with ClientRecord(self._folder / "client.jsonl") as record:
                load = Load(self._target, record, report.seed, self._rate)
                history = await self._killed(load, plan(random.Random(report.seed), self._kills, self._lives))
            report.violations += violations(history)
            self._count(load, history)
        except (ServerFailed, Refused) as failure:
            report.violations.append(str(failure))
        except ExceptionGroup as group:
            report.violations += [repr(failure) for failure in group.exceptions]
        finally:
            await self._target.moved(None)
            await self._fleet.close()
        report.seconds = round(time.monotonic() - self._began, 1)
        if not report.violations:
            shutil.rmtree(self._folder)
        return report

    async def _killed(self, load: Load, deaths: list[Death]) -> History:
        """Go through all deaths under load, let everything end, and return what there is to know."""
        asking = asyncio.create_task(load.run())
        try:
            for death in deaths:
                await self._live_and_die(death)
                if asking.done():
                    await asking  # it must not end before it is told to: raises what went wrong
            server = self._fleet.next([])
            await self._reached(server)
            load.stop()
            unfinished = await self._quiet(asking, server)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        return await self._history(load, server, unfinished)

    async def _live_and_die(self, death: Death) -> None:
        server = self._fleet.next([death.fault] if death.fault else [])
        if await self._reached(server):
            await server.ended(death.life_s)
        if server.code is not None:
            server.require_killed()
            self._report.points[death.point] += 1
        await server.kill()
        await self._target.moved(None)
        self._report.kills += 1

    async def _reached(self, server: ServerProcess) -> bool:
        """Tell the clients where the server is; return False if its fault struck before it listened."""
        began = time.monotonic()
        url = await server.url()
        if url is None:
            return False
        self._report.restarts_s.append(round(time.monotonic() - began, 3))
        await self._target.moved(url)
        return True

    async def _quiet(self, asking: asyncio.Task[None], server: ServerProcess) -> list[str]:
        """Wait until every conversation is over and every run has ended; return those that have not, when patience is over."""
        began = time.monotonic()
        await asyncio.wait([asking], timeout=PATIENCE_S)
        if asking.done():
            await asking
        http = await self._target.client()
        while (unfinished := await unfinished_runs(http)) or not asking.done():
            if time.monotonic() > began + PATIENCE_S:
                server.dump_stacks()
                await asyncio.sleep(0.5)
                break
            await asyncio.sleep(0.05)
        self._report.quiet_s = round(time.monotonic() - began, 2)
        return unfinished

    async def _history(self, load: Load, server: ServerProcess, unfinished: list[str]) -> History:
        runs = await read_runs(await self._target.client())
        await self._target.moved(None)
        code = await server.stop()
        if code != 0:
            raise ServerFailed(f"The server stopped with {code}: {server.err[-4000:]}")
        history = History(
            asked=read_record(self._folder / "client.jsonl"),
            runs=runs,
            watchers=load.watchers,
            effects=read_ledger(self._ledger),
            kills=self._report.kills,
            kills_of_recovery=self._report.kills_of_recovery,
            unfinished=unfinished,
            verified=await asyncio.to_thread(verify, self._data),
        )
        history.stored, history.integrity = read_file(self._data / "workflow.db", runs)
        return history

    def _count(self, load: Load, history: History) -> None:
        report = self._report
        report.submitted, report.unanswered = load.submitted, load.unanswered
        report.acked = sum(bool(asked.run_ids) for asked in history.asked.values())
        report.replayed = sum(
            asked.acked["submit"].is_replay for asked in history.asked.values() if "submit" in asked.acked
        )
        report.ended = sum(run.status in FINAL for run in history.runs.values())
        report.put_aside = sum(map(was_put_aside_by_rule, history.runs.values()))
        report.records, report.effects = history.records, len(history.effects)
        report.watched = len(load.watchers)
