"""The contract checks catch wrong scoring rules, each by the contract that it breaks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from levelhead._arrays import FloatArray, paired
from levelhead.errors import InvalidInputError
from levelhead.testing import ContractError, check_scoring_rule


def brier(confidence, outcome) -> FloatArray:
    q, y, _ = paired(confidence, outcome, names=("confidence", "outcome"))
    return y * (1 - q) ** 2 + (1 - y) * q**2


def absolute(confidence, outcome) -> FloatArray:
    q, y, _ = paired(confidence, outcome, names=("confidence", "outcome"))
    return y * (1 - q) + (1 - y) * q


def extremes(p: FloatArray) -> FloatArray:
    return np.where(p > 0.5, 1.0, 0.0)


def test_right_rules_pass() -> None:
    check_scoring_rule(brier)
    check_scoring_rule(absolute, proper=False, optimum=extremes, flat=((0.5, 0.5),))


def scaled(confidence, outcome) -> FloatArray:
    """Improper by 2%: the outcome 0 costs a little more."""
    q, y, _ = paired(confidence, outcome)
    return y * (1 - q) ** 2 + (1 - y) * 1.02 * q**2


def indifferent(confidence, outcome) -> FloatArray:
    return np.zeros_like(paired(confidence, outcome)[0])


def percent_steps(confidence, outcome) -> FloatArray:
    return brier(np.round(np.asarray(confidence, dtype=float), 2), outcome)


def reward(confidence, outcome) -> FloatArray:
    return -brier(confidence, outcome)


def mean_loss(confidence, outcome) -> float:
    return float(brier(confidence, outcome).mean())


def single(confidence, outcome):
    return brier(confidence, outcome).astype(np.float32)


def centered(confidence, outcome) -> FloatArray:
    loss = brier(confidence, outcome)
    return loss - loss.mean()


def squared(confidence, outcome) -> FloatArray:
    q, y, _ = paired(confidence, outcome)
    return (q - y) ** 2


def minus_infinity(confidence, outcome) -> FloatArray:
    q, y, _ = paired(confidence, outcome)
    with np.errstate(divide="ignore", invalid="ignore"):
        return y * np.log(q) + (1 - y) * np.log1p(-q)


def overwrites(confidence, outcome) -> FloatArray:
    loss = brier(confidence, outcome)
    if isinstance(confidence, np.ndarray):
        confidence[:] = 0.5
    return loss


def unchecked(confidence, outcome) -> FloatArray:
    q, y = np.asarray(confidence, dtype=float), np.asarray(outcome, dtype=float)
    return y * (1 - q) ** 2 + (1 - y) * q**2


@pytest.mark.parametrize(
    ("wrong", "contract"),
    [
        (absolute, "expected the best prediction for a truth of 0.01 to be 0.01, got 0"),
        (scaled, "expected the best prediction for a truth of"),
        (reward, "expected the best prediction for a truth of"),
        (indifferent, "expected no prediction as good as 0.01 for a truth of 0.01"),
        (percent_steps, "expected"),
        (mean_loss, "expected 149 float64 losses, got float"),
        (single, "expected 149 float64 losses, got ndarray of float32"),
        (centered, "expected each loss to depend on its own prediction alone"),
        (squared, "expected a fractional outcome to be an expected outcome"),
        (minus_infinity, "expected losses that are numbers or"),
        (overwrites, "the inputs are not written to"),
        (unchecked, "expected InvalidInputError for NaN in confidence"),
    ],
)
def test_a_wrong_rule_is_caught(wrong: Callable[..., FloatArray], contract: str) -> None:
    with pytest.raises(ContractError, match=f"^{wrong.__name__}: .*{contract}"):
        check_scoring_rule(wrong)


def test_an_improper_rule_must_say_where_its_optimum_is_and_be_improper() -> None:
    with pytest.raises(InvalidInputError, match="optimum: expected a function, as the rule is"):
        check_scoring_rule(absolute, proper=False)
    with pytest.raises(ContractError, match="brier: expected an improper rule, but the truth is"):
        check_scoring_rule(brier, proper=False, optimum=lambda p: p)
    with pytest.raises(ContractError, match=r"truth of 0.5 to|as good as 0 for a truth of 0.5"):
        check_scoring_rule(absolute, proper=False, optimum=extremes)
