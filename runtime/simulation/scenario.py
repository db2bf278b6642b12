"""What a simulation is asked for: the seeds, what the mocks do, and what happens from outside meanwhile."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    ValidationError,
    model_validator,
)

from runtime.errors import InvalidInput, Problem, escape

MAX_SEEDS: Final = 1_000
MAX_RULES: Final = 1_000
MAX_SECONDS: Final = 30 * 86_400
FIRST_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
START: Final = datetime(2030, 1, 1, tzinfo=UTC)
LAST_START: Final = datetime(9_000, 1, 1, tzinfo=UTC)

_TYPES: Final = {"extra_forbidden": "unknown_key", "missing": "missing_key"}

Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Glob = Annotated[str, Field(max_length=2_000)]
Update = dict[str, JsonValue]
InitialState = Annotated[dict[str, Any], BeforeValidator(lambda state: {} if state is None else state)]


def _span(value: Any) -> tuple[float, float]:
    numbers = value if isinstance(value, list | tuple) else [value, value]
    right = len(numbers) == 2 and all(type(one) in (int, float) and 0 <= one <= MAX_SECONDS for one in numbers)
    if not right or numbers[0] > numbers[1]:
        raise ValueError(
            f"a duration is a number of seconds, 0 to {MAX_SECONDS:,}, or two of them, the smaller one first"
        )
    return float(numbers[0]), float(numbers[1])


def _no_number(value: Any) -> Any:
    if not isinstance(value, str | datetime):
        raise ValueError("an instant is a text in ISO 8601, with an offset")
    return value


Span = Annotated[tuple[float, float], PlainValidator(_span, json_schema_input_type=float | list[float])]
"""Seconds from the first to the second number; in JSON also one number."""

Instant = Annotated[AwareDatetime, Field(strict=False, ge=FIRST_START, le=LAST_START), BeforeValidator(_no_number)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Place(_Part):
    """Which steps a rule is for: all those that every given key fits. In texts, `*` stands for anything and `?` for a character."""

    node: Glob | None = None
    path: Glob | None = None
    iteration: int | None = Field(default=None, ge=1)


class MockFailure(_Part):
    """The error that an attempt ends with."""

    code: str = Field(default="MOCK_FAILURE", pattern=r"^[A-Z][A-Z0-9_]*$", max_length=128)
    message: str = Field(default="The scenario says so.", max_length=4_096)
    retryable: bool = True


class MockRule(_Place):
    """What the mock of a tool does where the rule fits; without a value it returns nothing.

    Attributes:
        tool: Name of the tool, or `name@version`.
        item: Index of the innermost map item that the step is part of.
        value: The update that it returns.
        values: The same by iteration; the last one goes on for ever.
        fail: It fails instead, in each attempt with the probability `fail_chance`.
        duration_s: How long an attempt takes; what is left out is drawn by the seed, from a millisecond to a second.
    """

    tool: Glob | None = None
    attempt: int | None = Field(default=None, ge=1)
    item: int | None = Field(default=None, ge=0)
    value: Update | None = None
    values: list[Update] | None = Field(default=None, min_length=1, max_length=10_000)
    fail: MockFailure | None = None
    fail_chance: float | None = Field(default=None, ge=0, le=1)
    duration_s: Span | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.value is not None and self.values is not None:
            raise ValueError("a rule has 'value' or 'values', not both")
        if self.fail is None and self.fail_chance is not None:
            raise ValueError("'fail_chance' needs 'fail'")
        if self.fail is not None and self.fail_chance is None and (self.value is not None or self.values is not None):
            raise ValueError("a rule with 'fail' returns a value only if it has 'fail_chance' too")
        return self


class SentSignal(_Part):
    """A signal that the run is sent, `at_s` seconds after its start."""

    at_s: Seconds
    name: str = Field(min_length=1, max_length=128)
    data: JsonValue = None


class GivenAnswer(_Place):
    """What approvals are answered, `after_s` seconds after they are asked for."""

    answer: JsonValue
    after_s: Seconds = 1.0


class SimulationScenario(_Part):
    """What happens in a simulated run, but for the graph.

    Attributes:
        initial_state: As for a run.
        seed: The first seed.
        seeds: How many, counting up from the first.
        mocks: The first rule that fits counts; where none does, a mock takes any time and returns nothing.
        allow_unknown_tools: Let nodes call tools that are not registered.
        signals, answers, cancel_at_s: What happens from outside. The first answer that fits counts.
        starts_at: The virtual instant of the run's start.
    """

    initial_state: InitialState = Field(default_factory=dict)
    seed: int = Field(default=0, ge=-(2**53), le=2**53)
    seeds: int = Field(default=1, ge=1, le=MAX_SEEDS)
    mocks: list[MockRule] = Field(default_factory=list, max_length=MAX_RULES)
    allow_unknown_tools: bool = False
    signals: list[SentSignal] = Field(default_factory=list, max_length=MAX_RULES)
    answers: list[GivenAnswer] = Field(default_factory=list, max_length=MAX_RULES)
    cancel_at_s: Seconds | None = None
    starts_at: Instant = START


def read_scenario(source: "SimulationScenario | Mapping[str, Any]") -> SimulationScenario:
    """Return a scenario from its JSON object.

    Raises:
        InvalidInput: With every breach and its place.
    """
    if isinstance(source, SimulationScenario):
        return source
    try:
        return SimulationScenario.model_validate(dict(source))
    except ValidationError as error:
        problems = [
            Problem(
                "".join(f"/{escape(str(part))}" for part in fault["loc"]),
                f"{fault['msg']}.",
                _TYPES.get(fault["type"], fault["type"]),
            )
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise InvalidInput("The scenario is not as it should be.", problems=problems) from None
