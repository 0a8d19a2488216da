"""Training curves: calibration, discrimination, accuracy and reward over the updates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from levelhead._arrays import FloatArray, IntArray
from levelhead._palette import INK, MUTED
from levelhead.errors import InvalidInputError
from levelhead.lab._palette import SERIES
from levelhead.lab.figures._style import SMALL, canvas, frame, heading, style
from levelhead.lab.figures.reliability import LABELS
from levelhead.lab.simulate import Trained
from levelhead.lab.world import World
from levelhead.metrics import auroc

__all__ = ["TrainingCurve", "figure6", "training_curve"]

PANELS = {
    "ece": ("ECE", "error of the exact mean"),
    "auroc": ("AUROC", "order of the exact mean"),
    "accuracy": ("Accuracy", "share right"),
    "reward": ("Reward", "mean log score (nats)"),
}
"""Field of a `TrainingCurve` to title and axis label."""


WIDTHS = {"grpo_no_std": 3.0, "rloo": 2.0, "rloo_notebook": 2.0, "grpo": 1.5, "ppo": 0.9}
"""Line widths in points: thinner lines go over thicker ones, so that what coincides can be seen."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingCurve:
    """One run's scores over its updates.

    Attributes:
        name: of the estimator.
        on_policy: whether each rollout served one update only.
        updates: (T,) policy updates done.
        ece: (T,) calibration error of the mean prediction.
        auroc: (T,) of the mean prediction.
        accuracy: (T,) of the mean prediction at 1/2.
        reward: (T,) expected reward of a single sample, nats.
    """

    name: str
    on_policy: bool
    updates: IntArray
    ece: FloatArray
    auroc: FloatArray
    accuracy: FloatArray
    reward: FloatArray


def training_curve(world: World, trained: Trained) -> TrainingCurve:
    """A run's scores from its recorded mean predictions, exact over the questions.

    Args:
        world: the questions that the run was trained on, which are also what it is judged on.
        trained: a run with a history.

    Returns:
        The curve.

    Raises:
        InvalidInputError: the run recorded nothing.
    """
    history = trained.history
    if history is None:
        raise InvalidInputError("trained: expected a history; simulate with record=100 or so")
    weights = world.counts.ravel().astype(np.float64)
    outcome = np.tile([0.0, 1.0], world.n_categories)
    asked = weights > 0
    order = [
        auroc(np.repeat(mean, 2)[asked], outcome[asked], weights=weights[asked])
        for mean in history.mean
    ]
    right = np.where(history.mean > 0.5, world.counts[:, 1], world.counts[:, 0])
    return TrainingCurve(
        name=trained.run.estimator,
        on_policy=trained.run.updates_per_rollout == 1,
        updates=history.updates,
        ece=history.ece,
        auroc=np.array(order),
        accuracy=right.sum(axis=1) / world.n_questions,
        reward=history.reward,
    )


def figure6(curves: Sequence[TrainingCurve]) -> Figure:
    """Four scores over the updates, a color for each estimator; dashes are off-policy runs.

    Args:
        curves: one for each run.

    Returns:
        The figure.
    """
    with style():
        figure = canvas(5.3)
        heading(
            figure,
            "GRPO loses calibration and reward early; the others keep both",
            "Scores during training on the synthetic world, log reward",
        )
        axes = figure.subplots(2, 2, sharex=True)
        figure.subplots_adjust(
            left=0.10, right=0.972, top=0.80, bottom=0.10, wspace=0.25, hspace=0.33
        )
        for ax, (field, (title, label)) in zip(axes.flat, PANELS.items(), strict=True):
            bottom = field in ("accuracy", "reward")
            frame(ax, "updates of the policy" if bottom else "", label, title)
            for curve in sorted(curves, key=lambda one: -WIDTHS.get(one.name, 1.5)):
                _line(ax, curve, getattr(curve, field))
            ax.xaxis.set_major_formatter(FuncFormatter(_thousands))
        _legend(figure, curves)
    return figure


def _line(ax: Axes, curve: TrainingCurve, y: FloatArray) -> None:
    dashes = "-" if curve.on_policy else (0, (4, 1.6))
    width = WIDTHS.get(curve.name, 1.5)
    ax.plot(curve.updates, y, color=SERIES.get(curve.name, INK), lw=width, ls=dashes)


def _thousands(value: float, _: int | None = None) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _legend(figure: Figure, curves: Sequence[TrainingCurve]) -> None:
    names = dict.fromkeys(curve.name for curve in curves)
    handles = [
        Line2D([], [], color=SERIES.get(n, INK), lw=2, label=LABELS.get(n, n)) for n in names
    ]
    if len({curve.on_policy for curve in curves}) > 1:
        handles += [
            Line2D([], [], color=MUTED, lw=1.4, label="1 update a rollout"),
            Line2D([], [], color=MUTED, lw=1.4, ls=(0, (4, 1.6)), label="10 updates"),
        ]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.012, 0.905),
        ncols=len(handles),
        fontsize=SMALL,
        frameon=False,
        handlelength=1.7,
        columnspacing=1.3,
        handletextpad=0.5,
    )
