"""The moment the server begins to stop, for those who wait long: they end then, instead of holding the server up."""

from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CancelScope


class Shutdown:
    """Begun once, by whoever runs the server; waits that must not outlive it register their scopes."""

    def __init__(self) -> None:
        self.has_begun = False
        self._scopes: set[CancelScope] = set()

    def begin(self) -> None:
        """Cancel every registered wait, now and from now on. Idempotent."""
        self.has_begun = True
        for scope in tuple(self._scopes):
            scope.cancel()

    @contextmanager
    def ends(self, scope: CancelScope) -> Iterator[None]:
        """Cancel `scope` when the shutdown begins, as long as the block is not left."""
        if self.has_begun:
            scope.cancel()
        self._scopes.add(scope)
        try:
            yield
        finally:
            self._scopes.discard(scope)
