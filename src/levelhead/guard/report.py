"""The guard's report: one HTML file that needs nothing else.

Only the drawn charts are passed as markup; `levelhead._pages` says how everything else prints.
"""

from __future__ import annotations

from pathlib import Path

from levelhead import __version__
from levelhead._pages import environment, known
from levelhead._text import percent
from levelhead._write import write_text
from levelhead.guard._page import Page, page_of
from levelhead.guard.guard import Evaluation, Guard

__all__ = ["render_html", "write_report"]

SHOWN = 5
"""Overconfident answers shown at once."""


def render_html(evaluation: Evaluation, guard: Guard) -> str:
    """The report as one HTML document without scripts and without anything to load.

    Args:
        evaluation: what `evaluate` found.
        guard: the guard that it judged.

    Returns:
        The document; the same evaluation gives the same text.
    """
    return render(page_of(evaluation, guard))


def write_report(evaluation: Evaluation, guard: Guard, path: str | Path) -> None:
    """Write the report; the file appears whole or not at all.

    Args:
        evaluation: what `evaluate` found.
        guard: the guard that it judged.
        path: where to; its folder must exist.

    Raises:
        RecordError: the folder does not exist or cannot be written to, or `path` is a folder.
    """
    write_text(Path(path), render_html(evaluation, guard))


def render(page: Page) -> str:
    """A page as HTML.

    Args:
        page: what it says.

    Returns:
        The document.
    """
    pages = environment("levelhead.guard", interval=_interval, share=percent)
    return pages.get_template("guard.html.j2").render(page=page, version=__version__, shown=SHOWN)


def _interval(pair: tuple[float | None, float | None]) -> str:
    low, high = pair
    if not (known(low) and known(high)):
        return ""
    return f"{percent(low)} to {percent(high)}"
