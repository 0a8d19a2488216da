"""Tests of the null distribution of the ECE and of the test against it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.metrics import nulls
from levelhead.metrics.binned import ece, ece_excess_test, ece_null


def skewed(rng: np.random.Generator) -> np.ndarray:
    return 1 - 0.75 * rng.beta(0.5, 1.2, 1000)


def uniform(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.25, 1.0, 1000)


@pytest.mark.parametrize(
    ("confidences", "n_bins", "mean", "sd"),
    [(skewed, 10, 0.0253, 0.0071), (skewed, 15, 0.0306, 0.0068), (uniform, 15, 0.0363, 0.0084)],
)
def test_the_noise_floor_of_a_thousand_samples(
    confidences: object, n_bins: int, mean: float, sd: float
) -> None:
    """Published constants, from 600 simulated data sets, rounded to four decimals."""
    assert callable(confidences)
    rng = np.random.default_rng(7)
    draws = np.concatenate(
        [ece_null(confidences(rng), n_bins=n_bins, n_draws=10, seed=i).draws for i in range(300)]
    )
    error = sd * math.sqrt(1 / 600 + 1 / 3000)
    assert draws.mean() == pytest.approx(mean, abs=3 * error + 5e-5)
    assert draws.std() == pytest.approx(sd, abs=3 * sd * math.sqrt(1 / 1200 + 1 / 6000) + 5e-5)


def test_exact_distribution_of_three_samples() -> None:
    """Every outcome enumerated: the distribution of the draws is the true one."""
    c = [0.2, 0.55, 0.6]
    truth: dict[float, float] = {}
    for y in itertools.product((0, 1), repeat=3):
        p = math.prod(q if v else 1 - q for q, v in zip(c, y, strict=True))
        value = round(ece(c, y, n_bins=2), 9)
        truth[value] = truth.get(value, 0.0) + p
    null = ece_null(c, n_bins=2, n_draws=40_000)
    for value, p in truth.items():
        share = np.mean(np.abs(null.draws - value) < 1e-8)
        assert share == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 40_000))
    assert null.expected == pytest.approx(sum(v * p for v, p in truth.items()), abs=0.005)


def naive(c: np.ndarray, n_draws: int, weights: np.ndarray | None, norm: str) -> np.ndarray:
    rng = np.random.default_rng(99)
    return np.array(
        [ece(c, rng.random(c.size) < c, weights=weights, norm=norm) for _ in range(n_draws)]
    )


def same_distribution(a: np.ndarray, b: np.ndarray) -> None:
    """Means, spreads and upper tails agree within five standard errors."""
    error = math.sqrt(a.var() / a.size + b.var() / b.size)
    assert abs(a.mean() - b.mean()) < 5 * error + 1e-12
    assert abs(a.std() / b.std() - 1) < 5 * math.sqrt(0.5 / a.size + 0.5 / b.size) * 1.3
    tail = np.mean(a > np.quantile(b, 0.9))
    assert abs(tail - 0.1) < 5 * math.sqrt(0.09 / a.size + 0.09 / b.size)


@pytest.mark.parametrize(
    ("norm", "grouped", "weighted"),
    [
        ("l1", False, False),
        ("l1", True, True),
        ("l2", True, False),
        ("l2", False, True),
        ("max", True, True),
    ],
)
def test_every_way_of_drawing_equals_the_naive_loop(
    norm: str, grouped: bool, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    c = skewed(rng)[:400]
    w = rng.choice([0.5, 1.0, 3.0], c.size) if weighted else None
    if grouped:
        monkeypatch.setattr(nulls, "_EXACT_UP_TO", 0)
    draws = ece_null(c, weights=w, norm=norm, n_draws=2000).draws
    same_distribution(draws, naive(c, 1200, w, norm))


def test_percentages_are_exact_when_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    c = np.repeat([0.3, 0.31, 0.99], [30, 40, 5])
    monkeypatch.setattr(nulls, "_EXACT_UP_TO", 0)
    draws = ece_null(c, n_draws=2000).draws
    same_distribution(draws, naive(c, 1200, None, "l1"))
    # Whole numbers of successes: N * ECE is |9 - i| + |12.4 - j| + |4.95 - k| for integers i, j, k.
    counts = itertools.product(range(31), range(41), range(6))
    values = {round(abs(9 - i) + abs(12.4 - j) + abs(4.95 - k), 6) for i, j, k in counts}
    assert {round(v, 6) for v in draws * c.size} <= values


def test_mean_and_variance_of_each_bin_are_exact_when_grouped() -> None:
    rng = np.random.default_rng(2)
    c, w = rng.random(5000) ** 3, rng.random(5000)
    index = np.minimum((c * 4).astype(int), 3)
    gaps = nulls._binomial(c, w, index, 4, nulls._cell(c), 20_000, rng)
    variance = np.bincount(index, w * w * c * (1 - c))
    np.testing.assert_allclose(gaps.mean(axis=0) / np.sqrt(variance / 20_000), 0.0, atol=4.5)
    np.testing.assert_allclose(gaps.var(axis=0), variance, rtol=5 * math.sqrt(2 / 20_000))


def test_p_values_of_calibrated_models_are_uniform() -> None:
    rng = np.random.default_rng(3)
    p = []
    for i in range(400):
        c = np.round(rng.random(200), 2)
        y = rng.random(200) < c
        p.append(ece_excess_test(c, y, n_draws=199, seed=i).p_value)
    for level in (0.05, 0.2, 0.5, 0.8):
        error = math.sqrt(level * (1 - level) / 400)
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=4 * error)


@pytest.mark.parametrize("shared", [True, False])
def test_clusters_keep_the_level(shared: bool) -> None:
    """Four answers a prompt: if one outcome holds for all, ignoring it rejects far too often."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(60), 4)
    honest, naive_p = [], []
    for i in range(250):
        c = np.repeat(np.round(rng.random(60), 1), 4)
        u = rng.random(60)[groups] if shared else rng.random(240)
        y = u < c
        options = {"n_draws": 199, "seed": i}
        honest.append(ece_excess_test(c, y, clusters=groups, **options).p_value)
        naive_p.append(ece_excess_test(c, y, **options).p_value)
    rejected = np.mean(np.array(honest) <= 0.1)
    assert rejected < 0.1 + 4 * math.sqrt(0.09 / 250)
    assert rejected > 0.02
    if shared:
        assert np.mean(np.array(naive_p) <= 0.1) > 0.4


def test_clustered_normal_draws_equal_drawing_every_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(5)
    groups = rng.permutation(np.repeat(np.arange(1500), 4))
    c = rng.random(6000) ** 0.5
    exact = ece_null(c, clusters=groups, n_draws=1500).draws
    monkeypatch.setattr(nulls, "_EXACT_UP_TO", 0)
    fast = ece_null(c, clusters=groups, n_draws=4000, seed=1).draws
    same_distribution(fast, exact)
    assert exact.mean() > 1.05 * ece_null(c).expected


def test_clusters_of_one_are_no_clusters() -> None:
    c = skewed(np.random.default_rng(6))
    alone = ece_null(c, clusters=[f"prompt {i}" for i in range(1000)]).draws
    assert alone.tolist() == ece_null(c).draws.tolist()


def test_within_cluster_correlation_is_recovered() -> None:
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(20_000), 4)
    c = np.repeat(rng.choice([0.3, 0.8], 20_000), 4)
    index = (c > 0.5).astype(int)
    for rho in (0.0, 0.5, 1.0):
        y = (nulls._uniform(groups, rho, 1, rng)[0] < c).astype(float)
        found = nulls._within_cluster_correlation(y, None, index, groups)
        assert found == pytest.approx(rho, abs=0.02)


def test_within_cluster_correlation_with_weights_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(3)
    groups, index = rng.integers(0, 6, 30), rng.integers(0, 2, 30)
    y, w = (rng.random(30) < 0.15 + 0.7 * (groups % 2)).astype(float), rng.integers(1, 9, 30) / 2
    rate = [np.average(y[index == b], weights=w[index == b]) for b in (0, 1)]
    top = bottom = 0.0
    for i, j in itertools.permutations(range(30), 2):
        if groups[i] == groups[j]:
            p, q = rate[index[i]], rate[index[j]]
            top += w[i] * w[j] * (y[i] - p) * (y[j] - q)
            bottom += w[i] * w[j] * math.sqrt(p * (1 - p) * q * (1 - q))
    assert 0.05 < top / bottom < 0.95
    found = nulls._within_cluster_correlation(y, w, index, groups)
    assert found == pytest.approx(top / bottom, rel=1e-12)


def test_only_ratios_of_weights_matter_however_large() -> None:
    rng = np.random.default_rng(2)
    c, w, groups = rng.random(60), rng.random(60), np.arange(60) // 3
    y = (rng.random(60) < c).astype(float)
    w /= w.max()
    for named in ({}, {"clusters": groups}):
        want = ece_excess_test(c, y, weights=w, n_draws=50, **named)
        for factor in (1e308, 1e-170):
            got = ece_excess_test(c, y, weights=w * factor, n_draws=50, **named)
            assert (got.ece, got.expected) == pytest.approx((want.ece, want.expected), rel=1e-12)
            draws = ece_null(c, weights=w * factor, n_draws=20, **named).draws
            np.testing.assert_allclose(draws, ece_null(c, weights=w, n_draws=20, **named).draws)


def test_an_overconfident_model_is_found() -> None:
    result = ece_excess_test([0.96] * 500, [1] * 335 + [0] * 165)
    assert result.ece == pytest.approx(0.29)
    assert result.excess == result.ece - result.expected
    assert result.p_value == 1 / 1001
    assert 0.005 < result.expected < result.quantile_95 < 0.03


def test_data_of_the_same_seed_share_no_numbers_with_the_draws() -> None:
    for seed in (0, 1, 12345):
        c = np.random.default_rng(seed).random(1000)
        null = ece_null(c, seed=seed, n_draws=50)
        assert null.draws.max() < 0.1


def test_the_same_seed_gives_the_same_draws() -> None:
    c = skewed(np.random.default_rng(9))
    assert ece_null(c, seed=3).draws.tolist() == ece_null(c, seed=3).draws.tolist()
    assert ece_null(c, seed=3).draws.tolist() != ece_null(c, seed=4).draws.tolist()


def test_certainty_has_no_null() -> None:
    null = ece_null([0.0, 1.0, 1.0])
    assert (null.expected, null.sd, null.quantile_95) == (0.0, 0.0, 0.0)
    assert ece_excess_test([0.0, 1.0, 1.0], [0, 1, 1]).p_value == 1.0
    assert ece_excess_test([0.0, 1.0, 1.0], [0, 1, 0], n_draws=99).p_value == 0.01


def test_errors() -> None:
    with pytest.raises(InvalidInputError, match=r"^confidence: expected at least one value, got"):
        ece_null([])
    with pytest.raises(InvalidInputError, match=r"^n_draws: expected at least 1, got 0$"):
        ece_null([0.5], n_draws=0)
    with pytest.raises(InvalidInputError, match=r"^n_draws: expected a whole number, got 1\.5$"):
        ece_null([0.5], n_draws=1.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInputError, match=r"^seed: expected a whole number >= 0, got -1$"):
        ece_null([0.5], seed=-1)
    with pytest.raises(InvalidInputError, match=r"^norm: expected one of l1, l2, max, got 'l0'"):
        ece_null([0.5], norm="l0")
    with pytest.raises(InvalidInputError, match=r"^clusters: expected shape \(1,\), one label per"):
        ece_null([0.5], clusters=[1, 2])
    with pytest.raises(InvalidInputError, match=r"^bins: expected one of mass, width, got 'wide'"):
        ece_excess_test([0.5], [1], bins="wide")
