"""Where a run actor's messages wait for it: many senders, one reader.

Bounded by what can send: a run has at most one attempt per node and one timer per step, and its tools' log lines are limited
by rate and number. So sending these never blocks and never fails. Commands from outside are refused beyond `MAX_REQUESTS`.
"""

from collections import deque
from typing import Final

import anyio

from runtime.errors import Overloaded
from runtime.run.decision import Refused
from runtime.run.messages import Command, Message

MAX_REQUESTS: Final = 10_000
"""Commands that may wait for one run."""


class Request:
    """A command, and what came of it for whoever waits.

    Attributes:
        seq: Number of the newest record once the command was carried out or refused; None if nobody was there to do that.
        has_changed: Whether that led to any record.
        refused: Why it was not carried out.
        fault: What the actor failed of meanwhile, a fault of the engine.
    """

    __slots__ = ("_done", "fault", "has_changed", "message", "refused", "seq")

    def __init__(self, message: Command) -> None:
        self.message = message
        self.seq: int | None = None
        self.has_changed = False
        self.refused: Refused | None = None
        self.fault: Exception | None = None
        self._done = anyio.Event()

    def end(
        self,
        seq: int | None = None,
        *,
        has_changed: bool = False,
        refused: Refused | None = None,
        fault: Exception | None = None,
    ) -> None:
        """Tell whoever waits."""
        self.seq = seq
        self.has_changed = has_changed
        self.refused = refused
        self.fault = fault
        self._done.set()

    async def wait(self) -> None:
        """Wait until the actor has decided, or is gone."""
        await self._done.wait()


class Mailbox:
    """A queue of messages; all methods are called in the event loop. `requests` of them are commands."""

    __slots__ = ("_arrived", "_is_awaited", "_is_closed", "_messages", "requests")

    def __init__(self) -> None:
        self._messages: deque[Message | Request] = deque()
        self.requests = 0
        self._is_closed = False
        self._arrived = anyio.Semaphore(0, fast_acquire=True)
        self._is_awaited = False

    @property
    def is_empty(self) -> bool:
        """Whether every message was taken."""
        return not self._messages

    def send(self, message: Message | Request) -> None:
        """Put a message behind the others.

        Raises:
            Overloaded: It is a request, and there are too many already.
        """
        if isinstance(message, Request):
            if self.requests >= MAX_REQUESTS:
                raise Overloaded(f"The run has {self.requests:,} commands to carry out already.", retry_after_s=1)
            if self._is_closed:
                message.end()
            self.requests += 1
        self._messages.append(message)
        if self._is_awaited:
            self._is_awaited = False
            self._arrived.release()

    def close(self) -> None:
        """Let go of everybody who waits for an answer: the actor reads no more."""
        self._is_closed = True
        for message in self._messages:
            if isinstance(message, Request):
                message.end()

    def take(self) -> Message | Request | None:
        """Return the next message, or None if there is none."""
        message = self._messages.popleft() if self._messages else None
        if isinstance(message, Request):
            self.requests -= 1
        return message

    async def wait(self) -> None:
        """Wait until there is a message."""
        if not self._messages:
            self._is_awaited = True
            await self._arrived.acquire()
