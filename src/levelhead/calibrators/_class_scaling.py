"""What the scalings of class logits share: how X becomes features, and how a fit is reported."""

from __future__ import annotations

import math
import warnings
from typing import Literal

import numpy as np

from levelhead._arrays import (
    SUM_TOLERANCE,
    ArrayLike,
    FloatArray,
    IntArray,
    class_probabilities,
    real,
)
from levelhead.calibrators._base import CalibrationWarning, ClassCalibrator, FitReport
from levelhead.calibrators._families import least_factor
from levelhead.calibrators._newton import Fit
from levelhead.calibrators._softmax import Columns
from levelhead.errors import InvalidInputError, unknown_name

__all__ = ["ClassScaling", "Inputs", "about_mean", "centered", "classes_first", "limits", "softmax"]

Inputs = Literal["logits", "probs"]

INPUTS = ("logits", "probs")
LARGEST_LOGIT = 1e100
"""Logits beyond this overflow when they are squared."""

LEAST_SPREAD = 1e-290
"""Below it a fraction of it is no normal number."""

WRONG_WAY = (
    "the logits point the wrong way: the temperature is at its limit, and all probabilities are about "
    "equal"
)


class ClassScaling(ClassCalibrator):
    """What the scalings share: how X becomes scores, and how a fit is reported."""

    monotone = False
    nests_identity = True

    inputs: Inputs
    eps: float

    def _check_params(self) -> None:
        if self.inputs not in INPUTS:
            raise unknown_name("inputs", str(self.inputs), INPUTS)
        eps = real("eps", self.eps)
        if not 0.0 < eps < 1e-3:
            raise InvalidInputError(f"eps: expected a number above 0 and below 0.001, got {eps}")

    def _features(self, z: FloatArray) -> FloatArray:
        """(K, N) logits, or logarithms of probabilities, minus their mean in each row."""
        return classes_first(centered(self.logits_of(z)))

    def logits_of(self, z: FloatArray) -> FloatArray:
        if self.inputs == "probs":
            return np.log(np.maximum(class_probabilities("X", z), self.eps))
        low, high = float(z.min()), float(z.max())
        if not -LARGEST_LOGIT < low <= high < LARGEST_LOGIT:
            i = int(np.abs(z).max(axis=1).argmax())
            raise InvalidInputError(
                f"X: expected logits below {LARGEST_LOGIT:g} in size, got larger ones in row {i}"
            )
        if (
            low >= 0.0
            and high <= 1.0
            and bool((np.abs(z.sum(axis=1) - 1.0) <= SUM_TOLERANCE).all())
        ):
            raise InvalidInputError(
                f"X: expected logits, got {z.shape[0]} rows that lie in [0, 1] and sum to 1; if they "
                'are probabilities, pass inputs="probs"'
            )
        return z

    def columns_of(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Columns, IntArray | None]:
        """The rows of the fit, those of weight 0 left out, and the indices of the others."""
        z, labels, w = self._fit_rows(X, y, sample_weight)
        x = self._features(z)
        self.n_features_in_ = z.shape[1]
        if w is None or (w > 0.0).all():
            return Columns.of(x, labels, w), None
        kept = np.flatnonzero(w > 0.0).astype(np.int64)
        return Columns.of(np.take(x, kept, axis=1), labels[kept], w[kept]), kept

    def report(
        self,
        columns: Columns,
        fit: Fit,
        fallback: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        if not fit.converged:
            warnings.warn(
                f"{type(self).__name__}: the fit did not converge in {fit.iterations} steps; its "
                "probabilities may be off",
                CalibrationWarning,
                stacklevel=3,
            )
        absent = columns.x.shape[0] - np.unique(columns.labels).size
        if absent:
            notes = (*notes, f"{absent} of the {columns.x.shape[0]} classes never occur in y")
        self.fit_ = FitReport(
            method=self.method,
            n=columns.labels.size,
            loss=max(fit.loss, 0.0),
            iterations=fit.iterations,
            converged=fit.converged,
            fallback=fallback,
            notes=notes,
        )


def centered(z: FloatArray) -> FloatArray:
    return z - z.mean(axis=1, keepdims=True)


def about_mean(columns: Columns) -> float:
    """The mean of all features, rounded a little: the same number if they are summed in another order."""
    rows = columns.x.mean(axis=0, dtype=np.float64)
    mean = float(np.average(rows, weights=columns.weights))
    spread = float(np.abs(columns.x - mean).max())
    if spread < LEAST_SPREAD:
        return mean
    unit = 2.0 ** (math.frexp(spread)[1] - 20)
    return round(mean / unit) * unit


def classes_first(z: FloatArray) -> FloatArray:
    return np.ascontiguousarray(z.T)


def softmax(scores: FloatArray) -> FloatArray:
    """(N, K) probabilities of scores (K, N), which are overwritten."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return np.ascontiguousarray(scores.T)


def limits(columns: Columns, fit: Fit) -> tuple[str, ...]:
    """A note where the temperature is at its limit."""
    return (WRONG_WAY,) if fit.theta[0] <= least_factor([columns]) else ()
