"""Overconfidence: hand cases, loops, decimals, the undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelhead.errors import InvalidInputError
from levelhead.metrics.overconfidence import (
    TABLE,
    accuracy,
    confidence_on_errors,
    confident_error_rate,
    errors_at_least,
    mean_confidence,
    overconfidence,
    top_label,
)

TOLERANCE = 1e-12

# Right at 0.9 and 0.6, wrong at 0.99, 0.9, 0.2, half right at 0.5.
CONFIDENCE = [0.9, 0.6, 0.99, 0.9, 0.2, 0.5]
CORRECT = [1.0, 1.0, 0.0, 0.0, 0.0, 0.5]

ROWS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1 * 3, 0.3, 0.5, 0.9, 0.3 * 3, 0.95, 1.0]) | st.floats(0, 1),
        st.sampled_from([0.0, 1.0, 0.5]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=25,
).filter(lambda rows: any(w for *_, w in rows))


def test_by_hand() -> None:
    assert mean_confidence(CONFIDENCE, CORRECT) == pytest.approx(4.09 / 6, abs=TOLERANCE)
    assert accuracy(CONFIDENCE, CORRECT) == pytest.approx(2.5 / 6, abs=TOLERANCE)
    assert overconfidence(CONFIDENCE, CORRECT) == pytest.approx(1.59 / 6, abs=TOLERANCE)
    # Errors: 0.99, 0.9, 0.2 whole and 0.5 half.
    assert confidence_on_errors(CONFIDENCE, CORRECT) == pytest.approx(2.34 / 3.5, abs=TOLERANCE)
    assert errors_at_least(CONFIDENCE, CORRECT) == pytest.approx(2 / 3.5, abs=TOLERANCE)
    assert errors_at_least(CONFIDENCE, CORRECT, threshold=0.99) == pytest.approx(1 / 3.5)
    assert confident_error_rate(CONFIDENCE, CORRECT) == pytest.approx(2 / 6, abs=TOLERANCE)
    assert confident_error_rate(CONFIDENCE, CORRECT, threshold=0.5) == pytest.approx(2.5 / 6)


def test_weights_by_hand() -> None:
    weights = [1, 0, 2, 0, 1, 4]
    assert mean_confidence(CONFIDENCE, CORRECT, weights=weights) == pytest.approx(5.08 / 8)
    assert accuracy(CONFIDENCE, CORRECT, weights=weights) == pytest.approx(3 / 8)
    assert overconfidence(CONFIDENCE, CORRECT, weights=weights) == pytest.approx(2.08 / 8)
    assert confidence_on_errors(CONFIDENCE, CORRECT, weights=weights) == pytest.approx(3.18 / 5)
    assert errors_at_least(CONFIDENCE, CORRECT, weights=weights) == pytest.approx(2 / 5)
    assert confident_error_rate(CONFIDENCE, CORRECT, weights=weights) == pytest.approx(2 / 8)


def test_underconfidence_is_negative() -> None:
    assert overconfidence([0.6, 0.6], [1, 1]) == pytest.approx(-0.4)


def test_thresholds_are_inclusive_and_know_decimals() -> None:
    assert 0.3 * 3 < 0.9  # the trap
    assert errors_at_least([0.3 * 3, 0.9, 0.89], [0, 0, 0], threshold=0.9) == pytest.approx(2 / 3)
    assert confident_error_rate([0.3 * 3, 0.9, 0.89], [0, 0, 0]) == pytest.approx(2 / 3)
    assert errors_at_least([0.9 - 1e-6], [0]) == 0.0
    assert errors_at_least([1.0], [0], threshold=1.0) == 1.0
    assert errors_at_least([0.0], [0], threshold=0.0) == 1.0


def test_without_errors_what_speaks_of_errors_is_undefined() -> None:
    assert math.isnan(confidence_on_errors([0.9, 0.3], [1, 1]))
    assert math.isnan(errors_at_least([0.9, 0.3], [1, 1]))
    assert math.isnan(errors_at_least([0.9, 0.3], [1, 0], weights=[1, 0]))
    assert confident_error_rate([0.9, 0.3], [1, 1]) == 0.0


@given(ROWS)
def test_against_loops(rows: list[tuple[float, float, int]]) -> None:
    c, y, w = zip(*rows, strict=True)
    total = sum(w)
    errors = sum((1 - b) * k for _, b, k in rows)
    high = sum((1 - b) * k for a, b, k in rows if a >= 0.9 - 1e-9)
    assert mean_confidence(c, y, weights=w) == pytest.approx(sum(a * k for a, _, k in rows) / total)
    assert accuracy(c, y, weights=w) == pytest.approx(sum(b * k for _, b, k in rows) / total)
    assert confident_error_rate(c, y, weights=w) == pytest.approx(high / total)
    if errors:
        assert errors_at_least(c, y, weights=w) == pytest.approx(high / errors)
        mean = sum(a * (1 - b) * k for a, b, k in rows) / errors
        assert confidence_on_errors(c, y, weights=w) == pytest.approx(mean)


@given(ROWS)
def test_overconfidence_is_the_difference_and_whole_weights_are_copies(
    rows: list[tuple[float, float, int]],
) -> None:
    c, y, w = (np.array(x, dtype=float) for x in zip(*rows, strict=True))
    copies = np.repeat(np.arange(c.size), w.astype(int))
    for row in TABLE:
        expected = row.function(c[copies], y[copies])
        assert row.function(c, y, weights=w) == pytest.approx(expected, abs=TOLERANCE, nan_ok=True)
    gap = mean_confidence(c, y, weights=w) - accuracy(c, y, weights=w)
    assert overconfidence(c, y, weights=w) == pytest.approx(gap, abs=TOLERANCE)


@given(ROWS)
def test_fractional_correctness_is_a_mixture(rows: list[tuple[float, float, int]]) -> None:
    c, y, w = (np.array(x, dtype=float) for x in zip(*rows, strict=True))
    split = np.concatenate([c, c]), np.repeat([1.0, 0.0], c.size)
    weights = np.concatenate([w * y, w * (1 - y)])
    for row in TABLE:
        expected = row.function(*split, weights=weights)
        got = row.function(c, y, weights=w)
        assert got == pytest.approx(expected, abs=TOLERANCE, nan_ok=True)


def test_the_table_names_its_thresholds() -> None:
    rows = {row.name: row for row in TABLE}
    assert rows["errors_at_90"].function(CONFIDENCE, CORRECT) == pytest.approx(2 / 3.5)
    assert rows["errors_at_99"].function(CONFIDENCE, CORRECT) == pytest.approx(1 / 3.5)
    assert {row.event_reading for row in TABLE} == {"top-label"}


def test_top_label_by_hand() -> None:
    sure, right = top_label([0.8, 0.8, 0.3, 0.3, 0.5, 0.5, 0.0, 1.0], [1, 0, 1, 0, 1, 0, 0, 1])
    assert sure.tolist() == [0.8, 0.8, 0.7, 0.7, 0.5, 0.5, 1.0, 1.0]
    assert right.tolist() == [1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 1.0, 1.0]


def test_top_label_of_an_expected_outcome() -> None:
    sure, right = top_label([0.8, 0.3, 0.5], [0.9, 0.9, 0.9])
    assert sure.tolist() == [0.8, 0.7, 0.5]
    assert right == pytest.approx([0.9, 0.1, 0.5])


def test_a_half_that_missed_by_rounding_is_a_half() -> None:
    almost = 0.7 - 0.2
    assert almost != 0.5
    assert top_label([almost, 0.5 + 1e-6], [1, 1])[1].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("digits", [1, 2, 3, 4, 6])
def test_complements_of_decimals_tie_exactly(digits: int) -> None:
    scale = 10**digits
    k = np.unique(np.linspace(0, scale // 2 - 1, 5000).astype(int))
    low, _ = top_label(k / scale, np.zeros(k.size))
    high, _ = top_label((scale - k) / scale, np.zeros(k.size))
    np.testing.assert_array_equal(low, high)
    if digits == 2:
        assert (1.0 - k / scale != high).any()  # the trap


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=1, max_size=20))
def test_top_label_mirrors(rows: list[tuple[float, float]]) -> None:
    p, happened = (np.array(x) for x in zip(*rows, strict=True))
    sure, right = top_label(p, happened)
    assert ((sure >= 0.5 - TOLERANCE) & (sure <= 1.0)).all()
    mirrored, same = top_label(1 - p, 1 - happened)
    assert mirrored == pytest.approx(sure, abs=TOLERANCE)
    np.testing.assert_array_equal(same, right)


def test_inputs_are_untouched() -> None:
    p, happened = np.array([0.2, 0.5, 0.9]), np.array([1.0, 0.0, 1.0])
    top_label(p, happened)
    assert p.tolist() == [0.2, 0.5, 0.9]
    assert happened.tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_errors_say_what_is_wrong(row) -> None:
    with pytest.raises(
        InvalidInputError, match=r"^confidence: expected values in \[0, 1\], got 90.0"
    ):
        row.function([90.0], [1])
    with pytest.raises(
        InvalidInputError, match=r"confidence: expected at least one value, got none"
    ):
        row.function([], [])
    with pytest.raises(InvalidInputError, match=r"correct: expected 2 values, one for each"):
        row.function([0.1, 0.2], [1])
    with pytest.raises(InvalidInputError, match=r"weights: expected finite values >= 0, got -1.0"):
        row.function([0.1, 0.2], [1, 0], weights=[1, -1])


def test_errors_name_threshold_and_outcome() -> None:
    with pytest.raises(InvalidInputError, match=r"^threshold: expected values in \[0, 1\], got 90"):
        errors_at_least([0.5], [0], threshold=90)
    with pytest.raises(InvalidInputError, match=r"^threshold: .* got nan"):
        confident_error_rate([0.5], [0], threshold=float("nan"))
    with pytest.raises(InvalidInputError, match=r"^outcome: expected values in \[0, 1\], got 2.0"):
        top_label([0.5], [2])
