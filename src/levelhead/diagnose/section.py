"""What every diagnosis comes to: a verdict in words, measures with their null, charts and tables.

A section knows nothing of HTML or of the terminal; `levelhead.diagnose.report` and the command line
show it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

__all__ = ["Chart", "Measure", "Section", "Table", "Tone"]

Tone = Literal["bad", "good", "open"]
"""What a verdict means for the model: a finding, its absence, or that the data do not tell."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number with its interval and with what chance alone would show.

    Attributes:
        name: what it is called, e.g. `pass@1`.
        value: the number; None where it is undefined.
        low: lower end of its interval, or None.
        high: upper end, or None.
        null: what would be seen if nothing had happened, as a number or in words; None where there
            is no such thing.
        note: one sentence on how to read it.
        percent: whether it is printed as a percentage.
        change: whether it is a difference, printed with its sign, and in points where it is `percent`.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    null: float | str | None = None
    note: str = ""
    percent: bool = False
    change: bool = False


@dataclasses.dataclass(frozen=True)
class Chart:
    """A picture.

    Attributes:
        title: what is seen.
        text: how to read it.
        svg: the picture, from `levelhead.diagnose.charts`.
    """

    title: str
    text: str
    svg: str


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of texts and numbers.

    Attributes:
        title: what is listed.
        header: (C,) names of the columns.
        rows: each (C,) texts or numbers; numbers are printed to three decimals and set to the right.
        note: how to read it.
        percent: names of the columns whose numbers are printed as percentages.
        change: names of the columns whose numbers are printed with their sign.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | float | int | None]]
    note: str = ""
    percent: Sequence[str] = ()
    change: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Section:
    """A diagnosis.

    Attributes:
        name: of its command, e.g. `sharpening`.
        title: its heading.
        verdict: one word or two in capitals, e.g. `SHARPEN`.
        tone: what that means for the model.
        headline: the finding in one sentence.
        sentences: what else must be known to believe it, the null among it.
        measures: the numbers.
        charts: the pictures.
        tables: what is listed.
        next_steps: what to do about it, a sentence each, such as the command that repairs it.
        warnings: what was odd in the data.
        notes: decisions, such as a column that was recognized, and settings with the seed.
        data: everything as JSON can hold it: numbers, texts, lists, mappings, None.
    """

    name: str
    title: str
    verdict: str
    tone: Tone
    headline: str
    sentences: Sequence[str] = ()
    measures: Sequence[Measure] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    next_steps: Sequence[str] = ()
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
