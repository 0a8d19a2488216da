"""Advantages divided by a standard deviation."""

from __future__ import annotations

import math
import statistics
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead.advantages import batch_std, grpo, grpo_no_std, loo_std, reinforce_pp, rloo
from levelhead.errors import InvalidInputError

NAN = math.nan
TIGHT = 1e-12


def test_grpo_by_hand() -> None:
    # 1, 0, 0, 0: mean 1/4, squares 9/16 + 3/16 = 3/4, variance 1/4 for ddof 1 and 3/16 for ddof 0
    rewards, groups = [1.0, 0.0, 0.0, 0.0], [5, 5, 5, 5]
    np.testing.assert_allclose(grpo(rewards, groups, eps=0.0), [1.5, -0.5, -0.5, -0.5], atol=TIGHT)
    root = math.sqrt(3)
    expected = [root, -1 / root, -1 / root, -1 / root]
    np.testing.assert_allclose(grpo(rewards, groups, eps=0.0, ddof=0), expected, atol=TIGHT)


def test_eps_is_added_to_the_deviation_and_not_to_the_variance() -> None:
    got = grpo([1.0, 0.0], [0, 0], eps=1.0)
    np.testing.assert_allclose(got, [0.5 / (math.sqrt(0.5) + 1), -0.5 / (math.sqrt(0.5) + 1)])
    by_default = grpo([1.0, 0.0], [0, 0])[0]
    assert by_default == pytest.approx(0.5 / (math.sqrt(0.5) + 1e-6), abs=1e-15)


def test_each_group_has_its_own_deviation() -> None:
    rewards, groups = [1.0, 10.0, 0.0, 0.0], [1, 2, 1, 2]
    half = math.sqrt(0.5)
    np.testing.assert_allclose(grpo(rewards, groups, eps=0.0), [half, half, -half, -half])


def test_a_pair_keeps_its_sign_only() -> None:
    draw = np.random.default_rng(0)
    rewards = draw.normal(size=40)
    got = grpo(rewards, np.repeat(np.arange(20), 2), eps=0.0)
    sign = np.sign(rewards.reshape(-1, 2) - rewards.reshape(-1, 2)[:, ::-1]).ravel()
    np.testing.assert_allclose(got, sign / math.sqrt(2), atol=TIGHT)


def test_far_above_the_deviation_eps_takes_it_away() -> None:
    rewards, groups = [0.3, 0.1, 0.5, 0.2], [1, 1, 1, 1]
    got = grpo(rewards, groups, eps=1e9) * 1e9
    np.testing.assert_allclose(got, grpo_no_std(rewards, groups), rtol=1e-8)


@pytest.mark.parametrize(
    ("size", "alone", "ratio"), [(8, 2.475, 2.65), (16, 3.75, 3.87), (64, 7.875, 7.94)]
)
def test_a_rare_success_is_amplified(size: int, alone: float, ratio: float) -> None:
    """One success among G: (G - 1) / sqrt(G), and sqrt(G - 1) times that of a success among half."""

    def of_success(successes: int) -> float:
        rewards = np.r_[np.ones(successes), np.zeros(size - successes)]
        return float(grpo(rewards, np.zeros(size, dtype=int), eps=0.0)[0])

    for successes in (1, 2, size // 2, size - 1):
        law = math.sqrt((size - successes) * (size - 1) / (successes * size))
        assert of_success(successes) == pytest.approx(law, abs=TIGHT)
    assert of_success(1) == pytest.approx(alone, abs=5e-4)
    assert of_success(1) == pytest.approx((size - 1) / math.sqrt(size), abs=TIGHT)
    assert of_success(1) / of_success(size // 2) == pytest.approx(ratio, abs=5e-3)
    rewards = np.r_[1.0, np.zeros(size - 1)]
    assert grpo_no_std(rewards, np.zeros(size, dtype=int))[0] == pytest.approx(1 - 1 / size)


def test_an_outlier_is_capped() -> None:
    rewards = np.r_[1e9, np.random.default_rng(0).normal(size=7)]
    got = grpo(rewards, np.zeros(8, dtype=int))
    assert got[0] == pytest.approx(7 / math.sqrt(8), abs=1e-6)
    assert np.abs(got).max() == got[0]


def test_the_expected_advantage_of_pairs_forgets_the_rule(setting) -> None:
    """G = 2: (2p - 1) / sqrt 2 (F(k-) - (1 - F(k))), whatever the policy and the scoring rule."""
    got = setting.expected(lambda r, g: grpo(r, g, eps=0.0), 2)
    expected = (2 * setting.truth - 1) / math.sqrt(2) * setting.imbalance
    np.testing.assert_allclose(got, expected, atol=1e-10)


@pytest.mark.parametrize("function", [grpo, batch_std, reinforce_pp, loo_std])
@pytest.mark.parametrize("eps", [0.0, 1e-8, 1e-4])
def test_equal_rewards_get_exactly_zero(function, eps: float) -> None:
    for value in (0.1, float(np.float32(0.1)), 1 / 3, 1e6 / 3, 0.0, -0.7):
        for size in (2, 3, 10):
            assert function([value] * size, [1] * size, eps=eps).tolist() == [0.0] * size


@pytest.mark.parametrize("eps", [0.0, 1e-6])
@pytest.mark.parametrize("value", [0.1, 0.35, 0.95, -3.3, 1e6 + 0.1])
def test_rewards_that_are_equal_up_to_a_float32s_rounding_get_zero(
    value: float, eps: float
) -> None:
    single = np.float32(value)
    near = np.array([single, np.nextafter(single, np.float32(9e9)), single, single])
    for rewards in (near, near.astype(np.float64)):
        for function in (grpo, loo_std, batch_std, reinforce_pp):
            assert not function(rewards, [0, 0, 0, 0], eps=eps).any()


@pytest.mark.parametrize("jitter", [1e-7, 3e-7, 1e-6, 1e-4])
def test_nothing_explodes_for_nearly_equal_float32_rewards(jitter: float) -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        rewards = (0.1 + jitter * draw.normal(size=8)).astype(np.float32)
        groups = np.zeros(8, dtype=int)
        assert np.abs(grpo(rewards, groups, eps=0.0)).max() <= 7 / math.sqrt(8) + TIGHT
        assert np.abs(loo_std(rewards, groups)).max() < 50.0
        assert np.abs(batch_std(rewards, groups)).max() < 3.0


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=9),
    st.sampled_from([0.0, 1.0, 1e3, 1e6]),
    st.sampled_from([0, 1]),
)
@settings(max_examples=80, deadline=None)
def test_grpo_and_leave_one_out_equal_the_standard_library(
    rewards: list[float], offset: float, ddof: int
) -> None:
    """The `statistics` module computes with fractions, so its variances are exact."""
    shifted = [float(np.float32(r + offset)) for r in rewards]
    groups = [4] * len(shifted)
    deviation = statistics.stdev if ddof else statistics.pstdev
    mean = statistics.fmean(shifted)
    flat = max(shifted) - min(shifted) <= 2.0**-22 * max(map(abs, shifted))
    scale = deviation(shifted) + 1e-3
    expected = [0.0 if flat else (r - mean) / scale for r in shifted]
    got = grpo(shifted, groups, eps=1e-3, ddof=ddof)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    leave_out = []
    for i, own in enumerate(shifted):
        rest = shifted[:i] + shifted[i + 1 :]
        same = max(rest) - min(rest) <= 2.0**-22 * max(map(abs, rest))
        enough = len(rest) > 1 and not same
        divisor = deviation(rest) + 1e-3 if enough else 1.0
        leave_out.append(0.0 if flat else (own - statistics.fmean(rest)) / divisor)
    got = loo_std(shifted, groups, eps=1e-3, ddof=ddof)
    np.testing.assert_allclose(got, leave_out, rtol=1e-6, atol=1e-6)


def test_leave_one_out_deviation_by_hand() -> None:
    # others of 0: 1, 3, 1: mean 5/3, variance 4/3; of 1: 0, 3, 1: 4/3, 7/3; of 3: 0, 1, 1: 2/3, 1/3
    got = loo_std([0.0, 1.0, 3.0, 1.0], [7, 7, 7, 7], eps=0.0)
    one = (1 - 4 / 3) / math.sqrt(7 / 3)
    expected = [-(5 / 3) / math.sqrt(4 / 3), one, (7 / 3) / math.sqrt(1 / 3), one]
    np.testing.assert_allclose(got, expected, atol=TIGHT)


def test_others_that_are_equal_leave_the_deviation_undivided() -> None:
    """Divided by eps it would be a million; from sums of float32 squares it was -2075 and 1700."""
    single = loo_std([1.0, 0.0, 0.0, 0.0], [0, 0, 0, 0])
    rest = -(1 / 3) / (math.sqrt(1 / 3) + 1e-6)
    np.testing.assert_allclose(single, [1.0, rest, rest, rest], atol=TIGHT)
    for kind in (np.float32, np.float64):
        rewards = np.array([0.0] + [0.95] * 7, dtype=kind)
        assert loo_std(rewards, [0] * 8)[0] == pytest.approx(-0.95, abs=1e-7)
        rewards = np.array([0.95] * 3 + [0.35] + [0.95] * 4, dtype=kind)
        assert loo_std(rewards, [0] * 8)[3] == pytest.approx(-0.6, abs=1e-7)
        near = rewards.copy()
        near[0] = np.nextafter(near[0], kind(1))
        assert loo_std(near, [0] * 8)[3] == pytest.approx(-0.6, abs=1e-7)


def test_leave_one_out_of_a_pair_is_rloo() -> None:
    rewards, groups = [3.0, 1.0, 5.0, 5.5], [0, 0, 1, 1]
    assert loo_std(rewards, groups).tolist() == rloo(rewards, groups).tolist()


def test_batch_deviation_by_hand() -> None:
    # 1, 0, 4, 3 and a lone 2: mean 2, squares 1 + 4 + 4 + 1 = 10, variance 10/4
    got = batch_std([1.0, 0.0, 4.0, 3.0, 2.0], [7, 7, 8, 8, 9], eps=0.0)
    scale = math.sqrt(2.5)
    expected = np.array([0.5, -0.5, 0.5, -0.5, 0.0]) / scale
    np.testing.assert_allclose(got, expected, atol=TIGHT)
    got = batch_std([1.0, 0.0, 4.0, 3.0, 2.0], [7, 7, 8, 8, 9], eps=0.0, ddof=0)
    np.testing.assert_allclose(got, expected * scale / math.sqrt(2), atol=TIGHT)
    got = batch_std([1.0, 0.0, 4.0, 3.0, 2.0], [7, 7, 8, 8, 9], eps=1.0)
    np.testing.assert_allclose(got, expected * scale / (scale + 1), atol=TIGHT)


def test_one_group_in_the_batch_makes_it_grpo() -> None:
    rewards = np.random.default_rng(3).normal(size=6)
    groups = np.full(6, 2)
    np.testing.assert_allclose(batch_std(rewards, groups), grpo(rewards, groups), atol=TIGHT)


def test_whitening_by_hand() -> None:
    rewards, groups = [1.0, 0.0, 4.0, 3.0, 2.0], [7, 8, 7, 8, 9]
    got = reinforce_pp(rewards, groups, eps=0.0)
    np.testing.assert_allclose(got, np.array([-1, -2, 2, 1, 0]) / math.sqrt(2.5), atol=TIGHT)
    got = reinforce_pp([*rewards, NAN], [*groups, 9], eps=0.0)
    np.testing.assert_allclose(got[:5], np.array([-1, -2, 2, 1, 0]) / math.sqrt(2.5), atol=TIGHT)
    assert got[5] == 0.0
    assert reinforce_pp(rewards, groups, eps=0.0).std(ddof=1) == pytest.approx(1.0)


def test_batches_of_nothing_and_of_one() -> None:
    for function in (grpo, batch_std, reinforce_pp, loo_std):
        assert function([], []).tolist() == []
        assert function([3.0], [0]).tolist() == [0.0]
        assert function([NAN, NAN], [0, 0]).tolist() == [0.0, 0.0]


def test_what_cannot_be_scored_is_in_no_deviation() -> None:
    rewards, groups = [1.0, NAN, 0.0, 0.0, 0.0, 50.0], [5, 5, 5, 5, 5, 5]
    valid = [1, 1, 1, 1, 1, 0]
    got = grpo(rewards, groups, valid=valid, eps=0.0)
    np.testing.assert_allclose(got, [1.5, 0, -0.5, -0.5, -0.5, 0], atol=TIGHT)
    got = batch_std(rewards, groups, valid=valid, eps=0.0)
    np.testing.assert_allclose(got, [1.5, 0, -0.5, -0.5, -0.5, 0], atol=TIGHT)


@pytest.mark.parametrize("function", [grpo, batch_std, reinforce_pp, loo_std])
def test_options_are_checked(function) -> None:
    with pytest.raises(InvalidInputError, match="^ddof: expected 0 or 1, got 2$"):
        function([1.0, 0.0], [0, 0], ddof=2)
    for eps in (-1e-6, NAN, math.inf):
        with pytest.raises(InvalidInputError, match="^eps: expected a finite number >= 0, got"):
            function([1.0, 0.0], [0, 0], eps=eps)


def test_differences_whose_squares_vanish_stay_finite() -> None:
    for function in (grpo, loo_std, batch_std, reinforce_pp):
        assert np.isfinite(function([1e-200, 0.0, 2e-200], [0, 0, 0], eps=0.0)).all()
        assert np.isfinite(function([1e100, 0.0, -1e100], [0, 0, 0], eps=0.0)).all()


@pytest.mark.parametrize("size", [3, 4, 5, 6, 7, 8, 9, 11, 16, 17, 33])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_leave_one_out_in_groups_of_any_size(size: int, offset: float) -> None:
    """Against the standard library, one sample at a time; one reward is far from the others."""
    draw = np.random.default_rng(size)
    block = draw.normal(size=(3, size)) + offset
    block[1, -1] += 1e5
    got = loo_std(block.ravel(), np.repeat([3, 1, 2], size), eps=0.1).reshape(3, size)
    for row, mine in zip(block.tolist(), got.tolist(), strict=True):
        for i, advantage in enumerate(mine):
            rest = row[:i] + row[i + 1 :]
            wanted = (row[i] - statistics.fmean(rest)) / (statistics.stdev(rest) + 0.1)
            assert advantage == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_one_large_group_is_not_gone_through_sample_by_sample() -> None:
    """A loop in Python over this many samples takes ten seconds."""
    rewards = np.random.default_rng(0).normal(size=300_000)
    start = time.perf_counter()
    got = loo_std(rewards, np.zeros(rewards.size, dtype=int), eps=0.0)
    assert time.perf_counter() - start < 4.0
    for i in (0, 1, 150_000, 299_999):
        rest = np.delete(rewards, i)
        assert got[i] == pytest.approx((rewards[i] - rest.mean()) / rest.std(ddof=1), rel=1e-9)
