"""The worked example of `docs/simulate.md` prints what the page shows: a seed gives the same result everywhere."""

from typing import Any

import pytest

from tests.docs.pages import Block, blocks

PAGE = "docs/simulate.md"


def block(info: str) -> Block:
    [found] = [one for one in blocks(info) if one.page == PAGE]
    return found


async def test_the_example_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "an_example"}
    exec(compile(block("python runnable").text, PAGE, "exec"), names)  # noqa: S102 - the pages are ours
    await names["main"]()
    assert capsys.readouterr().out == block("text output").text
