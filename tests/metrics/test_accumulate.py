"""Tests of the binning rule, the chunked sums and the accumulator."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelhead.errors import InvalidInputError
from levelhead.metrics import _accumulate as acc
from levelhead.metrics.binned import (
    BinnedAccumulator,
    ece,
    mce,
    over_ece,
    reliability_curve,
    under_ece,
)

ROUNDING = 1e-12

decimals = st.integers(0, 100).map(lambda k: k / 100)
confidences = st.one_of(decimals, st.floats(0.0, 1.0))
samples = st.lists(
    st.tuples(confidences, st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 4)), min_size=1
)


def test_sums_are_exact_against_fsum_over_many_chunks() -> None:
    rng = np.random.default_rng(0)
    n = 3 * 65_536 + 17
    c = rng.random(n)
    y = (rng.random(n) < 0.3).astype(float)
    gap, total = acc.gap_sums(c, y, None, acc.BinRule(7))
    k = np.maximum(np.ceil(c * 7).astype(int) - 1, 0)
    exact = [math.fsum(c[k == b]) - math.fsum(y[k == b]) for b in range(7)]
    np.testing.assert_allclose(gap, exact, rtol=1e-13)
    assert total == n
    sums = acc.bin_sums(c, y, None, acc.BinRule(7))
    np.testing.assert_allclose(
        sums.confidence, [math.fsum(c[k == b]) for b in range(7)], rtol=1e-13
    )
    assert sums.correct.tolist() == [y[k == b].sum() for b in range(7)]
    assert sums.weight.tolist() == [(k == b).sum() for b in range(7)]


def test_two_million_samples_of_one_confidence_lose_nothing() -> None:
    # A float32 sum stops growing here and reports 0.38 instead of 0.4.
    n = 2_000_000
    c, y = np.full(n, 0.9), np.zeros(n)
    y[::2] = 1.0
    gap, total = acc.gap_sums(c, y, None, acc.BinRule())
    assert gap[8] / total == pytest.approx(0.4, abs=ROUNDING)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32, np.float64, ">f8"])
def test_correct_of_every_type_counts_the_same(dtype: str) -> None:
    c, y = np.array([0.2, 0.7, 0.7, 1.0]), np.array([1, 0, 1, 1]).astype(dtype)
    gap, total = acc.gap_sums(c, y, None, acc.BinRule())
    assert (gap[1], gap[6], gap[9], total) == pytest.approx((-0.8, 0.4, 0.0, 4.0), abs=1e-15)


def test_strided_read_only_and_integer_confidences() -> None:
    wide = np.array([0.25, 9.0, 0.75, 9.0, 1.0, 9.0])
    wide.setflags(write=False)
    y = np.array([0, 1, 1])
    gap, _ = acc.gap_sums(wide[::2], y, None, acc.BinRule())
    assert (gap[2], gap[7], gap[9]) == (0.25, -0.25, 0.0)
    gap, _ = acc.gap_sums(np.array([1, 0, 1]), y, None, acc.BinRule())
    assert gap.tolist() == [-1.0, *[0.0] * 8, 1.0]


def test_minus_zero_is_zero() -> None:
    gap, _ = acc.gap_sums(np.array([-0.0, 0.5]), np.array([1.0, -0.0]), None, acc.BinRule())
    assert gap[0] == -1.0
    assert gap[4] == 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1e-300, 1.0 + 2**-52, 87.0])
@pytest.mark.parametrize("where", ["confidence", "correct"])
@pytest.mark.parametrize("index", [0, 65_536 + 3, 99_999])
def test_one_bad_value_anywhere_is_an_error(bad: float, where: str, index: int) -> None:
    arrays = {"confidence": np.full(100_000, 0.5), "correct": np.ones(100_000)}
    arrays[where][index] = bad
    with pytest.raises(
        InvalidInputError, match=rf"^{where}: expected values in \[0, 1\], got .* at"
    ):
        acc.gap_sums(arrays["confidence"], arrays["correct"], None, acc.BinRule())


def test_errors_of_shape_and_weight() -> None:
    rule = acc.BinRule()
    with pytest.raises(InvalidInputError, match=r"^correct: expected 2 values, one for each of"):
        acc.gap_sums(np.array([0.5, 0.5]), np.array([1.0]), None, rule)
    with pytest.raises(InvalidInputError, match=r"^confidence: expected at least one value, got"):
        acc.gap_sums(np.array([]), np.array([]), None, rule)
    with pytest.raises(InvalidInputError, match=r"^confidence: expected one dimension"):
        acc.gap_sums(np.full((2, 2), 0.5), np.full((2, 2), 1.0), None, rule)
    with pytest.raises(InvalidInputError, match=r"^weights: expected 1 values"):
        acc.gap_sums(np.array([0.5]), np.array([1.0]), [1.0, 2.0], rule)
    with pytest.raises(InvalidInputError, match=r"^weights: expected finite values >= 0, got -1"):
        acc.bin_sums([0.5, 0.5], [1, 0], [1.0, -1.0], rule)


def test_errors_of_the_rule() -> None:
    with pytest.raises(InvalidInputError, match=r"^n_bins: expected 1 to 1000000, got 0$"):
        acc.BinRule(0)
    with pytest.raises(InvalidInputError, match=r"^n_bins: expected a whole number, got 2\.5$"):
        acc.BinRule(2.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        InvalidInputError, match=r"^closed: expected one of left, right, got 'rigt'"
    ):
        acc.BinRule(closed="rigt")
    with pytest.raises(InvalidInputError, match=r"^edges: expected one of decimal, float, got 'x'"):
        acc.BinRule(edges="x")


@pytest.mark.parametrize("n_bins", [1, 3, 1_023, 1_025, 1_000_000])
@pytest.mark.parametrize("closed", ["right", "left"])
@pytest.mark.parametrize("edges", ["decimal", "float"])
def test_the_summed_bins_are_those_of_index(n_bins: int, closed: str, edges: str) -> None:
    rng = np.random.default_rng(n_bins)
    c = np.concatenate([rng.random(300), np.round(rng.random(300), 2), [0.0, 1.0]])
    rule = acc.BinRule(n_bins, closed, edges)
    index = rule.index(c)
    assert index.min() >= 0
    assert index.max() < n_bins
    gap, _ = acc.gap_sums(c, np.zeros(c.size), None, rule)
    np.testing.assert_allclose(gap, np.bincount(index, c, n_bins), atol=ROUNDING)


@given(samples, st.integers(1, 12))
def test_mass_bins_hold_whole_ties_in_order_and_balance(
    rows: list[tuple[float, float, int]], n_bins: int
) -> None:
    c = np.array([r[0] for r in rows])
    w = np.array([r[2] for r in rows], dtype=float)
    index = acc.mass_index(c, None, n_bins)
    order = np.argsort(c, kind="stable")
    assert (np.diff(index[order]) >= 0).all()
    for v in np.unique(c):
        assert len(set(index[c == v].tolist())) == 1
    assert index[::-1].tolist() == acc.mass_index(c[::-1], None, n_bins).tolist()
    if w.any():
        repeated = np.repeat(np.arange(c.size), w.astype(int))
        expected = acc.mass_index(c[repeated], None, n_bins)
        assert acc.mass_index(c, w, n_bins)[repeated].tolist() == expected.tolist()


def test_mass_bins_of_distinct_values_are_equal() -> None:
    c = np.random.default_rng(3).permutation(20) / 20
    assert np.bincount(acc.mass_index(c, None, 10)).tolist() == [2] * 10
    assert np.bincount(acc.mass_index(c, None, 4)).tolist() == [5] * 4
    # By hand: the mid-ranks of the values are 1, 2.5 and 4 of 5, and ceil(2 rank / 5) 1, 1, 2.
    assert acc.mass_index(np.array([0.1, 0.1, 0.2, 0.9, 0.9]), None, 2).tolist() == [0, 0, 0, 1, 1]


def chopped(rows: list[tuple[float, float, int]], step: int, weighted: bool) -> BinnedAccumulator:
    out = BinnedAccumulator(5)
    for i in range(0, len(rows), step):
        c, y, w = (list(v) for v in zip(*rows[i : i + step], strict=True))
        out.update(c, y, w if weighted else None)
    return out


@given(samples, st.integers(1, 5), st.booleans())
def test_accumulator_equals_the_one_shot_functions_in_any_order(
    rows: list[tuple[float, float, int]], step: int, weighted: bool
) -> None:
    c, y, w = (np.array(v, dtype=float) for v in zip(*rows, strict=True))
    if weighted and not w.any():
        return
    weights = w if weighted else None
    whole = chopped(rows, step, weighted)
    turned = chopped(rows[::-1], step, weighted)
    half = len(rows) // 2
    merged = chopped(rows[half:], step, weighted).merge(chopped(rows[:half], step, weighted))
    for a in (whole, turned, merged):
        for norm in ("l1", "l2", "max"):
            one_shot = ece(c, y, n_bins=5, norm=norm, weights=weights)
            assert a.ece(norm=norm) == pytest.approx(one_shot, abs=ROUNDING)
        assert a.mce() == pytest.approx(mce(c, y, n_bins=5, weights=weights), abs=ROUNDING)
        expected = over_ece(c, y, n_bins=5, weights=weights)
        assert a.over_ece() == pytest.approx(expected, abs=ROUNDING)
        expected = under_ece(c, y, n_bins=5, weights=weights)
        assert a.under_ece() == pytest.approx(expected, abs=ROUNDING)
        mine, theirs = a.reliability_curve(), reliability_curve(c, y, n_bins=5, weights=weights)
        for name in ("low", "high", "weight", "confidence", "accuracy"):
            np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), atol=ROUNDING)
        assert a.weight == pytest.approx(w.sum() if weighted else c.size)


def test_accumulator_takes_nothing_and_refuses_other_bins() -> None:
    a = BinnedAccumulator()
    a.update([], []).update([0.3], [1.0], [0.0])
    with pytest.raises(InvalidInputError, match=r"^accumulator: expected at least one prediction"):
        a.ece()
    with pytest.raises(InvalidInputError, match=r"^confidence: expected values in \[0, 1\], got 3"):
        a.update([3.0], [1.0], [0.0])
    assert a.update([0.3], [1.0]).ece() == pytest.approx(0.7)
    with pytest.raises(InvalidInputError, match=r"^other: expected an accumulator with the same"):
        a.merge(BinnedAccumulator(15))
    assert a.merge(BinnedAccumulator()).weight == 1.0


def test_accumulator_memory_does_not_grow_with_the_stream() -> None:
    a = BinnedAccumulator(10)
    before = a.sums.weight.nbytes
    for _ in range(50):
        a.update(np.full(1000, 0.5), np.ones(1000))
    assert a.sums.weight.nbytes == before
    assert a.mce(min_weight=50_001) != a.mce(min_weight=50_001)  # NaN: no bin is that full
    assert a.mce(min_weight=50_000) == 0.5
