"""L2 logistic regression: a strictly convex problem, solved to the last digits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import special

from levelhead._arrays import FloatArray, IntArray

GRID = (1e4, 1e3, 1e2, 1e1, 1e0, 1e-1, 1e-2)
"""Penalties that `choose_l2` tries, strongest first: each fit starts from the one before it."""

MAX_STEPS = 200
TOLERANCE = 1e-12  # of the gradient's largest entry, as a share of the total weight
LOOSE = 1e-6  # for the losses that are compared in cross-validation


@dataclasses.dataclass(frozen=True)
class LogisticFit:
    """The minimizer of sum_i w_i L(y_i, sigmoid(b0 + x_i b)) + l2 / 2 |b|^2."""

    intercept: float
    weights: FloatArray
    loss: float  # mean log loss on the fit rows, nats, without the penalty
    steps: int
    converged: bool


def log_losses(score: FloatArray, y: FloatArray) -> FloatArray:
    """-y ln sigmoid(s) - (1 - y) ln(1 - sigmoid(s)), without overflow."""
    return np.logaddexp(0.0, score) - y * score


def fit_logistic(
    x: FloatArray,
    y: FloatArray,
    w: FloatArray,
    l2: float,
    *,
    start: FloatArray | None = None,
    tolerance: float = TOLERANCE,
) -> LogisticFit:
    """Newton's method with halved steps; `x` (N, F) has no intercept column, `y` in [0, 1].

    Both classes must have weight, and `l2` must be above 0: then the minimum exists and is unique.
    """
    n_features = x.shape[1]
    total = float(w.sum())
    beta = np.zeros(n_features + 1) if start is None else start.copy()
    if start is None:
        beta[0] = special.logit(float(w @ y) / total)
    penalty = np.full(n_features + 1, l2)
    penalty[0] = 0.0

    def objective(b: FloatArray) -> tuple[float, FloatArray]:
        score = b[0] + x @ b[1:]
        return float(w @ log_losses(score, y) + 0.5 * penalty @ b**2), score

    value, score = objective(beta)
    converged, steps = False, 0
    while steps < MAX_STEPS:
        steps += 1
        p = special.expit(score)
        slope = w * (p - y)
        gradient = np.concatenate(([slope.sum()], x.T @ slope)) + penalty * beta
        if float(np.abs(gradient).max()) <= tolerance * total:
            converged = True
            break
        step = _newton_step(x, w * p * (1.0 - p), penalty, gradient, total)
        new_value, new_score, new = value, score, beta
        scale = 1.0
        for _ in range(60):
            new = beta - scale * step
            new_value, new_score = objective(new)
            if new_value <= value - 1e-4 * scale * float(gradient @ step):
                break
            scale /= 2.0
        if new_value >= value:  # no step improves on the rounding of the objective
            gap = float(gradient @ step)
            converged = gap <= 1e-12 * max(1.0, abs(value))
            if converged and np.isfinite(step).all():
                beta = beta - step
                score = beta[0] + x @ beta[1:]
            break
        beta, value, score = new, new_value, new_score
    loss = float(w @ log_losses(score, y)) / total
    return LogisticFit(float(beta[0]), beta[1:].copy(), loss, steps, converged)


def _newton_step(
    x: FloatArray, curvature: FloatArray, penalty: FloatArray, gradient: FloatArray, total: float
) -> FloatArray:
    n = x.shape[1] + 1
    hessian = np.empty((n, n))
    weighted = x * curvature[:, None]
    hessian[0, 0] = curvature.sum() + 1e-12 * total  # all saturated: the intercept has none left
    hessian[0, 1:] = hessian[1:, 0] = weighted.sum(axis=0)
    hessian[1:, 1:] = x.T @ weighted
    hessian[np.diag_indices(n)] += penalty
    return np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)


@dataclasses.dataclass(frozen=True)
class L2Choice:
    """Which penalty was chosen and how it compared."""

    l2: float
    losses: tuple[tuple[float, float], ...]  # (penalty, mean cross-validated log loss in nats)
    n_folds: int


def choose_l2(
    x: FloatArray, y: FloatArray, w: FloatArray, fold: IntArray, grid: Sequence[float] = GRID
) -> L2Choice | None:
    """The penalty of the smallest out-of-fold log loss; None where no fold can be judged.

    Equal losses choose the stronger penalty. A fold whose training rows hold one class is left out.
    """
    ordered = sorted(grid, reverse=True)
    sums = np.zeros(len(ordered))
    judged = 0.0
    used = 0
    for k in range(int(fold.max()) + 1):
        held = fold == k
        kept = ~held
        weight = float(w[held].sum())
        right = float(w[kept] @ y[kept])
        if weight == 0.0 or not 0.0 < right < float(w[kept].sum()):
            continue
        start: FloatArray | None = None
        scale = float(w.sum()) / float(w[kept].sum())  # the penalty weighs as in the whole fit
        for j, l2 in enumerate(ordered):
            fit = fit_logistic(x[kept], y[kept], w[kept], l2 / scale, start=start, tolerance=LOOSE)
            start = np.concatenate(([fit.intercept], fit.weights))
            score = fit.intercept + x[held] @ fit.weights
            sums[j] += float(w[held] @ log_losses(score, y[held]))
        judged += weight
        used += 1
    if not used:
        return None
    losses = sums / judged
    best = min(range(len(ordered)), key=lambda j: (round(float(losses[j]), 12), j))
    pairs = tuple((l2, float(loss)) for l2, loss in zip(ordered, losses, strict=True))
    return L2Choice(ordered[best], pairs, used)


def logits(probability: FloatArray, eps: float) -> FloatArray:
    """ln(c / (1 - c)) of c clipped to [eps, 1 - eps]; NaN stays NaN."""
    c = np.clip(probability, eps, 1.0 - eps)
    return np.log(c) - np.log1p(-c)
