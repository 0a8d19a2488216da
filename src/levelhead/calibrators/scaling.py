"""Smooth calibrators of one confidence: temperature, Platt and beta, with one to three parameters."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from levelhead._arrays import FloatArray, real
from levelhead.calibrators._base import CalibrationWarning, ConfidenceCalibrator, FitReport, is_flag
from levelhead.calibrators._binary import (
    LARGEST_EPS,
    SMALLEST_EPS,
    Folded,
    LogisticFit,
    folded,
    log_odds,
    logistic_fit,
    narrowest_half,
    sigmoid,
)
from levelhead.calibrators._entries import Entries
from levelhead.errors import InvalidInputError

__all__ = ["BetaCalibration", "PlattScaling", "TemperatureScaling"]

SMALLEST_SLOPE = 1e-4
LEAST = 1e-15
LARGEST = 1e6
"""No fit gets there: the pull of its start would cost more than the identity loses."""
SEPARATED = (
    "one confidence separates right from wrong, so the best slope is infinite; a weak pull towards "
    "the identity ended it (more rows would settle it)"
)
CONSTANT = "all confidences are equal, so only the level is calibrated"


class _Scaling(ConfidenceCalibrator):
    monotone = True
    nests_identity = True

    eps: Literal["auto"] | float
    eps_: float

    def _check_params(self) -> None:
        if isinstance(self.eps, str):
            if self.eps != "auto":
                raise InvalidInputError(
                    f'eps: expected "auto" or a number in [{LEAST}, 0.5), got {self.eps!r}'
                )
            return
        eps = real("eps", self.eps)
        if not LEAST <= eps < 0.5:
            raise InvalidInputError(
                f'eps: expected "auto" or a number in [{LEAST}, 0.5), got {eps}'
            )

    def _folded(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> Folded:
        """The rows of a fit; they decide where to clip."""
        rows = folded(c, y, w)
        if isinstance(self.eps, str):
            self.eps_ = narrowest_half(rows.confidence)
        else:
            self.eps_ = float(self.eps)
        return rows

    def _restore_eps(self, entries: Entries) -> None:
        if isinstance(self.eps, str):
            low, high = SMALLEST_EPS, LARGEST_EPS
        else:
            low = high = float(self.eps)
        self.eps_ = entries.number("eps", low, high)

    def _separates(self, wrong: float, right: float) -> bool:
        """Whether a steeper curve is always better, by the highest wrong and the lowest right row."""
        return wrong <= right

    def _report(self, rows: Folded, fit: LogisticFit, notes: tuple[str, ...]) -> FitReport:
        if rows.confidence.size == 1:
            notes = (CONSTANT, *notes)
        elif self._separates(*rows.span):
            notes = (SEPARATED, *notes)
        if not fit.converged:
            warnings.warn(
                f"{type(self).__name__}: the fit did not converge in {fit.iterations} steps; its "
                "probabilities may be off",
                CalibrationWarning,
                stacklevel=4,
            )
        return FitReport(
            method=self.method,
            n=rows.n,
            loss=rows.mean_loss(self._apply(rows.confidence)),
            iterations=fit.iterations,
            converged=fit.converged,
            notes=notes,
        )


class TemperatureScaling(_Scaling):
    """One parameter: flattens or sharpens all confidences about 1/2.

    q = sigmoid(logit(c) / T),  T > 0,  c clipped to [eps_, 1 - eps_]

    T above 1 flattens: what an overconfident model needs. T minimizes the mean log loss.

    Args:
        eps: how far from them confidences of 0 and 1 are taken to be: a number in [1e-15, 0.5), or
            "auto" for half of the way to the nearest other confidence of the fit, in [1e-6, 0.01]
            (0.005 if there is none). A stated 100% is then a little more than the highest other
            statement. At 1e-6 its log-odds would be 13.8, far beyond all others on a scale of round
            numbers, and a few such rows would decide the slope; at 0.005 token probabilities above
            0.995, which do differ in accuracy, would be one.

    Attributes:
        eps_: the eps that was used.
        temperature_: the fitted T.

    Edge cases: confidences that point the wrong way end at T = 1e4, which makes all of them 1/2;
        ones that separate right from wrong end at a small T and not at 0; if all are 1/2, T is 1.
    Properties: monotone; contains the identity, so its log loss on the rows of the fit is never
        above that of their confidences, clipped likewise; weight k is k rows; does not move a
        confidence of 1/2.
    Reference: Guo et al. 2017 (arXiv:1706.04599).

    Example:
        >>> T = TemperatureScaling().fit([0.9, 0.9, 0.9, 0.1], [1, 1, 0, 0]).temperature_
        >>> round(T, 4)  # three of four are right: logit(3/4) = logit(9/10) / 2
        2.0
    """

    method = "temperature"
    simplicity = 1

    temperature_: float

    def __init__(self, *, eps: Literal["auto"] | float = "auto") -> None:
        self.eps: Literal["auto"] | float = eps

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        rows = self._folded(c, y, w)
        columns = log_odds(rows.confidence, self.eps_)[np.newaxis]
        fit = logistic_fit(columns, rows.weight, rows.hits, np.ones(1))
        slope = float(fit.parameters[0])
        notes = ()
        if slope < SMALLEST_SLOPE:
            notes = (
                "higher confidences are no more often right: the temperature is at its limit "
                f"of {1.0 / SMALLEST_SLOPE:g}, and all probabilities are 1/2",
            )
        self.temperature_ = 1.0 / max(slope, SMALLEST_SLOPE)
        return self._report(rows, fit, notes)

    def _separates(self, wrong: float, right: float) -> bool:
        return wrong <= 0.5 <= right

    def _apply(self, c: FloatArray) -> FloatArray:
        return sigmoid(log_odds(c, self.eps_) / self.temperature_)

    def _state(self) -> dict[str, Any]:
        return {"eps": self.eps_, "temperature": self.temperature_}

    def _restore(self, entries: Entries) -> None:
        self._restore_eps(entries)
        self.temperature_ = entries.number("temperature", 1.0 / LARGEST, 1.0 / SMALLEST_SLOPE)


class PlattScaling(_Scaling):
    """Two parameters: a slope and a shift of the log-odds.

    q = sigmoid(a logit(c) + b),  a >= 0,  c clipped to [eps_, 1 - eps_]

    The parameters minimize the mean log loss. With `prior_smoothing` the targets are Platt's, pulled
    off 0 and 1 by the number of right and wrong rows: (n1 + 1) / (n1 + 2) for a right row and
    1 / (n0 + 2) for a wrong one.

    Args:
        eps: in [1e-15, 0.5) or "auto"; how far from them confidences of 0 and 1 are taken to be, as
            in `TemperatureScaling`.
        prior_smoothing: whether to fit Platt's targets in place of 1 and 0.

    Attributes:
        eps_: the eps that was used.
        slope_: the fitted a.
        intercept_: the fitted b, nats.

    Edge cases: confidences that point the wrong way get a = 0 and the overall accuracy; ones that
        separate right from wrong get a large slope and not an infinite one; if all are equal, they
        get the accuracy.
    Properties: monotone; contains the identity (clipped likewise) and temperature scaling (without
        smoothing its log loss on the rows of the fit is never above theirs); weight k is k rows; the
        mean calibrated confidence is the accuracy (without smoothing).
    Reference: Platt 1999; Lin, Lin and Weng 2007.

    Example:
        >>> c, y = [0.9] * 4 + [0.5] * 4, [1, 1, 1, 0, 1, 0, 0, 0]
        >>> PlattScaling().fit(c, y).predict([0.9, 0.5]).round(4)
        array([0.75, 0.25])
    """

    method = "platt"
    simplicity = 2

    slope_: float
    intercept_: float

    def __init__(
        self, *, eps: Literal["auto"] | float = "auto", prior_smoothing: bool = False
    ) -> None:
        self.eps: Literal["auto"] | float = eps
        self.prior_smoothing = prior_smoothing

    def _check_params(self) -> None:
        super()._check_params()
        if not is_flag(self.prior_smoothing):
            raise InvalidInputError(
                f"prior_smoothing: expected True or False, got {self.prior_smoothing!r}"
            )

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        rows = self._folded(c, y, w)
        hits = rows.hits
        if self.prior_smoothing:
            right = float(np.sum(y if w is None else w * y))
            wrong = float(np.sum(1.0 - y if w is None else w * (1.0 - y)))
            hits = hits * (1.0 - 1.0 / (right + 2.0)) + (rows.weight - hits) / (wrong + 2.0)
        z = log_odds(rows.confidence, self.eps_)
        columns = np.stack([z, np.ones(z.size)])
        fit = logistic_fit(columns, rows.weight, hits, np.array([1.0, 0.0]), nonnegative=(0,))
        self.slope_, self.intercept_ = fit.parameters.tolist()
        notes = ()
        if self.slope_ == 0.0:
            notes = (
                "higher confidences are not more often right: the slope is 0, and all "
                "probabilities are the overall accuracy",
            )
        return self._report(rows, fit, notes)

    def _apply(self, c: FloatArray) -> FloatArray:
        return sigmoid(self.slope_ * log_odds(c, self.eps_) + self.intercept_)

    def _state(self) -> dict[str, Any]:
        return {"eps": self.eps_, "slope": self.slope_, "intercept": self.intercept_}

    def _restore(self, entries: Entries) -> None:
        self._restore_eps(entries)
        self.slope_ = entries.number("slope", 0.0, LARGEST)
        self.intercept_ = entries.number("intercept", -LARGEST, LARGEST)


class BetaCalibration(_Scaling):
    """Three parameters: high and low confidences are bent on their own.

    q = sigmoid(a ln c - b ln(1 - c) + d),  a, b >= 0,  c clipped to [eps_, 1 - eps_]

    It is the log-odds between two beta densities, of the right and of the wrong rows. The parameters
    minimize the mean log loss; one whose best value is negative is left out (0), and the others are
    fitted again.

    Args:
        eps: in [1e-15, 0.5) or "auto"; how far from them confidences of 0 and 1 are taken to be, as
            in `TemperatureScaling`.

    Attributes:
        eps_: the eps that was used.
        a_: the fitted a, which bends low confidences.
        b_: the fitted b, which bends high ones.
        d_: the fitted shift d, nats.

    Edge cases: confidences that point the wrong way get a = b = 0 and the overall accuracy; ones
        that separate right from wrong get large parameters and not infinite ones; if all are equal,
        they get the accuracy.
    Properties: monotone; contains the identity (a = b = 1, d = 0; clipped likewise) and Platt scaling
        (a = b), so its log loss on the rows of the fit is never above theirs; weight k is k rows; the
        mean calibrated confidence is the accuracy.
    Reference: Kull, Silva Filho and Flach 2017 (AISTATS 54).

    Example:
        >>> c, y = [0.9] * 4 + [0.5] * 4, [1, 1, 1, 0, 1, 0, 0, 0]
        >>> BetaCalibration().fit(c, y).predict([0.9, 0.5]).round(4)
        array([0.75, 0.25])
    """

    method = "beta"
    simplicity = 3

    a_: float
    b_: float
    d_: float

    def __init__(self, *, eps: Literal["auto"] | float = "auto") -> None:
        self.eps: Literal["auto"] | float = eps

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        rows = self._folded(c, y, w)
        above, below = self._logs(rows.confidence)
        columns = np.stack([above, below, np.ones(above.size)])
        start = np.array([1.0, 1.0, 0.0])
        fit = logistic_fit(columns, rows.weight, rows.hits, start, nonnegative=(0, 1))
        self.a_, self.b_, self.d_ = fit.parameters.tolist()
        left_out = [name for name, value in (("a", self.a_), ("b", self.b_)) if value == 0.0]
        notes = ()
        if left_out:
            notes = (
                f"{' and '.join(left_out)} would have been negative, which is not monotone; "
                "fitted without",
            )
        return self._report(rows, fit, notes)

    def _logs(self, c: FloatArray) -> tuple[FloatArray, FloatArray]:
        clipped = np.clip(c, self.eps_, 1.0 - self.eps_)
        return np.log(clipped), -np.log1p(-clipped)

    def _apply(self, c: FloatArray) -> FloatArray:
        above, below = self._logs(c)
        return sigmoid(self.a_ * above + self.b_ * below + self.d_)

    def _state(self) -> dict[str, Any]:
        return {"eps": self.eps_, "a": self.a_, "b": self.b_, "d": self.d_}

    def _restore(self, entries: Entries) -> None:
        self._restore_eps(entries)
        self.a_ = entries.number("a", 0.0, LARGEST)
        self.b_ = entries.number("b", 0.0, LARGEST)
        self.d_ = entries.number("d", -LARGEST, LARGEST)
