from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from levelhead.lab.figures.aim import theorem
from levelhead.lab.sweeps import TheoremPoints


@pytest.fixture(scope="module")
def figure() -> Figure:
    p, m = (one.ravel() for one in np.meshgrid((0.3, 0.5, 0.7, 0.9), (0.1, 0.5, 0.8)))
    odds = p / (1 - p) * m / (1 - m)
    aim = odds / (1 + odds)
    return theorem([TheoremPoints(rule, p, m, aim, aim) for rule in ("log", "brier", "spherical")])


def test_it_can_be_read(figure: Figure, legible: Callable[[Figure], None]) -> None:
    legible(figure)


def test_three_rules_lie_on_one_line(figure: Figure) -> None:
    left = figure.axes[0]
    assert left.get_xlabel() == "logit p + logit m (nats)"
    assert left.get_ylabel() == "logit of the favored prediction (nats)"
    (line,) = left.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())
    assert len(left.collections) == 6
    for points in left.collections:
        x, y = np.asarray(points.get_offsets()).T
        assert x.size == 12
        np.testing.assert_allclose(x, y, atol=1e-9)
    legend = left.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "log, sampled",
        "Brier, sampled",
        "spherical, sampled",
    ]


def test_the_right_panel_has_a_curve_and_a_truth_for_each_p(figure: Figure) -> None:
    right = figure.axes[1]
    curves = [line for line in right.get_lines() if len(np.asarray(line.get_xdata())) > 2]
    assert len(curves) == 4
    for curve, p in zip(curves, (0.3, 0.5, 0.7, 0.9), strict=True):
        x, y = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
        np.testing.assert_allclose(y, p * x / (p * x + (1 - p) * (1 - x)), atol=1e-12)
    assert {text.get_text() for text in right.texts} >= {"p = 30%", "p = 50%", "p = 70%", "p = 90%"}
