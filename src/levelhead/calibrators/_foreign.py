"""Calibrators of somebody else's: what is needed of one to compare it, and what it is called."""

from __future__ import annotations

import inspect
from typing import Any, Protocol, runtime_checkable

import numpy as np

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError

__all__ = ["CalibratorLike", "MOST_COMPLEX", "as_predicted", "method_of", "simplicity_of", "takes"]

MOST_COMPLEX = 1000
"""The simplicity of a calibrator that declares none: any other one with as good a score is simpler."""


@runtime_checkable
class CalibratorLike(Protocol):
    """What is needed of a calibrator to compare it with others: scikit-learn's three methods.

    It is copied by `type(calibrator)(**calibrator.get_params())`. `fit` may take `sample_weight` and
    `groups`; attributes `method`, `simplicity` and `input` are as in `Calibrator` where there are some.
    """

    def fit(self, X: Any, y: Any) -> Any:
        """Fit to confidences (N,) or class scores (N, K), and how right they were."""
        ...

    def predict(self, X: Any) -> Any:
        """Calibrated confidences (N,), or class probabilities (N, K)."""
        ...

    def get_params(self) -> dict[str, Any]:
        """The constructor's parameters by name."""
        ...


def method_of(calibrator: CalibratorLike) -> str:
    """What a calibrator is called in a comparison: its `method`, or the name of its class."""
    method = getattr(calibrator, "method", None)
    return method if isinstance(method, str) else type(calibrator).__name__


def simplicity_of(calibrator: CalibratorLike) -> int:
    """Its rank among equally good ones; one that declares none counts as the most complex."""
    simplicity = getattr(calibrator, "simplicity", None)
    return simplicity if isinstance(simplicity, int) else MOST_COMPLEX


def takes(calibrator: CalibratorLike, name: str) -> bool:
    """Whether its `fit` has an argument of this name."""
    return name in inspect.signature(calibrator.fit).parameters


def as_predicted(calibrator: CalibratorLike, X: FloatArray) -> FloatArray:
    """What it predicts for the rows, which are probabilities of the shape of X, or an error."""
    try:
        values = np.asarray(calibrator.predict(X), dtype=np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            f"{method_of(calibrator)}: expected numbers from predict, got an error: {error}"
        ) from error
    if values.shape != X.shape:
        raise InvalidInputError(
            f"{method_of(calibrator)}: expected predictions of shape {X.shape}, got {values.shape}"
        )
    bad = ~((values >= 0.0) & (values <= 1.0))
    if bad.any():
        raise InvalidInputError(
            f"{method_of(calibrator)}: expected predictions in [0, 1], got {values[bad][0]}"
        )
    return values
