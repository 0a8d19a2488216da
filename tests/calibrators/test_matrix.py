"""The preconditioner against the dense matrix that it inverts, and the fit against scipy's."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize as scipy_minimize

from levelhead.calibrators._matrix import Preconditioner, fit_matrix
from levelhead.calibrators._minimize import Memory
from levelhead.calibrators._newton import Penalty
from levelhead.calibrators._softmax import Columns, MatrixModel

K = 4


def rows(n: int = 400, weighted: bool = False) -> Columns:
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.5, (n, K))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    x = (2.0 * z + 0.4 * np.roll(z, 1, axis=1) + [1.0, 0.0, 0.0, -1.0]).T.copy()
    return Columns.of(x, y, rng.random(n) if weighted else None)


def test_the_inverse_of_the_kronecker_product_with_a_free_diagonal():
    data = rows(weighted=True)
    start, off, intercept = np.eye(K, K + 1).ravel(), 0.2, 0.0
    w = data.weights / data.weights.sum()
    p = np.exp(data.x) / np.exp(data.x).sum(axis=0)
    a = np.diag(p @ w) - (p * w) @ p.T
    mean = data.x @ w
    moments = (data.x * w) @ data.x.T - np.outer(mean, mean)
    dense = np.kron(a, moments) + off * np.diag(1.0 - np.eye(K).ravel())
    rng = np.random.default_rng(1)
    gradient = np.column_stack([rng.normal(size=(K, K)), np.zeros(K)])
    got = Preconditioner([data], start).inverse(off, intercept)(gradient.ravel())
    got = got.reshape(K, K + 1)
    expected = np.linalg.solve(dense, gradient[:, :-1].ravel()).reshape(K, K)
    # the common level of all scores has no curvature: it is cut off, and is none of our business
    center = np.eye(K) - 1.0 / K
    np.testing.assert_allclose(center @ got[:, :-1], center @ expected, atol=1e-3)
    np.testing.assert_allclose(got[:, -1], -got[:, :-1] @ mean, atol=1e-9)


def test_the_inverse_is_symmetric_and_positive():
    inverse = Preconditioner([rows()], np.eye(K, K + 1).ravel()).inverse(0.3, 1e-3)
    matrix = np.stack([inverse(one) for one in np.eye(K * (K + 1))])
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-6, atol=1e-6 * np.abs(matrix).max())
    assert np.linalg.eigvalsh((matrix + matrix.T) / 2).min() > 0


def test_the_fit_is_scipys():
    data, model = rows(), MatrixModel(K)
    curvature = np.full((K, K + 1), 0.1)
    curvature[np.arange(K), np.arange(K)] = 1e-6
    curvature[:, -1] = 1e-6
    penalty = Penalty(curvature.ravel(), np.eye(K, K + 1).ravel())

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        sums = model.sums(data, point, second=False)
        slope = sums.gradient / data.total + penalty.curvature * (point - penalty.center)
        return sums.loss / data.total + penalty.value(point), slope

    start = penalty.center.copy()
    inverse = Preconditioner([data], start).inverse(0.1, 1e-6)
    fit = fit_matrix([data], start, penalty, inverse, Memory(), tolerance=1e-12)
    other = scipy_minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    assert fit.converged
    assert fit.iterations < 20
    assert objective(fit.theta)[0] <= other.fun + 1e-10
