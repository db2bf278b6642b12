"""Short ways to say what tests of a whole engine do again and again."""

from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

from runtime import Engine, LogRecord
from tests.support.graphs import Source, graph, node


async def stored(engine: Engine, nodes: list[Source], *edges: str | Source, **keys: Any) -> str:
    """Store a graph and return its id."""
    listed: list[str | Source] = [*nodes]
    return (await engine.create_graph(graph(listed, *edges, **keys))).graph_id


def named(name: str, scripted_keys: Source) -> Source:
    """Return a node of that name with the keys that `scripted` made."""
    return node(name, **scripted_keys)


async def events(engine: Engine, run_id: str) -> list[str]:
    """Return the event names of a run's log."""
    return [record.event for record in await engine.log(run_id)]


async def of(engine: Engine, run_id: str, event: str) -> list[Any]:
    """Return the records of that event."""
    return [record.data for record in await engine.log(run_id) if record.event == event]


async def followed(engine: Engine, run_id: str, after: int = 0) -> list[LogRecord]:
    """Subscribe until the run has ended, and return what came."""
    return [record async for record in engine.subscribe(run_id, after=after)]


async def until(engine: Engine, run_id: str, event: str) -> None:
    """Wait until the run's log has a record of that event."""
    async with aclosing(engine.subscribe(run_id)) as records:
        async for record in records:
            if record.event == event:
                return


def completed_steps(records: Iterable[LogRecord]) -> Counter[tuple[str, int]]:
    """Return how often each (node, iteration) completed."""
    return Counter(
        (record.data["node"], record.data["iteration"]) for record in records if record.event == "step_completed"
    )


def assert_whole(records: list[LogRecord], after: int = 0) -> None:
    """Check that the records are numbered on from `after`, without gaps, and nothing follows the end."""
    assert [record.seq for record in records] == list(range(after + 1, after + 1 + len(records)))
    assert [record.data["seq"] for record in records] == [record.seq for record in records]
