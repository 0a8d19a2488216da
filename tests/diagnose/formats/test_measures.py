"""Entropy, effective number, divergence and theory, by hand and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy

from levelhead.diagnose.formats._measures import (
    collapse_step,
    effective_number,
    entropy,
    jensen_shannon,
    kl_divergence,
    kl_optimum,
    pooled,
    replicator_step,
)
from levelhead.errors import InvalidInputError

P0, P1 = [0.5, 0.3, 0.2], [0.97, 0.02, 0.01]


def test_published_example() -> None:
    assert effective_number(P0, correct=False) == pytest.approx(2.80, abs=0.005)
    assert effective_number(P1, correct=False) == pytest.approx(1.17, abs=0.005)
    assert kl_divergence(P1, P0) == pytest.approx(0.559, abs=0.0005)


def test_entropy_is_scipys_plus_millers_term() -> None:
    counts = np.array([[5, 3, 0], [1, 1, 8], [4, 0, 0]])
    plug_in = [scipy_entropy(row / row.sum()) for row in counts]
    seen = [2, 3, 1]
    by_hand = [h + (s - 1) / (2 * n) for h, s, n in zip(plug_in, seen, [8, 10, 4], strict=True)]
    assert entropy(counts) == pytest.approx(by_hand, abs=1e-14)
    assert entropy(counts, correct=False) == pytest.approx(plug_in, abs=1e-14)


def test_one_format_has_no_entropy_and_none_has_no_number() -> None:
    assert effective_number([7, 0]) == 1.0
    assert math.isnan(float(effective_number([0, 0])))


def test_divergence_is_scipys_squared_distance() -> None:
    counts = np.array([[5, 3, 2], [1, 1, 8]])
    by_scipy = [jensenshannon(row, counts[0]) ** 2 for row in counts]
    assert jensen_shannon(counts, counts[0]) == pytest.approx(by_scipy, abs=1e-12)


def test_a_format_the_start_lacks_counts_as_half_a_sample_there() -> None:
    found = float(jensen_shannon([4, 6], [10, 0]))
    assert found == pytest.approx(jensenshannon([4, 6], [10, 0.5]) ** 2, abs=1e-12)


def test_formats_that_neither_has_change_nothing() -> None:
    assert jensen_shannon([4, 6, 0], [5, 5, 0]) == pytest.approx(jensen_shannon([4, 6], [5, 5]))


def test_optimum_against_a_kl_penalty() -> None:
    accuracy = [0.5, 0.6, 0.55]
    for beta, number in ((0.1, 2.81), (0.02, 1.30)):
        best = kl_optimum(P0, accuracy, beta)
        assert effective_number(best, correct=False) == pytest.approx(number, abs=0.005)
        by_hand = np.array(P0) * np.exp(np.array(accuracy) / beta)
        assert best == pytest.approx(by_hand / by_hand.sum(), abs=1e-12)


def test_optimum_beats_every_neighbor() -> None:
    accuracy, beta = np.array([0.5, 0.6, 0.55]), 0.1
    best = kl_optimum(P0, accuracy, beta)

    def value(p: np.ndarray) -> float:
        return float(p @ accuracy) - beta * kl_divergence(p, P0)

    for i, j in ((0, 1), (1, 2), (2, 0)):
        move = np.zeros(3)
        move[i], move[j] = 1e-3, -1e-3
        assert value(best + move) < value(best)


def test_replicator_follows_its_equation() -> None:
    p, a, h = np.array(P0), np.array([0.2, 0.9, 0.4]), 1e-6
    slope = (np.log(replicator_step(p, a, h)) - np.log(p)) / h
    assert slope == pytest.approx(a - p @ a, abs=1e-5)


def test_equal_accuracies_move_nothing() -> None:
    assert replicator_step(P0, [0.4] * 3, 5.0) == pytest.approx(P0, abs=1e-12)


def test_collapse_needs_three_in_a_row() -> None:
    # a tenth of 1.8 is 0.18
    assert collapse_step(range(6), [2.8, 1.18, 1.5, 1.18, 1.1, 1.0]) == 3
    assert collapse_step(range(5), [2.8, 1.1, 1.1, 1.19, 1.1]) is None
    assert collapse_step([0, 1, 2], [1.0, 1.0, 1.0]) is None


def test_points_are_pooled_until_they_have_enough() -> None:
    counts = np.array([[3, 1], [4, 0], [2, 2], [1, 3], [1, 0]])
    found, last, point = pooled(counts, np.array([0, 5, 10, 15, 20]), 8)
    assert found.tolist() == [[7, 1], [4, 5]]
    assert last.tolist() == [5, 20]
    assert point.tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: entropy([1, -1]), r"counts: expected finite numbers >= 0, got -1.0"),
        (lambda: entropy(3), r"counts: expected shape \(\.\.\., F\), got \(\)"),
        (lambda: jensen_shannon([1, 2], [1]), r"start: expected shape \(2,\), got \(1,\)"),
        (lambda: kl_divergence([1], [1, 2]), r"reference: expected 1 shares, got 2"),
        (lambda: kl_divergence([0, 0], [1, 2]), r"shares: expected shares >= 0 with a sum above 0"),
        (lambda: kl_optimum(P0, P0, 0), r"beta: expected a number above 0, got 0"),
        (lambda: kl_optimum(P0, [1], 1), r"accuracy: expected 3 values, got 1"),
        (lambda: replicator_step(P0, P0, -1), r"rate: expected a number >= 0, got -1"),
        (lambda: collapse_step([1], []), r"numbers: expected 1 values, got 0"),
    ],
)
def test_wrong_input_is_named(call: object, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        call()  # type: ignore[operator]
