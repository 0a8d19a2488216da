"""Contract checks of calibrators."""

from __future__ import annotations

import copy
import dataclasses
import json
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol, Self

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.testing._calibration_rows import (
    CalibrationRows,
    bad_rows,
    calibration_rows,
    short,
    softmax,
)
from levelhead.testing._contract import FAILURES, ContractError, refuses

__all__ = ["check_calibrator"]

FIT_TOLERANCE = 1e-6
"""Two fits of the same problem in another order may stop this far apart."""

EXACT = 1e-9
CLIP = 1e-6
"""The identity is compared where no loss is infinite: many calibrators take a logit first."""

LARGE = 2000
"""Rows beyond which a fit is tried once and not in every order."""

FEW = 20
SHRINKING_FITS = 120


class CalibratorLike(Protocol):
    """What is needed of a calibrator to check it."""

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self: ...
    def predict(self, X: ArrayLike) -> FloatArray: ...
    def get_params(self) -> dict[str, Any]: ...
    def state(self) -> dict[str, Any]: ...
    @classmethod
    def from_state(cls, params: dict[str, Any], state: dict[str, Any]) -> Self: ...


def check_calibrator(
    make: Callable[[], CalibratorLike],
    *,
    input: Literal["confidence", "classes"] = "confidence",
    inputs: Literal["logits", "probs"] = "logits",
    monotone: bool = False,
    nests_identity: bool = False,
    refuses_few: bool = False,
    tolerance: float = FIT_TOLERANCE,
    rows: Iterable[CalibrationRows] | None = None,
    name: str | None = None,
) -> None:
    """Check that a calibrator keeps its contracts, on rows where wrong ones break them.

    It has scikit-learn's `fit(X, y, sample_weight=None)`, `predict(X)` and `get_params()`, and
    `state()` and `from_state(params, state)`. Its predictions are float64 in [0, 1] (class
    probabilities sum to 1), and a row's depends on that row alone; JSON gives back the same ones bit
    for bit; the inputs are not written to; a second fit forgets the first; the order of the rows does
    not matter; a whole weight equals that many copies; a row that is right to a share y equals two,
    one right with weight y and one wrong with weight 1 - y; and what cannot be fitted raises
    `InvalidInputError` with the argument's name (as `levelhead.calibrators.check_fit` and
    `check_rows` do it for a calibrator of your own).

    Args:
        make: gives an unfitted calibrator; a class will do.
        input: "confidence" for one probability per row, "classes" for one column per class.
        inputs: for classes, whether the columns are "logits" or "probs".
        monotone: whether a higher confidence never gets a lower value; for classes, whether the
            order of the classes in a row is kept.
        nests_identity: whether it can fit the identity (of confidences clipped to [eps_, 1 - eps_]
            where it has a fitted `eps_`), so that its log loss on the rows of the fit is never above
            the identity's.
        refuses_few: whether it may refuse, with `InvalidInputError`, to be fitted to 20 rows or fewer.
        tolerance: how far apart two fits of one problem may predict.
        rows: what to try it on; `calibration_rows(input)` unless given.
        name: what to call it in the message; the class's name unless given.

    Raises:
        ContractError: a contract is broken; the message has rows that are as few as could be found.
        InvalidInputError: `input` or `inputs` is neither of the two.

    Properties: it cannot see a calibrator that is legal and useless; only a value computed by hand can.

    Example:
        >>> from levelhead.calibrators import PlattScaling
        >>> check_calibrator(PlattScaling, monotone=True, nests_identity=True)
    """
    if input not in ("confidence", "classes"):
        raise unknown_name("input", str(input), ("confidence", "classes"))
    if inputs not in ("logits", "probs"):
        raise unknown_name("inputs", str(inputs), ("logits", "probs"))
    label = name or type(make()).__name__
    checks: list[_Check] = [_fits, _in_range, _untouched, _round_trip, _alone, _forgets]
    checks += [_keeps_order] if monotone else []
    checks += [_beats_identity] if nests_identity else []
    small_only: list[_Check] = [_any_order, _whole_weights, _any_type]
    small_only += [_fractions] if input == "confidence" else []
    tried = list(calibration_rows(input, inputs=inputs) if rows is None else rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # thin data are what these rows are
        for check in [*checks, *small_only]:
            for one in tried:
                if one.y.size <= LARGE or check not in small_only:
                    case = _Case(make, label, inputs, refuses_few, tolerance, one)
                    _run(check, case)
        _refuses(make, label, input, inputs)


@dataclasses.dataclass(frozen=True)
class _Case:
    make: Callable[[], CalibratorLike]
    name: str
    inputs: Literal["logits", "probs"]
    refuses_few: bool
    tolerance: float
    rows: CalibrationRows

    def fit(self, X: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> CalibratorLike:
        given = copy.deepcopy((X, y))  # one that writes to them spoils nothing else
        fresh = self.make()
        if weights is None:
            return fresh.fit(*given)
        return fresh.fit(*given, sample_weight=copy.deepcopy(weights))

    @property
    def fitted(self) -> CalibratorLike:
        return self.fit(self.rows.X, self.rows.y, self.rows.weights)

    @property
    def asked(self) -> FloatArray:
        """What the fit is asked for: its own rows, and others that it has not seen."""
        X = self.rows.X
        if X.ndim == 1:
            return np.sort(np.concatenate([X, np.linspace(0.0, 1.0, 101)]))
        others = np.random.default_rng(5).normal(0.0, 3.0, (20, X.shape[1]))
        return np.concatenate([X, softmax(others) if self.inputs == "probs" else others])

    def expect(self, contract: str, wanted: FloatArray, got: FloatArray, tolerance: float) -> None:
        apart = np.abs(wanted - got)
        if wanted.shape != got.shape:
            self.fail(f"{contract}: expected shape {wanted.shape}, got {got.shape}")
        elif not (apart <= tolerance).all():
            at = np.unravel_index(int(np.nan_to_num(apart, nan=np.inf).argmax()), apart.shape)
            row = short(self.asked[at[0]].tolist())
            self.fail(
                f"{contract}: expected {float(wanted[at])!r} at {row}, got {float(got[at])!r}"
            )

    def fail(self, problem: str) -> None:
        raise ContractError(f"{self.name}: {problem}; fitted to {self.rows}")


_Check = Callable[[_Case], None]


def _run(check: _Check, case: _Case) -> None:
    """Run a check; where it fails, drop rows as long as it still does, and tell the last failure."""
    failure = _failure(check, case)
    if failure is None:
        return
    # Greedily: halves, quarters, ..., single rows. Rows that cannot be fitted are no failure.
    budget, step = SHRINKING_FITS, case.rows.y.size // 2
    while step >= 1 and budget > 0:
        start = 0
        while start < case.rows.y.size > 1 and budget > 0:
            kept = np.r_[0:start, start + step : case.rows.y.size]
            smaller = _without(case, kept)
            budget -= 1
            again = None if smaller is None else _failure(check, smaller)
            if smaller is not None and again is not None:
                case, failure = smaller, again
            else:
                start += step
        step //= 2
    raise failure


def _failure(check: _Check, case: _Case) -> ContractError | None:
    try:
        check(case)
    except ContractError as error:
        return error
    except InvalidInputError as error:
        if check is _fits and not (case.refuses_few and case.rows.y.size <= FEW):
            return ContractError(f"{case.name}: expected a fit, got {error}; for {case.rows}")
    except FAILURES as error:
        kind = type(error).__name__
        return ContractError(f"{case.name}: expected a fit, got {kind}: {error}; for {case.rows}")
    return None


def _fittable(rows: CalibrationRows) -> bool:
    counted = rows.y[rows.weights > 0.0]
    return bool(counted.max() > counted.min()) or bool(0.0 < counted[0] < 1.0 and rows.X.ndim == 1)


def _without(case: _Case, kept: np.ndarray[Any, Any]) -> _Case | None:
    rows = case.rows
    if kept.size == 0 or not rows.weights[kept].any():
        return None
    smaller = CalibrationRows(rows.X[kept], rows.y[kept], rows.weights[kept], rows.what)
    return dataclasses.replace(case, rows=smaller) if _fittable(smaller) else None


def _fits(case: _Case) -> None:
    fresh = case.make()
    X, y, weights = copy.deepcopy((case.rows.X, case.rows.y, case.rows.weights))
    fitted: object = fresh.fit(X, y, sample_weight=weights)
    if fitted is not fresh:
        case.fail(f"fit returns the calibrator itself: got {type(fitted).__name__}")


def _in_range(case: _Case) -> None:
    got = case.fitted.predict(case.asked)
    shape = case.asked.shape
    what = f"{type(got).__name__} of {np.asarray(got).dtype}, shape {np.shape(got)}"
    if what != f"ndarray of float64, shape {shape}":
        case.fail(f"expected predictions of float64 and shape {shape}, got {what}")
        return
    bad = ~((got >= 0.0) & (got <= 1.0))
    if bad.any():
        at = np.unravel_index(int(bad.argmax()), shape)
        row = short(case.asked[at[0]].tolist())
        case.fail(f"expected predictions in [0, 1], got {float(got[at])!r} at {row}")
    if got.ndim == 2 and (off := np.abs(got.sum(axis=1) - 1.0)).max() > EXACT:
        i = int(off.argmax())
        row = short(case.asked[i].tolist())
        case.fail(f"expected rows that sum to 1, got {float(got[i].sum())!r} at {row}")


def _untouched(case: _Case) -> None:
    arrays = {"X": case.rows.X, "y": case.rows.y, "sample_weight": case.rows.weights}
    given = {key: array.copy() for key, array in arrays.items()}
    fitted = case.make().fit(given["X"], given["y"], sample_weight=given["sample_weight"])
    fitted.predict(given["X"])
    for key, array in arrays.items():
        if not np.array_equal(given[key], array):
            case.fail(f"the inputs are not written to: {key} has changed")
        given[key].flags.writeable = False
    try:
        case.make().fit(given["X"], given["y"], sample_weight=given["sample_weight"])
        fitted.predict(given["X"])
    except ValueError as error:
        case.fail(f"the inputs are not written to: read-only arrays give {error}")


def _round_trip(case: _Case) -> None:
    fitted = case.fitted
    wanted = fitted.predict(case.asked)
    try:
        text = json.dumps(fitted.state(), allow_nan=False)
    except (TypeError, ValueError) as error:
        case.fail(f"the state is plain JSON: {error}")
        return
    again = type(fitted).from_state(fitted.get_params(), json.loads(text)).predict(case.asked)
    case.expect("JSON gives back the same predictions bit for bit", wanted, again, 0.0)


def _alone(case: _Case) -> None:
    fitted = case.fitted
    whole = fitted.predict(case.asked)
    some = np.random.default_rng(2).permutation(whole.shape[0])[:12]
    got = whole.copy()
    for i in some.tolist():
        got[i] = fitted.predict(case.asked[i : i + 1])[0]
    case.expect("a row's prediction depends on that row alone", whole, got, EXACT)


def _forgets(case: _Case) -> None:
    X = case.rows.X
    # twice, to have rows of each kind; turned around, to have another fit
    other = case.make().fit(
        np.concatenate([X, X]), np.concatenate([case.rows.y, case.rows.y[::-1]])
    )
    y, weights = case.rows.y.copy(), case.rows.weights.copy()
    got = other.fit(X.copy(), y, sample_weight=weights).predict(case.asked)
    case.expect("a second fit forgets the first", case.fitted.predict(case.asked), got, EXACT)


def _keeps_order(case: _Case) -> None:
    asked = case.asked
    got = case.fitted.predict(asked)
    if got.ndim == 1:
        fall = np.diff(got)
        if fall.min() < -1e-15:
            i = int(fall.argmin())
            case.fail(
                f"a higher confidence never gets a lower value: got {float(got[i])!r} at "
                f"{float(asked[i])!r}, and {float(got[i + 1])!r} at {float(asked[i + 1])!r}"
            )
        return
    order = np.argsort(asked, axis=1, kind="stable")
    fall = np.diff(np.take_along_axis(got, order, axis=1), axis=1).min(axis=1)
    if fall.min() < -1e-15:
        i = int(fall.argmin())
        row = short(asked[i].tolist())
        case.fail(f"the order of the classes is kept: got {short(got[i].tolist())} at {row}")


def _beats_identity(case: _Case) -> None:
    rows = case.rows
    plain = rows.X
    if plain.ndim == 2 and case.inputs == "logits":
        plain = softmax(plain)
    fitted = case.fitted
    if plain.ndim == 1:
        clip = max(CLIP, float(getattr(fitted, "eps_", 0.0)))
        plain = np.clip(plain, clip, 1.0 - clip)
    limit = _loss(plain, rows) + EXACT
    got = _loss(fitted.predict(rows.X), rows)
    if not got <= limit:
        case.fail(
            f"a log loss on the rows of the fit that is not above the identity's: expected at most "
            f"{limit!r}, got {got!r}"
        )


def _any_order(case: _Case) -> None:
    rows, wanted = case.rows, case.fitted.predict(case.asked)
    mixed = np.random.default_rng(1).permutation(rows.y.size)
    for order in (np.arange(rows.y.size)[::-1], mixed):
        fitted = case.fit(rows.X[order], rows.y[order], rows.weights[order])
        got = fitted.predict(case.asked)
        case.expect("the order of the rows does not matter", wanted, got, case.tolerance)


def _whole_weights(case: _Case) -> None:
    rows = case.rows
    times = rows.weights.astype(np.int64)
    copies = case.fit(np.repeat(rows.X, times, axis=0), np.repeat(rows.y, times))
    wanted, got = copies.predict(case.asked), case.fitted.predict(case.asked)
    case.expect("a whole weight equals that many copies", wanted, got, case.tolerance)


def _fractions(case: _Case) -> None:
    X, y, w = case.rows.X, case.rows.y, case.rows.weights
    right = np.concatenate([np.ones(y.size), np.zeros(y.size)])
    for share in (y, 0.25 + 0.5 * y):
        split = case.fit(np.tile(X, 2), right, np.concatenate([w * share, w * (1.0 - share)]))
        wanted, got = split.predict(case.asked), case.fit(X, share, w).predict(case.asked)
        case.expect("a fraction of correctness is a split row", wanted, got, case.tolerance)


def _any_type(case: _Case) -> None:
    rows, wanted = case.rows, case.fitted.predict(case.asked)
    contract = "the number type and the layout do not matter"
    listed = case.fit(rows.X.tolist(), rows.y.tolist(), rows.weights.tolist())
    case.expect(contract, wanted, listed.predict(case.asked.tolist()), case.tolerance)
    if rows.X.ndim == 1:
        column = case.fit(rows.X[:, None], rows.y, rows.weights).predict(case.asked[:, None])
        case.expect("a column (N, 1) is the same as (N,)", wanted, column, case.tolerance)
    narrow = rows.X.astype(np.float32)
    if rows.X.ndim == 2 and case.inputs == "logits":
        wanted = case.fit(narrow.astype(np.float64), rows.y, rows.weights).predict(case.asked)
        got = case.fit(narrow, rows.y, rows.weights).predict(case.asked)
        case.expect(contract, wanted, got, case.tolerance)


def _refuses(make: Callable[[], CalibratorLike], name: str, input: str, inputs: str) -> None:
    def fit(X: ArrayLike, y: ArrayLike, **named: ArrayLike) -> object:
        return make().fit(X, y, **named)

    refuses(fit, name, bad_rows(input, inputs))
    try:
        got = make().predict([0.5, 0.7] if input == "confidence" else [[0.0, 1.0], [0.5, 0.5]])
    except FAILURES:
        return
    raise ContractError(f"{name}: expected an error for predict before fit, got {got!r}")


def _loss(p: FloatArray, rows: CalibrationRows) -> float:
    q = np.clip(p, CLIP, 1.0 - CLIP)
    if q.ndim == 2:
        losses = -np.log(q[np.arange(rows.y.size), rows.y.astype(np.int64)])
    else:
        losses = -rows.y * np.log(q) - (1.0 - rows.y) * np.log1p(-q)
    return float(losses @ rows.weights / rows.weights.sum())
