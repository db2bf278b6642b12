"""One record, shown everywhere: watchers and the console get the very same bytes."""

import io

import pytest

from runtime.log.channel import LogChannel
from runtime.log.pipeline import LogPipeline
from runtime.run.records import RunBlocked, RunDeadlinePassed, RunSubmitted, StepSkipped, ToolLog, encode_json
from runtime.settings import LogFormat, LogLevel, Settings
from tests.conftest import START

RECORDS = [
    RunSubmitted(
        seq=1, timestamp=START, run_id="run-1", graph_id="g", tools={"a": "x@1"}, initial_state={"é": "\n\x1b[31m"}
    ),
    StepSkipped(seq=2, timestamp=START, run_id="run-1", node="a", reason="none"),
    RunBlocked(seq=3, timestamp=START, run_id="run-1", reason="r"),
    RunDeadlinePassed(seq=4, timestamp=START, run_id="run-1", timeout_s=1.0),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(style: LogFormat, level: LogLevel = "debug", stream: io.StringIO | None = None) -> tuple[str, LogChannel]:
    """Return what the console shows of `RECORDS`, and the channel."""
    stream = stream or io.StringIO()
    channel = LogChannel(10)
    logger = LogPipeline(Settings(log_format=style, log_level=level), stream).for_run(channel)
    for record in RECORDS:
        logger.committed([record], [encode_json(record)])
    return stream.getvalue(), channel


def test_a_json_line_is_the_record_byte_by_byte() -> None:
    text, channel = shown("json")
    assert text.encode().split(b"\n")[:-1] == [encode_json(record) for record in RECORDS]
    assert [record.encoded for record in channel.after(0) or ()] == [encode_json(record) for record in RECORDS]


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
@pytest.mark.parametrize("style", ["json", "console"])
def test_the_level_bounds_what_the_console_shows_and_not_what_watchers_get(
    style: LogFormat, level: LogLevel, count: int
) -> None:
    text, channel = shown(style, level)
    assert text.count("run-1") == count
    assert channel.last_seq == 4


def test_none_shows_nothing_and_watchers_get_everything() -> None:
    text, channel = shown("none")
    assert text == ""
    assert channel.last_seq == 4


def test_a_terminal_gets_colour_and_a_pipe_gets_json_lines() -> None:
    assert "\x1b[" in shown("auto", stream=Terminal())[0]
    assert shown("auto")[0].startswith("{")


def test_the_console_without_a_terminal_has_no_colour_and_names_only_the_keys_of_states() -> None:
    text, _ = shown("console")
    assert "\x1b" not in text
    assert "run_submitted" in text
    assert "é" in text


def test_text_of_a_tool_cannot_break_a_json_line_or_colour_a_terminal() -> None:
    text, _ = shown("json")
    assert text.count("\n") == len(RECORDS)
    assert "\x1b" not in text


@pytest.mark.parametrize("text", ["\x1b", "a\x9b31m", "a\rb", "a\nb", "\x00", "a\u202eb", "a\u2028b"])
def test_text_of_a_tool_reaches_a_terminal_escaped(text: str) -> None:
    stream = io.StringIO()
    pipeline = LogPipeline(Settings(log_format="console"), stream)
    line = ToolLog(
        seq=1,
        timestamp=START,
        run_id="r",
        node="a",
        iteration=1,
        attempt=1,
        level="info",
        message=text,
        fields={"x": text},
    )
    pipeline.for_run(LogChannel(1)).committed([line], [encode_json(line)])
    pipeline.for_engine().error("loud", error=text)
    shown = stream.getvalue().split("\n")
    assert len(shown) == 3
    assert all(line.isprintable() for line in shown)


@pytest.mark.parametrize("style", ["json", "console"])
def test_the_engine_has_a_logger_of_its_own(style: LogFormat) -> None:
    stream = io.StringIO()
    logger = LogPipeline(Settings(log_format=style, log_level="warning"), stream).for_engine()
    logger.info("quiet")
    logger.error("loud", run_id="run-1")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()
