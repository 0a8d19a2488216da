"""Differences of means, by hand and against a bootstrap of whole problems."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.diagnose.sharpening._result import difference, mean_difference


def test_a_difference_by_hand() -> None:
    base, tuned = np.array([0.0, 1.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0])
    found = difference(base, tuned, np.linspace(0.0, 1.0, 101), 0.9, seed=0)
    assert (found.base, found.tuned, found.value) == (0.25, 1.0, 0.75)
    assert (found.low, found.high) == (pytest.approx(0.05), pytest.approx(0.95))
    assert (found.p_up, found.p_down) == (pytest.approx(1 / 8), 1.0)  # three heads of three coins


def test_the_interval_is_that_of_resampled_problems() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(80).round(1)
    tuned = np.clip(base + rng.normal(0.1, 0.3, 80).round(1), 0, 1)
    found = mean_difference(base, tuned, 0.95, 4000, seed=0)
    d = tuned - base
    slow = [d[rng.integers(0, 80, 80)].mean() for _ in range(4000)]
    assert found.value == pytest.approx(d.mean())
    np.testing.assert_allclose(
        (found.low, found.high), np.quantile(slow, (0.025, 0.975)), atol=0.006
    )


def test_no_change_has_no_width() -> None:
    same = np.array([0.2, 0.4, 0.9])
    found = mean_difference(same, same, 0.95, 100, seed=0)
    assert (found.value, found.low, found.high, found.p_up, found.p_down) == (0, 0, 0, 1, 1)
