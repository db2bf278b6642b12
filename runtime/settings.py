"""The engine's settings: one frozen object, read once by whoever composes the process, passed down from there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator can choose. Sizes are in bytes, times in seconds.

    Attributes:
        journal: `sqlite:///PATH` (a relative path needs three slashes, an absolute one four), or `memory:`, which forgets
            everything at exit.
        datasets_dir: Folder that tools may read dataset files from and write them to; None refuses dataset paths.
        log_level: Lowest level of run records that the console shows. Journal and subscribers always get every record.
        log_format: `auto` is colour on a terminal and JSON lines otherwise; `none` shows nothing.
        max_active_runs: Runs that work at once; further ones wait as `pending`. A run that is paused, or only waits (for a
            time, a signal or a person), does not count.
        max_pending_runs: Accepted runs that may wait for their turn; more are refused with `OVERLOADED`.
        max_waiting_runs: Runs that may be `waiting` or `paused` before new ones are refused with `OVERLOADED`.
        max_workers_per_node: Worker tasks one node of one graph may have; further calls queue for one.
        max_idle_workers: Worker tasks of all nodes together that may wait for work; beyond it whoever waits longest ends.
        tool_threads: Threads for tools that are plain functions.
        cancel_grace_s: How long a cancelled or timed-out attempt may take to end before it is abandoned.
        close_grace_s: How long running attempts may go on when the engine closes; what is left resumes at the next start.
        recent_records: Records a live run keeps in memory for its subscribers; older ones are read from the journal.
    """

    journal: str = "memory:"
    datasets_dir: Path | None = None
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    max_active_runs: int = 10_000
    max_pending_runs: int = 100_000
    max_waiting_runs: int = 100_000
    max_workers_per_node: int = 1_000
    max_idle_workers: int = 4_096
    tool_threads: int = 16
    cancel_grace_s: float = 10.0
    close_grace_s: float = 20.0
    recent_records: int = 256
