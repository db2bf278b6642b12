"""Which columns determine which, in tables with errors in them, and what the rows of a group say about a cell."""

import random
from collections.abc import Callable

import polars as pl
import pytest

from tests.support.quality_tables import (
    Columns,
    changed,
    cleaned,
    found,
    judged,
    scattered,
    sites,
    slips,
    swapped,
    table_of,
    words,
)
from tools.data_quality.columns.table import Table
from tools.data_quality.dependencies import mining, together
from tools.data_quality.dependencies.agreement import lasts
from tools.data_quality.dependencies.keys import Keys
from tools.data_quality.dependencies.mining import mine
from tools.data_quality.dependencies.model import Dependency
from tools.data_quality.dependencies.voting import agreeing, vote_all
from tools.data_quality.detectors import dependency, order

SITES = sites()


def mined(table: Table) -> dict[tuple[str, ...], Dependency]:
    """(dependent, determinants ...) -> dependency; a determinant in another row is written with its offset."""
    names = [column.name for column in table.columns]
    found = {}
    for item in mine(Keys(table)):
        offset = f"@{item.offset}" if item.offset else ""
        found[names[item.dependent], *(names[place] + offset for place in item.determinants)] = item
    return found


def pairs(columns: Columns) -> set[tuple[str, ...]]:
    return set(mined(table_of(**columns)))


def votes(columns: Columns, *dependencies: tuple[str, ...]) -> list[tuple[str, int, object, float]]:
    """(column, row, winner, confidence) where (dependent, determinants ...) vote, all with an agreement of 0.99."""
    table = table_of(**columns)
    places = {column.name: place for place, column in enumerate(table.columns)}
    items = [
        Dependency(tuple(places[name] for name in determinants), places[dependent], 0.99)
        for dependent, *determinants in dependencies
    ]
    return [
        (table.columns[place].name, verdict.row, table.columns[place].values[verdict.winner], verdict.confidence)
        for place, verdicts in vote_all(Keys(table), items).items()
        for verdict in verdicts
    ]


def grouped(groups: int, size: int) -> list[str]:
    return [f"G{number}" for number in range(groups) for _ in range(size)]


# Mining


def test_what_names_an_entity_determines_what_is_said_of_it() -> None:
    assert pairs(SITES) == {
        *(("site", "name"), ("name", "site")),
        *(("town", "site"), ("town", "name"), ("town", "postcode")),
        *(("postcode", "site"), ("postcode", "name"), ("postcode", "town")),
        *(("region", "site"), ("region", "name"), ("region", "town"), ("region", "postcode")),
    }


def test_a_dependency_is_found_with_errors_in_both_of_its_columns() -> None:
    towns, codes = slips(1), iter(range(100, 125))
    dirty = changed(
        SITES,
        town=scattered(SITES, "town", 25, towns, 1),
        site=scattered(SITES, "site", 25, lambda cell: f"S-{next(codes)}", 2),
    )
    assert {("town", "site"), ("name", "site"), ("town", "postcode")} <= pairs(dirty)
    assert mined(table_of(**dirty))["town", "site"].agreement < 0.95


def test_gaps_neither_make_nor_break_a_dependency() -> None:
    dirty = changed(SITES, town=scattered(SITES, "town", 120, lambda cell: None))
    assert mined(table_of(**dirty))["town", "site"].agreement == 1.0


def test_spellings_that_differ_in_case_and_space_are_one_value() -> None:
    dirty = changed(SITES, town=scattered(SITES, "town", 60, lambda cell: f" {str(cell).upper()} "))
    assert mined(table_of(**dirty))["town", "site"].agreement == 1.0
    assert judged(dirty).by_kind.get("dependency", 0) == 0


def test_one_town_name_in_two_regions_is_an_exception_and_no_error() -> None:
    """What disagrees repeats: the larger town of each pair outnumbers the smaller one, and neither is wrong."""
    towns = words(30)
    regions = {town: ("North", "South") if number % 3 == 0 else ("East",) for number, town in enumerate(towns)}
    order = [
        (town, region)
        for town in towns
        for place, region in enumerate(regions[town])
        for _ in range(14 if place == 0 else 3)
    ]
    random.Random(4).shuffle(order)
    columns: Columns = {"town": [town for town, _ in order], "region": [region for _, region in order]}
    assert ("region", "town") not in pairs(columns)
    assert judged(columns).by_kind == {}


@pytest.mark.parametrize("seed", range(5))
def test_columns_that_have_nothing_to_do_with_each_other_do_not_depend(seed: int) -> None:
    chance = random.Random(seed)
    columns: Columns = {
        name: [chance.choice(values) for _ in range(400)]
        for name, values in (("a", words(30)), ("b", words(12, 1)), ("c", ["yes", "no"]), ("d", words(60, 2)))
    }
    columns["skewed"] = ["usual" if chance.random() < 0.9 else chance.choice(words(5, 3)) for _ in range(400)]
    assert pairs(columns) == set()
    assert judged(columns).by_kind == {}


def test_small_groups_that_agree_by_chance_are_no_evidence() -> None:
    """Pairs of rows that share a key agree in a skewed column about as often as any two rows."""
    chance = random.Random(2)
    key = [f"K{number // 2}" for number in range(400)]
    columns: Columns = {"key": key, "kind": ["jet" if chance.random() < 0.9 else "prop" for _ in key]}
    assert pairs(columns) == set()


@pytest.mark.parametrize(("groups", "expected"), [(7, 0), (9, 1)])
def test_a_few_groups_make_no_rule(groups: int, expected: int) -> None:
    names = words(9)
    key = grouped(groups, 8)
    columns: Columns = {"key": key, "name": [names[int(cell[1:])] for cell in key]}
    assert len([pair for pair in pairs(columns) if pair == ("name", "key")]) == expected


@pytest.mark.parametrize(("groups", "size", "expected"), [(6, 12, 0), (3, 60, 0), (4, 30, 1), (6, 30, 1)])
def test_few_groups_make_a_rule_where_they_are_large(groups: int, size: int, expected: int) -> None:
    key, names = grouped(groups, size), words(9)
    columns: Columns = {"key": key, "name": [names[int(cell[1:])] for cell in key]}
    assert len([pair for pair in pairs(columns) if pair == ("name", "key")]) == expected


def test_few_groups_make_no_rule_where_nearly_all_have_the_same_value() -> None:
    key = grouped(6, 30)
    columns: Columns = {"key": key, "engine": ["piston" if cell == "G0" else "jet" for cell in key]}
    assert ("engine", "key") not in pairs(columns)


def wards(wrong: Callable[[int, list[str]], str]) -> Columns:
    """600 visits to ten wards; every seventh has another name of a ward than its code says."""
    names = words(10)
    columns: Columns = {"code": [f"W{row % 10}" for row in range(600)], "ward": [names[row % 10] for row in range(600)]}
    return changed(columns, ward={row: wrong(row, names) for row in range(3, 600, 7)})


def test_errors_in_large_groups_repeat_by_chance_and_exceptions_gather_in_one_value() -> None:
    chance = random.Random(3)
    scattered_errors = wards(lambda row, names: chance.choice([name for name in names if name != names[row % 10]]))
    gathered = wards(lambda row, names: names[(row + 1) % 10])
    assert mined(table_of(**scattered_errors))["ward", "code"].repeated > 0.5
    assert ("ward", "code") not in pairs(gathered)
    wrong = set(range(3, 600, 7))
    assert {row for row, name in found(scattered_errors) if name == "ward"} == wrong


def near_constant() -> Columns:
    """A state that is nearly always the same one, but for sites of two others."""
    columns = sites(60, 12)
    columns["state"] = [
        {"S-20": "Vermland", "S-21": "Skoneland"}.get(str(site), "Jamtland") for site in columns["site"]
    ]
    return columns


def test_in_a_nearly_constant_column_only_a_slip_of_the_usual_value_is_an_error() -> None:
    columns = near_constant()
    item = mined(table_of(**columns))["state", "site"]
    assert item.foreign_only
    row = columns["site"].index("S-40")
    other = columns["site"].index("S-41")
    dirty = changed(columns, state={row: "Jmatland", other: "Halland"})
    told = {
        flag.rows: flag
        for flag in dependency.check_all(list(dependency.discover(table_of(**dirty))), table_of(**dirty))
    }
    assert set(told) == {(row,)}, "the slip; the other value stands for itself, and may be true"
    assert told[row,].confidence > 0.9


def test_a_usual_value_of_another_group_is_no_slip_in_a_nearly_constant_column() -> None:
    columns = near_constant()
    row = columns["site"].index("S-40")
    assert not judged(changed(columns, state={row: "Vermland"})).by_kind


def offices() -> Columns:
    """Each town has one office, but ten towns have a second one, which is the one that is open in the evening."""
    towns = words(40)
    order = [(town, "evening" if visit < 3 else "day") for town in towns for visit in range(30)]
    random.Random(6).shuffle(order)
    second = set(towns[:10])
    return {
        "town": [town for town, _ in order],
        "time": [time for _, time in order],
        "office": [f"{town} {'branch' if time == 'evening' and town in second else 'office'}" for town, time in order],
    }


def test_two_columns_together_determine_what_one_does_with_exceptions() -> None:
    columns = offices()
    wrong = iter(words(40, 77))
    dirty = changed(columns, office=scattered(columns, "office", 40, lambda cell: next(wrong)))
    assert ("office", "town", "time") in pairs(dirty)
    judgement = judged(dirty)
    found = {anomaly.row for anomaly in judgement.anomalies(judgement.flags) if anomaly.column == "office"}
    branches = {row for row, office in enumerate(dirty["office"]) if str(office).endswith("branch")}
    assert not found & branches, "the second office is an office"
    day = {row for row in range(len(dirty["town"])) if dirty["office"][row] != columns["office"][row]}
    assert len(found & day) >= 35


def ways(seed: int = 1, between: int = 12) -> Columns:
    """Journeys between towns: a way has one length and one kind of road, from here to there; neither town alone has."""
    chance = random.Random(seed)
    towns = words(between)
    length = {(start, end): str(chance.randint(20, 900)) for start in towns for end in towns}
    road = {way: chance.choice(("Bridge", "Tunnel", "Ferry", "Track", "Pass")) for way in length}
    choice = sorted(length)
    trips = [chance.choice(choice) for _ in range(1_200)]
    return {
        "start": [start for start, _ in trips],
        "end": [end for _, end in trips],
        "miles": [length[way] for way in trips],
        "road": [road[way] for way in trips],
        "load": [str(chance.randint(1, 40)) for _ in trips],
    }


def test_two_columns_together_determine_what_neither_does_alone() -> None:
    columns = ways()
    assert pairs(columns) == {("miles", "start", "end"), ("road", "start", "end")}
    dirty = changed(columns, miles={5: columns["miles"][6], 700: columns["miles"][701]})
    assert found(dirty) == [(5, "miles"), (700, "miles")]
    assert cleaned(dirty).proposed.content == columns


def test_two_columns_determine_nothing_where_one_does_or_most_rows_are_alone() -> None:
    assert not [pair for pair in pairs(SITES) if len(pair) > 2]
    assert pairs(ways(between=60)) == set(), "hardly any way is gone twice"
    often, seldom = ways(between=5), ways(seed=2, between=400)
    few = {name: [*seldom[name], *often[name][:200]] for name in often}
    assert ("road", "start", "end") not in pairs(few), "a few ways are gone often, and most of the rows are no such way"
    numbers = ways()
    towns = sorted(set(numbers["start"]))
    numbers |= {name: [str(100 * towns.index(town)) for town in numbers[name]] for name in ("start", "end")}
    assert pairs(numbers) == set(), "measures nearly decide anything"


def test_of_a_large_table_whole_groups_of_two_columns_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_SAMPLE_ROWS", 300)
    assert pairs(ways()) == {("miles", "start", "end"), ("road", "start", "end")}
    columns = ways()
    sample = together._sample(Keys(table_of(**columns)), 0, 1)
    assert sample is not None
    assert sample.height <= 300
    chosen = set(sample.select("0", "1").rows())
    keys = Keys(table_of(**columns)).frame.select("0", "1").rows()
    others = {row: str(row % 90) for row, pair in enumerate(keys) if pair not in chosen}
    assert ("miles", "start", "end") not in pairs(changed(columns, miles=others)), "the sample is not all"


def test_what_is_decided_already_does_not_sharpen() -> None:
    """The area hangs on the town, so that with both of them a wrong area would only hide what is wrong."""
    columns = offices()
    columns["time"] = [f"area {int(str(town), 36) % 5}" for town in columns["town"]]
    wrong = iter(words(40, 77))
    dirty = changed(columns, office=scattered(columns, "office", 40, lambda cell: next(wrong)))
    assert not [pair for pair in pairs(dirty) if len(pair) > 2]


def panel(sources: int = 12, entities: int = 40, wrong: float = 0.25, seed: int = 8) -> Columns:
    """Every source tells the same facts; a fourth of what they say is wrong, some sources more often than others."""
    chance = random.Random(seed)
    truth = [f"{chance.randint(0, 23):02}:{chance.randint(0, 59):02}" for _ in range(entities)]
    columns: Columns = {"site": [], "train": [], "leaves": []}
    for source in range(sources):
        for entity in range(entities):
            said = truth[entity]
            if chance.random() < wrong * (1.6 if source % 2 else 0.4):
                said = f"{chance.randint(0, 23):02}:{chance.randint(0, 59):02}"
            columns["site"].append(f"source {source}")
            columns["train"].append(f"train {entity} of {['A', 'B'][entity % 2]}")
            columns["leaves"].append(said)
    columns["truth"] = [truth[int(str(train).split()[1])] for train in columns["train"]]
    return columns


def test_sources_that_contradict_each_other_are_recognised_and_only_suggest() -> None:
    columns = panel()
    truth = columns.pop("truth")
    item = mined(table_of(**columns))["leaves", "train"]
    assert item.is_noisy
    assert item.source == 0
    judgement = judged(columns)
    anomalies = judgement.anomalies(flag for flag in judgement.flags if flag.column == 2)
    assert {anomaly.tier for anomaly in anomalies} == {"suggest"}
    wrong = {row for row, said in enumerate(columns["leaves"]) if said != truth[row]}
    found = {anomaly.row for anomaly in anomalies if anomaly.confidence >= 0.5}
    assert found == wrong
    assert all(anomaly.suggestion and anomaly.suggestion.value == truth[anomaly.row] for anomaly in anomalies)
    assert cleaned(columns).repaired.content == columns, "a majority is likely, and not certain"


def test_a_majority_of_sources_waits_also_where_another_detector_speaks_against_the_cell() -> None:
    columns = panel()
    truth = columns.pop("truth")
    columns["arrives"] = [later(str(said), 30 + row % 40) for row, said in enumerate(truth)]
    judgement = judged(columns)
    rules = [rule for rule in judgement.rules if rule.type == "compare"]
    against = {row for rule in rules for flag in order.check(rule, judgement.table) for row in flag.rows or ()}
    suggested = [flag for flag in judgement.flags if flag.column == 2 and flag.suggestion is not None]
    assert against & {row for flag in suggested for row in flag.rows or ()}, "no cell has both"
    assert {flag.tier for flag in suggested} == {"suggest"}


def later(said: str, minutes: int) -> str:
    total = (60 * int(said[:2]) + int(said[3:]) + minutes) % 1_440
    return f"{total // 60:02}:{total % 60:02}"


def test_a_year_is_no_source() -> None:
    columns = panel()
    del columns["truth"]
    columns["year"] = [1_990 + int(str(site).split()[1]) for site in columns.pop("site")]
    assert not any(item.is_noisy for item in mined(table_of(**columns)).values()), (
        "a train may leave later another year"
    )


def test_sources_that_agree_by_chance_tell_nothing() -> None:
    """Twelve towns and the weather of forty days: it rains in most of them on one day, and that is no fact about the day."""
    chance = random.Random(4)
    columns = panel()
    usual = {train: chance.choice(["dry", "dry", "wet"]) for train in columns["train"]}
    columns["leaves"] = [
        usual[train] if chance.random() < 0.7 else chance.choice(["dry", "wet"]) for train in columns["train"]
    ]
    assert ("leaves", "train") not in mined(table_of(**columns))


def jobs(*, lasting: bool) -> Columns:
    """Sixty people at eight visits with names; each has one of twelve jobs, and some change it or say another one for once."""
    chance = random.Random(6)
    kinds = words(12, seed=7)
    columns: Columns = {"person": [], "visit": [], "job": []}
    for person in range(60):
        job = kinds[person % 12]
        for visit in range(8):
            other = chance.choice(kinds)
            is_other = chance.random() < (0.12 if lasting else 0.35)
            job = other if lasting and is_other else job
            columns["person"].append(f"P{person:03}")
            columns["visit"].append(f"{words(8, seed=9)[visit]} visit")
            columns["job"].append(other if is_other else job)
    return columns


def test_a_state_that_lasts_from_visit_to_visit_is_not_told_by_sources() -> None:
    assert mined(table_of(**jobs(lasting=False)))["job", "person"].is_noisy
    assert not any(item.is_noisy for item in mined(table_of(**jobs(lasting=True))).values())
    assert found(jobs(lasting=True), "dependency") == []


def test_only_rows_of_one_group_follow_each_other() -> None:
    states = [state for person in range(9) for state in (2 * person, 2 * person, 2 * person + 1)]
    assert lasts(pl.DataFrame({"person": [row // 3 for row in range(27)], "state": states}), "person", "state")


def visits(*, at_the_end: bool) -> Columns:
    """Four visits of each of ninety people, in the order of time; the state of every sixth one differs in one of them."""
    columns: Columns = {"person": [], "works": []}
    for person in range(90):
        state = person // 6 % 2
        odd = None if person % 6 else (3, 0)[person // 12 % 2] if at_the_end else person // 6 % 4
        columns["person"] += [7_000 + person] * 4
        columns["works"] += [1 - state if visit == odd else state for visit in range(4)]
    return columns


def test_what_changes_in_the_course_of_time_is_not_determined() -> None:
    assert ("works", "person") not in pairs(visits(at_the_end=True))
    assert ("works", "person") in pairs(visits(at_the_end=False)), "anywhere among the visits: an error"
    named = visits(at_the_end=True)
    named["works"] = [["no", "yes"][int(str(cell))] for cell in named["works"]]
    assert ("works", "person") in pairs(named), "of words, tables sorted by another column show the same"


def test_a_measure_determines_only_where_it_names_something() -> None:
    chance = random.Random(3)
    widths = [round(chance.uniform(0, 3), 1) for _ in range(400)]
    columns: Columns = {"width": widths, "kind": [["narrow", "medium", "wide", "wide"][int(width)] for width in widths]}
    wrong = iter(words(30, seed=5))
    dirty = changed(columns, kind=scattered(columns, "kind", 24, lambda cell: next(wrong)))
    assert ("kind", "width") not in pairs(dirty)
    whole = {"width": [f"{int(10 * float(str(width)))}.0" for width in widths], "kind": dirty["kind"]}
    few = changed(columns, kind=scattered(columns, "kind", 6, lambda cell: next(wrong)))
    assert ("kind", "width") in pairs(few), "exactly enough"
    assert ("kind", "width") in pairs(whole), "a whole number may name something, however it is written"
    dirty["name"] = [f"part {width}" for width in widths]
    assert ("kind", "width") in pairs(dirty), "each part has its width, and each width its part"


def test_where_sources_agree_nothing_special_is_made_of_them() -> None:
    columns = panel(wrong=0.02)
    del columns["truth"]
    assert not mined(table_of(**columns))["leaves", "train"].is_noisy


def test_a_reliable_source_outweighs_two_that_err() -> None:
    """Two poor sources agree by chance now and then; what they say together weighs less than one that is always right."""
    columns: Columns = {"entity": [], "source": [], "fact": []}
    for entity in range(30):
        truth = f"fact {entity}"
        said: list[str | None] = [truth, truth, truth, f"a {entity}", f"b {entity}"]
        if entity == 29:
            said = [truth, truth, None, "wrong", "wrong"]
        for source, fact in enumerate(said):
            columns["entity"].append(f"E{entity}")
            columns["source"].append(f"source {source}")
            columns["fact"].append(fact)
    table = table_of(**columns)
    verdicts = vote_all(Keys(table), [Dependency((0,), 2, 0.6, source=1)])[2]
    contested = {verdict.row: table.columns[2].values[verdict.winner] for verdict in verdicts if verdict.row >= 145}
    assert contested == dict.fromkeys((147, 148, 149), "fact 29"), "not one good source against two poor ones in 145"


def sequence(rounds: int = 12, steps: int = 9) -> Columns:
    names = words(steps, 5)
    chance = random.Random(1)
    return {
        "step": [names[step] for _ in range(rounds) for step in range(steps)],
        "weight": [str(chance.randint(10**5, 10**7)) for _ in range(rounds * steps)],
    }


def test_the_order_of_rows_decides_where_nothing_else_does() -> None:
    columns = sequence()
    assert pairs(columns) == {("step", "step@-1"), ("step", "step@1")}
    assert judged(columns).by_kind == {}
    dirty = changed(columns, step={50: "Something else"})
    judgement = judged(dirty)
    [anomaly] = judgement.anomalies(judgement.flags)
    assert (anomaly.row, anomaly.suggestion and anomaly.suggestion.value) == (50, columns["step"][50])


def test_the_order_of_rows_gives_way_to_what_is_written_in_them() -> None:
    columns = sequence()
    columns["code"] = [f"C{columns['step'].index(cell)}" for cell in columns["step"]]
    assert pairs(columns) == {("step", "code"), ("code", "step")}


def test_a_row_left_out_of_an_order_is_no_error() -> None:
    """Both neighbours of the gap speak against each other, so neither is believed."""
    columns = sequence()
    short = {name: [cell for row, cell in enumerate(cells) if row not in (30, 57)] for name, cells in columns.items()}
    assert judged(short).by_kind == {}


def test_a_sorted_column_is_no_sequence() -> None:
    columns: Columns = {"step": [name for name in sorted(words(12, 5)) for _ in range(9)]}
    assert pairs(columns) == set()


def test_of_a_large_table_whole_groups_are_sampled_and_all_rows_have_the_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = sites(80, 10)
    exceptions = {
        row: f"Other {site}" for row, site in enumerate(columns["site"]) if int(str(site)[2:]) % 2 and row % 2
    }
    dirty = changed(columns, town=exceptions)
    whole = pairs(columns)
    assert ("town", "site") not in pairs(dirty)
    monkeypatch.setattr(mining, "SAMPLE_ROWS", 200)
    assert pairs(columns) == whole, "a sample of whole groups finds what all rows find"
    table = table_of(**columns)
    sample = mining._sample(Keys(table), 1)
    assert sample is not None
    assert sample.height <= 200
    assert set(sample["1"].value_counts()["count"]) == {10}
    # The sample is chosen by the determinant's keys; where only the other groups have exceptions it sees none.
    seen = set(sample["1"].unique())
    site = table.columns[1]
    hidden = {
        row: f"Other {row % 2} {site.codes[row]}"
        for row in range(table.rows)
        if site.codes[row] not in seen and row % 2
    }
    assert ("town", "site") not in pairs(changed(columns, town=hidden))


def test_the_search_ends_when_its_visitor_says_so() -> None:
    visited = []

    def visit(done: int, total: int) -> None:
        visited.append((done, total))
        if done == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        mine(Keys(table_of(**SITES)), visit)
    assert visited == [(0, 8), (1, 8), (2, 8)]


def test_few_rows_determine_nothing() -> None:
    assert pairs({"a": ["x", "y"] * 9, "b": ["u", "v"] * 9}) == set()


# Voting


def test_a_cell_does_not_vote_for_itself() -> None:
    columns: Columns = {"key": ["k", "k", *grouped(8, 4)], "name": ["one", "two", *grouped(8, 4)]}
    told = votes(columns, ("name", "key"))
    assert [(row, winner) for _, row, winner, _ in told] == [(0, "two"), (1, "one")], "each has the other against it"
    assert all(confidence < 0.5 for *_, confidence in told), "and either of the two may be wrong"


def test_the_more_rows_stand_behind_a_vote_the_surer_it_is() -> None:
    sure = []
    for size in (2, 3, 5, 10, 50):
        columns: Columns = {"key": ["k"] * size + grouped(8, 4), "name": ["Ostend"] * size + grouped(8, 4)}
        columns["name"][0] = "Osten"
        [(_, row, winner, confidence)] = [vote for vote in votes(columns, ("name", "key")) if vote[1] == 0]
        assert (row, winner) == (0, "Ostend")
        sure.append(confidence)
    assert sure == sorted(sure)
    assert sure[0] < 0.5 < sure[2] < sure[-1]


def test_without_a_majority_there_is_no_vote() -> None:
    columns: Columns = {"key": ["k"] * 9 + grouped(8, 4), "name": [*["a"] * 4, *["b"] * 4, "c", *grouped(8, 4)]}
    assert votes(columns, ("name", "key")) == []


def test_a_missing_cell_is_filled_by_its_group_and_votes_for_nothing() -> None:
    columns: Columns = {
        "key": ["k"] * 6 + grouped(8, 4),
        "name": [None, "N/A", "unknown", "Ostend", "Ostend", "Ostend", *grouped(8, 4)],
    }
    told = votes(columns, ("name", "key"))
    assert [(row, winner) for _, row, winner, _ in told] == [(0, "Ostend"), (1, "Ostend"), (2, "Ostend")]
    columns["key"][3] = None
    assert 3 not in [row for _, row, *_ in votes(columns, ("name", "key"))], "a missing determinant says nothing"


def test_a_wrong_determinant_loses_its_votes() -> None:
    """In row 0 the key is wrong: all that hangs on it speaks against the row's other cells, until the key is outvoted."""
    columns: Columns = {name: list(SITES[name]) for name in ("site", "name", "town", "postcode")}
    columns["phone"] = [f"0{int(str(site)[2:]) * 7919}" for site in columns["site"]]
    wrong = next(site for site, town in zip(SITES["site"], SITES["town"], strict=True) if town != SITES["town"][0])
    dirty = changed(columns, site={0: wrong})
    misled = votes(dirty, ("name", "site"), ("phone", "site"), ("town", "site"))
    assert {(column, row) for column, row, *_ in misled} == {("name", 0), ("phone", 0), ("town", 0)}
    judgement = judged(dirty)
    counted = [flag for flag in judgement.flags if flag.confidence >= 0.5]
    anomalies = {(anomaly.row, anomaly.column): anomaly for anomaly in judgement.anomalies(counted)}
    assert set(anomalies) == {(0, "site")}
    suggestion = anomalies[0, "site"].suggestion
    assert suggestion is not None
    assert suggestion.value == SITES["site"][0]


def test_a_value_that_repeats_in_its_group_is_an_exception() -> None:
    """Two values that are usual elsewhere: one row with the other one is an error, four such rows are an exception."""

    def confidence(times: int) -> float:
        columns: Columns = {"key": grouped(10, 40), "name": grouped(10, 40)}
        columns["name"][:times] = ["G5"] * times
        return next(confidence for _, row, _, confidence in votes(columns, ("name", "key")) if row == 0)

    assert confidence(1) > 0.9
    assert confidence(4) < 0.65


def test_a_value_that_repeats_among_many_errors_of_a_large_group_is_an_error_as_they_are() -> None:
    columns: Columns = {"key": grouped(10, 100), "name": grouped(10, 100)}
    columns["name"][:8] = ["G5", "G6", "G5", "G7", "G8", "G5", "G9", "G2"]
    assert next(confidence for _, row, _, confidence in votes(columns, ("name", "key")) if row == 0) > 0.8


def test_ties_go_to_the_value_that_appears_first() -> None:
    columns: Columns = {
        "a": ["k"] * 5 + grouped(8, 4),
        "b": ["m", *grouped(1, 4), *grouped(8, 4)],
        "name": [None, "first", "first", "first", "first", *grouped(8, 4)],
    }
    columns["a"] += ["x"] * 4
    columns["b"] += ["m"] * 4
    columns["name"] += ["later"] * 4
    told = votes(columns, ("name", "a"), ("name", "b"))
    assert next(winner for _, row, winner, _ in told if row == 0) == "first"
    swapped_order: Columns = {name: list(reversed(cells)) for name, cells in columns.items()}
    last = len(columns["a"]) - 1
    assert (
        next(winner for _, row, winner, _ in votes(swapped_order, ("name", "a"), ("name", "b")) if row == last)
        == "later"
    )


def test_agreement_needs_two_rows_behind_it_and_nobody_against() -> None:
    columns: Columns = {
        "a": ["p", "p", "p", "q", "q", "r", "r", "r", *grouped(8, 4)],
        "b": ["s", "s", "s", "t", "t", "u", "u", "t", *grouped(8, 4)],
        "name": ["x", "x", "x", "y", "y", "z", "z", "z", *grouped(8, 4)],
    }
    keys = Keys(table_of(**columns))
    both = [Dependency((0,), 2, 1.0), Dependency((1,), 2, 1.0)]
    assert agreeing(keys, both, [0, 3, 7]) == {0}, "row 3 has one row behind it, row 7 another value against it"


def test_rules_can_be_checked_on_another_table_and_on_one_without_their_columns() -> None:
    rules = list(dependency.discover(table_of(**SITES)))
    later = changed(SITES, town={5: "Elsewhere"})
    flags = list(dependency.check_all(rules, table_of(**later)))
    assert [(flag.rows, flag.suggestion and flag.suggestion.value) for flag in flags] == [((5,), SITES["town"][5])]
    assert list(dependency.check_all(rules, table_of(name=["x"], town=["y"]))) == []


@pytest.mark.parametrize(
    "order", [lambda rows: rows[::-1], lambda rows: rows[100:] + rows[:100]], ids=["back", "turned"]
)
def test_the_order_of_rows_does_not_change_what_they_say(order: Callable[[list[int]], list[int]]) -> None:
    dirty = changed(SITES, town=scattered(SITES, "town", 12, swapped), postcode={3: None, 9: "N/A"})
    rows = order(list(range(len(dirty["site"]))))
    moved: Columns = {name: [cells[row] for row in rows] for name, cells in dirty.items()}
    here, there = judged(dirty), judged(moved)
    told = {(anomaly.row, anomaly.column, anomaly.suggestion) for anomaly in here.anomalies(here.flags)}
    assert {(rows[a.row], a.column, a.suggestion) for a in there.anomalies(there.flags)} == told


def test_verdicts_come_in_order_of_rows() -> None:
    dirty = changed(SITES, town=scattered(SITES, "town", 12, swapped))
    keys = Keys(table_of(**dirty))
    found = vote_all(keys, mine(keys))
    assert list(found) == sorted(found)
    for verdicts in found.values():
        rows = [verdict.row for verdict in verdicts]
        assert rows == sorted(set(rows))
        assert all(0 < verdict.confidence < 1 for verdict in verdicts)
    assert keys.frame.dtypes == [pl.UInt32] * keys.frame.width
