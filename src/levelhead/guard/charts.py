"""The pictures of a guard's report, drawn as SVG text: risk over coverage, reliability, scores.

They need no drawing library. Every color is a CSS variable of the page with the plain color of a
light page behind it, so that one drawing serves light and dark pages and can also be saved alone.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from levelhead._arrays import FloatArray
from levelhead._pages import COLORS, blanked

__all__ = ["COLORS", "Curve", "Mark", "reliability_chart", "risk_chart", "score_chart"]

WIDTH, FLAT, SQUARE = 380.0, 300.0, 380.0
"""Size of a chart in points: a phone shows it at about its natural size."""

LEFT, RIGHT, TOP, BOTTOM = 52.0, 16.0, 26.0, 42.0
LABEL, TICK, SMALL = 10.5, 10.0, 9.5
NARROWEST = 0.012
"""Width at which a narrower bin is drawn."""

MAX_POINTS = 300
"""Points of a line beyond which it is thinned: a picture shows no more."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Attributes:
        name: what the key calls it.
        x: (B,) in [0, 1], ascending.
        y: (B,) in [0, 1]; NaN where it is undefined.
        weight: (B,) how much each point stands for, drawn as its area; empty draws no points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    weight: Sequence[float] = ()


@dataclasses.dataclass(frozen=True)
class Mark:
    """A measured point with its interval.

    Attributes:
        x: in [0, 1].
        y: in [0, 1].
        low: lower end of the interval of y, or None.
        high: upper end of the interval of y, or None.
        text: written beside it.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    text: str = ""


class _Plot:
    """Axes in data units on a canvas in points; collects SVG elements from back to front."""

    def __init__(self, height: float, y_end: float) -> None:
        self.height, self.y_end = height, y_end
        self.parts: list[str] = []

    def x(self, value: float) -> float:
        return LEFT + value * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return self.height - BOTTOM - value / self.y_end * (self.height - TOP - BOTTOM)

    def line(
        self, points: Iterable[tuple[float, float]], role: str, width: float = 1.8, dash: str = ""
    ) -> None:
        """A line through points in data units, broken where one is undefined."""
        path, pen = [], "M"
        for x, y in points:
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
                continue
            path.append(f"{pen}{self.x(x):.1f} {self.y(y):.1f}")
            pen = "L"
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<path d="{"".join(path)}" fill="none" stroke="{_color(role)}" '
            f'stroke-width="{width}"{extra}/>'
        )

    def dot(self, x: float, y: float, radius: float, role: str, hollow: bool = False) -> None:
        """A point; the hollow one shows the page inside."""
        face = "var(--page, #ffffff)" if hollow else _color(role)
        edge = f' stroke="{_color(role)}" stroke-width="1.6"' if hollow else ""
        self.parts.append(
            f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius:.1f}" '
            f'fill="{face}"{edge}/>'
        )

    def bar(self, low: float, high: float, top: float, role: str, opacity: float = 1.0) -> None:
        """A bar that stands on the axis."""
        height = self.y(0.0) - self.y(top)
        faint = f' fill-opacity="{opacity}"' if opacity < 1 else ""
        self.parts.append(
            f'<rect x="{self.x(low):.1f}" y="{self.y(top):.1f}" '
            f'width="{max(self.x(high) - self.x(low), 0.5):.1f}" height="{max(height, 0.0):.1f}" '
            f'fill="{_color(role)}"{faint}/>'
        )

    def text(
        self, x: float, y: float, words: str, role: str, *, size: float = SMALL, anchor: str = ""
    ) -> None:
        """Words at a place in points."""
        where = f' text-anchor="{anchor}"' if anchor else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"{where} '
            f'fill="{_color(role)}">{escape(blanked(words))}</text>'
        )

    def frame(self, x_label: str, y_label: str, step: float) -> None:
        """Grid, tick labels in percent, and the names of the axes."""
        bottom = self.height - BOTTOM
        for k in range(round(self.y_end / step * 1.0001) + 1):
            y = self.y(k * step)
            role, width = ("muted", 0.8) if k == 0 else ("rule", 0.7)
            self.line([(0.0, k * step), (1.0, k * step)], role, width)
            self.text(LEFT - 6, y + 3.5, _percent(k * step), "muted", size=TICK, anchor="end")
        for k in range(6):
            x = k / 5
            if k:
                self.line([(x, 0.0), (x, self.y_end)], "rule", 0.7)
            self.text(self.x(x), bottom + 15, _percent(x), "muted", size=TICK, anchor="middle")
        middle = (LEFT + WIDTH - RIGHT) / 2
        self.text(middle, self.height - 8, x_label, "ink", size=LABEL, anchor="middle")
        at = (TOP + bottom) / 2
        self.parts.append(
            f'<text x="12" y="{at:.1f}" font-size="{LABEL}" text-anchor="middle" '
            f'transform="rotate(-90 12 {at:.1f})" fill="{_color("ink")}">{escape(y_label)}</text>'
        )

    def key(self, entries: Sequence[tuple[str, str, str]]) -> None:
        """Above the axes: (role, line, dashed, ring or bar; words)."""
        x = LEFT
        for role, kind, words in entries:
            color = _color(role)
            if kind == "bar":
                self.parts.append(f'<rect x="{x:.1f}" y="8" width="9" height="9" fill="{color}"/>')
            else:
                dash = ' stroke-dasharray="5 3"' if kind == "dashed" else ""
                self.parts.append(
                    f'<path d="M{x:.1f} 12.5h16" fill="none" stroke="{color}" '
                    f'stroke-width="2"{dash}/>'
                )
            start = x + (13 if kind == "bar" else 21)
            self.text(start, 16, words, "ink")
            x = start + 5.4 * len(words) + 14

    def svg(self, label: str) -> str:
        """The element, with what it shows for people who cannot see it."""
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH:g} {self.height:g}" role="img" '
            f'aria-label="{escape(blanked(label))}" xmlns="http://www.w3.org/2000/svg" '
            'stroke-linejoin="round" font-family="system-ui, sans-serif">\n'
            + "\n".join(self.parts)
            + "\n</svg>"
        )


def risk_chart(
    curves: Sequence[Curve], *, promise: float | None = None, mark: Mark | None = None
) -> str:
    """Error rate among the answered over the share answered, with the promise and what was kept.

    Args:
        curves: one line per score, the verified one first; x the coverage, y the error rate.
        promise: the promised error rate, in (0, 1); None draws no line.
        mark: coverage and error rate at the threshold, with the interval; None draws no point.

    Returns:
        An `<svg>` element.

    Edge cases: a line of more than `MAX_POINTS` points is thinned.

    Example:
        >>> svg = risk_chart([Curve("verified", [0.5, 1.0], [0.1, 0.3])], promise=0.2)
        >>> svg.startswith("<svg "), "promised: at most 20%" in svg
        (True, True)
    """
    heights = [v for c in curves for v in c.y if math.isfinite(v)]
    heights += [v for v in (promise, mark and mark.y, mark and mark.high) if v is not None]
    end, step = _round_end(1.12 * max(heights, default=0.0))
    plot = _Plot(FLAT, end)
    plot.frame("Share answered, surest first", "Error rate among the answered", step)
    if promise is not None:
        plot.line([(0.0, promise), (1.0, promise)], "over", 1.2, "4 3")
    for k, curve in reversed(list(enumerate(curves))):
        x, y = _thinned(curve.x, curve.y)
        role, dash = _series(k)
        if x.size:
            plot.line([(0.0, float(y[0])), (float(x[0]), float(y[0]))], role, 1.4, "1 2.4")
        plot.line(zip(x.tolist(), y.tolist(), strict=True), role, 2.0 if k == 0 else 1.6, dash)
    if promise is not None:  # on top of the curves, to be read
        words = f"promised: at most {_percent(promise)}"
        plot.text(plot.x(0.01), plot.y(promise) - 5, words, "over")
    if mark is not None:
        _mark(plot, mark)
    plot.key([(_series(k)[0], _kind(k), c.name) for k, c in enumerate(curves)])
    ends = "; ".join(
        f"{c.name}: {_percent(c.y[-1])} wrong when all are answered" for c in curves if c.y
    )
    said = f" {mark.text} at {_percent(mark.x)} coverage." if mark else ""
    return plot.svg(f"Error rate among the answered over the share answered. {ends}.{said}")


def reliability_chart(curves: Sequence[Curve], *, happened: bool = False) -> str:
    """Accuracy over confidence against the diagonal, for the verified and the stated confidence.

    Args:
        curves: the verified one first; x the mean confidence of each bin, y its accuracy, weight
            its share of the rows.
        happened: the confidence is a probability of an event, and y how often it happened.

    Returns:
        An `<svg>` element.

    Edge cases: a curve without bins is named in the key and draws nothing.

    Example:
        >>> svg = reliability_chart([Curve("verified", [0.9], [0.7], [1.0])])
        >>> "90% verified, 70% right" in svg
        True
    """
    plot = _Plot(SQUARE, 1.0)
    words = (
        ("Probability of the event", "Share that happened")
        if happened
        else ("Confidence", "Share that is right")
    )
    plot.frame(*words, 0.2)
    plot.line([(0.0, 0.0), (1.0, 1.0)], "muted", 1.0, "3 3")
    largest = max((w for c in curves for w in c.weight), default=1.0) or 1.0
    for k, curve in reversed(list(enumerate(curves))):
        role, dash = _series(k)
        plot.line(zip(curve.x, curve.y, strict=True), role, 1.5, dash)
        for x, y, weight in zip(curve.x, curve.y, curve.weight, strict=False):
            if math.isfinite(y):
                plot.dot(x, y, 1.8 + 4.5 * math.sqrt(weight / largest), role, hollow=k > 0)
    if not happened:  # for an event, either side of the diagonal can be too sure
        plot.text(plot.x(0.985), plot.y(0.025), "overconfident", "over", anchor="end")
        plot.text(plot.x(0.015), plot.y(0.955), "underconfident", "under")
    plot.key([(_series(k)[0], _kind(k), c.name) for k, c in enumerate(curves)])
    bins = ". ".join(
        "; ".join(
            f"{_percent(x)} {c.name}, {_percent(y)} {'happened' if happened else 'right'}"
            for x, y in zip(c.x, c.y, strict=True)
        )
        for c in curves
    )
    return plot.svg(f"Reliability diagram. {bins}.")


def score_chart(
    edges: Sequence[float],
    now: Sequence[float],
    before: Sequence[float] = (),
    *,
    thresholds: Mapping[str, float] | None = None,
) -> str:
    """How the verified scores are spread now, against how they were when the threshold was set.

    Args:
        edges: (B + 1,) in [0, 1], ascending.
        now: (B,) share of the rows in each bin.
        before: (B,) the same of the reference; empty draws no outline.
        thresholds: drawn as vertical lines, by their words.

    Returns:
        An `<svg>` element; the height of a bar is its share divided by the width of its bin, so
        that areas compare where the widths differ.

    Edge cases: a bin around a single value is drawn `NARROWEST` wide.

    Example:
        >>> "these rows" in score_chart([0.0, 0.5, 1.0], [0.2, 0.8], [0.5, 0.5])
        True
    """
    bins = [_at_least(float(a), float(b)) for a, b in itertools.pairwise(edges)]
    density, reference = (
        [share / (b - a) for (a, b), share in zip(bins, shares, strict=False)]
        for shares in (now, before)
    )
    top = max([*density, *reference, 1e-9]) / 0.94
    plot = _Plot(FLAT, 1.0)
    _score_frame(plot)
    for (a, b), height in zip(bins, density, strict=False):
        plot.bar(a + 0.06 * (b - a), b - 0.06 * (b - a), height / top, "bar")
    outline = [
        (x, height / top) for ends, height in zip(bins, reference, strict=False) for x in ends
    ]
    if outline:
        path = [(outline[0][0], 0.0), *outline, (outline[-1][0], 0.0)]
        plot.line(path, "series-1", 1.6, "5 3")
    _threshold_lines(plot, thresholds or {})
    entries = [("bar", "bar", "these rows")]
    entries += [("series-1", "dashed", "when the threshold was set")] if outline else []
    plot.key(entries)
    shares = ", ".join(
        f"{_percent(edges[k])} to {_percent(edges[k + 1])}: {_percent(share)}"
        for k, share in enumerate(now)
    )
    return plot.svg(f"Histogram of the verified confidence. {shares}.")


def _at_least(low: float, high: float) -> tuple[float, float]:
    """A bin as it is drawn: one around a single value, as stated percentages have, can be seen."""
    middle, half = (low + high) / 2, max(high - low, NARROWEST) / 2
    return middle - half, middle + half


def _score_frame(plot: _Plot) -> None:
    """Only shapes compare in this picture: the bins have any width, so it has no vertical scale."""
    plot.line([(0.0, 0.0), (1.0, 0.0)], "muted", 0.8)
    for k in range(6):
        x = plot.x(k / 5)
        plot.text(x, FLAT - BOTTOM + 15, _percent(k / 5), "muted", size=TICK, anchor="middle")
    middle = (LEFT + WIDTH - RIGHT) / 2
    plot.text(middle, FLAT - 8, "Verified confidence", "ink", size=LABEL, anchor="middle")


def _threshold_lines(plot: _Plot, thresholds: Mapping[str, float]) -> None:
    for k, (words, value) in enumerate(thresholds.items()):
        plot.line([(value, 0.0), (value, 1.0)], "over", 1.4)
        left = value > 0.5
        x = plot.x(value) + (-5 if left else 5)
        plot.text(x, TOP + 10 + 13 * k, words, "over", anchor="end" if left else "start")


def _mark(plot: _Plot, mark: Mark) -> None:
    if mark.low is not None and mark.high is not None:
        plot.line([(mark.x, mark.low), (mark.x, mark.high)], "ink", 2.0)
        for end in (mark.low, mark.high):
            plot.line([(mark.x - 0.012, end), (mark.x + 0.012, end)], "ink", 1.4)
    plot.dot(mark.x, mark.y, 4.5, "ink")
    left = mark.x > 0.55
    x = plot.x(mark.x) + (-10 if left else 10)
    under = plot.y(min(mark.low, mark.y) if mark.low is not None else mark.y) + 13
    y = min(under, plot.height - BOTTOM - 5)
    plot.text(x, y, mark.text, "ink", anchor="end" if left else "start")


def _series(k: int) -> tuple[str, str]:
    return ("series-2", "") if k == 0 else ("muted", "5 3")


def _kind(k: int) -> str:
    return "line" if k == 0 else "dashed"


def _color(role: str) -> str:
    return f"var(--{role}, {COLORS[role]})"


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%" if math.isfinite(value) else "undefined"


def _round_end(highest: float) -> tuple[float, float]:
    """Where an axis from 0 ends, and the step of its grid: four to seven lines."""
    highest = min(max(highest, 0.02), 1.0)
    for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
        n = math.ceil(highest / step - 1e-9)
        if n <= 6:
            return n * step, step
    return 1.0, 0.2


def _thinned(x: Sequence[float], y: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.size > MAX_POINTS:
        keep = np.unique(np.linspace(0, xs.size - 1, MAX_POINTS).round().astype(np.int64))
        xs, ys = xs[keep], ys[keep]
    return xs, ys
