"""The wire models of simulations; see `schemas.py` for what they are for."""

from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, model_validator

from runtime.run.records import RunStatus
from runtime.simulation import SimulationScenario

_DEFINITION: Final[dict[str, Any]] = {
    "name": "two_ways_at_once",
    "nodes": [
        {"name": "start", "type": "conditional"},
        {"name": "left", "tool": "echo", "config": {"message": "left"}},
        {"name": "right", "tool": "echo", "config": {"message": "right"}},
        {"name": "meet", "type": "conditional"},
    ],
    "edges": [
        {"from_node": "start", "to_node": "left"},
        {"from_node": "start", "to_node": "right"},
        {"from_node": "left", "to_node": "meet"},
        {"from_node": "right", "to_node": "meet"},
    ],
    "entry_point": "start",
}


class SimulateRequest(SimulationScenario):
    """A graph, written out or by the id of a stored one, and what happens to its runs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "graph": _DEFINITION,
                    "initial_state": {},
                    "seeds": 100,
                    "mocks": [
                        {"node": "left", "value": {"side": "left"}, "duration_s": [0.5, 1.5]},
                        {"node": "right", "value": {"side": "right"}, "fail": {"code": "DOWN"}, "fail_chance": 0.5},
                    ],
                }
            ]
        }
    )
    graph: dict[str, Any] | None = None
    graph_id: str | None = None

    @model_validator(mode="after")
    def _names_one_graph(self) -> Self:
        if (self.graph is None) is (self.graph_id is None):
            raise ValueError("give either 'graph', a definition, or 'graph_id', the id of a stored one")
        return self


class EndLine(BaseModel):
    """A way in which `count` of the runs ended, those of `seeds` among them; `code` is that of the run's error."""

    status: RunStatus
    code: str | None
    count: int
    seeds: list[int]


class FindingLine(BaseModel):
    """Something that happened at a node in `count` of the runs, those of `seeds` among them."""

    node: str
    count: int
    seeds: list[int]


class ConflictLine(FindingLine):
    """A key to which both `writers` gave different values, noticed by `node`, where their branches met."""

    key: str
    writers: list[str]


class SpreadLine(BaseModel):
    """Virtual seconds that the runs took."""

    min: float
    median: float
    max: float


class SimulationAnswer(BaseModel):
    """What the runs came to. `status`, `final_state` and `records` are those of the first seed.

    `seeds` runs were simulated to their end. If that are fewer than were asked for, `complete` is false, and `stopped_by` says
    what kept the others from it.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "seeds": 100,
                    "complete": True,
                    "stopped_by": None,
                    "ends": [
                        {"status": "failed", "code": "STATE_CONFLICT", "count": 85, "seeds": [0, 1, 2, 3, 4]},
                        {"status": "failed", "code": "DOWN", "count": 15, "seeds": [19, 26, 41, 45, 46]},
                    ],
                    "final_states": {"failed": 2},
                    "unstable_keys": [],
                    "dead_nodes": ["meet"],
                    "skipped_sometimes": [],
                    "conflicts": [
                        {
                            "key": "side",
                            "writers": ["left", "right"],
                            "node": "meet",
                            "count": 85,
                            "seeds": [0, 1, 2, 3, 4],
                        }
                    ],
                    "exhausted_loops": [],
                    "unmatched_routes": [],
                    "unused_mocks": [],
                    "virtual_s": {"min": 0.501764, "median": 1.049263, "max": 2.337098},
                    "status": "failed",
                    "final_state": {"side": "right"},
                    "records": [
                        {
                            "seq": 1,
                            "timestamp": "2030-01-01T00:00:00Z",
                            "level": "info",
                            "event": "run_submitted",
                            "run_id": "run-simulated-0",
                        }
                    ],
                }
            ]
        },
    )
    seeds: int
    complete: bool
    stopped_by: str | None
    ends: list[EndLine]
    final_states: dict[str, int]
    unstable_keys: list[str]
    dead_nodes: list[str]
    skipped_sometimes: list[FindingLine]
    conflicts: list[ConflictLine]
    exhausted_loops: list[FindingLine]
    unmatched_routes: list[FindingLine]
    unused_mocks: list[int]
    virtual_s: SpreadLine | None
    status: RunStatus
    final_state: dict[str, Any] | None
    records: list[dict[str, Any]]
