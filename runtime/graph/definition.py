"""The JSON shape of a graph: what a client may send, key by key.

Only shapes and ranges are checked here, so that each element can be read alone and every mistake reported at once; what the
elements mean together is the business of `checks.py`. Conditions stay JSON here and are compiled by `conditions.py`.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

MAX_NODES: Final = 10_000
MAX_EDGES: Final = 50_000
MAX_ITERATIONS: Final = 10_000
MAX_STEPS: Final = 1_000_000
MAX_TIMEOUT_S: Final = 30 * 86_400
MAX_ATTEMPTS: Final = 25
MAX_WAIT_S: Final = 365 * 86_400
MAX_NESTING: Final = 8
"""How deep sub-graphs may nest, the outermost graph not counted."""

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]

Path = Annotated[str, Field(min_length=1, max_length=1_024, pattern=r"^[^.]+(\.[^.]+)*$")]
"""A dotted path into a state: plain keys and indexes."""


def _instant(text: str) -> str:
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise ValueError("an instant is ISO 8601 text with its offset, such as 2030-01-31T12:00:00Z")
    return text


Instant = Annotated[str, Field(max_length=64), AfterValidator(_instant)]


class _Part(BaseModel):
    """Base of all elements. `null` for an optional key means the same as leaving it out: many clients write it so."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, source: Any) -> Any:
        if isinstance(source, dict) and None in source.values():
            optional = {field.alias or key for key, field in cls.model_fields.items() if not field.is_required()}
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


class WaitDefinition(_Part):
    """What a `wait` node waits for: one of `for_s`, `until`, `until_field` and `signal`.

    `until_field` is the path of an instant in the state. The other keys belong to `signal`: `into` names the state key that
    gets the signal's data, `fresh` refuses signals that came before the wait began, and at the time-out `timeout_data` stands
    for the data; without it the step fails.
    """

    for_s: float | None = Field(default=None, ge=0, le=MAX_WAIT_S)
    until: Instant | None = None
    until_field: Path | None = None
    signal: Name | None = None
    timeout_s: float | None = Field(default=None, gt=0, le=MAX_WAIT_S)
    timeout_data: JsonValue = None
    into: str | None = Field(default=None, min_length=1, max_length=256)
    fresh: bool = False

    @model_validator(mode="after")
    def _is_clear(self) -> "WaitDefinition":
        ways = [name for name in ("for_s", "until", "until_field", "signal") if getattr(self, name) is not None]
        if len(ways) != 1:
            found = f"got {' and '.join(ways)}" if ways else "got none of them"
            raise ValueError(f"a wait has one of for_s, until, until_field and signal, {found}")
        given = {"timeout_s", "timeout_data", "into", "fresh"} & self.model_fields_set
        if ways != ["signal"] and given:
            raise ValueError(f"only a wait for a signal takes {', '.join(sorted(given))}")
        if "timeout_data" in self.model_fields_set and self.timeout_s is None:
            raise ValueError("timeout_data needs timeout_s")
        return self


class ApprovalDefinition(_Part):
    """The question of an `approval` node. The answer goes `into` a state key, by default the node's name.

    After `timeout_s` without an answer `timeout_answer` counts as the answer; without it the step fails.
    """

    prompt: str = Field(min_length=1, max_length=10_000)
    answer_schema: dict[str, Any] | bool | None = None
    timeout_s: float | None = Field(default=None, gt=0, le=MAX_WAIT_S)
    timeout_answer: JsonValue = None
    into: str | None = Field(default=None, min_length=1, max_length=256)

    @model_validator(mode="after")
    def _is_clear(self) -> "ApprovalDefinition":
        if "timeout_answer" in self.model_fields_set and self.timeout_s is None:
            raise ValueError("timeout_answer needs timeout_s")
        return self


class MapDefinition(_Part):
    """How a `map` node goes over `items`: a list, or the path of one in the state.

    Each item is found under the key `as`, its index under `<as>_index`; the results go `into` a state key, by default the
    node's name. `until` is a condition on `{"completed", "failed", "total", "last"}`, tested after each item, and `finish_on`
    names a signal: either ends the map early.
    """

    items: Path | list[JsonValue]
    as_: Name = Field(default="item", alias="as")
    concurrency: int = Field(default=10, ge=1, le=1_000)
    mode: Literal["fail_fast", "collect"] = "fail_fast"
    into: str | None = Field(default=None, min_length=1, max_length=256)
    until: dict[str, JsonValue] | None = None
    finish_on: Name | None = None


class NodeDefinition(_Part):
    """One node. `route` None means `first` where an out-edge has a condition, else `all`.

    `graph` is the id of a stored graph, or the definition of one. `input` and `output` map keys of the sub-graph's state to
    paths in the node's, and the other way round.
    """

    name: Name
    type: str = "standard"
    tool: str | None = Field(default=None, min_length=1, max_length=256)
    config: dict[str, JsonValue] = Field(default_factory=dict)
    description: str = Field(default="", max_length=10_000)
    wait: WaitDefinition | None = None
    approval: ApprovalDefinition | None = None
    map: MapDefinition | None = None
    graph: str | dict[str, JsonValue] | None = None
    input: dict[str, Path] | None = None
    output: dict[str, Path] | None = None
    mutex: Name | None = None
    route: Literal["first", "all"] | None = None
    join: Literal["all", "any"] | JoinCount = "all"
    cancel_losers: bool = False
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
    finally_: list[str] = Field(default_factory=list, alias="finally", max_length=100)
    reducers: dict[str, str] = Field(default_factory=dict, max_length=1_000)
    limits: LimitsDefinition = Field(default_factory=LimitsDefinition)
    input_schema: dict[str, Any] | bool | None = None
