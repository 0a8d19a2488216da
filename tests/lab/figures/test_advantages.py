from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from levelhead.lab.figures.advantages import figure3, figure4, figure5, relative_scale
from levelhead.lab.sweeps import AdvantageCurves, SampledAdvantages


def curve(name: str, sigma: tuple[float, float]) -> AdvantageCurves:
    values = np.array([0.2, 0.4, 0.6, 0.8])
    policy = np.array([0.1, 0.2, 0.3, 0.4])
    true = np.array([-0.4, -0.1, 0.2, 0.0])
    sampled = SampledAdvantages(true, 3 * true, np.array([500, 2000, 1000, 1001]), np.array(sigma))
    return AdvantageCurves(
        name, (1.0, 1.0), values, policy, true, 0.9 * true, 3 * true, np.array(sigma), sampled
    )


CURVES = [curve("flat", (0.5, 0.5)), curve("sharp", (0.4, 0.1)), curve("sure", (0.3, 0.01))]


def test_the_scale_makes_both_as_large_under_the_policy() -> None:
    estimate = np.array([1.0, 0.0, 2.0, 1.0])
    size = math.sqrt(0.1 * 1.0 + 0.3 * 4.0 + 0.4 * 1.0)
    true = math.sqrt(0.1 * 0.16 + 0.2 * 0.01 + 0.3 * 0.04)
    assert relative_scale(CURVES[0], estimate) == pytest.approx(true / size, rel=1e-12)


@pytest.mark.parametrize(("draw", "unit"), [(figure3, "nats"), (figure4, "points")])
def test_a_column_for_each_policy(
    draw: Callable[..., Figure], unit: str, legible: Callable[[Figure], None]
) -> None:
    figure = draw(CURVES)
    legible(figure)
    assert len(figure.axes) == 6
    assert [ax.get_title("left") for ax in figure.axes[::2]] == ["flat", "sharp", "sure"]
    below = figure.axes[1::2]
    assert [ax.get_ylabel() for ax in below] == [f"advantage ({unit})", "", ""]
    assert {ax.get_xlabel() for ax in below} == {"prediction"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "true",
        "GRPO, no std",
        "GRPO (scaled)",
        "sampled",
        "maximum",
    ]


def test_the_curves_and_the_tokens_that_were_sampled_often() -> None:
    ax = figure3(CURVES).axes[1]
    lines = [np.asarray(line.get_ydata()) for line in ax.get_lines()]
    of_four = [y for y in lines if y.size == 4]
    np.testing.assert_allclose(of_four, [0.9 * CURVES[0].true, CURVES[0].true, CURVES[0].true])
    offsets = [np.asarray(points.get_offsets()) for points in ax.collections]
    # 2,000 and 1,001 samples are more than 1,000; every third of those is drawn.
    assert [one.tolist() for one in offsets] == [[[0.4, -0.1]], [[0.4, pytest.approx(-0.1)]]]
    stars = [line for line in ax.get_lines() if line.get_marker() == "*"]
    assert [float(np.asarray(star.get_xdata())[0]) for star in stars] == [0.6, 0.6]


def test_both_deviations_of_each_policy_and_their_ratio(legible: Callable[[Figure], None]) -> None:
    figure = figure5({"log": CURVES, "brier": CURVES})
    legible(figure)
    assert len(figure.axes) == 2
    units = [ax.get_ylabel() for ax in figure.axes]
    assert units == ["standard deviation (nats)", "standard deviation (points)"]
    for ax in figure.axes:
        assert ax.get_xlabel() == "policy"
        assert [one.get_text() for one in ax.get_xticklabels()] == ["flat", "sharp", "sure"]
        assert [text.get_text() for text in ax.texts] == ["1.0×", "4.0×", "30.0×"]
        assert len(ax.collections) == 4
