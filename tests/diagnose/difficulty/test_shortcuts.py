"""The test of shortcuts: exact permutations on small cases, and its false alarms over many runs."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from levelhead.diagnose.difficulty import _shortcuts
from levelhead.diagnose.difficulty._shortcuts import (
    ShortcutTest,
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
    assert traces.skips(np.array([2.9, 3.0, 3.0, 3.0])).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("flags", "among_answers", "whole_prompts"),
    [([0, 1, 1, 0, 0, 1], 1 / 9, 1 / 4), ([0, 1, 0, 0, 1, 0], 7 / 9, 3 / 4)],
)
def test_the_p_value_is_the_larger_one_of_two_kinds_of_swaps(
    flags: list[int], among_answers: float, whole_prompts: float
) -> None:
    # prompt 0 has one answer of the base and two of the tuned model, prompt 1 two and one
    prompts, tuned = [0, 0, 0, 1, 1, 1], [0, 1, 1, 0, 0, 1]
    found = shortcut_test(traces_of(flags), prompts, np.array(tuned) > 0, n_permutations=9999)

    def apart(first: Sequence[int], second: Sequence[int]) -> float:
        return (sum(first[1:]) / 2 - first[0] + second[2] - sum(second[:2]) / 2) / 2

    seen = apart(flags[:3], flags[3:])
    assert found.difference == pytest.approx(seen)
    kinds = [
        [
            apart(first, second)
            for first in itertools.permutations(flags[:3])
            for second in itertools.permutations(flags[3:])
        ],
        [s * apart(flags[:3], [0] * 3) + t * apart([0] * 3, flags[3:]) for s in (1, -1) for t in (1, -1)],
    ]  # fmt: skip
    shares = [np.mean(np.array(kind) >= seen - 1e-12) for kind in kinds]
    assert shares == pytest.approx([among_answers, whole_prompts])
    assert found.p_value == pytest.approx(max(shares), abs=0.02)
    assert found.verdict == "INCONCLUSIVE"  # two prompts


def test_whole_prompts_are_swapped_with_the_usual_work_of_the_other_model() -> None:
    # by its own median the base skips nothing; by that of the tuned model it would, in every prompt
    n = 4
    operations = np.tile([4.0, 4.0, 40.0], n)
    none = np.zeros(3 * n, np.bool_)
    found = shortcut_test(
        Traces(none, operations, ~none, none),
        np.repeat(np.arange(n), 3),
        np.tile([False, False, True], n),
        n_permutations=9999,
    )
    assert found.difference == 0.0  # nobody is below a quarter of 4
    # with the names of a prompt swapped both others are below a quarter of 40: +1 in that prompt
    assert found.p_value == 1.0
    assert found.null_high == pytest.approx(1.0)  # in all four, 1 / 16


def test_prompts_weigh_by_what_they_can_tell() -> None:
    # weights 1 * 1 / 2 and 2 * 2 / 4 at differences 1 and 1/2
    found = shortcut_test(
        traces_of([0, 1, 0, 0, 1, 0, 1]),
        [5, 5, 8, 8, 8, 8, 9],
        [False, True, False, False, True, True, True],
    )
    assert found.difference == pytest.approx((0.5 * 1.0 + 1.0 * 0.5) / 1.5)
    assert (found.n_prompts, found.n_tuned, found.n_base) == (2, 3, 3)
    # Newcombe's interval, of as many prompts as these weights are worth
    worth = (0.5 + 1.0) ** 2 / (0.5**2 + 1.0**2)
    (low_t, high_t), (low_b, high_b) = share_interval(2 / 3, worth), share_interval(0.0, worth)
    assert found.tuned == pytest.approx(2 / 3)
    assert low_b == 0.0
    wide = np.hypot(2 / 3 - low_t, high_b)
    assert found.low == pytest.approx(2 / 3 - wide)
    assert found.high == pytest.approx(min(1.0, 2 / 3 + (high_t - 2 / 3)))


def test_what_a_verdict_needs() -> None:
    found = ShortcutTest(0.2, 0.1, 0.1, 0.0, 0.2, 0.01, 0.05, 10, 30, 30, 0.05, 0.1)
    assert found.verdict == "SHORTCUTS"
    assert dataclasses.replace(found, n_prompts=9).verdict == "INCONCLUSIVE"
    assert dataclasses.replace(found, p_value=0.05).verdict == "SHORTCUTS"
    assert dataclasses.replace(found, difference=0.0).verdict == "INCONCLUSIVE"
    none = dataclasses.replace(found, p_value=0.3, high=0.0999)
    assert none.verdict == "NO SHORTCUTS"
    assert dataclasses.replace(none, high=0.1).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    "operations", [((9, 12, 40, 3), (20, 40, 20)), ((3, 2, 2, 40), (12, 2, 40))]
)
def test_a_model_measured_against_itself_gets_no_credit(
    operations: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    """The usual work is taken anew in every swap; by hand, over all swaps of both kinds."""
    sizes = ((2, 2), (1, 2))  # of the base and the tuned model

    def apart(base: Sequence[float], tuned: Sequence[float]) -> float:
        usual = statistics.median(base)
        flags = [[usual >= 3 and x < usual / 4 for x in side] for side in (base, tuned)]
        shares = [sum(side) / len(side) for side in flags]
        return (shares[1] - shares[0]) * len(base) * len(tuned) / (len(base) + len(tuned))

    pairs = [(ops[:n], ops[n:]) for ops, (n, _) in zip(operations, sizes, strict=True)]
    seen = sum(apart(*pair) for pair in pairs)
    answers = [
        sum(apart(one[:n], one[n:]) for one, (n, _) in zip(both, sizes, strict=True))
        for both in itertools.product(*(itertools.permutations(ops) for ops in operations))
    ]
    prompts = [
        sum(apart(*pair[::turn]) for pair, turn in zip(pairs, turns, strict=True))
        for turns in itertools.product((1, -1), repeat=2)
    ]
    n = sum(map(len, operations))
    none = np.zeros(n, np.bool_)
    found = shortcut_test(
        Traces(none, np.array(sum(operations, ())), ~none, none),
        [0] * 4 + [1] * 3,
        np.array([0, 0, 1, 1, 0, 1, 1]) > 0,
        n_permutations=9999,
    )
    assert found.difference == pytest.approx(seen / (1 + 2 / 3))
    shares = [np.mean(np.array(kind) >= seen - 1e-9) for kind in (answers, prompts)]
    assert found.p_value == pytest.approx(max(shares), abs=0.02)


def test_what_everybody_or_nobody_does_has_no_p_value() -> None:
    for flag in (0, 1):
        prompts = [i // 2 for i in range(200)]
        found = shortcut_test(traces_of([flag] * 200), prompts, [False, True] * 100)
        assert (found.difference, found.p_value, found.null_high) == (0.0, None, None)
        assert found.high is not None
        assert found.high < 0.1
        assert found.verdict == "NO SHORTCUTS"


def test_near_copies_of_one_answer_are_one_piece_of_evidence() -> None:
    """Both models write each prompt's answers alike, each in its own way, shortcuts as often as not."""
    rng = np.random.default_rng(3)
    alarms = 0
    for i in range(80):
        habit = rng.random((30, 2)) < 0.3
        tuned = np.tile(np.repeat([False, True], [3, 9]), 30)
        prompts = np.repeat(np.arange(30), 12)
        flags = habit[prompts, tuned.astype(int)].astype(int).tolist()
        found = shortcut_test(traces_of(flags), prompts, tuned, n_permutations=99, seed=i)
        alarms += found.verdict == "SHORTCUTS"
    assert alarms <= stats.binom.ppf(0.999, 80, 0.05)  # answer by answer it is every fourth


def test_one_prompt_is_no_finding() -> None:
    flags, prompts, tuned = [0] * 50 + [1] * 50, [0] * 100, [False] * 50 + [True] * 50
    for j in range(1, 12):
        flags, prompts, tuned = [*flags, 0, 0], [*prompts, j, j], [*tuned, False, True]
    found = shortcut_test(traces_of(flags), prompts, tuned, n_permutations=999)
    assert (found.difference or 0.0) > 0.7
    assert found.p_value == pytest.approx(0.5, abs=0.1)
    assert found.verdict == "INCONCLUSIVE"


def test_answers_are_put_in_order_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    flags, prompts, tuned = [0, 1, 1, 0, 0, 1] * 4, [0, 0, 0, 1, 1, 1] * 4, [False, True] * 12
    at_once = shortcut_test(traces_of(flags), prompts, tuned, n_permutations=999)
    monkeypatch.setattr(_shortcuts, "BLOCK", 100)
    again = shortcut_test(traces_of(flags), prompts, tuned, n_permutations=999)
    assert again == at_once


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
        shortcut_test(*world(rng), n_permutations=119, seed=i).verdict == "SHORTCUTS"
        for i in range(60)
    )
    assert alarms <= stats.binom.ppf(0.999, 60, 0.05)
    found = [
        shortcut_test(*world(rng, 0.3), n_permutations=119, seed=i).verdict == "SHORTCUTS"
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
