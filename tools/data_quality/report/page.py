"""The page: the sections of the report, each made ready for the template, which only arranges them.

Invariant: the bytes are a function of the outcome and the arguments; the page asks nothing of any network, runs nothing,
and admits no style but its own.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from tools.data_quality.columns.visible import visible
from tools.data_quality.outcome import Outcome
from tools.data_quality.report import charts, room
from tools.data_quality.report.cards import cards
from tools.data_quality.report.lists import REPAIRS_SHOWN, WAITING_SHOWN, Lists, left_out_in_words
from tools.data_quality.report.summary import summarize
from tools.data_quality.report.text import counted, number, percent, value
from tools.data_quality.report.words import STOP_WORDS
from tools.data_quality.rules.model import Rule
from tools.data_quality.rules.words import rule_in_words, share_in_words

RULES_SHOWN: Final = 500
_DEPENDENCIES_SHOWN: Final = 100
_KEYS_SHOWN: Final = 50
_NAMES_SHOWN: Final = 6
_NOTES_SHOWN: Final = 20
_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule, in words and in numbers."""

    words: str
    type: str
    support: str
    violations: str
    share: str
    rule_id: str
    repair: str
    tier: str
    is_broken: bool


@dataclass(frozen=True, slots=True)
class DependencyLine:
    """One dependency between columns."""

    determinant: Markup
    dependent: Markup
    share: str
    bar: Markup
    lift: str
    where: str
    is_noisy: bool


def render(outcome: Outcome, *, sha256: str | None = None, made_at: str | None = None) -> str:
    """Return the report about a run as one HTML page that needs nothing beside it.

    Args:
        outcome: What came of the table.
        sha256: Of the file the table was read from; shown in the footer.
        made_at: When the report was made, as it is to be shown; without it the page names no time, and the same outcome
            gives the same bytes.
    """
    lists = Lists(outcome)
    columns, columns_left_out = cards(outcome)
    waiting = lists.changes("suggest", WAITING_SHOWN, room.WAITING)
    repairs = lists.changes("auto", REPAIRS_SHOWN, room.REPAIRED)
    kinds = lists.kinds()
    rules = list(room.fitting(map(_rule, _broken_first(outcome.rules)[:RULES_SHOWN]), room.RULES))
    dependencies = _dependencies(outcome.profile)
    style = _style()
    template = _environment().get_template("page.html")
    return template.render(
        style=Markup(style),  # noqa: S704  # a file of this package
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii"),
        name=visible(outcome.name, 100),
        shown_name=value(outcome.name, 100),
        summary=summarize(outcome),
        notes=_notes(outcome.profile),
        waiting=waiting,
        waiting_left_out=left_out_in_words(waiting, "repair"),
        repairs=repairs,
        repairs_left_out=left_out_in_words(repairs, "repair"),
        kinds=kinds,
        columns=columns,
        columns_left_out=columns_left_out,
        keys=_names_of_keys(outcome.profile),
        dependencies=dependencies,
        panels=_panels(outcome.profile),
        duplicate_rows=outcome.profile.get("duplicate_rows") or 0,
        broken=[line for line in rules if line.is_broken],
        kept=[line for line in rules if not line.is_broken],
        rules_left_out=len(outcome.rules) - len(rules),
        stopped=STOP_WORDS[outcome.stopped],
        sections=_sections(
            waiting.count,
            repairs.count,
            kinds.count,
            len(outcome.before.columns),
            len(dependencies),
            len(outcome.rules),
        ),
        path=visible(outcome.before.path, 200) if outcome.before.path else "",
        versions=_versions(),
        sha256=visible(sha256, 64) if sha256 else "",
        made_at=visible(made_at, 60) if made_at else "",
    )


def _sections(*counts: int) -> list[tuple[str, str, str]]:
    """The parts of the page as (anchor, title, count)."""
    titles = ("Waiting for you", "Repaired", "Anomalies", "Columns", "Dependencies", "Rules")
    anchors = ("waiting", "repaired", "anomalies", "columns", "dependencies", "rules")
    return [
        *((anchor, title, number(count)) for anchor, title, count in zip(anchors, titles, counts, strict=True)),
        ("passes", "Passes", ""),
    ]


def _broken_first(rules: Sequence[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: rule.violations == 0)


def _rule(rule: Rule) -> RuleLine:
    return RuleLine(
        rule_in_words(rule, with_share=False),
        rule.type,
        number(rule.support),
        number(rule.violations),
        share_in_words(rule.mostly) if rule.support else "",
        visible(rule.rule_id, 40),
        visible(rule.repair, 80) if rule.repair else "",
        rule.tier,
        rule.violations > 0,
    )


def _notes(profile: Mapping[str, Any]) -> list[str]:
    notes = (visible(note, 300) for note in (profile.get("notes") or ())[:_NOTES_SHOWN])
    return list(room.fitting(notes, room.NAMES))


def _names(names: Any) -> Markup:
    joined: Markup = Markup(" + ").join(value(str(name), 60) for name in list(names)[:_NAMES_SHOWN])
    return joined


def _names_of_keys(profile: Mapping[str, Any]) -> list[Markup]:
    keys = map(_names, (profile.get("candidate_keys") or ())[:_KEYS_SHOWN])
    return list(room.fitting(keys, room.NAMES))


def _panels(profile: Mapping[str, Any]) -> list[tuple[Markup, Markup]]:
    panels = (profile.get("panels") or ())[:_KEYS_SHOWN]
    named = ((_names([panel.get("entity", "")]), _names([panel.get("source", "")])) for panel in panels)
    return list(room.fitting(named, room.NAMES))


def _dependencies(profile: Mapping[str, Any]) -> list[DependencyLine]:
    found: Sequence[Mapping[str, Any]] = profile.get("dependencies") or ()
    lines = (
        DependencyLine(
            _names(entry.get("determinant") or ()),
            _names([entry.get("dependent", "")]),
            percent(entry.get("share") or 0, 1),
            charts.bar(entry.get("share") or 0, 1, "accent"),
            f"{entry['lift']:.3g}" if isinstance(entry.get("lift"), int | float) else "",
            {-1: "of the row before", 1: "of the row after"}.get(entry.get("offset", 0), ""),
            bool(entry.get("noisy")),
        )
        for entry in found[:_DEPENDENCIES_SHOWN]
    )
    return list(room.fitting(lines, room.DEPENDENCIES))


@cache
def _style() -> str:
    return (_TEMPLATES / "page.css").read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "counted": counted}
    return environment


@cache
def _versions() -> str:
    try:
        own = metadata.version("workflow-engine")
    except metadata.PackageNotFoundError:  # the tools also run from a folder, where nothing is installed
        own = "from source"
    return f"workflow-engine {own}, polars {metadata.version('polars')}"
