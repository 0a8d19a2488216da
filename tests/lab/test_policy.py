"""Softmax, Beta policies, moments, and AdamW against a loop written from its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from levelhead.errors import InvalidInputError
from levelhead.lab.policy import AdamW, beta_policy, moments, softmax

EXACT = 1e-12


def test_softmax_by_hand() -> None:
    assert softmax([0.0, math.log(2.0), -np.inf]) == pytest.approx([1 / 3, 2 / 3, 0.0])
    assert softmax([1000.0, 1000.0]) == pytest.approx([0.5, 0.5])


def test_beta_policy_is_the_density_at_the_values() -> None:
    values = np.linspace(1 / 101, 100 / 101, 100)
    for alpha, beta in ((1.0, 1.0), (5.7, 3.0), (50.0, 1.0)):
        density = stats.beta(alpha, beta).pdf(values)
        found = beta_policy(values, alpha, beta)
        assert found == pytest.approx(density / density.sum(), rel=1e-9)


def test_beta_policy_errors() -> None:
    with pytest.raises(InvalidInputError, match="values: expected values strictly between 0 and 1"):
        beta_policy([0.0, 0.5], 1.0, 1.0)
    with pytest.raises(InvalidInputError, match=r"beta: expected a positive number, got 0\.0"):
        beta_policy([0.5], 1.0, 0.0)


def test_moments_by_hand() -> None:
    mean, sd = moments([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], [0.1, 0.3, 0.9])
    assert mean == pytest.approx([0.2, 0.9])
    assert sd == pytest.approx([0.1, 0.0])


def reference(
    gradients: list[list[float]], start: list[float], lr: float, decay: float, scales: list[float]
) -> list[float]:
    """AdamW one number at a time, in the order of its definition."""
    x, m, v = list(start), [0.0] * len(start), [0.0] * len(start)
    for t, (gradient, scale) in enumerate(zip(gradients, scales, strict=True), start=1):
        for i, g in enumerate(gradient):
            x[i] -= lr * scale * decay * x[i]
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g * g
            corrected = math.sqrt(v[i] / (1 - 0.999**t)) + 1e-8
            x[i] -= lr * scale * (m[i] / (1 - 0.9**t)) / corrected
    return x


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adamw_equals_the_loop(decay: float) -> None:
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(50, 4)) * 10.0 ** rng.integers(-9, 2, size=(50, 4))
    scales = np.linspace(1.0, 0.2, 50)
    start = rng.normal(size=4)
    optimizer, x = AdamW((4,), lr=0.02, weight_decay=decay), start
    for gradient, scale in zip(gradients, scales, strict=True):
        x = optimizer.step(x, gradient, scale=scale)
    expected = reference(gradients.tolist(), start.tolist(), 0.02, decay, scales.tolist())
    assert x == pytest.approx(expected, abs=EXACT)


def test_adamw_leaves_its_arguments_alone() -> None:
    x, gradient = np.ones(3), np.full(3, 2.0)
    AdamW((3,), lr=0.1).step(x, gradient)
    assert (x == 1.0).all()
    assert (gradient == 2.0).all()


def test_single_precision_stays_single() -> None:
    optimizer = AdamW((2,), lr=0.1, dtype=np.float32)
    assert optimizer.step(np.zeros(2), np.ones(2)).dtype == np.float32


def test_adamw_errors() -> None:
    with pytest.raises(InvalidInputError, match="lr: expected a finite number >= 0, got -1"):
        AdamW((1,), lr=-1.0)
    with pytest.raises(InvalidInputError, match=r"betas: expected numbers in \[0, 1\)"):
        AdamW((1,), lr=0.1, betas=(0.9, 1.0))
