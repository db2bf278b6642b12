"""Where a run actor's messages wait for it: many senders, one reader.

Bounded by what can send: a run has at most one attempt per node and one timer per step, and its tools' log lines are limited
by rate. Commands from outside are few and idempotent. So sending never blocks and never fails.
"""

from collections import deque

import anyio

from runtime.run.messages import Message


class Mailbox:
    """A queue of messages; all methods are called in the event loop."""

    __slots__ = ("_arrived", "_is_awaited", "_messages")

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._arrived = anyio.Semaphore(0, fast_acquire=True)
        self._is_awaited = False

    @property
    def is_empty(self) -> bool:
        """Whether every message was taken."""
        return not self._messages

    def send(self, message: Message) -> None:
        """Put a message behind the others."""
        self._messages.append(message)
        if self._is_awaited:
            self._is_awaited = False
            self._arrived.release()

    def take(self) -> Message | None:
        """Return the next message, or None if there is none."""
        return self._messages.popleft() if self._messages else None

    async def wait(self) -> None:
        """Wait until there is a message."""
        if not self._messages:
            self._is_awaited = True
            await self._arrived.acquire()
