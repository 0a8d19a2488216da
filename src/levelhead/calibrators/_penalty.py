"""The weight of matrix scaling's penalty, chosen by cross-validation among its simpler relatives."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead.calibrators._families import (
    NEWTON_MATRIX,
    Matrix,
    Weights,
    as_table,
    fit_temperature,
    fit_vector,
    held_out,
)
from levelhead.calibrators._softmax import Columns, TemperatureModel, VectorModel

__all__ = ["METHODS", "N_FOLDS", "Candidate", "Chosen", "choose_penalty", "reason"]

METHODS = ("temperature", "vector", "matrix")

N_FOLDS = 5

SHORT_SPREADS = (0.01, 10**-1.5, 0.1, 10**-0.5, 1.0)
LONG_SPREADS = (math.inf, 0.1, 0.01)
"""Sizes of the off-diagonal entries, relative to one over the temperature, that the weights allow for:
with few rows, and with many, where the weight decides little and the path is coarse."""

TIE = 1e-6
"""Losses (nats) that differ by less are equal, so that rounding chooses nothing: the first one wins."""

HOPELESS = 4.0
"""Standard errors on the first fold by which a weight that loses there is not tried on the others."""

MIN_ROWS_PER_PARAMETER = 2
"""Below so many rows for each factor and intercept only the temperature is a candidate."""

MAX_CLASSES = 300
MAX_PARAMETERS_PER_ROW = 10
"""Beyond these matrix scaling is no candidate: a fit is slow, and vector scaling is all that the rows
can tell."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One way to scale and how it did on rows that it was not fitted on.

    Attributes:
        method: "temperature", "vector" or "matrix".
        weights: the penalty's weights per element; None without a penalty.
        loss: mean loss on the held-out rows, nats.
    """

    method: str
    weights: Weights | None
    loss: float


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What cross-validation chose.

    Attributes:
        best: the candidate that was chosen.
        theta: its parameters on all rows; of a matrix only about, to start the fit from.
        candidates: all that were tried, in the order in which they were.
        short: whether the rows were too few, so that a richer candidate had to win by more than one
            standard error.
    """

    best: Candidate
    theta: FloatArray
    candidates: tuple[Candidate, ...]
    short: bool


class _Trial:
    """Held-out losses of candidates on the same folds."""

    def __init__(self, folds: list[Columns], units: IntArray | None, n: float) -> None:
        self.weights = np.concatenate(
            [np.ones(f.labels.size) if f.weights is None else f.weights for f in folds]
        ).astype(np.float64)
        self.units = units
        self.n = n
        self.found: list[tuple[Candidate, FloatArray, FloatArray]] = []

    def add(
        self, method: str, weights: Weights | None, theta: FloatArray, parts: list[FloatArray]
    ) -> None:
        losses = np.concatenate(parts)
        self.found.append((Candidate(method, weights, self.mean(losses)), theta, losses))

    def mean(self, losses: FloatArray) -> float:
        """The weighted mean of the first rows."""
        return float(np.average(losses, weights=self.weights[: losses.size]))

    def standard_error(self, difference: FloatArray) -> float:
        """Of the mean of a difference over the first rows, by units where there are any."""
        weights = self.weights[: difference.size]
        total = weights.sum()
        centered = difference - np.dot(weights, difference) / total
        if self.units is not None:
            sums = np.bincount(self.units[: difference.size], weights * centered)
            return float(np.sqrt(np.dot(sums, sums)) / total)
        n = self.n * total / self.weights.sum()
        return float(np.sqrt(np.dot(weights, centered * centered) / total / n))

    def hopeless(self, losses: FloatArray, other: FloatArray) -> bool:
        """Whether the first fold alone shows that these losses are the higher ones."""
        difference = losses - other[: losses.size]
        return self.mean(difference) > HOPELESS * self.standard_error(difference)


def choose_penalty(
    columns: Columns, folds: IntArray, units: IntArray | None, n: float, min_rows: float
) -> Chosen:
    """Cross-validates temperature, vector and matrix scaling along a path of penalties.

    Args:
        columns: the rows.
        folds: (N,) the fold of each.
        units: (N,) codes of what depends on one another, or None where rows stand alone.
        n: how many rows the weights amount to.
        min_rows: how many times K^2 rows make a matrix safe.

    Returns:
        The choice.
    """
    k = columns.x.shape[0]
    order = np.argsort(folds, kind="stable")
    sorted_rows = columns.take(order)
    ends = np.cumsum(np.bincount(folds))
    slices = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    parts = [sorted_rows.part(where) for where in slices]
    short = n < min_rows * k * k
    light = parts
    if k > NEWTON_MATRIX:
        single = sorted_rows.single()
        light = [single.part(where) for where in slices]
    trial = _Trial(parts, None if units is None else units[order], n)

    temperature = fit_temperature(parts)
    found = [own for _, own in held_out(TemperatureModel(), light, temperature)]
    trial.add("temperature", None, temperature.theta, found)
    vectors: list[tuple[FloatArray, FloatArray]] = []
    if 2 * k * MIN_ROWS_PER_PARAMETER <= n:
        vector = fit_vector(parts, np.repeat([float(temperature.theta[0]), 0.0], k))
        vectors = list(held_out(VectorModel(k), light, vector))
        trial.add("vector", None, vector.theta, [own for _, own in vectors])
    if vectors and k <= MAX_CLASSES and k * (k + 1) <= MAX_PARAMETERS_PER_ROW * n:
        unit = 0.5 / (n * float(temperature.theta[0]) ** 2)
        matrix = Matrix(
            light, as_table(trial.found[-1][1]), [as_table(theta) for theta, _ in vectors]
        )
        _walk(trial, matrix, unit, short)

    least = min(one[0].loss for one in trial.found)
    best = next(one for one in trial.found if one[0].loss <= least + TIE)
    if short and best[0].method != "temperature":
        base = trial.found[0]
        excess = base[0].loss - best[0].loss
        if not excess > trial.standard_error(base[2] - best[2]):
            best = base
    return Chosen(best[0], best[1], tuple(one[0] for one in trial.found), short)


def _walk(trial: _Trial, matrix: Matrix, unit: float, short: bool) -> None:
    """Matrix scaling from the end that is likelier the right one, until the held-out loss rises.

    With few rows from vector scaling on, with many from no penalty on.
    """
    last = trial.found[-1][2] if short else None
    for spread in SHORT_SPREADS if short else LONG_SPREADS:
        own = Weights(unit / spread**2, 0.0)
        parts: list[FloatArray] = []
        for losses in matrix.held_out(own):
            parts.append(losses)
            if last is not None and len(parts) == 1 and trial.hopeless(losses, last):
                return
        trial.add("matrix", own, matrix.theta, parts)
        if last is not None and trial.mean(trial.found[-1][2]) > trial.mean(last) - TIE:
            return
        last = trial.found[-1][2]


def reason(candidates: tuple[Candidate, ...], best: Candidate, k: int) -> str:
    """Which candidate was chosen, and the losses of the best of each method."""
    found: list[str] = []
    for method in METHODS:
        own = [one for one in candidates if one.method == method]
        if own:
            found.append(f"{method} {min(one.loss for one in own):.4f}")
    weight = best.weights
    lam = "" if weight is None else f" with lambda = {weight.off_diagonal * k * (k - 1):.3g}"
    return f"cross-validation chose {best.method} scaling{lam}; held-out log loss: " + ", ".join(
        found
    )
