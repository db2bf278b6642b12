"""The worker pools of an engine: one for each node of each graph that runs, made when first needed."""

from typing import Final

from anyio.abc import TaskGroup
from structlog.typing import FilteringBoundLogger

from runtime.actors.binding import BoundPlan
from runtime.actors.node_workers import NodeWorkers, Resting
from runtime.actors.processes import ToolProcesses
from runtime.actors.running import ToolRunner
from runtime.actors.tool_threads import ToolThreads
from runtime.settings import Settings

MAX_GRAPHS: Final = 1_000
"""Graphs whose workers are kept although nothing runs of them."""

_TRIED: Final = 4


class ToolHost:
    """Finds a node's workers. `tasks` is the group that all workers live in; it outlives every run.

    Attributes:
        abandoned: Attempts that were given up since the start.
        blocking: References of the tools that blocked the event loop; they are called in threads from then on.
    """

    def __init__(
        self, tasks: TaskGroup, settings: Settings, processes: ToolProcesses, log: FilteringBoundLogger
    ) -> None:
        self._tasks = tasks
        self._max_workers = settings.max_workers_per_node
        self._threads = ToolThreads(settings.tool_threads)
        self._cpu_threads = ToolThreads(settings.cpu_threads)
        self._resting = Resting(settings.max_idle_workers)
        self._pools: dict[str, list[NodeWorkers | None]] = {}
        self._retired: list[NodeWorkers] = []
        self._retired_rejections = 0
        self._max_abandoned = settings.max_abandoned
        self._has_told = False
        self._log = log
        self.abandoned = 0
        self.blocking: set[str] = set()
        self._processes = processes
        self._runner = ToolRunner(self._threads, processes, self.blocking, self._cpu_threads)

    def workers_of(self, bound: BoundPlan, node: int) -> NodeWorkers:
        """Return the pool of a node, shared by all runs of its graph."""
        plan = bound.plan
        pools = self._pools.get(plan.graph_id)
        if pools is None:
            self._make_room()
            pools = self._pools[plan.graph_id] = [None] * len(plan.nodes)
        pool = pools[node]
        if pool is None:
            pool = pools[node] = NodeWorkers(self._tasks, self._runner, self._resting, self._max_workers)
        return pool

    def forget(self, graph_id: str) -> None:
        """End the idle workers of a graph that no run follows any more."""
        for pool in self._pools.pop(graph_id, ()):
            if pool is not None:
                pool.close()
                self._retired.append(pool)
        ended = [pool for pool in self._retired if not pool.abandoned]
        self._retired_rejections += sum(pool.rejected for pool in ended)
        self._retired = [pool for pool in self._retired if pool.abandoned]

    def _make_room(self) -> None:
        """Forget graphs that nothing runs of, those first that were known first, so that there are not more and more."""
        for _ in range(min(_TRIED, len(self._pools) + 1 - MAX_GRAPHS)):
            oldest = next(iter(self._pools))
            if all(pool is None or pool.is_unused for pool in self._pools[oldest]):
                self.forget(oldest)
            else:
                self._pools[oldest] = self._pools.pop(oldest)  # it is looked at again when the others were

    @property
    def graphs(self) -> int:
        """Graphs that there are workers for."""
        return len(self._pools)

    @property
    def queued_calls(self) -> int:
        """Calls that wait for a worker."""
        return sum(pool.queued for pool in self._all_pools())

    @property
    def idle_workers(self) -> int:
        """Workers that wait for a call."""
        return len(self._resting)

    @property
    def busy_threads(self) -> int:
        """Threads that plain functions run in."""
        return self._threads.busy

    @property
    def busy_cpu_threads(self) -> int:
        """Threads that CPU-bound plain functions run in."""
        return self._cpu_threads.busy

    @property
    def busy_processes(self) -> int:
        """Processes that tools run in."""
        return self._processes.busy

    def note_abandoned(self) -> None:
        """Count an attempt that was given up, and tell the log once if too many of them go on."""
        self.abandoned += 1
        if not self.has_too_many_abandoned:
            self._has_told = False
        elif not self._has_told:
            self._has_told = True
            self._log.error("too_many_abandoned_attempts", running=self.abandoned_now, limit=self._max_abandoned)

    @property
    def abandoned_now(self) -> int:
        """Abandoned attempts whose tools still run."""
        in_threads = self._threads.abandoned + self._cpu_threads.abandoned
        return in_threads + sum(pool.abandoned for pool in self._all_pools())

    @property
    def has_too_many_abandoned(self) -> bool:
        """Whether more of them run than `max_abandoned`."""
        return self.abandoned_now > self._max_abandoned

    @property
    def rejected(self) -> int:
        """Results of abandoned attempts that came after all, and were not taken."""
        return self._retired_rejections + self._runner.rejected + sum(pool.rejected for pool in self._all_pools())

    def _all_pools(self) -> list[NodeWorkers]:
        return [pool for pools in self._pools.values() for pool in pools if pool is not None] + self._retired
