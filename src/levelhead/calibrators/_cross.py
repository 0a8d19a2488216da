"""Cross-validation of calibrators: folds, losses of single rows, predictions out of fold."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Literal, cast

import numpy as np

from levelhead._arrays import (
    ArrayLike,
    FloatArray,
    IntArray,
    class_probabilities,
    codes,
    integers,
    paired,
)
from levelhead.calibrators._base import (
    CalibrationWarning,
    Calibrator,
    class_rows,
    confidences,
    numbers,
    sample_weights,
)
from levelhead.calibrators._foreign import CalibratorLike, as_predicted, method_of, takes
from levelhead.calibrators._identity import refuse_probabilities
from levelhead.errors import InvalidInputError, LevelheadError, unknown_name
from levelhead.scoring import brier_loss, log_loss

__all__ = [
    "Rows",
    "Score",
    "assign_folds",
    "clone",
    "clustered_mean",
    "out_of_fold",
    "row_losses",
    "rows_of",
]

Score = Literal["log", "brier"]


@dataclasses.dataclass(frozen=True)
class Rows:
    """Checked inputs of a comparison.

    Attributes:
        input: whether X holds confidences or classes.
        X: (N,) confidences, or (N, K) logits or probabilities.
        y: (N,) correctness, or class indices.
        weights: (N,), or None.
        groups: (N,) codes 0..G-1, or None.
    """

    input: Literal["confidence", "classes"]
    X: FloatArray
    y: FloatArray | IntArray
    weights: FloatArray | None
    groups: IntArray | None

    def take(self, which: np.ndarray[Any, Any]) -> Rows:
        weights = None if self.weights is None else self.weights[which]
        groups = None if self.groups is None else np.unique(self.groups[which], return_inverse=True)
        inner = None if groups is None else groups[1].astype(np.int64)
        return Rows(self.input, self.X[which], self.y[which], weights, inner)

    @property
    def size(self) -> int:
        return int(self.X.shape[0])

    @property
    def n_units(self) -> int:
        """How many things can be dealt to folds: groups, else confidences or different class rows."""
        return int(_units(self).max()) + 1


def rows_of(
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    groups: ArrayLike | None,
    inputs: str = "logits",
) -> Rows:
    """The arguments of a fit as checked arrays; two or more columns are classes."""
    if inputs not in ("logits", "probs"):
        raise unknown_name("inputs", str(inputs), ("logits", "probs"))
    array = numbers("X", X)
    if array.ndim == 2 and array.shape[1] >= 2:
        columns = class_rows(array) if inputs == "logits" else class_probabilities("X", array)
        if inputs == "logits":
            refuse_probabilities(columns)
        labels = integers("y", y, columns.shape[0], below=columns.shape[1])
        weights = sample_weights(sample_weight, labels.size)
        kinds = labels if weights is None else labels[weights > 0.0]
        if (kinds == kinds[0]).all():
            raise InvalidInputError(
                f"y: expected at least two classes, got only class {kinds[0]}; there is nothing to "
                "calibrate against"
            )
        return Rows("classes", columns, labels, weights, _groups(groups, labels.size))
    confidence, correct, _ = paired(confidences(array), y, names=("X", "y"))
    weights = sample_weights(sample_weight, correct.size)
    counted = correct if weights is None else correct[weights > 0.0]
    if not (counted.max() > 0.0 and counted.min() < 1.0):
        only = "right" if counted[0] > 0.0 else "wrong"
        raise InvalidInputError(
            f"y: expected right and wrong answers, got only {only} ones; there is nothing to "
            "calibrate against"
        )
    return Rows("confidence", confidence, correct, weights, _groups(groups, correct.size))


def assign_folds(rows: Rows, n_folds: int, seed: int) -> IntArray:
    """The fold 0..n_folds-1 of each row: no group is split, and each class is spread over the folds.

    The order of the rows does not matter (up to rows that are equal), since they are dealt in the
    order of their content, shuffled by the seed. A class that at least `n_folds` groups have, and
    that is the rarest of each of them, is in every fold. Rows of weight 0 do not take a class's place.

    Without groups, copies of a row of class scores with its label are one, and share a fold: a fit
    with thousands of parameters could learn the copies of held-out rows by heart. Equal confidences
    are dealt one by one, because there ties are the rule (a model that says 0.9 to half of the
    questions has made no copies) and a fit of few parameters on them remembers no row.
    """
    units = _units(rows)
    _check_folds(rows, int(units.max()) + 1, n_folds)
    y = rows.y
    strata = (y >= 0.5).astype(np.int64) if rows.input == "confidence" else y.astype(np.int64)
    if rows.weights is not None:
        strata = np.where(rows.weights > 0.0, strata, strata.max() + 1)
    draw = np.random.default_rng(seed)
    if rows.groups is not None:
        return _assign_groups(rows.groups, strata, n_folds, draw)
    stratum = np.full(int(units.max()) + 1, strata.max())
    np.minimum.at(stratum, units, strata)  # one copy that counts is enough
    shuffled = draw.permutation(stratum.size)
    dealt = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    folds = np.empty(stratum.size, dtype=np.int64)
    folds[dealt] = np.arange(stratum.size) % n_folds
    return folds[units]


def _units(rows: Rows) -> IntArray:
    """(N,) codes 0..U-1 of what is dealt to folds, in the order of the content where there are no
    groups: each confidence is one, and all copies of a row of class scores with its label are."""
    if rows.groups is not None:
        return rows.groups
    units = np.empty(rows.size, dtype=np.int64)
    if rows.X.ndim == 1:
        weights = [] if rows.weights is None else [rows.weights]
        units[np.lexsort([rows.X, rows.y, *weights])] = np.arange(rows.size)
        return units
    order = np.lexsort([*rows.X.T, rows.y])
    X, y = rows.X[order], rows.y[order]
    new = (X[1:] != X[:-1]).any(axis=1) | (y[1:] != y[:-1])
    units[order] = np.append(0, np.cumsum(new))
    return units


def _assign_groups(
    groups: IntArray, strata: IntArray, n_folds: int, draw: np.random.Generator
) -> IntArray:
    """Groups with the rarest class first, each to the fold that has the fewest of its class."""
    n_groups, n_strata = int(groups.max()) + 1, int(strata.max()) + 1
    pairs = np.unique(groups * n_strata + strata)
    owner, kind = pairs // n_strata, pairs % n_strata
    spread = np.bincount(kind, minlength=n_strata)  # in how many groups a class is
    size = np.bincount(groups, minlength=n_groups)
    first = np.lexsort([kind, spread[kind], owner])
    rarest = kind[first[np.append(True, owner[first][1:] != owner[first][:-1])]]
    order = np.lexsort([draw.permutation(n_groups), -size, rarest, spread[rarest]])
    starts = np.append(np.searchsorted(owner, np.arange(n_groups)), owner.size).tolist()
    has: list[list[int]] = [[0] * n_strata for _ in range(n_folds)]
    held = [0] * n_folds
    fold_of = np.empty(n_groups, dtype=np.int64)
    kinds: list[int] = kind.tolist()
    sizes: list[int] = size.tolist()
    rare: list[int] = rarest.tolist()
    for group in cast(list[int], order.tolist()):
        which = rare[group]
        fold = min((has[f][which], held[f], f) for f in range(n_folds))[2]
        fold_of[group] = fold
        held[fold] += sizes[group]
        for one in kinds[starts[group] : starts[group + 1]]:
            has[fold][one] += 1
    return fold_of[groups]


def row_losses(predicted: FloatArray, y: FloatArray | IntArray, score: Score) -> FloatArray:
    """(N,) losses of calibrated confidences or class probabilities, infinity where they were certain.

    For classes the Brier loss is summed over the classes, in [0, 2].
    """
    if predicted.ndim == 1:
        return log_loss(predicted, y, eta=0.0) if score == "log" else brier_loss(predicted, y)
    stated = predicted[np.arange(y.size), y.astype(np.int64)]
    if score == "log":
        with np.errstate(divide="ignore"):
            return -np.log(stated)
    return cast(FloatArray, np.square(predicted).sum(axis=1) - 2.0 * stated + 1.0)


def clustered_mean(
    values: FloatArray, weights: FloatArray | None, groups: IntArray | None
) -> tuple[float, float]:
    """Weighted mean and its standard error, where the rows of a group depend on one another.

    se^2 = G / (G - 1) sum_g (sum_{i in g} w_i (v_i - mean))^2 / (sum w)^2

    An infinite value makes both infinite. The scale of the weights changes neither.
    """
    if weights is not None and not weights.all():
        counts = weights > 0.0
        groups = None if groups is None else groups[counts]
        values, weights = values[counts], weights[counts]
    if not np.isfinite(values).all():
        return np.inf, np.inf
    # by the largest: sums of squares of the weights as they come can overflow, or vanish
    w = np.ones(values.size) if weights is None else weights / weights.max()
    total = float(w.sum())
    mean = float(w @ values) / total
    parts = w * (values - mean)
    if groups is not None:
        used = np.unique(groups, return_inverse=True)[1]
        parts = np.bincount(used, weights=parts)
    if parts.size < 2:
        return mean, np.inf
    return mean, float(np.sqrt(parts.size / (parts.size - 1.0) * (parts @ parts)) / total)


def clone(calibrator: CalibratorLike) -> CalibratorLike:
    """An unfitted calibrator with the same parameters."""
    return type(calibrator)(**calibrator.get_params())


def fit_rows(calibrator: CalibratorLike, rows: Rows) -> CalibratorLike:
    """Fit to checked rows, with the groups where the calibrator has folds of its own."""
    named: dict[str, Any] = {}
    if rows.weights is not None:
        if not takes(calibrator, "sample_weight"):
            raise InvalidInputError(
                f"{method_of(calibrator)}: expected a fit that takes sample_weight, as the rows have "
                "weights, got one without; leave the weights out, or compare other methods"
            )
        named["sample_weight"] = rows.weights
    if rows.groups is not None and takes(calibrator, "groups"):
        named["groups"] = rows.groups
    calibrator.fit(rows.X, rows.y, **named)
    return calibrator


@dataclasses.dataclass(frozen=True)
class OutOfFold:
    """Predictions of rows by fits that did not see them.

    Attributes:
        predicted: (N,) or (N, K); None where a fit failed.
        problem: why it failed, or did not converge; else "".
        note: what else is to be said, such as a fallback; else "".
    """

    predicted: FloatArray | None
    problem: str
    note: str


def out_of_fold(calibrator: CalibratorLike, rows: Rows, folds: IntArray) -> OutOfFold:
    """Fit without each fold in turn and predict it; a failure is told and not raised."""
    n_folds = int(folds.max()) + 1
    predicted = np.full(rows.X.shape, np.nan)
    fallbacks: list[str] = []
    for fold in range(n_folds):
        inside = folds == fold
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CalibrationWarning)  # told in the candidate's note
            try:
                fitted = fit_rows(clone(calibrator), rows.take(~inside))
                predicted[inside] = as_predicted(fitted, rows.X[inside])
            except (LevelheadError, np.linalg.LinAlgError) as error:
                return OutOfFold(None, f"in fold {fold + 1} of {n_folds}: {error}", "")
        if not isinstance(fitted, Calibrator):
            continue  # somebody else's has no report
        if not fitted.fit_.converged:
            return OutOfFold(None, f"in fold {fold + 1} of {n_folds}: it did not converge", "")
        if fitted.fit_.fallback is not None:
            fallbacks.append(fitted.fit_.fallback)
    note = ""
    if fallbacks:
        which = " and ".join(sorted(set(fallbacks)))
        note = f"fell back to {which} in {len(fallbacks)} of {n_folds} folds"
    return OutOfFold(predicted, "", note)


def _groups(groups: ArrayLike | None, size: int) -> IntArray | None:
    return None if groups is None else codes("groups", groups, size)


def _check_folds(rows: Rows, n_units: int, n_folds: object) -> None:
    if isinstance(n_folds, bool) or not isinstance(n_folds, int) or n_folds < 2:
        raise InvalidInputError(f"n_folds: expected a whole number of at least 2, got {n_folds!r}")
    if n_folds > n_units:
        what = "rows" if rows.input == "confidence" else "different rows"
        if rows.groups is not None:
            what = "groups"
        raise InvalidInputError(
            f"n_folds: expected at most {n_units}, the number of {what}, got {n_folds}"
        )
