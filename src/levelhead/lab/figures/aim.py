"""The theorem on standardized advantages, drawn against points that do not use its formula."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import logit

from levelhead._palette import INK, MUTED, OVER, UNDER
from levelhead.lab._palette import SERIES
from levelhead.lab.figures._style import (
    SMALL,
    canvas,
    frame,
    heading,
    probability_axis,
    style,
)
from levelhead.lab.sweeps import TheoremPoints
from levelhead.lab.theory import aimed_probability

__all__ = ["theorem"]

MARKERS = {"log": "o", "brier": "s", "spherical": "^"}
LABELS = {"log": "log, sampled", "brier": "Brier, sampled", "spherical": "spherical, sampled"}
COLORS = {"log": OVER, "brier": UNDER, "spherical": SERIES["rloo"]}
SHOWN = (0.3, 0.5, 0.7, 0.9)
"""True probabilities of the right panel, those that the points have."""


def theorem(points: Sequence[TheoremPoints]) -> Figure:
    """logit p_eff = logit p + logit m: the line is the formula, the points are measured.

    Args:
        points: for each rule, from `theorem_points`.

    Returns:
        The figure: all pairs on one line at the left, the aim over the policy's place at the right.
    """
    with style():
        figure = canvas(4.3)
        heading(
            figure,
            "Standardized advantages aim beyond the policy, not at the truth",
            "A narrow policy stands at m, the truth is p: which prediction does the advantage favor?",
        )
        grid = figure.add_gridspec(
            1, 2, left=0.085, right=0.972, top=0.77, bottom=0.12, wspace=0.25
        )
        _collapse(figure.add_subplot(grid[0]), points)
        _aims(figure.add_subplot(grid[1]), points[0])
    return figure


def _collapse(ax: Axes, points: Sequence[TheoremPoints]) -> None:
    frame(
        ax,
        "logit p + logit m (nats)",
        "logit of the favored prediction (nats)",
        "three rules, one line",
    )
    high = max(float(np.abs(logit(one.p) + logit(one.m)).max()) for one in points) * 1.06
    ax.plot([-high, high], [-high, high], color=INK, lw=1.1, zorder=2)
    for one in points:
        x = logit(one.p) + logit(one.m)
        color, marker = COLORS[one.rule], MARKERS[one.rule]
        ax.scatter(
            x,
            logit(one.sampled),
            s=26,
            marker=marker,
            facecolor="none",
            edgecolor=color,
            lw=0.9,
            zorder=3,
            label=LABELS[one.rule],
        )
        ax.scatter(x, logit(one.exact), s=5, marker=marker, color=color, lw=0, zorder=4)
    ax.set(xlim=(-high, high), ylim=(-high, high))
    ax.set_aspect("equal")
    ax.legend(
        loc="upper left",
        fontsize=SMALL,
        frameon=False,
        handletextpad=0.2,
        borderaxespad=0.1,
        labelspacing=0.3,
    )
    ax.text(
        0.98,
        0.03,
        "line: logit p + logit m\ndots: exact maximum",
        transform=ax.transAxes,
        ha="right",
        va="bottom",
        fontsize=SMALL,
        color=MUTED,
    )


def _aims(ax: Axes, points: TheoremPoints) -> None:
    frame(ax, "the policy stands at m", "it aims at", "where it aims")
    probability_axis(ax, "x")
    probability_axis(ax, "y")
    ax.set_aspect("equal")
    ax.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (3, 3)), zorder=1.5)
    m = np.linspace(0.001, 0.999, 400)
    for p in SHOWN:
        here = np.isclose(points.p, p)
        if not here.any():
            continue
        side = OVER if p > 0.5 else UNDER if p < 0.5 else INK
        ax.axhline(p, color=side, lw=0.9, ls=(0, (1, 2.4)), zorder=1.6)
        ax.plot(m, aimed_probability(p, m), color=side, lw=1.3, zorder=2)
        ax.scatter(points.m[here], points.exact[here], s=15, color=side, lw=0, zorder=3)
        ax.annotate(
            f"p = {100 * p:.0f}%",
            (0.5, p),
            ha="center",
            va="center",
            fontsize=SMALL,
            color=side,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )
    ax.text(
        0.98,
        0.03,
        "dotted: without the\nstandard deviation",
        transform=ax.transAxes,
        ha="right",
        va="bottom",
        fontsize=SMALL,
        color=MUTED,
    )
