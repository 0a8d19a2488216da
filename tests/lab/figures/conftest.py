"""What every picture must satisfy, measured on the drawn figure and not on its pixels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SMALLEST_PT = 8.0
TOUCH_PX = 1.0


def overlap(a: Bbox, b: Bbox) -> bool:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width > TOUCH_PX and height > TOUCH_PX


def shown(figure: Figure) -> list[tuple[str, float, Bbox]]:
    """Without ticks beyond the limits, which matplotlib keeps but does not draw."""
    hidden: set[int] = set()
    FigureCanvasAgg(figure).draw()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    hidden |= {id(tick.label1), id(tick.label2)}
    canvas = FigureCanvasAgg(figure)
    return [
        (one.get_text(), one.get_fontsize(), one.get_window_extent(canvas.get_renderer()))
        for one in figure.findobj(Text)
        if isinstance(one, Text)
        and one.get_visible()
        and one.get_text().strip()
        and id(one) not in hidden
    ]


@pytest.fixture
def legible() -> Callable[[Figure], None]:
    """A check: all words lie inside of the figure, none is tiny, and none covers another."""

    def check(figure: Figure) -> None:
        words = shown(figure)
        assert words
        for text, size, box in words:
            assert size >= SMALLEST_PT, text
            assert box.x0 >= 0, text
            assert box.y0 >= 0, text
            assert box.x1 <= figure.bbox.x1, text
            assert box.y1 <= figure.bbox.y1, text
        covered = [(a[0], b[0]) for a, b in combinations(words, 2) if overlap(a[2], b[2])]
        assert covered == []

    return check
