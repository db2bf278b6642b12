"""`docs/events.md` has every record type and every field of it, and none that does not exist."""

import re
from typing import get_args

import msgspec
import pytest

from runtime.run.records import AnyRecord, Record, StepRecord
from tests.docs.pages import ROOT, section

PAGE = ROOT / "docs" / "events.md"
TYPES: list[type[Record]] = list(get_args(AnyRecord))


def event_of(record_type: type[Record]) -> str:
    return str(record_type.__struct_config__.tag)


def fields_of(record_type: type[Record]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(record_type)}


def documented(text: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


@pytest.mark.parametrize("record_type", TYPES, ids=event_of)
def test_the_section_of_a_record_type_has_exactly_its_fields(record_type: type[Record]) -> None:
    text = section(PAGE, f"`{event_of(record_type)}`")
    assert text, "the record type has no section"
    base = StepRecord if issubclass(record_type, StepRecord) else Record
    assert documented(text) == fields_of(record_type) - fields_of(base)
    assert ("About a node." in text.replace("\n", " ")) == (base is StepRecord)


def test_the_common_fields_are_documented() -> None:
    assert documented(section(PAGE, "What every record has")) == fields_of(StepRecord) | {"event"}


def test_no_other_record_type_is_documented() -> None:
    titles = re.findall(r"^### `(\w+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert titles == [event_of(record_type) for record_type in TYPES]
