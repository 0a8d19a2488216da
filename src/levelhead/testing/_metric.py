"""Contract checks of metrics."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, paired
from levelhead.errors import InvalidInputError
from levelhead.testing._contract import (
    TOLERANCE,
    ContractError,
    bad_pairs,
    bad_weights,
    name_of,
    refuses,
)

__all__ = ["Sample", "check_metric", "samples"]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One input of a metric.

    Attributes:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1]; 0.5 counts half.
        weights: (N,) whole numbers >= 0 that are not all 0: a weight of 3 must equal three copies.
    """

    confidence: FloatArray
    correct: FloatArray
    weights: FloatArray

    def __post_init__(self) -> None:
        paired(self.confidence, self.correct, self.weights)
        if not np.array_equal(self.weights, np.round(self.weights)):
            raise InvalidInputError("weights: expected whole numbers, got fractions")

    def __str__(self) -> str:
        columns = zip(self.confidence[:6], self.correct[:6], self.weights[:6], strict=True)
        rows = ", ".join(f"({c:.6g}, {y:.6g}, {w:g})" for c, y, w in columns)
        more = f", ... {self.confidence.size} in all" if self.confidence.size > 6 else ""
        return f"(confidence, correct, weight) = {rows}{more}"


def samples(seed: int = 0) -> list[Sample]:
    """Inputs on which wrong metrics go wrong: ties, bin edges, one sample, one class, halves.

    Args:
        seed: of the random ones among them.

    Returns:
        The samples, small ones first.

    Example:
        >>> max(sample.confidence.size for sample in samples())
        200
    """
    draw = np.random.default_rng(seed)
    grid = np.arange(11) / 10.0
    hundredths = draw.integers(0, 101, 60) / 100.0
    continuous = draw.uniform(size=200)
    columns: list[tuple[FloatArray, ArrayLike]] = [
        (np.array([0.7]), [1.0]),
        (np.array([0.7]), [0.0]),
        (np.array([0.5, 0.5]), [0.5, 0.5]),
        (np.ones(3), np.zeros(3)),
        (np.zeros(3), np.ones(3)),
        (np.array([0.0, 1.0, 0.0, 1.0]), [0.0, 1.0, 1.0, 0.0]),
        (np.array([0.9, 0.9, 0.6]), [1.0, 0.0, 1.0]),
        (np.full(7, 0.8), [1, 1, 1, 0, 0, 1, 0.5]),
        (grid, np.ones(11)),
        (grid, np.zeros(11)),
        (np.repeat(grid, 3), np.tile([1.0, 0.0, 0.5], 11)),
        (hundredths, draw.uniform(size=60) < hundredths),
        (continuous, draw.uniform(size=200) < continuous**2),
    ]
    found: list[Sample] = []
    for confidence, correct in columns:
        weights = draw.integers(0, 4, confidence.size).astype(np.float64)
        weights[0] = 2.0
        found.append(Sample(confidence, np.asarray(correct, dtype=np.float64), weights))
    return found


MetricFunction = Callable[..., float]


def check_metric(
    function: MetricFunction,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    plug_in: bool = True,
    weights: Literal["copies", "importance", "none"] = "copies",
    linear: bool = True,
    tolerance: float = TOLERANCE,
    inputs: Iterable[Sample] | None = None,
    name: str | None = None,
) -> None:
    """Check that a metric `(confidence, correct, *, weights=None) -> float` keeps its contracts.

    It returns a float in its range, or NaN where it is undefined; the order of the samples, their
    number type and their memory layout do not matter; a whole weight equals that many copies; a
    sample that is correct to a share y equals two, one right with weight y and one wrong with
    weight 1 - y; the inputs are not written to; and wrong inputs raise `InvalidInputError` with
    the argument's name.

    Args:
        function: the metric.
        low: its smallest possible value.
        high: its largest possible value.
        plug_in: whether three copies of every sample, or a constant weight, leave it unchanged.
        weights: `copies` where a whole weight equals that many copies, `importance` where only
            their ratios count, `none` where it takes no weights.
        linear: whether a fractional `correct` is an expected correctness; tried with `copies` only.
        tolerance: how far apart, absolutely and relatively, two equal values may be.
        inputs: what to try it on; `samples()` unless given.
        name: what to call it in the message; the function's name unless given.

    Raises:
        ContractError: a contract is broken.

    Example:
        >>> from levelhead.metrics import brier
        >>> check_metric(brier, low=0.0, high=1.0)
    """
    checks: list[_MetricCheck] = [_untouched, _in_range, _same_again, _any_order, _any_type]
    checks += [_three_copies] if plug_in else []
    copies = weights == "copies"
    checks += [_whole_weights] if copies else []
    checks += [_constant_weight] if weights == "importance" or (copies and plug_in) else []
    checks += [_fractions] if copies and linear else []
    label = name or name_of(function)
    tried = samples() if inputs is None else inputs
    cases = [_MetricCase(function, label, low, high, tolerance, sample) for sample in tried]
    for check in checks:
        for case in cases:
            check(case)
    refuses(function, label, bad_pairs("correct"))
    if weights != "none":
        refuses(function, label, bad_weights())


@dataclasses.dataclass(frozen=True)
class _MetricCase:
    function: MetricFunction
    name: str
    low: float
    high: float
    tolerance: float
    sample: Sample

    def value(
        self, confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        if weights is None:
            return self.function(confidence, correct)
        try:
            return self.function(confidence, correct, weights=weights)
        except TypeError as error:
            raise ContractError(
                f"{self.name}: expected it to take weights=..., got TypeError: {error}"
            ) from error

    @property
    def plain(self) -> float:
        return self.value(self.sample.confidence, self.sample.correct)

    def expect(self, contract: str, wanted: float, got: float) -> None:
        close = math.isclose(wanted, got, rel_tol=self.tolerance, abs_tol=self.tolerance)
        if not close and not (math.isnan(wanted) and math.isnan(got)):
            self.fail(f"{contract}: expected {wanted!r}, got {got!r}")

    def fail(self, problem: str) -> None:
        raise ContractError(f"{self.name}: {problem}; for {self.sample}")


_MetricCheck = Callable[[_MetricCase], None]


def _in_range(case: _MetricCase) -> None:
    value: object = case.plain
    if not isinstance(value, float):
        case.fail(f"expected a float, got {type(value).__name__}")
    elif not (math.isnan(value) or case.low - TOLERANCE <= value <= case.high + TOLERANCE):
        case.fail(f"expected a value in [{case.low}, {case.high}] or NaN, got {value!r}")


def _same_again(case: _MetricCase) -> None:
    first, second = case.plain, case.plain
    if first != second and not (math.isnan(first) and math.isnan(second)):
        case.fail(f"the same input gives the same value: got {first!r}, then {second!r}")


def _any_order(case: _MetricCase) -> None:
    c, y = case.sample.confidence, case.sample.correct
    mixed = np.random.default_rng(1).permutation(c.size)
    for order in (slice(None, None, -1), mixed):
        case.expect(
            "the order of samples does not matter", case.plain, case.value(c[order], y[order])
        )


def _any_type(case: _MetricCase) -> None:
    c, y = case.sample.confidence, case.sample.correct
    contract = "the number type and the layout do not matter"
    case.expect(contract, case.plain, case.value(c.tolist(), y.tolist()))
    case.expect(contract, case.plain, case.value(np.repeat(c, 2)[::2], np.repeat(y, 2)[::2]))
    short = c.astype(np.float32)
    case.expect(contract, case.value(short.astype(np.float64), y), case.value(short, y))
    if np.isin(y, (0.0, 1.0)).all():
        for kind in (np.bool_, np.int64, np.uint8, np.float32):
            case.expect(contract, case.plain, case.value(c, y.astype(kind)))


def _untouched(case: _MetricCase) -> None:
    given = [case.sample.confidence.copy(), case.sample.correct.copy()]
    case.value(*given)
    if not np.array_equal(given[0], case.sample.confidence):
        case.fail("the inputs are not written to: confidence has changed")
    if not np.array_equal(given[1], case.sample.correct):
        case.fail("the inputs are not written to: correct has changed")
    for array in given:
        array.flags.writeable = False
    try:
        case.value(*given)
    except ValueError as error:
        case.fail(f"the inputs are not written to: read-only arrays give {error}")


def _three_copies(case: _MetricCase) -> None:
    c, y = case.sample.confidence, case.sample.correct
    tripled = case.value(np.tile(c, 3), np.tile(y, 3))
    case.expect("three copies of every sample change nothing", case.plain, tripled)


def _whole_weights(case: _MetricCase) -> None:
    c, y, w = case.sample.confidence, case.sample.correct, case.sample.weights
    times = w.astype(np.int64)
    copies = case.value(np.repeat(c, times), np.repeat(y, times))
    case.expect("a whole weight equals that many copies", copies, case.value(c, y, w))


def _constant_weight(case: _MetricCase) -> None:
    c, y = case.sample.confidence, case.sample.correct
    for weight in (1.0, 0.3, 1e6):
        got = case.value(c, y, np.full(c.size, weight))
        case.expect(f"a constant weight ({weight:g}) changes nothing", case.plain, got)


def _fractions(case: _MetricCase) -> None:
    c, y, w = case.sample.confidence, case.sample.correct, case.sample.weights
    right = np.concatenate([np.ones(c.size), np.zeros(c.size)])
    for share in (y, 0.25 + 0.5 * y):
        split = case.value(np.tile(c, 2), right, np.concatenate([w * share, w * (1.0 - share)]))
        got = case.value(c, share, w)
        case.expect("a fraction of correctness is a split sample", split, got)
