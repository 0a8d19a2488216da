"""Temperature, vector and matrix scaling as minimizations: start, penalty and solver of each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from levelhead._arrays import FloatArray
from levelhead.calibrators._matrix import Preconditioner, fit_matrix
from levelhead.calibrators._minimize import Inverse, Memory, minimize
from levelhead.calibrators._newton import (
    FOLD_TOLERANCE,
    TOLERANCE,
    Fit,
    Penalty,
    cross_validated,
    newton,
)
from levelhead.calibrators._softmax import (
    Columns,
    MatrixModel,
    Model,
    TemperatureModel,
    VectorModel,
    losses,
)

__all__ = [
    "Matrix",
    "Weights",
    "as_table",
    "fit_temperature",
    "fit_vector",
    "held_out",
    "least_factor",
]

RIDGE = 1e-8
"""Weight of the squared distance from the identity, always: what the rows leave open (a class that
never occurs, classes that are told apart without an error) ends at a finite place."""

NEWTON_MATRIX = 10
"""Up to so many classes matrix scaling is fitted by Newton's method, beyond by L-BFGS."""

NEWTON_VECTOR = 300
"""The same for vector scaling."""

LBFGS_TOLERANCE = 1e-9
LBFGS_FOLD_TOLERANCE = 1e-4
"""L-BFGS stops where a step promises less than this (nats), on all rows and on those of a fold."""

ABSENT = -15.0
"""Where the intercept of a class that never occurs starts, near the end that the ridge puts to it."""

SMALLEST_FACTOR = 1e-6
"""Smallest factor of the features, relative to one over their size."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights of the penalty per element: of a squared off-diagonal entry, of a squared intercept."""

    off_diagonal: float
    intercept: float


def _power(parts: Sequence[Columns]) -> float:
    """Weighted mean square of the features."""
    power = 0.0
    for part in parts:
        squares = np.einsum("kn,kn->n", part.x, part.x)
        power += float(squares.sum() if part.weights is None else np.dot(squares, part.weights))
    return power / (parts[0].x.shape[0] * sum(part.total for part in parts))


def _ridge(parts: Sequence[Columns]) -> float:
    """Curvature of the ridge on a factor of the features; less where the features are tiny."""
    return 2.0 * RIDGE * min(1.0, _power(parts))


def fit_temperature(parts: Sequence[Columns]) -> Fit:
    """The one factor of all features, (1 / temperature,), at least `least_factor`."""
    model = TemperatureModel()
    ridge = Penalty(np.array([_ridge(parts)]), np.ones(1))
    start = np.array([1.0 / max(1.0, math.sqrt(_power(parts)))])
    fit = newton(model, parts, start, ridge)
    least = least_factor(parts)
    if fit.theta[0] >= least:
        return fit
    theta = np.array([least])
    sums = [model.sums(part, theta, second=False) for part in parts]
    loss = sum(one.loss for one in sums) / sum(one.total for one in sums)
    return dataclasses.replace(fit, theta=theta, loss=loss)


def least_factor(parts: Sequence[Columns]) -> float:
    """The limit of the temperature's factor, where the features point the wrong way."""
    return SMALLEST_FACTOR / max(math.sqrt(_power(parts)), SMALLEST_FACTOR)


def _vector_penalty(parts: Sequence[Columns]) -> Penalty:
    k = parts[0].x.shape[0]
    return Penalty(
        np.repeat([_ridge(parts), 2.0 * RIDGE], k), np.repeat([1.0, 0.0], k).astype(np.float64)
    )


def fit_vector(
    parts: Sequence[Columns], start: FloatArray, *, tolerance: float | None = None
) -> Fit:
    """A factor and an intercept for each class, (2 K,), from `start`."""
    k = parts[0].x.shape[0]
    penalty = _vector_penalty(parts)
    occurs = np.sum([np.bincount(part.labels, minlength=k) for part in parts], axis=0) > 0
    start = np.concatenate([start[:k], np.where(occurs, start[k:], np.minimum(start[k:], ABSENT))])
    if k <= NEWTON_VECTOR:
        return newton(VectorModel(k), parts, start, penalty, tolerance=tolerance or TOLERANCE)
    model = VectorModel(k)
    total = sum(part.total for part in parts)

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        sums = [model.sums(part, point, second=False) for part in parts]
        gradient = np.sum([one.gradient for one in sums], axis=0)
        return sum(one.loss for one in sums) / total, gradient / total

    blocks = np.sum([model.block_diagonal(part, start) for part in parts], axis=0) / total
    inverse = _BlockInverse(blocks, penalty.curvature)
    noise = 1e-14 if parts[0].x.dtype == np.float64 else 1e-8
    return minimize(
        loss,
        start,
        penalty,
        inverse,
        Memory(),
        tolerance=tolerance or LBFGS_TOLERANCE,
        noise=noise,
    )


class _BlockInverse:
    """Inverse of the two by two blocks of the classes' factors and intercepts."""

    def __init__(self, blocks: FloatArray, curvature: FloatArray) -> None:
        k = blocks.shape[1]
        a, b, c = blocks
        a = a + curvature[:k] + 1e-9 * a.mean()
        c = c + curvature[k:] + 1e-9 * c.mean()
        self._terms = np.stack([c, -b, a]) / np.maximum(a * c - b * b, 1e-9 * a * c)

    def __call__(self, gradient: FloatArray) -> FloatArray:
        k = self._terms.shape[1]
        one, cross, two = self._terms
        g, h = gradient[:k], gradient[k:]
        return np.concatenate([one * g + cross * h, cross * g + two * h])


def held_out(
    model: Model, folds: Sequence[Columns], fit: Fit
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Temperature or vector scaling of the other folds, and the losses of each fold's own rows."""
    if isinstance(model, TemperatureModel):
        penalty = Penalty(np.array([_ridge(folds)]), np.ones(1))
        yield from cross_validated(model, folds, fit.theta, penalty)
    elif folds[0].x.shape[0] <= NEWTON_VECTOR:
        yield from cross_validated(model, folds, fit.theta, _vector_penalty(folds))
    else:
        for i, fold in enumerate(folds):
            training = [part for j, part in enumerate(folds) if j != i]
            theta = fit_vector(training, fit.theta, tolerance=0.1 * LBFGS_FOLD_TOLERANCE).theta
            yield theta, losses(model, fold, theta)


def as_table(vector: FloatArray) -> FloatArray:
    """The parameters (2 K,) of vector scaling as those of a matrix, (K * (K + 1),)."""
    k = vector.size // 2
    return np.column_stack([np.diag(vector[:k]), vector[k:]]).ravel()


class Matrix:
    """Matrix scaling of one set of rows, and of what each fold leaves of them, at several penalties.

    Args:
        parts: the rows; the folds, where it is to be cross-validated.
        start: (K * (K + 1),), near the optimum.
        fold_starts: the same for what each fold leaves; not made with the fold's own rows.
    """

    def __init__(
        self,
        parts: Sequence[Columns],
        start: FloatArray,
        fold_starts: Sequence[FloatArray] = (),
    ) -> None:
        self.parts = parts
        self.classes = parts[0].x.shape[0]
        self._model = MatrixModel(self.classes)
        self._ridge = _ridge(parts)
        self.theta = start
        self._memory = Memory()
        self._preconditioner: Preconditioner | None = None
        self._folds = list(fold_starts)

    def penalty(self, weights: Weights) -> Penalty:
        """The penalty and the ridge on all (K, K + 1) parameters, flat."""
        k = self.classes
        curvature = np.full((k, k + 1), self._ridge + 2.0 * weights.off_diagonal)
        curvature[np.arange(k), np.arange(k)] = self._ridge
        curvature[:, -1] = 2.0 * (RIDGE + weights.intercept)
        return Penalty(curvature.ravel(), np.eye(k, k + 1).ravel())

    def fit(self, weights: Weights, *, tolerance: float | None = None) -> Fit:
        """The optimum at these weights, from the last one found."""
        penalty = self.penalty(weights)
        if self.classes <= NEWTON_MATRIX:
            fit = newton(
                self._model, self.parts, self.theta, penalty, tolerance=tolerance or TOLERANCE
            )
        else:
            inverse = self._inverse(weights)
            fit = fit_matrix(
                self.parts,
                self.theta,
                penalty,
                inverse,
                self._memory,
                tolerance=tolerance or LBFGS_TOLERANCE,
            )
        self.theta = fit.theta
        return fit

    def held_out(self, weights: Weights) -> Iterator[FloatArray]:
        """Losses of each fold's rows under matrix scaling of the other folds.

        With many classes each fold goes on from its own last fit and never sees one that knew its
        rows; that it stops early then errs towards the last penalty, and not towards those rows.
        """
        penalty = self.penalty(weights)
        if self.classes <= NEWTON_MATRIX:
            self.fit(weights, tolerance=FOLD_TOLERANCE)
            for _, own in cross_validated(self._model, self.parts, self.theta, penalty):
                yield own
            return
        inverse = self._inverse(weights)
        for i, fold in enumerate(self.parts):
            fit = fit_matrix(
                [part for j, part in enumerate(self.parts) if j != i],
                self._folds[i],
                penalty,
                inverse,
                self._memory,
                tolerance=LBFGS_FOLD_TOLERANCE,
            )
            self._folds[i] = fit.theta
            yield losses(self._model, fold, fit.theta)
        self.theta = np.mean(self._folds, axis=0)

    def _inverse(self, weights: Weights) -> Inverse:
        if self._preconditioner is None:
            self._preconditioner = Preconditioner(self.parts, self.theta)
        return self._preconditioner.inverse(
            self._ridge + 2.0 * weights.off_diagonal, 2.0 * (RIDGE + weights.intercept)
        )
