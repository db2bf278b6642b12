"""Measures what ADR 0003 and ADR 0004 rest on: `PYTHONPATH=. python docs/adr/evidence/journal.py [FOLDER]`.

Prints commits per second, the price of one statement per row beside a busy thread, and the price of one entry per record.
"""

# ruff: noqa: T201 - a measurement prints its table

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import apsw

from runtime.journal import Entry, RunRow, SqliteJournal
from runtime.journal.base import chain_next, chain_start

LINE = b'{"event":"step_completed","seq":4,"node":"count","iteration":1,"update":{"n":2}' + b" " * 170 + b"}"
COLUMNS = "run, first_seq, count, epoch, body, hash"


def table(path: Path, synchronous: str) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(f"CREATE TABLE journal (position INTEGER PRIMARY KEY, {COLUMNS})")
    connection.execute("CREATE UNIQUE INDEX journal_by_run ON journal (run, first_seq)")
    return connection


def insert(connection: apsw.Connection, first: int, rows: int, per_statement: int) -> None:
    sql = f"INSERT INTO journal ({COLUMNS}) VALUES " + ", ".join(["(?, ?, ?, ?, ?, ?)"] * per_statement)  # noqa: S608
    connection.execute("BEGIN IMMEDIATE")
    for start in range(first, first + rows, per_statement):
        numbers = range(start, start + per_statement)
        connection.execute(sql, [value for n in numbers for value in (n % 50, n, 1, 1, LINE, b"h" * 16)])
    connection.execute("COMMIT")


def median_ms(action: Callable[[int], None], times: int) -> float:
    taken = []
    for number in range(times):
        started = time.perf_counter()
        action(number)
        taken.append((time.perf_counter() - started) * 1000)
    return median(taken)


def commits(folder: Path) -> None:
    for synchronous in ("FULL", "NORMAL"):
        for rows in (1, 10, 100):
            connection = table(folder / f"{synchronous}{rows}.db", synchronous)
            ms = median_ms(lambda n, c=connection, r=rows: insert(c, n * r, r, r), 2_000)  # type: ignore[misc]
            print(f"synchronous={synchronous:6} {rows:3} rows per commit: {ms:6.3f} ms, {1000 / ms:8,.0f} commits/s")


def beside_a_busy_thread(folder: Path) -> None:
    stop = threading.Event()

    def spin() -> None:
        number = 0
        while not stop.is_set():
            for _ in range(1_000):
                number += 1

    for interval in (0.005, 0.0005):
        sys.setswitchinterval(interval)
        stop.clear()
        thread = threading.Thread(target=spin)
        thread.start()
        for per_statement in (1, 100):
            connection = table(folder / f"busy{interval}{per_statement}.db", "FULL")
            ms = median_ms(lambda n, c=connection, p=per_statement: insert(c, n * 100, 100, p), 40)  # type: ignore[misc]
            print(
                f"switch interval {interval * 1000:g} ms, {per_statement:3} rows per statement: {ms:6.1f} ms for 100 rows"
            )
        stop.set()
        thread.join()


def entries(folder: Path) -> None:
    for records_per_entry in (1, 5):
        journal = SqliteJournal(folder / f"entries{records_per_entry}.db")
        epoch = journal.open()
        now = datetime.now(UTC)
        journal.commit(
            [Entry(r, 1, 1, epoch, LINE, b"", RunRow(r, f"run-{r}", "g", "running", now)) for r in range(50)]
        )
        heads = {run: chain_start(f"run-{run}") for run in range(50)}

        def decide(
            number: int, journal: SqliteJournal = journal, epoch: int = epoch, size: int = records_per_entry
        ) -> None:
            batch = []
            for run, head in heads.items():  # noqa: B023 - called before the next round
                for part in range(0, 5, size):
                    body = b"\n".join([LINE] * size)
                    heads[run] = head = chain_next(head, body)  # noqa: B023
                    batch.append(Entry(run, 2 + number * 5 + part, size, epoch, body, head))
            journal.commit(batch)

        ms = median_ms(decide, 400)
        print(f"{records_per_entry} record(s) per entry: {ms:6.2f} ms to chain and commit 250 records of 50 runs")
        journal.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        for measure in (entries, commits, beside_a_busy_thread):
            measure(Path(name))
