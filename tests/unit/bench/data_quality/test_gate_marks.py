"""The gate with tools that are made up: what it says about perfect ones, silent ones and those that flag everything."""

import pytest

from bench.data_quality import gate
from bench.data_quality.gate import Marks, run_gate, summary, thinned
from bench.data_quality.injector import Injected, Table, inject
from bench.data_quality.scenarios import Scenario
from bench.data_quality.scoring import Result
from bench.data_quality.subjects import GATE

PENGUINS = next(subject for subject in GATE if subject.name == "penguins")
CHOSEN = [Scenario(PENGUINS, "typing", 0.02), Scenario(PENGUINS, "everything", 0.06)]
SEEDS = range(1, 3)


def every_injection() -> list[Injected]:
    table = PENGUINS.read()
    return [inject(table, seed, scenario.errors(len(table))) for scenario in CHOSEN for seed in SEEDS]


def all_knowing(table: Table) -> Result:
    for injected in every_injection():
        if injected.dirty == table:
            return Result(injected.kinds, frozenset(injected.duplicates), injected.clean, injected.clean)
    return silent(table)


def silent(table: Table) -> Result:
    return Result({}, frozenset(), table, table)


def shouting(table: Table) -> Result:
    emptied = {name: ["nothing"] * len(values) for name, values in table.items()}
    flags = {(row, name): "typo" for name, values in table.items() for row in range(len(values))}
    return Result(flags, frozenset(), emptied, emptied)


def test_tools_that_know_everything_have_full_marks() -> None:
    tables, counts = run_gate(CHOSEN, SEEDS, all_knowing, lambda line: None)
    assert tables == {"penguins": Marks(1, 1, 1, 1, 1, 1, 1, 0, 0)}
    assert counts.rows.f1 == 1
    assert sum(counts.of_kind[kind, "wrong"] for kind, _ in set(counts.of_kind)) > 0


def test_silent_tools_find_nothing_and_break_nothing() -> None:
    tables, _ = run_gate(CHOSEN, SEEDS, silent, lambda line: None)
    assert tables == {"penguins": Marks(1, 0, 0, 1, 0, 0, 1, 0, 0)}


def test_tools_that_flag_everything_are_all_false_alarm() -> None:
    tables, counts = run_gate(CHOSEN, SEEDS, shouting, lambda line: None)
    marks = tables["penguins"]
    assert marks.detection_recall == 1
    assert marks.detection_precision < 0.08
    assert (marks.alarms, marks.broken, marks.auto_precision) == (1000, 100, 0)
    assert "broken 100.0000 %" in summary(tables, counts)


def test_a_mix_with_many_errors_counts_as_much_as_one_with_few() -> None:
    def only_the_first(table: Table) -> Result:
        return all_knowing(table) if len(next(iter(table.values()))) == 344 else silent(table)

    tables, _ = run_gate(CHOSEN, SEEDS, only_the_first, lambda line: None)
    assert tables["penguins"].detection_f1 == 0.5


def test_the_same_tools_print_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for _ in range(2):
        tables, counts = run_gate(CHOSEN, SEEDS, all_knowing)
        print("\n".join(gate.kinds(counts)), summary(tables, counts))
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "penguins everything 6%" in printed[0]
    assert "near_duplicate" in printed[0]


def test_an_unknown_table_is_refused_with_the_names_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gate", "--table", "pinguins"])
    with pytest.raises(SystemExit, match="2"):
        gate.main()
    assert "penguins" in capsys.readouterr().err


def test_a_large_table_is_thinned_evenly_and_a_small_one_is_left_alone() -> None:
    table = {"a": [str(row) for row in range(10)], "b": [""] * 10}
    assert thinned(table, None) == thinned(table, 20) == table
    assert thinned(table, 19)["a"] == ["0", "2", "4", "6", "8"]
    assert thinned(table, 9)["a"] == ["0", "3", "6", "9"]
