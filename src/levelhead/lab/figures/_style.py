"""What the lab's pictures share: style, frame, sizes; and the way from a figure to files."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from levelhead._palette import INK, MUTED, RULE
from levelhead._write import replacing

__all__ = [
    "DPI",
    "HEAD",
    "LABEL",
    "SMALL",
    "TICK",
    "WIDTH",
    "canvas",
    "frame",
    "heading",
    "percent_axis",
    "probability_axis",
    "style",
    "write",
]

WIDTH = 7.6
"""Inches: at a README's column width the fonts below come out at their size or a little above it."""

HEAD, LABEL, TICK, SMALL = 11.0, 9.5, 8.5, 8.5
"""Font sizes in points."""

DPI = 200

LOOK = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "svg.fonttype": "path",  # a picture in a README has no page to take its font from
    "svg.hashsalt": "levelhead",
    "text.usetex": False,
    "font.size": TICK,
    "text.color": INK,
}


@contextlib.contextmanager
def style() -> Generator[None]:
    """Matplotlib's defaults and ours, whatever the user has set; undone afterwards."""
    with matplotlib.style.context(["default", LOOK]):
        yield


def canvas(height: float, width: float = WIDTH) -> Figure:
    return Figure(figsize=(width, height), dpi=DPI)


def frame(ax: Axes, x_label: str = "", y_label: str = "", title: str = "") -> None:
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(MUTED)
        spine.set_linewidth(0.8)
    ax.grid(True, color=RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(which="both", length=0, labelsize=TICK, labelcolor=MUTED, pad=4)
    ax.set_xlabel(x_label, fontsize=LABEL, color=INK, labelpad=5)
    ax.set_ylabel(y_label, fontsize=LABEL, color=INK, labelpad=5)
    if title:
        ax.set_title(title, fontsize=HEAD, color=INK, loc="left", fontweight="bold", pad=7)


def heading(figure: Figure, title: str, subtitle: str = "", *, x: float = 0.02) -> None:
    """What the picture says, in bold at its top left, and how it was made below it."""
    height = figure.get_figheight()
    figure.text(
        x, 1 - 0.10 / height, title, fontsize=HEAD + 1.5, fontweight="bold", va="top", color=INK
    )
    if subtitle:
        figure.text(x, 1 - 0.37 / height, subtitle, fontsize=LABEL, va="top", color=MUTED)


def probability_axis(axis_of: Axes, which: str, ticks: Sequence[float] = (0, 0.5, 1)) -> None:
    """Ticks 0, 1/2 and 1 in percent, and room for the marks at both ends."""
    axis = axis_of.xaxis if which == "x" else axis_of.yaxis
    axis.set_ticks(list(ticks))
    percent_axis(axis_of, which)
    limits = (-0.03, 1.03)
    if which == "x":
        axis_of.set_xlim(*limits)
    else:
        axis_of.set_ylim(*limits)


def percent_axis(axis_of: Axes, which: str) -> None:
    axis = axis_of.xaxis if which == "x" else axis_of.yaxis
    axis.set_major_formatter(FuncFormatter(percent))


def percent(value: float, _: int | None = None) -> str:
    """0.5 as 50%; zero has no sign, so that it stays apart from the next panel's 100%."""
    return f"{100 * value:.3g}%" if value else "0"


def write(figure: Figure, stem: Path | str) -> list[Path]:
    """Write a figure as PNG and as SVG, each through a temporary file beside it and a rename.

    Args:
        figure: what to write.
        stem: path without a suffix; its folder must exist.

    Returns:
        The two paths, PNG first. The same figure gives the same bytes: no date, no random ids.

    Raises:
        RecordError: the folder does not exist or cannot be written to.
    """
    stem = Path(stem)
    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".svg")]
    for path in paths:
        # None leaves a field out; the two formats have different fields.
        names = ("Software",) if path.suffix == ".png" else ("Date", "Creator", "Format", "Type")
        with replacing(path) as unfinished, style():
            figure.savefig(unfinished, dpi=DPI, facecolor="white", metadata=dict.fromkeys(names))
    return paths
