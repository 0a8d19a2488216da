"""Newton's method for a convex mean loss with a quadratic penalty, and its cross-validation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from levelhead._arrays import FloatArray
from levelhead.calibrators._softmax import Columns, Model, Sums, losses

__all__ = ["Fit", "Penalty", "cross_validated", "newton"]

TOLERANCE = 1e-11
"""Newton stops after the step that promised less than this much loss (nats): the next one would
promise about its square."""

FOLD_TOLERANCE = 1e-3
"""The same for a fold's fit, which starts at the fit on all rows: its loss is off by about the square."""

DAMPING = 1e-12
"""Added to the Hessian's diagonal, relative to it: directions without curvature stay put."""

MAX_ITERATIONS = 100
MAX_HALVINGS = 30


@dataclasses.dataclass(frozen=True)
class Penalty:
    """Sum of half the curvature times the squared distance from the center, on top of the mean loss.

    Attributes:
        curvature: (P,) >= 0.
        center: (P,).
    """

    curvature: FloatArray
    center: FloatArray

    def value(self, theta: FloatArray) -> float:
        return 0.5 * float(np.dot(self.curvature, (theta - self.center) ** 2))


@dataclasses.dataclass(frozen=True)
class Fit:
    """Where a minimization ended.

    Attributes:
        theta: (P,) parameters.
        loss: mean loss without the penalty (nats).
        decrement: what another Newton step would gain (nats), about; judged by the last Hessian.
        iterations: steps taken.
        converged: whether the gradient at the end says that nothing is left to gain.
    """

    theta: FloatArray
    loss: float
    decrement: float
    iterations: int
    converged: bool


def newton(
    model: Model,
    parts: Sequence[Columns],
    theta: FloatArray,
    penalty: Penalty,
    *,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Fit:
    """Minimizes the mean loss over all parts plus the penalty, from `theta`."""
    sums = _total(model, parts, theta)
    value = sums.loss / sums.total + penalty.value(theta)
    gain = np.inf
    for iteration in range(max_iterations):
        step, gain, solve = _step(sums, theta, penalty)
        last = gain <= tolerance
        scale = 1.0
        for _ in range(MAX_HALVINGS):
            trial = theta + scale * step
            new = _total(model, parts, trial, second=not last)
            trial_value = new.loss / new.total + penalty.value(trial)
            if trial_value <= value - 1e-4 * scale * gain + 1e-14 * (1.0 + abs(value)):
                break
            scale *= 0.5
        else:
            return Fit(theta, sums.loss / sums.total, gain, iteration, gain <= 1e3 * tolerance)
        theta, sums, value = trial, new, trial_value
        if last:
            g = sums.gradient / sums.total + penalty.curvature * (theta - penalty.center)
            left = 0.5 * float(np.dot(g, solve(g)))
            return Fit(theta, sums.loss / sums.total, left, iteration + 1, left <= tolerance)
    return Fit(theta, sums.loss / sums.total, gain, max_iterations, False)


def cross_validated(
    model: Model, folds: Sequence[Columns], theta: FloatArray, penalty: Penalty
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """The fit on the other folds and the losses of the fold's own rows, fold by fold.

    One pass at `theta`, the fit on all rows, gives every fold's first step, because sums over the
    others are sums over all rows less the fold's own; where that step promised more than
    `FOLD_TOLERANCE`, Newton goes on.
    """
    own = [model.sums(fold, theta) for fold in folds]
    whole = functools.reduce(Sums.__add__, own)
    for i, fold in enumerate(folds):
        step, gain, _ = _step(whole - own[i], theta, penalty)
        moved = theta + step
        if gain > FOLD_TOLERANCE:
            training = [f for j, f in enumerate(folds) if j != i]
            moved = newton(model, training, theta, penalty, tolerance=FOLD_TOLERANCE).theta
        yield moved, losses(model, fold, moved)


def _total(
    model: Model, parts: Sequence[Columns], theta: FloatArray, *, second: bool = True
) -> Sums:
    return functools.reduce(
        Sums.__add__, (model.sums(part, theta, second=second) for part in parts)
    )


class _Solver:
    """The inverse of the Hessian, whose diagonal is scaled to 1 and then damped."""

    def __init__(self, hessian: FloatArray) -> None:
        diagonal = np.maximum(np.einsum("ii->i", hessian), np.finfo(np.float64).tiny)
        self._unit: FloatArray = 1.0 / np.sqrt(diagonal)
        self._scaled: FloatArray = hessian * self._unit * self._unit[:, None]
        damping = DAMPING
        while True:
            np.einsum("ii->i", self._scaled)[:] = 1.0 + damping
            try:
                np.linalg.cholesky(self._scaled)
                return
            except np.linalg.LinAlgError:
                damping *= 100.0

    def __call__(self, gradient: FloatArray) -> FloatArray:
        return self._unit * (np.linalg.inv(self._scaled) @ (self._unit * gradient))


def _step(sums: Sums, theta: FloatArray, penalty: Penalty) -> tuple[FloatArray, float, _Solver]:
    """The Newton step, half its decrement (the loss that it promises to gain), and the solver."""
    gradient = sums.gradient / sums.total + penalty.curvature * (theta - penalty.center)
    hessian = sums.hessian / sums.total
    np.einsum("ii->i", hessian)[:] += penalty.curvature
    solve = _Solver(hessian)
    step = -solve(gradient)
    return step, -0.5 * float(np.dot(gradient, step)), solve
