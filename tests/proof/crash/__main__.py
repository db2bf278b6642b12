"""`python -m tests.proof.crash --kills N --seed S [--out DIR]`: run series of kills until enough servers have died."""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.proof.crash.loop import Report, Series

PER_SERIES: Final = 20


def main() -> int:
    """Return 0 if every invariant held, 1 at the first series in which one did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=PER_SERIES, help="how often a server is killed in all")
    parser.add_argument("--seed", default=None, help="what everything is drawn from; without one a new one is drawn")
    parser.add_argument("--rate", type=float, default=60.0, help="runs submitted per second")
    parser.add_argument(
        "--out", type=Path, default=Path("crash-output"), help="folder for the summary, and for evidence"
    )
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else f"{random.SystemRandom().getrandbits(32):x}"
    print(f"seed {seed}: {options.kills} kills in series of {PER_SERIES}", flush=True)
    return asyncio.run(_run(options.kills, seed, options.rate, options.out))


async def _run(kills: int, seed: str, rate: float, out: Path) -> int:
    folder = out / f"{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    reports: list[Report] = []
    while kills > 0:
        of_series = min(PER_SERIES, kills)
        kills -= of_series
        name = f"{seed}.{len(reports) + 1}"
        report = await Series(folder / name, name, of_series, rate=rate).run()
        reports.append(report)
        print(report.line, flush=True)
        _summarize(folder, reports)
        if report.violations:
            print(*(f"  {wrong}" for wrong in report.violations[:40]), sep="\n", flush=True)
            print(f"Everything about it is in {folder / name}; the seed is {seed}.", flush=True)
            return 1
    return 0


def _summarize(folder: Path, reports: list[Report]) -> None:
    points: Counter[str] = sum((report.points for report in reports), Counter())
    total: dict[str, Any] = {
        name: sum(getattr(report, name) for report in reports)
        for name in ("kills", "submitted", "acked", "replayed", "unanswered", "ended", "records", "effects", "watched")
    }
    summary = {
        "total": {
            **total,
            "kills_at_points": dict(sorted(points.items())),
            "slowest_restart_s": max((time for report in reports for time in report.restarts_s), default=0),
            "seconds": round(sum(report.seconds for report in reports), 1),
            "violations": sum(len(report.violations) for report in reports),
        },
        "series": [report.as_json() for report in reports],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1))


if __name__ == "__main__":
    sys.exit(main())
