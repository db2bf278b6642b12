"""Shows lines, moving progress and sections on standard output."""

from collections.abc import Mapping
from textwrap import fill
from types import TracebackType
from typing import Final, Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from api.demo.report import Section, Table
from api.demo.story import Line, Progress

_MOST_COLUMNS: Final = 120
_NODE: Final = 18
_TOOK: Final = 8
_BAR: Final = 20


class Screen:
    """Writes to standard output, at most 120 columns wide; colours and movement only where they can be seen."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        if self._console.width > _MOST_COLUMNS:
            self._console.width = _MOST_COLUMNS
        self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def title(self, text: str) -> None:
        self._console.print(f"[bold]{escape(text)}[/bold]", soft_wrap=True)

    def facts(self, facts: Mapping[str, str]) -> None:
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
        self._console.print(Text(self._aligned("pass", "step", "what it found or did", "took"), style="dim"))

    def line(self, line: Line) -> None:
        """Show what has just happened, at once and in one line if there is room."""
        text = self._aligned(str(line.iteration or ""), line.node, line.text, line.took)
        self._live.update(Text(""), refresh=self._live.is_started)
        self._console.print(Text(text, style="yellow" if line.is_warning else ""), soft_wrap=True)

    def progress(self, progress: Progress) -> None:
        """Show how far a step is, in place of what was shown before; on a terminal only."""
        if self._live.is_started:
            filled = _BAR * progress.done // progress.total if progress.total else _BAR
            bar = "━" * filled + " " * (_BAR - filled)
            text = f"{progress.text:<12} {bar} {progress.done:,}/{progress.total:,}"
            self._live.update(Text(self._aligned("", progress.node, text, ""), style="cyan"), refresh=True)

    def section(self, section: Section) -> None:
        self.blank()
        self.title(section.title)
        if section.table:
            self._console.print(_rich(section.table))
        if section.after:
            self.paragraph(section.after)

    def _aligned(self, iteration: str, node: str, text: str, took: str) -> str:
        room = min(self._console.width, 100) - 4 - _NODE - _TOOK - 6
        return f"{iteration:>4}  {node:<{_NODE}}  {text:<{room}}  {took:>{_TOOK}}".rstrip()


def _rich(table: Table) -> RichTable:
    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=True, header_style="bold", show_edge=False)
    for name in table.header:
        made.add_column(Text(name), justify="right" if name in table.numeric else "left", overflow="fold")
    for row in table.rows:
        made.add_row(*(Text(cell) for cell in row))
    return made
