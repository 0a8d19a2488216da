"""Resampling by sums against resampling rows and computing everything anew."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from levelhead.diagnose.truth import _resample as resample
from levelhead.metrics import auroc

EXACT = 1e-12


def world(n: int = 60, prompts: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    p = rng.random(n).round(1)
    y = (rng.random(n) < p).astype(float)
    p[3], y[5] = np.nan, np.nan
    return p, y, rng.integers(0, prompts, n)


def test_sums_give_what_rows_give() -> None:
    """For resamples of prompts, r and the shares equal those of the rows written out."""
    p, y, unit = world()
    sums = resample.unit_sums(p, y, unit, 12)
    rng = np.random.default_rng(1)
    for _ in range(20):
        times = np.bincount(rng.integers(0, 12, 12), minlength=12)
        found = resample.measures((times @ sums)[None], 0.5)
        row = np.repeat(np.arange(p.size), times[unit])
        a, b = p[row], y[row]
        keep = ~np.isnan(a) & ~np.isnan(b)
        assert found["r"][0] == pytest.approx(np.corrcoef(a[keep], b[keep])[0, 1], abs=1e-9)
        assert found["claim_rate"][0] == pytest.approx((~np.isnan(b)).mean(), abs=EXACT)
        other = [
            0.5 if x == 0.5 else float((x > 0.5) != z)
            for x, z in zip(a[keep], b[keep], strict=True)
        ]
        assert found["against"][0] == pytest.approx(np.mean(other), abs=EXACT)


def test_areas_are_resampled_to_first_order() -> None:
    """The area of a resample equals its placements' to an error of the second order."""
    rng = np.random.default_rng(2)
    p = rng.random(400).round(1)
    y = (rng.random(400) < p).astype(float)
    sums = resample.unit_sums(p, y, np.arange(400), 400)
    area = auroc(p, y)
    assert (resample.measures(sums.sum(0, keepdims=True))["d"][0] + 1) / 2 == pytest.approx(area)
    times = rng.multinomial(400, np.full(400, 1 / 400), 200).astype(float)
    quick = (resample.measures(times @ sums, area)["d"] + 1) / 2
    slow = np.array([auroc(p, y, weights=one) for one in times])
    assert np.abs(quick - slow).max() < 0.006  # the areas themselves vary by 0.1
    assert quick.std() == pytest.approx(slow.std(), rel=0.02)


def test_the_expanded_interval_of_a_mean_is_students() -> None:
    """Of normal draws with the plug-in spread it gives mean +- t s / sqrt(n)."""
    x = np.random.default_rng(3).normal(size=8)
    quantiles = stats.norm.ppf((np.arange(20_001) + 0.5) / 20_001)
    draws = x.mean() + x.std() / np.sqrt(8) * quantiles
    low, high = resample.percentiles(draws, 0.95, 8)
    expected = stats.t.interval(0.95, 7, x.mean(), x.std(ddof=1) / np.sqrt(8))
    assert low == pytest.approx(expected[0], abs=5e-3)
    assert high == pytest.approx(expected[1], abs=5e-3)


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    center, half = p + z * z / 2 / n, z * np.sqrt(p * (1 - p) / n + z * z / 4 / n**2)
    return (center - half) / (1 + z * z / n), (center + half) / (1 + z * z / n)


def test_an_interval_of_a_share_by_hand() -> None:
    """Rows: Wilson's. Copies of m rows: the spread is p (1 - p) / (m - 1), so m - 1 rows, less t."""
    said = np.r_[np.ones(6), np.zeros(24)]
    z, t = stats.norm.ppf(0.975), stats.t.ppf(0.975, 29)
    found = resample.share_interval(said, np.ones(30), 0.95)
    assert found == pytest.approx(wilson(0.2, 30, z), abs=EXACT)
    copies = resample.share_interval(7 * said, np.full(30, 7.0), 0.95)
    assert copies == pytest.approx(wilson(0.2, 29 * (z / t) ** 2, z), abs=EXACT)
    none = resample.share_interval(np.zeros(30), np.full(30, 7.0), 0.95)
    assert none == pytest.approx(wilson(0.0, 30, z), abs=EXACT)
    more = resample.share_interval(np.r_[said, 0.0], np.r_[np.ones(30), 0.0], 0.95)
    assert more == found
    assert resample.share_interval(np.ones(1), np.full(1, 7.0), 0.95) == (None, None)


def test_the_interval_of_a_rare_share_is_seldom_wrong() -> None:
    """Level 5%: of 300 repeats more than 27 are below 0.1%; a bootstrap misses in a tenth or more."""
    missed = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        hits = rng.binomial(2, rng.beta(0.2, 9.8, 60)).astype(float)
        low, high = resample.share_interval(hits, np.full(60, 2.0), 0.95)
        missed += not (low or 0) <= 0.02 <= (high or 0)
    assert missed <= 27


def test_no_interval_from_too_little() -> None:
    assert resample.percentiles(np.zeros(100), 0.95, 1) == (None, None)
    assert resample.percentiles(np.r_[np.zeros(80), np.full(20, np.nan)], 0.9, 50) == (None, None)


def test_permutations_against_a_loop() -> None:
    """p-values of the studentized statistic, with every permutation written out."""
    rng = np.random.default_rng(4)
    p = rng.random(40)
    y = (rng.random(40) < 0.3 + 0.4 * p).astype(float)
    chance, p_value = resample.permuted(p, y, np.arange(40), 4000, 0.05, rng)
    x, e = p - p.mean(), y - y.mean()

    def t(values: np.ndarray) -> float:
        return abs(float(x @ values)) / float(np.sqrt((x * values) ** 2 @ np.ones(40)))

    # Prompts of several rows count by their means, whatever their size.
    size = np.tile([1, 3, 8, 2], 10)
    rows = np.repeat(np.arange(40), size)
    uneven = resample.permuted(p[rows], y[rows], rows, 4000, 0.05, rng)
    assert uneven[1] == pytest.approx(p_value, abs=0.03)
    drawn = [rng.permutation(e) for _ in range(4000)]
    assert p_value == pytest.approx(np.mean([t(one) >= t(e) - 1e-9 for one in drawn]), abs=0.03)
    r = [abs(np.corrcoef(p, one)[0, 1]) for one in drawn]
    assert chance == pytest.approx(np.quantile(r, 0.95), abs=0.02)


def test_many_units_are_put_into_blocks() -> None:
    table = np.arange(2 * 10_001, dtype=float).reshape(-1, 2)
    blocks = resample.blocked([table, 2 * table], np.random.default_rng(0))
    assert [len(one) for one in blocks] == [resample.MAX_UNITS] * 2
    assert np.array_equal(blocks[0].sum(0), table.sum(0))
    assert np.array_equal(blocks[1], 2 * blocks[0])


def test_the_floor_is_the_least_of_all_claims() -> None:
    """All claims with two yes among six beliefs, enumerated."""
    p = np.array([0.1, 0.9, 0.4, 0.7, 0.2, 0.65])
    every = [
        1 - np.corrcoef(p, np.isin(np.arange(6), pair))[0, 1]
        for pair in ((i, j) for i in range(6) for j in range(i))
    ]
    assert resample.floor(p, 2) == pytest.approx(min(every), abs=EXACT)


def test_swapping_equal_models_changes_nothing() -> None:
    p, y, unit = world()
    sums = resample.unit_sums(p, y, unit, 12)
    assert resample.swapped(sums, sums, 100, np.random.default_rng(0)) == 1.0


def test_many_units_have_the_normal_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same data with and without permutations drawn."""
    rng = np.random.default_rng(5)
    p = rng.random(500)
    y = (rng.random(500) < 0.45 + 0.1 * p).astype(float)
    unit = np.repeat(np.arange(250), 2)
    drawn = resample.permuted(p, y, unit, 4000, 0.05, rng)
    monkeypatch.setattr(resample, "EXACT_UNITS", 100)
    limit = resample.permuted(p, y, unit, 4000, 0.05, rng)
    assert limit[0] == pytest.approx(drawn[0], rel=0.05)
    assert limit[1] == pytest.approx(drawn[1], abs=0.03)
