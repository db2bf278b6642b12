"""The engine's settings: one frozen object, read once by whoever composes the process, passed down from there."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json", "none"]
JournalCheck = Literal["full", "recent"]


def _cores() -> int:
    """Return how many cores this process may use; not all systems tell, and then all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator can choose. Sizes are in bytes, times in seconds.

    Attributes:
        journal: `sqlite:///PATH` (a relative path needs three slashes, an absolute one four), or `memory:`, which forgets
            everything at exit.
        journal_check: How much of the journal is checked before it is used: `full` is everything, `recent` the watermark, the
            graphs and the runs that have not ended.
        accept_data_loss: Open a damaged journal with what is whole, after a copy of its files was put aside, instead of
            refusing it.
        allow_network_filesystem: Open a journal on a network file system, where locks and flushes cannot be relied on.
        datasets_dir: Folder that tools may read dataset files from and write them to; None refuses dataset paths.
        artifacts_dir: Folder for the files that tools leave behind for people; it belongs to the journal, and no other engine
            may use it. None: tools have no artifacts.
        max_artifact_bytes: How much the artifacts of one run may have together.
        log_level: Lowest level of run records that the console shows. Journal and subscribers always get every record.
        log_format: `auto` is colour on a terminal and JSON lines otherwise; `none` shows nothing.
        max_active_runs: Runs that work at once; further ones wait as `pending`. A run that is paused, or only waits (for a
            time, a signal or a person), does not count.
        max_pending_runs: Accepted runs that may wait for their turn; more are refused with `OVERLOADED`.
        max_waiting_runs: Runs that may be `waiting` or `paused` before new ones are refused with `OVERLOADED`.
        max_workers_per_node: Worker tasks one node of one graph may have; further calls queue for one.
        max_idle_workers: Worker tasks of all nodes together that may wait for work; beyond it whoever waits longest ends.
        tool_threads: Threads for tools that are plain functions.
        cpu_threads: Threads for those of them that are CPU-bound; one for each core that the process may use.
        tool_processes: Processes for tools with `isolation="process"`; further calls queue.
        tool_memory_mb: Address space of each of them in MiB, unless the tool says otherwise.
        max_abandoned: Abandoned attempts that may go on at once; beyond it the engine is not ready, because only a new process
            gets rid of them.
        block_limit_s: How long a tool may keep the event loop from turning before it is told and called in a thread of its own
            from then on; None does not watch.
        max_memory_mb: MiB that the process may use, tools included: new runs are refused beyond 70 % of it, and beyond 90 % the
            server ends. None is 90 % of what machine and container have, 0 no limit.
        cancel_grace_s: How long a cancelled or timed-out attempt may take to end before it is abandoned.
        close_grace_s: How long running attempts may go on when the engine closes; what is left resumes at the next start.
        commit_wait_s: How long a request waits for the disk to confirm before it is answered with `STORAGE_SLOW`.
        keep_ended_s: How long a run is kept after its end; then it is deleted, with its records. None keeps it for ever.
        keep_ended_runs: How many runs that have ended are kept, the newest; None keeps all.
        recent_records: Records a live run keeps in memory for its subscribers; older ones are read from the journal.
    """

    journal: str = "memory:"
    journal_check: JournalCheck = "full"
    accept_data_loss: bool = False
    allow_network_filesystem: bool = False
    datasets_dir: Path | None = None
    artifacts_dir: Path | None = None
    max_artifact_bytes: int = 256 * 1_048_576
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    max_active_runs: int = 10_000
    max_pending_runs: int = 100_000
    max_waiting_runs: int = 100_000
    max_workers_per_node: int = 1_000
    max_idle_workers: int = 4_096
    tool_threads: int = 16
    cpu_threads: int = field(default_factory=_cores)
    tool_processes: int = 4
    tool_memory_mb: int = 1_024
    max_abandoned: int = 16
    block_limit_s: float | None = 1.0
    max_memory_mb: int | None = None
    cancel_grace_s: float = 10.0
    close_grace_s: float = 20.0
    commit_wait_s: float = 2.0
    keep_ended_s: float | None = None
    keep_ended_runs: int | None = None
    recent_records: int = 256
