"""The calibrators that change nothing: what every other one must beat to be worth its while."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np

from levelhead._arrays import SUM_TOLERANCE, ArrayLike, FloatArray, class_probabilities
from levelhead.calibrators._base import (
    LIMIT,
    ClassCalibrator,
    ConfidenceCalibrator,
    FitReport,
    mean_log_loss,
)
from levelhead.calibrators._entries import Entries
from levelhead.errors import InvalidInputError, unknown_name

__all__ = ["ClassIdentity", "Identity", "refuse_probabilities"]


class Identity(ConfidenceCalibrator):
    """Leaves a confidence as it is.

    c -> c

    Edge cases: 0 and 1 stay 0 and 1, so a certain statement that was wrong has an infinite log loss.
    Properties: monotone; nothing is fitted.

    Example:
        >>> Identity().fit([0.2, 0.9], [0, 1]).predict([0.3, 1.0])
        array([0.3, 1. ])
    """

    method = "identity"
    monotone = True
    nests_identity = True
    simplicity = 0

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        n = c.size if w is None else int(np.count_nonzero(w))
        return FitReport(self.method, n, mean_log_loss(c, y, w))

    def _apply(self, c: FloatArray) -> FloatArray:
        return c.copy()

    def _state(self) -> dict[str, Any]:
        return {}

    def _restore(self, entries: Entries) -> None:
        pass


class ClassIdentity(ClassCalibrator):
    """Leaves class probabilities as they are; logits go through a softmax.

    z -> softmax(z), or p -> p

    Args:
        inputs: what the columns hold, "logits" (any finite numbers) or "probs" (rows sum to 1).

    Edge cases: equal logits get equal probabilities.
    Properties: keeps the order of the classes in each row; nothing is fitted.

    Example:
        >>> rows = [[2.0, 0.0], [0.0, 0.0]]
        >>> ClassIdentity().fit(rows, [0, 1]).predict(rows).round(3)
        array([[0.881, 0.119],
               [0.5  , 0.5  ]])
    """

    method = "class_identity"
    monotone = True
    nests_identity = True
    simplicity = 0

    def __init__(self, inputs: Literal["logits", "probs"] = "logits") -> None:
        self.inputs: Literal["logits", "probs"] = inputs

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Check the rows (N, K) and their classes (N,); there is nothing to fit."""
        z, labels, w = self._fit_rows(X, y, sample_weight)
        if self.inputs == "logits":
            refuse_probabilities(z)
        stated = np.maximum(self._apply(z)[np.arange(labels.size), labels], LIMIT)
        n = labels.size if w is None else int(np.count_nonzero(w))
        loss = -float(np.average(np.log(stated), weights=w))
        self.n_features_in_ = z.shape[1]
        self.fit_ = FitReport(self.method, n, max(loss, 0.0))
        return self

    def _check_params(self) -> None:
        if self.inputs not in ("logits", "probs"):
            raise unknown_name("inputs", str(self.inputs), ("logits", "probs"))

    def _apply(self, z: FloatArray) -> FloatArray:
        if self.inputs == "probs":
            return class_probabilities("X", z).copy()
        powers = np.exp(z - z.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def _state(self) -> dict[str, Any]:
        return {}

    def _restore(self, entries: Entries) -> None:
        pass


def refuse_probabilities(z: FloatArray) -> None:
    """Raise where all rows of logits look like probabilities: their softmax would be nearly flat."""
    if z.min() >= 0.0 and (np.abs(z.sum(axis=1) - 1.0) <= SUM_TOLERANCE).all():
        raise InvalidInputError(
            f"X: expected logits, got {z.shape[0]} rows that lie in [0, 1] and sum to 1; if they are "
            'probabilities, pass inputs="probs"'
        )
