"""The contract checks catch wrong calibrators, each by the contract that it breaks."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.testing import CalibrationRows, ContractError, calibration_rows, check_calibrator


def checked(X: Any, y: Any, w: Any) -> tuple[Any, Any, Any]:
    """What every one below does with its arguments: refuse what is wrong, copy nothing."""
    X, y = np.asarray(X), np.asarray(y)
    for name, values in {"X": X, "y": y}.items():
        if values.dtype.kind not in "fiub" or values.size == 0:
            raise InvalidInputError(f"{name}: expected numbers")
        if not ((values >= 0.0) & (values <= 1.0)).all():
            raise InvalidInputError(f"{name}: expected values in [0, 1]")
    X = X[:, 0] if X.ndim == 2 and X.shape[1] == 1 else X
    if y.shape != X.shape or X.ndim != 1:
        raise InvalidInputError("y: expected one for each of X")
    w = np.ones(y.size) if w is None else np.asarray(w, dtype=np.float64)
    if w.size != y.size or not (np.isfinite(w) & (w >= 0.0)).all() or not w.any():
        raise InvalidInputError("sample_weight: expected finite values >= 0")
    right = y[w > 0.0]
    if right.max() == right.min() and right[0] in (0.0, 1.0):
        raise InvalidInputError("y: expected right and wrong rows")
    return X, y, w


class Shift:
    """c -> c + a, cut to [0, 1]: a is the one of {0, mean(y) - mean(c)} with the lower loss."""

    def __init__(self) -> None:
        self.shift_: float | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        c, y, w = checked(X, y, sample_weight)
        right, said = float(np.average(y, weights=w)), float(np.average(c, weights=w))
        shifts = [right - said, 0.0]
        losses = [self._loss(c + shift, y, w) for shift in shifts]
        self.shift_ = shifts[int(losses[0] > losses[1])]
        return self

    def _loss(self, c: Any, y: Any, w: Any) -> float:
        q = np.clip(c, 1e-6, 1.0 - 1e-6)
        return float(np.average(-y * np.log(q) - (1.0 - y) * np.log1p(-q), weights=w))

    def predict(self, X: Any) -> Any:
        if self.shift_ is None:
            raise RuntimeError("not fitted")
        X = np.asarray(X, dtype=np.float64)
        return np.clip((X[:, 0] if X.ndim == 2 else X) + self.shift_, 0.0, 1.0)

    def state(self) -> dict[str, Any]:
        return {"shift": self.shift_}

    @classmethod
    def from_state(cls, params: dict[str, Any], state: dict[str, Any]) -> Self:
        made = cls(**params)
        made.shift_ = state["shift"]
        return made


def test_a_right_calibrator_passes() -> None:
    check_calibrator(Shift, monotone=True, nests_identity=True)


class NotMonotone(Shift):
    def predict(self, X: Any) -> Any:
        p = super().predict(X)
        return 4.0 * p * (1.0 - p)


class WritesToX(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        super().fit(X, y, sample_weight)
        if isinstance(X, np.ndarray) and X.flags.writeable:
            X *= 0.5
        return self


class WritesToWeights(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        super().fit(X, y, sample_weight)
        if isinstance(sample_weight, np.ndarray):
            sample_weight /= sample_weight.sum()
        return self


class BeyondOne(Shift):
    def predict(self, X: Any) -> Any:
        return 1.2 * super().predict(X)


class ForgetsWeights(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        checked(X, y, sample_weight)
        return super().fit(X, y)


class SixDigits(Shift):
    def state(self) -> dict[str, Any]:
        return {"shift": round(super().state()["shift"], 6)}


class FifteenDigits(Shift):
    def state(self) -> dict[str, Any]:
        return {"shift": float(f"{super().state()['shift']:.15g}")}


class NotPlain(Shift):
    def state(self) -> dict[str, Any]:
        return {"shift": np.float32(super().state()["shift"])}


class WorseThanIdentity(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        super().fit(X, y, sample_weight)
        self.shift_ = 0.01 if self.shift_ == 0.0 else self.shift_
        return self


class SinglePrecision(Shift):
    def predict(self, X: Any) -> Any:
        return super().predict(X).astype(np.float32)


class Spread(Shift):
    """Depends on what else is asked."""

    def predict(self, X: Any) -> Any:
        p = super().predict(X)
        return p - 1e-6 * (p - p.mean())


class Remembers(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        before = self.shift_
        super().fit(X, y, sample_weight)
        if before is not None and self.shift_ is not None:
            self.shift_ = 0.9 * self.shift_ + 0.1 * before
        return self


class FirstRow(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        super().fit(X, y, sample_weight)
        self.shift_ = float(np.ravel(y)[0]) * 0.3
        return self


class RoundsCorrectness(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        c, y, w = checked(X, y, sample_weight)
        return super().fit(c, y if y.min() == y.max() else np.round(y), w)


class NeedsArrays(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        super().fit(X, y, sample_weight)
        self.shift_ = 0.0 if isinstance(X, list) else self.shift_
        return self


class ReturnsNothing(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        super().fit(X, y, sample_weight)


class Refuses(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        if np.size(X) < 5:
            raise InvalidInputError("X: expected at least 5 rows, got fewer")
        return super().fit(X, y, sample_weight)


class Crashes(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        super().fit(X, y, sample_weight)
        if np.unique(X).size == 1:
            raise ZeroDivisionError("no spread")
        return self


class TakesOneClass(Shift):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        if np.size(y) and np.min(y) == np.max(y) == 1.0:
            self.shift_ = 0.0
            return self
        return super().fit(X, y, sample_weight)


class PredictsUnfitted(Shift):
    def predict(self, X: Any) -> Any:
        self.shift_ = self.shift_ or 0.0
        return super().predict(X)


PLANTED: list[tuple[type[Shift], str]] = [
    (NotMonotone, "a higher confidence never gets a lower value: got "),
    (WritesToX, "the inputs are not written to: X has changed; fitted to "),
    (WritesToWeights, "the inputs are not written to: sample_weight has changed; fitted to "),
    (BeyondOne, "expected predictions in [0, 1], got "),
    (ForgetsWeights, "a whole weight equals that many copies: expected "),
    (SixDigits, "JSON gives back the same predictions bit for bit: expected "),
    (FifteenDigits, "JSON gives back the same predictions bit for bit: expected "),
    (NotPlain, "the state is plain JSON: Object of type float32 is not JSON serializable"),
    (WorseThanIdentity, "a log loss on the rows of the fit that is not above the identity's: expected "),
    (SinglePrecision, "expected predictions of float64 and shape (103,), got ndarray of float32"),
    (Spread, "a row's prediction depends on that row alone: expected "),
    (Remembers, "a second fit forgets the first: expected "),
    (FirstRow, "the order of the rows does not matter: expected "),
    (RoundsCorrectness, "a fraction of correctness is a split row: expected "),
    (NeedsArrays, "the number type and the layout do not matter: expected "),
    (ReturnsNothing, "fit returns the calibrator itself: got NoneType"),
    (Refuses, "expected a fit, got X: expected at least 5 rows, got fewer; for (confidence, "),
    (Crashes, "expected a fit, got ZeroDivisionError: no spread; for (confidence, correct, weight) = "),
    (TakesOneClass, "expected InvalidInputError for one class only, got <"),
    (PredictsUnfitted, "expected an error for predict before fit, got array([0.5, 0.7])"),
]  # fmt: skip
NESTS = (WorseThanIdentity, NotMonotone)
"""The other faults must be caught where nothing more is declared."""


@pytest.mark.parametrize(
    ("wrong", "message"), PLANTED, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_planted_fault_is_caught(wrong: type[Shift], message: str) -> None:
    declared = wrong in NESTS
    with pytest.raises(ContractError) as error:
        check_calibrator(
            wrong, monotone=wrong is NotMonotone, nests_identity=wrong is WorseThanIdentity
        )
    assert str(error.value).startswith(f"{wrong.__name__}: {message}")
    if declared:
        check_calibrator(wrong)


def test_the_message_has_rows_that_are_few() -> None:
    many = [rows for rows in calibration_rows("confidence") if rows.y.size == 200]
    with pytest.raises(ContractError) as error:
        check_calibrator(ForgetsWeights, rows=many, name="mine")
    text = str(error.value)
    assert text.startswith("mine: a whole weight equals that many copies: expected ")
    rows = text.partition("fitted to (confidence, correct, weight) = ")[2]
    assert 1 <= rows.count("(") <= 3
    assert "in all" not in rows


def test_what_may_be_refused() -> None:
    check_calibrator(Refuses, refuses_few=True)

    class RefusesMore(Refuses):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
            if np.size(X) < 100:
                raise InvalidInputError("X: expected at least 100 rows, got fewer")
            return super().fit(X, y, sample_weight)

    with pytest.raises(
        ContractError, match=r"^RefusesMore: expected a fit, got X: expected at least 100"
    ):
        check_calibrator(RefusesMore, refuses_few=True)


# ---- classes


class Softmax:
    """z -> softmax(z), after the checks."""

    fitted = False

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        z, y = np.asarray(X), np.asarray(y)
        if z.dtype.kind != "f" or z.size == 0 or not np.isfinite(z).all():
            raise InvalidInputError("X: expected finite numbers")
        if y.size != len(z) or not np.isin(y, np.arange(z.shape[1])).all():
            raise InvalidInputError("y: expected class indices")
        w = np.ones(y.size) if sample_weight is None else np.asarray(sample_weight)
        if w.size != y.size or not (np.isfinite(w) & (w >= 0.0)).all() or not w.any():
            raise InvalidInputError("sample_weight: expected finite values >= 0")
        if len(np.unique(y[w > 0.0])) < 2:
            raise InvalidInputError("y: expected two classes")
        self.fitted = True
        return self

    def predict(self, X: Any) -> Any:
        if not self.fitted:
            raise RuntimeError("not fitted")
        z = np.asarray(X, dtype=np.float64)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def state(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_state(cls, params: dict[str, Any], state: dict[str, Any]) -> Self:
        made = cls()
        made.fitted = True
        return made


class NotNormalized(Softmax):
    def predict(self, X: Any) -> Any:
        return 0.99 * super().predict(X)


class Swaps(Softmax):
    def predict(self, X: Any) -> Any:
        p = super().predict(X)
        return p[:, ::-1] if p.shape[1] == 2 else p


class Flat(Softmax):
    def predict(self, X: Any) -> Any:
        p = super().predict(X)
        return np.full(p.shape, 1.0 / p.shape[1])


def test_classes() -> None:
    check_calibrator(Softmax, input="classes", monotone=True, nests_identity=True)
    for wrong, declared, message in (
        (NotNormalized, {}, "expected rows that sum to 1, got 0.98999999"),
        (Swaps, {"monotone": True}, "the order of the classes is kept: got ["),
        (Flat, {"nests_identity": True}, "a log loss on the rows of the fit that is not above"),
    ):
        with pytest.raises(ContractError) as error:
            check_calibrator(wrong, input="classes", **declared)  # pyright: ignore[reportArgumentType]
        assert str(error.value).startswith(f"{wrong.__name__}: {message}")


# ---- the rows


def test_the_rows_are_what_they_say() -> None:
    for input in ("confidence", "classes"):
        for inputs in ("logits", "probs"):
            listed = calibration_rows(input, inputs=inputs)
            sizes = [rows.y.size for rows in listed]
            assert sizes == sorted(sizes)
            assert sizes[0] == 2
            assert sizes[-1] >= 3000
            assert len({rows.what for rows in listed}) == len(listed)
            if input == "classes" and inputs == "probs":
                assert all(np.allclose(rows.X.sum(axis=1), 1.0) for rows in listed)
    same = zip(
        calibration_rows("confidence", seed=3), calibration_rows("confidence", seed=3), strict=True
    )
    assert all((a.X == b.X).all() and (a.weights == b.weights).all() for a, b in same)


@pytest.mark.parametrize(
    ("X", "y", "w", "message"),
    [
        ([0.5], [2.0], [1.0], "y: expected values in [0, 1], got 2.0 at index 0; percentages must be "
         "divided by 100"),
        ([0.5], [1.0], [0.5], "weights: expected whole numbers, got fractions"),
        ([[0.5, 0.5]], [1.0, 0.0], [1.0], "X: expected (N,) or (N, K) with one row for each y, "
         "got (1, 2)"),
        ([[0.5, 0.5]], [1.0], [1.0, 1.0], "weights: expected 1 values, one per sample, got 2"),
    ],
)  # fmt: skip
def test_wrong_rows_are_refused(X: Any, y: Any, w: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        CalibrationRows(np.array(X), np.array(y), np.array(w))
    assert str(error.value) == message


def test_wrong_names_are_refused() -> None:
    with pytest.raises(
        InvalidInputError, match="^input: expected one of classes, confidence, got 'class'"
    ):
        check_calibrator(Shift, input="class")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInputError, match="^inputs: expected one of logits, probs, got 'p'$"):
        check_calibrator(Shift, inputs="p")  # pyright: ignore[reportArgumentType]


def test_warnings_about_thin_data_are_not_failures() -> None:
    class Warns(Shift):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
            warnings.warn("thin", UserWarning, stacklevel=2)
            return super().fit(X, y, sample_weight)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_calibrator(Warns)
