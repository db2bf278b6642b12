"""How records become visible: each run has a bound structlog logger, and one chain of processors serves everybody.

The chain first hands the record's encoded bytes to the run's channel, which watchers read, and then renders the same record
for the console: the very same bytes as a JSON line, or colour on a terminal. Only synchronous logger methods are used, because
structlog's asynchronous ones do not run on trio.
"""

import sys
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Final, TextIO, TypeAlias

import msgspec
import structlog

from runtime.log.channel import LogChannel
from runtime.run.records import Record
from runtime.settings import Settings
from runtime.views import LogRecord

EventDict: TypeAlias = MutableMapping[str, Any]
Processor: TypeAlias = Callable[[Any, str, EventDict], Any]

LEVELS: Final[dict[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Console(structlog.PrintLogger):
    """Prints lines as long as somebody takes them. A console that breaks is no reason for a run to fail."""

    def msg(self, message: str) -> None:
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


class RunLogger(structlog.BoundLoggerBase):
    """The logger of one run: what it is given is committed, and thereby shown."""

    def committed(self, records: Sequence[Record], lines: Sequence[bytes]) -> None:
        """Show records that the journal holds, with their encoded form: all of one commit at once."""
        self._proxy_to_logger("info", "committed", records=tuple(zip(records, lines, strict=True)))


class LogPipeline:
    """Makes the loggers of an engine: of its runs, and its own for what concerns no run."""

    def __init__(self, settings: Settings, stream: TextIO | None = None) -> None:
        out = stream or sys.stderr
        style = settings.log_format
        if style == "auto":
            style = "console" if out.isatty() else "json"
        self._logger = _Console(out)
        threshold = LEVELS[settings.log_level]
        columns = structlog.dev.ConsoleRenderer(colors=out.isatty(), sort_keys=False)
        show: dict[str, Processor] = {"none": _drop, "console": _in_columns(columns), "json": _in_lines}
        self._run_chain: list[Processor] = [_to_channel, _at_least(threshold), show[style]]
        render: dict[str, Processor] = {"none": _drop, "console": columns, "json": structlog.processors.JSONRenderer()}
        self._engine_chain: list[Processor] = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso", utc=True),
            *([_printable] if style == "console" else []),
            render[style],
        ]
        self._filter = structlog.make_filtering_bound_logger(threshold)

    def for_run(self, channel: LogChannel) -> RunLogger:
        """Return the logger of the run whose watchers read `channel`."""
        return RunLogger(self._logger, self._run_chain, {"channel": channel})

    def for_engine(self) -> structlog.typing.FilteringBoundLogger:
        """Return the logger for what concerns no single run."""
        logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            self._logger, processors=self._engine_chain, wrapper_class=self._filter
        )
        return logger


def _to_channel(_logger: Any, _method: str, event_dict: EventDict) -> EventDict:
    channel: LogChannel = event_dict.pop("channel")
    for record, line in event_dict["records"]:
        channel.publish(LogRecord(record.seq, line))
    return event_dict


def _drop(_logger: Any, _method: str, _event_dict: EventDict) -> EventDict:
    raise structlog.DropEvent


def _at_least(threshold: int) -> Processor:
    def leave_out_lower(_logger: Any, _method: str, event_dict: EventDict) -> EventDict:
        shown = [(record, line) for record, line in event_dict["records"] if LEVELS[record.level] >= threshold]
        if not shown:
            raise structlog.DropEvent
        return {**event_dict, "records": shown}

    return leave_out_lower


def _in_lines(_logger: Any, _method: str, event_dict: EventDict) -> str:
    return b"\n".join(line for _, line in event_dict["records"]).decode()


def _in_columns(columns: structlog.dev.ConsoleRenderer) -> Processor:
    def render(logger: Any, _method: str, event_dict: EventDict) -> str:
        return "\n".join(str(columns(logger, record.level, _fields(record))) for record, _ in event_dict["records"])

    return render


def _fields(record: Record) -> EventDict:
    """Return what a person wants to see of a record: states by their keys only, the long id at the end."""
    fields: dict[str, Any] = msgspec.to_builtins(record)
    for key in ("update", "initial_state", "tools"):
        if key in fields:
            fields[key] = ",".join(fields[key])
    run_id = fields.pop("run_id")
    return _printable(None, "", {**fields, "run_id": run_id})


def _printable(_logger: Any, _method: str, event_dict: EventDict) -> EventDict:
    """Escape what would be more than text to a terminal: line ends, colours, other orders to move or to erase."""
    return {
        key: repr(value) if isinstance(value, str) and not value.isprintable() else value
        for key, value in event_dict.items()
    }
