"""The guard's report: one HTML file that needs nothing else.

The template escapes everything that it prints; only the drawn charts are passed as markup. Texts
that come from files are cleaned of control characters first, and a missing number prints as
"undefined".
"""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from levelhead import __version__
from levelhead._write import write_text
from levelhead.guard._page import Page, page_of, percent
from levelhead.guard.guard import Evaluation, Guard

__all__ = ["render_html", "write_report"]

SHOWN, PREVIEW = 5, 240
"""Overconfident answers shown at once, and characters of their texts."""


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
    template = _environment().get_template("guard.html.j2")
    return template.render(page=page, version=__version__, shown=SHOWN, preview=PREVIEW)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("levelhead.guard"),
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "num": _number,
        "signed": _signed,
        "interval": _interval,
        "count": _count,
        "share": percent,
        "cut": _cut,
    }
    environment.filters.update(filters)
    return environment


def _printable(value: Any) -> Any:
    """Applied to everything the template prints."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "undefined"
    return _clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _clean(text: str) -> str:
    """Without the characters that HTML forbids: controls and lone surrogates show as U+FFFD."""
    if text.isprintable():
        return text
    return "".join(
        "\ufffd" if c not in "\t\n\r" and unicodedata.category(c) in ("Cc", "Cs") else c
        for c in text
    )


def _number(value: float | None, digits: int = 3) -> str:
    """Three decimals; what would round to 0.000 without being 0 says so."""
    if value is None or not math.isfinite(value):
        return "undefined"
    smallest = 0.5 * 10.0**-digits
    if 0 < abs(value) < smallest:
        return f"<{2 * smallest:.{digits}f}" if value > 0 else f">−{2 * smallest:.{digits}f}"
    return f"{value:.{digits}f}".replace("-", "−")


def _signed(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "undefined"
    return f"{value + 0.0:+.2f}".replace("-", "−")


def _interval(pair: tuple[float | None, float | None]) -> str:
    low, high = pair
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{percent(low)} to {percent(high)}"


def _cut(text: str, limit: int) -> str:
    return text[:limit].strip()


def _count(value: float) -> str:
    return f"{value:,.0f}"
