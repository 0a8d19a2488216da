"""The honest ECE interval: coverage by simulation, boundaries, clusters, weights, invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.metrics.binned import ece
from levelhead.metrics.intervals import bootstrap, ece_interval

REPLICATIONS = 250
SLACK = 0.045
"""Below 0.95 minus 3.3 standard errors of a share of 250; the benchmark runs 4,000."""


def calibrated(c):
    return c


def overconfident(c):
    return 0.45 + 0.3 * c


def one_bin_off(c):
    return np.where((c > 0.8) & (c <= 0.9), c - 0.3, c)


def truth(chance, n_bins=10):
    rng = np.random.default_rng(99)
    c = rng.beta(5.0, 1.3, 1_000_000)
    return ece(c, np.clip(chance(c), 0, 1), n_bins=n_bins)


@pytest.mark.parametrize("n", [200, 1000])
@pytest.mark.parametrize("chance", [calibrated, overconfident, one_bin_off])
def test_coverage(chance, n):
    theta = 0.0 if chance is calibrated else truth(chance)
    rng = np.random.default_rng(5)
    hits, percentile_hits = 0, 0
    for i in range(REPLICATIONS):
        c = rng.beta(5.0, 1.3, n)
        y = (rng.random(n) < chance(c)).astype(float)
        interval = ece_interval(c, y, n_draws=500, seed=i)
        hits += interval.low <= theta <= interval.high
        if i < 20:
            plain = bootstrap(c, y, ["ece"], n_boot=200)["ece"]
            percentile_hits += plain.low <= theta <= plain.high
    assert hits / REPLICATIONS >= 0.95 - SLACK
    if chance is calibrated:
        assert percentile_hits == 0


def test_coverage_in_clusters():
    theta, hits, naive = truth(overconfident), 0, 0
    rng = np.random.default_rng(6)
    for i in range(REPLICATIONS):
        prompt = np.repeat(np.arange(150), 4)
        c = rng.beta(5.0, 1.3, 150)[prompt]
        y = (rng.random(150)[prompt] < overconfident(c)).astype(float)
        interval = ece_interval(c, y, clusters=prompt, n_draws=500, seed=i)
        hits += interval.low <= theta <= interval.high
        loose = ece_interval(c, y, n_draws=500, seed=i)
        naive += loose.low <= theta <= loose.high
    assert hits / REPLICATIONS >= 0.95 - SLACK
    assert naive / REPLICATIONS < 0.85


def test_width_where_the_error_is_large_is_that_of_the_normal_interval():
    y = np.repeat([1.0, 0.0], [600, 400])
    interval = ece_interval(np.full(1000, 0.9), y, n_draws=20_000)
    half = 1.96 * math.sqrt(0.6 * 0.4 / 1000)
    assert interval.value == pytest.approx(0.3)
    assert (interval.low, interval.high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.003)


def test_one_bin_near_zero_equals_the_inverted_binomial_test():
    # One value, 0.9, said 100 times and right 90 times: theta = |0.9 - p| is small enough for
    # T = 0 only if P(Bin(100, p) = 90) is not rare; T = 0 gets the upper end of the 16% quantile.
    interval = ece_interval([0.9] * 100, [1] * 90 + [0] * 10, n_draws=4000)
    assert interval.low == 0.0
    assert 0.05 < interval.high < 0.09


def test_all_right_at_full_confidence_keeps_the_rule_of_three():
    interval = ece_interval([1.0] * 200, [1] * 200)
    # P(no error in 200 | rate u) = 2.5% at u = 1 - 0.025^(1/200) = 0.0183.
    assert interval.low == interval.value == 0.0
    assert interval.high == pytest.approx(1 - 0.025 ** (1 / 200), abs=0.003)


def test_a_bin_of_few_that_are_all_right_is_no_proof():
    c = [0.7] * 6 + [0.2] * 100
    y = [1] * 6 + [1] * 20 + [0] * 80
    interval = ece_interval(c, y)
    assert interval.low == 0.0
    assert interval.value == pytest.approx(0.3 * 6 / 106)


def test_copies_in_clusters_add_nothing_and_weights_scale_away():
    rng = np.random.default_rng(0)
    c = rng.beta(5, 1.3, 400)
    y = (rng.random(400) < overconfident(c)).astype(float)
    one = ece_interval(c, y)
    many = ece_interval(np.tile(c, 3), np.tile(y, 3), clusters=np.tile(np.arange(400), 3))
    assert many.value == pytest.approx(one.value)
    assert (many.low, many.high) == pytest.approx((one.low, one.high), abs=0.01)
    heavy = ece_interval(c, y, weights=np.full(400, 7.0))
    assert (heavy.low, heavy.high) == pytest.approx((one.low, one.high), abs=1e-9)
    uneven = ece_interval(c, y, weights=np.where(np.arange(400) % 4 == 0, 5.0, 0.2))
    assert uneven.high - uneven.low > 1.5 * (one.high - one.low)


def test_a_gap_that_may_be_noise_gives_way_before_a_sure_one():
    """One bin is 0.3 off, nineteen small ones are calibrated: their noise lifts the plug-in ECE."""
    c = np.concatenate([np.full(300, 0.975), np.repeat((np.arange(19) + 0.5) / 20, 20)])
    chance, theta = np.where(c > 0.95, c - 0.3, c), 0.3 * 300 / c.size
    rng = np.random.default_rng(1)
    above = 0
    for i in range(80):
        y = rng.random(c.size) < chance
        above += ece_interval(c, y, n_bins=20, n_draws=300, seed=i).low > theta
    assert above <= 7  # 2 are expected; more than 7 have a chance of 1 in 1000


def test_more_level_is_wider_and_row_order_does_not_matter():
    rng = np.random.default_rng(1)
    c = np.round(rng.random(500), 2)
    y = (rng.random(500) < np.maximum(c - 0.1, 0)).astype(float)
    wide, narrow = ece_interval(c, y, level=0.99), ece_interval(c, y, level=0.8)
    assert wide.low <= narrow.low < narrow.high <= wide.high
    order = rng.permutation(500)
    again = ece_interval(c[order], y[order], level=0.8)
    assert (again.low, again.high) == pytest.approx((narrow.low, narrow.high), abs=1e-9)
    assert narrow.value == pytest.approx(ece(c, y))
    left = ece_interval(c, y, n_bins=15, closed="left")
    assert left.value == pytest.approx(ece(c, y, n_bins=15, closed="left"))


def test_small_and_odd_samples():
    for c, y in (([0.5], [1]), ([0.0], [0]), ([1.0], [0]), ([0.3, 0.3], [0.5, 0.5])):
        interval = ece_interval(c, y)
        assert 0.0 <= interval.low <= interval.high <= 1.0
    alone = ece_interval([0.5, 0.6], [1, 0], clusters=["a", "a"])
    assert (alone.low, math.isnan(alone.high)) == (0.0, True)


def test_errors():
    with pytest.raises(InvalidInputError, match="n_draws: expected at least 100, got 10"):
        ece_interval([0.5], [1], n_draws=10)
    with pytest.raises(InvalidInputError, match="level: expected a value inside"):
        ece_interval([0.5], [1], level=0)
    with pytest.raises(InvalidInputError, match="level: expected a value further below 1"):
        ece_interval([0.5], [1], level=0.9999999999999999)
    with pytest.raises(InvalidInputError, match="^seed: expected a whole number >= 0, got -1$"):
        ece_interval([0.5], [1], seed=-1)
    with pytest.raises(InvalidInputError, match="^seed: expected a whole number >= 0, got 1.5$"):
        ece_interval([0.5], [1], seed=1.5)


@pytest.mark.parametrize("clustered", [False, True])
def test_only_ratios_of_weights_matter_however_large(clustered):
    rng = np.random.default_rng(0)
    c, w = rng.random(200), rng.random(200)
    y, w = (rng.random(200) < c**2).astype(float), w / w.max()
    named = {"clusters": np.arange(200) // 4} if clustered else {}
    want = ece_interval(c, y, weights=w, **named)
    for factor in (1e308, 1e-170):
        got = ece_interval(c, y, weights=w * factor, **named)
        assert (got.low, got.high) == pytest.approx((want.low, want.high), rel=1e-9)
    dust = np.where(c < 0.25, 1e-200, w)  # bins that weigh next to nothing change nothing
    kept = {key: labels[c >= 0.25] for key, labels in named.items()}
    got = ece_interval(c, y, weights=dust, **named)
    want = ece_interval(c[c >= 0.25], y[c >= 0.25], weights=w[c >= 0.25], **kept)
    assert got.value == pytest.approx(want.value)
    if not clustered:  # clusters that are all dust still count as clusters
        assert (got.low, got.high) == pytest.approx((want.low, want.high))
