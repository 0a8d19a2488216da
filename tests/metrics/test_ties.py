"""Tie blocks against loops, harmonic sums against exact sums and scipy."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma

from levelhead.metrics._ties import harmonic_rise, tie_blocks

VALUES = st.sampled_from([0.0, -0.0, 5e-324, 0.1, 0.3, 0.1 * 3, 0.5, 0.7, 1.0 - 2**-53, 1.0])
ROWS = st.lists(st.tuples(VALUES, st.integers(0, 1)), min_size=1, max_size=30)


def by_loop(rows: list[tuple[float, float]], weights: list[float]) -> list[tuple[float, ...]]:
    out = []
    for value in sorted({c + 0.0 for c, _ in rows}, reverse=True):
        inside = [(y, w) for (c, y), w in zip(rows, weights, strict=True) if c == value]
        weight = sum(w for _, w in inside)
        if weight > 0:
            out.append((value, weight, sum(y * w for y, w in inside)))
    return out


@given(ROWS)
def test_counted_blocks_equal_a_loop(rows: list[tuple[float, int]]) -> None:
    c, y = (np.array(x, dtype=float) for x in zip(*rows, strict=True))
    before = c.copy(), y.copy()
    blocks = tie_blocks(c, y, None)
    assert blocks.weight.dtype == blocks.right.dtype == np.int64
    got = list(zip(blocks.confidence, blocks.weight, blocks.right, strict=True))
    assert got == by_loop(rows, [1.0] * len(rows))
    assert not np.signbit(blocks.confidence).any()
    np.testing.assert_array_equal((c, y), before)


@given(ROWS, st.data())
def test_weighted_blocks_equal_a_loop(rows: list[tuple[float, int]], data: st.DataObject) -> None:
    size = len(rows)
    weights = data.draw(
        st.lists(st.sampled_from([0.0, 1.0, 2.0, 0.5]), min_size=size, max_size=size)
    )
    if not any(weights):
        weights[0] = 1.0
    c, y = (np.array(x, dtype=float) for x in zip(*rows, strict=True))
    blocks = tie_blocks(c, y, np.array(weights))
    got = list(zip(blocks.confidence, blocks.weight, blocks.right, strict=True))
    assert got == by_loop(rows, weights)


def test_fractional_correctness_without_weights() -> None:
    blocks = tie_blocks(np.array([0.2, 0.9, 0.2]), np.array([0.25, 1.0, 0.5]), None)
    assert blocks.confidence.tolist() == [0.9, 0.2]
    assert blocks.weight.tolist() == [1.0, 2.0]
    assert blocks.right.tolist() == [1.0, 0.75]
    assert blocks.wrong.tolist() == [0.0, 1.25]


@pytest.mark.parametrize("start", [0, 1, 2, 7, 15, 16, 17, 100])
@pytest.mark.parametrize("width", [1, 2, 3, 10, 1000])
def test_whole_numbers_give_the_exact_harmonic_sum(start: int, width: int) -> None:
    exact = float(sum(Fraction(1, k) for k in range(start + 1, start + width + 1)))
    got = harmonic_rise(np.array([float(start)]), np.array([float(width)]))[0]
    assert got == pytest.approx(exact, rel=4e-15)


@given(st.floats(0.0, 1e6), st.floats(1e-3, 1e6))
def test_real_numbers_give_a_difference_of_digammas(start: float, width: float) -> None:
    got = harmonic_rise(np.array([start]), np.array([width]))[0]
    expected = digamma(start + width + 1.0) - digamma(start + 1.0)
    assert got == pytest.approx(expected, rel=1e-12, abs=2e-14)  # scipy's own cancellation


def test_a_short_block_far_out_keeps_its_digits() -> None:
    got = harmonic_rise(np.array([1e12]), np.array([2.0]))[0]
    assert got == pytest.approx(1 / (1e12 + 1) + 1 / (1e12 + 2), rel=1e-15)
