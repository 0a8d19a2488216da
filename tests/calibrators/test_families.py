"""The two solvers of a scaling agree, and what the rows leave open ends at a finite place."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.calibrators import _families
from levelhead.calibrators._families import (
    Matrix,
    Weights,
    as_table,
    fit_temperature,
    fit_vector,
    held_out,
    least_factor,
)
from levelhead.calibrators._softmax import Columns, VectorModel

K = 5


def world(n: int = 600, k: int = K, seed: int = 0) -> Columns:
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (n, k))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    x = 2.0 * z + 0.5 * np.roll(z, 1, axis=1) + rng.normal(0, 1, k)
    return Columns.of((x - x.mean(axis=1, keepdims=True)).T.copy(), y, None)


def fifths(rows: Columns) -> list[Columns]:
    n = rows.labels.size
    return [rows.part(slice(a, a + n // 5)) for a in range(0, n, n // 5)]


def test_vector_scaling_by_both_solvers(monkeypatch: pytest.MonkeyPatch):
    rows, start = world(), np.repeat([1.0, 0.0], K)
    exact = fit_vector([rows], start)
    folds = list(held_out(VectorModel(K), fifths(rows), exact))
    monkeypatch.setattr(_families, "NEWTON_VECTOR", 1)
    other = fit_vector([rows], start)
    assert exact.converged
    assert other.converged
    assert other.loss == pytest.approx(exact.loss, abs=1e-7)
    for (_, one), (_, two) in zip(
        folds, held_out(VectorModel(K), fifths(rows), other), strict=True
    ):
        assert one.mean() == pytest.approx(two.mean(), abs=1e-3)


@pytest.mark.parametrize("weight", [0.0, 0.01, 1.0])
def test_matrix_scaling_by_both_solvers(monkeypatch: pytest.MonkeyPatch, weight: float):
    rows = world()
    start = as_table(np.repeat([0.5, 0.0], K))
    weights = Weights(weight, 0.001)
    exact = Matrix([rows], start).fit(weights)
    monkeypatch.setattr(_families, "NEWTON_MATRIX", 1)
    other = Matrix([rows], start).fit(weights)
    penalty = Matrix([rows], start).penalty(weights)
    assert exact.converged
    assert other.converged
    values = [fit.loss + penalty.value(fit.theta) for fit in (exact, other)]
    assert values[0] == pytest.approx(values[1], abs=3e-7)


def test_held_out_losses_by_both_solvers_and_by_full_refits(monkeypatch: pytest.MonkeyPatch):
    """The path in single precision that stops early chooses as complete fits of each fold would."""
    folds, light = fifths(world()), [part.single() for part in fifths(world())]
    vector = fit_vector(folds, np.repeat([0.5, 0.0], K))
    starts = [as_table(theta) for theta, _ in held_out(VectorModel(K), folds, vector)]
    weights = [Weights(one, 0.0) for one in (1.0, 0.1, 0.01)]
    exact = Matrix(folds, as_table(vector.theta))
    slow = [np.concatenate(list(exact.held_out(one))).mean() for one in weights]
    monkeypatch.setattr(_families, "NEWTON_MATRIX", 1)
    path = Matrix(light, as_table(vector.theta), starts)
    quick = [np.concatenate(list(path.held_out(one))).mean() for one in weights]
    np.testing.assert_allclose(quick, slow, atol=2e-3)
    assert np.argmin(quick) == np.argmin(slow)


def test_no_errors_end_at_a_finite_temperature():
    x = np.array([[1.0, -1.0, 2.0, -2.0], [-1.0, 1.0, -2.0, 2.0]])
    fit = fit_temperature([Columns.of(x, np.array([0, 1, 0, 1]), None)])
    assert fit.converged
    assert 5 < fit.theta[0] < 50


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8, 1e50])
def test_the_size_of_the_logits_only_scales_the_temperature(size: float):
    rows = world()
    big = Columns.of(rows.x * size, rows.labels, None)
    one, other = fit_temperature([rows]), fit_temperature([big])
    assert other.converged
    assert other.theta[0] * size == pytest.approx(one.theta[0], rel=1e-4)
    assert other.loss == pytest.approx(one.loss, abs=1e-7)


def test_logits_that_point_the_wrong_way():
    rows = world()
    backwards = Columns.of(-rows.x, rows.labels, None)
    fit = fit_temperature([backwards])
    assert fit.theta[0] == least_factor([backwards])
    assert fit.loss == pytest.approx(np.log(K), abs=1e-4)
