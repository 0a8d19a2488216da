"""Rows with counts stand for repeated rows in every interval and in the null."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.metrics import ece_excess_test, ece_null
from levelhead.metrics.intervals import (
    bootstrap,
    ece_interval,
    reliability_intervals,
    trust_curve_intervals,
)

VALUES = np.array([0.1234, 0.1234, 0.5678, 0.5678, 0.9123, 0.9123])
LABELS = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
COUNTS = np.array([70, 12, 40, 0, 30, 148])
ROWS, RIGHT = np.repeat(VALUES, COUNTS), np.repeat(LABELS, COUNTS)


def test_bootstrap_is_the_same_draw_by_draw() -> None:
    names = ["ece", "accuracy", "auroc", "aurc", "trust"]
    counted = bootstrap(VALUES, LABELS, names, counts=COUNTS, n_boot=200)
    repeated = bootstrap(ROWS, RIGHT, names, n_boot=200)
    for name in names:
        assert counted[name].value == pytest.approx(repeated[name].value)
        assert counted[name].low == pytest.approx(repeated[name].low)
        assert counted[name].high == pytest.approx(repeated[name].high)
    weighted = bootstrap(VALUES, LABELS, names, weights=COUNTS, n_boot=200)
    assert weighted["accuracy"].low < counted["accuracy"].low - 0.1  # six rows, not three hundred


def test_the_other_intervals_and_the_null() -> None:
    a, b = ece_interval(VALUES, LABELS, counts=COUNTS), ece_interval(ROWS, RIGHT)
    assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), abs=1e-9)
    a, b = reliability_intervals(VALUES, LABELS, counts=COUNTS), reliability_intervals(ROWS, RIGHT)
    assert np.allclose(a, b)
    (a,) = trust_curve_intervals(VALUES, LABELS, [0.5], counts=COUNTS, n_boot=200)
    (b,) = trust_curve_intervals(ROWS, RIGHT, [0.5], n_boot=200)
    assert (a.low, a.high) == pytest.approx((b.low, b.high))
    one, two = ece_null(VALUES, counts=COUNTS, n_draws=4000), ece_null(ROWS, n_draws=4000)
    assert one.expected == pytest.approx(two.expected, rel=0.05)
    assert one.quantile_95 == pytest.approx(two.quantile_95, rel=0.08)
    one, two = ece_excess_test(VALUES, LABELS, counts=COUNTS), ece_excess_test(ROWS, RIGHT)
    assert one.ece == pytest.approx(two.ece)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"counts": [1, 2]}, "expected"),
        ({"counts": COUNTS - 50}, "expected whole numbers >= 0, got -38.0 at index 1"),
        ({"counts": COUNTS + 0.5}, "expected whole numbers >= 0, got 70.5 at index 0"),
        ({"counts": COUNTS, "weights": LABELS}, "no weights and no clusters beside them"),
        ({"counts": COUNTS, "clusters": LABELS}, "no weights and no clusters beside them"),
    ],
)
def test_errors(given: dict, says: str) -> None:
    for call in (
        lambda **k: bootstrap(VALUES, LABELS, ["ece"], **k),
        lambda **k: ece_interval(VALUES, LABELS, **k),
        lambda **k: ece_excess_test(VALUES, LABELS, **k),
    ):
        with pytest.raises(InvalidInputError, match=says):
            call(**given)
