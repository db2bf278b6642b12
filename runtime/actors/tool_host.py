"""The worker pools of an engine: one for each node of each graph that runs, made when first needed."""

import anyio
from anyio.abc import TaskGroup

from runtime.actors.binding import BoundPlan
from runtime.actors.node_workers import NodeWorkers, Resting
from runtime.settings import Settings


class ToolHost:
    """Finds a node's workers. `tasks` is the group that all workers live in; it outlives every run."""

    def __init__(self, tasks: TaskGroup, settings: Settings) -> None:
        self._tasks = tasks
        self._max_workers = settings.max_workers_per_node
        self._threads = anyio.CapacityLimiter(settings.tool_threads)
        self._resting = Resting(settings.max_idle_workers)
        self._pools: dict[str, list[NodeWorkers | None]] = {}
        self._retired_rejections = 0
        self.abandoned = 0

    def workers_of(self, bound: BoundPlan, node: int) -> NodeWorkers:
        """Return the pool of a node, shared by all runs of its graph."""
        plan = bound.plan
        pools = self._pools.get(plan.graph_id)
        if pools is None:
            pools = self._pools[plan.graph_id] = [None] * len(plan.nodes)
        pool = pools[node]
        if pool is None:
            pool = pools[node] = NodeWorkers(self._tasks, self._threads, self._resting, self._max_workers)
        return pool

    def forget(self, graph_id: str) -> None:
        """End the idle workers of a graph that no run follows any more."""
        for pool in self._pools.pop(graph_id, ()):
            if pool is not None:
                pool.close()
                self._retired_rejections += pool.rejected

    @property
    def rejected(self) -> int:
        """Results of abandoned attempts that came after all, and were not taken."""
        pools = [pool for pools in self._pools.values() for pool in pools if pool is not None]
        return self._retired_rejections + sum(pool.rejected for pool in pools)
