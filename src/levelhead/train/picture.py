"""What training did to calibration, as a picture: claims against frequencies, and the error over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from levelhead._palette import INK, MUTED, OLIVE, OVER, RULE, SLATE, TEAL, VIOLET
from levelhead.metrics import reliability_curve
from levelhead.records import Predictions

__all__ = ["draw"]

STYLE = {"svg.fonttype": "none", "svg.hashsalt": "levelhead", "text.usetex": False}
SERIES = (
    (OVER, "o", "-"),
    (TEAL, "s", "-"),
    (VIOLET, "^", "--"),
    (SLATE, "D", ":"),
    (OLIVE, "v", "-."),
)
"""Color, marker and line of each run, in their order."""

WIDTH, HEIGHT = 9.2, 4.4
LABEL, TICK = 10.5, 10.0
N_BINS = 10
LEAST = 20
"""A bin of fewer predictions says more about chance than about the model."""


def draw(
    runs: Mapping[str, Predictions], histories: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Figure:
    """Two panels: what is claimed against how often it happens, and the ECE in the course of training.

    Args:
        runs: the last predictions by the name of the run, at most five.
        histories: the evaluations of the runs that have some: records with `step` and `ece`.

    Returns:
        The figure.

    Edge cases: bins of fewer than 20 predictions are not drawn; an undefined ECE leaves a gap.
    """
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH, HEIGHT), dpi=150)
        left = figure.add_axes((0.075, 0.14, 0.40, 0.80))
        right = figure.add_axes((0.565, 0.14, 0.40, 0.80))
        _frame(left, "stated probability", "how often it happened")
        left.plot([0, 1], [0, 1], color=RULE, linewidth=1.5, zorder=1)
        left.set_xlim(0, 1)
        left.set_ylim(0, 1)
        looks = dict(zip(runs, SERIES, strict=False))
        for name, predictions in runs.items():
            color, marker, line = looks[name]
            known = ~np.isnan(predictions.confidence) & ~np.isnan(predictions.label)
            curve = reliability_curve(
                predictions.confidence[known], predictions.label[known], n_bins=N_BINS, bins="mass"
            )
            shown = curve.weight >= LEAST
            left.plot(
                curve.confidence[shown],
                curve.accuracy[shown],
                color=color,
                marker=marker,
                linestyle=line,
                markersize=5,
                label=name,
            )
        left.legend(frameon=False, fontsize=TICK, labelcolor=INK, loc="upper left")
        _frame(right, "step", "expected calibration error")
        for name, records in histories.items():
            color, marker, line = looks[name]
            steps = [record["step"] for record in records]
            errors = [np.nan if r["ece"] is None else r["ece"] for r in records]
            right.plot(steps, errors, color=color, marker=marker, linestyle=line, markersize=4)
        right.set_ylim(bottom=0.0)
        return figure


def _frame(ax: Axes, x_label: str, y_label: str) -> None:
    ax.set_xlabel(x_label, fontsize=LABEL, color=INK)
    ax.set_ylabel(y_label, fontsize=LABEL, color=INK)
    ax.tick_params(labelsize=TICK, colors=MUTED)
    ax.grid(color=RULE, linewidth=0.6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(RULE)
