"""The limit of the process's memory: two thresholds, and where the limit comes from."""

import threading
from pathlib import Path

import pytest
import structlog
from structlog.testing import CapturingLogger

from runtime.actors.memory_limit import MemoryLimit, available_bytes, limit_of, used_bytes
from runtime.errors import Overloaded

MIB = 1 << 20


class Used:
    """What a process uses, as the test says."""

    def __init__(self) -> None:
        self.percent = 10

    def __call__(self) -> int:
        return self.percent * MIB


@pytest.fixture
def used() -> Used:
    return Used()


@pytest.fixture
def log() -> CapturingLogger:
    return CapturingLogger()


@pytest.fixture
def memory(used: Used, log: CapturingLogger) -> MemoryLimit:
    return MemoryLimit(100 * MIB, structlog.wrap_logger(log, processors=[]), used)


def test_runs_are_refused_beyond_70_percent_and_taken_again_below(
    memory: MemoryLimit, used: Used, log: CapturingLogger
) -> None:
    for percent, is_short in ((70, False), (71, True), (89, True), (60, False)):
        used.percent = percent
        memory.look()
        assert memory.is_short is is_short
        if is_short:
            with pytest.raises(Overloaded, match="100 MiB") as refused:
                memory.check()
            assert refused.value.retry_after_s
        else:
            memory.check()
    assert [call.kwargs["used_mb"] for call in log.calls] == [71]


def test_beyond_90_percent_memory_is_exhausted_once_and_for_good(
    memory: MemoryLimit, used: Used, log: CapturingLogger
) -> None:
    acted: list[int] = []
    memory.call_when_exhausted(lambda: acted.append(threading.get_ident()))
    assert acted == []
    for percent in (91, 95, 50, 92):
        used.percent = percent
        memory.look()
        assert memory.is_exhausted
        assert memory.is_short
    assert len(acted) == 1
    assert [call.method_name for call in log.calls].count("error") == 1


def test_who_asks_late_is_told_at_once(memory: MemoryLimit, used: Used) -> None:
    acted: list[bool] = []
    used.percent = 99
    memory.look()
    memory.call_when_exhausted(lambda: acted.append(True))
    assert acted == [True]


def test_what_this_process_uses_is_measured() -> None:
    before = used_bytes()
    held = bytearray(64 * MIB)
    held[::4096] = b"x" * len(held[::4096])
    assert used_bytes() - before > 32 * MIB


@pytest.mark.parametrize(
    ("group", "files", "limit"),
    [
        ("0::/\n", {"memory.max": "1048576\n"}, MIB),
        ("0::/a/b\n", {"a/memory.max": "2097152\n", "a/b/memory.max": "max\n"}, 2 * MIB),
        ("0::/host/path\n", {"memory.max": "1048576\n"}, MIB),
        ("5:cpu:/\n4:memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "1048576\n"}, MIB),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("0::/\n", {"memory.max": "max\n"}, None),
    ],
)
def test_the_limit_of_the_control_group_counts(
    tmp_path: Path, group: str, files: dict[str, str], limit: int | None
) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(group)
    for name, text in files.items():
        (tmp_path / "cgroups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroups" / name).write_text(text)
    machine = available_bytes(tmp_path / "none", tmp_path / "none")
    assert machine is not None
    assert available_bytes(tmp_path / "proc", tmp_path / "cgroups") == (limit or machine)


def test_a_setting_is_in_mib_and_zero_is_no_limit() -> None:
    available = available_bytes()
    assert available is not None
    assert limit_of(5) == 5 * MIB
    assert limit_of(0) is None
    assert limit_of(None) == int(available * 0.9)
