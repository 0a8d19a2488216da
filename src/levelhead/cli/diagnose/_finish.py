"""How every diagnosis ends: what it prints at 80 columns, and the files that it writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from levelhead.cli._options import on_stdout
from levelhead.cli._output import clean, console, emit, still_open
from levelhead.diagnose.report import cell, json_text, numeric, shown, write_report
from levelhead.diagnose.section import Section
from levelhead.diagnose.section import Table as Listing
from levelhead.readers import ReadLog

__all__ = ["finish", "with_log"]

STYLES = {"bad": "bold red", "good": "bold green", "open": "bold"}

MAX_ROWS = 12
"""Rows of a table that are printed; the report and the JSON have them all."""

MAX_CELL = 40
"""Characters of a cell that are printed."""


def finish(
    sections: Sequence[Section],
    report: Path | None,
    json_path: Path | None,
    quiet: bool,
    *,
    title: str | None = None,
    log: ReadLog | None = None,
) -> None:
    """Print the sections and write what was asked for; nothing is half-written.

    Args:
        sections: in the order in which they are read.
        report: the HTML file, or None.
        json_path: the JSON file, a dash for standard output, or None.
        quiet: whether nothing is printed.
        title: what was diagnosed; the sections' titles unless given.
        log: what the readers found, which goes before what every section says itself.
    """
    if log is not None:
        sections = [with_log(one, log) for one in sections]
    with still_open():
        if json_path is not None:
            emit(json_path, json_text(sections))
        if report is not None:
            write_report(sections, title or ", ".join(s.title for s in sections), report)
        if quiet or on_stdout(json_path):
            return
        screen = console()
        if len(sections) > 1:
            _overview(screen, sections)
        for i, section in enumerate(sections):
            if i:
                screen.rule(style="dim")
            _show(screen, section)
        if report is not None:
            screen.print()
            screen.print(Text(f"report: {report}"))


def with_log(section: Section, log: ReadLog) -> Section:
    """The section with what the readers found before what it says itself.

    Args:
        section: of a diagnosis.
        log: of what was read for it.

    Returns:
        The same, with more warnings and notes.
    """
    return dataclasses.replace(
        section, warnings=[*log.warnings, *section.warnings], notes=[*log.notes, *section.notes]
    )


def _overview(screen: Console, sections: Sequence[Section]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for section in sections:
        word = Text(clean(section.verdict), style=STYLES[section.tone])
        table.add_row(Text(clean(section.title)), word)
    screen.print(table)
    screen.rule(style="dim")


def _show(screen: Console, section: Section) -> None:
    line = Text(clean(section.title), style="bold")
    line.append("  ")
    line.append(clean(section.verdict), style=STYLES[section.tone])
    screen.print(line)
    screen.print(Text(clean(section.headline), style="bold"))
    _points(screen, "-", section.sentences)
    if section.measures:
        screen.print()
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("", overflow="fold")
        for head in ("value", "interval", "null"):
            table.add_column(head, justify="right", overflow="fold")
        for measure in section.measures:
            table.add_row(*(escape(clean(text)) for text in (measure.name, *shown(measure))))
        screen.print(table)
    for listing in section.tables:
        screen.print()
        _list(screen, listing)
    if section.next_steps:
        screen.print()
        screen.print(Text("What to do", style="bold"))
        _points(screen, ">", section.next_steps)
    _points(screen, "!", section.warnings, "yellow")
    _points(screen, "·", section.notes, "dim")


def _points(screen: Console, sign: str, texts: Sequence[str], style: str = "") -> None:
    """Each text behind its sign, further lines of it below its first word."""
    if not texts:
        return
    table = Table.grid(padding=(0, 1, 0, 0))
    for text in texts:
        table.add_row(Text(sign, style=style), Text(clean(text), style=style))
    screen.print(table)


def _list(screen: Console, listing: Listing) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(listing.header):
        side = "right" if numeric(listing, i) else "left"
        table.add_column(escape(clean(name)), justify=side, overflow="fold")
    for row in listing.rows[:MAX_ROWS]:
        table.add_row(*(escape(_cut(cell(listing, i, one))) for i, one in enumerate(row)))
    screen.print(Text(clean(listing.title), style="bold"))
    screen.print(table)
    if len(listing.rows) > MAX_ROWS:
        more = len(listing.rows) - MAX_ROWS
        screen.print(Text(f"{more:,} more in the report and the JSON", style="dim"))


def _cut(text: str) -> str:
    text = clean(text)
    if len(text) <= MAX_CELL:
        return text
    begin = text[: MAX_CELL - 1]
    words = begin.rsplit(" ", 1)[0]
    return (words if len(words) > MAX_CELL // 2 else begin) + "…"
