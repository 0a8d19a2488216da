"""The diagnosis as one HTML file that needs nothing else, and as JSON.

Only the drawn charts are passed as markup; `levelhead._pages` says how everything else prints.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from levelhead import __version__
from levelhead._pages import count, environment, number
from levelhead._text import percent
from levelhead._write import plain, write_text
from levelhead.diagnose.section import Measure, Section

__all__ = ["SCHEMA_VERSION", "json_text", "render_html", "shown", "write_report"]

SCHEMA_VERSION = "1"
"""Of the JSON."""


def shown(measure: Measure) -> tuple[str, str, str]:
    """A measure in words.

    Args:
        measure: a number of a section.

    Returns:
        Its value, its interval and its null; empty texts where there is none.

    Example:
        >>> shown(Measure("pass@1", 0.25, 0.2, 0.3, null=0.1, percent=True))
        ('25%', '20% to 30%', '10%')
    """

    def say(value: float | None) -> str:
        if measure.percent:
            return percent(value)
        return count(value) if isinstance(value, int) else number(value)

    interval = ""
    if measure.low is not None and measure.high is not None:
        interval = f"{say(measure.low)} to {say(measure.high)}"
    null = measure.null
    return (
        say(measure.value),
        interval,
        null if isinstance(null, str) else say(null) if null is not None else "",
    )


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
    pages = environment("levelhead.diagnose", shown=shown, markup=Markup)
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
