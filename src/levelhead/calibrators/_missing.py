"""What rows without a confidence are worth: the share of them that were right, with a prior."""

from __future__ import annotations

import numpy as np

from levelhead._arrays import BoolArray, FloatArray, IntArray

__all__ = ["missing_rate", "missing_rates_out_of_fold"]


def missing_rate(hits: FloatArray, total: FloatArray) -> float | None:
    """(hits + 1) / (n + 2); None where nothing counts.

    `hits` and `total` are (N,): how much each row counts as right, and counts.
    """
    return float((hits.sum() + 1.0) / (total.sum() + 2.0)) if total.any() else None


def missing_rates_out_of_fold(
    hits: FloatArray, total: FloatArray, units: IntArray, asked: BoolArray, n_folds: int, seed: int
) -> FloatArray | None:
    """(N,) rates of the rows outside of each asked row's fold, NaN elsewhere; None if nothing counts.

    No fold splits a unit. Units with as many hits are dealt to the folds in turn: a fold that happens to
    hold the hits would leave few of them to itself, and the rates would be in the wrong order.
    """
    if not total.any():
        return None
    names, of_row = np.unique(units[asked], return_inverse=True)
    of_unit = np.bincount(units, weights=hits)[names]
    weight = np.bincount(units, weights=total)[names]
    shuffled = np.random.default_rng(seed).permutation(names.size)
    fold = np.empty(names.size, dtype=np.int64)
    fold[np.lexsort([shuffled, of_unit])] = np.arange(names.size) % n_folds
    right = np.bincount(fold, weights=of_unit, minlength=n_folds)
    count = np.bincount(fold, weights=weight, minlength=n_folds)
    rate = (right.sum() - right + 1.0) / (count.sum() - count + 2.0)
    values = np.full(hits.size, np.nan)
    values[asked] = rate[fold[of_row]]
    return values
