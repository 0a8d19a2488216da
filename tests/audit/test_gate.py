"""The gate's rule, on comparisons made by hand."""

from __future__ import annotations

import pytest

from levelhead.audit.gate import check_gate
from levelhead.audit.result import Comparison, ComparisonRow
from levelhead.errors import InvalidInputError


def comparison(
    name: str, difference: float | None, low: float | None, high: float | None
) -> Comparison:
    row = ComparisonRow(name, name, "lower", 0.2, 0.1, difference, low, high, 0.01, None)
    return Comparison("tuned", "base", 100, 100, "prompt", [row], "")


@pytest.mark.parametrize(
    ("low", "high", "limit", "failed", "word"),
    [
        (0.02, 0.08, 0.01, True, "FAIL"),
        (0.01, 0.08, 0.01, False, "undecided"),  # the edge itself is not beyond the limit
        (-0.02, 0.08, 0.01, False, "undecided"),
        (-0.08, -0.02, 0.0, False, "pass"),
        (0.02, 0.08, 0.1, False, "pass"),
        (0.02, 0.08, 0.08, False, "pass"),
    ],
)
def test_an_increase(low: float, high: float, limit: float, failed: bool, word: str) -> None:
    (line,) = check_gate(comparison("ece", 0.05, low, high), {"max-ece-increase": limit})
    assert line.failed is failed
    assert line.sentence.startswith(word)


def test_a_drop_turns_the_interval_around() -> None:
    (line,) = check_gate(comparison("trust", -0.05, -0.08, -0.02), {"max-trust-drop": 0.01})
    assert line.failed
    assert (line.change, line.low, line.high) == (0.05, 0.02, 0.08)
    (line,) = check_gate(comparison("trust", 0.05, 0.02, 0.08), {"max-trust-drop": 0.0})
    assert not line.failed


def test_undefined_is_undecided() -> None:
    (line,) = check_gate(comparison("auroc", None, None, None), {"max-auroc-drop": 0.0})
    assert not line.failed
    assert line.sentence.startswith("undecided")
    assert line.change is None


def test_errors() -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'max-ece-increase'"):
        check_gate(comparison("ece", 0.1, 0.0, 0.2), {"max-ece-incrase": 0.1})
    with pytest.raises(InvalidInputError, match="expected a limit >= 0, got -0.1"):
        check_gate(comparison("ece", 0.1, 0.0, 0.2), {"max-ece-increase": -0.1})
    with pytest.raises(InvalidInputError, match="got nan"):
        check_gate(comparison("ece", 0.1, 0.0, 0.2), {"max-ece-increase": float("nan")})
