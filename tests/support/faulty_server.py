"""`python -m tests.support.faulty_server [--fault POINT:N:kill[:ABOUT]]... [--standby] -- ARGUMENTS`: a server with faults.

Everything behind `--` is the command line of `python -m api`, which runs in this very process. SIGUSR1 writes the stacks of all
threads to standard error. With `--standby` everything is imported, and then one line on standard input is waited for before
anything is opened: further faults, separated by spaces, or an empty line; at its end the process leaves with 0.
"""

import argparse
import faulthandler
import signal
import sys

from runtime.testing.fault_points import Fault, injected


def main(arguments: list[str]) -> None:
    """Install the faults, then be the server."""
    place = arguments.index("--")
    parser = argparse.ArgumentParser(prog="tests.support.faulty_server")
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--standby", action="store_true")
    options = parser.parse_args(arguments[:place])
    faulthandler.register(signal.SIGUSR1, all_threads=True)

    import api.server  # noqa: F401 - the long part of a start
    from api.__main__ import cli

    faults = options.fault
    if options.standby:
        line = sys.stdin.readline()
        if not line:
            return
        faults += line.split()
    with injected(*map(Fault.parse, faults)):
        cli(arguments[place + 1 :], prog_name="python -m api")


if __name__ == "__main__":
    main(sys.argv[1:])
