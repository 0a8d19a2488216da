"""Tally: the compressed rows give every metric the value of all rows, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from levelhead.errors import InvalidInputError
from levelhead.metrics.binned import bin_index, ece
from levelhead.metrics.overconfidence import errors_at_least, overconfidence
from levelhead.metrics.selective import aurc, auroc, e_aurc
from levelhead.metrics.tally import GRID_CELLS, Tally
from levelhead.metrics.unbinned import brier

TOLERANCE = 1e-12
VALUES = st.sampled_from([0.0, 0.29, 0.3, 0.1 * 3, 1 / 3, 0.5, 0.9, 1.0])
ROWS = st.lists(
    st.tuples(VALUES, st.sampled_from([0.0, 1.0, 0.5]), st.integers(0, 3)), min_size=1, max_size=30
).filter(lambda rows: any(w for *_, w in rows))


def by_hand(c, y, w):
    table = {}
    for value, right, weight in zip(c, y, w, strict=True):
        wrong, hits = table.get(value, (0.0, 0.0))
        table[value] = (wrong + weight * (1 - right), hits + weight * right)
    return {
        (value, float(k)): mass[k] for value, mass in table.items() for k in (0, 1) if mass[k] > 0
    }


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 5))
def test_equals_a_dictionary_and_keeps_every_metric(rows, blocks):
    c, y, w = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    tally = Tally()
    for part in np.array_split(np.arange(c.size), blocks):
        tally.update(c[part], y[part], weights=w[part])
    assert tally.exact
    assert tally.n == c.size
    assert tally.weight == pytest.approx(w.sum())
    got = {(a, b): m for a, b, m in zip(*tally.arrays(), strict=True)}
    assert got == pytest.approx(by_hand(c, y, w))
    confidence, correct, weights = tally.arrays()
    assert np.all(np.diff(confidence) >= 0)
    for metric in (ece, auroc, aurc, brier):
        whole, packed = metric(c, y, weights=w), metric(confidence, correct, weights=weights)
        assert packed == pytest.approx(whole, abs=TOLERANCE, nan_ok=True)
    assert tally.brier() == pytest.approx(brier(c, y, weights=w), abs=TOLERANCE)
    ends = tally.auroc_bounds()
    assert ends == pytest.approx((auroc(c, y, weights=w),) * 2, abs=TOLERANCE, nan_ok=True)


def test_merging_is_adding():
    rng = np.random.default_rng(0)
    c = np.where(rng.random(500) < 0.5, rng.integers(0, 101, 500) / 100, rng.random(500))
    y = (rng.random(500) < c).astype(float)
    whole = Tally.from_arrays(c, y)
    left, right = Tally.from_arrays(c[:200], y[:200]), Tally.from_arrays(c[200:], y[200:])
    before = right.arrays()
    merged = left.merge(right)
    for a, b in zip(merged.arrays(), whole.arrays(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE)
    assert merged.n == 500
    assert merged.brier() == pytest.approx(whole.brier(), abs=TOLERANCE)
    for a, b in zip(before, right.arrays(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("merged", [False, True])
def test_the_grid_keeps_binned_sums_and_bounds_ranks(merged):
    rng = np.random.default_rng(1)
    n = 30_000
    c, y, w = rng.random(n), rng.integers(0, 2, n).astype(float), rng.random(n)
    c[:3000] = rng.integers(0, 11, 3000) / 10
    c[3000:3100] = 0.1 * 3
    y[:50] = 0.5
    if merged:
        tally = Tally.from_arrays(c[:100], y[:100], weights=w[:100], max_distinct=1000)
        tally.merge(Tally.from_arrays(c[100:], y[100:], weights=w[100:], max_distinct=1000))
    else:
        tally = Tally.from_arrays(c, y, weights=w, max_distinct=1000)
    assert not tally.exact
    assert tally.resolution == 1 / GRID_CELLS
    assert tally.n == n
    rows = tally.arrays()
    for bins in (10, 12, 15, 20, 25, 30, 50, 60, 75, 100):
        full = ece(c, y, n_bins=bins, weights=w)
        assert ece(rows[0], rows[1], n_bins=bins, weights=rows[2]) == pytest.approx(full, abs=1e-11)
    assert tally.brier() == pytest.approx(brier(c, y, weights=w), abs=TOLERANCE)
    hard = np.concatenate([np.ones(n), np.zeros(n)])
    area = roc_auc_score(hard, np.tile(c, 2), sample_weight=np.concatenate([w * y, w * (1 - y)]))
    low, high = tally.auroc_bounds()
    assert low <= area <= high
    assert 0 < high - low < 2e-3  # the tenths tie within their cells


def test_grid_cells_nest_in_the_bins_even_for_decimals_on_an_edge():
    decimals = np.concatenate([np.arange(101) / 100, np.arange(11) * 0.1, 1 - np.arange(11) * 0.1])
    decimals = np.clip(decimals, 0, 1)
    tally = Tally.from_arrays(decimals, np.ones(decimals.size), max_distinct=1)
    c, _, w = tally.arrays()
    for bins in (10, 20):
        want = np.bincount(bin_index(decimals, bins), minlength=bins)
        np.testing.assert_allclose(np.bincount(bin_index(c, bins), w, bins), want)


def test_a_decimal_on_an_edge_shares_no_cell_with_what_lies_beyond_it():
    c = np.array([0.1 * 3, 0.300005, 0.7, 0.700005])
    packed, _, weight = Tally.from_arrays(c, np.ones(4), max_distinct=1).arrays()
    np.testing.assert_allclose(np.bincount(bin_index(packed, 10), weight, 10)[[2, 3, 6, 7]], 1.0)


@pytest.mark.parametrize("low_end", [False, True])
def test_ranks_survive_where_all_the_mass_is_next_to_an_end(low_end):
    rng = np.random.default_rng(2)
    tiny = 10 ** rng.uniform(-9, -1, 300_000)
    c = tiny if low_end else 1 - tiny
    y = rng.integers(0, 2, c.size).astype(float)  # knows nothing
    tally = Tally.from_arrays(c[:1000], y[:1000]).merge(Tally.from_arrays(c[1000:], y[1000:]))
    assert not tally.exact
    packed, correct, weight = tally.arrays()
    assert np.all(np.diff(packed) >= 0)
    low, high = tally.auroc_bounds()
    assert low <= auroc(c, y) <= high
    assert high - low < 5e-4
    assert 0.49 < auroc(c, y) < 0.51
    for metric in (auroc, aurc, e_aurc):
        assert metric(packed, correct, weights=weight) == pytest.approx(metric(c, y), abs=1e-4)
    for bins in (10, 15, 100):
        full = ece(c, y, n_bins=bins)
        assert ece(packed, correct, n_bins=bins, weights=weight) == pytest.approx(full, abs=1e-12)


def test_right_and_wrong_of_a_cell_tie():
    c = np.array([0.123_456_1, 0.123_456_2, 1 - 1e-7, 1 - 1.001e-7, 1e-7, 1.001e-7])
    tally = Tally.from_arrays(c, [0, 1, 1, 0, 1, 0], weights=[1, 3, 1, 1, 1, 1], max_distinct=1)
    packed, correct, weight = tally.arrays()
    assert packed.size == 6
    assert packed[::2].tolist() == packed[1::2].tolist()
    assert packed[::2] == pytest.approx([1.0005e-7, 0.123_456_175, 1 - 1.0005e-7], rel=1e-12)
    assert 1 - packed[-1] == pytest.approx(1.0005e-7, rel=1e-6)
    assert correct.tolist() == [0, 1] * 3
    assert weight.tolist() == [1, 1, 1, 3, 1, 1]


def test_the_order_of_the_last_floats_below_one_is_kept():
    c = 1.0 - np.arange(200) * 2.0**-53
    tally = Tally.from_arrays(np.tile(c, 7), np.ones(1400), max_distinct=1)
    packed, _, weight = tally.arrays()
    assert packed[packed > c[100]].tolist() == c[:100][::-1].tolist()
    assert weight.sum() == 1400


def test_hundredths_among_other_values_are_exact():
    rng = np.random.default_rng(4)
    n = 40_000
    c = rng.random(n)
    c[: n // 2] = rng.choice([0.9, 1 - 0.1, 0.99, 0.3, 0.1 * 3, 0.35, 0.0, 1.0], n // 2)
    c[:50], c[50:100] = np.nextafter(0.9, 0), 0.9 - 1e-8
    y, w = rng.choice([0.0, 1.0, 0.5], n), rng.random(n)
    tally = Tally.from_arrays(c, y, weights=w, max_distinct=1000)
    assert not tally.exact
    packed, correct, weight = tally.arrays()
    for threshold in (0.9, 0.99, 0.3, 0.35, 1.0):
        full = errors_at_least(c, y, threshold=threshold, weights=w)
        got = errors_at_least(packed, correct, threshold=threshold, weights=weight)
        assert got == pytest.approx(full, abs=TOLERANCE)
    for bins in (10, 20, 25, 50, 100):
        for closed in ("left", "right"):
            full = ece(c, y, n_bins=bins, closed=closed, weights=w)
            got = ece(packed, correct, n_bins=bins, closed=closed, weights=weight)
            assert got == pytest.approx(full, abs=1e-11)
    gap = overconfidence(packed, correct, weights=weight)
    assert gap == pytest.approx(overconfidence(c, y, weights=w), abs=TOLERANCE)
    assert tally.weight == pytest.approx(w.sum())
    low, high = tally.auroc_bounds()  # 0.3 and 0.1 * 3 are one point of the grid, but do not tie
    assert low <= auroc(c, y, weights=w) <= high


def test_points_are_known_exactly_unless_values_were_moved_there():
    c = np.concatenate([np.tile([0.3, 0.9], 50), [0.111, 0.222]])
    y = np.concatenate([np.tile([0, 1, 1, 0], 25), [0, 1]])
    other = Tally.from_arrays([0.1 * 3], [1], max_distinct=1).merge(
        Tally.from_arrays([0.5551], [1], max_distinct=1)
    )
    tally = Tally.from_arrays(c, y, max_distinct=3)
    assert not tally.exact
    assert tally.auroc_bounds() == pytest.approx((auroc(c, y),) * 2, abs=TOLERANCE)
    tally.merge(other)
    low, high = tally.auroc_bounds()
    c, y = np.append(c, [0.1 * 3, 0.5551]), np.append(y, [1, 1])
    assert low + 1e-3 < auroc(c, y) <= high + TOLERANCE


def test_percentages_do_not_count_as_many_values_when_few_are_allowed():
    c = np.arange(101) / 100
    assert Tally.from_arrays(c, np.ones(101), max_distinct=101).exact
    assert not Tally.from_arrays(c, np.ones(101), max_distinct=100).exact
    assert (
        Tally.from_arrays(np.random.default_rng(0).random(70_000), np.ones(70_000)).exact is False
    )
    keep = Tally.from_arrays(
        np.random.default_rng(0).random(70_000), np.ones(70_000), max_distinct=None
    )
    assert keep.exact
    assert keep.arrays()[0].size == 70_000


def test_one_class_stays_one_class_with_weights_that_round():
    tally = Tally.from_arrays([0.1] * 10, [1] * 10, weights=[0.1] * 10)
    tally.update([0.1] * 7, [1] * 7, weights=[0.3] * 7)
    assert set(tally.arrays()[1]) == {1.0}
    assert np.isnan(tally.auroc_bounds()[0])


def test_empty_blocks_and_zero_weights():
    tally = Tally().update([], [])
    assert tally.n == 0
    assert np.isnan(tally.brier())
    with pytest.raises(InvalidInputError, match="at least one prediction of positive weight"):
        tally.arrays()
    tally.update([0.4], [1], weights=[0.0])
    assert (tally.n, tally.weight) == (1, 0.0)


def test_errors():
    with pytest.raises(InvalidInputError, match="max_distinct: expected at least 1 or None, got 0"):
        Tally(max_distinct=0)
    with pytest.raises(
        InvalidInputError, match="confidence: expected values in \\[0, 1\\], got 87"
    ):
        Tally().update([87.0], [1])
    with pytest.raises(InvalidInputError, match="weights: expected finite values >= 0"):
        Tally().update([0.5], [1], weights=[-1.0])
    with pytest.raises(InvalidInputError, match="correct: expected 2 values"):
        Tally.from_arrays([0.5, 0.5], [1])
