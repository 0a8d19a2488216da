"""What advantage estimates say about each prediction, and the standard deviations behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from levelhead._arrays import FloatArray
from levelhead._palette import INK, MUTED, OVER, UNDER
from levelhead.lab._palette import SERIES
from levelhead.lab.figures._style import SMALL, canvas, frame, heading, probability_axis, style
from levelhead.lab.sweeps import AdvantageCurves

__all__ = ["figure3", "figure4", "figure5"]

LEAST_SAMPLES = 1000
"""A token sampled less often is not drawn, as in the paper."""

UNITS = {"log": "nats", "brier": "points", "spherical": "points"}
NAMES = {"log": "log score", "brier": "Brier score", "spherical": "spherical score"}


def figure3(curves: Sequence[AdvantageCurves], *, p: float = 0.7) -> Figure:
    """True advantage and its estimates under each policy with the log score; the paper's figure 3.

    Every panel has one scale: the estimate with standard deviation has no unit, and is drawn at the
    size at which its root mean square under the policy is that of the true advantage. An optimizer
    that adapts to the size of its gradients does the same.

    Args:
        curves: from `advantage_curves("log")`.
        p: the true probability, which is marked.

    Returns:
        The figure: a column for each policy, its probabilities above.
    """
    return _advantage_bias(curves, "log", p)


def figure4(curves: Sequence[AdvantageCurves], *, p: float = 0.7) -> Figure:
    """The same as `figure3` with the Brier score; the paper's figure 4.

    Args:
        curves: from `advantage_curves("brier")`.
        p: the true probability, which is marked.

    Returns:
        The figure: a column for each policy, its probabilities above.
    """
    return _advantage_bias(curves, "brier", p)


def _advantage_bias(curves: Sequence[AdvantageCurves], rule: str, p: float) -> Figure:
    with style():
        figure = canvas(4.5)
        heading(
            figure,
            "The more a policy is sure, the more GRPO rewards it for being surer",
            f"Expected advantage of each prediction, {NAMES[rule]}, true probability {100 * p:.0f}%",
        )
        grid = figure.add_gridspec(
            2,
            len(curves),
            height_ratios=(0.22, 1),
            left=0.085,
            right=0.972,
            top=0.745,
            bottom=0.115,
            wspace=0.26,
            hspace=0.10,
        )
        for column, curve in enumerate(curves):
            top = figure.add_subplot(grid[0, column])
            _policy(top, curve, p)
            ax = figure.add_subplot(grid[1, column], sharex=top)
            _advantages(ax, curve, p, label=f"advantage ({UNITS[rule]})" if column == 0 else "")
        _legend(figure)
    return figure


def _policy(ax: Axes, curve: AdvantageCurves, p: float) -> None:
    frame(ax, title=curve.name)
    ax.fill_between(curve.values, curve.policy / curve.policy.max(), color=MUTED, alpha=0.35, lw=0)
    ax.axvline(p, color=INK, lw=0.9, ls=(0, (2, 2)))
    ax.set_ylim(0, 1.1)
    ax.set_yticks([])
    ax.tick_params(labelbottom=False)
    ax.grid(False)


def relative_scale(curve: AdvantageCurves, estimate: FloatArray) -> float:
    """What to multiply an estimate by, so that it is as large as the true advantage on average."""
    size = float(np.sqrt(curve.policy @ estimate**2))
    return float(np.sqrt(curve.policy @ curve.true**2)) / size


def _advantages(ax: Axes, curve: AdvantageCurves, p: float, *, label: str) -> None:
    frame(ax, "prediction", label)
    ax.axhline(0, color=MUTED, lw=0.8, zorder=1)
    ax.axvline(p, color=INK, lw=0.9, ls=(0, (2, 2)), zorder=1)
    scale = relative_scale(curve, curve.std)
    seen = curve.sampled.counts > LEAST_SAMPLES
    for estimate, sampled, name in (
        (curve.no_std, curve.sampled.no_std, "grpo_no_std"),
        (scale * curve.std, scale * curve.sampled.std, "grpo"),
    ):
        color = SERIES[name]
        ax.plot(curve.values, estimate, color=color, lw=1.3, zorder=3)
        ax.scatter(
            curve.values[seen][::3],
            sampled[seen][::3],
            s=13,
            facecolor="white",
            edgecolor=color,
            lw=0.8,
            zorder=4,
        )
        best = estimate.argmax()
        ax.plot(
            curve.values[best],
            estimate[best],
            color=color,
            marker="*",
            ms=12,
            mec="white",
            mew=0.8,
            zorder=6,
        )
    ax.plot(curve.values, curve.true, color=INK, lw=1.3, ls=(0, (5, 2)), zorder=3.5)
    likely = curve.policy > 1e-4
    drawn = np.concatenate([curve.true[likely], scale * curve.std[likely]])
    low, high = float(drawn.min()), float(drawn.max())
    ax.set_ylim(low - 0.08 * (high - low), high + 0.12 * (high - low))
    probability_axis(ax, "x")


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=INK, lw=1.4, ls=(0, (5, 2)), label="true"),
        Line2D([], [], color=SERIES["grpo_no_std"], lw=1.6, label="GRPO, no std"),
        Line2D([], [], color=SERIES["grpo"], lw=1.6, label="GRPO (scaled)"),
        Line2D([], [], color=MUTED, lw=0, marker="o", mfc="white", ms=4, label="sampled"),
        Line2D([], [], color=MUTED, lw=0, marker="*", ms=9, mec="white", label="maximum"),
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.012, 0.89),
        ncols=len(handles),
        fontsize=SMALL,
        frameon=False,
        handlelength=2.0,
        columnspacing=1.5,
    )


def figure5(curves: Mapping[str, Sequence[AdvantageCurves]]) -> Figure:
    """Mean standard deviation within a group under either outcome; the paper's figure 5.

    Args:
        curves: by rule, from `advantage_curves`.

    Returns:
        The figure, one panel for each rule.
    """
    with style():
        figure = canvas(3.7)
        heading(
            figure,
            "A sure policy is punished in a coarser unit than it is rewarded in",
            "Mean standard deviation of the rewards in a group of 1,000, had the outcome been 0 or 1",
        )
        axes = figure.subplots(1, len(curves), squeeze=False)[0]
        figure.subplots_adjust(left=0.10, right=0.972, top=0.675, bottom=0.155, wspace=0.27)
        for ax, (rule, members) in zip(axes, curves.items(), strict=True):
            frame(ax, "policy", f"standard deviation ({UNITS[rule]})", NAMES[rule])
            _spreads(ax, members)
        handles = [
            Line2D([], [], color=color, lw=1.8, marker=marker, mfc="white", mew=1.2, label=label)
            for color, marker, label in ((UNDER, "o", "outcome 0"), (OVER, "s", "outcome 1"))
        ]
        figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0.012, 0.865),
            ncols=2,
            fontsize=SMALL,
            frameon=False,
            handlelength=1.8,
            columnspacing=1.5,
        )
        figure.text(
            0.33,
            0.839,
            "line: exact;  marker: sampled;  number: ratio of the two",
            fontsize=SMALL,
            color=MUTED,
            va="top",
        )
    return figure


def _spreads(ax: Axes, members: Sequence[AdvantageCurves]) -> None:
    ax.set_yscale("log")
    ax.grid(False, axis="x")
    x = np.arange(len(members))
    for a, shift, color, marker in ((0, -0.12, UNDER, "o"), (1, 0.12, OVER, "s")):
        exact = [curve.sigma[a] for curve in members]
        sampled = [curve.sampled.sigma[a] for curve in members]
        ax.hlines(exact, x + shift - 0.1, x + shift + 0.1, color=color, lw=1.8, zorder=2)
        ax.scatter(
            x + shift,
            sampled,
            s=26,
            marker=marker,
            facecolor="white",
            edgecolor=color,
            lw=1.2,
            zorder=3,
        )
    for i, curve in enumerate(members):
        ax.annotate(
            f"{curve.sigma[0] / curve.sigma[1]:.1f}×",
            (i, curve.sigma.max()),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL,
            color=MUTED,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
    ax.set_xticks(x, [curve.name for curve in members])
    ax.set_xlim(-0.5, len(members) - 0.5)
    low, high = (np.array([curve.sigma for curve in members]).min(), 2.5)
    ax.set_ylim(0.6 * low, high * np.array([curve.sigma for curve in members]).max())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
