"""Rows on which calibrators are checked, and rows that they must refuse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, cast

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, paired, vector, weights_or_none
from levelhead.errors import InvalidInputError
from levelhead.testing._contract import Refusal

__all__ = ["CalibrationRows", "bad_rows", "calibration_rows", "short", "softmax"]


@dataclasses.dataclass(frozen=True)
class CalibrationRows:
    """What a calibrator is fitted to in a check.

    Attributes:
        X: (N,) confidences in [0, 1], or (N, K) logits or probabilities.
        y: (N,) correctness in [0, 1], or (N,) class indices.
        weights: (N,) whole numbers >= 0: a weight of 3 must equal three copies.
        what: what is special about them.
    """

    X: FloatArray
    y: FloatArray
    weights: FloatArray
    what: str = ""

    def __post_init__(self) -> None:
        if self.X.ndim == 1:
            paired(self.X, self.y, self.weights, names=("X", "y"))
        elif self.X.ndim != 2 or self.X.shape[0] != vector("y", self.y).size:
            raise InvalidInputError(
                f"X: expected (N,) or (N, K) with one row for each y, got {self.X.shape}"
            )
        weights_or_none(self.weights, self.X.shape[0])
        if not np.array_equal(self.weights, np.round(self.weights)):
            raise InvalidInputError("weights: expected whole numbers, got fractions")

    def __str__(self) -> str:
        name = "confidence" if self.X.ndim == 1 else "columns"
        target = "correct" if self.X.ndim == 1 else "class"
        listed = zip(self.X[:6].tolist(), self.y[:6], self.weights[:6], strict=True)
        rows = ", ".join(f"({short(x)}, {y:.6g}, {w:g})" for x, y, w in listed)
        more = f", ... {self.y.size} in all" if self.y.size > 6 else ""
        return f"({name}, {target}, weight) = {rows}{more}"


def calibration_rows(
    input: Literal["confidence", "classes"],
    *,
    inputs: Literal["logits", "probs"] = "logits",
    seed: int = 0,
) -> list[CalibrationRows]:
    """Rows on which wrong calibrators go wrong: ties, one value, 0 and 1, two rows, halves, many.

    Args:
        input: "confidence" or "classes".
        inputs: for classes, what the columns hold.
        seed: of the random ones among them.

    Returns:
        The rows, small ones first.

    Example:
        >>> [rows.y.size for rows in calibration_rows("confidence")][:3]
        [2, 2, 3]
    """
    draw = np.random.default_rng(seed)
    listed = list(_confidence_rows(draw) if input == "confidence" else _class_rows(draw))
    found: list[CalibrationRows] = []
    for what, X, y in listed:
        target = np.asarray(y, dtype=np.float64)
        columns = np.asarray(X, dtype=np.float64)
        if input == "classes" and inputs == "probs":
            columns = softmax(columns)
        weights = draw.integers(0, 4, target.size).astype(np.float64)
        weights[: min(4, target.size)] = [2.0, 1.0, 3.0, 1.0][: min(4, target.size)]
        found.append(CalibrationRows(columns, target, weights, what))
    return sorted(found, key=lambda rows: rows.y.size)


def bad_rows(input: str, inputs: str) -> Iterator[Refusal]:
    """Wrong inputs of a fit: what is wrong, the argument to be named, and the arguments."""
    confidence = input == "confidence"
    good = np.tile([0.2, 0.7, 0.7, 0.4], 3)
    if not confidence:
        good = np.tile([[2.0, 0.0, -1.0], [0.5, 2.0, 0.0], [0.0, 1.0, 2.5]], (4, 1))
        good = softmax(good) if inputs == "probs" else good
    y = np.tile([0.0, 1.0, 0.0, 1.0], 3) if confidence else np.tile([0.0, 1.0, 2.0], 4)
    bad = {"NaN": np.nan, "infinity": np.inf}
    if confidence:
        bad |= {"a percentage": 87.0, "a negative value": -0.1}
    for what, value in bad.items():
        wrong = good.copy()
        wrong[1] = value
        yield f"{what} in X", "X", (wrong, y), {}
    for what, value in (bad if confidence else {"class 3 of 3": 3.0, "half a class": 0.5}).items():
        wrong = y.copy()
        wrong[1] = value
        yield f"{what} in y", "y", (good, wrong), {}
    yield "no rows", "X", (good[:0], y[:0]), {}
    yield "lengths that differ", "y", (good, y[:-1]), {}
    yield "one class only", "y", (good, np.ones(y.size)), {}
    yield (
        "a text",
        "X",
        ([["high"] * good[0].size] * 3 if good.ndim == 2 else ["high"] * 3, y[:3]),
        {},
    )
    for what, value in {"negative": -1.0, "NaN": np.nan, "infinite": np.inf}.items():
        weights = np.ones(y.size)
        weights[1] = value
        yield f"a weight that is {what}", "weight", (good, y), {"sample_weight": weights}
    yield "weights that are all 0", "weight", (good, y), {"sample_weight": np.zeros(y.size)}
    yield "weights of another length", "weight", (good, y), {"sample_weight": np.ones(3)}


_Listed = tuple[str, ArrayLike, ArrayLike]


def _confidence_rows(draw: np.random.Generator) -> Iterator[_Listed]:
    grid = np.arange(11) / 10.0
    hundredths = draw.integers(0, 101, 60) / 100.0
    skewed = draw.beta(5.0, 1.5, 200)
    yield "two rows", [0.3, 0.8], [0, 1]
    yield "two rows that are the wrong way round", [0.3, 0.8], [1, 0]
    yield "0 and 1, right, and a half", [0.0, 1.0, 0.5], [0, 1, 0.5]
    yield "0 and 1, wrong as well", [0.0, 1.0, 0.0, 1.0], [0, 1, 1, 0]
    yield "one value", np.full(7, 0.8), [1, 1, 1, 0, 0, 1, 0.5]
    yield "certain, and not always right", np.ones(6), [1, 1, 0, 1, 1, 0]
    certain = np.repeat([1.0, 0.9, 0.1], 10)
    yield "certain and right", certain, [*[1.0] * 19, *[0.0] * 10, 1.0]
    yield "separable", np.linspace(0.05, 0.95, 10), np.repeat([0.0, 1.0], 5)
    yield "every tenth, with ties", np.repeat(grid, 3), np.tile([1.0, 0.0, 0.5], 11)
    yield "duplicates", np.tile([0.6, 0.9, 0.9, 0.7], 9), np.tile([1.0, 0.0, 1.0, 0.0], 9)
    yield "the wrong way round", grid[1:-1], (grid[1:-1] < 0.45).astype(np.float64)
    yield "hundredths", hundredths, draw.uniform(size=60) < 0.3 + 0.4 * hundredths
    yield "overconfident", skewed, draw.uniform(size=200) < skewed**3
    yield "fractions", draw.uniform(size=80), draw.integers(0, 5, 80) / 4.0
    tiny = 1.0 - 10.0 ** -draw.uniform(0.0, 17.0, 50)
    yield "nearly certain", tiny, draw.uniform(size=50) < 0.8
    many = draw.integers(0, 1001, 10_000) / 1000.0
    yield "many", many, draw.uniform(size=10_000) < 0.2 + 0.6 * many


def _class_rows(draw: np.random.Generator) -> Iterator[_Listed]:
    def drawn(n: int, k: int, scale: float, bias: float) -> tuple[FloatArray, ArrayLike]:
        z = draw.normal(0.0, 1.0, (n, k))
        y = np.array([draw.choice(k, p=row) for row in softmax(z)])
        z = scale * z
        z[:, 0] += bias
        return z, y

    # No case looks like probabilities: a calibrator of logits may refuse those.
    yield "two rows", [[2.0, 0.0], [0.0, 2.0]], [0, 1]
    yield "two rows that are wrong", [[2.0, 0.0], [0.0, 2.0]], [1, 0]
    yield "one value", np.zeros((8, 3)), [0, 1, 2, 0, 1, 2, 0, 0]
    yield "certain, and not always right", np.tile([50.0, 0.0], (6, 1)), [0, 0, 0, 0, 1, 0]
    yield "separable", np.tile(4.0 * np.eye(3), (4, 1)), np.tile([0, 1, 2], 4)
    yield "a class that never happens", np.tile(3.0 * np.eye(4), (5, 1)), np.tile([0, 1, 1, 3], 5)
    yield ("overconfident, two classes", *drawn(150, 2, 3.0, 0.0))
    yield ("overconfident and biased", *drawn(120, 3, 4.0, 1.0))
    yield ("enough for a matrix", *drawn(600, 3, 2.5, 1.5))
    yield ("many", *drawn(3000, 4, 2.5, 1.0))


def softmax(z: FloatArray) -> FloatArray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(short(one) for one in cast(list[Any], value)) + "]"
    return f"{value:.6g}"
