from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from levelhead.lab.figures.reliability import (
    ReliabilityPanel,
    figure1,
    lottery,
    quantile,
    reliability_panels,
)
from levelhead.lab.world import World

VALUES = np.array([0.1, 0.5, 0.9])
RATES = np.array([0.25, 0.75])


def small_world() -> World:
    category = np.repeat([0, 1], 400)
    outcome = np.concatenate([np.arange(400) % 4 == 0, np.arange(400) % 4 != 0]).astype(np.int64)
    return World(VALUES, RATES, category, outcome)


def panel(name: str, error: float) -> ReliabilityPanel:
    rng = np.random.default_rng(0)
    return ReliabilityPanel(
        name=name,
        rate=RATES,
        mean=np.array([0.2, 0.8]),
        low=np.array([0.1, 0.5]),
        high=np.array([0.5, 0.9]),
        curve_p=np.linspace(0, 1, 7),
        curve_mean=np.linspace(0, 1, 7) ** 2,
        mean_prediction=rng.uniform(0, 1, 500),
        single_prediction=rng.integers(0, 2, 500).astype(float),
        outcome=rng.integers(0, 2, 500).astype(float),
        ece_mean=error,
        ece_single=error + 0.2,
    )


def test_quantiles_are_the_smallest_values_that_reach_the_share() -> None:
    policy = np.array([[0.04, 0.9, 0.06], [0.05, 0.9, 0.05], [0.2, 0.0, 0.8]])
    for share in (0.05, 0.5, 0.95):
        expected = []
        for row in policy:
            total = 0.0
            for value, chance in zip(VALUES, row, strict=True):
                total += chance
                if total >= share - 1e-9:
                    expected.append(value)
                    break
        assert quantile(policy, VALUES, share).tolist() == expected


def test_panels_hold_what_the_policy_says() -> None:
    world = small_world()
    sure = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    split = np.array([[0.5, 0.0, 0.5], [0.25, 0.5, 0.25]])
    rng = np.random.default_rng(1)
    first, second = reliability_panels(
        world, {"grpo": sure, "top1": split}, rng=rng, curve_points=0
    )
    assert (first.name, second.name) == ("grpo", "top1")
    np.testing.assert_allclose(first.rate, [0.25, 0.75])
    np.testing.assert_allclose(first.mean, [0.1, 0.9])
    np.testing.assert_allclose(second.mean, [0.5, 0.5])
    assert second.low.tolist() == [0.1, 0.1]
    assert second.high.tolist() == [0.9, 0.9]
    # 10% is said where 25% happens, and 90% where 75% happens: off by 15% everywhere.
    assert first.ece_mean == pytest.approx(0.15, abs=1e-9)
    assert first.ece_single == pytest.approx(0.15, abs=1e-9)
    # The means all lie near 1/2, which is what happens; the single samples do not.
    assert second.ece_mean < 0.06
    assert second.ece_single > 0.15
    assert first.curve_p.size == 0


def test_the_exact_curve_is_the_limit_of_the_estimator() -> None:
    world = small_world()
    policy = np.full((2, 3), 1 / 3)
    (found,) = reliability_panels(
        world,
        {"grpo": policy},
        rng=np.random.default_rng(0),
        group_size=2,
        curve_points=3,
    )
    np.testing.assert_allclose(found.curve_p, [0.01, 0.5, 0.99])
    np.testing.assert_allclose(found.curve_mean[[0, 2]], [0.1, 0.9], atol=0.02)
    assert found.curve_mean[1] == pytest.approx(0.5, abs=1e-6)  # neutral by symmetry


def test_a_panel_for_each_estimator(legible: Callable[[Figure], None]) -> None:
    names = ("grpo", "grpo_no_std", "rloo", "ppo")
    figure = figure1([panel(name, 0.24 if name == "grpo" else 0.004) for name in names])
    legible(figure)
    assert [ax.get_title("left") for ax in figure.axes] == ["GRPO", "GRPO, no std", "RLOO", "PPO"]
    assert "ECE 0.240 / 0.440" in [text.get_text() for text in figure.axes[0].texts]
    assert figure.axes[0].get_ylabel() == "what the policy says"
    assert [any("too sure" in t.get_text() for t in ax.texts) for ax in figure.axes] == [
        True,
        False,
        False,
        False,
    ]
    for ax in figure.axes:
        points = [c for c in ax.collections if isinstance(c, PathCollection)]
        bars = [c for c in ax.collections if isinstance(c, LineCollection)]
        assert [np.asarray(c.get_offsets()).tolist() for c in points] == [
            [[0.25, 0.2], [0.75, 0.8]]
        ]
        assert [np.asarray(s).tolist() for s in bars[0].get_segments()] == [
            [[0.25, 0.1], [0.25, 0.5]],
            [[0.75, 0.5], [0.75, 0.9]],
        ]
        assert [len(np.asarray(line.get_xdata())) for line in ax.get_lines()] == [2, 7]


def test_the_lottery_shows_both_readings(legible: Callable[[Figure], None]) -> None:
    policies = np.array([[0.7, 0.0, 0.3], [0.3, 0.0, 0.7]])
    figure = lottery(panel("top1", 0.03), np.array([0.3, 0.7]), policies, VALUES)
    legible(figure)
    left, mean, single = figure.axes
    assert [one.get_text() for one in left.get_yticklabels()] == ["30%", "70%"]
    assert [text.get_text() for text in mean.texts] == ["ECE 0.030"]
    assert [text.get_text() for text in single.texts] == ["ECE 0.230"]
    assert [ax.get_xlabel() for ax in figure.axes] == ["single sample", "prediction", "prediction"]
    heights = [bar.get_height() for bar in left.patches]
    assert len(heights) == 20
    assert heights[1] == pytest.approx(heights[19] * 1.0)  # 70% at 10% of one, at 90% of the other
