"""Updates by pass rate and the flip, against derivations by hand and enumerations of all rewards."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from levelhead.advantages import TABLE, grpo
from levelhead.diagnose.difficulty._amplify import (
    amplification,
    count_advantages,
    expected_batch,
    flip_share,
    update_by_counts,
    update_by_rate,
)
from levelhead.errors import InvalidInputError

GROUPED = [n for n, row in TABLE.items() if row.scope in ("group", "sample", "history")]


@pytest.mark.parametrize(
    ("size", "lone", "ratio"), [(8, 2.475, 2.65), (16, 3.75, 3.87), (64, 7.875, 7.94)]
)
def test_a_lone_success_is_amplified_by_the_standard_deviation(
    size: int, lone: float, ratio: float
) -> None:
    by_count = count_advantages("grpo", size, options={"eps": 0.0})
    c = np.arange(1, size)
    expected = np.sqrt((size - c) * (size - 1) / (c * size))
    np.testing.assert_allclose(by_count.success[1:-1], expected, rtol=1e-12)
    assert by_count.success[1] == pytest.approx(lone, abs=5e-4)
    assert by_count.success[1] / by_count.success[size // 2] == pytest.approx(ratio, abs=5e-3)
    assert count_advantages("grpo_no_std", size).success[1] == pytest.approx(1 - 1 / size)
    # sum |A| = c A_success + (G - c) |A_failure|, and both halves are equal
    np.testing.assert_allclose(
        by_count.update[1:-1], 2 * np.sqrt(c * (size - c) * (size - 1) / size), rtol=1e-12
    )


def test_where_all_are_equal_nobody_is_pushed_and_what_is_not_there_is_undefined() -> None:
    by_count = count_advantages("grpo", 4)
    assert np.isnan(by_count.success[0])
    assert np.isnan(by_count.failure[4])
    assert by_count.update[0] == by_count.update[4] == 0.0


@pytest.mark.parametrize("name", GROUPED)
def test_the_update_is_that_of_all_rewards_enumerated(name: str) -> None:
    size, p = 4, 0.3
    total = 0.0
    for rewards in itertools.product((0.0, 1.0), repeat=size):
        chance = math.prod(p if r else 1 - p for r in rewards)
        total += chance * np.abs(TABLE[name].function(list(rewards), [7] * size)).sum()
    assert update_by_rate(count_advantages(name, size), [p])[0] == pytest.approx(total, rel=1e-12)


def test_amplification_is_beside_the_gradient() -> None:
    assert amplification(count_advantages("rloo", 8)) == pytest.approx(1.0)
    for size, told in ((8, 1.33), (16, 1.69), (64, 2.19)):
        c = np.arange(size + 1)
        rare, even = stats.binom.pmf(c, size, [[0.05], [0.5]]) @ np.sqrt(c * (size - c))
        found = amplification(count_advantages("grpo", size, options={"eps": 0.0}))
        assert found == pytest.approx(rare / even / (4 * 0.05 * 0.95), rel=1e-9)
        assert found == pytest.approx(told, abs=0.006)


def test_without_a_deviation_the_update_is_the_gradient() -> None:
    rate = np.linspace(0, 1, 11)
    for size in (2, 8, 33):
        found = update_by_rate(count_advantages("grpo_no_std", size), rate)
        np.testing.assert_allclose(found, 2 * (size - 1) * rate * (1 - rate), atol=1e-12)


def test_a_batch_of_uniform_pass_rates_has_deviation_one_half() -> None:
    by_count = count_advantages("batch_std", 8)
    c = np.arange(1, 8)
    np.testing.assert_allclose(by_count.success[1:-1], (1 - c / 8) / 0.5, rtol=0.01)
    assert by_count.scope == "batch"
    rare = count_advantages("batch_std", 8, batch=[0] * 9 + [1])  # 1 of 80: std = sqrt(1/80 79/80)
    alone = np.r_[np.ones(2), np.zeros(86)].std(ddof=1)
    assert rare.success[1] == pytest.approx((1 - 1 / 8) / alone, rel=1e-5)


@pytest.mark.parametrize("name", ["grpo", "top1"])
def test_from_enough_samples_the_update_is_estimated_without_bias(name: str) -> None:
    by_count, n = count_advantages(name, 4), 7
    c = np.arange(n + 1)
    each = update_by_counts(by_count, c, np.full(n + 1, n))
    for p in (0.02, 0.4, 0.9):
        mean = stats.binom.pmf(c, n, p) @ each
        assert mean == pytest.approx(update_by_rate(by_count, [p])[0], rel=1e-12)


def test_the_batch_around_a_large_group_stays_small() -> None:
    seen: list[np.ndarray] = []

    def zeros(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        seen.append(rewards)
        return np.zeros(groups.size)

    for size, around in ((256, 256), (8, 28 * 9)):
        seen.clear()
        count_advantages(zeros, size)
        right = seen[0].reshape(-1, size).sum(axis=1)[:-1]
        assert (right.size, right.min(), right.max()) == (around, 0, size)
        assert right.mean() == pytest.approx(size / 2)


def test_from_few_samples_it_is_the_mean_over_the_posterior() -> None:
    by_count = count_advantages("grpo", 8)
    mean, _ = integrate.quad(
        lambda p: stats.beta.pdf(p, 2, 3) * update_by_rate(by_count, [p])[0], 0, 1
    )
    assert update_by_counts(by_count, [1], [3])[0] == pytest.approx(mean, rel=1e-9)


def test_an_expected_batch_has_the_pass_rates_of_the_prompts() -> None:
    assert expected_batch([0, 8], [8, 8], 4).tolist() == [0] * 128 + [4] * 128


def _drift(estimator: str, size: int, guess: float, reason: float, lucky: float) -> float:
    """E[mean A (z - g)] over every way in which a group can guess and be right."""
    total = 0.0
    for z in itertools.product((0, 1), repeat=size):
        for r in itertools.product((0.0, 1.0), repeat=size):
            chance = 1.0
            for guessed, right in zip(z, r, strict=True):
                p = lucky if guessed else reason
                chance *= (guess if guessed else 1 - guess) * (p if right else 1 - p)
            if chance > 0.0:
                pushed = TABLE[estimator].function(list(r), [1] * size)
                total += chance * float(pushed @ (np.array(z) - guess)) / size
    return total


@pytest.mark.parametrize("estimator", ["grpo", "loo_std"])
def test_the_flip_is_that_of_all_groups_enumerated(estimator: str) -> None:
    medium, hard = (_drift(estimator, 3, 0.3, *pair) for pair in ((0.6, 0.2), (0.05, 0.2)))
    found = flip_share(estimator, 3, guess=0.3, medium=(0.6, 0.2), hard=(0.05, 0.2))
    assert found == pytest.approx(-medium / (hard - medium), rel=1e-10)


def test_the_deviation_pulls_the_flip_to_fewer_hard_prompts() -> None:
    for size, share in ((8, 0.906), (16, 0.874), (64, 0.789)):
        assert flip_share("grpo_no_std", size) == pytest.approx(0.4 / 0.43, rel=1e-12)
        assert flip_share("grpo", size) == pytest.approx(share, abs=0.002)
    assert flip_share("grpo_no_std", 8, guess=0.5) == pytest.approx(0.4 / 0.43, rel=1e-12)


def test_the_flip_of_simulated_groups() -> None:
    rng = np.random.default_rng(0)
    drift = []
    for reason, lucky in ((0.5, 0.1), (0.0, 0.03)):
        z = rng.random((40_000, 16)) < 0.2
        r = (rng.random(z.shape) < np.where(z, lucky, reason)).astype(float)
        pushed = grpo(r.ravel(), np.repeat(np.arange(40_000), 16)).reshape(z.shape)
        drift.append((pushed * (z - 0.2)).mean())
    share = -drift[0] / (drift[1] - drift[0])
    assert flip_share("grpo", 16) == pytest.approx(share, abs=0.006)


def test_there_is_no_flip_where_one_kind_always_wins() -> None:
    assert flip_share("grpo", 8, medium=(0.1, 0.5), hard=(0.0, 0.03)) is None
    assert flip_share("grpo", 8, medium=(0.1, 0.1), hard=(0.2, 0.2)) is None


def test_errors() -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'grpo'"):
        count_advantages("grop", 8)
    with pytest.raises(InvalidInputError, match="group_size: .* from 2 to 1024, got 1"):
        count_advantages("grpo", 1)
    with pytest.raises(InvalidInputError, match="group_size: expected a whole number, got 2.5"):
        count_advantages("grpo", 2.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="estimator grpo: .* it raised .*temper"):
        count_advantages("grpo", 4, options={"temper": 1})
    with pytest.raises(InvalidInputError, match="one finite advantage for each of .* got shape"):
        count_advantages(lambda rewards, groups: rewards[:2], 4)
    with pytest.raises(InvalidInputError, match="passed <= samples and samples >= 1, got 3 of 2"):
        update_by_counts(count_advantages("grpo", 4), [3], [2])
    with pytest.raises(InvalidInputError, match=r"guess: expected a number in \(0, 1\), got 1.0"):
        flip_share("grpo", 8, guess=1.0)
    with pytest.raises(InvalidInputError, match="hard: expected values in"):
        flip_share("grpo", 8, hard=(0.0, 3.0))
