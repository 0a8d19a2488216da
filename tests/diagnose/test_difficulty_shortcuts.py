"""The test of shortcuts: exact permutations on small cases, and its false alarms over many runs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from levelhead.diagnose._difficulty_shortcuts import (
    Traces,
    read_traces,
    share_interval,
    shortcut_test,
)
from levelhead.errors import InvalidInputError


def traces_of(flags: list[int]) -> Traces:
    """Texts of which some repeat themselves, and whose work is never in question."""
    n = len(flags)
    return Traces(np.array(flags) > 0, np.full(n, 9.0), np.ones(n, np.bool_), np.zeros(n, np.bool_))


def test_texts_are_read_once_for_all_references() -> None:
    done: list[int] = []
    texts = ["2 * 3 = 6, 6 + 1 = 7. Hence the answer is 7.", "answer is 7", None, "ha ha " * 99]
    traces = read_traces(texts, advance=done.append)
    assert sum(done) == 4
    assert traces.operations.tolist() == [2, 0, 0, 0]
    assert traces.answers.tolist() == [True, True, False, False]
    assert traces.hasty.tolist() == [False, True, False, False]
    assert traces.repeats.tolist() == [False, False, False, True]
    assert traces.skips(np.nan).tolist() == [False, True, False, False]
    assert traces.skips(9.0).tolist() == [True, True, False, False]  # 2 / 9 < 1/4
    assert traces.flagged(2.0).tolist() == [False, False, False, True]  # nothing to skip


def test_the_p_value_is_that_of_all_swaps() -> None:
    # prompt 0: base 0, tuned 1 1; prompt 1: base 0 0, tuned 1
    flags, prompts, tuned = [0, 1, 1, 0, 0, 1], [0, 0, 0, 1, 1, 1], [0, 1, 1, 0, 0, 1]
    found = shortcut_test(
        traces_of(flags), prompts, np.array(tuned) > 0, n_permutations=9999, alpha=0.05
    )
    assert (found.difference, found.tuned, found.base) == (1.0, 1.0, 0.0)
    at_least = total = 0
    for first in itertools.permutations(flags[:3]):
        for second in itertools.permutations(flags[3:]):
            d = (sum(first[1:]) / 2 - first[0] + second[2] - sum(second[:2]) / 2) / 2
            at_least, total = at_least + (d >= 1.0), total + 1
    assert found.p_value == pytest.approx(at_least / total, abs=0.01)  # 1 / 9
    assert found.verdict == "INCONCLUSIVE"  # two prompts


def test_prompts_weigh_by_what_they_can_tell() -> None:
    # weights 1 * 1 / 2 and 2 * 2 / 4 at differences 1 and 1/2
    found = shortcut_test(
        traces_of([0, 1, 0, 0, 1, 0, 1]),
        [5, 5, 8, 8, 8, 8, 9],
        [False, True, False, False, True, True, True],
    )
    assert found.difference == pytest.approx((0.5 * 1.0 + 1.0 * 0.5) / 1.5)
    assert (found.n_prompts, found.n_tuned, found.n_base) == (2, 3, 3)


def test_a_model_measured_against_itself_gets_no_credit() -> None:
    """The usual work is taken anew in every swap: one answer with much work per prompt, by anybody."""
    rng = np.random.default_rng(0)
    operations, prompts, tuned = [], [], []
    for j in range(40):
        operations += rng.permutation([40.0, 4.0]).tolist()
        prompts += [j, j]
        tuned += [False, True]
    n = len(operations)
    none = np.zeros(n, np.bool_)
    traces = Traces(none, np.array(operations), ~none, none)
    found = shortcut_test(traces, prompts, tuned)
    assert found.base == 0.0
    assert found.tuned is not None
    assert found.tuned > 0.25
    assert found.p_value is not None
    assert found.p_value > 0.05


def test_what_everybody_or_nobody_does_has_no_p_value() -> None:
    for flag in (0, 1):
        prompts = [i // 2 for i in range(200)]
        found = shortcut_test(traces_of([flag] * 200), prompts, [False, True] * 100)
        assert (found.difference, found.p_value) == (0.0, None)
        assert found.high is not None
        assert found.high < 0.1
        assert found.verdict == "NO SHORTCUTS"


def test_without_common_prompts_nothing_is_defined() -> None:
    found = shortcut_test(traces_of([1, 0]), [0, 1], [True, False])
    assert (found.tuned, found.difference, found.p_value, found.n_prompts) == (None, None, None, 0)
    assert shortcut_test(traces_of([]), [], []).verdict == "INCONCLUSIVE"


def world(rng: np.random.Generator, excess: float = 0.0) -> tuple[Traces, list[int], list[bool]]:
    """Right answers to hard prompts; harder ones are flagged more, and one model solves them oftener."""
    flags: list[int] = []
    prompts: list[int] = []
    tuned: list[bool] = []
    for j, often in enumerate(rng.beta(0.5, 2.0, 60)):
        for own in (False, True):
            right = rng.binomial(16, 0.25 if own else 0.1)
            flags += (rng.random(right) < min(1.0, often + excess * own)).astype(int).tolist()
            prompts += [j] * right
            tuned += [own] * right
    traces = traces_of(flags)
    operations = rng.poisson(6.0, len(flags)).astype(float)
    return Traces(traces.repeats, operations, traces.answers, traces.hasty), prompts, tuned


def test_false_alarms_stay_at_their_level_and_shortcuts_are_found() -> None:
    rng = np.random.default_rng(1)
    alarms = sum(
        shortcut_test(*world(rng), n_permutations=199, seed=i).verdict == "SHORTCUTS"
        for i in range(80)
    )
    assert alarms <= stats.binom.ppf(0.999, 80, 0.05)
    found = [
        shortcut_test(*world(rng, 0.3), n_permutations=199, seed=i).verdict == "SHORTCUTS"
        for i in range(10)
    ]
    assert sum(found) >= 8


def test_an_excess_of_the_margin_is_not_called_none() -> None:
    rng = np.random.default_rng(2)
    wrong = 0
    for i in range(25):
        flags = (rng.random(400) < np.tile([0.02, 0.12], 200)).astype(int).tolist()
        prompts, tuned = [j // 2 for j in range(400)], [False, True] * 200
        found = shortcut_test(traces_of(flags), prompts, tuned, n_permutations=99, seed=i)
        wrong += found.verdict == "NO SHORTCUTS"
    assert wrong <= stats.binom.ppf(0.999, 25, 0.025)


def test_the_interval_of_a_share() -> None:
    low, high = share_interval(0.3, 10)
    assert stats.binom.sf(2, 10, low) == pytest.approx(0.025)
    assert stats.binom.cdf(3, 10, high) == pytest.approx(0.025)
    assert share_interval(1.0, 4) == (pytest.approx(0.025**0.25), 1.0)


def test_errors() -> None:
    traces = traces_of([1, 0])
    with pytest.raises(InvalidInputError, match=r"prompts: expected shape \(2,\), got \(1,\)"):
        shortcut_test(traces, [0], [True, False])
    with pytest.raises(InvalidInputError, match=r"alpha: expected a number in \(0, 0.5\), got 0.7"):
        shortcut_test(traces, [0, 0], [True, False], alpha=0.7)
    with pytest.raises(InvalidInputError, match=r"margin: expected a number in \(0, 1\), got 0"):
        shortcut_test(traces, [0, 0], [True, False], margin=0.0)
    with pytest.raises(InvalidInputError, match="n_permutations: expected at least 99, got 5"):
        shortcut_test(traces, [0, 0], [True, False], n_permutations=5)
    with pytest.raises(InvalidInputError, match="share and trials: .* got 2.0 of 3"):
        share_interval(2.0, 3)
    with pytest.raises(InvalidInputError, match=r"alpha: expected a number in \(0, 1\), got 1"):
        share_interval(0.5, 3, alpha=1.0)
