"""Matrix scaling with too many classes for Newton's method: what makes L-BFGS converge in few steps.

Were the probabilities of a row independent of its features, the Hessian of the mean loss would be
the Kronecker product of A = mean(diag p - p p^T) with the features' second moments S. In the
eigenvectors of the two it is diagonal, penalty included, except that the diagonal of W goes free,
which a correction of rank K puts right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from levelhead._arrays import FloatArray
from levelhead.calibrators._minimize import Inverse, Memory, minimize
from levelhead.calibrators._newton import Fit, Penalty
from levelhead.calibrators._softmax import Columns, MatrixModel, soften

__all__ = ["Preconditioner", "fit_matrix"]

FLOOR = 1e-7
"""Smallest curvature of a direction, relative to the largest, that the preconditioner inverts."""


class Preconditioner:
    """Approximate inverse Hessians of matrix scaling's mean loss, for any weight of the penalty.

    Args:
        parts: the rows.
        theta: (K * (K + 1),) where the probabilities are taken.
    """

    def __init__(self, parts: Sequence[Columns], theta: FloatArray) -> None:
        k = parts[0].x.shape[0]
        model = MatrixModel(k)
        spread, moments = np.zeros((k, k)), np.zeros((k, k))
        mean, share = np.zeros(k), np.zeros(k)
        total = 0.0
        for part in parts:
            for block in part.blocks():
                p = model.scores(block.x, theta)
                soften(p, block.labels)
                if block.weights is None:
                    weighted, x = p, block.x
                else:
                    weighted, x = p * block.weights, block.x * block.weights
                spread -= weighted @ p.T
                share += weighted.sum(axis=1)
                moments += x @ block.x.T
                mean += x.sum(axis=1)
                total += block.total
        self._mean = mean / total
        moments = moments / total - np.outer(self._mean, self._mean)
        self._a, self._u = np.linalg.eigh(spread / total + np.diag(share / total))
        self._s, self._v = np.linalg.eigh(moments)
        self.scale = float(max(self._a.mean(), 0.0) * max(self._s.mean(), 0.0))

    def inverse(self, off_diagonal: float, intercept: float) -> Inverse:
        """The inverse where the penalty's curvatures are these."""
        return _Inverse(self._a, self._u, self._s, self._v, self._mean, off_diagonal, intercept)


class _Inverse:
    def __init__(
        self,
        a: FloatArray,
        u: FloatArray,
        s: FloatArray,
        v: FloatArray,
        mean: FloatArray,
        off_diagonal: float,
        intercept: float,
    ) -> None:
        self._u, self._v, self._mean = u, v, mean
        product = np.outer(np.maximum(a, 0.0), np.maximum(s, 0.0))
        self._modes = 1.0 / (np.maximum(product, FLOOR * product.max() + 1e-300) + off_diagonal)
        self._intercept = 1.0 / (np.maximum(a, FLOOR * a.max()) + intercept)
        k = a.size
        overlap = np.zeros((k, k))  # of the diagonal's unit vectors under the uniform inverse
        for one in range(k):
            overlap += np.outer(u[:, one], u[:, one]) * ((v * self._modes[one]) @ v.T)
        free = np.eye(k) / max(off_diagonal, 1e-300) - overlap
        self._free = np.linalg.inv(free) if off_diagonal > 0.0 and _positive(free) else None

    def __call__(self, gradient: FloatArray) -> FloatArray:
        k = self._mean.size
        table = gradient.reshape(k, k + 1)
        # in centered features the intercept's directions are orthogonal to those of W
        w = self._uniform(table[:, :-1] - np.outer(table[:, -1], self._mean))
        if self._free is not None:
            w = w + self._uniform(np.diag(self._free @ np.diagonal(w)))
        b = self._u @ (self._intercept * (self._u.T @ table[:, -1]))
        return np.column_stack([w, b - w @ self._mean]).ravel()

    def _uniform(self, w: FloatArray) -> FloatArray:
        return self._u @ (self._modes * (self._u.T @ w @ self._v)) @ self._v.T


def _positive(matrix: FloatArray) -> bool:
    return bool(np.linalg.eigvalsh(matrix)[0] > 0.0)


def fit_matrix(
    parts: Sequence[Columns],
    theta: FloatArray,
    penalty: Penalty,
    inverse: Inverse,
    memory: Memory,
    *,
    tolerance: float,
) -> Fit:
    """Matrix scaling of the rows of all parts by L-BFGS, from `theta`."""
    model = MatrixModel(parts[0].x.shape[0])
    total = sum(part.total for part in parts)

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        sums = [model.sums(part, point, second=False) for part in parts]
        gradient = np.sum([one.gradient for one in sums], axis=0)
        return sum(one.loss for one in sums) / total, gradient / total

    noise = 1e-14 if parts[0].x.dtype == np.float64 else 1e-8
    return minimize(loss, theta, penalty, inverse, memory, tolerance=tolerance, noise=noise)
