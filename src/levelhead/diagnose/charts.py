"""The pictures of a diagnosis as SVG text: lines over an axis, and bars by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from levelhead._arrays import FloatArray
from levelhead._drawing import (
    FLAT,
    PALETTE,
    SMALL,
    WIDTH,
    canvas,
    compact,
    frame,
    percent_tick,
    series_style,
    short,
    to_svg,
)
from levelhead._text import percent as percent_text

__all__ = ["Curve", "bar_chart", "line_chart"]

ROW = 20.0
"""Height of a bar with its name, in points."""

CLEAR = 0.2
"""Of the largest value: a tick so close behind a bar would cut through its number, which moves."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Attributes:
        name: what the key calls it.
        x: (M,) ascending.
        y: (M,); NaN leaves a gap.
        low: (M,) lower end of a band around it, or None.
        high: (M,) upper end, or None.
    """

    name: str
    x: FloatArray
    y: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None


def line_chart(
    curves: Sequence[Curve],
    *,
    x_label: str,
    label: str,
    prefix: str,
    y_label: str = "",
    log_x: bool = False,
    percent: bool = False,
    mark: tuple[float, str] | None = None,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Lines with bands over a common axis.

    Args:
        curves: at least one, of the same unit.
        x_label: name and unit of the horizontal axis.
        label: what the picture shows, for people who cannot see it.
        prefix: before every id of the drawing: the section's name and a number.
        y_label: name and unit of the vertical axis.
        log_x: whether x is drawn by powers of two.
        percent: whether y is written as percentages.
        mark: a vertical line at this x with these words.
        y_range: ends of the vertical axis; from the data unless given.

    Returns:
        The `<svg>` element; the same curves give the same text.
    """
    with canvas(None, FLAT) as ax:
        frame(ax, x_label, y_label)
        if log_x:
            ax.set_xscale("log", base=2)
            small = min(float(np.min(curve.x)) for curve in curves) < 1.0
            ax.xaxis.set_major_locator(LogLocator(base=2, numticks=5 if small else 8))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
        for i, curve in enumerate(curves):
            color, dashes = series_style(i)
            ax.plot(curve.x, curve.y, color=color, ls=dashes, lw=1.8, zorder=3)
            if curve.low is not None and curve.high is not None:
                ax.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.14, lw=0)
        if y_range is not None:
            ax.set_ylim(*y_range)
        if percent:
            ax.yaxis.set_major_formatter(FuncFormatter(percent_tick))
        ax.yaxis.set_major_locator(MaxNLocator(5))
        if mark is not None:
            ax.axvline(mark[0], color=PALETTE["muted"], lw=1, ls=(0, (2, 2)), zorder=2)
            ax.annotate(
                short(mark[1], 40),
                (mark[0], 0),
                xycoords=ax.get_xaxis_transform(),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=SMALL,
                color=PALETTE["muted"],
                parse_math=False,
            )
        _key(ax, [curve.name for curve in curves])
        return to_svg(cast(Figure, ax.figure), prefix=prefix, label=label)


def bar_chart(
    names: Sequence[str],
    series: Sequence[tuple[str, Sequence[float]]],
    *,
    label: str,
    prefix: str,
    percent: bool = False,
    marks: Sequence[float] | None = None,
    marks_name: str = "",
) -> str:
    """Bars by name, those of several series beside one another.

    Args:
        names: (M,) what each group of bars is.
        series: (name, (M,) values) each; NaN draws none.
        label: what the picture shows, for people who cannot see it.
        prefix: before every id of the drawing: the section's name and a number.
        percent: whether values are written as percentages.
        marks: (M,) a tick in each group, such as what chance would show; NaN draws none.
        marks_name: what the ticks are.

    Returns:
        The `<svg>` element.
    """
    height = 68.0 + ROW * len(names) * max(1.0, 0.75 * len(series))
    longest = max((len(short(name, 24)) for name in names), default=0)
    with canvas(None, height, left=24.0 + 5.6 * longest) as ax:
        frame(ax, "", "")
        ax.grid(False, axis="y")
        place = np.arange(len(names), dtype=float)
        size = 0.8 / len(series)
        ticks = np.full(len(names), np.nan) if marks is None else np.asarray(marks, dtype=float)
        everything = np.concatenate([ticks, *(np.asarray(v, dtype=float) for _, v in series)])
        room = CLEAR * float(np.nanmax(everything, initial=0.0))
        for i, (_, values) in enumerate(series):
            at = place - 0.4 + size * (i + 0.5)
            ax.barh(at, np.nan_to_num(values), height=size * 0.86, color=series_style(i)[0])
            for y, value, tick in zip(at, values, ticks, strict=True):
                if np.isfinite(value):
                    text = percent_text(value) if percent else f"{value:.3g}"
                    behind = tick if value < tick < value + room else value
                    ax.annotate(text, (behind, y), xytext=(4, 0), textcoords="offset points",
                                va="center", fontsize=SMALL, color=PALETTE["muted"])  # fmt: skip
        if marks is not None:
            ax.plot(marks, place, "|", color=PALETTE["over"], ms=ROW, mew=2, zorder=4)
        ax.set_yticks(place, [short(name, 24) for name in names], parse_math=False)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.margins(x=0.14)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        if percent:
            ax.xaxis.set_major_formatter(FuncFormatter(percent_tick))
        words = [name for name, _ in series]
        _key(ax, words, tick=marks_name if marks is not None else "")
        return to_svg(cast(Figure, ax.figure), prefix=prefix, label=label)


def _power(value: float) -> str:
    return compact(value) if value >= 1.0 else f"{value:.2g}"


def _key(ax: Axes, names: Sequence[str], tick: str = "") -> None:
    """The names above the picture, each in the color and line of its series."""
    entries = [("■", name, series_style(i)[0]) for i, name in enumerate(names) if name]
    entries += [("|", tick, PALETTE["over"])] if tick else []
    words, total, scale = [], 0.0, 72.0 / ax.figure.dpi
    for limit in (26, 18, 12):
        words = [short(name, limit) for _, name, _ in entries]
        total = sum(5.6 * len(word) + 26.0 for word in words) - 14.0
        if total <= WIDTH:
            break
    left = ax.get_window_extent().x0 * scale
    x = 2.0 - min(max(left + total - WIDTH, 0.0), left)  # a long key begins before the axis
    for (sign, _, color), word in zip(entries, words, strict=True):
        for text, ink, width in ((sign, color, 12.0), (word, PALETTE["ink"], 5.6 * len(word) + 14)):
            offset: dict[str, Any] = {
                "xytext": (x, 6),
                "textcoords": "offset points",
                "parse_math": False,
            }
            ax.annotate(text, (0, 1), xycoords="axes fraction", fontsize=SMALL, color=ink, **offset)
            x += width
