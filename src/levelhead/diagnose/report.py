"""The diagnosis as one HTML file that needs nothing else, and as JSON.

Only the drawn charts are passed as markup; `levelhead._pages` says how everything else prints.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from levelhead import __version__
from levelhead._pages import count, environment
from levelhead._text import number, percent, points, signed
from levelhead._write import plain, write_text
from levelhead.diagnose.section import Measure, Section, Table

__all__ = ["SCHEMA_VERSION", "cell", "json_text", "numeric", "render_html", "shown", "write_report"]

SCHEMA_VERSION = "1"
"""Of the JSON."""

NUMERIC = re.compile(r"undefined|[+−<>]*[\d.,]+%?( to [+−<>]*[\d.,]+%?)?( points| nats)?")
"""A text that reads as a number with its unit, or as an interval."""


def shown(measure: Measure) -> tuple[str, str, str]:
    """A measure in words.

    Args:
        measure: a number of a section.

    Returns:
        Its value, its interval and its null; empty texts where there is none.

    Example:
        >>> shown(Measure("pass@1", 0.25, 0.2, 0.3, null=0.1, percent=True))
        ('25%', '20% to 30%', '10%')
        >>> shown(Measure("excess", 0.3, 0.1, 0.5, null=0.0, percent=True, change=True))
        ('+30.0 points', '+10.0 to +50.0', '0.0')
    """

    def say(value: float | None) -> str:
        return _printed(value, measure.percent, measure.change)

    interval = ""
    if measure.low is not None and measure.high is not None:
        interval = f"{say(measure.low)} to {say(measure.high)}"
    null = measure.null
    in_points = measure.percent and measure.change and measure.value is not None
    return (
        say(measure.value) + " points" * in_points,
        interval,
        null if isinstance(null, str) else say(null) if null is not None else "",
    )


def cell(table: Table, column: int, value: str | float | None) -> str:
    """A cell of a table in words.

    Args:
        table: that it stands in.
        column: in which column, from 0.
        value: what stands there.

    Returns:
        A text as it is; a number to three decimals, in percent or with its sign, as its column is.

    Example:
        >>> cell(Table("", ("problem", "solved"), (), percent=("solved",)), 1, 0.25)
        '25%'
    """
    if isinstance(value, str):
        return value
    name = table.header[column]
    return _printed(value, name in table.percent, name in table.change)


def numeric(table: Table, column: int) -> bool:
    """Whether a column holds numbers, changes or intervals, which are set to the right.

    Args:
        table: with its rows.
        column: which one, from 0.

    Returns:
        True where one cell is a number or all are texts that read as numbers.

    Example:
        >>> rows = [("a", "+1.5 points", "0.1 to 0.2"), ("b", "undefined", "0.2 to 0.3")]
        >>> [numeric(Table("", ("", "change", "interval"), rows), i) for i in range(3)]
        [False, True, True]
    """
    cells = [row[column] for row in table.rows]
    if any(isinstance(one, int | float) for one in cells):
        return True
    texts = [one for one in cells if isinstance(one, str) and one]
    return bool(texts) and all(NUMERIC.fullmatch(one) for one in texts)


def _printed(value: float | None, share: bool, change: bool) -> str:
    if change:
        return points(value) if share else signed(value)
    if share:
        return percent(value)
    return count(value) if isinstance(value, int) else number(value)


def json_text(sections: Sequence[Section]) -> str:
    """The sections as JSON, without their pictures.

    Args:
        sections: at least one.

    Returns:
        The text; what is undefined is null.
    """
    found: list[dict[str, Any]] = []
    for section in sections:
        content = {
            field.name: getattr(section, field.name)
            for field in dataclasses.fields(section)
            if field.name not in ("charts", "measures", "tables")
        }
        content["measures"] = [dataclasses.asdict(one) for one in section.measures]
        content["tables"] = [dataclasses.asdict(one) for one in section.tables]
        found.append(content)
    content = plain({"schema_version": SCHEMA_VERSION, "sections": found})
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def render_html(sections: Sequence[Section], title: str) -> str:
    """The report as one HTML document without scripts and without anything to load.

    Args:
        sections: in the order in which they are read.
        title: what was diagnosed.

    Returns:
        The document; the same sections give the same text.
    """
    pages = environment(
        "levelhead.diagnose", shown=shown, cell=cell, numeric=numeric, markup=Markup
    )
    template = pages.get_template("diagnose.html.j2")
    return template.render(sections=sections, title=title, version=__version__)


def write_report(sections: Sequence[Section], title: str, path: str | Path) -> None:
    """Write the report; the file appears whole or not at all.

    Args:
        sections: in the order in which they are read.
        title: what was diagnosed.
        path: where to; its folder must exist.

    Raises:
        RecordError: the folder does not exist or cannot be written to, or `path` is a folder.
    """
    write_text(Path(path), render_html(sections, title))
