"""Shows lines and sections: in a terminal, as plain text, and as Markdown."""

from collections.abc import Sequence
from textwrap import fill
from typing import Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from api.demo.report import Section, Table
from api.demo.story import Line

_MOST_COLUMNS: Final = 120
_NODE: Final = 18
_TOOK: Final = 8


class Screen:
    """Writes to standard output, at most 120 columns wide; colours and rules only where they can be seen."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        if self._console.width > _MOST_COLUMNS:
            self._console.width = _MOST_COLUMNS

    def title(self, text: str) -> None:
        self._console.print(f"[bold]{escape(text)}[/bold]")

    def facts(self, facts: dict[str, str]) -> None:
        """Show names and values; values are not wrapped, so that paths and addresses can be copied."""
        width = max(map(len, facts), default=0)
        for name, value in facts.items():
            self._console.print(f"  [dim]{escape(name):<{width}}[/dim]  {escape(value)}", soft_wrap=True)

    def paragraph(self, text: str) -> None:
        wrapped = fill(
            text, self._console.width - 1, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        )
        self._console.print(Text(wrapped), soft_wrap=True)

    def blank(self) -> None:
        self._console.print()

    def line_header(self) -> None:
        self._console.print(Text(self._aligned("iteration", "step", "what it found or did", "took"), style="dim"))

    def line(self, line: Line) -> None:
        """Show what has just happened, at once and in one line if there is room."""
        text = self._aligned(str(line.iteration), line.node, line.text, line.took)
        self._console.print(Text(text, style="yellow" if line.is_warning else ""), soft_wrap=True)

    def sections(self, sections: Sequence[Section]) -> None:
        for section in sections:
            self.blank()
            self.title(section.title)
            if section.before:
                self.paragraph(section.before)
            if section.table:
                self._console.print(_rich(section.table))
            if section.after:
                self.paragraph(section.after)
            self.facts(section.files)

    def _aligned(self, iteration: str, node: str, text: str, took: str) -> str:
        room = min(self._console.width, 100) - 9 - _NODE - _TOOK - 6
        return f"{iteration:>9}  {node:<{_NODE}}  {text:<{room}}  {took:>{_TOOK}}".rstrip()


def markdown(title: str, facts: dict[str, str], summary: str, sections: Sequence[Section]) -> str:
    """Return the same report as a Markdown document."""
    parts = [f"# {title}", summary, _list(facts)]
    for section in sections:
        parts.append(f"## {section.title}")
        parts += [part for part in (section.before, section.table and _markdown(section.table), section.after) if part]
        if section.files:
            parts.append(_list(section.files))
    return "\n\n".join(parts) + "\n"


def _rich(table: Table) -> RichTable:
    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=True, header_style="bold", show_edge=False)
    for name in table.header:
        made.add_column(Text(name), justify="right" if name in table.numeric else "left", overflow="fold")
    for row in table.rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def _markdown(table: Table) -> str:
    rule = ("---:" if name in table.numeric else "---" for name in table.header)
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in (table.header, tuple(rule), *table.rows))


def _cell(text: str) -> str:
    return text.strip().replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _list(facts: dict[str, str]) -> str:
    return "\n".join(f"- {name}: `{value}`" for name, value in facts.items())
