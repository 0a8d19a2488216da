"""The checks of inputs that every calibrator here makes, for calibrators of your own.

`levelhead.testing.check_calibrator` demands an `InvalidInputError` that names the argument for
whatever cannot be fitted; these functions raise it. A subclass of `ConfidenceCalibrator` or
`ClassCalibrator` needs none of them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, integers, probabilities
from levelhead.calibrators._base import class_rows, confidences, numbers, sample_weights
from levelhead.errors import InvalidInputError, unknown_name

__all__ = ["check_fit", "check_rows"]

Input = Literal["confidence", "classes"]


def check_rows(
    X: ArrayLike, *, input: Input = "confidence", n_columns: int | None = None
) -> FloatArray:
    """The rows of a `predict` as a float64 array.

    Args:
        X: (N,) or (N, 1) confidences in [0, 1], or (N, K) finite class scores.
        input: "confidence" or "classes".
        n_columns: for classes, how many columns the fit had; any number from two on unless given.

    Returns:
        (N,) confidences, or (N, K) scores; never a view that was written to.

    Raises:
        InvalidInputError: another shape, no rows, values out of range, NaN, or another number of
            columns.

    Example:
        >>> check_rows([[0.2], [0.9]])
        array([0.2, 0.9])
    """
    _check_input(input)
    if input == "confidence":
        return confidences(X)
    z = class_rows(X)
    if n_columns is not None and z.shape[1] != n_columns:
        raise InvalidInputError(
            f"X: expected {n_columns} columns, as the fit had, got {z.shape[1]}"
        )
    return z


def check_fit(
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    input: Input = "confidence",
) -> tuple[FloatArray, FloatArray | IntArray, FloatArray]:
    """The arguments of a `fit` as arrays of one length, with something to fit in them.

    Args:
        X: (N,) or (N, 1) confidences in [0, 1], or (N, K) finite class scores.
        y: (N,) correctness in [0, 1], or class indices below K.
        sample_weight: (N,) finite weights >= 0 that do not all vanish; all 1 unless given.
        input: "confidence" or "classes".

    Returns:
        The rows, what came of them, and (N,) weights.

    Raises:
        InvalidInputError: lengths that differ, values out of range, or only one class among the rows
            of a weight above 0.

    Example:
        >>> check_fit([0.2, 0.9], [0, 1])[2]
        array([1., 1.])
        >>> check_fit([0.2, 0.9], [1, 1])
        Traceback (most recent call last):
            ...
        levelhead.errors.InvalidInputError: y: expected rows of two classes or more, got one class \
only (all 1); there is nothing to fit
    """
    _check_input(input)
    rows = check_rows(X, input=input)
    right: FloatArray | IntArray
    if input == "confidence":
        right = probabilities("y", numbers("y", y))
    else:
        right = integers("y", y, rows.shape[0], below=rows.shape[1])
    if right.size != rows.shape[0]:
        raise InvalidInputError(
            f"y: expected {rows.shape[0]} values, one per row of X, got {right.size}"
        )
    weights = sample_weights(sample_weight, right.size)
    counted = right if weights is None else right[weights > 0.0]
    fraction = input == "confidence" and 0.0 < counted[0] < 1.0
    if (counted == counted[0]).all() and not fraction:
        raise InvalidInputError(
            f"y: expected rows of two classes or more, got one class only (all {counted[0]:g}); "
            "there is nothing to fit"
        )
    return rows, right, np.ones(right.size) if weights is None else weights


def _check_input(input: object) -> None:
    if input not in ("confidence", "classes"):
        raise unknown_name("input", str(input), ("confidence", "classes"))
