"""Sampled measurements agree with exact ones, and the batches are what they should be."""

from __future__ import annotations

import time
from types import ModuleType

import numpy as np
import pytest

from levelhead.advantages import TABLE
from levelhead.probe import sampling
from levelhead.probe.blackbox import BlackBox, instances
from levelhead.probe.measure import GRIDS, Setting, exact
from levelhead.probe.reading import Bias
from levelhead.probe.sampling import (
    PROMPTS,
    draw,
    sampled,
    samples_needed,
    two_prompts_end,
    unequal_positions,
)

SE = 5.0


def box(function: object) -> BlackBox:
    return BlackBox("mine", instances(function))  # type: ignore[arg-type]


def test_batches_hold_every_truth_in_turn_with_its_outcomes() -> None:
    values = (0.01, 0.2, 0.5, 0.8, 0.99)
    rng = np.random.default_rng(0)
    for outcomes in ("shared", "independent"):
        setting = Setting.of("log", outcomes, 6, values)
        policy = np.tile([0.1, 0.2, 0.3, 0.3, 0.1], (3, 1))
        batch = draw(rng, setting, policy, 5000, setting.truths)
        assert batch.tokens.shape == batch.rewards.shape == (5000, 3, 6)
        share = [(batch.tokens == k).mean() for k in range(5)]
        assert share == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.1], abs=0.01)
        happened = np.isclose(batch.rewards, setting.rewards[1][batch.tokens])
        tied = batch.tokens == 2  # 0.5 earns the same either way
        happened, tied = happened.astype(float), tied.astype(float)
        rate = (happened * (1 - tied)).sum((0, 2)) / (1 - tied).sum((0, 2))
        assert rate == pytest.approx(setting.truths, abs=0.03)
        some = np.where(tied, np.nan, happened)
        one_kind = np.nanmax(some[:, :, :], axis=2, initial=0) == np.nanmin(some, axis=2, initial=1)
        assert one_kind.mean() > 0.99 if outcomes == "shared" else one_kind.mean() < 0.5
        assert batch.groups[:7].tolist() == [0] * 6 + [1]


def test_sampling_agrees_with_the_exact_expectation_and_end(planted: ModuleType) -> None:
    setting, ends, biases = sampled(box(planted.per_group_ddof1), "log", "shared", 8, seed=0)
    found = exact(box(planted.per_group_ddof1), "log", "shared", 8, seed=0)
    assert found is not None
    _, exact_ends, exact_biases = found
    for one, other in zip(biases, exact_biases, strict=True):
        assert (one.policy, one.p) == (other.policy, other.p)
        seen = np.array(one.probability) > 1e-3
        gap = np.abs(np.array(one.expected) - other.expected)[seen]
        assert (gap < SE * np.array(one.error)[seen] + 0.02).all()
    decisive = np.abs(setting.truths - 0.5) >= 0.2
    got, wanted = ends.policy @ setting.values, exact_ends.policy @ setting.values
    assert got[decisive] == pytest.approx(wanted[decisive], abs=0.03)
    assert ends.calls >= 1


def test_a_seed_gives_the_same_samples_to_all(planted: ModuleType) -> None:
    seen: list[float] = []

    def watching(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        seen.append(float(rewards.sum()))
        return planted.centered(rewards, groups)

    samples_needed(box(watching), "log", "shared", 8, seed=3)
    first = seen[2:12]
    seen.clear()
    samples_needed(box(watching), "log", "shared", 8, seed=3)
    assert seen[2:12] == first


def test_noise_beside_a_group_mean(planted: ModuleType) -> None:
    same, offsets = samples_needed(box(planted.centered), "log", "shared", 8, seed=0)
    assert same == pytest.approx(1.0, abs=1e-9)
    assert offsets == pytest.approx([0.0] * 7, abs=1e-9)
    scaled, _ = samples_needed(
        box(lambda r, g: 5 * planted.centered(r, g)), "log", "shared", 8, seed=0
    )
    assert scaled == pytest.approx(1.0, abs=1e-9)
    without, down = samples_needed(box(planted.no_baseline), "log", "shared", 8, seed=0)
    assert without > 1.5
    assert max(down) < 0  # every reward is negative


def test_a_mean_over_prompts_pushes_easy_prompts_up(planted: ModuleType) -> None:
    _, offsets = samples_needed(box(planted.leaking_baseline), "log", "shared", 8, seed=0)
    # The easiest prompts are those of truth 0.1 and 0.9, the hardest that of 0.5.
    assert min(offsets[0], offsets[-1]) > 0.2
    assert offsets[3] < -0.1


def test_with_two_prompts_a_batch_is_nearly_a_group(planted: ModuleType) -> None:
    few = two_prompts_end(box(planted.batch_spread), "log", "shared", 8, seed=0)
    assert few > 0.85
    plain = two_prompts_end(box(planted.centered), "log", "shared", 8, seed=0)
    assert plain == pytest.approx(0.75, abs=0.08)


def test_unequal_positions(planted: ModuleType) -> None:
    setting = Setting.of("log", "shared", 8, GRIDS[0])

    def weighted(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return planted.centered(rewards, groups) * np.tile([1, 1, 1, 1, 3, 1, 1, 1], PROMPTS)

    assert unequal_positions(box(weighted), setting, seed=0) == pytest.approx(3.0)
    assert unequal_positions(box(planted.centered), setting, seed=0) == pytest.approx(1.0)
    assert unequal_positions(box(planted.nothing), setting, seed=0) == 1.0


def test_a_constant_in_all_advantages_changes_no_end(planted: ModuleType) -> None:
    setting, ends, _ = sampled(box(planted.no_baseline), "brier", "shared", 8, seed=0)
    assert ends.policy @ setting.values == pytest.approx(setting.truths, abs=0.05)


def test_history_is_kept_from_batch_to_batch(planted: ModuleType) -> None:
    setting, ends, _ = sampled(box(planted.EarlierSpread), "log", "shared", 8, seed=0)
    decisive = np.abs(setting.truths - 0.5) >= 0.2
    mean = ends.policy @ setting.values
    assert mean[decisive] == pytest.approx(setting.truths[decisive], abs=0.05)
    assert TABLE["ema_std"].scope == "history"


def test_a_reading_does_not_depend_on_the_clock(planted: ModuleType) -> None:
    """The plan is fixed; only an estimator that takes an eternity gets the short one."""
    first = sampled(box(planted.leaking_baseline), "log", "shared", 4, seed=5)
    second = sampled(box(planted.leaking_baseline), "log", "shared", 4, seed=5)
    np.testing.assert_array_equal(first[1].policy, second[1].policy)
    assert first[2] == second[2]
    assert (first[1].steps, first[1].calls) == (600, 3)


def test_an_end_that_other_samples_do_not_share_has_not_settled(planted: ModuleType) -> None:
    """The first ascent follows the sign of one kind of instance, the second that of another."""
    made: list[float] = []

    class InTurn:
        def __init__(self) -> None:
            made.append(1.0 if len(made) % 2 else -1.0)
            self.sign = made[-1]

        def __call__(self, rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
            return self.sign * planted.per_group(rewards, groups)

    setting, ends, _ = sampled(box(InTurn), "log", "shared", 8, seed=0)
    decisive = np.abs(setting.truths - 0.5) >= 0.2
    assert not ends.settled[decisive].any()
    # 0.99 the one time and 0.01 the other: two values with this standard error of one.
    assert ends.error[decisive] == pytest.approx(0.98 / np.sqrt(2), abs=0.02)


def test_mirrored_truths_whose_ends_are_not_have_not_settled(planted: ModuleType) -> None:
    def one_sided(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        low = np.arange(rewards.size) // 8 % 7 < 3  # prompts stand in the order of their truths
        return np.where(low, planted.per_group(rewards, groups), planted.centered(rewards, groups))

    setting, ends, _ = sampled(box(one_sided), "log", "shared", 8, seed=0)
    p, mean = setting.truths, ends.policy @ setting.values
    assert mean[p > 0.5] == pytest.approx(p[p > 0.5], abs=0.05)
    assert mean[1] == pytest.approx(0.01, abs=0.05)
    assert not ends.settled[[1, -2]].any()
    assert (ends.error[[1, -2]] > 0.1).all()
    known = sampled(box(one_sided), "log", "shared", 8, seed=0, mirrored=False)[1]
    assert known.settled[[1, -2]].all()


def test_a_policy_that_is_still_driven_where_it_is_has_not_settled() -> None:
    def bias(at: str, pull: float, exact_pull: float = 0.0) -> Bias:
        return Bias(at, 0.4, 1.0, 1.0, pull, exact_pull, (), (), (), ())

    assert sampling._driven(0.4, 0.25, [bias("near 0.25", -0.9)])
    assert not sampling._driven(0.4, 0.01, [bias("near 0.25", -0.9)])
    assert not sampling._driven(0.4, 0.25, [bias("near 0.25", -0.3)])
    assert not sampling._driven(0.4, 0.4, [bias("near the truth", -0.6, -0.5)])
    assert sampling._driven(0.4, 0.4, [bias("near the truth", 0.6, -0.5)])


def test_standardization_in_large_groups_says_what_it_does_not_know(planted: ModuleType) -> None:
    """At 512 samples no table fits; what the policies have reached is not called an end."""

    def standardized(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        r = rewards.reshape(-1, 512)
        return ((r - r.mean(1, keepdims=True)) / (r.std(1, keepdims=True) + 1e-6)).ravel()

    setting, ends, _ = sampled(box(standardized), "log", "shared", 512, seed=0)
    mean = ends.policy @ setting.values
    wrong = np.abs(mean - np.where(setting.truths < 0.5, 0.01, 0.99)) > 0.05
    wrong &= np.abs(setting.truths - 0.5) > 0.05
    assert not ends.settled[wrong].any()


def test_a_very_slow_estimator_gets_the_short_plan(planted: ModuleType) -> None:
    def slow(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        time.sleep(0.006)  # waiting for others counts as well
        return planted.centered(rewards, groups)

    assert sampling._plan(box(slow), Setting.of("log", "shared", 4, GRIDS[0]), 0) is sampling.SLOW
