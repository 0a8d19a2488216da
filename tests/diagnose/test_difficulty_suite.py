"""The suite of what was solved before: no regression to the mean, and changes that are there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from levelhead.diagnose._difficulty_suite import regression_suite
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
            samples(rng, rate), NAMES, samples(rng, rate), NAMES, n_boot=200, seed=i
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
    with pytest.raises(InvalidInputError, match="prompts_base: expected 1 names, got 2"):
        regression_suite([1], ["a"], [1], ["a", "b"])
    with pytest.raises(InvalidInputError, match="correct_tuned: expected 0 or 1"):
        regression_suite([0.3], ["a"], [1], ["a"])
