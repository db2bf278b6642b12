"""The client outside: submits runs, talks to them, watches some, and goes on asking through every death of the server.

Nothing it asks is given up: what was not answered is asked again with the same idempotency key, signal id or command, until the
answer comes. Watchers reconnect behind the last record they have seen.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import msgspec
import websockets

from tests.proof.crash.programs import PROGRAMS, Program, draw
from tests.proof.crash.record import ClientRecord, Line, Verb, problem_code

PAUSE_S: Final = 0.02
ANSWER_S: Final = 20.0
WATCHERS: Final = 50


class Refused(Exception):
    """The server answered what it must not answer."""


@dataclass(slots=True)
class Watcher:
    """Somebody who watches a run: every record as it came, over all connections.

    Attributes:
        seen: Number and bytes of each record.
        has_ended: Whether `complete` came.
        connections: How often it connected.
    """

    run_id: str
    seen: list[tuple[int, bytes]] = field(default_factory=list)
    has_ended: bool = False
    connections: int = 0


class _Message(msgspec.Struct):
    type: str
    data: msgspec.Raw


class _Numbered(msgspec.Struct):
    seq: int


class Target:
    """Where the server is just now."""

    def __init__(self) -> None:
        self._http: httpx2.AsyncClient | None = None
        self._up = asyncio.Event()
        self.url = ""

    async def moved(self, url: str | None) -> None:
        """Hear that the server listens there; None: it does not."""
        old, self._http = self._http, None
        self._up.clear()
        if url is not None:
            self.url = url
            self._http = httpx2.AsyncClient(base_url=url, timeout=ANSWER_S, limits=httpx2.Limits(max_connections=64))
            self._up.set()
        if old is not None:
            await old.aclose()

    async def client(self) -> httpx2.AsyncClient:
        """Return a client for the server that is up, or is up next."""
        while self._http is None:
            await self._up.wait()
        return self._http


class Load:
    """All clients of one series.

    Attributes:
        watchers: Everybody who watched.
        unanswered: Requests that got no answer and were sent again.
        mismatches: Submissions under a used key with another body, all refused.
    """

    def __init__(self, target: Target, record: ClientRecord, seed: str, rate: float) -> None:
        self.watchers: list[Watcher] = []
        self.unanswered = 0
        self.mismatches = 0
        self.submitted = 0
        self._target = target
        self._record = record
        self._seed = seed
        self._rate = rate
        self._graphs: dict[str, str] = {}
        self._watching = 0
        self._stopped = asyncio.Event()

    async def _create_graphs(self) -> None:
        for program in PROGRAMS:
            _, body, _ = await self._ask("POST", "/api/graph/create", {"graph": program.definition})
            self._graphs[program.name] = body["graph_id"]

    def stop(self) -> None:
        """Begin no further run; conversations that have begun go on to their end."""
        self._stopped.set()

    async def run(self) -> None:
        """Submit at the given rate until `stop`, then return when every conversation is over."""
        chance = random.Random(self._seed)
        await self._create_graphs()
        async with asyncio.TaskGroup() as conversations:
            while not self._stopped.is_set():
                await self._target.client()  # what would pile up while there is no server says nothing about it
                program, n = draw(chance)
                self.submitted += 1
                key = f"{self._seed}-{self.submitted}"
                conversations.create_task(self._converse(conversations, key, program, n))
                try:
                    async with asyncio.timeout(chance.expovariate(self._rate)):
                        await self._stopped.wait()
                except TimeoutError:
                    pass

    # --- one run ------------------------------------------------------------------------------------------------------

    async def _converse(self, tasks: asyncio.TaskGroup, key: str, program: Program, n: int) -> None:
        chance = random.Random(key)
        body = {"graph_id": self._graphs[program.name], "initial_state": program.initial(n)}
        await self._record.write(Line("submit", key, program.name, n))
        again = 2 if chance.random() < 0.1 else 1
        run_id = (await asyncio.gather(*(self._submit(key, body, program, n) for _ in range(again))))[0]
        if self._watching < WATCHERS and chance.random() < 0.3:
            tasks.create_task(self._watch(run_id))
        if chance.random() < 0.05:
            await self._submit_other(key, body)
        match program.talk:
            case "signal":
                await asyncio.sleep(chance.uniform(0, 0.2))
                await self._tell(key, run_id, "signal", {"name": "go", "data": n, "id": f"{key}-go"})
            case "answer":
                await self._tell(key, run_id, "answer", {"approval": "ask#1", "answer": n})
            case "cancel" | "cancel_soon":
                await asyncio.sleep(chance.uniform(0, 0.15))
                await self._tell(key, run_id, "cancel")
            case "pause":
                await self._tell(key, run_id, "pause")
                await asyncio.sleep(chance.uniform(0, 0.3))
                await self._tell(key, run_id, "resume")

    async def _submit(self, key: str, body: dict[str, Any], program: Program, n: int) -> str:
        status, answer, headers = await self._ask("POST", "/api/graph/run-async", body, {"Idempotency-Key": key})
        if status != 200:
            raise Refused(f"Submission {key} of {program.name!r} was answered {status}: {answer}")
        run_id = str(answer["run_id"])
        is_replay = headers.get("idempotent-replay") == "true"
        await self._record.write(Line("submit", key, program.name, n, status, "", run_id, is_replay))
        return run_id

    async def _submit_other(self, key: str, body: dict[str, Any]) -> None:
        other = {**body, "initial_state": {**body["initial_state"], "other": True}}
        status, answer, _ = await self._ask("POST", "/api/graph/run-async", other, {"Idempotency-Key": key})
        if (status, problem_code(answer)) != (422, "IDEMPOTENCY_MISMATCH"):
            raise Refused(f"Another body under the used key {key} was answered {status}: {answer}")
        self.mismatches += 1

    async def _tell(self, key: str, run_id: str, verb: Verb, body: dict[str, Any] | None = None) -> None:
        await self._record.write(Line(verb, key))
        while True:
            status, answer, _ = await self._ask("POST", f"/api/runs/{run_id}/{verb}", body)
            code = problem_code(answer)
            if code != "UNKNOWN_APPROVAL":  # the run has not come to its question yet
                break
            await asyncio.sleep(PAUSE_S)
        if status != 200 and code not in ("RUN_FINISHED", "ALREADY_ANSWERED"):
            raise Refused(f"{verb} of run {run_id} was answered {status}: {answer}")
        await self._record.write(Line(verb, key, status=status, code=code))

    async def _ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, httpx2.Headers]:
        """Ask until there is an answer that is one, however many servers that takes."""
        while True:
            client = await self._target.client()
            try:
                response = await client.request(method, path, json=body, headers=headers)
            except (httpx2.HTTPError, RuntimeError, OSError):  # RuntimeError: the client was closed meanwhile
                self.unanswered += 1
            else:
                if response.status_code != 503:
                    return response.status_code, response.json(), response.headers
            await asyncio.sleep(PAUSE_S)

    # --- watching -----------------------------------------------------------------------------------------------------

    async def _watch(self, run_id: str) -> None:
        watcher = Watcher(run_id)
        self.watchers.append(watcher)
        self._watching += 1
        while not watcher.has_ended:
            await self._target.client()
            watcher.connections += 1
            after = watcher.seen[-1][0] if watcher.seen else 0
            url = f"{self._target.url.replace('http:', 'ws:')}/ws/monitor/{run_id}?after={after}"
            try:
                async with websockets.connect(url, compression=None, max_queue=None, proxy=None) as socket:
                    async for message in socket:
                        _take(watcher, message)
            except (OSError, websockets.WebSocketException, TimeoutError):
                pass
            if not watcher.has_ended:
                await asyncio.sleep(PAUSE_S)
        self._watching -= 1


def _take(watcher: Watcher, text: str | bytes) -> None:
    message = msgspec.json.decode(text, type=_Message)
    if message.type == "log":
        data = bytes(message.data)
        watcher.seen.append((msgspec.json.decode(data, type=_Numbered).seq, data))
    elif message.type == "complete":
        watcher.has_ended = True
