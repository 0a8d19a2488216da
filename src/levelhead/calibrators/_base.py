"""What every calibrator is: fit, predict, score, a state that JSON can hold.

The protocol is scikit-learn's, and scikit-learn is never imported: where it asks for one of its own
classes (tags, its error for what is not fitted), it is loaded already and found in `sys.modules`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np

from levelhead._arrays import (
    ArrayLike,
    FloatArray,
    IntArray,
    integers,
    probabilities,
    unmasked,
    weights_or_none,
)
from levelhead.calibrators._entries import Entries
from levelhead.errors import InvalidInputError, LevelheadError, unknown_name
from levelhead.scoring import log_loss

__all__ = [
    "LIMIT",
    "CalibrationWarning",
    "Calibrator",
    "ClassCalibrator",
    "ConfidenceCalibrator",
    "FitReport",
    "NotFittedError",
    "NotNumbersError",
]

LIMIT = 1e-12
"""A calibrated confidence stays this far from 0 and 1, so that no log loss is infinite."""


class CalibrationWarning(UserWarning):
    """A calibrator is usable, but its fit did not converge, or its data are thin or odd."""


class NotFittedError(LevelheadError, ValueError, AttributeError):
    """A calibrator was asked for something that only a fitted one has.

    Where scikit-learn is loaded, what is raised is its `NotFittedError` as well.
    """


class NotNumbersError(InvalidInputError, TypeError):
    """An argument holds something that is no number at all."""


@dataclasses.dataclass(frozen=True)
class FitReport:
    """How a fit went.

    Attributes:
        method: name of the method that was asked for, as in `Calibrator.method`.
        n: number of rows that count (those with a weight above 0).
        loss: mean log loss of the fitted calibrator on these rows, nats.
        iterations: steps of the optimizer; 0 where none was needed.
        converged: whether the optimizer reached its tolerance.
        fallback: what was fitted in the method's place, or None.
        notes: sentences on whatever was out of the ordinary.
    """

    method: str
    n: int
    loss: float
    iterations: int = 0
    converged: bool = True
    fallback: str | None = None
    notes: tuple[str, ...] = ()


class Calibrator:
    """What a confidence should have been: fitted on some rows, applied to others.

    A subclass stores its constructor's parameters untouched, checks them in `_check_params`, fits in
    `fit`, and keeps what it fitted in attributes that end in an underscore. It writes them in
    `_state` and reads them in `_restore`.

    Attributes:
        method: its name in files and on the command line.
        input: "confidence" for a probability per row, "classes" for one column per class.
        monotone: whether a higher confidence never gets a lower calibrated one.
        nests_identity: whether the identity, of confidences clipped as it clips them, is one of the
            functions that it can fit.
        simplicity: rank among methods with equally good scores; the lower, the simpler.
        n_features_in_: number of columns that it was fitted on.
        fit_: how the fit went.
    """

    method: ClassVar[str]
    input: ClassVar[Literal["confidence", "classes"]]
    monotone: ClassVar[bool]
    nests_identity: ClassVar[bool]
    simplicity: ClassVar[int]

    n_features_in_: int
    fit_: FitReport

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to rows and what became of them; the inputs are not changed."""
        raise NotImplementedError

    def predict(self, X: ArrayLike) -> FloatArray:
        """Calibrated probabilities, one for each row, or one row for each row."""
        raise NotImplementedError

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Minus the mean log loss of the calibrated probabilities, nats; higher is better."""
        raise NotImplementedError

    def transform(self, X: ArrayLike) -> FloatArray:
        """The same as `predict`, for a pipeline."""
        return self.predict(X)

    def fit_transform(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        **fit_params: Any,
    ) -> FloatArray:
        """Fit, and calibrate the rows of the fit (which are not a fair test of it)."""
        return self.fit(X, y, sample_weight=sample_weight, **fit_params).predict(X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Self:
        """Change constructor parameters by name; they are checked when it is fitted."""
        for name in params:
            if name not in self._defaults():
                raise unknown_name(f"parameter of {type(self).__name__}", name, self._defaults())
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def state(self) -> dict[str, Any]:
        """What was fitted, as plain JSON values; floats survive JSON bit for bit."""
        self._require_fit()
        report = dataclasses.asdict(self.fit_)
        del report["method"]
        report["notes"] = list(self.fit_.notes)
        return {"n_features_in": self.n_features_in_, "fit": report, **self._state()}

    @classmethod
    def from_state(cls, params: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """A fitted calibrator from `get_params()` and `state()`; it predicts bit for bit the same."""
        calibrator = cls()
        calibrator.set_params(**params)
        calibrator._check_params()
        entries = Entries(state, cls.__name__)
        columns = entries.integer("n_features_in", 1)
        if (columns == 1) != (cls.input == "confidence"):
            raise entries.wrong("n_features_in", f"the columns of {cls.input}", columns)
        calibrator.n_features_in_ = columns
        report = entries.inner("fit")
        fit = FitReport(
            method=cls.method,
            n=report.integer("n", 1),
            loss=report.number("loss", 0.0),
            iterations=report.integer("iterations"),
            converged=report.flag("converged"),
            fallback=report.text_or_none("fallback"),
            notes=report.texts("notes"),
        )
        report.done()
        calibrator._restore(entries)
        entries.done()
        calibrator.fit_ = fit
        return calibrator

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, default in self._defaults().items()
            if repr(getattr(self, name)) != repr(default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fit_")

    def __sklearn_tags__(self) -> Any:
        found = sys.modules.get("sklearn.utils")
        if found is None:
            raise AttributeError("__sklearn_tags__ has an answer where scikit-learn is loaded only")
        scalar = self.input == "confidence"
        return found.Tags(
            estimator_type=None,
            target_tags=found.TargetTags(required=True),
            transformer_tags=found.TransformerTags(preserves_dtype=["float64"]),
            input_tags=found.InputTags(one_d_array=scalar, two_d_array=not scalar),
        )

    def _check_params(self) -> None:
        """Raise for constructor parameters that are out of their ranges."""

    def _state(self) -> dict[str, Any]:
        raise NotImplementedError

    def _restore(self, entries: Entries) -> None:
        raise NotImplementedError

    def _require_fit(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise not_fitted(type(self).__name__)

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        if cls.__init__ is object.__init__:
            return {}
        found = list(inspect.signature(cls.__init__).parameters.values())[1:]
        return {one.name: one.default for one in found}

    def _check_columns(self, columns: int) -> None:
        if columns != self.n_features_in_:
            raise InvalidInputError(
                f"X: expected {self.n_features_in_} columns; X has {columns} features, but "
                f"{type(self).__name__} is expecting {self.n_features_in_} features as input"
            )


class ConfidenceCalibrator(Calibrator):
    """A calibrator of one confidence per row; a subclass has `_fit` and `_apply`."""

    input = "confidence"

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to confidences (N,) or (N, 1) and how right they were (N,), both in [0, 1]."""
        self._check_params()
        c = confidences(X)
        right, w = self._targets(c, y, sample_weight)
        counted = right if w is None else right[w > 0.0]
        if not (counted.max() > 0.0 and counted.min() < 1.0):
            raise InvalidInputError(
                f"y: expected right and wrong rows, got one class only (all {counted[0]:g}) in "
                f"{counted.size} rows; a calibrator needs both to fit"
            )
        report = self._fit(c, right, w)
        self.n_features_in_ = 1
        self.fit_ = report
        return self

    def predict(self, X: ArrayLike) -> FloatArray:
        """Calibrated confidences (N,) of confidences (N,) or (N, 1)."""
        self._require_fit()
        return self._apply(self._checked(X))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Minus the mean log loss of the calibrated confidences, nats; higher is better."""
        self._require_fit()
        c = self._checked(X)
        right, w = self._targets(c, y, sample_weight)
        return -mean_log_loss(self._apply(c), right, w)

    def _checked(self, X: ArrayLike) -> FloatArray:
        array = numbers("X", X)
        if array.ndim == 2:
            self._check_columns(array.shape[1])
        return confidences(array)

    def _targets(
        self, c: FloatArray, y: ArrayLike | None, sample_weight: ArrayLike | None
    ) -> tuple[FloatArray, FloatArray | None]:
        right = probabilities("y", numbers("y", required(self, y)))
        if right.size != c.size:
            raise InvalidInputError(
                f"y: expected {c.size} values, one per row of X, got {right.size}"
            )
        return right, sample_weights(sample_weight, c.size)

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        raise NotImplementedError

    def _apply(self, c: FloatArray) -> FloatArray:
        raise NotImplementedError


class ClassCalibrator(Calibrator):
    """A calibrator of one column per class; a subclass has `fit` and `_apply`."""

    input = "classes"

    def predict(self, X: ArrayLike) -> FloatArray:
        """Calibrated class probabilities (N, K), rows sum to 1."""
        self._require_fit()
        return self._apply(self._checked(X))

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """The same as `predict`."""
        return self.predict(X)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Minus the mean log loss of the calibrated probabilities, nats; higher is better."""
        self._require_fit()
        z = self._checked(X)
        labels = class_labels(self, y, z.shape)
        w = sample_weights(sample_weight, z.shape[0])
        p = self._apply(z)[np.arange(labels.size), labels]
        return float(np.average(np.log(np.maximum(p, LIMIT)), weights=w))

    def _fit_rows(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[FloatArray, IntArray, FloatArray | None]:
        """The checked rows (N, K), labels (N,) and weights of a fit, with two classes or more."""
        self._check_params()
        z = class_rows(X)
        labels = class_labels(self, y, z.shape)
        w = sample_weights(sample_weight, z.shape[0])
        counted = labels if w is None else labels[w > 0.0]
        if (counted == counted[0]).all():
            raise InvalidInputError(
                f"y: expected two classes or more, got one class only (all {counted[0]}) in "
                f"{counted.size} rows; a calibrator needs rows of different classes to fit"
            )
        return z, labels, w

    def _checked(self, X: ArrayLike) -> FloatArray:
        z = class_rows(X, least=1)
        self._check_columns(z.shape[1])
        return z

    def _apply(self, z: FloatArray) -> FloatArray:
        raise NotImplementedError


def is_flag(value: object) -> bool:
    """Whether a parameter is True or False."""
    return isinstance(value, bool | np.bool_)


def is_whole(value: object) -> bool:
    """Whether a parameter is a whole number, which True is not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def required(calibrator: Calibrator, y: ArrayLike | None) -> ArrayLike:
    """`y`, which a calibrator cannot do without."""
    if y is None:
        raise InvalidInputError(
            f"y: {type(calibrator).__name__} requires y to be passed, but the target y is None"
        )
    return y


def numbers(name: str, values: ArrayLike) -> FloatArray:
    """`values` as a float64 array of any shape; objects are fine where each of them is a number."""
    if hasattr(values, "toarray"):
        raise InvalidInputError(
            f"{name}: expected an array, got {type(values).__name__}; Sparse data are not "
            f"supported, pass {name}.toarray()"
        )
    try:
        array = unmasked(name, values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"{name}: expected an array of numbers, got {error}") from error
    flat: list[Any] = array.ravel().tolist() if array.dtype == object else []
    if array.dtype.kind == "c" or any(isinstance(one, complex) for one in flat):
        raise InvalidInputError(f"{name}: Complex data not supported; expected real numbers")
    if array.dtype.kind not in "biufO" or any(isinstance(one, str | bytes) for one in flat):
        raise InvalidInputError(f"{name}: expected numbers, got texts or dtype {array.dtype}")
    try:
        return array.astype(np.float64, copy=False)
    except TypeError as error:
        raise NotNumbersError(f"{name}: expected numbers, got an object: {error}") from error
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(f"{name}: expected numbers, got an object: {error}") from error


def confidences(X: ArrayLike) -> FloatArray:
    """(N,) probabilities from (N,) or (N, 1)."""
    array = numbers("X", X)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidInputError(
            f"X: expected confidences of shape (N,) or (N, 1), got {array.shape}; Reshape your data "
            "or take the column that holds the confidence"
        )
    if np.isnan(array).any():
        i = int(np.isnan(array).argmax())
        raise InvalidInputError(
            f"X: expected probabilities in [0, 1], got NaN at index {i}; a row without a confidence "
            "must be left out"
        )
    return probabilities("X", array)


def class_rows(X: ArrayLike, *, least: int = 2) -> FloatArray:
    """(N, K) finite numbers with N >= 1 and K >= `least`."""
    array = numbers("X", X)
    if array.ndim != 2:
        raise InvalidInputError(
            f"X: expected a 2D array (N, K) with one column per class, got shape {array.shape}; "
            "Reshape your data, X.reshape(1, -1) if it is a single row"
        )
    if array.shape[1] < least:
        raise InvalidInputError(
            f"X: expected one column per class, got {array.shape[1]} feature(s) (shape="
            f"{array.shape}) while a minimum of {least} is required."
        )
    if array.shape[0] == 0:
        raise InvalidInputError(f"X: expected at least one row, got none (shape={array.shape})")
    if not np.isfinite(array.sum()) and not np.isfinite(array).all():
        i, k = np.argwhere(~np.isfinite(array))[0].tolist()
        raise InvalidInputError(
            f"X: expected finite numbers, got {array[i, k]} in row {i}, column {k}; NaN and infinity "
            "cannot be calibrated (clip probabilities of 0 before taking their logarithm)"
        )
    return array


def class_labels(calibrator: Calibrator, y: ArrayLike | None, shape: tuple[int, ...]) -> IntArray:
    """(N,) class indices below K, for rows of shape (N, K)."""
    found = required(calibrator, y)
    array = unmasked("y", found)
    if array.dtype.kind in "cO":
        array = numbers("y", array)
    return integers("y", array, shape[0], below=shape[1])


def sample_weights(sample_weight: ArrayLike | None, size: int) -> FloatArray | None:
    """Finite weights >= 0 that do not all vanish, or None."""
    try:
        return weights_or_none(sample_weight, size)
    except InvalidInputError as error:
        text = str(error).removeprefix("weights")
        raise InvalidInputError(f"sample_weight{text}") from error


def mean_log_loss(p: FloatArray, y: FloatArray, w: FloatArray | None) -> float:
    """Mean log loss in nats; a probability within `LIMIT` of 0 or 1 counts as that far from it."""
    return float(np.average(log_loss(p, y, eta=LIMIT), weights=w))


def not_fitted(name: str) -> NotFittedError:
    """The error for a calibrator that is not fitted, ready to raise."""
    return _rebuilt(
        f"{name}: expected a fitted calibrator, got one that is not fitted; call fit(X, y) first"
    )


def _rebuilt(message: str) -> NotFittedError:
    """Also the way back from a pickle, since the class is made where it is needed."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", None)
    return NotFittedError(message) if theirs is None else _joined(theirs)(message)


@functools.cache
def _joined(theirs: type[Exception]) -> type[NotFittedError]:
    def reduce(self: NotFittedError) -> tuple[Any, tuple[str]]:
        return _rebuilt, (str(self),)

    bases = (NotFittedError, theirs)
    return cast(
        "type[NotFittedError]",
        type("NotFittedError", bases, {"__reduce__": reduce, "__module__": __name__}),
    )
