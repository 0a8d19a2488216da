"""Reliability: what trained policies say against how often it happens, and the lottery."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from levelhead._arrays import FloatArray
from levelhead._palette import INK, MUTED, OVER, SHADE
from levelhead.lab._palette import SERIES
from levelhead.lab.evaluate import predict, scores
from levelhead.lab.figures._style import (
    HEAD,
    LABEL,
    SMALL,
    canvas,
    frame,
    heading,
    probability_axis,
    style,
)
from levelhead.lab.sweeps import mean_field
from levelhead.lab.world import World
from levelhead.metrics import reliability_curve

__all__ = ["LABELS", "ReliabilityPanel", "figure1", "lottery", "reliability_panels"]

LABELS = {
    "grpo": "GRPO",
    "grpo_no_std": "GRPO, no std",
    "rloo": "RLOO",
    "rloo_notebook": "RLOO",
    "ppo": "PPO",
    "top1": "top-1",
}
"""Estimator to what people call it."""

SAMPLES = 100
"""Samples a question whose mean is a prediction, as in the paper's table."""

BAND = (0.05, 0.95)
"""Quantiles between which single samples are drawn as a line."""

VISIBLE = 0.05
"""A line that is shorter hides behind its point."""


@dataclasses.dataclass(frozen=True, slots=True)
class ReliabilityPanel:
    """What one policy says about the categories of a world.

    Attributes:
        name: of the estimator that trained it.
        rate: (C,) observed rate of each category.
        mean: (C,) mean prediction.
        low: (C,) 5% quantile of single samples.
        high: (C,) 95% quantile of single samples.
        curve_p: (P,) true probabilities of the curve; empty where no exact limit is known.
        curve_mean: (P,) mean prediction without sampling noise.
        mean_prediction: (N,) mean of 100 samples for each question.
        single_prediction: (N,) one sample for each question.
        outcome: (N,) what happened.
        ece_mean: calibration error of the mean of 100 samples.
        ece_single: calibration error of single samples.
    """

    name: str
    rate: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    curve_p: FloatArray
    curve_mean: FloatArray
    mean_prediction: FloatArray
    single_prediction: FloatArray
    outcome: FloatArray
    ece_mean: float
    ece_single: float


def reliability_panels(
    world: World,
    policies: Mapping[str, FloatArray],
    *,
    rng: np.random.Generator,
    group_size: int = 10,
    curve_points: int = 41,
) -> list[ReliabilityPanel]:
    """What trained policies say, and the exact limit of the updates that trained them.

    Args:
        world: the questions.
        policies: (C, K) probabilities by estimator.
        rng: of the sampled predictions.
        group_size: of the groups that the estimator compared.
        curve_points: true probabilities of the exact curve; 0 draws none.

    Returns:
        One for each policy, in order.
    """
    panels: list[ReliabilityPanel] = []
    for name, policy in policies.items():
        sampled = predict(world, policy, n=SAMPLES, rng=rng)
        p, mean = np.empty(0), np.empty(0)
        if curve_points:
            p = np.linspace(0.01, 0.99, curve_points)
            mean = mean_field(name, p, world.values, group_size=group_size).mean
        low, high = (quantile(policy, world.values, share) for share in BAND)
        panels.append(
            ReliabilityPanel(
                name=name,
                rate=world.empirical_rates,
                mean=policy @ world.values,
                low=low,
                high=high,
                curve_p=p,
                curve_mean=mean,
                mean_prediction=sampled.mean,
                single_prediction=sampled.single,
                outcome=world.outcome.astype(np.float64),
                ece_mean=scores(world, sampled.mean).ece,
                ece_single=scores(world, sampled.single).ece,
            )
        )
    return panels


def quantile(policy: FloatArray, values: FloatArray, share: float) -> FloatArray:
    """Smallest value whose cumulative probability reaches `share`, for each row of a policy."""
    reached = np.cumsum(policy, axis=-1) >= share - 1e-12
    return values[reached.argmax(axis=-1)]


def figure1(panels: Sequence[ReliabilityPanel]) -> Figure:
    """Each policy's predictions against the observed rates, one panel for each estimator.

    Args:
        panels: from `reliability_panels`.

    Returns:
        The figure.
    """
    with style():
        figure = canvas(3.35)
        heading(
            figure,
            "Dividing by the group's standard deviation makes a policy overconfident",
            "20 kinds of question, 10,000 in all; the reward is the log score, "
            "which is best when the truth is said",
        )
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(left=0.085, right=0.972, top=0.685, bottom=0.225, wspace=0.17)
        for i, (ax, panel) in enumerate(zip(axes, panels, strict=True)):
            title = LABELS.get(panel.name, panel.name)
            frame(ax, "", "what the policy says" if i == 0 else "", title)
            _below_title(ax, f"ECE {panel.ece_mean:.3f} / {panel.ece_single:.3f}")
            _square(ax)
            _too_sure(ax, words=panel.ece_mean > 0.1)
            _policy_against_rates(ax, panel)
        figure.text(0.535, 0.105, "how often it happens", ha="center", fontsize=LABEL, color=INK)
        _key(figure, panels)
    return figure


def _below_title(ax: Axes, text: str) -> None:
    ax.set_title(ax.get_title("left"), loc="left", fontsize=HEAD, fontweight="bold", pad=20)
    ax.text(0, 1.045, text, transform=ax.transAxes, fontsize=SMALL, color=MUTED)


def _square(ax: Axes) -> None:
    probability_axis(ax, "x")
    probability_axis(ax, "y")
    ax.set_aspect("equal")
    ax.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (3, 3)), zorder=1.5)


def _too_sure(ax: Axes, *, words: bool) -> None:
    """Shade where a prediction is farther from 1/2 than the truth, on the same side."""
    ax.fill_between([0.5, 1.0], [0.5, 1.0], 1.0, color=SHADE, lw=0, zorder=0.5)
    ax.fill_between([0.0, 0.5], 0.0, [0.0, 0.5], color=SHADE, lw=0, zorder=0.5)
    if words:
        ax.text(
            0.03, 0.97, "shaded:\ntoo sure", fontsize=SMALL, color=OVER, va="top", linespacing=1.1
        )


def _policy_against_rates(ax: Axes, panel: ReliabilityPanel) -> None:
    color = SERIES.get(panel.name, INK)
    if panel.curve_p.size:
        ax.plot(panel.curve_p, panel.curve_mean, color=color, lw=1.3, alpha=0.55, zorder=2)
    ax.vlines(panel.rate, panel.low, panel.high, color=color, lw=1.6, alpha=0.4, zorder=3)
    ax.scatter(panel.rate, panel.mean, s=17, color=color, edgecolor="white", lw=0.5, zorder=4)


def _key(figure: Figure, panels: Sequence[ReliabilityPanel]) -> None:
    parts = ["ECE: mean of 100 / one sample", "point: a category", "dashed: the truth"]
    if any((one.high - one.low > VISIBLE).any() for one in panels):
        parts.append("bar: 90% of its samples")
    if any(one.curve_p.size for one in panels):
        parts.append("curve: exact limit")
    figure.text(0.02, 0.02, ";  ".join(parts), fontsize=SMALL, color=MUTED)


def lottery(
    panel: ReliabilityPanel, truths: FloatArray, policies: FloatArray, values: FloatArray
) -> Figure:
    """A policy that looks calibrated on average while each of its samples stands at an end.

    Args:
        panel: from `reliability_panels`, of the policy on the world.
        truths: (P,) a few true probabilities.
        policies: (P, K) the final policy at each.
        values: (K,) what its tokens say.

    Returns:
        The figure: shares of single samples at either end and between for each truth, and the
        reliability of the mean of 100 samples beside that of single samples.
    """
    with style():
        figure = canvas(3.35)
        heading(
            figure,
            "The mean of many samples looks calibrated, single samples are a lottery",
            "Policy trained to be ranked first in its group of 8, log score",
        )
        grid = figure.add_gridspec(
            1,
            3,
            left=0.085,
            right=0.972,
            top=0.655,
            bottom=0.185,
            wspace=0.38,
            width_ratios=(1.28, 1, 1),
        )
        _histograms(figure.add_subplot(grid[0]), truths, policies, values)
        for column, (title, predicted, found) in enumerate(
            (
                ("mean of 100", panel.mean_prediction, panel.ece_mean),
                ("one sample", panel.single_prediction, panel.ece_single),
            )
        ):
            ax = figure.add_subplot(grid[column + 1])
            frame(ax, "prediction", "how often it happens" if column == 0 else "", title)
            _below_title(ax, f"ECE {found:.3f}")
            _square(ax)
            curve = reliability_curve(predicted, panel.outcome)
            area = 8 + 90 * curve.weight / curve.weight.max()
            ax.scatter(
                curve.confidence,
                curve.accuracy,
                s=area,
                color=SERIES["top1"],
                edgecolor="white",
                lw=0.6,
                zorder=4,
                clip_on=False,
            )
    return figure


def _histograms(ax: Axes, truths: FloatArray, policies: FloatArray, values: FloatArray) -> None:
    """One row for each truth: how often single samples fall into each tenth."""
    frame(ax, "single sample", "true probability", "what one sample says")
    _below_title(ax, "bar: share of samples;  line: mean")
    bins = np.clip((values * 10).astype(int), 0, 9)
    for row, policy in enumerate(policies):
        share = np.bincount(bins, weights=policy, minlength=10)
        ax.bar(
            (np.arange(10) + 0.5) / 10, 0.84 * share, width=0.09, bottom=row, color=SERIES["top1"]
        )
        mean = float(policy @ values)
        ax.plot([mean, mean], [row, row + 0.84], color=INK, lw=1.3)
    ax.set_yticks(np.arange(len(truths)), [f"{100 * p:.0f}%" for p in truths])
    ax.set_ylim(-0.12, len(truths) + 0.05)
    probability_axis(ax, "x")
    ax.grid(False, axis="x")
