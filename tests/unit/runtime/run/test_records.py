"""Records: every type survives its journey through JSON, keeps the documented shape, and is applied in order only."""

import json
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pytest

from runtime.run import records as vocabulary
from runtime.run.apply import apply
from runtime.run.model import new_run
from runtime.run.records import AnyRecord, Record, RunStarted, RunStatus, StepCompleted, decode_record, encode_records
from tests.support.driver import default_policies
from tests.support.graphs import graph, planned

TYPES: Final[tuple[type[Record], ...]] = typing.get_args(AnyRecord)
AT: Final = datetime(2030, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)


def value_of(kind: Any) -> Any:
    """Return some value of a field's type."""
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)[-1]
    choices = [choice for choice in typing.get_args(kind) if choice not in (msgspec.UnsetType, type(None))]
    if typing.get_origin(kind) is list:
        return [{"field": "x", "actual": [1, None]}]
    if typing.get_origin(kind) is dict:
        return {"a": "b"} if choices[1] is str else {"a": [1, 2.5, None, {"é": True}]}
    if choices:
        return value_of(choices[0])
    samples: dict[Any, Any] = {
        int: 7,
        float: 1.5,
        str: "näme",
        bool: True,
        datetime: AT,
        vocabulary.Failure: vocabulary.Failure("CODE", "why"),
        vocabulary.RunStatus: vocabulary.RunStatus.FAILED,
        Any: {"a": [1, "b"]},
    }
    return samples[kind]


def samples() -> Iterator[Record]:
    """Yield each type twice: with every field set, and with the optional ones left out."""
    for kind in TYPES:
        hints = typing.get_type_hints(kind)
        fields = list(msgspec.structs.fields(kind))
        yield kind(**{field.name: value_of(hints[field.name]) for field in fields})
        needed = [field for field in fields if field.required]
        yield kind(**{field.name: value_of(hints[field.name]) for field in needed}, seq=1, timestamp=AT, run_id="r")


@pytest.mark.parametrize("record", list(samples()), ids=lambda record: record.event)
def test_a_record_survives_its_journey_through_json(record: Record) -> None:
    (line,) = encode_records([record])
    again = decode_record(line)
    assert type(again) is type(record)
    assert again == record
    assert encode_records([again]) == [line]


@pytest.mark.parametrize("record", list(samples()), ids=lambda record: record.event)
def test_a_record_has_the_documented_keys_and_no_unset_ones(record: Record) -> None:
    shown = json.loads(encode_records([record])[0])
    assert {"seq", "timestamp", "level", "event", "run_id"} <= shown.keys()
    assert shown["event"] == record.event
    assert shown["timestamp"] == "2030-01-01T12:00:00.123456Z"
    assert shown["level"] in ("debug", "info", "warning", "error")
    assert None not in shown.values()


def test_every_record_type_is_in_the_vocabulary_under_a_name_of_its_own() -> None:
    def below(kind: type[Record]) -> set[type[Record]]:
        return {kind, *(deeper for child in kind.__subclasses__() for deeper in below(child))}

    bases = {Record, vocabulary.StepRecord, vocabulary.ItemRecord}
    assert below(Record) - bases == set(TYPES)
    names = [kind.__struct_config__.tag for kind in TYPES]
    assert len(set(names)) == len(names)
    assert {"run_submitted", "step_started", "edge_taken", "loop_iteration", "tool_log_dropped"} <= set(names)


def test_exactly_the_final_statuses_have_a_terminal_record() -> None:
    assert {kind.terminal for kind in TYPES} - {None} == {status for status in RunStatus if status.is_final}


@pytest.mark.parametrize(
    "line", [b"{}", b'{"event":"unheard_of"}', b'{"event":"run_started","seq":"1"}', b"[]", b"nonsense"]
)
def test_a_line_that_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_record(line)


@pytest.mark.parametrize("seq", [0, 2, 7])
def test_a_record_out_of_order_is_refused(seq: int) -> None:
    plan = planned(graph("a"))
    run = new_run(plan, "run-1", default_policies(plan))
    with pytest.raises(ValueError, match=f"record {seq} of run run-1 follows record 0"):
        apply(run, RunStarted(seq=seq, timestamp=AT, deadline=AT))
    assert run.seq == 0


def test_an_edge_taken_before_any_node_ended_is_refused() -> None:
    plan = planned(graph("a b", "a > b"))
    run = new_run(plan, "run-1", default_policies(plan))
    with pytest.raises(ValueError, match="takes an edge before any node ended"):
        apply(run, vocabulary.EdgeTaken(seq=1, node="a", edge=0, to_node="b"))


def test_updates_keep_their_numbers_as_they_are() -> None:
    update = {"int": 1, "float": 1.0, "big": 2**63 - 1, "tiny": 5e-324, "text": "\u2028é", "none": None}
    (line,) = encode_records([StepCompleted(node="a", update=update)])
    again = decode_record(line)
    assert isinstance(again, StepCompleted)
    assert repr(again.update) == repr(update)
