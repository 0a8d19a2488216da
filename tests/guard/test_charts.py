"""The guard's pictures: every number sits where its axis says, whatever text comes in."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from levelhead.guard.charts import (
    BOTTOM,
    COLORS,
    FLAT,
    LEFT,
    MAX_POINTS,
    RIGHT,
    SQUARE,
    TOP,
    WIDTH,
    Curve,
    Mark,
    reliability_chart,
    risk_chart,
    score_chart,
)

NS = "{http://www.w3.org/2000/svg}"


def elements(svg: str, tag: str) -> list[ET.Element]:
    return ET.fromstring(svg).findall(f"{NS}{tag}")


def texts(svg: str) -> list[str]:
    return [e.text or "" for e in elements(svg, "text")]


def ticks(svg: str, x: float) -> dict[str, float]:
    """Label to height in points, of the labels that end at x."""
    found = [e for e in elements(svg, "text") if float(e.get("x", "-1")) == x]
    return {e.text or "": float(e.get("y", "0")) - 3.5 for e in found if e.get("text-anchor")}


def path_points(svg: str, role: str, *, dashed: bool | None = None) -> list[tuple[float, float]]:
    """The points of the longest line of a role."""
    lines = [
        e
        for e in elements(svg, "path")
        if f"--{role}," in e.get("stroke", "")
        and (dashed is None or (e.get("stroke-dasharray") is not None) == dashed)
    ]
    points = [
        [(float(a), float(b)) for a, b in re.findall(r"[ML]([\d.]+) ([\d.]+)", e.get("d", ""))]
        for e in lines
    ]
    return max(points, key=len)


def test_a_risk_curve_lies_where_its_axes_say() -> None:
    svg = risk_chart([Curve("verified", [0.5, 1.0], [0.1, 0.3])], promise=0.2)
    at = ticks(svg, LEFT - 6)
    wide = WIDTH - LEFT - RIGHT
    (x0, y0), (x1, y1) = path_points(svg, "series-2", dashed=False)
    assert (x0, x1) == (LEFT + wide / 2, LEFT + wide)
    assert y0 == pytest.approx(at["10%"], abs=0.06)
    assert y1 == pytest.approx(at["30%"], abs=0.06)
    promised = path_points(svg, "over")
    assert [y for _, y in promised] == pytest.approx([at["20%"]] * 2, abs=0.06)
    assert [x for x, _ in promised] == [LEFT, LEFT + wide]


def test_the_mark_and_its_interval_lie_where_they_should() -> None:
    mark = Mark(0.4, 0.1, 0.05, 0.2, "12% wrong")
    svg = risk_chart([Curve("verified", [1.0], [0.4])], mark=mark)
    at = ticks(svg, LEFT - 6)
    (dot,) = elements(svg, "circle")
    assert float(dot.get("cy", "0")) == pytest.approx(at["10%"], abs=0.06)
    assert float(dot.get("cx", "0")) == pytest.approx(LEFT + 0.4 * (WIDTH - LEFT - RIGHT), abs=0.06)
    heights = [y for _, y in path_points(svg, "ink")]
    per_percent = (at["10%"] - at["20%"]) / 10
    assert heights == pytest.approx([at["10%"] + 5 * per_percent, at["20%"]], abs=0.1)
    assert "12% wrong" in texts(svg)
    assert "12% wrong at 40% coverage" in ET.fromstring(svg).get("aria-label", "")


@pytest.mark.parametrize("highest", [0.0, 0.003, 0.02, 0.11, 0.3, 0.99, 1.0])
def test_the_risk_axis_holds_everything_and_has_few_lines(highest: float) -> None:
    svg = risk_chart([Curve("verified", [0.5, 1.0], [0.0, highest])])
    top = min(y for _, y in path_points(svg, "series-2"))
    assert top >= TOP - 0.1
    assert 2 <= len(ticks(svg, LEFT - 6)) <= 7


def test_long_curves_are_thinned_but_keep_their_ends() -> None:
    x = np.linspace(0.001, 1, 5000)
    svg = risk_chart([Curve("verified", x.tolist(), (0.3 * x).tolist())])
    points = path_points(svg, "series-2", dashed=False)
    assert len(points) <= MAX_POINTS
    assert points[-1][0] == WIDTH - RIGHT
    assert points[0][0] == pytest.approx(LEFT, abs=0.5)


def test_two_curves_differ_without_color() -> None:
    curves = [Curve("verified", [1.0], [0.2]), Curve("stated", [1.0], [0.3])]
    svg = risk_chart(curves)
    assert {"verified", "stated"} <= set(texts(svg))
    assert 'stroke-dasharray="5 3"' in svg


def test_reliability_points_lie_on_the_diagonal_where_the_two_agree() -> None:
    svg = reliability_chart([Curve("verified", [0.2, 0.8], [0.2, 0.6], [0.25, 1.0])])
    dots = [(float(e.get("cx", 0)), float(e.get("cy", 0))) for e in elements(svg, "circle")]
    wide, tall = WIDTH - LEFT - RIGHT, SQUARE - TOP - BOTTOM
    assert dots[0] == pytest.approx((LEFT + 0.2 * wide, SQUARE - BOTTOM - 0.2 * tall), abs=0.06)
    assert dots[1] == pytest.approx((LEFT + 0.8 * wide, SQUARE - BOTTOM - 0.6 * tall), abs=0.06)
    radii = [float(e.get("r", 0)) for e in elements(svg, "circle")]
    assert radii == pytest.approx([1.8 + 4.5 * 0.5, 1.8 + 4.5], abs=0.06)


def test_an_undefined_point_breaks_the_line() -> None:
    svg = reliability_chart([Curve("verified", [0.1, 0.5, 0.9], [0.1, math.nan, 0.9], [1, 0, 1])])
    assert len(elements(svg, "circle")) == 2
    assert "nan" not in svg


def test_bars_have_areas_in_proportion_to_their_shares() -> None:
    svg = score_chart(
        [0.0, 0.2, 1.0], [0.5, 0.5], [0.2, 0.8], thresholds={"answered from 60%": 0.6}
    )
    bars = [e for e in elements(svg, "rect") if "bar" in e.get("fill", "") and e.get("y") != "8"]
    areas = [float(e.get("width", 0)) * float(e.get("height", 0)) for e in bars]
    assert areas[0] == pytest.approx(areas[1], rel=0.02)
    (line, *_) = path_points(svg, "over")
    assert line[0] == pytest.approx(LEFT + 0.6 * (WIDTH - LEFT - RIGHT), abs=0.06)
    outline = path_points(svg, "series-1", dashed=True)
    heights = [FLAT - BOTTOM - y for _, y in outline]
    assert heights[1] == pytest.approx(heights[4] * 1.0, rel=0.02)
    assert "answered from 60%" in texts(svg)


def test_a_bin_without_width_does_not_divide_by_zero() -> None:
    svg = score_chart([0.0, 0.5, 0.5, 1.0], [0.3, 0.4, 0.3])
    assert "nan" not in svg
    assert "inf" not in svg


@pytest.mark.parametrize("curves", [[], [Curve("verified", [], [])]])
def test_nothing_to_draw_is_an_empty_picture(curves: list[Curve]) -> None:
    for svg in (risk_chart(curves), reliability_chart(curves)):
        ET.fromstring(svg)
        assert "nan" not in svg


def test_hostile_words_stay_words() -> None:
    name = '</text><script>alert(1)</script>"&\x00\u202e'
    svg = risk_chart([Curve(name, [1.0], [0.2])], mark=Mark(0.5, 0.1, text=name))
    root = ET.fromstring(svg)
    assert {e.tag.removeprefix(NS) for e in root.iter()} <= {
        "svg",
        "path",
        "circle",
        "text",
        "rect",
    }
    assert '</text><script>alert(1)</script>"&' in "".join(texts(svg))


def test_every_color_is_one_of_the_palette() -> None:
    svg = risk_chart([Curve("a", [1.0], [0.2]), Curve("b", [1.0], [0.2])], promise=0.1)
    svg += score_chart([0.0, 1.0], [1.0], [1.0])
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= set(COLORS.values())
