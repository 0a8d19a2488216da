"""Differences of means by hand."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.diagnose.sharpening._interval import interval
from levelhead.diagnose.sharpening._result import difference, fell, rose


def test_a_difference_by_hand() -> None:
    base, tuned = np.array([0.0, 1.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0])
    found = difference(base, tuned, 0.9, seed=0)
    assert (found.base, found.tuned, found.value) == (0.25, 1.0, 0.75)
    assert (found.low, found.high) == interval(np.array([1.0, 0.0, 1.0, 1.0]), 0.9)
    assert (found.p_up, found.p_down) == (pytest.approx(1 / 8), 1.0)  # three heads of three coins


def test_what_can_change_more_has_a_wider_interval() -> None:
    base, tuned = np.zeros(40), np.full(40, 0.5)
    narrow = difference(base, tuned, 0.95, seed=0)
    wide = difference(base, tuned, 0.95, seed=0, worst=4.0)
    assert (wide.low, wide.high) == interval(tuned, 0.95, worst=4.0)
    assert wide.low < narrow.low < 0.5 == narrow.high < wide.high


def test_no_change_is_as_wide_as_the_most_that_an_unseen_problem_can_change() -> None:
    same = np.full(40, 0.4)
    found = difference(same, same, 0.95, seed=0)
    assert (found.value, found.p_up, found.p_down, found.low, found.high) == (0, 1, 1, 0, 0)
    found = difference(same, same, 0.95, seed=0, worst=1.0)
    assert found.high == pytest.approx(1.0 - 0.025 ** (1 / 40), abs=1e-5)


def test_what_no_problem_shows_is_taken_for_as_large_as_what_one_does() -> None:
    """All of 60 rose by 2 points: one that falls by 2 takes little, and one by 100 takes all of it."""
    base, tuned = np.full(60, 0.5), np.full(60, 0.52)
    weight = 1.0 - 0.025 ** (1 / 60)
    found = difference(base, tuned, 0.95, 0)
    assert found.low == pytest.approx(0.02 * (1.0 - 2.0 * weight), abs=1e-6)
    assert rose(found, 0.025)
    assert not fell(found, 0.025)
    assert not rose(difference(base, tuned, 0.95, 0, worst=1.0), 0.025)
    tuned[0] = 0.0
    assert not rose(difference(base, tuned, 0.95, 0), 0.025)
