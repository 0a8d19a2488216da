"""Oracles: loops over single samples, enumeration of every group, search on a grid, the formula."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError
from levelhead.lab import sweeps
from levelhead.lab.sweeps import (
    POLICIES,
    advantage_curves,
    group_size_sweep,
    mean_field,
    paper_values,
    reward_rows,
    sample_advantages,
    theorem_points,
)

EXACT = 1e-12
EPS = 1e-5
SIGMAS = 5.0

POLICY = np.array([0.1, 0.2, 0.3, 0.4])
REWARDS = np.array([[-0.1, -0.5, -1.2, -3.0], [-2.5, -1.0, -0.4, -0.2]])


def enumerate_groups(
    policy: FloatArray, p: float, rewards: FloatArray, size: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """E[A | own token] without and with standard deviation, and its mean, over every group."""
    n_tokens = policy.size
    plain, scaled, sigma = np.zeros(n_tokens), np.zeros(n_tokens), np.zeros(2)
    for outcome, chance in ((0, 1.0 - p), (1, p)):
        for group in itertools.product(range(n_tokens), repeat=size):
            r = [float(rewards[outcome, k]) for k in group]
            others = chance * math.prod(float(policy[k]) for k in group[1:])
            spread = statistics.stdev(r)
            plain[group[0]] += others * (r[0] - statistics.fmean(r))
            scaled[group[0]] += others * (r[0] - statistics.fmean(r)) / (spread + EPS)
            sigma[outcome] += math.prod(float(policy[k]) for k in group) * spread
    return plain, scaled, sigma


def loop_over_samples(
    size: int, n_groups: int, p: float, seed: int, chunk: int
) -> tuple[FloatArray, FloatArray, list[int], FloatArray]:
    """The same draws, expanded into samples, with one advantage for each."""
    rng = np.random.default_rng(seed)
    plain: dict[int, list[float]] = {k: [] for k in range(4)}
    scaled: dict[int, list[float]] = {k: [] for k in range(4)}
    spreads: tuple[list[float], list[float]] = ([], [])
    for start in range(0, n_groups, chunk):
        some = min(chunk, n_groups - start)
        drawn = rng.multinomial(size, POLICY, size=some)
        outcomes = rng.random(some) < p
        for counts, happened in zip(drawn, outcomes, strict=True):
            group = [k for k in range(4) for _ in range(counts[k])]
            both = [[float(REWARDS[a, k]) for k in group] for a in (0, 1)]
            for a in (0, 1):
                spreads[a].append(statistics.stdev(both[a]))
            r = both[int(happened)]
            for k, reward in zip(group, r, strict=True):
                plain[k].append(reward - statistics.fmean(r))
                scaled[k].append((reward - statistics.fmean(r)) / (statistics.stdev(r) + EPS))
    return (
        np.array([statistics.fmean(plain[k]) for k in range(4)]),
        np.array([statistics.fmean(scaled[k]) for k in range(4)]),
        [len(plain[k]) for k in range(4)],
        np.array([statistics.fmean(one) for one in spreads]),
    )


@pytest.mark.parametrize("cells", [sweeps.CELLS, 28])
def test_counts_give_what_a_loop_over_samples_gives(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "CELLS", cells)
    found = sample_advantages(POLICY, 0.7, REWARDS, 6, 50, rng=np.random.default_rng(3))
    plain, scaled, counts, sigma = loop_over_samples(6, 50, 0.7, 3, min(50, cells // 4))
    assert found.counts.tolist() == counts
    assert sum(counts) == 300
    np.testing.assert_allclose(found.no_std, plain, atol=EXACT)
    np.testing.assert_allclose(found.std, scaled, atol=1e-9)
    np.testing.assert_allclose(found.sigma, sigma, atol=EXACT)


@pytest.mark.parametrize("p", [0.0, 0.35, 1.0])
def test_samples_agree_with_the_enumeration_of_every_group(p: float) -> None:
    n_groups = 60_000
    found = sample_advantages(POLICY, p, REWARDS, 3, n_groups, rng=np.random.default_rng(0))
    plain, scaled, sigma = enumerate_groups(POLICY, p, REWARDS, 3)
    # An advantage of a group of 3 is at most 2/sqrt(3) with the standard deviation and 1.94 without.
    error = SIGMAS / np.sqrt(found.counts)
    assert (np.abs(found.std - scaled) < 2 / math.sqrt(3) * error).all()
    assert (np.abs(found.no_std - plain) < 1.94 * error).all()
    assert (np.abs(found.sigma - sigma) < SIGMAS * 1.7 / math.sqrt(n_groups)).all()


def test_a_token_that_is_never_sampled_has_no_average() -> None:
    rng = np.random.default_rng(0)
    found = sample_advantages([0.5, 0.0, 0.5], 0.5, REWARDS[:, :3], 4, 5, rng=rng)
    assert found.counts[1] == 0
    assert np.isnan(found.std[1])
    assert np.isnan(found.no_std[1])


def test_a_narrow_spread_keeps_its_digits() -> None:
    rewards = np.array([[1e8, 1e8 + 1], [1e8, 1e8 + 1]])
    found = sample_advantages([0.5, 0.5], 0.5, rewards, 2, 4000, rng=np.random.default_rng(1))
    # Half of the pairs differ, with a standard deviation of 1 / sqrt 2.
    assert found.sigma == pytest.approx([0.5 / math.sqrt(2)] * 2, abs=0.03)


@pytest.mark.parametrize(("size", "groups"), [(1, 5), (4, 0)])
def test_too_small_is_refused(size: int, groups: int) -> None:
    with pytest.raises(InvalidInputError) as error:
        sample_advantages(POLICY, 0.5, REWARDS, size, groups, rng=np.random.default_rng(0))
    assert str(error.value) == (
        f"group_size, n_groups: expected at least 2 samples and 1 group, got {size} and {groups}"
    )


def test_the_papers_tokens_and_rewards() -> None:
    values = paper_values()
    assert values.size == 100
    np.testing.assert_allclose(values, [k / 101 for k in range(1, 101)], atol=EXACT)
    log = reward_rows("log", values)
    assert log[1, 0] == pytest.approx(-math.log(101), abs=EXACT)  # not clipped at 1/100
    assert log[0, 0] == pytest.approx(math.log(100 / 101), abs=EXACT)
    assert reward_rows("brier", [0.2])[:, 0] == pytest.approx([-0.04, -0.64], abs=EXACT)
    one = reward_rows("spherical", [0.6])[:, 0]
    assert one[1] - one[0] == pytest.approx(0.2 / math.sqrt(0.52), abs=EXACT)


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(InvalidInputError) as error:
        reward_rows("brir", [0.5])
    assert str(error.value) == (
        "rule: expected one of brier, log, spherical, got 'brir'; did you mean 'brier'?"
    )


@pytest.mark.parametrize("rule", ["log", "brier"])
def test_exact_curves_equal_the_enumeration_of_small_groups(rule: str) -> None:
    curves = advantage_curves(rule, p=0.7, group_size=4, n_groups=50, n_tokens=4, seed=0)
    assert [curve.name for curve in curves] == list(POLICIES)
    values = [k / 5 for k in range(1, 5)]
    for curve, (alpha, beta) in zip(curves, POLICIES.values(), strict=True):
        density = [v ** (alpha - 1) * (1 - v) ** (beta - 1) for v in values]
        policy = np.array([one / sum(density) for one in density])
        np.testing.assert_allclose(curve.policy, policy, rtol=1e-9)
        rewards = reward_rows(rule, values)
        true = [
            sum(
                chance * (rewards[a, k] - sum(policy[j] * rewards[a, j] for j in range(4)))
                for a, chance in ((0, 0.3), (1, 0.7))
            )
            for k in range(4)
        ]
        plain, scaled, sigma = enumerate_groups(policy, 0.7, rewards, 4)
        np.testing.assert_allclose(curve.true, true, atol=1e-10)
        np.testing.assert_allclose(curve.no_std, plain, atol=1e-8)
        np.testing.assert_allclose(curve.std, scaled, atol=1e-4)
        np.testing.assert_allclose(curve.sigma, sigma, rtol=1e-4)


def test_samples_lie_on_the_exact_curves_at_the_papers_size() -> None:
    for curve in advantage_curves("log", n_groups=1000, seed=1):
        often = curve.sampled.counts > 1000
        assert often.sum() >= 8
        np.testing.assert_allclose(curve.no_std, 0.999 * curve.true, atol=1e-8)
        # All samples of a group share its outcome, so the group is what counts: of 1,000 groups.
        spread = np.sqrt(0.21) * np.abs(reward_gap(curve.values, curve.policy))
        error = SIGMAS * spread / math.sqrt(1000) + 0.02
        assert (np.abs(curve.sampled.no_std - curve.no_std)[often] < error[often]).all()
        np.testing.assert_allclose(curve.sampled.sigma, curve.sigma, rtol=0.03)


def reward_gap(values: FloatArray, policy: FloatArray) -> FloatArray:
    """How far the two outcomes' advantages lie apart, for the log rule."""
    difference = np.log(values) - np.log1p(-values)
    return difference - policy @ difference


def test_the_same_seed_gives_the_same_samples() -> None:
    a, b, c = (
        advantage_curves("log", group_size=5, n_groups=20, n_tokens=4, seed=seed)[1].sampled.std
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


PAIRS = [(p, m) for p in (0.2, 0.5, 0.7) for m in (0.1, 0.4, 0.5, 0.8)]


@pytest.mark.parametrize("rule", ["log", "brier", "spherical"])
def test_narrow_policies_aim_where_the_theorem_says(rule: str) -> None:
    p, m = (np.array(one) for one in zip(*PAIRS, strict=True))
    found = theorem_points(rule, p, m, spread=0.005, n_groups=400, seed=2)
    odds = p / (1 - p) * m / (1 - m)
    np.testing.assert_allclose(found.exact, odds / (1 + odds), atol=1e-4)
    # 400 outcomes: the log odds of the sampled share vary by 1 / sqrt(400 p (1 - p)).
    error = SIGMAS / np.sqrt(400 * p * (1 - p)) + 0.02
    far = np.log(found.sampled / (1 - found.sampled)) - np.log(odds)
    assert (np.abs(far) < error).all()
    assert (np.abs(far) > 0).all()


def test_the_exact_aim_equals_a_search_on_a_grid_with_a_dense_policy() -> None:
    z = np.linspace(-6, 6, 4001)
    weight = np.exp(-0.5 * z * z)
    weight /= weight.sum()
    values = 1 / (1 + np.exp(-(math.log(0.6 / 0.4) + 0.3 * z)))  # wide: the formula is off
    grid = np.linspace(0.0005, 0.9995, 4000)
    score = np.zeros_like(grid)
    for chance, of_policy, of_grid in (
        (0.7, np.log(values), np.log(grid)),
        (0.3, np.log(1 - values), np.log(1 - grid)),
    ):
        mean = (weight * of_policy).sum()
        sigma = math.sqrt((weight * (of_policy - mean) ** 2).sum())
        score += chance * (of_grid - mean) / sigma
    found = theorem_points("log", [0.7], [0.6], spread=0.3, n_groups=2)
    assert found.exact[0] == pytest.approx(grid[score.argmax()], abs=4e-4)


def test_the_mean_field_ends_at_the_truth_or_at_the_ends() -> None:
    values = np.linspace(0.05, 0.95, 19)
    p = np.array([0.2, 0.8])
    honest = mean_field("rloo", p, values)
    np.testing.assert_allclose(honest.mean, p, atol=0.02)
    np.testing.assert_array_equal(mean_field("ppo", p, values).mean, honest.mean)
    sure = mean_field("grpo", p, values)
    np.testing.assert_allclose(sure.mean, [0.05, 0.95], atol=0.02)


def test_group_size_heals_independent_outcomes_only() -> None:
    values = np.linspace(0.05, 0.95, 19)
    p = np.array([0.25, 0.75])
    shared = group_size_sweep(p, values, (2, 32), outcomes="shared")
    apart = group_size_sweep(p, values, (2, 32), outcomes="independent")
    assert shared.group_sizes == apart.group_sizes == (2, 32)
    assert (shared.outcomes, apart.outcomes) == ("shared", "independent")
    # Two samples: only the sign of a difference counts, whatever the rule (shared outcome).
    np.testing.assert_allclose(shared.mean, [[0.05, 0.95]] * 2, atol=0.02)
    assert shared.at_rest.all()
    far = np.abs(apart.mean - p).max(axis=1)
    assert far[0] > 0.15
    assert far[1] < 0.05
