"""Final predictions of standardized GRPO over the group size, for shared and independent outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from levelhead._palette import INK, MUTED
from levelhead.lab.figures._style import SMALL, canvas, frame, heading, probability_axis, style
from levelhead.lab.sweeps import GroupSizeSweep

__all__ = ["group_size"]

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LARGEST, SMALLEST = 6.0, 3.4
"""Marker sizes in points, from the first group size to the last, which is drawn over the others."""

TOGETHER = 0.02
"""Lines that are nowhere farther apart cannot be told apart, which is said in words."""

TITLES = {
    "shared": "one outcome for the group",
    "independent": "an outcome for each sample",
}


def group_size(sweeps: Sequence[GroupSizeSweep]) -> Figure:
    """Mean final prediction over the truth, a line for each group size.

    Args:
        sweeps: from `group_size_sweep` with the same group sizes, one for each kind of outcome.

    Returns:
        The figure, one panel for each kind; a policy that did not come to rest is a hollow marker.
    """
    sizes = sweeps[0].group_sizes
    with style():
        figure = canvas(4.45)
        heading(
            figure,
            "Larger groups heal GRPO only if each sample has its own outcome",
            "Where the expected update of GRPO with standard deviation leads, log score",
        )
        axes = figure.subplots(1, len(sweeps), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(left=0.09, right=0.90, top=0.785, bottom=0.165, wspace=0.10)
        for i, (ax, sweep) in enumerate(zip(axes, sweeps, strict=True)):
            title = TITLES[sweep.outcomes]
            frame(ax, "true probability", "final prediction" if i == 0 else "", title)
            probability_axis(ax, "x")
            probability_axis(ax, "y")
            ax.set_aspect("equal")
            ax.plot([0, 1], [0, 1], color=INK, lw=1, ls=(0, (3, 3)), zorder=1.5)
            _lines(ax, sweep)
            if np.ptp(sweep.mean, axis=0).max() < TOGETHER:
                words = f"all {len(sizes)} sizes\ncoincide"
                ax.text(0.03, 0.8, words, transform=ax.transAxes, fontsize=SMALL, color=MUTED)
        looks = [_look(i, len(sizes)) for i in range(len(sizes))]
        figure.legend(
            handles=[
                Line2D([], [], lw=1.2, mew=1.0, label=str(size), **look)
                for size, look in zip(sizes, looks, strict=True)
            ],
            loc="center left",
            bbox_to_anchor=(0.905, 0.47),
            fontsize=SMALL,
            frameon=False,
            title="G",
            title_fontsize=SMALL,
            handlelength=1.6,
        )
        if not all(sweep.at_rest.all() for sweep in sweeps):
            words = "hollow: not at rest when the updates ended, the value depends on their size"
            figure.text(0.02, 0.015, words, fontsize=SMALL, color=MUTED)
    return figure


def _look(i: int, count: int) -> dict[str, Any]:
    share = i / max(1, count - 1)
    return {
        "color": matplotlib.colormaps["viridis"](0.86 * share),
        "marker": MARKERS[i % len(MARKERS)],
        "ms": LARGEST + share * (SMALLEST - LARGEST),
    }


def _lines(ax: Axes, sweep: GroupSizeSweep) -> None:
    for i, (mean, rest) in enumerate(zip(sweep.mean, sweep.at_rest, strict=True)):
        look = _look(i, len(sweep.mean))
        ax.plot(sweep.p, mean, color=look["color"], lw=1.2, zorder=3)
        for some, face in ((rest, look["color"]), (~rest, "white")):
            if some.any():
                ax.plot(sweep.p[some], mean[some], ls="", mew=1.0, mfc=face, zorder=4, **look)
