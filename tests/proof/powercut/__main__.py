"""Cuts the power of a simulated disk: `python -m tests.proof.powercut --cuts 10000 --seed 1 --processes 2`.

Ends with 1 if anything acknowledged was lost or the journal was damaged, and says how to repeat each story in which it was.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import count

from tests.proof.powercut.harness import Tally, known_seeds, run, tell
from tests.proof.powercut.journals import BUGS, Bug


def main() -> int:
    """Run the command line."""
    options = _options()
    begun = time.perf_counter()
    tally = Tally()
    if options.story is not None:
        tell(options.story, tally, options.bug)
    else:
        for seed in known_seeds():
            tell(seed, tally, options.bug)
        share = -(-options.cuts // options.processes)
        with ProcessPoolExecutor(options.processes) as pool:
            parts = [
                pool.submit(_part, options.seed + place, options.processes, share, options.bug)
                for place in range(options.processes)
            ]
            for part in parts:
                tally.merge(part.result())
    _report(tally, time.perf_counter() - begun, options.bug)
    return 1 if tally.failures else 0


def _part(first: int, step: int, cuts: int, bug: Bug | None) -> Tally:
    return run(count(first, step), cuts, bug)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.powercut", description=__doc__)
    parser.add_argument("--cuts", type=int, default=200, help="how often the power fails, at least")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first story; the others follow")
    parser.add_argument("--processes", type=int, default=1, help="how many processes share the work")
    parser.add_argument("--story", type=int, help="tell the story of this seed alone")
    parser.add_argument("--bug", choices=BUGS, help="work a journal with this bug, to see whether it is found")
    return parser.parse_args()


def _report(tally: Tally, seconds: float, bug: Bug | None) -> None:
    cuts = tally.cuts.total()
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(tally.cuts.items()))
    print(f"{cuts:,} cuts ({kinds}) in {seconds:.0f} s, {cuts / seconds:.0f} per second")
    print(
        f"{tally.acknowledged:,} acknowledgements looked for; {sum(tally.faults.values())} faults {dict(tally.faults)}"
    )
    print(
        f"on its way when the power failed: {tally.present:,} times there as a whole, {tally.absent:,} times not at all"
    )
    for seed, fault in tally.failures.items():
        repeat = f"python -m tests.proof.powercut --story {seed}" + (f" --bug {bug}" if bug else "")
        print(f"  {repeat}\n    {fault}")


if __name__ == "__main__":
    sys.exit(main())
