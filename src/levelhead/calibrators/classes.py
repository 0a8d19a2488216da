"""Scaling of class logits: one temperature, one factor per class, a matrix, and Dirichlet calibration."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, Literal, Self

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, codes, real
from levelhead.calibrators._base import is_flag
from levelhead.calibrators._class_scaling import (
    ClassScaling,
    Inputs,
    about_mean,
    classes_first,
    limits,
    softmax,
)
from levelhead.calibrators._entries import Entries
from levelhead.calibrators._families import Matrix, Weights, fit_temperature, fit_vector
from levelhead.calibrators._folds import content_folds, group_folds
from levelhead.calibrators._penalty import METHODS, N_FOLDS, choose_penalty, reason
from levelhead.calibrators._softmax import Columns
from levelhead.errors import InvalidInputError, unknown_name

__all__ = ["ClassTemperatureScaling", "DirichletCalibration", "MatrixScaling", "VectorScaling"]

Fallback = Literal["temperature", "refuse", "none"]
Penalty = Literal["auto"] | float | tuple[float, float]

FALLBACKS = ("temperature", "refuse", "none")


class ClassTemperatureScaling(ClassScaling):
    """One parameter for all classes: flattens or sharpens the whole distribution.

    q = softmax(z / T),  T > 0; of probabilities, z = log(max(p, eps))

    T minimizes the mean log loss, by Newton's method. The most likely class stays the same.

    Args:
        inputs: what the columns of X hold, "logits" (any finite numbers) or "probs" (rows sum to 1).
        eps: above 0 and below 0.001; probabilities below it count as it.

    Attributes:
        temperature_: the fitted T.

    Edge cases: logits that point the wrong way end at a T about a million times their size; classes
        that are told apart without an error end at a small T and not at 0. A class that never
        occurs in y is fine.
    Properties: keeps the order of the classes in each row; contains the identity; a constant added
        to all logits of a row changes nothing; weight k is k rows.
    Reference: Guo et al. 2017 (arXiv:1706.04599).

    Example:
        >>> rows = [[np.log(9.0), 0.0]] * 4
        >>> T = ClassTemperatureScaling().fit(rows, [0, 0, 0, 1]).temperature_
        >>> round(T, 4)  # three of four are right: log(3) = log(9) / 2
        2.0
    """

    method = "class_temperature"
    simplicity = 1

    temperature_: float

    def __init__(self, inputs: Inputs = "logits", *, eps: float = 1e-12) -> None:
        self.inputs: Inputs = inputs
        self.eps = eps

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit T to rows (N, K) and the indices of their classes (N,)."""
        columns, _ = self.columns_of(X, y, sample_weight)
        fit = fit_temperature([columns])
        self.temperature_ = 1.0 / float(fit.theta[0])
        self.report(columns, fit, notes=limits(columns, fit))
        return self

    def _apply(self, z: FloatArray) -> FloatArray:
        return softmax(self._features(z) / self.temperature_)

    def _state(self) -> dict[str, Any]:
        return {"temperature": self.temperature_}

    def _restore(self, entries: Entries) -> None:
        self.temperature_ = entries.number("temperature", np.finfo(np.float64).tiny)


class VectorScaling(ClassScaling):
    """A factor and an intercept for each class.

    q = softmax(w * z~ + b),  z~ = z minus its mean over the classes, w and b in R^K

    (w, b) minimize the mean log loss, by Newton's method. This is matrix scaling whose off-diagonal
    entries are 0.

    Args:
        inputs: what the columns of X hold, "logits" (any finite numbers) or "probs" (rows sum to 1).
        eps: above 0 and below 0.001; probabilities below it count as it.

    Attributes:
        scale_: (K,) the factors w.
        intercept_: (K,) the intercepts b; they sum to 0.

    Edge cases: the intercept of a class that never occurs in y is finite (a ridge of 1e-8 on the
        distance from the identity keeps it so) and makes it very unlikely.
    Properties: may change the most likely class; contains the identity; a constant added to all
        logits of a row changes nothing; weight k is k rows; follows a relabeling of the classes.
    Reference: Guo et al. 2017 (arXiv:1706.04599).

    Example:
        >>> rows = [[0.0, 0.0]] * 4
        >>> VectorScaling().fit(rows, [0, 0, 0, 1]).predict(rows[:1]).round(3)
        array([[0.75, 0.25]])
    """

    method = "vector"
    simplicity = 2

    scale_: FloatArray
    intercept_: FloatArray

    def __init__(self, inputs: Inputs = "logits", *, eps: float = 1e-12) -> None:
        self.inputs: Inputs = inputs
        self.eps = eps

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the factors and intercepts to rows (N, K) and the indices of their classes (N,)."""
        columns, _ = self.columns_of(X, y, sample_weight)
        k = columns.x.shape[0]
        factor = float(fit_temperature([columns]).theta[0])
        fit = fit_vector([columns], np.repeat([factor, 0.0], k))
        self.scale_ = fit.theta[:k].copy()
        self.intercept_ = fit.theta[k:] - fit.theta[k:].mean()
        self.report(columns, fit)
        return self

    def _apply(self, z: FloatArray) -> FloatArray:
        scores = self._features(z) * self.scale_[:, None]
        scores += self.intercept_[:, None]
        return softmax(scores)

    def _state(self) -> dict[str, Any]:
        return {"scale": self.scale_.tolist(), "intercept": self.intercept_.tolist()}

    def _restore(self, entries: Entries) -> None:
        self.scale_ = entries.array("scale", (self.n_features_in_,))
        self.intercept_ = entries.array("intercept", (self.n_features_in_,))


class _Penalized(ClassScaling):
    """Matrix scaling of some features, with the choice of its penalty."""

    title: ClassVar[str]

    matrix_: FloatArray
    intercept_: FloatArray
    penalty_: tuple[float, float] | None
    chosen_: str

    penalty: Penalty
    fallback: Fallback
    min_rows: float

    def _check_params(self) -> None:
        super()._check_params()
        if self.fallback not in FALLBACKS:
            raise unknown_name("fallback", str(self.fallback), FALLBACKS)
        rows = real("min_rows", self.min_rows)
        if not 0.0 <= rows < math.inf:
            raise InvalidInputError(f"min_rows: expected a finite number >= 0, got {rows}")
        self._fixed()

    def _fixed(self) -> tuple[float, float] | None:
        """The given weights (lambda, mu), or None where they are to be chosen."""
        given = self.penalty
        if isinstance(given, str):
            if given != "auto":
                raise InvalidInputError(
                    f'penalty: expected "auto", a number or two numbers, got {given!r}'
                )
            return None
        pair = tuple(given) if isinstance(given, tuple | list) else (given, given)
        if len(pair) != 2:
            raise InvalidInputError(
                f"penalty: expected a number or two (lambda, mu), got {len(pair)} numbers"
            )
        off, intercept = (real("penalty", one) for one in pair)
        if not (0.0 <= off < math.inf and 0.0 <= intercept < math.inf):
            raise InvalidInputError(
                f"penalty: expected finite numbers >= 0, got {(off, intercept)}"
            )
        return off, intercept

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit to rows (N, K) and the indices of their classes (N,).

        `groups` (N,) are labels of rows that belong together, such as their prompts: the folds that
        choose the penalty never split them. Without them rows that are equal share a fold.
        """
        columns, kept = self.columns_of(X, y, sample_weight)
        units = None
        if groups is not None and self._fixed() is None:
            size = columns.labels.size if kept is None else len(np.asarray(y))
            units = codes("groups", groups, size)
            if kept is not None:
                units = np.unique(units[kept], return_inverse=True)[1].astype(np.int64)
        offset = self._offset(columns)
        if not offset:
            return self._fit_columns(columns, units)
        self._fit_columns(dataclasses.replace(columns, x=columns.x - offset), units)
        sums = self.matrix_.sum(axis=1)
        self.intercept_ -= offset * (sums - sums[0])
        self.intercept_ -= self.intercept_.mean()
        return self

    def _offset(self, columns: Columns) -> float:
        """What is taken off all features for the fit, and put into the intercepts after it."""
        return 0.0

    def _fit_columns(self, columns: Columns, units: IntArray | None) -> Self:
        k = columns.x.shape[0]
        fixed = self._fixed()
        n = _count(columns)
        short = n < self.min_rows * k * k
        if fixed is None:
            return self._choose(columns, units, n)
        needs = (
            f"{n:g} rows are few for {k} classes: {self.title} needs {self.min_rows:g} * {k}^2 = "
            f"{self.min_rows * k * k:g}"
        )
        if short and self.fallback == "refuse":
            raise InvalidInputError(
                f'X: {needs}; pass more rows, fallback="temperature", or penalty="auto"'
            )
        if short and self.fallback == "temperature":
            self._temperature(columns, "temperature", (f"{needs}; fitted a temperature",))
            return self
        factor = float(fit_temperature([columns]).theta[0])
        start = (factor * np.eye(k, k + 1)).ravel()
        self._matrix(columns, start, Weights(*_per_element(fixed, k)), ())
        self.penalty_ = fixed
        return self

    def _choose(self, columns: Columns, units: IntArray | None, n: float) -> Self:
        k = columns.x.shape[0]
        if units is None:
            folds = content_folds(columns.x, columns.labels, N_FOLDS)
        else:
            mass = np.ones(columns.labels.size) if columns.weights is None else columns.weights
            folds = group_folds(units, mass.astype(np.float64), N_FOLDS)
        if not folds.any():
            same = "rows are all equal" if units is None else "rows are all of one group"
            note = f"the {same}, so nothing can be chosen by cross-validation"
            self._temperature(columns, "temperature", (note,))
            return self
        chosen = choose_penalty(columns, folds, units, n, self.min_rows)
        best = chosen.best
        notes = (reason(chosen.candidates, best, k),)
        if best.method == "temperature":
            fallback = "temperature" if chosen.short else None
            self._temperature(columns, fallback, notes)
        elif best.method == "vector":
            fit = fit_vector([columns], chosen.theta)
            self._keep(np.diag(fit.theta[:k]), fit.theta[k:], "vector", None)
            self.report(columns, fit, notes=notes)
        else:
            weights = best.weights or Weights(0.0, 0.0)
            self._matrix(columns, chosen.theta, weights, notes)
        return self

    def _matrix(
        self, columns: Columns, start: FloatArray, weights: Weights, notes: tuple[str, ...]
    ) -> None:
        k = columns.x.shape[0]
        fit = Matrix([columns], start).fit(weights)
        table: FloatArray = fit.theta.reshape(k, k + 1)
        self._keep(table[:, :-1], table[:, -1], "matrix", weights)
        self.report(columns, fit, notes=notes)

    def _temperature(self, columns: Columns, fallback: str | None, notes: tuple[str, ...]) -> None:
        k = self.n_features_in_
        fit = fit_temperature([columns])
        self._keep(float(fit.theta[0]) * np.eye(k), np.zeros(k), "temperature", None)
        self.report(columns, fit, fallback, (*notes, *limits(columns, fit)))

    def _keep(self, w: FloatArray, b: FloatArray, chosen: str, weights: Weights | None) -> None:
        k = b.size
        self.matrix_, self.chosen_ = w.copy(), chosen
        self.intercept_ = b - b.mean()
        pair = None if weights is None else (weights.off_diagonal, weights.intercept)
        self.penalty_ = None if pair is None else (pair[0] * k * (k - 1), pair[1] * k)

    def _apply(self, z: FloatArray) -> FloatArray:
        scores = self.matrix_ @ self._features(z)
        scores += self.intercept_[:, None]
        return softmax(scores)

    def _state(self) -> dict[str, Any]:
        return {
            "matrix": self.matrix_.tolist(),
            "intercept": self.intercept_.tolist(),
            "chosen": self.chosen_,
            "penalty": None if self.penalty_ is None else list(self.penalty_),
        }

    def _restore(self, entries: Entries) -> None:
        k = self.n_features_in_
        self.matrix_ = entries.array("matrix", (k, k))
        self.intercept_ = entries.array("intercept", (k,))
        self.chosen_ = entries.text("chosen", METHODS)
        if self.chosen_ == "matrix":
            off, intercept = entries.array("penalty", (2,), low=0.0).tolist()
            self.penalty_ = (off, intercept)
        elif entries.take("penalty") is not None:
            raise entries.wrong("penalty", f"null beside chosen {self.chosen_!r}", "numbers")
        else:
            self.penalty_ = None


class MatrixScaling(_Penalized):
    """A matrix and an intercept: repairs classes that are mixed up with one another, too.

    q = softmax(W z~ + b),  z~ = z minus its mean over the classes, or z itself with center=False

    W and b minimize, from W = I and b = 0 on, with C classes,

    mean log loss + lambda * sum_{i != j} W_ij^2 / (C (C - 1)) + mu * sum_i b_i^2 / C

    A matrix has C^2 + C parameters and overfits where rows are few. penalty="auto" chooses lambda
    (mu = 0) by 5-fold cross-validation of the log loss, with vector scaling (what lambda = infinity
    amounts to) and temperature scaling as candidates. Useful lambdas are large where C is: the weight
    of a single entry is lambda / (C (C - 1)), so 0.03 per entry is lambda = 297 at C = 100, far beyond
    a grid that ends at 1. The path is therefore laid out per entry, 1 / (2 n s^2), where s is the size
    that the off-diagonal entries may have: 0.01 to 1 times one over the temperature.

    Args:
        penalty: "auto"; or lambda and mu, both >= 0, in nats; or one number for both.
        inputs: what the columns of X hold, "logits" (any finite numbers) or "probs" (rows sum to 1).
        fallback: what to do with a given penalty where there are fewer than min_rows * C^2 rows: fit
            a "temperature" instead (and say so in `fit_.fallback`), "refuse", or "none": fit anyway.
            With "auto", a vector or matrix must then beat the temperature by more than one standard
            error of the difference.
        min_rows: >= 0; rows per C^2 that make a matrix safe. Weights that are whole numbers count as
            so many rows; others as (sum w)^2 / sum w^2.
        center: whether to take the mean of each row out first. With False the mean of the raw scores
            is one more thing to learn from (of log p in `DirichletCalibration`, too); the b_i that
            mu weighs are then those beside scores whose mean over all rows and classes is 0.
        eps: above 0 and below 0.001; probabilities below it count as it.

    Attributes:
        matrix_: (C, C) the fitted W.
        intercept_: (C,) the fitted b; they sum to 0.
        penalty_: (lambda, mu) of the fitted matrix, or None where it is a temperature or vector.
        chosen_: "matrix", "vector" or "temperature".

    Edge cases: a class that never occurs in y ends very unlikely and finite (a ridge of 1e-8 on the
        distance from the identity). Beyond 300 classes, or with ten times more parameters than rows,
        "auto" does not try a matrix, and with fewer than 4 C rows only the temperature. With
        center=False and rows whose means lie 1e5 times further apart than the scores of a row, the
        fit may not converge, and says so.
    Properties: may change the most likely class; contains the identity; a constant added to all
        logits of a row changes nothing (with center=False only the same one in all rows, those of
        the fit too); weight k is k rows; follows a relabeling of the classes.
    Reference: Guo et al. 2017 (arXiv:1706.04599); the penalty: Kull et al. 2019 (arXiv:1910.12656).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.normal(size=(2000, 3))
        >>> y = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
        >>> mixed = 3.0 * truth + np.roll(truth, 1, axis=1) + [1.0, 0.0, -1.0]
        >>> scaling = MatrixScaling().fit(mixed, y)
        >>> scaling.chosen_, -scaling.score(mixed, y) < -VectorScaling().fit(mixed, y).score(mixed, y)
        ('matrix', True)
    """

    method = "matrix"
    simplicity = 3
    title = "matrix scaling"

    def __init__(
        self,
        penalty: Penalty = "auto",
        *,
        inputs: Inputs = "logits",
        fallback: Fallback = "temperature",
        min_rows: float = 30,
        center: bool = True,
        eps: float = 1e-12,
    ) -> None:
        self.penalty: Penalty = penalty
        self.inputs: Inputs = inputs
        self.fallback: Fallback = fallback
        self.min_rows = min_rows
        self.center = center
        self.eps = eps

    def _check_params(self) -> None:
        super()._check_params()
        if not is_flag(self.center):
            raise InvalidInputError(f"center: expected True or False, got {self.center!r}")

    def _features(self, z: FloatArray) -> FloatArray:
        return super()._features(z) if self.center else classes_first(self.logits_of(z))

    def _offset(self, columns: Columns) -> float:
        return 0.0 if self.center else about_mean(columns)


class DirichletCalibration(_Penalized):
    """Matrix scaling of log-probabilities, as follows where each class's outputs are Dirichlet.

    q = softmax(W log p + b),  p clipped to eps from below

    The log-probabilities are not centered, so the mean of a row, which grows with its confidence, is
    one more thing to learn from. Penalty and its choice as in `MatrixScaling`.

    Args:
        penalty: "auto"; or lambda and mu, both >= 0, in nats; or one number for both.
        inputs: what the columns of X hold, "probs" (rows sum to 1) or "logits", whose softmax is taken.
        fallback: "temperature", "refuse" or "none", as in `MatrixScaling`.
        min_rows: >= 0; rows per C^2 that make a matrix safe.
        eps: above 0 and below 0.001; probabilities below it count as it.

    Attributes:
        matrix_: (C, C) the fitted W.
        intercept_: (C,) the fitted b; they sum to 0.
        penalty_: (lambda, mu) of the fitted matrix, or None where it is a temperature or vector.
        chosen_: "matrix", "vector" or "temperature".

    Edge cases: as in `MatrixScaling`; a probability of 0 counts as eps.
    Properties: may change the most likely class; contains the identity, up to eps; weight k is k
        rows; follows a relabeling of the classes.
    Reference: Kull et al. 2019 (arXiv:1910.12656).

    Example:
        >>> rows = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]] * 50
        >>> y = [0, 0, 1, 1, 1, 0, 1, 1] * 25
        >>> q = DirichletCalibration(0.0).fit(rows, y).predict(rows[:4])
        >>> q[0, 0] < 0.9  # half of these were right
        np.True_
    """

    method = "dirichlet"
    simplicity = 4
    title = "Dirichlet calibration"

    def __init__(
        self,
        penalty: Penalty = "auto",
        *,
        inputs: Inputs = "probs",
        fallback: Fallback = "temperature",
        min_rows: float = 30,
        eps: float = 1e-12,
    ) -> None:
        self.penalty: Penalty = penalty
        self.inputs: Inputs = inputs
        self.fallback: Fallback = fallback
        self.min_rows = min_rows
        self.eps = eps

    def _features(self, z: FloatArray) -> FloatArray:
        logits = self.logits_of(z)
        if self.inputs == "probs":
            return classes_first(logits)
        x = classes_first(logits)
        x = x - x.max(axis=0)
        return np.maximum(x - np.log(np.exp(x).sum(axis=0)), math.log(self.eps))


def _count(columns: Columns) -> float:
    """How many rows the weights amount to: their sum if they are whole, else as they vary."""
    w = columns.weights
    if w is None:
        return float(columns.labels.size)
    whole = bool((w == np.floor(w)).all())
    return columns.total if whole else columns.total**2 / float(np.dot(w, w))


def _per_element(pair: tuple[float, float], k: int) -> tuple[float, float]:
    return pair[0] / (k * (k - 1)), pair[1] / k
