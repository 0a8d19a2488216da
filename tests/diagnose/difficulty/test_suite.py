"""The suite of what was solved before: no regression to the mean, and changes that are there."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy import stats

from levelhead.diagnose.difficulty._suite import regression_suite
from levelhead.errors import InvalidInputError

NAMES = [f"p{i}" for i in range(200) for _ in range(8)]


def samples(rng: np.random.Generator, rate: np.ndarray) -> np.ndarray:
    return (rng.random((rate.size, 8)) < rate[:, None]).astype(float).ravel()


def test_a_model_that_did_not_change_does_not_seem_to_lose() -> None:
    rng = np.random.default_rng(0)
    changes, outside = [], 0
    for i in range(40):
        rate = rng.beta(1.0, 1.0, 200)
        found = regression_suite(
            samples(rng, rate), NAMES, samples(rng, rate), NAMES, n_permutations=199, seed=i
        )
        assert found is not None
        changes.append(found.change.difference)
        outside += not found.change.low <= 0.0 <= found.change.high
    # chosen and compared on the same samples the base would seem better by about 0.08
    assert abs(np.mean(changes)) < 0.015
    assert outside <= stats.binom.ppf(0.999, 40, 0.05)


def test_a_suite_that_was_frozen_before_is_compared_on_all_samples() -> None:
    tuned, base = [1, 0, 0, 0] + [1] * 2, [1, 1, 1, 0] + [1] * 4
    found = regression_suite(
        tuned, ["a"] * 4 + ["b"] * 2, base, ["a"] * 4 + ["b"] * 4, suite=["a", "b", "c"]
    )
    assert found is not None
    assert found.prompts == ("a", "b")
    assert found.change.value_a == pytest.approx((0.25 + 1.0) / 2)  # prompts count alike
    assert found.change.value_b == pytest.approx((0.75 + 1.0) / 2)


def test_the_interval_is_students_over_prompts() -> None:
    rng = np.random.default_rng(4)
    tuned, base = rng.random((12, 4)) < 0.7, rng.random((12, 6)) < 0.8
    tuned_names, base_names = np.repeat(np.arange(12), 4), np.repeat(np.arange(12), 6)
    order = rng.permutation(72)
    found = regression_suite(
        tuned.ravel(), tuned_names, base.ravel()[order], base_names[order],
        suite=[str(j) for j in range(12)], level=0.9, n_permutations=9999,
    )  # fmt: skip
    assert found is not None
    each = tuned.mean(axis=1) - base.mean(axis=1)
    expected = stats.ttest_1samp(each, 0.0).confidence_interval(0.9)
    assert (found.change.low, found.change.high) == pytest.approx(tuple(expected))
    signs = np.array(list(itertools.product([-1, 1], repeat=12)))
    p = np.mean(np.abs(signs @ each) >= abs(each.sum()) - 1e-9)
    assert found.change.p_value == pytest.approx(p, abs=0.02)
    assert (found.change.n_clusters, found.change.level) == (12, 0.9)


def test_prompts_that_all_change_alike_are_not_certain() -> None:
    names = [f"p{i}" for i in range(20) for _ in range(4)]
    found = regression_suite([1] * 80, names, [1] * 80, names)
    assert found is not None
    # a change in a share q of other prompts was missed by 20 with probability (1 - q)^20
    high = found.change.high
    assert (1.0 - high) ** 20 == pytest.approx(0.025)
    assert (found.change.low, found.change.difference) == (-high, 0.0)
    one = regression_suite([1, 0], ["a", "a"], [1, 1], ["a", "a"])
    assert one is not None
    assert np.isnan(one.change.low)
    assert np.isnan(one.change.high)


def test_the_halves_have_nothing_to_do_with_data_made_with_the_same_seed() -> None:
    rates = np.repeat(np.linspace(0.0, 1.0, 400), 8)
    names = np.repeat(np.arange(400), 8)
    for seed in (0, 1):
        right = np.random.default_rng(seed).random(3200) < rates
        found = regression_suite(right, names, right, names, seed=seed)
        assert found is not None
        assert len(found.prompts) == pytest.approx(80, abs=25)
        assert found.change.value_b == pytest.approx(0.85, abs=0.08)


def test_a_prompt_is_solved_from_the_rate_on_and_the_smaller_half_chooses() -> None:
    assert regression_suite([1] * 4, ["a"] * 4, [1] * 4, ["a"] * 4, solved=1.0) is not None
    right = np.random.default_rng(5).random(1200) < 0.5
    names = np.repeat(np.arange(400), 3)
    found = regression_suite(right, names, right, names)  # one sample of three chooses: 1 / 2
    assert found is not None
    assert len(found.prompts) == pytest.approx(200, abs=40)  # two of three: 1 / 4


def test_many_prompts_take_time_in_proportion() -> None:
    names = np.repeat(np.arange(15_000), 4)
    start = time.process_time()
    assert regression_suite(np.ones(60_000), names, np.ones(60_000), names) is not None
    assert time.process_time() - start < 4.0  # a comparison of all with all takes half a minute


def test_samples_of_unknown_truth_count_nowhere() -> None:
    found = regression_suite([1, np.nan], ["a", "a"], [1, 1, np.nan], ["a"] * 3)
    assert found is not None
    assert found.change.difference == 0.0


def test_without_solved_prompts_there_is_no_suite() -> None:
    assert regression_suite([1, 1], ["a", "a"], [0, 0], ["a", "a"]) is None
    assert regression_suite([1, 1], ["b", "b"], [1, 1], ["a", "a"]) is None
    assert regression_suite([1], ["a"], [1], ["a"]) is None  # one sample cannot be halved


def test_errors() -> None:
    with pytest.raises(InvalidInputError, match=r"solved: expected a number in \(0, 1\], got 2"):
        regression_suite([1], ["a"], [1], ["a"], solved=2.0)
    with pytest.raises(InvalidInputError, match=r"level: expected a number in \(0, 1\), got 1"):
        regression_suite([1], ["a"], [1], ["a"], level=1.0)
    with pytest.raises(InvalidInputError, match="n_permutations: expected at least 99, got 9"):
        regression_suite([1], ["a"], [1], ["a"], n_permutations=9)
    with pytest.raises(InvalidInputError, match="prompts_base: expected 1 names, got 2"):
        regression_suite([1], ["a"], [1], ["a", "b"])
    with pytest.raises(InvalidInputError, match="correct_tuned: expected 0 or 1"):
        regression_suite([0.3], ["a"], [1], ["a"])
