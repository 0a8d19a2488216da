"""What the charts share: palette, canvas, axes, labels; and the way from a figure to SVG in a page."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Generator, Mapping, Sequence
from html import escape

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from levelhead._pages import COLORS, blanked
from levelhead._text import percent

PALETTE = COLORS
"""Role to color on a light page; `to_svg` writes each as `var(--role, color)`."""

DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.6, 1.2, 1.6)))
"""Line styles of the series, so that color is never the only difference between two models."""

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "levelhead",
    "text.usetex": False,
    "axes.unicode_minus": True,
}

WIDTH, SQUARE, FLAT, LOW = 380.0, 380.0, 300.0, 240.0
"""Size of the report's charts in points: a phone shows them at about their natural size."""

LABEL, TICK, SMALL = 10.5, 10.0, 9.5
"""Font sizes in points."""

MARGINS = (52.0, 16.0, 26.0, 42.0)
"""Left, right, top, bottom of a chart, in points."""

NAMES_WIDTH = 92.0
"""Room for the models' names at the ends of their lines, in points."""

MAX_NAME = 17
"""Characters of a model's name beside its line."""


def series_style(i: int) -> tuple[str, str | tuple[int, tuple[float, ...]]]:
    """Color and line style of the i-th model, the same in every chart.

    Args:
        i: 0-based position of the model.

    Returns:
        A color of `PALETTE` and a matplotlib line style; 12 models differ in one or the other.

    Example:
        >>> series_style(0)
        ('#2c3a52', '-')
    """
    colors = [color for role, color in PALETTE.items() if role.startswith("series")]
    return colors[i % len(colors)], DASHES[(i + i // len(colors)) % len(DASHES)]


def to_svg(fig: Figure, *, prefix: str = "chart", label: str = "") -> str:
    """A figure as an `<svg>` element to put into an HTML page.

    The element has no fixed size, no background, no metadata and no date (the same figure gives
    the same text). It takes its font from the page and its colors from CSS variables named as in
    `PALETTE`.

    Args:
        fig: the figure.
        prefix: put before every id, so that several charts on a page do not mix up their parts;
            letters, digits, `-` and `_`.
        label: what the picture shows, for people who cannot see it.

    Returns:
        The element, without an XML prolog.

    Example:
        >>> from levelhead.audit.charts import risk_coverage_plot
        >>> from levelhead.audit.result import RiskCoverage
        >>> svg = to_svg(risk_coverage_plot(RiskCoverage([1.0], [0.3])).figure, label="A <b> c")
        >>> svg.startswith("<svg "), 'aria-label="A &lt;b&gt; c"' in svg
        (True, True)
    """
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with style(), warnings.catch_warnings():
        # The page's font draws the text, so a glyph that the measuring font lacks is no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        fig.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r"<defs>\s*</defs>|<g/>", "", svg).replace("xlink:href", "href")
    svg = _rename_ids(svg, prefix)
    svg = re.sub(r'style="[^"]*"', lambda match: _restyle(match.group()), svg)
    box = re.search(r'viewBox="([^"]*)"', svg)
    root = f'<svg class="chart" viewBox="{box.group(1) if box else ""}" role="img" '
    root += f'aria-label="{escape(blanked(label))}" xmlns="http://www.w3.org/2000/svg" '
    root += 'stroke-linejoin="round" font-family="system-ui, sans-serif">'
    return root + re.sub(r"\s*\n\s*", "\n", svg[svg.index(">") + 1 :])


def _rename_ids(svg: str, prefix: str) -> str:
    """Prefix the ids that are referred to and drop the others."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))

    def rename(match: re.Match[str]) -> str:
        return f' id="{prefix}-{match.group(1)}"' if match.group(1) in used else ""

    svg = re.sub(r' id="([^"]*)"', rename, svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", svg)


def _restyle(style: str) -> str:
    for role, color in PALETTE.items():
        style = style.replace(color, f"var(--{role}, {color})")
    style = re.sub(r" ?font-family: [^;\"]*;?", "", style)
    return re.sub(r"font: (?:\w+ )*?([\d.]+)px [^;\"]*", r"font-size: \1px", style)


@contextlib.contextmanager
def style() -> Generator[None]:
    """Matplotlib's defaults and ours, whatever the user has set; undone afterwards."""
    with matplotlib.style.context(["default", STYLE]):
        yield


@contextlib.contextmanager
def canvas(
    ax: Axes | None, height: float, *, names: bool = False, left: float | None = None
) -> Generator[Axes]:
    """The user's axes as they are, or new ones drawn under our own style."""
    if ax is not None:
        yield ax
        return
    with style():
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        x0, right, top, y0 = MARGINS
        x0 = x0 if left is None else left
        right = right + NAMES_WIDTH - 8 if names else right
        if names and height == SQUARE:  # keep it square beside the names
            height -= NAMES_WIDTH - 8
            figure.set_size_inches(WIDTH / 72, height / 72)
        box = (x0 / WIDTH, y0 / height, 1 - (x0 + right) / WIDTH, 1 - (y0 + top) / height)
        yield figure.add_axes(box)


def frame(ax: Axes, x_label: str, y_label: str) -> None:
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(PALETTE["muted"])
        spine.set_linewidth(0.8)
    ax.grid(True, color=PALETTE["rule"], linewidth=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelsize=TICK, labelcolor=PALETTE["muted"], pad=5)
    ax.set_xlabel(x_label, fontsize=LABEL, color=PALETTE["ink"], labelpad=6)
    ax.set_ylabel("", fontsize=LABEL, color=PALETTE["ink"])
    if y_label:
        ax.set_ylabel(y_label, labelpad=5)


def size_in_points(ax: Axes) -> tuple[float, float]:
    """Width and height of the axes."""
    box = ax.get_window_extent()
    return box.width * 72 / ax.figure.dpi, box.height * 72 / ax.figure.dpi


def names_at_the_end(ax: Axes, ends: Mapping[str, float]) -> None:
    """The models' names to the right of their lines, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    points = size_in_points(ax)[1]
    step = 13.0 / points * (high - low)
    order = sorted(ends, key=lambda name: (ends[name], name))
    place: list[float] = []
    for name in order:
        wanted = ends[name] if np.isfinite(ends[name]) else low
        place.append(wanted if not place else max(wanted, place[-1] + step))
    excess = max(0.0, place[-1] - high) if place else 0.0
    for k in range(len(place) - 1, -1, -1):
        limit = high if k == len(place) - 1 else place[k + 1] - step
        place[k] = min(place[k], limit) if excess else place[k]
    names = list(ends)
    for name, y in zip(order, place, strict=True):
        ax.annotate(
            short(name, MAX_NAME),
            (1, y),
            xycoords=ax.get_yaxis_transform(),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=series_style(names.index(name))[0],
            annotation_clip=False,
            parse_math=False,
        )


def markers(ax: Axes, values: Mapping[str, float | None]) -> None:
    """Lines with words, all on the side with more room; the one farthest from that side is longest,
    so that no line crosses another's words."""
    known = {word: x for word, x in values.items() if x is not None and np.isfinite(x)}
    leftward = bool(known) and float(np.mean(list(known.values()))) > 0.5
    height = size_in_points(ax)[1]
    order = sorted(known.items(), key=lambda item: item[1], reverse=leftward)
    for k, (word, x) in enumerate(order):
        level = 1 - (3 + 17 * k) / height
        ax.axvline(x, ymax=level, color=PALETTE["ink"], lw=1, zorder=3)
        ax.annotate(
            f"{word} {percent(x)}",
            (x, level),
            xycoords=ax.get_xaxis_transform(),
            xytext=(-4 if leftward else 4, 0),
            textcoords="offset points",
            ha="right" if leftward else "left",
            va="top",
            fontsize=SMALL,
            color=PALETTE["ink"],
        )


def key(ax: Axes, entries: Sequence[tuple[str, str]]) -> None:
    x = 2.0
    for word, role in entries:
        for text, color, width in (("■", role, 12.0), (word, "ink", 6.2 * len(word) + 14)):
            ax.annotate(
                text,
                (0, 1),
                xycoords="axes fraction",
                xytext=(x, 6),
                textcoords="offset points",
                fontsize=SMALL,
                color=PALETTE[color],
            )
            x += width


def corner(ax: Axes, x: float, y: float, align: str, text: str, role: str) -> None:
    ax.text(
        x,
        y,
        text,
        transform=ax.transAxes,
        ha=align,
        va="bottom" if y < 0.5 else "top",
        fontsize=SMALL,
        color=PALETTE[role],
    )


def short(text: str, limit: int) -> str:
    """One line without control characters, the middle left out where it is too long."""
    line = " ".join(blanked(text).split())
    half = limit // 2
    return line if len(line) <= limit else f"{line[: limit - half - 1]}…{line[-half:]}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def compact(count: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.{1 if count < 9.95 * size else 0}f}".removesuffix(".0") + unit
    return f"{count:.4g}"


def percent_tick(value: float, _: int | None = None) -> str:
    return f"{100 * value:.3g}%"
