"""Newton's method and its cross-validation, against scipy's minimizer and full refits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize

from levelhead.calibrators._newton import Penalty, cross_validated, newton
from levelhead.calibrators._softmax import Columns, MatrixModel, Model, VectorModel, losses

K = 3


def world(n: int, seed: int = 0) -> Columns:
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (n, K))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    x = 2.0 * z + 0.5 * np.roll(z, 1, axis=1) + [0.7, 0.0, -0.7]
    return Columns.of((x - x.mean(axis=1, keepdims=True)).T.copy(), y, None)


def ridge(model: Model, strength: float) -> Penalty:
    center = np.eye(K, K + 1).ravel() if isinstance(model, MatrixModel) else np.repeat([1.0, 0], K)
    return Penalty(np.full(model.size, strength), center)


@pytest.mark.parametrize("model", [VectorModel(K), MatrixModel(K)], ids=["vector", "matrix"])
@pytest.mark.parametrize("strength", [1e-3, 0.3])
def test_optimum_is_scipys(model: Model, strength: float):
    rows, penalty = world(300), ridge(model, strength)

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        sums = model.sums(rows, point, second=False)
        slope = sums.gradient / 300 + penalty.curvature * (point - penalty.center)
        return sums.loss / 300 + penalty.value(point), slope

    fit = newton(model, [rows], penalty.center, penalty)
    other = scipy_minimize(
        objective, penalty.center, jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    assert fit.converged
    assert fit.decrement < 1e-12
    assert objective(fit.theta)[0] <= other.fun + 1e-12
    np.testing.assert_allclose(fit.theta, other.x, atol=1e-5)
    assert np.abs(objective(fit.theta)[1]).max() < 1e-7


def test_the_start_does_not_matter():
    rows, model = world(300), MatrixModel(K)
    penalty = ridge(model, 1e-2)
    far = np.random.default_rng(1).normal(0, 10, model.size)
    np.testing.assert_allclose(
        newton(model, [rows], far, penalty).theta,
        newton(model, [rows], penalty.center, penalty).theta,
        atol=1e-6,
    )


def test_too_few_iterations_is_said():
    rows, model = world(300), MatrixModel(K)
    fit = newton(model, [rows], np.zeros(model.size), ridge(model, 1e-9), max_iterations=1)
    assert not fit.converged
    assert fit.iterations == 1


def test_directions_without_curvature_stay_put():
    # two equal features: only the sum of their columns of W is determined
    rng = np.random.default_rng(0)
    x = rng.normal(size=(K, 200))
    x[1] = x[0]
    rows, model = Columns.of(x, rng.integers(0, K, 200), None), MatrixModel(K)
    fit = newton(model, [rows], np.zeros(model.size), Penalty(np.zeros(12), np.zeros(12)))
    assert fit.converged
    assert np.abs(fit.theta).max() < 10


@pytest.mark.parametrize("n", [60, 400, 3000])
def test_cross_validation_is_a_full_refit_of_each_fold(n: int):
    rows, model = world(n), MatrixModel(K)
    penalty = ridge(model, 1e-3)
    ends = np.linspace(0, n, 6).astype(int)
    folds = [rows.part(slice(a, b)) for a, b in itertools.pairwise(ends)]
    everything = newton(model, folds, penalty.center, penalty)
    quick = np.concatenate(
        [own for _, own in cross_validated(model, folds, everything.theta, penalty)]
    )
    slow = []
    for i, fold in enumerate(folds):
        training = [part for j, part in enumerate(folds) if j != i]
        slow.append(losses(model, fold, newton(model, training, penalty.center, penalty).theta))
    assert quick.mean() == pytest.approx(np.concatenate(slow).mean(), abs=1e-4)
    assert quick.mean() > everything.loss
