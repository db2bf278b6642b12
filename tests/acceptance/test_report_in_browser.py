"""The data quality report in a real browser: it shows what it should, asks nobody for anything, and runs nothing."""

import html
import re
from pathlib import Path

import pytest

from tests.support.browser import MISSING, Visit, find_browser, visit
from tests.support.quality_outcomes import hostile, orders
from tools.data_quality.report import render

pytestmark = pytest.mark.timeout(300)  # a browser that has to start beside all other tests

ELSEWHERE = "http://elsewhere.example"
RUN = 'document.documentElement.setAttribute("data-ran", "yes")'
HOSTILE = (
    f"<script>{RUN}</script>",
    f"</style></title><script>{RUN}</script>",
    f"\"'><img src=x onerror='{RUN}'><img src='{ELSEWHERE}/image'>",
    f"<svg onload='{RUN}'></svg><link rel=stylesheet href='{ELSEWHERE}/style'>",
    f"--></textarea><iframe src='{ELSEWHERE}/frame'></iframe>",
)


@pytest.fixture(autouse=True)
def browser() -> None:
    if find_browser() is None:
        pytest.skip(MISSING)


def opened(page: str, folder: Path) -> Visit:
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    return visit(file, folder)


def shown_text(dom: str) -> str:
    """What stands between the tags, on one line."""
    body = dom[dom.index("<body") :]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def test_a_report_is_shown_without_complaints_and_without_network(tmp_path: Path) -> None:
    seen = opened(render(orders()), tmp_path)
    text = shown_text(seen.dom)
    for heading in ("What waits for approval 11", "Repairs done 7", "Anomalies by kind 26", "Columns 14", "Rules 22"):
        assert heading in text
    assert "401 rows × 14 columns: 25 suspicious cells and 1 repeated row, 7 repaired, 11 wait for you" in text  # noqa: RUF001
    assert "<title>orders · data quality report</title>" in seen.dom
    assert seen.complaints == []
    assert seen.asked == []


def test_nothing_in_a_table_runs_in_the_browser_or_reaches_the_network(tmp_path: Path) -> None:
    seen = opened(render(hostile(HOSTILE)), tmp_path)
    assert f"<script>{RUN}</script>" in shown_text(seen.dom)
    assert not re.search(r"<html[^>]*data-ran", seen.dom)
    assert not re.search(r"<(script|iframe|img)\b", seen.dom)
    assert seen.complaints == []
    assert seen.asked == []


def test_the_same_values_do_run_in_a_page_that_does_not_escape_them(tmp_path: Path) -> None:
    # Without this, the test above could pass because nothing ever runs or asks in such a browser.
    seen = opened(f"<!doctype html><title>bare</title><body>{''.join(HOSTILE)}", tmp_path)
    assert re.search(r"<html[^>]*data-ran", seen.dom)
    assert f"GET {ELSEWHERE}/image HTTP/1.1" in seen.asked


def test_what_gets_past_the_escaping_is_stopped_by_the_policy(tmp_path: Path) -> None:
    page = render(orders()).replace("</main>", f"<style>h1{{color:red}}</style>{''.join(HOSTILE)}</main>")
    seen = opened(page, tmp_path)
    assert not re.search(r"<html[^>]*data-ran", seen.dom)
    assert seen.asked == []
    assert any("Content Security Policy" in complaint for complaint in seen.complaints)
