"""The wire models: the shape and an example of every body and answer, for OpenAPI and for checking what clients send.

Answers are not built from them: routes join bytes that the engine has encoded already. The tests check real answers
against these models, so that the two cannot drift apart.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from runtime.graph.definition import GraphDefinition, Name
from runtime.run.records import RunStatus

_GRAPH_ID: Final = "graph-3c1a5f4f79caff0711b4"
_RUN_ID: Final = "run-6578e423fbb4443db31ee6da89ce7c75"

StepPath = Annotated[str, Field(max_length=4_096)]
"""Which sub-graph or map item, such as `pay#1` or `each#1[3]/pay#2`; "" for the run itself."""

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
    """First message of a client on `/ws/execute/{graph_id}`; sent again with the same key, it follows the same run."""

    model_config = _example(initial_state={"name": "Ada"}, idempotency_key="order-7731")
    initial_state: InitialState = Field(default_factory=dict)
    idempotency_key: str | None = None


class SignalRequest(BaseModel):
    """A named message for a run. A second one with the same `id` changes nothing; without `id` each one is new."""

    model_config = _example(name="paid", data={"amount": 12.5}, id="payment-7731")
    name: Name
    data: Any = None
    id: Name | None = None


class AnswerRequest(BaseModel):
    """The answer to an open approval: any JSON value that fits its `answer_schema`. `by` is kept with it."""

    model_config = _example(approval="review#1", answer={"ok": True}, by="ada@example.org")
    approval: str = Field(min_length=1, max_length=4_096)
    answer: Any
    by: Name | None = None


class ForkRequest(BaseModel):
    """The step a new run begins at: the last one of `node`, or that of `iteration`, in the sub-graph or map item `path`.

    `state` is put over the step's input, key by key.
    """

    model_config = _example(node="publish", iteration=1, path="", state={"title": "Corrected"})
    node: Name
    iteration: int | None = Field(default=None, ge=1, le=2**53)
    path: StepPath | None = None
    state: dict[str, Any] | None = None


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
    """A run whose acceptance is durable. With a journal in memory nothing is, and `durability` says so."""

    model_config = _example(**_ACCEPTED)
    run_id: str
    status: RunStatus
    message: str
    durability: Literal["none"] | None = None


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


class EventsAnswer(BaseModel):
    """A part of a run's log; pass `last_seq` as `after` to go on. No events and a final `status`: that was all."""

    model_config = _example(run_id=_RUN_ID, events=[_RECORD], last_seq=1, status="running")
    run_id: str
    events: list[dict[str, Any]]
    last_seq: int
    status: RunStatus


class CommandAnswer(BaseModel):
    """The command is durable; `status` is the run's after it, and `message` says what happens next."""

    model_config = _example(run_id=_RUN_ID, status="running", message="…")
    run_id: str
    status: RunStatus
    message: str


class CancelAnswer(CommandAnswer):
    """The run ends as `cancelled` soon."""

    model_config = _example(run_id=_RUN_ID, status="running", message="The run is being cancelled.")


class PauseAnswer(CommandAnswer):
    """Attempts that are running finish, and nothing else starts."""

    model_config = _example(run_id=_RUN_ID, status="paused", message="The run is paused: …")


class ResumeAnswer(CommandAnswer):
    """The run is not paused, or not any more."""

    model_config = _example(run_id=_RUN_ID, status="running", message="The run is not paused: what is ready goes on, …")


class AnsweredAnswer(CommandAnswer):
    """The approval has this answer for good."""

    model_config = _example(
        run_id=_RUN_ID,
        status="running",
        message="The answer to 'review#1' is stored and final; the run goes on with it.",
    )


class RetryAnswer(CommandAnswer):
    """The run that had ended goes on."""

    model_config = _example(run_id=_RUN_ID, status="running", message="The run goes on: …")


class ForkAnswer(CommandAnswer):
    """`run_id` is the new run, `forked_from` the one that it began in."""

    model_config = _example(
        run_id="run-d1b2ab3a54634b6c9a1d9d0a8b8d7c11",
        forked_from=_RUN_ID,
        status="running",
        message=f"The new run takes over what run {_RUN_ID} had done before, and goes on with 'publish'. …",
    )
    forked_from: str


class SignalAnswer(BaseModel):
    """`id` is the signal's own, given or made; `duplicate`: the run had one with this id, and nothing was changed."""

    model_config = _example(run_id=_RUN_ID, id="payment-7731", duplicate=False, message="The signal is stored: …")
    run_id: str
    id: str
    duplicate: bool
    message: str


class ApprovalLine(BaseModel):
    """An open question; `due` is when it times out, null for never."""

    approval: str
    node: str
    iteration: int
    path: str
    prompt: str
    answer_schema: dict[str, Any] | bool | None
    requested_at: datetime
    due: datetime | None


class ApprovalsAnswer(BaseModel):
    """What a run waits for people to answer, oldest first."""

    model_config = _example(
        run_id=_RUN_ID,
        approvals=[
            {
                "approval": "review#1",
                "node": "review",
                "iteration": 1,
                "path": "",
                "prompt": "Publish it?",
                "answer_schema": {"type": "object", "required": ["ok"]},
                "requested_at": _TIME,
                "due": None,
            }
        ],
    )
    run_id: str
    approvals: list[ApprovalLine]


class WriterLine(BaseModel):
    """Who wrote a value: a step, by its record `seq`; `node` null means the initial state, or what a fork put over it."""

    node: str | None
    iteration: int
    seq: int


class ExplanationAnswer(BaseModel):
    """Why a node ran, did not run, or waits: `text` in sentences, the rest as data, each iteration an activation.

    `counts` has the number of activations by status; `activations` the newest ones, newest last; `in_edges` those of a node
    that never came into question.
    """

    model_config = _example(
        run_id=_RUN_ID,
        node="publish",
        path="",
        type="tool",
        text="…",
        counts={"completed": 1},
        activations=[{"iteration": 1, "status": "completed", "text": "…"}],
    )
    run_id: str
    node: str
    path: str
    type: str
    text: str
    counts: dict[str, int]
    activations: list[dict[str, Any]]
    in_edges: list[dict[str, Any]] = Field(default_factory=list)


class BlameAnswer(BaseModel):
    """For each key of the state who wrote its value."""

    model_config = _example(run_id=_RUN_ID, keys={"title": {"node": "draft", "iteration": 1, "seq": 4}})
    run_id: str
    keys: dict[str, WriterLine]


class ToolLine(BaseModel):
    """One version of a tool; `effect` null means undeclared; `parameters` is the JSON Schema of a node's `config`.

    `isolation` is `process` for a tool whose calls run in a process of their own, and null for any other; `cpu_bound` is true for
    one whose calls compute, of which as many run at once as `cpu_threads` says.
    """

    name: str
    version: str
    description: str
    effect: str | None
    parameters: dict[str, Any]
    is_async: bool
    isolation: str | None
    cpu_bound: bool


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
                "isolation": None,
                "cpu_bound": False,
            }
        ],
        count=1,
        broken=[],
    )
    tools: list[ToolLine]
    count: int
    broken: list[BrokenPluginLine]


class BufferLine(BaseModel):
    """How full a buffer is; `bound` is null where other bounds imply it."""

    name: str
    in_use: int
    bound: int | None


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
        deleted_runs=0,
        abandoned_attempts=0,
        abandoned_now=0,
        rejected_results=0,
        buffers=[{"name": "pending_runs", "in_use": 0, "bound": 100_000}],
        blocking_tools=[],
        loop_lag_ms=2,
    )
    status: str
    version: str
    durability: str
    graphs: int
    runs: int
    active: int
    pending: int
    finished: int
    deleted_runs: int
    abandoned_attempts: int
    abandoned_now: int
    rejected_results: int
    buffers: list[BufferLine]
    blocking_tools: list[str]
    loop_lag_ms: int


class LiveAnswer(BaseModel):
    """The server answers; nothing more is said."""

    model_config = _example(status="alive")
    status: str


class ReadyAnswer(BaseModel):
    """Whether the server takes new work: `status` is `ready`, or `not_ready` with the `reasons` why."""

    model_config = _example(status="ready")
    status: str
    reasons: list[str] | None = None
