import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from tests.support.quality_outcomes import dataset, hostile, large, orders
from tools.data_quality.detectors.flags import KINDS, Suggestion, Tier
from tools.data_quality.outcome import Anomaly, Change, Outcome, Pass, Stop
from tools.data_quality.report import render
from tools.data_quality.report.summary import score, summarize
from tools.data_quality.report.words import KIND_WORDS, STOP_WORDS, TIER_WORDS
from tools.data_quality.rules.model import RULE_TYPES
from tools.data_quality.rules.words import rule_in_words

VOID: Final = {"meta", "link", "br", "hr", "img", "input"}
HOSTILE: Final = (
    "<script>alert(1)</script>",
    "</style><style>*{display:none}</style>",
    "\"' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "<!-- ]]> -->",
    "&lt;b&gt;",
    "a\u202eb\u2066c",
    "nul\x00 bell\x07 escape\x1b[31m",
    "lone \ud800 surrogate",
    " edges ",
    "x" * 65_536,
    "",
    "javascript:alert(1)",
    "http://elsewhere.example/",
)


class Page(HTMLParser):
    """Reads a page strictly: every element that opens is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.within: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> outside of SVG"
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)
            for tag in self.open:
                self.within.setdefault(tag, []).append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(orders()))


def test_the_page_says_first_how_large_the_table_is_and_what_became_of_what_was_found(page: Page) -> None:
    verdict = "25 suspicious cells and 1 repeated row, 7 repaired, 11 wait for you, 8 only reported."
    assert f"orders 401 rows × 14 columns: {verdict}" in page.text  # noqa: RUF001
    assert "As it came" in page.text
    assert summarize(orders()).scores == (
        ("As it came", "99.30"),
        ("Now", "99.42"),
        ("With all repairs approved", "99.85"),
    )


def test_one_cell_is_not_spoken_of_as_many() -> None:
    outcome = orders()
    waiting = next(change for change in outcome.patch if change.tier == "suggest" and change.column)
    anomaly = next(each for each in outcome.anomalies if (each.row, each.column) == (waiting.row, waiting.column))
    one = replace(outcome, anomalies=[anomaly], patch=[waiting])
    assert summarize(one).verdict == "1 suspicious cell, 0 repaired, 1 waits for you, 0 only reported."


def test_a_sound_table_is_called_sound_and_scores_full_marks() -> None:
    sound = replace(orders(), anomalies=[], patch=[], rules=[], passes=[Pass(1, "auto", 0, {}, 0)], stopped="target")
    text = Page(render(sound)).text
    assert "nothing suspicious was found." in text
    assert "100.00" in text
    assert "Nothing waits for you." in text
    assert "Nothing was changed." in text


def test_a_score_is_full_only_when_nothing_is_wrong_and_counts_a_repeated_row_with_all_its_cells() -> None:
    cell, row = (next(a for a in orders().anomalies if (a.column is None) == is_row) for is_row in (False, True))
    assert score([cell], 1_000_000, 500) == 99.99
    assert score([row], 10, 10) == 90.0
    assert score([row, replace(cell, row=row.row)], 10, 10) == 90.0
    assert score([], 0, 0) == 100.0


def test_every_change_is_shown_with_its_row_its_values_its_rule_and_its_confidence(page: Page) -> None:
    assert "45 BK-1045 city Springf ei ld → Springf ie ld 94 % one swap away from a frequent value" in page.text
    assert "city is free of typos: “Springfeild” is meant to be “Springfield”" in page.text
    assert "400 BK-1012 all whole row → removed 99 %" in page.text


def test_what_differs_between_two_values_is_marked_and_edges_are_made_visible(page: Page) -> None:
    assert page.within["del"].count("ei") == page.within["ins"].count("ie") == 2  # where it waits, and among its kind
    assert " ␣␣ Mai Tran ␣ → Mai Tran " in page.text


def test_every_kind_that_occurs_has_its_examples_its_meaning_and_what_became_of_it(page: Page) -> None:
    assert {anomaly.kind for anomaly in orders().anomalies} == set(KINDS)
    for words in KIND_WORDS.values():
        assert words.title in page.text
        assert words.meaning in page.text
    for tier in TIER_WORDS.values():
        assert tier.title in page.text


def test_kinds_tiers_and_ends_of_the_loop_all_have_words() -> None:
    assert list(KIND_WORDS) == list(KINDS)
    assert list(TIER_WORDS) == list(get_args(Tier))
    assert list(STOP_WORDS) == list(get_args(Stop))
    meanings = [words.meaning for words in (*KIND_WORDS.values(), *TIER_WORDS.values())]
    assert all(meaning.endswith(".") for meaning in (*meanings, *STOP_WORDS.values()))
    assert len(set(meanings)) == len(meanings)


@pytest.mark.parametrize("stopped", get_args(Stop))
def test_the_page_says_why_the_loop_ended(stopped: Stop) -> None:
    text = Page(render(replace(orders(), stopped=stopped))).text
    assert f"The loop ended because {STOP_WORDS[stopped]}" in text


def test_every_rule_is_there_in_words_with_its_numbers_and_its_id(page: Page) -> None:
    rules = orders().rules
    assert {rule.type for rule in rules} == set(RULE_TYPES)
    for rule in rules:
        assert rule_in_words(rule, with_share=False) in page.text
        assert rule.rule_id in page.text
    assert "2 rules that all of the table keeps" in page.text


def test_a_column_shows_what_it_holds_and_what_repairs_change(page: Page) -> None:
    assert "phone code 3 suspicious cells" in page.text
    assert "filled 398 (99.3 %) placeholder 3 (0.7 %)" in page.text
    assert "missing 0 → 3 placeholders 3 → 0" in page.text
    labels = [attributes["aria-label"] for attributes in page.all("svg") if "aria-label" in attributes]
    assert (
        "From 39.9 to 74,900, half of them from 749 to 1,249. Beyond the ends of the axis lie values far out." in labels
    )


def test_a_profile_may_lack_any_key() -> None:
    outcome = orders()
    bare = replace(outcome, profile={"column_profiles": [{"name": "order"}, {}]}, profile_after={})
    assert "order unknown" in Page(render(bare)).text
    assert "14 columns" in Page(render(replace(outcome, profile={}, profile_after={}))).text


@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {"min": 1, "q1": 1, "median": 1, "q3": 1, "max": 1, "fences": None},
        {"min": -1e308, "q1": -1e308, "median": 0.0, "q3": 1e308, "max": 1e308, "fences": [-1e308, 1e308]},
        {"min": "-inf", "q1": "nan", "median": None, "q3": True, "max": 10**400, "fences": ["a", "b"]},
        {"min": 0, "q1": 1, "median": 2, "q3": 3, "max": 4, "fences": [5, 5]},
        {"min": float("nan"), "q1": 1, "median": 2, "q3": 3, "max": float("inf"), "fences": [1]},
    ],
)
def test_numbers_of_any_size_or_none_are_drawn_within_the_picture_or_not_at_all(numbers: dict[str, Any]) -> None:
    profile = {"column_profiles": [{"name": "n", "numbers": numbers}]}
    read = Page(render(replace(orders(), profile=profile, profile_after=profile)))
    for tag in ("rect", "line", "circle"):
        for attributes in read.all(tag):
            places = [attributes[name] for name in ("x", "x1", "x2", "cx", "width") if name in attributes]
            assert all(place is not None and 0 <= float(place) <= 300 for place in places)


def test_what_is_wrong_in_a_row_goes_with_the_row() -> None:
    outcome = orders()
    anomaly = replace(
        next(each for each in outcome.anomalies if each.kind == "missing"), suggestion=Suggestion(None, True)
    )
    removed = Change(anomaly.row, None, None, None, anomaly.rule_id, 0.9, "auto", 1)
    gone = replace(outcome, anomalies=[anomaly], patch=[removed])
    assert summarize(gone).verdict == "1 suspicious cell, 1 repaired, 0 wait for you, 0 only reported."
    assert "140 BK-1140 delivered empty → removed" in Page(render(gone)).text
    left = Page(render(replace(gone, patch=[]))).text
    assert "140 BK-1140 delivered empty 60 %" in left  # only proposed: the row is still there


def test_a_dependency_on_the_row_before_says_so() -> None:
    entry = {"determinant": ["city", "street"], "dependent": "zip", "share": 0.9996, "lift": 2.5, "offset": -1}
    text = Page(render(replace(orders(), profile={"dependencies": [entry]}))).text
    assert "city + street of the row before zip > 99.9 % 2.5" in text


def test_a_pass_that_was_undone_is_said_to_be_undone() -> None:
    passes = [Pass(1, "auto", 9, {"typo": 9}, 4, rolled_back=True)]
    undone = replace(orders(), passes=passes, stopped="not_fewer")
    assert [(each.before, each.after, each.is_undone) for each in summarize(undone).rounds] == [(9, 9, True)]
    assert "4 repairs, undone again" in Page(render(undone)).text


def test_nothing_of_a_hostile_table_becomes_markup() -> None:
    usual = {tag for tag, _ in Page(render(orders())).elements}
    page = render(hostile(HOSTILE))
    read = Page(page)
    assert {tag for tag, _ in read.elements} <= usual
    assert not any(name.startswith("on") or name == "style" for _, attributes in read.elements for name in attributes)
    assert len(read.all("style")) == 1
    assert "<script>alert(1)</script>" in read.text
    assert "{{ 7 * 7 }}{% raw %}" in read.text
    assert "&lt;b&gt;" in read.text


def test_invisible_characters_are_written_out_and_long_values_cut() -> None:
    page = render(hostile(HOSTILE))
    assert not set("\x00\x07\x1b\u202e\u2066\ud800") & set(page)
    text = Page(page).text
    for written in ("[U+202E]", "[U+0000]", "[U+001B]", "[U+D800]", "65,536 characters"):
        assert written in text
    assert "x" * 400 not in page
    page.encode("utf-8")


def test_the_page_asks_for_nothing_and_has_no_address_but_its_own_anchors_and_its_icon() -> None:
    read = Page(render(orders()))
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in read.elements:
        assert not attributes.keys() & {"src", "srcset", "action", "data", "poster", "background"}
        href = attributes.get("href")
        assert href is None or href.startswith("data:image/svg+xml,") or href.removeprefix("#") in ids
    style = "".join(re.findall(r"<style>(.*?)</style>", render(orders()), re.DOTALL))
    assert not re.search(r"url\(|@import|expression|//", style)
    assert not {"script", "img", "iframe", "object", "form", "base"} & {tag for tag, _ in read.elements}


def test_the_policy_admits_the_style_of_the_page_and_nothing_else(page: Page) -> None:
    policies = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    expected = r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; img-src data:; base-uri 'none'; form-action 'none'"
    assert re.fullmatch(expected, policies[0] or "")


def test_a_page_about_many_anomalies_in_many_wide_columns_stays_below_two_megabytes() -> None:
    outcome = large(336_000, 60_000, 250)
    page = render(outcome)
    size = len(page.encode())
    assert size < 2_000_000
    text = Page(page).text
    assert "336,000 rows × 250 columns: 60,000 suspicious cells" in text  # noqa: RUF001
    assert re.search(r"and [\d,]+ more; patch.csv has them all", text)
    assert re.search(r"\d+ columns more not shown here", text)
    assert re.search(r"and \d+ rules more; rules.json has them all", text)


def test_values_that_are_mostly_invisible_do_not_make_the_page_large() -> None:
    values = [f"{number}" + "\u202ea" * 5_000 for number in range(120)]
    size = len(render(hostile(values)).encode())  # apart from the assertion, which would write out all of it
    assert size < 2_000_000


def test_what_is_left_out_is_counted() -> None:
    outcome = orders()
    template = next(anomaly for anomaly in outcome.anomalies if anomaly.column == "city")
    anomalies = [replace(template, row=row, value=f"{row % 7}", rule_id=f"rule{row % 130}") for row in range(400)]
    patch = [Change(each.row, each.column, each.value, "x", each.rule_id, 0.9, "suggest", 1) for each in anomalies]
    text = Page(render(replace(outcome, anomalies=anomalies, patch=patch))).text
    assert "Typo 400" in text
    assert "and 395 more" in text
    assert re.search(r"30 more groups with 90 repairs not shown here", text)


def test_examples_of_a_kind_show_different_values_where_there_are_any() -> None:
    outcome = orders()
    template = next(anomaly for anomaly in outcome.anomalies if anomaly.column == "phone")
    values = ["NA"] * 50 + ["?", "-", "none"]
    anomalies: list[Anomaly] = [replace(template, row=row, value=value) for row, value in enumerate(values)]
    text = Page(render(replace(outcome, anomalies=anomalies, patch=[]))).text
    examples = text[text.index("Placeholder 53") : text.index("and 48 more")]
    assert re.findall(r" phone (\S+)", examples) == ["NA", "NA", "?", "-", "none"]


def test_a_row_is_named_by_the_key_of_the_table_but_not_in_the_key_itself(page: Page) -> None:
    assert "133 BK-1133 zip" in page.text
    assert " 52 order BK-01o2" in page.text


def test_the_page_is_usable_without_eyes(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.all("main")) == len(page.all("nav")) == len(page.all("footer")) == 1
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("table")) == sum(tag == "caption" for tag, _ in page.elements)
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))
    assert all("aria-hidden" in each or {"role", "aria-label"} <= each.keys() for each in page.all("svg"))
    assert {each["aria-labelledby"] for each in page.all("section")} <= {each.get("id") for each in page.all("h2")}


def test_texts_and_marks_have_enough_contrast_in_light_and_in_dark() -> None:
    style = re.findall(r"<style>(.*?)</style>", render(orders()), re.DOTALL)[0]
    schemes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    light, dark = (scheme for scheme in schemes if scheme)
    assert light.keys() == dark.keys()
    texts = [(text, on) for text in ("text", "muted", "accent") for on in ("ground", "surface", "sunken")]
    texts += [(tone, f"{tone}-soft") for tone in ("accent", "auto", "suggest", "report", "del")]
    texts += [("auto", "surface"), ("suggest", "surface")]
    for scheme in (light, dark):
        for text, on in texts:
            assert contrast(scheme[text], scheme[on]) >= 4.5, (text, on)
        for mark in ("auto-fill", "suggest-fill", "report-fill", "gap-fill", "accent"):
            assert contrast(scheme[mark], scheme["surface"]) >= 3, mark


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_footer_names_versions_and_only_what_it_was_given() -> None:
    plain = Page(render(orders())).text
    assert "Read from orders.csv ." in plain
    assert "polars" in plain
    assert "SHA-256" not in plain
    assert "Made 2" not in plain
    full = Page(render(orders(), sha256="ab" * 32, made_at="2030-01-01 12:00 UTC")).text
    assert "ab" * 32 in full
    assert "Made 2030-01-01 12:00 UTC." in full


def test_the_same_outcome_gives_the_same_bytes_in_every_process() -> None:
    program = (
        "import hashlib, sys; from tests.support.quality_outcomes import orders; "
        "from tools.data_quality.report import render; sys.stdout.write(render(orders()))"
    )
    root = Path(__file__).parents[4]
    pages = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, timeout=60, check=True
        )
        pages.add(done.stdout.decode())
    assert pages == {render(orders())}


def test_a_bare_list_or_an_empty_table_has_a_page_too() -> None:
    nothing = dataset({"value": []})
    empty = Outcome(
        "empty", nothing, nothing, nothing, {"column_profiles": [{"name": "value"}]}, {}, [], [], [], [], [], "target"
    )
    assert "0 rows × 1 column: nothing suspicious was found." in Page(render(empty)).text  # noqa: RUF001
