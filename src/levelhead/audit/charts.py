"""The plots of the report, each of them also a function for people who draw from Python.

Every function takes a piece of an `AuditResult` and, if wanted, matplotlib axes to draw into; it
returns the axes (`ax.figure` is the figure). Nothing here touches pyplot or global settings.
The colors are plain ones, so a figure saved by hand looks as it should; `to_svg` turns each of them
into a CSS variable with the plain color behind it, so that one drawing serves light and dark pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from levelhead._arrays import FloatArray
from levelhead._drawing import (
    FLAT,
    LOW,
    MAX_NAME,
    PALETTE,
    SMALL,
    SQUARE,
    canvas,
    capital,
    compact,
    corner,
    frame,
    key,
    markers,
    names_at_the_end,
    percent_tick,
    series_style,
    short,
    size_in_points,
    to_svg,
)
from levelhead._text import percent
from levelhead.audit.result import (
    Comparison,
    Histogram,
    Reliability,
    RiskCoverage,
    SliceRow,
    TrustCurve,
)

__all__ = [
    "LOW",
    "MAX_NAME",
    "PALETTE",
    "SQUARE",
    "confidence_histogram",
    "difference_plot",
    "reliability_diagram",
    "risk_coverage_plot",
    "series_style",
    "slice_plot",
    "to_svg",
    "trust_plot",
]

Piece = TypeVar("Piece")

LOWEST_TRUST = -1.5
"""The trust axis ends here: near stakes of 1 a single confident error costs any amount."""


def reliability_diagram(
    curves: Reliability | Mapping[str, Reliability], *, ax: Axes | None = None
) -> Axes:
    """Accuracy over stated confidence, bin by bin, against the diagonal of perfect calibration.

    One model: bars fill the gap between accuracy and confidence, in the color of overconfidence or
    of underconfidence (for events: a probability farther from or closer to 1/2 than it should be),
    and a row of counts says how many records a bin holds. Several models: a
    line each. The area of a point grows with its bin.

    Args:
        curves: one model's bins, or bins by model name.
        ax: where to draw; a new figure when left out.

    Returns:
        The axes.

    Example:
        >>> bins = Reliability([0.9], [1.0], [8.0], [0.97], [0.7], [0.6], [0.8])
        >>> reliability_diagram(bins).get_ylabel()
        'Accuracy'
    """
    named = _named(curves, Reliability)
    several = len(named) > 1
    with canvas(ax, SQUARE, names=several) as ax:
        frame(ax, "Stated confidence", capital(next(iter(named.values())).label))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(np.linspace(0, 1, 6))
            axis.set_major_formatter(FuncFormatter(percent_tick))
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.set_aspect("equal")
        ax.plot([0, 1], [0, 1], color=PALETTE["muted"], lw=1, ls=(0, (3, 3)), zorder=1)
        largest = max((max(c.count, default=1.0) for c in named.values()), default=1.0)
        for i, curve in enumerate(named.values()):
            x, y = np.array(curve.confidence), np.array(curve.accuracy)
            color, dashes = series_style(i) if several else (PALETTE["ink"], "-")
            if several:
                ax.plot(x, y, color=color, ls=dashes, lw=1.4, zorder=3)
            else:
                _gaps(ax, curve)
            ax.vlines(x, curve.accuracy_low, curve.accuracy_high, color=color, lw=1.2, zorder=4)
            area = 10 + 110 * np.array(curve.count) / largest
            ax.scatter(x, y, s=area, color=color, linewidths=0, zorder=5, clip_on=False)
        if several:
            ends = {n: (c.accuracy or [np.nan])[-1] for n, c in named.items()}
            names_at_the_end(ax, ends)
        else:
            curve = next(iter(named.values()))
            _counts(ax, curve)
            above = "over" if _event(curve) else "under"
            corner(ax, 0.985, 0.025, "right", "overconfident", "over")
            corner(ax, 0.015, 0.975, "left", f"{above}confident", above)
        _name_the_diagonal(ax, list(named.values()))
    return ax


def confidence_histogram(
    histogram: Histogram,
    *,
    kind: str = "answer",
    mean_confidence: float | None = None,
    accuracy: float | None = None,
    height: float = SQUARE,
    ax: Axes | None = None,
) -> Axes:
    """How often each confidence is stated, split by what came of it.

    Args:
        histogram: the counts; they are drawn as shares of all records.
        kind: `answer` (right or wrong) or `event` (happened or not).
        mean_confidence: marked with a line where given, in [0, 1].
        accuracy: marked with a line where given, in [0, 1].
        height: of a new figure, in points.
        ax: where to draw; a new figure when left out.

    Returns:
        The axes.

    Example:
        >>> ax = confidence_histogram(Histogram([0.0, 0.5, 1.0], [1.0, 5.0], [0.0, 2.0]))
        >>> [round(float(p.get_height()), 3) for p in ax.patches]
        [0.125, 0.625, 0.0, 0.25]
    """
    edges = np.array(histogram.edges, dtype=np.float64)
    right, wrong = np.array(histogram.right), np.array(histogram.wrong)
    total = float(right.sum() + wrong.sum()) or 1.0
    event = kind == "event"
    with canvas(ax, height) as ax:
        frame(ax, "Stated confidence", "Share of records")
        width = np.diff(edges)
        inner: dict[str, Any] = {"width": 0.86 * width, "align": "edge", "lw": 0, "zorder": 2}
        x = edges[:-1] + 0.07 * width
        roles = ("muted", "bar") if event else ("bar", "over")
        ax.bar(x, right / total, color=PALETTE[roles[0]], **inner)
        ax.bar(x, wrong / total, bottom=right / total, color=PALETTE[roles[1]], **inner)
        top = float(((right + wrong) / total).max(initial=0.0)) or 1.0
        ax.set(xlim=(0, 1), ylim=(0, 1.25 * top))
        ax.xaxis.set_ticks(np.linspace(0, 1, 6))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(FuncFormatter(percent_tick))
        words = ("happened", "did not happen") if event else ("right", "wrong")
        key(ax, list(zip(words, roles, strict=True)))
        markers(ax, {"says": mean_confidence, "happens" if event else "is right": accuracy})
    return ax


def risk_coverage_plot(
    curves: RiskCoverage | Mapping[str, RiskCoverage], *, ax: Axes | None = None
) -> Axes:
    """Error rate among the answered when only the most confident share is answered.

    Below the coverage of the most confident tie the line is dotted: the records in it cannot be
    told apart, so any part of it has the same expected risk.

    Args:
        curves: one model's curve, or curves by model name.
        ax: where to draw; a new figure when left out.

    Returns:
        The axes.

    Example:
        >>> risk_coverage_plot(RiskCoverage([0.5, 1.0], [0.1, 0.3])).get_ylabel()
        'Error rate among the answered'
    """
    named = _named(curves, RiskCoverage)
    with canvas(ax, FLAT, names=len(named) > 1) as ax:
        frame(ax, "Share answered, most confident first", "Error rate among the answered")
        highest = max((max(c.risk, default=0.0) for c in named.values()), default=0.0)
        ax.set(xlim=(0, 1), ylim=(0, 1.18 * highest or 1.0))
        ax.xaxis.set_ticks(np.linspace(0, 1, 6))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(FuncFormatter(percent_tick))
        for i, curve in enumerate(named.values()):
            if not curve.coverage:
                continue
            color, dashes = series_style(i)
            first = ([0, curve.coverage[0]], [curve.risk[0]] * 2)
            ax.plot(*first, color=color, lw=1.4, ls=(0, (1, 2.2)), zorder=3)
            ax.plot(curve.coverage, curve.risk, color=color, ls=dashes, lw=1.8, zorder=3)
            ax.scatter(
                curve.coverage[-1:], curve.risk[-1:], s=20, color=color, zorder=4, clip_on=False
            )
            if len(named) == 1:
                x, y = [0.0, *curve.coverage], [curve.risk[0], *curve.risk]
                ax.fill_between(x, y, color=color, alpha=0.07, lw=0)
                ax.annotate(
                    f"answering all: {percent(curve.risk[-1])} wrong",
                    (curve.coverage[-1], curve.risk[-1]),
                    xytext=(-2, 8),
                    textcoords="offset points",
                    ha="right",
                    fontsize=SMALL,
                    color=PALETTE["ink"],
                )
        if len(named) > 1:
            names_at_the_end(ax, {n: (c.risk or [np.nan])[-1] for n, c in named.items()})
    return ax


def trust_plot(curves: TrustCurve | Mapping[str, TrustCurve], *, ax: Axes | None = None) -> Axes:
    """Trustworthiness over the stakes floor t0, with pointwise intervals; 0 is silence.

    Args:
        curves: one model's curve, or curves by model name.
        ax: where to draw; a new figure when left out.

    Returns:
        The axes.

    Edge cases: values below `LOWEST_TRUST` leave the picture, and a note says how low they go.

    Example:
        >>> trust_plot(TrustCurve([0.0, 0.5], [0.8, 0.6], [None, 0.5], [None, 0.7])).get_ylabel()
        'Trustworthiness'
    """
    named = _named(curves, TrustCurve)
    with canvas(ax, FLAT, names=len(named) > 1) as ax:
        frame(ax, "Stakes floor t₀", "Trustworthiness")
        low, high = _trust_range(list(named.values()))
        last = max((max(c.t0, default=1.0) for c in named.values()), default=1.0)
        ax.set(xlim=(0, last or 1.0), ylim=(low, high))
        ax.axhline(0, color=PALETTE["muted"], lw=1, ls=(0, (3, 3)), zorder=1)
        if low < 0:
            ax.axhspan(low, 0, color=PALETTE["over"], alpha=0.07, lw=0, zorder=0)
            corner(ax, 0.015, 0.09, "left", "worse than silence", "over")
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        lowest = np.inf
        ends = {}
        for i, (name, curve) in enumerate(named.items()):
            color, dashes = series_style(i)
            trust = np.array(curve.trust, dtype=np.float64)
            band = np.array(curve.low, dtype=np.float64), np.array(curve.high, dtype=np.float64)
            ax.fill_between(curve.t0, *band, color=color, alpha=0.16, lw=0, zorder=2)
            ax.plot(curve.t0, trust, color=color, ls=dashes, lw=1.8, zorder=3)
            if trust.size:
                lowest = min(lowest, float(np.nanmin(trust)))
                ends[name] = float(np.clip(trust[-1], low, high))
        if lowest < low:
            note = f"continues down to {lowest:.1f}".replace("-", "−")
            corner(ax, 0.015, 0.02, "left", note, "muted")
        if len(named) > 1:
            names_at_the_end(ax, ends)
    return ax


def slice_plot(slices: Sequence[SliceRow], *, top: int = 12, ax: Axes | None = None) -> Axes:
    """Confidence (ring) and accuracy (dot) of each slice, the most damaging at the top.

    Args:
        slices: the slices, already ranked.
        top: how many of them are drawn.
        ax: where to draw; a new figure when left out.

    Returns:
        The axes.

    Example:
        >>> row = SliceRow("subject", "law", 40, 0.6, 0.9, 0.3, 0.3, 0.1, 0.5)
        >>> [t.get_text() for t in slice_plot([row]).get_yticklabels()]
        ['subject = law']
    """
    rows = list(slices)[:top]
    with canvas(ax, 70 + 22 * max(len(rows), 1), left=150) as ax:
        frame(ax, "Accuracy (dot) and stated confidence (ring)", "")
        ax.grid(False)
        y = np.arange(len(rows), dtype=np.float64)
        labels = [short(f"{r.column} = {r.value}", 26) for r in rows]
        ax.set_yticks(y, labels, parse_math=False, color=PALETTE["ink"])
        ax.set(xlim=(0, 1), ylim=(max(len(rows), 1) - 0.5, -0.5))
        ax.xaxis.set_ticks(np.linspace(0, 1, 6))
        ax.xaxis.set_major_formatter(FuncFormatter(percent_tick))
        for position, row in zip(y, rows, strict=True):
            color = PALETTE["over" if row.gap > 0 else "under"]
            ax.hlines(position, row.accuracy, row.confidence, color=color, lw=3, alpha=0.45)
            ax.scatter([row.accuracy], [position], s=26, color=color, zorder=3, clip_on=False)
            ring = ax.scatter([row.confidence], [position], s=30, edgecolors=color, zorder=3)
            ring.set(facecolor="none", clip_on=False)
    return ax


def difference_plot(comparison: Comparison, *, ax: Axes | None = None) -> Axes:
    """Differences of a model from the baseline with their intervals, one line per metric.

    Args:
        comparison: the paired comparison; rows without a difference are left out.
        ax: where to draw; a new figure when left out.

    Returns:
        The axes; filled points where the interval decides, hollow ones where it does not.

    Example:
        >>> from levelhead.audit.result import ComparisonRow
        >>> row = ComparisonRow("ece", "ECE", "lower", 0.3, 0.1, 0.2, 0.1, 0.3, 0.01, True)
        >>> pair = Comparison("tuned", "base", 10, 10, "prompt", [row], "")
        >>> difference_plot(pair).get_xlabel()
        'tuned minus base'
    """
    rows = [row for row in comparison.rows if row.difference is not None]
    with canvas(ax, 70 + 22 * max(len(rows), 1), left=150) as ax:
        frame(ax, "", "")
        label = f"{short(comparison.model, 24)} minus {short(comparison.baseline, 24)}"
        ax.set_xlabel(label, parse_math=False)
        ax.grid(False)
        ax.axvline(0, color=PALETTE["muted"], lw=1, ls=(0, (3, 3)), zorder=1)
        y = np.arange(len(rows), dtype=np.float64)
        labels = [short(row.label, 30) for row in rows]
        ax.set_yticks(y, labels, parse_math=False, color=PALETTE["ink"])
        ax.set_ylim(max(len(rows), 1) - 0.5, -0.5)
        for position, row in zip(y, rows, strict=True):
            color = PALETTE["over"] if row.worse else PALETTE["ink"]
            if row.low is not None and row.high is not None:
                ax.hlines(position, row.low, row.high, color=color, lw=1.4)
            face = "none" if row.worse is None else color
            spot = [row.difference or 0.0], [position]
            ax.scatter(*spot, s=26, facecolors=face, edgecolors=color, zorder=3)
    return ax


def _gaps(ax: Axes, curve: Reliability) -> None:
    for low, high, says, right in zip(
        curve.low, curve.high, curve.confidence, curve.accuracy, strict=True
    ):
        inset = 0.06 * (high - low)
        # An event that is called too unlikely is overconfidence as much as one called too likely.
        over = (says - right) * (says - 0.5) > 0 if _event(curve) else says > right
        color = PALETTE["over" if over else "under"]
        ax.bar(
            low + inset,
            says - right,
            bottom=right,
            width=high - low - 2 * inset,
            align="edge",
            color=color,
            alpha=0.28,
            linewidth=0,
            zorder=2,
        )


def _event(curve: Reliability) -> bool:
    return curve.label != "accuracy"


def _counts(ax: Axes, curve: Reliability) -> None:
    """How many records each bin holds, above the picture, where the bins leave room for it."""
    room = size_in_points(ax)[0]
    over = ax.get_xaxis_transform()
    style: dict[str, Any] = {"transform": over, "fontsize": SMALL, "va": "bottom"}
    style["color"] = PALETTE["muted"]
    for low, high, count in zip(curve.low, curve.high, curve.count, strict=True):
        if (high - low) * room >= 24:
            ax.text((low + high) / 2, 1.015, compact(count), ha="center", **style)
    ax.text(-0.02, 1.015, "n", ha="right", fontstyle="italic", **style)


def _name_the_diagonal(ax: Axes, curves: Sequence[Reliability]) -> None:
    """Label the diagonal where the points, bars and intervals leave most room beside it."""
    boxes = [
        (low, high, min(c, a_low), max(c, a_high))
        for curve in curves
        for low, high, c, a_low, a_high in zip(
            curve.low,
            curve.high,
            curve.confidence,
            np.fmin(curve.accuracy, curve.accuracy_low),
            np.fmax(curve.accuracy, curve.accuracy_high),
            strict=True,
        )
    ]

    def clearance(t: float, side: int) -> float:
        """Least distance of the label, three points along it, from anything drawn."""
        spots = [
            (t + d - 0.03 * side, t + d + 0.03 * side) for d in (-0.11, -0.05, 0.0, 0.05, 0.11)
        ]
        apart = [
            max(x0 - x, x - x1, y0 - y, y - y1, 0.0) for x, y in spots for x0, x1, y0, y1 in boxes
        ]
        return min(apart, default=1.0)

    places = [(float(t), side) for side in (1, -1) for t in np.linspace(0.2, 0.8, 25)]
    at, side = max(places, key=lambda p: (round(clearance(*p), 2), p[1], -abs(p[0] - 0.35)))
    ax.text(
        at - 0.02 * side,
        at + 0.02 * side,
        "perfect calibration",
        rotation=45,
        transform_rotates_text=True,
        rotation_mode="anchor",
        ha="center",
        va="baseline" if side > 0 else "top",
        fontsize=SMALL,
        color=PALETTE["muted"],
    )


def _trust_range(curves: Sequence[TrustCurve]) -> tuple[float, float]:
    parts = [np.array(v, dtype=np.float64) for c in curves for v in (c.trust, c.low, c.high)]
    values: FloatArray = np.concatenate(parts) if parts else np.zeros(0)
    values = values[np.isfinite(values)]
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    pad = 0.08 * (max(high, 0.1) - max(low, LOWEST_TRUST))
    return max(low - pad if low < 0 else low, LOWEST_TRUST), min(high + pad, 1.0) or 1.0


def _named(curves: Piece | Mapping[str, Piece], piece: type[Piece]) -> Mapping[str, Piece]:
    return {"": curves} if isinstance(curves, piece) else curves  # type: ignore[return-value]
