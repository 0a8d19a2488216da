"""Logistic regression of correctness on one to three columns, exact and bounded.

    minimize sum_i w_i [softplus(e_i) - y_i e_i] / sum_i w_i + RIDGE/2 |t - s|^2,  e = t . columns

The ridge pulls towards the start s, which is where the fit is the identity. It is too weak to be seen
(a parameter moves by some 1e-8) except where nothing else decides: confidences that separate right
from wrong would send a slope to infinity, and equal ones leave it open. Since the start itself pays
no ridge, what is found never has a higher loss than the identity.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np

from levelhead._arrays import FloatArray
from levelhead.calibrators._base import LIMIT
from levelhead.metrics._ties import scaled_weights, tie_blocks

__all__ = [
    "LARGEST_EPS",
    "SMALLEST_EPS",
    "Folded",
    "LogisticFit",
    "folded",
    "log_odds",
    "logistic_fit",
    "narrowest_half",
    "sigmoid",
]

RIDGE = 1e-9
STEPS, HALVINGS = 200, 40
SETTLED = 1e-5
"""Newton's error squares itself: a step that moves no log-odds by more than this is the last one."""
FLAT = 1e-15
"""Nor does a step pay that would lower the loss by less than its last digit."""
ARMIJO = 1e-4
ROUNDING = 1e-14
FARTHEST = math.log((1.0 - LIMIT) / LIMIT)
SMALLEST_EPS, CERTAIN_EPS, LARGEST_EPS = 1e-6, 0.005, 0.01
"""`narrowest_half` at least, where all confidences are 0 or 1, and at most."""


@dataclasses.dataclass(frozen=True)
class Folded:
    """The rows of a fit, one entry per distinct confidence, in order.

    Attributes:
        confidence: (M,) distinct, increasing.
        weight: (M,) their weights, > 0; numbers of rows where there are no weights.
        hits: (M,) weight times correctness.
        n: number of rows that count.
    """

    confidence: FloatArray
    weight: FloatArray
    hits: FloatArray
    n: int

    def mean_loss(self, p: FloatArray) -> float:
        """Mean log loss of a probability (M,) in [LIMIT, 1 - LIMIT] for each entry, nats."""
        total = self.hits @ np.log(p) + (self.weight - self.hits) @ np.log1p(-p)
        return float(max(-total / self.weight.sum(), 0.0))

    @property
    def span(self) -> tuple[float, float]:
        """Highest confidence of a wrong row and lowest of a right one.

        A fraction of 1e-17 is right in `y` and lost in a sum, which may leave none.
        """
        right = self.confidence[self.hits > 0.0]
        wrong = self.confidence[self.hits < self.weight]
        return float(wrong.max(initial=-math.inf)), float(right.min(initial=math.inf))


@dataclasses.dataclass(frozen=True)
class LogisticFit:
    """Parameters (P,), and how they were found."""

    parameters: FloatArray
    objective: float
    iterations: int
    converged: bool


def folded(c: FloatArray, y: FloatArray, w: FloatArray | None) -> Folded:
    """Rows of equal confidence as one entry: few where people or models state the confidence."""
    blocks = tie_blocks(c, y, scaled_weights(w))
    n = c.size if w is None else int(np.count_nonzero(w))
    return Folded(
        np.ascontiguousarray(blocks.confidence[::-1]),
        blocks.weight[::-1].astype(np.float64),
        blocks.right[::-1].astype(np.float64),
        n,
    )


def narrowest_half(c: FloatArray) -> float:
    """Half of the way from 0 and 1 to the nearest confidence strictly between them.

    Clipped there, 0 and 1 stay apart from all others. A coarse scale bounds what they claim: 100% in
    steps of 5% is not one error in a million.
    """
    inside = c[(c > 0.0) & (c < 1.0)]
    if inside.size == 0:
        return CERTAIN_EPS
    nearest = min(float(inside.min()), 1.0 - float(inside.max()))
    return min(max(nearest / 2.0, SMALLEST_EPS), LARGEST_EPS)


def log_odds(c: FloatArray, eps: float) -> FloatArray:
    """ln(c / (1 - c)) of confidences clipped to [eps, 1 - eps]."""
    clipped = np.clip(c, eps, 1.0 - eps)
    return np.log(clipped) - np.log1p(-clipped)


def sigmoid(e: FloatArray) -> FloatArray:
    """1 / (1 + exp(-e)), at least `LIMIT` away from 0 and 1; never falls where e rises."""
    return 1.0 / (1.0 + np.exp(-np.clip(e, -FARTHEST, FARTHEST)))


def logistic_fit(
    columns: FloatArray,
    weight: FloatArray,
    hits: FloatArray,
    start: FloatArray,
    *,
    nonnegative: tuple[int, ...] = (),
) -> LogisticFit:
    """The best parameters (P,) for columns (P, M), those in `nonnegative` at least 0.

    The problem is convex, so its solution is the free solution over the parameters that it does not
    hold at 0: the best of the free solutions that keep their signs.
    """
    total = weight.sum()
    weight, hits = weight / total, hits / total
    free = _with_held((), columns, weight, hits, start)
    if _signs_kept(free, nonnegative):
        return free
    fits = [
        _with_held(held, columns, weight, hits, start)
        for size in range(1, len(nonnegative) + 1)
        for held in itertools.combinations(nonnegative, size)
    ]
    best = min((fit for fit in fits if _signs_kept(fit, nonnegative)), key=lambda f: f.objective)
    return dataclasses.replace(
        best,
        iterations=free.iterations + sum(fit.iterations for fit in fits),
        converged=free.converged and all(fit.converged for fit in fits),
    )


def _signs_kept(fit: LogisticFit, nonnegative: tuple[int, ...]) -> bool:
    return all(fit.parameters[k] >= 0.0 for k in nonnegative)


def _with_held(
    held: tuple[int, ...],
    columns: FloatArray,
    weight: FloatArray,
    hits: FloatArray,
    start: FloatArray,
) -> LogisticFit:
    """The free solution where the parameters `held` are 0."""
    free = [k for k in range(start.size) if k not in held]
    fit = _newton(columns[free] if held else columns, weight, hits, start[free])
    parameters = np.zeros(start.size)
    parameters[free] = fit.parameters
    paid = RIDGE / 2.0 * float(sum(start[k] ** 2 for k in held))
    return dataclasses.replace(fit, parameters=parameters, objective=fit.objective + paid)


def _newton(
    columns: FloatArray, weight: FloatArray, hits: FloatArray, start: FloatArray
) -> LogisticFit:
    reach = np.abs(columns).max(axis=1)
    t = start.copy()
    value, gradient, curvature = _derivatives(t, columns, weight, hits, start)
    for step_number in range(1, STEPS + 1):
        step = -np.linalg.solve(curvature, gradient)
        slope, length = float(gradient @ step), 1.0
        if np.abs(step) @ reach <= SETTLED or -slope <= FLAT * value:
            return LogisticFit(t + step, value, step_number, True)
        for _ in range(HALVINGS):
            trial = t + length * step
            found, gradient, curvature = _derivatives(trial, columns, weight, hits, start)
            if found <= value + ARMIJO * length * slope + ROUNDING * abs(value):
                break
            length /= 2.0
        else:
            return LogisticFit(t, value, step_number, False)
        t, value = trial, found
    return LogisticFit(t, value, STEPS, False)


def _derivatives(
    t: FloatArray, columns: FloatArray, weight: FloatArray, hits: FloatArray, start: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Objective, gradient (P,) and Hessian (P, P).

    Right and wrong rows are summed apart: between them a small loss would be lost to rounding.
    """
    e = t @ columns
    small = np.exp(-np.abs(e))
    above = 1.0 + small
    up = e >= 0.0
    misses = weight - hits
    value = weight @ np.log1p(small) + np.where(up, misses, hits) @ np.abs(e)
    pull = np.where(up, misses - hits * small, misses * small - hits) / above
    bend = weight * small / (above * above)
    away = t - start
    return (
        float(value) + RIDGE / 2.0 * float(away @ away),
        columns @ pull + RIDGE * away,
        (columns * bend) @ columns.T + RIDGE * np.eye(t.size),
    )
