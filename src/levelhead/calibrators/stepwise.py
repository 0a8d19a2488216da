"""Calibrators without a formula: isotonic regression, histogram binning and Venn-Abers."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, real
from levelhead.calibrators._base import (
    LIMIT,
    ConfidenceCalibrator,
    FitReport,
    is_whole,
)
from levelhead.calibrators._binary import Folded, folded
from levelhead.calibrators._entries import Entries
from levelhead.calibrators._venn_abers import fits_with_one_more
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.metrics.binned import bin_index
from levelhead.metrics.isotonic import isotonic_fit

__all__ = ["HistogramBinning", "IsotonicCalibration", "VennAbers"]

MOST_BINS = 1_000_000
LARGEST_TIE_BREAK = 0.1


class _Stepwise(ConfidenceCalibrator):
    nests_identity = False

    def _report(self, rows: Folded, notes: tuple[str, ...] = ()) -> FitReport:
        loss = rows.mean_loss(self._apply(rows.confidence))
        return FitReport(method=self.method, n=rows.n, loss=loss, notes=notes)


class IsotonicCalibration(_Stepwise):
    """The nondecreasing function of the confidence that fits best.

    q = (1 - t) m(c) + t c,  m minimizing sum_i w_i (m(c_i) - y_i)^2 over nondecreasing functions

    m alone ties all confidences of a step, and all beyond either end, also where the higher ones are
    more often right and the rows of the fit are too few to show it: a loss of AUROC on other rows.
    With t = `tie_break` above 0 the order of the confidences stays, and q differs from m(c) by t at
    most.

    A step whose rows are all wrong would get 0, and the first right answer there an infinite log
    loss. So `prior` rows are added at each end: right ones at the lowest confidence of the fit,
    wrong ones at the highest. A first step of n wrong rows then gets prior / (n + prior); what is far
    from the ends does not change.

    Args:
        interpolation: "linear" runs straight from the last confidence of a step to the first of the
            next; "step" keeps a step's value up to the next step.
        prior: rows that are added at each end, in [0, 1e6]; 0 is plain isotonic regression, whose
            zeros and ones then become 1e-12 and 1 - 1e-12.
        tie_break: t, the share of the confidence itself, in [0, 0.1]; 0 is m alone.

    Attributes:
        low_: (B,) lowest confidence of each step.
        high_: (B,) highest confidence of each step.
        value_: (B,) m of the step's confidences, increasing.

    Edge cases: below the lowest and above the highest confidence of the fit m is constant. If
        higher confidences are never more often right, m is one step, at the accuracy.
    Properties: monotone, strictly where t > 0 (up to rounding: confidences that differ by less than
        1e-12 may tie), so that AUROC is that of the confidences; m depends on the confidences of the
        fit through their order (and, between steps, their place); weight k is k rows. With prior 0
        and t = 0 no monotone function has a lower log loss or Brier score on the rows of the fit.
        Needs some 1,000 rows.
    Reference: Zadrozny and Elkan 2002; Ayer et al. 1955.

    Example:
        >>> c, y = [0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1]
        >>> IsotonicCalibration(prior=0, tie_break=0).fit(c, y).predict([0.4, 0.6, 0.7]).round(4)
        array([0.5 , 0.5 , 0.75])
        >>> IsotonicCalibration().fit(c, y).predict([0.0, 0.5, 1.0])
        array([0.4995, 0.5   , 0.5005])
    """

    method = "isotonic"
    monotone = True
    simplicity = 5

    low_: FloatArray
    high_: FloatArray
    value_: FloatArray

    def __init__(
        self,
        *,
        interpolation: Literal["linear", "step"] = "linear",
        prior: float = 1.0,
        tie_break: float = 1e-3,
    ) -> None:
        self.interpolation, self.prior, self.tie_break = interpolation, prior, tie_break

    def _check_params(self) -> None:
        _check_name("interpolation", self.interpolation, ("linear", "step"))
        _check_prior(self.prior)
        _check_tie_break(self.tie_break)

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        rows = folded(c, y, w)
        ends = rows.confidence[[0, -1]]
        steps = isotonic_fit(
            np.append(rows.confidence, ends),
            np.append(rows.hits / rows.weight, [1.0, 0.0]),
            weights=np.append(rows.weight, [self.prior, self.prior]),
        )
        value = np.maximum.accumulate(np.clip(steps.accuracy, LIMIT, 1.0 - LIMIT))
        self.low_, self.high_, self.value_ = steps.low, steps.high, value
        return self._report(rows)

    def _apply(self, c: FloatArray) -> FloatArray:
        value = self._steps(c)
        if self.tie_break == 0.0:
            return value
        mixed = (1.0 - self.tie_break) * value + self.tie_break * c
        return np.clip(mixed, LIMIT, 1.0 - LIMIT, out=mixed)

    def _steps(self, c: FloatArray) -> FloatArray:
        """m(c)."""
        k = np.maximum(np.searchsorted(self.low_, c, side="right") - 1, 0)
        value = self.value_[k]
        if self.interpolation == "step" or self.value_.size == 1:
            return value
        above = np.append(self.value_[1:], self.value_[-1])
        gap = np.append(self.low_[1:] - self.high_[:-1], 1.0)
        share = np.maximum(c - self.high_[k], 0.0) / gap[k]
        np.clip(share, 0.0, 1.0, out=share)
        share *= (above - self.value_)[k]
        share += value
        return np.minimum(share, above[k], out=share)

    def _state(self) -> dict[str, Any]:
        return {
            "low": self.low_.tolist(),
            "high": self.high_.tolist(),
            "value": self.value_.tolist(),
        }

    def _restore(self, entries: Entries) -> None:
        self.low_ = entries.array("low", (None,), low=0.0, high=1.0, increasing=True)
        size = self.low_.size
        self.high_ = entries.array("high", (size,), low=0.0, high=1.0, increasing=True)
        if (self.high_ < self.low_).any() or (self.high_[:-1] >= self.low_[1:]).any():
            raise entries.wrong("high", "the upper ends of the steps in 'low'", self.high_.tolist())
        self.value_ = _rising(entries, "value", size)


class HistogramBinning(_Stepwise):
    """Each bin of confidences becomes its accuracy.

    q = (hits_b + prior) / (n_b + 2 prior) in the bin b of c

    Without `prior` a bin of right rows only would get 1, and its first wrong row an infinite loss.

    Args:
        n_bins: number of bins, 1 to 1,000,000.
        bins: "mass" for bins of nearly equal weight, each distinct confidence whole in the bin of
            its mid-rank, with borders halfway between neighbors of different bins; "width" for bins
            ((k - 1)/M, k/M], with 0 in the first.
        prior: right rows and wrong rows that are added to each bin, in [0, 1e6]; 0 is the plain
            accuracy, whose zeros and ones then become 1e-12 and 1 - 1e-12.

    Attributes:
        edges_: (B - 1,) upper borders of all bins but the last.
        value_: (B,) what the confidences of each bin become.

    Edge cases: with "mass", ties leave fewer bins than `n_bins` where a value holds more than one
        bin's weight; a bin without rows is not made. With "width", an empty bin takes its value from
        the line between its nearest neighbors that have rows, constant beyond the outermost of them.
    Properties: not monotone; weight k is k rows.
    Reference: Zadrozny and Elkan 2001; Guo et al. 2017 (arXiv:1706.04599).

    Example:
        >>> c, y = [0.1, 0.2, 0.3, 0.4, 0.8, 0.9], [0, 0, 1, 1, 1, 1]
        >>> HistogramBinning(n_bins=3).fit(c, y).predict([0.0, 0.3, 1.0]).round(4)
        array([0.25, 0.75, 0.75])
    """

    method = "histogram"
    monotone = False
    simplicity = 4

    edges_: FloatArray
    value_: FloatArray

    def __init__(
        self, *, n_bins: int = 10, bins: Literal["mass", "width"] = "mass", prior: float = 1.0
    ) -> None:
        self.n_bins, self.bins, self.prior = n_bins, bins, prior

    def _check_params(self) -> None:
        _check_name("bins", self.bins, ("mass", "width"))
        _check_prior(self.prior)
        if not is_whole(self.n_bins) or not 1 <= self.n_bins <= MOST_BINS:
            raise InvalidInputError(
                f"n_bins: expected a whole number from 1 to {MOST_BINS}, got {self.n_bins!r}"
            )

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        rows = folded(c, y, w)
        if self.bins == "mass":
            index, self.edges_ = self._by_mass(rows)
        else:
            index = bin_index(rows.confidence, self.n_bins)
            self.edges_ = np.arange(1, self.n_bins) / self.n_bins
        size = self.edges_.size + 1
        weight = np.bincount(index, rows.weight, minlength=size)
        hits = np.bincount(index, rows.hits, minlength=size)
        used = np.flatnonzero(weight)
        accuracy = (hits[used] + self.prior) / (weight[used] + 2.0 * self.prior)
        value = np.interp(np.arange(size), used, accuracy)
        self.value_ = np.clip(value, LIMIT, 1.0 - LIMIT)
        return self._report(rows, self._notes(size, used.size))

    def _by_mass(self, rows: Folded) -> tuple[IntArray, FloatArray]:
        """Bin of each distinct confidence, and the borders; empty bins are left out."""
        upper = np.cumsum(rows.weight)
        middle = upper - rows.weight / 2.0
        index = np.ceil(self.n_bins * (middle / upper[-1]) - 1e-9)
        first = np.append(True, index[1:] != index[:-1])
        starts = np.flatnonzero(first)[1:]
        below, above = rows.confidence[starts - 1], rows.confidence[starts]
        border = np.minimum(below + (above - below) / 2.0, np.nextafter(above, 0.0))
        return np.cumsum(first) - 1, border

    def _notes(self, size: int, used: int) -> tuple[str, ...]:
        if size < self.n_bins:
            return (f"equal confidences leave {size} of {self.n_bins} bins of equal mass",)
        if used < size:
            return (f"{size - used} of {size} bins have no rows and take their neighbors' line",)
        return ()

    def _apply(self, c: FloatArray) -> FloatArray:
        if self.bins == "width":
            return self.value_[bin_index(c, self.n_bins)]
        return self.value_[np.searchsorted(self.edges_, c, side="left")]

    def _state(self) -> dict[str, Any]:
        return {"edges": self.edges_.tolist(), "value": self.value_.tolist()}

    def _restore(self, entries: Entries) -> None:
        self.value_ = entries.array("value", (None,), low=LIMIT, high=1.0 - LIMIT)
        size = self.value_.size
        self.edges_ = entries.array("edges", (size - 1,), low=0.0, high=1.0, increasing=True)
        if size > self.n_bins or (self.bins == "width" and size != self.n_bins):
            raise entries.wrong("value", f"values of {self.n_bins} bins", self.value_.tolist())


class VennAbers(_Stepwise):
    """Two isotonic fits, one as if the row were wrong and one as if it were right.

    p0, p1 = isotonic fit with the row added as wrong, as right;  m = p1 / (1 - p0 + p1)
    q = (1 - t) m + t (p0 + c (p1 - p0))

    One of the two is a fit to exchangeable rows that include the new one, so [p0, p1] holds a
    calibrated probability whatever the data are; the interval narrows as rows come in. m is the point
    in it that does best against the worse of the two under log loss. It ties whatever has one
    interval; with t = `tie_break` above 0 the order of the confidences stays, and q stays in the
    interval.

    Args:
        tie_break: t, the share of the point that lies in the interval as the confidence does in
            [0, 1]; in [0, 0.1]; 0 is m alone. The interval does not depend on it.

    Attributes:
        confidence_: (B,) confidences at which p0 or p1 changes.
        low_: (2 B + 1,) p0 below the first of them, at it, between it and the next, and so on.
        high_: (2 B + 1,) p1 likewise.

    Edge cases: q is never 0 or 1, since p1 > 0 and p0 < 1.
    Properties: monotone, strictly where t > 0 (up to rounding: confidences that differ by less than
        1e-12 times the number of rows may tie), so that AUROC is that of the confidences;
        p0 <= q <= p1, and |q - m| <= t (p1 - p0); p0, p1 and m depend on the confidences through
        their order alone; weight k is k rows, and the row that is added has weight 1.
    Reference: Vovk, Petej and Fedorova 2015 (arXiv:1511.00213); Vovk and Petej 2014
        (arXiv:1211.0025).

    Example:
        >>> fitted = VennAbers().fit([0.2, 0.4, 0.6, 0.8], [0, 0, 1, 1])
        >>> low, high = fitted.interval([0.1, 0.5, 0.9])
        >>> low.round(4), high.round(4)
        (array([0. , 0. , 0.6667]), array([0.3333, 1. , 1. ]))
        >>> fitted.predict([0.1, 0.5, 0.9]).round(3)
        array([0.25, 0.5 , 0.75])
    """

    method = "venn_abers"
    monotone = True
    simplicity = 6

    confidence_: FloatArray
    low_: FloatArray
    high_: FloatArray

    def __init__(self, *, tie_break: float = 1e-3) -> None:
        self.tie_break = tie_break

    def _check_params(self) -> None:
        _check_tie_break(self.tie_break)

    def interval(self, X: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Lower and upper probability (N,) of each confidence (N,) or (N, 1)."""
        self._require_fit()
        place = self._place(self._checked(X))
        return self.low_[place], self.high_[place]

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        rows = folded(c, y, w)
        low, high = fits_with_one_more(rows.weight, rows.hits)
        low = np.minimum(low, high)
        changes = np.flatnonzero((low[1:] != low[:-1]) | (high[1:] != high[:-1]))
        kept = np.unique(changes // 2)  # place 2 k + 1 is at confidence k, place 2 k + 2 above it
        places = np.append(0, np.ravel(np.column_stack([2 * kept + 1, 2 * kept + 2])))
        places[0] = 2 * kept[0] if kept.size else 0
        self.confidence_ = rows.confidence[kept]
        self.low_, self.high_ = low[places], high[places]
        return self._report(rows)

    def _place(self, c: FloatArray) -> IntArray:
        below = np.searchsorted(self.confidence_, c, side="left")
        return 2 * below + (np.append(self.confidence_, 2.0)[below] == c)

    def _apply(self, c: FloatArray) -> FloatArray:
        middle = self.high_ / (1.0 - self.low_ + self.high_)
        middle = np.maximum.accumulate(np.clip(middle, LIMIT, 1.0 - LIMIT))
        place = self._place(c)
        if self.tie_break == 0.0:
            return middle[place]
        low, high = self.low_[place], self.high_[place]
        mixed = (1.0 - self.tie_break) * middle[place] + self.tie_break * (low + c * (high - low))
        return np.clip(np.clip(mixed, low, high), LIMIT, 1.0 - LIMIT)

    def _state(self) -> dict[str, Any]:
        return {
            "confidence": self.confidence_.tolist(),
            "low": self.low_.tolist(),
            "high": self.high_.tolist(),
        }

    def _restore(self, entries: Entries) -> None:
        self.low_ = _rising(entries, "low", None, 0.0)
        size = self.low_.size
        self.high_ = _rising(entries, "high", size, 0.0)
        if size % 2 == 0 or (self.high_ < self.low_).any():
            raise entries.wrong("high", "the upper ends of the intervals", self.high_.tolist())
        self.confidence_ = entries.array(
            "confidence", ((size - 1) // 2,), low=0.0, high=1.0, increasing=True
        )


def _rising(entries: Entries, name: str, size: int | None, least: float = LIMIT) -> FloatArray:
    value = entries.array(name, (size,), low=least, high=1.0 - least)
    if (np.diff(value) < 0.0).any():
        raise entries.wrong(name, "values that never fall", value.tolist())
    return value


def _check_name(argument: str, given: object, choices: tuple[str, ...]) -> None:
    if not isinstance(given, str) or given not in choices:
        raise unknown_name(argument, str(given), choices)


def _check_prior(given: float) -> None:
    prior = real("prior", given)
    if not (math.isfinite(prior) and 0.0 <= prior <= 1e6):
        raise InvalidInputError(f"prior: expected a number of rows in [0, 1e6], got {prior}")


def _check_tie_break(given: float) -> None:
    share = real("tie_break", given)
    if not 0.0 <= share <= LARGEST_TIE_BREAK:
        raise InvalidInputError(
            f"tie_break: expected a share in [0, {LARGEST_TIE_BREAK}], got {share}"
        )
