"""A calibrator of one's own that keeps the contracts with the public checks alone."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pytest

from levelhead.calibrators import check_fit, check_rows, choose
from levelhead.errors import InvalidInputError
from levelhead.testing import ContractError, check_calibrator


class Rate:
    """The weighted share that was right, whatever was said."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        _, right, weights = check_fit(X, y, sample_weight)
        self.rate_ = float(right @ weights / weights.sum())
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.full(check_rows(X).size, self.rate_)

    def state(self) -> dict[str, Any]:
        return {"rate": self.rate_}

    @classmethod
    def from_state(cls, params: dict[str, Any], state: dict[str, Any]) -> Self:
        made = cls(**params)
        made.rate_ = state["rate"]
        return made


class Shares(Rate):
    """The weighted share of each class, whatever the scores."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        rows, right, weights = check_fit(X, y, sample_weight, input="classes")
        counts = np.bincount(right.astype(int), weights=weights, minlength=rows.shape[1])
        self.rate_ = (counts / weights.sum()).tolist()
        return self

    def predict(self, X: Any) -> np.ndarray:
        rows = check_rows(X, input="classes", n_columns=len(self.rate_))
        return np.tile(self.rate_, (rows.shape[0], 1))


def test_the_checks_are_enough_for_the_contracts() -> None:
    check_calibrator(Rate, monotone=True)
    check_calibrator(Shares, input="classes")
    said, right = np.tile([0.9, 0.8], 50), np.tile([1, 1, 0, 1], 25)
    assert {one.method for one in choose(said, right, methods=["platt", Rate()]).candidates} == {
        "platt",
        "Rate",
    }


def test_without_them_the_contracts_are_broken() -> None:
    class Unchecked(Rate):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
            self.rate_ = float(np.average(np.asarray(y, float), weights=sample_weight))
            return self

    with pytest.raises(ContractError, match="expected InvalidInputError for NaN in X"):
        check_calibrator(Unchecked)


@pytest.mark.parametrize(
    ("X", "y", "w", "message"),
    [
        ([0.5, 87], [0, 1], None, "X: expected values in"),
        ([0.5, 0.7], [0, 1, 1], None, "y: expected 2 values"),
        ([0.5, 0.7], [0, 1], [1, -1], "sample_weight: expected"),
        ([0.5, 0.7], [0, 1], [1, 0], r"one class only \(all 0\)"),
        ([0.5, 0.7], [1, 1], None, r"one class only \(all 1\)"),
        ([0.5, 0.7], None, None, "y"),
    ],
)
def test_what_cannot_be_fitted(X: Any, y: Any, w: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        check_fit(X, y, w)


def test_a_fraction_of_correctness_is_of_both_classes() -> None:
    rows, right, weights = check_fit([[0.5], [0.7]], [0.25, 0.25])
    assert rows.shape == right.shape == weights.shape == (2,)


def test_rows_of_classes() -> None:
    with pytest.raises(InvalidInputError, match="X: expected 3 columns, as the fit had, got 2"):
        check_rows([[0.0, 1.0]], input="classes", n_columns=3)
    assert check_rows([[0.0, 1.0]], input="classes").shape == (1, 2)
    for wrong in ("logits", None):
        with pytest.raises(InvalidInputError, match="input"):
            check_rows([0.5], input=wrong)  # type: ignore[arg-type]
