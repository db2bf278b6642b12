from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import pytest

from tools.data_quality.columns.column import encode
from tools.data_quality.columns.dates import DateFormat, parse, readings, recognise, render, seconds
from tools.data_quality.columns.table import Table
from tools.data_quality.detectors import dates
from tools.data_quality.detectors.flags import Flag, Suggestion

FIRST = date(2021, 1, 4)


def written(pattern: str, count: int = 200, step: int = 3) -> list[str]:
    return [render(pattern, FIRST + timedelta(days=step * number)) for number in range(count)]


def recognised(*texts: str) -> DateFormat | None:
    return recognise([(text, 1) for text in texts])


def found(cells: Sequence[str]) -> dict[str, Flag]:
    table = Table([encode("day", cells)])
    flags = [flag for rule in dates.discover(table) for flag in dates.check(rule, table)]
    return {str(table.columns[0].values[flag.code]): flag for flag in flags}


@pytest.mark.parametrize(
    ("texts", "pattern", "moment"),
    [
        (["2003-01-12", "2004-12-31"], "%Y-%m-%d", date(2003, 1, 12)),
        (["12.1.2003", "31.12.2003"], "%-d.%-m.%Y", date(2003, 1, 12)),
        (["2003/01/12"], "%Y/%m/%d", date(2003, 1, 12)),
        (["20030112", "19991231"], "%Y%m%d", date(2003, 1, 12)),
        (["12 Jan 2003", "03 May 2003"], "%d %b %Y", date(2003, 1, 12)),
        (["January 12, 2003", "May 3, 2003"], "%B %-d, %Y", date(2003, 1, 12)),
        (["31-Jan-03"], "%d-%b-%y", date(2003, 1, 31)),
        (["19:45", "07:00"], "%H:%M", time(19, 45)),
        (["19:45:30"], "%H:%M:%S", time(19, 45, 30)),
        (["7:45 PM", "12:10 AM"], "%-I:%M %p", time(19, 45)),
        (["7:10 a.m.", "12:20 p.m."], "%-I:%M %.p", time(7, 10)),
        (["2003-01-12T10:00:00Z"], "%Y-%m-%dT%H:%M:%SZ", datetime(2003, 1, 12, 10)),
        (["2003-01-12 10:00:00.250"], "%Y-%m-%d %H:%M:%S.%f", datetime(2003, 1, 12, 10, 0, 0, 250_000)),
        (["2003-01-12 10:00+02:00"], "%Y-%m-%d %H:%M%z", datetime(2003, 1, 12, 8)),
        (["12/31/2011 6:55 a.m."], "%m/%d/%Y %-I:%M %.p", datetime(2011, 12, 31, 6, 55)),
    ],
)
def test_a_format_is_recognised_and_read(texts: list[str], pattern: str, moment: date | time) -> None:
    form = recognised(*texts)
    assert form is not None
    assert form.pattern == pattern
    assert parse(form.pattern, texts[0]) == moment


@pytest.mark.parametrize(
    "texts", [["1.2.3", "4.5.6"], ["555-123-4567"], ["12345678"], ["45:99"], ["1998"], ["10-12"], ["a"], []]
)
def test_numbers_versions_and_words_are_no_dates(texts: list[str]) -> None:
    assert recognised(*texts) is None


def test_the_column_decides_whether_the_day_or_the_month_stands_first() -> None:
    assert recognised("03/04/2003", "25/04/2003") == DateFormat("%d/%m/%Y")
    assert recognised("03/04/2003", "04/25/2003") == DateFormat("%m/%d/%Y")


def test_a_column_that_does_not_decide_is_ambiguous() -> None:
    form = recognised("01/02/2003", "03/04/2003")
    assert form is not None
    assert form.is_ambiguous


def test_years_of_two_digits_turn_at_1969() -> None:
    assert parse("%d.%m.%y", "01.02.69") == date(1969, 2, 1)
    assert parse("%d.%m.%y", "01.02.68") == date(2068, 2, 1)


def test_a_text_alone_may_have_several_readings() -> None:
    assert sorted({moment for _, moment in readings("03/04/2003")}, key=seconds) == [date(2003, 3, 4), date(2003, 4, 3)]


@pytest.mark.parametrize("pattern", ["%Y-%m-%d", "%-d.%-m.%Y", "%b %d, %Y", "%B %-d, %Y", "%Y%m%d", "%d/%m/%y"])
def test_what_is_written_is_read_back(pattern: str) -> None:
    for number in range(400):
        day = FIRST + timedelta(days=number)
        assert parse(pattern, render(pattern, day)) == day


def test_a_day_that_does_not_exist_is_flagged() -> None:
    flags = found([*written("%Y-%m-%d"), "2021-02-30", "2021-13-01"])
    assert {value: flag.kind for value, flag in flags.items()} == {"2021-02-30": "date", "2021-13-01": "date"}
    assert all(flag.confidence >= 0.9 and flag.suggestion is None for flag in flags.values())


def test_a_time_that_does_not_exist_is_flagged_and_midnight_is_not() -> None:
    times = [f"{number % 24:02}:{number % 60:02}" for number in range(200)]
    assert set(found([*times, "25:10", "24:00"])) == {"25:10"}


@pytest.mark.parametrize("day", ["2102-01-04", "1012-05-06"])
def test_a_date_far_from_all_others_is_flagged(day: str) -> None:
    flags = found([*written("%Y-%m-%d"), day])
    assert [(value, flag.kind, flag.tier) for value, flag in flags.items()] == [(day, "date", "report")]


def test_dates_far_from_all_others_are_flagged_however_many_years_they_come_from() -> None:
    far = [f"{2099 + 51 * (number % 3)}-01-{1 + number:02}" for number in range(12)]
    assert set(found([*written("%Y-%m-%d"), *far])) == set(far)


def test_one_far_day_that_many_rows_have_means_something() -> None:
    assert found([*written("%Y-%m-%d"), *["2999-12-31"] * 6]) == {}


def test_the_first_day_of_a_calendar_far_from_the_rest_stands_for_no_value() -> None:
    flags = found([*written("%Y-%m-%d"), *["1970-01-01"] * 10])
    assert flags["1970-01-01"].suggestion == Suggestion(None)


def test_the_first_day_of_a_calendar_is_a_day_where_others_lie_around_it() -> None:
    days = [(date(1965, 1, 1) + timedelta(days=40 * number)).isoformat() for number in range(100)]
    assert found([*days, *["1970-01-01"] * 5]) == {}


def test_days_that_half_the_rows_have_are_how_the_column_is() -> None:
    assert found([*written("%Y-%m-%d"), *["9999-12-31"] * 100]) == {}
    assert found([*written("%Y-%m-%d"), *["1900-01-01"] * 100]) == {}


def test_a_long_history_has_no_date_that_is_too_early() -> None:
    days = [date(1500 + 3 * number, 1 + number % 12, 1).isoformat() for number in range(170)]
    assert found(days) == {}


def test_an_unambiguous_date_in_another_format_is_rewritten() -> None:
    flag = found([*written("%Y-%m-%d"), "25/03/2021"])["25/03/2021"]
    assert (flag.kind, flag.tier, flag.suggestion) == ("format", "auto", Suggestion("2021-03-25"))


def test_an_ambiguous_date_in_another_format_is_only_reported() -> None:
    flag = found([*written("%Y-%m-%d"), "04/03/2021"])["04/03/2021"]
    assert (flag.kind, flag.tier, flag.suggestion) == ("format", "report", None)


def test_day_and_month_exchanged_are_put_right_on_request() -> None:
    flag = found([*written("%m/%d/%Y"), "25/03/2021"])["25/03/2021"]
    assert (flag.kind, flag.tier, flag.suggestion) == ("format", "suggest", Suggestion("03/25/2021"))


def test_missing_padding_is_written_where_nearly_all_have_it() -> None:
    flag = found([*written("%m/%d/%Y"), "3/5/2021"])["3/5/2021"]
    assert (flag.kind, flag.tier, flag.suggestion) == ("format", "auto", Suggestion("03/05/2021"))


def test_padding_that_comes_and_goes_is_left_alone() -> None:
    assert found([*written("%m/%d/%Y"), *written("%-m/%-d/%Y")[::10]]) == {}


def test_midnight_is_cut_off_among_dates_and_another_hour_is_not() -> None:
    flags = found([*written("%Y-%m-%d"), "2021-03-05 00:00:00", "2021-03-06 10:30:00"])
    assert flags["2021-03-05 00:00:00"].suggestion == Suggestion("2021-03-05")
    assert flags["2021-03-06 10:30:00"].suggestion is None


def test_a_word_among_dates_is_flagged_and_a_habit_is_not() -> None:
    assert found([*written("%Y-%m-%d"), "soon"])["soon"].kind == "type"
    assert found([*written("%Y-%m-%d"), *["ongoing"] * 9]) == {}


@pytest.mark.parametrize("pattern", ["%Y-%m-%d", "%m/%d/%Y", "%-d %B %Y"])
def test_clean_dates_are_left_alone(pattern: str) -> None:
    assert found(written(pattern, 500)) == {}


def test_a_stored_rule_judges_another_table_and_one_without_the_column() -> None:
    rule = next(dates.discover(Table([encode("day", written("%Y-%m-%d"))])))
    other = Table([encode("day", [*written("%Y-%m-%d", 30), "2021-02-30", "2350-01-01"])])
    assert [str(other.columns[0].values[flag.code]) for flag in dates.check(rule, other)] == [
        "2021-02-30",
        "2350-01-01",
    ]
    assert list(dates.check(rule, Table([encode("n", [1, 2, 3])]))) == []
