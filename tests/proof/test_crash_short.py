"""The crash loop in short: one series of twenty kills at named points and by chance. The long one is `make crash KILLS=1000`."""

import asyncio
from pathlib import Path

import pytest

from tests.proof.crash.loop import Series


@pytest.mark.acceptance
@pytest.mark.timeout(300)
def test_twenty_kills_under_load_break_no_invariant(tmp_path: Path) -> None:
    report = asyncio.run(Series(tmp_path / "series", "short", 20, rate=40.0, lives=(0.1, 0.8)).run())
    assert report.violations == [], report.line
    assert report.kills == 20
    assert len(report.points) >= 12, report.line
    assert report.submitted == report.acked == report.ended > 100
