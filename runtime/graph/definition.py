"""The JSON shape of a graph: what a client may send, key by key.

Only shapes and ranges are checked here, so that each element can be read alone and every mistake reported at once; what the
elements mean together is the business of `checks.py`. Conditions stay JSON here and are compiled by `conditions.py`.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

MAX_NODES: Final = 10_000
MAX_EDGES: Final = 50_000
MAX_ITERATIONS: Final = 10_000
MAX_STEPS: Final = 1_000_000
MAX_TIMEOUT_S: Final = 30 * 86_400
MAX_ATTEMPTS: Final = 25

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Part(BaseModel):
    """Base of all elements. `null` for an optional key means the same as leaving it out: many clients write it so."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, source: Any) -> Any:
        if isinstance(source, dict) and None in source.values():
            optional = {key for key, field in cls.model_fields.items() if not field.is_required()}
            return {key: value for key, value in source.items() if value is not None or key not in optional}
        return source


class JoinCount(_Part):
    """`{"n": 2}`: the node runs at the n-th taken in-edge."""

    n: int = Field(ge=1, le=MAX_EDGES)


class RetryDefinition(_Part):
    """When and how often a failed attempt is tried again; times in seconds.

    The k-th retry waits a random time (full jitter) up to `min(max_s, initial_s * factor ** (k - 1))`, or exactly that time
    with `"jitter": "none"`. `retry_on` names the error codes to retry, None all retryable ones. No attempt starts after
    `budget_s` from the first one.
    """

    max_attempts: int | None = Field(default=None, ge=1, le=MAX_ATTEMPTS)
    initial_s: float = Field(default=0.5, ge=0, le=86_400)
    factor: float = Field(default=2.0, ge=1, le=100)
    max_s: float = Field(default=30.0, ge=0, le=86_400)
    jitter: Literal["full", "none"] = "full"
    retry_on: list[str] | None = Field(default=None, max_length=64)
    budget_s: float | None = Field(default=None, gt=0, le=MAX_TIMEOUT_S)


class NodeDefinition(_Part):
    """One node. `route` None means `first` where an out-edge has a condition, else `all`."""

    name: Name
    type: str = "standard"
    tool: str | None = Field(default=None, min_length=1, max_length=256)
    config: dict[str, JsonValue] = Field(default_factory=dict)
    description: str = Field(default="", max_length=10_000)
    route: Literal["first", "all"] | None = None
    join: Literal["all", "any"] | JoinCount = "all"
    retry: RetryDefinition | None = None
    timeout_s: float | None = Field(default=None, gt=0, le=MAX_TIMEOUT_S)
    on_error: Literal["fail_run", "route", "continue"] = "fail_run"
    on_unmatched: Literal["end", "fail"] = "end"


class EdgeDefinition(_Part):
    """One edge. `default`: taken when no other edge of its node is. `on: error`: taken when its node failed."""

    from_node: str
    to_node: str
    condition: dict[str, JsonValue] | None = None
    default: bool = False
    on: Literal["success", "error"] = "success"


class LoopDefinition(_Part):
    """The loop that ends after `node` completed with `condition` true, or after `max_iterations`."""

    node: str
    condition: dict[str, JsonValue]
    max_iterations: int = Field(default=10, ge=1, le=MAX_ITERATIONS)
    on_max: Literal["continue", "fail"] = "continue"


class LimitsDefinition(_Part):
    """Bounds of one run: `max_steps` node executions, `timeout_s` seconds from its start."""

    max_steps: int = Field(default=10_000, ge=1, le=MAX_STEPS)
    timeout_s: float = Field(default=86_400, gt=0, le=MAX_TIMEOUT_S)


class GraphDefinition(_Part):
    """A whole graph, as `POST /api/graph/create` accepts it."""

    name: Name
    description: str = Field(default="", max_length=10_000)
    nodes: list[NodeDefinition] = Field(min_length=1, max_length=MAX_NODES)
    edges: list[EdgeDefinition] = Field(default_factory=list, max_length=MAX_EDGES)
    loops: list[LoopDefinition] = Field(default_factory=list, max_length=MAX_NODES)
    entry_point: str
    reducers: dict[str, str] = Field(default_factory=dict, max_length=1_000)
    limits: LimitsDefinition = Field(default_factory=LimitsDefinition)
    input_schema: dict[str, Any] | bool | None = None
