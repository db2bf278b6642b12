"""Tools for tests of the engine: a source that knows a few, and never calls one."""

from collections.abc import Collection

from tools.contract import Tool, tool


@tool(effect="pure")
def work(state: dict[str, object]) -> None:
    """Do whatever the test's script says."""


@tool(name="threshold", version="1.2", effect="pure", writes=["flagged"])
def threshold(state: dict[str, object], limit: int, label: str = "") -> None:
    """Take a config of two typed keys."""


@tool(effect="pure", writes=["count", "flagged"])
def tally(state: dict[str, object]) -> None:
    """Write the keys `count` and `flagged`."""


class FakeTools:
    """A `ToolSource` of `work`, `threshold` and `tally`, each with and without its version."""

    def __init__(self, *further: Tool) -> None:
        self._tools = {known.name: known for known in (work, threshold, tally, *further)}

    def find(self, reference: str) -> Tool | None:
        name, _, version = reference.partition("@")
        known = self._tools.get(name)
        return known if known is not None and version in ("", known.version) else None

    def names(self) -> Collection[str]:
        return self._tools.keys()
