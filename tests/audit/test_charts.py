"""The charts show what they are given, where it belongs, and leave the user's settings alone."""

from __future__ import annotations

import dataclasses
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from types import ModuleType

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from levelhead.audit import charts
from levelhead.audit.result import Histogram, Reliability, RiskCoverage, TrustCurve

NAN = float("nan")
BINS = Reliability(
    low=[0.0, 0.5, 0.9],
    high=[0.1, 0.6, 1.0],
    count=[40.0, 10.0, 2000.0],
    confidence=[0.05, 0.55, 0.97],
    accuracy=[0.2, 0.5, 0.7],
    accuracy_low=[0.1, 0.2, 0.68],
    accuracy_high=[0.3, 0.8, 0.72],
)
COUNTS = Histogram([0.0, 0.5, 1.0], [1.0, 5.0], [0.0, 2.0])
RISK = RiskCoverage([0.25, 0.5, 1.0], [0.1, 0.2, 0.3])
TRUST = TrustCurve([0.0, 0.5, 0.9], [0.6, 0.2, -0.4], [0.5, None, -0.6], [0.7, None, -0.2])
HOSTILE = {
    "$\\frac{": 0,
    "_nolegend_": 1,
    "<script>alert(1)</script>": 2,
    "\U0001f468\u200d\U0001f469 \u05d0\u05d1 \u0627\u0644\n\x00 end": 3,
    "x" * 500: 4,
}


def everything(factory: ModuleType) -> dict[str, Axes]:
    audit = factory.two_models()
    one, two = audit.models
    return {
        "reliability": charts.reliability_diagram(one.reliability),
        "reliabilities": charts.reliability_diagram({"a": one.reliability, "b": two.reliability}),
        "histogram": charts.confidence_histogram(one.histogram, mean_confidence=0.9, accuracy=0.6),
        "risk": charts.risk_coverage_plot(one.risk_coverage),
        "risks": charts.risk_coverage_plot({"a": one.risk_coverage, "b": two.risk_coverage}),
        "trust": charts.trust_plot(two.trust_curve),
        "trusts": charts.trust_plot({"a": one.trust_curve, "b": two.trust_curve}),
        "slices": charts.slice_plot(two.slices),
        "difference": charts.difference_plot(audit.comparisons[0]),
    }


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def scatters(ax: Axes) -> list:
    return [c for c in ax.collections if type(c).__name__ == "PathCollection"]


def test_reliability_points_lie_at_confidence_across_and_accuracy_up() -> None:
    ax = charts.reliability_diagram(BINS)
    (dots,) = scatters(ax)
    expected = np.column_stack([BINS.confidence, BINS.accuracy])
    np.testing.assert_allclose(np.asarray(dots.get_offsets()), expected)
    assert list(np.argsort(dots.get_sizes())) == [1, 0, 2]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Stated confidence", "Accuracy")
    diagonal = ax.lines[0]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]


def test_reliability_intervals_stand_at_the_bin_and_span_the_bounds() -> None:
    ax = charts.reliability_diagram(BINS)
    (whiskers,) = (c for c in ax.collections if type(c).__name__ == "LineCollection")
    for k, segment in enumerate(whiskers.get_segments()):
        assert list(segment[:, 0]) == [BINS.confidence[k]] * 2
        assert list(segment[:, 1]) == [BINS.accuracy_low[k], BINS.accuracy_high[k]]


def test_gap_bars_join_accuracy_and_confidence_in_the_color_of_their_side() -> None:
    ax = charts.reliability_diagram(BINS)
    colors = []
    for k, bar in enumerate(ax.patches):
        ends = sorted([bar.get_y(), bar.get_y() + bar.get_height()])
        assert ends == pytest.approx(sorted([BINS.accuracy[k], BINS.confidence[k]]))
        colors.append(to_hex(bar.get_facecolor()))
    under, over = charts.PALETTE["under"], charts.PALETTE["over"]
    assert colors == [under, over, over]


def test_an_event_called_too_unlikely_is_overconfidence_too() -> None:
    event = dataclasses.replace(BINS, label="frequency of the event")
    ax = charts.reliability_diagram(event)
    over, under = charts.PALETTE["over"], charts.PALETTE["under"]
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [over, over, over]
    shy = Reliability([0.2, 0.7], [0.3, 0.8], [9, 9], [0.25, 0.75], [0.1, 0.9], *[[0.5, 0.5]] * 2)
    shy = dataclasses.replace(shy, label="frequency of the event")
    ax = charts.reliability_diagram(shy)
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [under, under]
    assert texts(ax).count("overconfident") == 2
    assert ax.get_ylabel() == "Frequency of the event"


def test_bin_sizes_are_written_where_there_is_room() -> None:
    assert {"40", "10", "2k"} <= set(texts(charts.reliability_diagram(BINS)))
    narrow = Reliability([0.9, 0.91], [0.91, 0.92], [7.0, 8.0], [0.905, 0.915], *[[0.5, 0.5]] * 3)
    assert not {"7", "8"} & set(texts(charts.reliability_diagram(narrow)))


def test_the_diagonal_is_named_away_from_the_bins() -> None:
    def place(curve: Reliability) -> float:
        (text,) = [t for t in charts.reliability_diagram(curve).texts if "perfect" in t.get_text()]
        return text.get_position()[0]

    high = Reliability([0.4], [1.0], [1.0], [0.7], [0.7], [0.5], [0.9])
    low = Reliability([0.0], [0.6], [1.0], [0.3], [0.3], [0.1], [0.5])
    assert place(high) < 0.35 < 0.6 < place(low)


def test_several_models_differ_in_more_than_color_and_are_named() -> None:
    ax = charts.reliability_diagram({"base": BINS, "tuned": BINS})
    lines = ax.lines[1:]
    assert len({line.get_color() for line in lines}) == len(
        {line.get_linestyle() for line in lines}
    )
    assert len({line.get_color() for line in lines}) == 2
    assert texts(ax)[:2] == ["base", "tuned"]
    styles = [charts.series_style(i) for i in range(12)]
    assert len({str(style) for style in styles}) == 12


def test_histogram_stacks_shares_that_sum_to_one() -> None:
    ax = charts.confidence_histogram(COUNTS)
    right, wrong = ax.patches[:2], ax.patches[2:]
    heights = [p.get_height() for p in ax.patches]
    assert heights == pytest.approx([1 / 8, 5 / 8, 0, 2 / 8])
    assert [p.get_y() for p in wrong] == pytest.approx([p.get_height() for p in right])
    assert "wrong" in texts(ax)
    assert "did not happen" in texts(charts.confidence_histogram(COUNTS, kind="event"))


@pytest.mark.parametrize(("says", "right"), [(0.96, 0.67), (0.62, 0.63), (0.1, 0.3), (1.0, 0.0)])
def test_histogram_marks_never_cross_each_others_words(says: float, right: float) -> None:
    ax = charts.confidence_histogram(COUNTS, mean_confidence=says, accuracy=right)
    ax.figure.canvas.draw()
    boxes = [t.get_window_extent() for t in ax.texts if "says" in str(t) or "right " in str(t)]
    lines = [line.get_window_extent() for line in ax.lines]
    assert len(boxes) == len(lines) == 2
    assert not boxes[0].overlaps(boxes[1])
    for box in boxes:
        assert not any(box.shrunk(0.98, 0.9).overlaps(line) for line in lines)


def test_risk_lies_over_coverage() -> None:
    ax = charts.risk_coverage_plot(RISK)
    tie, curve = ax.lines
    np.testing.assert_allclose(curve.get_xydata(), np.column_stack([RISK.coverage, RISK.risk]))
    np.testing.assert_allclose(tie.get_xydata(), [[0, 0.1], [0.25, 0.1]])
    assert "answering all: 30% wrong" in texts(ax)


def test_trust_lies_over_stakes_with_its_band() -> None:
    ax = charts.trust_plot(TRUST)
    zero, curve = ax.lines
    np.testing.assert_allclose(curve.get_xydata(), np.column_stack([TRUST.t0, TRUST.trust]))
    assert set(zero.get_ydata()) == {0}
    assert "worse than silence" in texts(ax)
    low, high = ax.get_ylim()
    assert low <= -0.6
    assert 0.7 <= high <= 1.0


def test_trust_far_below_zero_leaves_the_picture_and_says_so() -> None:
    ax = charts.trust_plot(TrustCurve([0.0, 0.95], [0.3, -9.84], [None, None], [None, None]))
    assert ax.get_ylim()[0] == charts.LOWEST_TRUST
    assert "continues down to −9.8" in texts(ax)


def test_slices_and_differences_keep_their_order(factory: ModuleType) -> None:
    audit = factory.two_models()
    slices = audit.models[1].slices
    ax = charts.slice_plot(slices, top=3)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[0] == "subject = professional law"
    assert len(labels) == 3
    low, high = ax.get_ylim()
    assert low > high  # the first slice is at the top
    accuracy = [float(c.get_offsets()[0][0]) for c in scatters(ax)[0::2]]
    assert accuracy == [row.accuracy for row in slices[:3]]
    ax = charts.difference_plot(audit.comparisons[0])
    shown = [row for row in audit.comparisons[0].rows if row.difference is not None]
    assert [float(c.get_offsets()[0][0]) for c in scatters(ax)] == [r.difference for r in shown]
    hollow = [c.get_facecolor().size == 0 for c in scatters(ax)]
    assert hollow == [row.worse is None for row in shown]


def test_end_labels_do_not_overlap_and_stay_inside() -> None:
    curves = {f"model {i}": RiskCoverage([1.0], [0.3 + 0.0001 * (i % 2)]) for i in range(12)}
    ax = charts.risk_coverage_plot(curves)
    ax.figure.canvas.draw()
    names = [t for t in ax.texts if t.get_text().startswith("model")]
    boxes = sorted((t.get_window_extent() for t in names), key=lambda b: b.y0)
    assert len(boxes) == 12
    assert all(a.y1 <= b.y0 + 1 for a, b in itertools.pairwise(boxes))
    assert boxes[-1].y1 <= ax.figure.bbox.y1


@pytest.mark.parametrize("draw", ["reliability", "risk", "trust"])
def test_hostile_names_are_drawn_as_plain_text(draw: str) -> None:
    pieces = {"reliability": BINS, "risk": RISK, "trust": TRUST}
    plots = {
        "reliability": charts.reliability_diagram,
        "risk": charts.risk_coverage_plot,
        "trust": charts.trust_plot,
    }
    ax = plots[draw](dict.fromkeys(HOSTILE, pieces[draw]))
    svg = charts.to_svg(ax.figure)
    assert "<script" not in svg
    assert "$\\frac{" in svg
    assert "\x00" not in svg
    assert max(len(t) for t in texts(ax)) <= 20
    ET.fromstring(svg)


def test_nothing_to_draw_is_no_error() -> None:
    charts.to_svg(charts.reliability_diagram(Reliability(*[[]] * 7)).figure)
    charts.to_svg(charts.reliability_diagram({"a": Reliability(*[[]] * 7), "b": BINS}).figure)
    charts.to_svg(charts.confidence_histogram(Histogram([0.0, 1.0], [0.0], [0.0])).figure)
    charts.to_svg(charts.risk_coverage_plot(RiskCoverage([], [])).figure)
    charts.to_svg(charts.trust_plot(TrustCurve([], [], [], [])).figure)
    charts.to_svg(charts.slice_plot([]).figure)
    nan = Reliability([0.9], [1.0], [3.0], [0.95], [1.0], [NAN], [NAN])
    charts.to_svg(charts.reliability_diagram(nan).figure)


def test_given_axes_are_used_and_returned(factory: ModuleType) -> None:
    audit = factory.two_models()
    model = audit.models[1]
    ax = Figure().add_subplot()
    assert charts.reliability_diagram(BINS, ax=ax) is ax
    for draw, piece in (
        (charts.confidence_histogram, COUNTS),
        (charts.risk_coverage_plot, RISK),
        (charts.trust_plot, TRUST),
        (charts.slice_plot, model.slices),
        (charts.difference_plot, audit.comparisons[0]),
    ):
        ax = Figure().add_subplot()
        assert draw(piece, ax=ax) is ax
        assert ax.figure.axes == [ax]


def test_svg_is_self_contained_reproducible_and_themed(factory: ModuleType) -> None:
    again = everything(factory)
    for name, ax in everything(factory).items():
        svg = charts.to_svg(ax.figure, prefix=name, label=f"<{name}> & more")
        assert svg == charts.to_svg(again[name].figure, prefix=name, label=f"<{name}> & more")
        root = ET.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == f"<{name}> & more"
        assert root.get("width") is None
        assert set(re.findall(r"https?://[^\s\"']+", svg)) == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"<\?xml|<!DOCTYPE|<metadata|<style|font-family: |20\d\d-", svg)
        bare = re.sub(r"var\(--[\w-]+, #\w{6}\)", "", "".join(re.findall(r'style="[^"]*"', svg)))
        assert not re.findall(r"#[0-9a-f]{3,6}\b", bare), name
        ids = re.findall(r' id="([^"]+)"', svg)
        assert len(ids) == len(set(ids))
        used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
        assert used == set(ids)
        assert all(i.startswith(f"{name}-") for i in ids)


def test_the_users_style_neither_changes_the_charts_nor_is_changed(factory: ModuleType) -> None:
    plain = {name: charts.to_svg(ax.figure) for name, ax in everything(factory).items()}
    mine = {"text.usetex": True, "axes.grid": True, "lines.linewidth": 9, "axes.facecolor": "k",
            "font.size": 30, "svg.fonttype": "path"}  # fmt: skip
    with matplotlib.rc_context(mine):
        styled = {name: charts.to_svg(ax.figure) for name, ax in everything(factory).items()}
        assert {key: matplotlib.rcParams[key] for key in mine} == mine
    assert styled == plain


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("levelhead.audit.charts", ["matplotlib.pyplot"]),
        ("levelhead.audit.result", ["matplotlib", "jinja2"]),
        ("levelhead._write", ["matplotlib", "jinja2"]),
        ("levelhead.audit.summary", ["matplotlib", "jinja2"]),
    ],
)
def test_what_an_import_leaves_out(module: str, absent: list[str]) -> None:
    code = f"import sys, {module}; print(*(m for m in {absent!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr
