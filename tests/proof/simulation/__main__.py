"""`python -m tests.proof.simulation --seeds 1000 --first 0 --processes 2`: simulate seeds until all are done."""

import argparse
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Final

from tests.proof.simulation.simulate import Trace, simulate

SEEDS: Final = Path(__file__).with_name("seeds.txt")
SHOWN_EVERY_S: Final = 10.0


def main() -> int:
    """Simulate what the options say; return 1 if any seed fails."""
    options = _options()
    started = shown = time.monotonic()
    failed: list[int] = []
    struck: Counter[str] = Counter()
    done = runs = records = 0
    with multiprocessing.Pool(options.processes) as pool:
        seeds = range(options.first, options.first + options.seeds)
        for seed, trace, failure in pool.imap_unordered(_simulated, seeds, chunksize=8):
            done += 1
            if trace is None:
                failed.append(seed)
                print(
                    f"\nseed {seed} fails:\n{failure}\nagain: python -m tests.proof.simulation --first {seed} --seeds 1"
                )
            else:
                runs, records = runs + trace.runs, records + trace.records
                struck.update(trace.struck)
                if options.digests:
                    print(f"{seed} {trace.digest}")
            if time.monotonic() - shown > SHOWN_EVERY_S:
                shown = time.monotonic()
                print(
                    f"{done:,} seeds, {len(failed)} failed, {(shown - started) / done * 1000:.0f} ms each", flush=True
                )
            if len(failed) >= options.max_failures:
                break
    seconds = time.monotonic() - started
    print(f"{done:,} seeds in {seconds:.0f} s: {runs:,} runs, {records:,} records, {sum(struck.values()):,} troubles")
    print(", ".join(f"{deed} {times:,}" for deed, times in sorted(struck.items())))
    if failed:
        print(f"{len(failed)} failed: {sorted(failed)}")
        if options.keep:
            with SEEDS.open("a") as file:
                file.writelines(f"{seed}\n" for seed in sorted(failed))
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=2, help="how many at once")
    parser.add_argument("--max-failures", type=int, default=20, help="stop after that many seeds have failed")
    parser.add_argument("--digests", action="store_true", help="print what each seed came to as a digest")
    parser.add_argument("--keep", action="store_true", help="append failing seeds to seeds.txt, which the tests repeat")
    return parser.parse_args()


def _simulated(seed: int) -> tuple[int, Trace | None, str]:
    try:
        return seed, simulate(seed), ""
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return seed, None, traceback.format_exc()


if __name__ == "__main__":
    sys.exit(main())
