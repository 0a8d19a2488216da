"""Calibrators of somebody else's in a comparison: scikit-learn's three methods are enough."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from levelhead.calibrators import (
    Calibrator,
    CalibratorLike,
    PlattScaling,
    choose,
    cross_fitted,
)
from levelhead.calibrators._cross import assign_folds, rows_of
from levelhead.calibrators._foreign import MOST_COMPLEX, method_of, simplicity_of
from levelhead.errors import InvalidInputError

DRAW = np.random.default_rng(0)
SAID = DRAW.beta(5.0, 1.5, 300)
RIGHT = (DRAW.uniform(size=300) < SAID**3).astype(np.float64)


class BaseRate:
    """The share that was right, whatever was said; it has nothing of ours."""

    def __init__(self, prior: float = 1.0) -> None:
        self.prior = prior

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"prior": self.prior}

    def fit(self, X: Any, y: Any) -> None:
        self.rate_ = (np.sum(y) + self.prior) / (len(y) + 2 * self.prior)

    def predict(self, X: Any) -> list[float]:
        return [self.rate_] * len(X)


class Weighted(BaseRate):
    method = "weighted"
    simplicity = -1

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> None:
        w = np.ones(len(y)) if sample_weight is None else sample_weight
        self.rate_ = float(np.average(y, weights=w))


def test_one_without_a_name_or_a_rank_is_called_by_its_class_and_is_the_most_complex() -> None:
    assert isinstance(BaseRate(), CalibratorLike)
    assert (method_of(BaseRate()), simplicity_of(BaseRate())) == ("BaseRate", MOST_COMPLEX)
    assert (method_of(Weighted()), simplicity_of(Weighted())) == ("weighted", -1)
    assert (method_of(PlattScaling()), simplicity_of(PlattScaling())) == ("platt", 2)


def test_it_is_compared_and_the_loss_is_that_of_a_loop() -> None:
    found = choose(SAID, RIGHT, methods=["platt", BaseRate(3.0)])
    (one,) = (c for c in found.candidates if c.method == "BaseRate")
    folds = assign_folds(rows_of(SAID, RIGHT, None, None), 5, 0)
    losses = []
    for fold in range(5):
        rest = RIGHT[folds != fold]
        rate = (rest.sum() + 3.0) / (rest.size + 6.0)
        losses += [-math.log(rate if y else 1.0 - rate) for y in RIGHT[folds == fold]]
    assert one.loss == pytest.approx(np.mean(losses), abs=1e-12)
    assert one.simplicity == MOST_COMPLEX


def test_it_can_win_and_is_returned_fitted_and_unshared() -> None:
    given = Weighted()
    found = choose(np.full(100, 0.9), np.tile([1, 0], 50), methods=["identity", given])
    assert found.method == "weighted"
    assert isinstance(found.calibrator, Weighted)
    assert found.calibrator is not given
    assert found.calibrator.predict([0.3]) == [0.5]
    assert not hasattr(given, "rate_")


def test_it_is_cross_fitted() -> None:
    values = cross_fitted(BaseRate(), SAID, RIGHT)
    folds = assign_folds(rows_of(SAID, RIGHT, None, None), 5, 0)
    for fold in range(5):
        rest = RIGHT[folds != fold]
        np.testing.assert_allclose(
            values[folds == fold], (rest.sum() + 1) / (rest.size + 2), atol=1e-15
        )


def test_weights_need_a_fit_that_takes_them() -> None:
    weights = np.ones(300)
    weights[:100] = 2.0
    assert choose(SAID, RIGHT, methods=[Weighted()], sample_weight=weights).method == "weighted"
    with pytest.raises(
        InvalidInputError, match="BaseRate: expected a fit that takes sample_weight"
    ):
        cross_fitted(BaseRate(), SAID, RIGHT, sample_weight=weights)
    both = choose(SAID, RIGHT, methods=["platt", BaseRate()], sample_weight=weights)
    assert "sample_weight" in both.candidates[-1].note


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda X: [1.2] * len(X), r"expected predictions in \[0, 1\], got 1.2"),
        (lambda X: [math.nan] * len(X), r"expected predictions in \[0, 1\], got nan"),
        (lambda X: [0.5], r"expected predictions of shape \(60,\), got \(1,\)"),
        (lambda X: ["high"] * len(X), "expected numbers from predict"),
    ],
    ids=["above 1", "NaN", "one value", "texts"],
)
def test_what_it_predicts_is_checked(value: Any, message: str) -> None:
    class Wrong(BaseRate):
        def predict(self, X: Any) -> list[float]:
            return value(X)

    with pytest.raises(InvalidInputError, match=f"Wrong: {message}"):
        cross_fitted(Wrong(), SAID, RIGHT)
    found = choose(SAID, RIGHT, methods=["platt", Wrong()])
    assert found.method == "platt"
    assert "Wrong: expected" in found.candidates[-1].note


@pytest.mark.parametrize(
    "bad",
    [3, BaseRate, Calibrator, object()],
    ids=["number", "foreign class", "own class", "object"],
)
def test_what_is_none(bad: Any) -> None:
    with pytest.raises(InvalidInputError, match="an object with fit, predict and get_params"):
        cross_fitted(bad, SAID, RIGHT)
    with pytest.raises(InvalidInputError, match="methods: expected several, got the single"):
        choose(SAID, RIGHT, methods=BaseRate())  # type: ignore[arg-type]
