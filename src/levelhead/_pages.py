"""What every report shares: the templates' rules, how a count and a text print, and the colors.

A report is a template that extends `templates/page.html.j2`, which brings the head of the document
and the stylesheet `templates/page.css`. Everything that a template prints is escaped, texts from
files are cleaned of control characters first, and a missing number prints as "undefined".
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from typing import Any, TypeGuard

import jinja2
from markupsafe import Markup

from levelhead import _palette
from levelhead._text import number, signed

__all__ = [
    "COLORS",
    "blanked",
    "clean",
    "count",
    "cut",
    "environment",
    "known",
    "printable",
]

COLORS = {
    "ink": _palette.INK,
    "muted": _palette.MUTED,
    "rule": _palette.RULE,
    "over": _palette.OVER,
    "under": _palette.UNDER,
    "bar": _palette.BAR,
    "shade": _palette.SHADE,
    "series-1": _palette.SLATE,
    "series-2": _palette.TEAL,
    "series-3": _palette.VIOLET,
    "series-4": _palette.YELLOW,
    "series-5": _palette.ROSE,
    "series-6": _palette.OLIVE,
}
"""Role to color on a light page; the stylesheet has a variable of each name for every theme."""

PREVIEW = 240
"""Characters of a long text that are shown before it is unfolded."""


def environment(package: str, **filters: Callable[..., Any]) -> jinja2.Environment:
    """The environment that renders the templates of a package, and the shared ones they build on.

    Args:
        package: dotted name of a package with a folder `templates`.
        **filters: the package's own, beside `num`, `signed`, `count` and `cut`.

    Returns:
        It escapes everything but `Markup`, and fails at a name that nobody has given.
    """
    found = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package), jinja2.PackageLoader("levelhead")]
        ),
        autoescape=True,
        finalize=printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared: dict[str, Any] = {"num": number, "signed": signed, "count": count, "cut": cut}
    names: dict[str, Any] = {"preview": PREVIEW}
    found.filters.update(shared | filters)
    found.globals.update(names)
    return found


def printable(value: Any) -> Any:
    """What a template prints for a value: no bare None or NaN, and no forbidden characters."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "undefined"
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def clean(text: str) -> str:
    """Without the characters that HTML forbids: controls and lone surrogates show as U+FFFD."""
    if text.isprintable():
        return text
    return "".join(
        "\ufffd" if c not in "\t\n\r" and unicodedata.category(c) in ("Cc", "Cs") else c
        for c in text
    )


def blanked(text: str) -> str:
    """With a space for every character that HTML forbids or that would reorder the others."""
    return "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)


def known(value: float | None) -> TypeGuard[float]:
    """Whether there is a number to print."""
    return value is not None and math.isfinite(value)


def count(value: float) -> str:
    """With separators of thousands, and a decimal where weights make it no whole number."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def cut(text: str, limit: int) -> str:
    """The beginning of a long text in one line, cut at a space where one is near, never inside a
    character."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    space = text.rfind(" ", limit - 40, limit)
    end = space if space > 0 else limit
    while end > 1 and (
        unicodedata.category(text[end])[0] == "M" or "\u200d" in text[end - 1 : end + 1]
    ):
        end -= 1
    return text[:end].rstrip()
