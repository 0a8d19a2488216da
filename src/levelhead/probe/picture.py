"""A reading as a picture: where policies end, and how the estimator sees the tokens."""

from __future__ import annotations

from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from levelhead._palette import INK, MUTED, OVER, ROSE, RULE, SHADE, TEAL, UNDER
from levelhead._write import replacing
from levelhead.errors import InvalidInputError
from levelhead.probe.reading import Bias, Reading

__all__ = ["draw", "save"]

STYLE = {"svg.fonttype": "none", "svg.hashsalt": "levelhead", "text.usetex": False}
FORMATS = (".png", ".svg")
WIDTH, HEIGHT = 9.2, 4.6
LABEL, TICK, SMALL, TITLE = 10.5, 10.0, 9.5, 12.0

COLORS = {
    "overconfident": OVER,
    "backwards": OVER,
    "lottery": ROSE,
    "calibrated": TEAL,
    "underconfident": UNDER,
}
"""Verdict to color; the others are gray."""

MOST_TITLE = 74


def draw(reading: Reading) -> Figure:
    """The picture of one reading, two panels side by side.

    Left: true probability against where the policy ends, with the standard deviation of single
    samples. Right: the expected advantage of each token against the exact one, both scaled to a
    deviation of 1, at the policy near 0.75 where 0.75 is the truth.

    Args:
        reading: of an estimator that could be measured.

    Returns:
        The figure.

    Raises:
        InvalidInputError: there is nothing to draw, as the estimator could not be measured.
    """
    if not reading.ends:
        raise InvalidInputError(f"{reading.name}: expected a measurement to draw, got none")
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH, HEIGHT), dpi=150)
        left = figure.add_axes((0.075, 0.14, 0.39, 0.66))
        right = figure.add_axes((0.575, 0.14, 0.39, 0.66))
        color = COLORS.get(reading.verdict, MUTED)
        _ends(left, reading, color)
        bias = reading.bias("near 0.75", 0.75)
        if bias is None:
            right.set_axis_off()
        else:
            _advantages(right, reading, bias, color)
        title = f"{_shorter(reading.name)}: {reading.verdict}"
        figure.text(0.02, 0.93, title, fontsize=TITLE, color=INK, weight="bold", parse_math=False)
        world = (
            f"{reading.groups} outcomes, {reading.reward} reward, groups of {reading.group_size}"
        )
        how = f"{world}; {reading.method}"
        if reading.version:
            how = f"{reading.version}; {how}"
        figure.text(0.02, 0.875, how, fontsize=SMALL, color=MUTED, parse_math=False)
    return figure


def save(reading: Reading, path: Path) -> None:
    """Write the picture of a reading to a PNG or SVG file.

    Args:
        reading: of an estimator that could be measured.
        path: where to, by its suffix `.png` or `.svg`.

    Raises:
        InvalidInputError: another suffix, or nothing to draw.
        RecordError: the file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise InvalidInputError(f"{path}: expected a name that ends in .png or .svg")
    figure = draw(reading)
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    with replacing(path) as unfinished, matplotlib.style.context(["default", STYLE]):
        figure.savefig(unfinished, metadata=metadata)


def _frame(ax: Axes, x_label: str, y_label: str, title: str) -> None:
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(MUTED)
        spine.set_linewidth(0.8)
    ax.grid(True, color=RULE, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelsize=TICK, labelcolor=MUTED, pad=5)
    ax.set_xlabel(x_label, fontsize=LABEL, color=INK, labelpad=6)
    ax.set_ylabel(y_label, fontsize=LABEL, color=INK, labelpad=5)
    ax.set_title(title, fontsize=SMALL, color=INK, loc="left", pad=7)


def _ends(ax: Axes, reading: Reading, color: str) -> None:
    p = np.array([end.p for end in reading.ends])
    mean = np.array([end.mean for end in reading.ends])
    sd = np.array([end.sd for end in reading.ends])
    for side in (((0, 0.5), (0, 0), (0, 0.5)), ((0.5, 1), (0.5, 1), (1, 1))):
        ax.fill_between(*side, color=SHADE, linewidth=0)
    ax.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (5, 3)))
    low, high = np.maximum(mean - sd, 0.0), np.minimum(mean + sd, 1.0)
    ax.vlines(p, low, high, color=color, linewidth=5, alpha=0.3)
    ax.plot(p, mean, color=color, marker="o", markersize=7, linewidth=1.2)
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.02, 1.02)
    _frame(
        ax, "true probability", "the policy ends at", "mean of the policy; bar: ±1 sd of samples"
    )
    for x in (0.29, 0.71):
        y = x + 0.16 * np.sign(x - 0.5)
        ax.annotate("too sure", (x, y), fontsize=SMALL, color=OVER, va="center", ha="center")


def _advantages(ax: Axes, reading: Reading, bias: Bias, color: str) -> None:
    v, pi = np.array(reading.values), np.array(bias.probability)
    seen = pi > 1e-4
    lines = {}
    for key in ("exact", "expected"):
        a = np.array(getattr(bias, key))
        size = float(np.sqrt(pi @ a**2))
        lines[key] = a / size if size > 0 else a
    scale = float(np.sqrt(pi @ np.array(bias.expected) ** 2))
    error = np.array(bias.error) / scale if scale > 0 else np.zeros_like(pi)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.axvline(0.75, color=INK, linewidth=1, linestyle=(0, (5, 3)))
    ax.plot(v[seen], lines["exact"][seen], color=INK, marker="s", markersize=5, linewidth=1.2)
    ax.errorbar(
        v[seen],
        lines["expected"][seen],
        yerr=error[seen] if np.any(error[seen] > 0) else None,
        color=color,
        marker="o",
        markersize=7,
        linewidth=1.6,
    )
    ax.set_xlim(0, 1)
    both = np.concatenate([line[seen] for line in lines.values()])
    ax.set_ylim(max(-6.0, both.min() - 0.4), min(6.0, both.max() + 0.4))
    _frame(
        ax,
        "token: stated probability",
        "advantage (own deviation = 1)",
        f"truth 0.75, policy near 0.75: pull {bias.pull:+.2f}, exact {bias.exact_pull:+.2f}",
    )
    for k, (word, shade, mark) in enumerate((("exact", INK, "■"), ("estimator", color, "●"))):
        ax.annotate(
            f"{mark} {word}",
            (0.04, 0.95 - 0.075 * k),
            xycoords="axes fraction",
            fontsize=SMALL,
            color=shade,
            va="top",
        )


def _shorter(name: str) -> str:
    return name if len(name) <= MOST_TITLE else f"…{name[1 - MOST_TITLE :]}"
