"""`docs/explain.md` has every field and every word of an explanation, and its example prints what the page shows."""

import re
from typing import Any, get_args

import msgspec
import pytest
from msgspec import Struct

from runtime.graph.plan import NodeKind
from runtime.run.explain import explanation
from runtime.run.explain.trace import Status
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "explain.md"
STRUCTS = [known for known in vars(explanation).values() if isinstance(known, type) and issubclass(known, Struct)]
WORDS = {
    word
    for words in (Status, NodeKind, explanation.EdgeState, explanation.ReasonKind, explanation.WaitKind)
    for word in get_args(words)
}


def quoted() -> set[str]:
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", PAGE.read_text(encoding="utf-8")))))


@pytest.mark.parametrize(
    "struct", [known for known in STRUCTS if known is not Struct], ids=lambda known: known.__name__
)
def test_every_field_is_documented(struct: type[Struct]) -> None:
    fields = {field.name for field in msgspec.structs.fields(struct)}
    assert fields - quoted() == set()


def test_every_word_is_documented() -> None:
    assert WORDS - quoted() == set()


async def test_the_example_prints_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [block for block in blocks("python runnable") if block.page == "docs/explain.md"]
    (shown,) = [block for block in blocks("text") if block.page == "docs/explain.md"]
    names: dict[str, Any] = {"__name__": "an_example"}
    exec(compile(code.text, str(code), "exec"), names)  # noqa: S102 - the pages are ours
    await names["main"]()
    assert without_times(capsys.readouterr().out) == without_times(shown.text)


def without_times(text: str) -> str:
    return re.sub(r"[\d.e+-]+ (ms|s)\b", "0 ms", text)
