"""What every chart shares: counts in a few characters, and figures as SVG for a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from levelhead._drawing import canvas, compact, frame, percent_tick, series_style, short, to_svg


def drawn() -> Figure:
    with canvas(None, 240.0) as ax:
        frame(ax, "x", "y")
        ax.plot([0, 1], [0, 1], color="#2c3a52")
        ax.scatter([0.5], [0.5], color="#b5420f")
        assert isinstance(ax.figure, Figure)
        return ax.figure


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"), (999, "999"), (1000, "1k"), (1234, "1.2k"), (9_960, "10k"), (56_789, "57k"),
        (999_900, "1M"), (12_345_678, "12M"), (3e9, "3G"), (7.25, "7.25"),
    ],
)  # fmt: skip
def test_compact_counts(count: float, text: str) -> None:
    assert compact(count) == text


def test_long_names_keep_their_ends_on_one_line() -> None:
    assert short("a\nb\x00c", 20) == "a b c"
    assert short("0123456789abcdef", 9) == "0123…cdef"
    assert percent_tick(0.125) == "12.5%"


def test_twelve_series_differ_in_color_or_line() -> None:
    assert len({series_style(i) for i in range(12)}) == 12


def test_svg_stands_alone_and_takes_the_colors_of_the_page() -> None:
    svg = to_svg(drawn(), prefix="one", label='<b> & "c"')
    root = ET.fromstring(svg)
    assert root.attrib["aria-label"] == '<b> & "c"'
    assert "var(--series-1, #2c3a52)" in svg
    assert "var(--over, #b5420f)" in svg
    assert not re.search("<style|<metadata|<!--|font-family: |href=.http", svg)
    assert all(name.startswith("one-") for name in re.findall(r' id="([^"]*)"', svg))
    assert svg == to_svg(drawn(), prefix="one", label='<b> & "c"')


def test_the_users_settings_change_nothing() -> None:
    plain = to_svg(drawn())
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "path"}):
        assert to_svg(drawn()) == plain


def test_axes_of_the_user_are_used_as_they_are() -> None:
    ax = Figure().add_subplot()
    with canvas(ax, 1.0) as given:
        assert given is ax
    assert np.allclose(ax.get_position().bounds, Figure().add_subplot().get_position().bounds)
