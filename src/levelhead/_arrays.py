"""Validated arrays: every public function turns its inputs into checked float64 arrays here.

All checks are a few vectorised passes; a failing check names the argument, the value and its index.
The inputs are never written to; an input that is a float64 array already is not copied.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from levelhead.errors import InvalidInputError

__all__ = [
    "ArrayLike",
    "BoolArray",
    "FloatArray",
    "IntArray",
    "class_probabilities",
    "codes",
    "flags",
    "integers",
    "paired",
    "probabilities",
    "real",
    "times_or_none",
    "unmasked",
    "vector",
    "weights_or_none",
]

ArrayLike = npt.ArrayLike
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SUM_TOLERANCE = 1e-6
"""How far a row of class probabilities may sum from 1 (a float32 softmax of 100k classes is nearer)."""


def vector(name: str, values: ArrayLike) -> FloatArray:
    """`values` as a 1-D float64 array, NaN and infinities allowed."""
    array = _floats(name, values)
    if array.ndim == 0:
        raise InvalidInputError(
            f"{name}: expected one dimension (N,), got the single number {array}; put it in a "
            f"list, as in [{array}]"
        )
    if array.ndim != 1:
        raise InvalidInputError(
            f"{name}: expected one dimension (N,), got shape {array.shape}; flatten it first"
        )
    return array


def real(name: str, value: object) -> float:
    """`value` as a float, NaN and infinities allowed: an option that must be a number."""
    if not isinstance(value, int | float | np.integer | np.floating | np.bool_):
        raise InvalidInputError(f"{name}: expected a number, got {_describe(value)}")
    try:
        return float(cast(float, value))
    except OverflowError as error:
        raise InvalidInputError(f"{name}: expected a number, got one beyond 1e308") from error


def flags(name: str, values: ArrayLike, size: int) -> BoolArray:
    """`values` as `size` booleans; numbers must be 0 or 1."""
    array = unmasked(name, values)
    if array.shape != (size,):
        raise InvalidInputError(f"{name}: expected shape ({size},), got {array.shape}")
    if array.dtype != np.bool_:
        bad = ~np.isin(array, (0, 1))
        if bad.any():
            i = int(bad.argmax())
            raise InvalidInputError(f"{name}: expected True or False, got {array[i]} at index {i}")
    return array.astype(np.bool_)


def probabilities(name: str, values: ArrayLike) -> FloatArray:
    """`values` as a 1-D float64 array in [0, 1], with at least one element and no NaN."""
    array = vector(name, values)
    if array.size == 0:
        raise InvalidInputError(f"{name}: expected at least one value, got none")
    low, high = array.min(), array.max()  # NaN propagates through both
    if not (low >= 0.0 and high <= 1.0):
        raise _range_error(name, array)
    return array


def paired(
    confidence: ArrayLike,
    correct: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    names: tuple[str, str] = ("confidence", "correct"),
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Confidence and correctness, both in [0, 1] and of one length, and their weights if any.

    `correct` may be fractional: 0.5 is an answer that counts half (a tie at p = 0.5).
    """
    c = probabilities(names[0], confidence)
    y = probabilities(names[1], correct)
    if c.shape != y.shape:
        raise InvalidInputError(
            f"{names[1]}: expected {c.size} values, one for each of {names[0]}, got {y.size}"
        )
    return c, y, weights_or_none(weights, c.size)


def weights_or_none(weights: ArrayLike | None, size: int) -> FloatArray | None:
    """Finite weights >= 0 that do not all vanish, or None where every sample weighs the same."""
    if weights is None:
        return None
    w = vector("weights", weights)
    if w.size != size:
        raise InvalidInputError(f"weights: expected {size} values, one per sample, got {w.size}")
    bad = ~(np.isfinite(w) & (w >= 0.0))
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(f"weights: expected finite values >= 0, got {w[i]} at index {i}")
    if not w.any():
        raise InvalidInputError("weights: expected at least one value above 0, got only zeros")
    return w


def times_or_none(
    counts: ArrayLike | None, weights: ArrayLike | None, clusters: ArrayLike | None
) -> FloatArray | None:
    """Counts of equal rows as whole float64 numbers >= 0; they go with neither weights nor clusters."""
    if counts is None:
        return None
    if weights is not None or clusters is not None:
        raise InvalidInputError("counts: expected no weights and no clusters beside them, got some")
    times = vector("counts", counts)
    bad = ~((times >= 0.0) & (times == np.floor(times)) & np.isfinite(times))
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(f"counts: expected whole numbers >= 0, got {times[i]} at index {i}")
    return times


def class_probabilities(name: str, values: ArrayLike) -> FloatArray:
    """`values` as an (N, K) float64 array whose rows are probabilities that sum to 1."""
    array = _floats(name, values)
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] < 2:
        raise InvalidInputError(
            f"{name}: expected shape (N, K) with N >= 1 and K >= 2, got {array.shape}"
        )
    if not (array.min() >= 0.0 and array.max() <= 1.0):
        raise _range_error(name, array)
    total = array.sum(axis=1)
    off = np.abs(total - 1.0) > SUM_TOLERANCE
    if off.any():
        i = int(off.argmax())
        raise InvalidInputError(
            f"{name}: expected rows that sum to 1, got {total[i]:.6g} in row {i}; "
            "logits must go through a softmax first"
        )
    return array


def integers(name: str, values: ArrayLike, size: int, below: int | None = None) -> IntArray:
    """`values` as `size` int64 numbers >= 0, and < `below` where it is given (class indices)."""
    array = unmasked(name, values)
    if array.ndim != 1 or array.size != size:
        raise InvalidInputError(f"{name}: expected shape ({size},), got {array.shape}")
    if array.dtype.kind == "f" and not np.all(np.isfinite(array) & (array == np.floor(array))):
        raise InvalidInputError(f"{name}: expected whole numbers, got fractions or NaN")
    if array.dtype.kind not in "iubf":
        raise InvalidInputError(f"{name}: expected whole numbers, got dtype {array.dtype}")
    out = array.astype(np.int64)
    bad = out < 0 if below is None else (out < 0) | (out >= below)
    if bad.any():
        i = int(bad.argmax())
        top = "" if below is None else f" and below {below}"
        raise InvalidInputError(f"{name}: expected values >= 0{top}, got {out[i]} at index {i}")
    return out


def codes(name: str, values: ArrayLike, size: int) -> IntArray:
    """Labels of any hashable kind (ids, strings) as codes 0..P-1 in sorted order, one per sample.

    Texts are hashed and never become an array of strings, which pads each to the longest. Whole
    numbers never become floats, which would merge the large ones.
    """
    if hasattr(values, "dtype"):
        array = unmasked(name, values)
    else:
        array = np.asarray(values, dtype=object)
        if all(isinstance(label, int | float | np.number) for label in array.flat):
            numbers = np.asarray(values)
            whole = all(isinstance(label, int | np.integer) for label in array.flat)
            array = array if whole and numbers.dtype.kind == "f" else numbers
    if array.ndim != 1 or array.size != size:
        raise InvalidInputError(
            f"{name}: expected shape ({size},), one label per sample, got {array.shape}"
        )
    if array.dtype == object:
        texts = [str(label) for label in array.tolist()]
        rank = {text: code for code, text in enumerate(sorted(set(texts)))}
        return np.fromiter((rank[text] for text in texts), np.int64, size)
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def unmasked(name: str, values: ArrayLike) -> npt.NDArray[Any]:
    """`values` as an array; a mask would be dropped on the way, so nothing may be masked."""
    if isinstance(values, np.ma.MaskedArray):
        masked = int(np.count_nonzero(np.ma.getmaskarray(cast(Any, values))))
        if masked:
            raise InvalidInputError(
                f"{name}: expected an array without a mask, got {masked} masked values; leave these "
                "samples out of all arguments first"
            )
    return np.asarray(values)


def _range_error(name: str, array: FloatArray) -> InvalidInputError:
    flat = array.ravel()
    bad = ~((flat >= 0.0) & (flat <= 1.0))
    i = int(bad.argmax())
    hint = ""
    if np.isnan(flat[i]):
        hint = "; a missing value must be given as a record with a status, or left out"
    elif 1.0 < flat[i] <= 100.0:
        hint = "; percentages must be divided by 100"
    where = f"index {i}" if array.ndim == 1 else f"row {i // array.shape[1]}"
    return InvalidInputError(f"{name}: expected values in [0, 1], got {flat[i]} at {where}{hint}")


def _floats(name: str, values: ArrayLike) -> FloatArray:
    """`values` as float64 of any shape; texts and complex numbers are none, though numpy takes them."""
    try:
        array = unmasked(name, values)
        if array.dtype.kind in "biuf" or (
            array.dtype.kind == "O"
            and not any(isinstance(value, str | bytes | complex) for value in array.flat)
        ):
            return array.astype(np.float64, copy=False)
    except InvalidInputError:
        raise
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidInputError(f"{name}: expected numbers, got {_describe(values)}") from error
    raise InvalidInputError(f"{name}: expected numbers, got {_describe(values)}")


def _describe(values: object) -> str:
    return f"{type(values).__name__} {str(values)[:60]!r}"
