"""The wire models: the shape and an example of every body and answer, for OpenAPI and for checking what clients send.

Answers are not built from them: routes join bytes that the engine has encoded already. The tests check real answers
against these models, so that the two cannot drift apart.
"""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from runtime.graph.definition import GraphDefinition
from runtime.run.records import RunStatus

_GRAPH_ID: Final = "graph-3c1a5f4f79caff0711b4"
_RUN_ID: Final = "run-6578e423fbb4443db31ee6da89ce7c75"

InitialState = Annotated[dict[str, Any], BeforeValidator(lambda state: {} if state is None else state)]
"""The state a run begins with; `null` is an empty one."""

_TIME: Final = "2026-01-31T12:00:00.000000Z"
_DEFINITION: Final[dict[str, Any]] = {
    "name": "hello",
    "description": "One node that answers at once.",
    "nodes": [{"name": "greet", "type": "standard", "tool": "echo", "config": {"message": "Hello"}}],
    "edges": [],
    "entry_point": "greet",
}
_RECORD: Final[dict[str, Any]] = {
    "seq": 1,
    "timestamp": _TIME,
    "level": "info",
    "event": "run_submitted",
    "run_id": _RUN_ID,
}
_ACCEPTED: Final = {"run_id": _RUN_ID, "status": "pending", "message": "The run is accepted and durable."}


def _example(**members: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [members]})


class CreateGraphRequest(BaseModel):
    """A graph definition in an envelope; the bare definition is accepted too."""

    model_config = _example(graph=_DEFINITION)
    graph: dict[str, Any]


class RunRequest(BaseModel):
    """Which graph to run, and the state it starts with."""

    model_config = _example(graph_id=_GRAPH_ID, initial_state={"name": "Ada"})
    graph_id: str
    initial_state: InitialState = Field(default_factory=dict)


class ExecuteRequest(BaseModel):
    """First message of a client on `/ws/execute/{graph_id}`."""

    model_config = _example(initial_state={"name": "Ada"})
    initial_state: InitialState = Field(default_factory=dict)


class ProblemPlace(BaseModel):
    """One thing that is wrong, and where: `pointer` is a JSON pointer into the body, or `/query/<name>`."""

    pointer: str
    detail: str
    type: str


class ProblemDocument(BaseModel):
    """Every error (RFC 9457). `code` is a stable word; ids that the error is about, such as `run_id`, stand beside it."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "title": "Invalid graph",
                    "status": 422,
                    "detail": "The graph has 1 error.",
                    "code": "INVALID_GRAPH",
                    "errors": [
                        {
                            "pointer": "/graph/nodes/0/tool",
                            "detail": "There is no tool 'ehco'. Did you mean 'echo'?",
                            "type": "unknown_tool",
                        }
                    ],
                }
            ]
        },
    )
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemPlace] = Field(default_factory=list)


class GraphCreatedAnswer(BaseModel):
    """The same definition always gets the same id and version."""

    model_config = _example(graph_id=_GRAPH_ID, message="Graph 'hello' is stored.", version="9f86d081…", warnings=[])
    graph_id: str
    message: str
    version: str
    warnings: list[ProblemPlace]


class GraphLine(BaseModel):
    """A graph in a list; `nodes` is their number."""

    model_config = _example(graph_id=_GRAPH_ID, name="hello", description="…", nodes=1, entry_point="greet")
    graph_id: str
    name: str
    description: str
    nodes: int
    entry_point: str


class GraphsAnswer(BaseModel):
    """A page of graphs, newest first."""

    model_config = _example(
        graphs=[{"graph_id": _GRAPH_ID, "name": "hello", "description": "…", "nodes": 1, "entry_point": "greet"}],
        next_cursor=None,
    )
    graphs: list[GraphLine]
    next_cursor: str | None


class GraphAnswer(GraphDefinition):
    """The whole definition and what the server added to it."""

    model_config = _example(**_DEFINITION, graph_id=_GRAPH_ID, version="9f86d081…", created_at=_TIME)
    graph_id: str
    version: str
    created_at: datetime = Field(strict=False)  # in JSON it is text


class MessageAnswer(BaseModel):
    """A sentence for the person."""

    model_config = _example(message=f"Graph '{_GRAPH_ID}' is deleted.")
    message: str


class RunAnswer(BaseModel):
    """A run that has ended, whatever way."""

    model_config = _example(
        run_id=_RUN_ID,
        final_state={"name": "Ada"},
        execution_log=[_RECORD],
        status="completed",
        message="The run completed.",
    )
    run_id: str
    final_state: dict[str, Any]
    execution_log: list[dict[str, Any]]
    status: RunStatus
    message: str


class RunAcceptedAnswer(BaseModel):
    """A run whose acceptance is durable."""

    model_config = _example(**_ACCEPTED)
    run_id: str
    status: RunStatus
    message: str


class RunStateAnswer(BaseModel):
    """A run as far as it is committed: `execution_log` holds exactly the records that `current_state` takes in."""

    model_config = _example(
        run_id=_RUN_ID,
        graph_id=_GRAPH_ID,
        current_state={"name": "Ada"},
        status="running",
        execution_log=[_RECORD],
    )
    run_id: str
    graph_id: str
    current_state: dict[str, Any]
    status: RunStatus
    execution_log: list[dict[str, Any]]


class RunLine(BaseModel):
    """A run in a list."""

    model_config = _example(
        run_id=_RUN_ID, graph_id=_GRAPH_ID, status="completed", started_at=_TIME, completed_at=_TIME
    )
    run_id: str
    graph_id: str
    status: RunStatus
    started_at: datetime | None
    completed_at: datetime | None


class RunsAnswer(BaseModel):
    """A page of runs, newest first."""

    model_config = _example(
        runs=[
            {
                "run_id": _RUN_ID,
                "graph_id": _GRAPH_ID,
                "status": "completed",
                "started_at": _TIME,
                "completed_at": _TIME,
            }
        ],
        next_cursor=None,
    )
    runs: list[RunLine]
    next_cursor: str | None


class CancelAnswer(BaseModel):
    """The cancel request is durable; the run ends as `cancelled` soon."""

    model_config = _example(run_id=_RUN_ID, status="running", message="The run is being cancelled.")
    run_id: str
    status: RunStatus
    message: str


class EventsAnswer(BaseModel):
    """A part of a run's log; pass `last_seq` as `after` to go on. No events and a final `status`: that was all."""

    model_config = _example(run_id=_RUN_ID, events=[_RECORD], last_seq=1, status="running")
    run_id: str
    events: list[dict[str, Any]]
    last_seq: int
    status: RunStatus


class ToolLine(BaseModel):
    """One version of a tool; `effect` null means undeclared; `parameters` is the JSON Schema of a node's `config`."""

    name: str
    version: str
    description: str
    effect: str | None
    parameters: dict[str, Any]
    is_async: bool


class BrokenPluginLine(BaseModel):
    """A plug-in that could not be loaded and added no tool."""

    name: str
    error: str


class ToolsAnswer(BaseModel):
    """What graphs can call."""

    model_config = _example(
        tools=[
            {
                "name": "echo",
                "version": "1",
                "description": "Write `message` to the run's log and into the state under `key`.",
                "effect": "pure",
                "parameters": {"type": "object", "properties": {"message": {}}, "required": ["message"]},
                "is_async": True,
            }
        ],
        count=1,
        broken=[],
    )
    tools: list[ToolLine]
    count: int
    broken: list[BrokenPluginLine]


class HealthAnswer(BaseModel):
    """How the server is: `runs` are all stored ones, `active` hold an actor, `pending` wait for one."""

    model_config = _example(
        status="ok",
        version="0.1.0",
        durability="fsync",
        graphs=1,
        runs=10,
        active=2,
        pending=0,
        finished=8,
        abandoned_attempts=0,
        rejected_results=0,
    )
    status: str
    version: str
    durability: str
    graphs: int
    runs: int
    active: int
    pending: int
    finished: int
    abandoned_attempts: int
    rejected_results: int
