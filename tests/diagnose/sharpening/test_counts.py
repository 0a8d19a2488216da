"""Pairing and counting: prompts of one model only, missing labels, ragged numbers, answers by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from levelhead.diagnose.sharpening._counts import Paired, Samples, paired
from levelhead.errors import InvalidInputError


def samples(rows: Sequence[tuple[Any, ...]], name: str = "model") -> Samples:
    """From (prompt, correct[, answer]) rows."""
    answers = [row[2] for row in rows] if len(rows[0]) > 2 else None
    return Samples([row[0] for row in rows], [row[1] for row in rows], answers, name)


def pair(base: Samples, tuned: Samples, n: int | None = None) -> Paired:
    return paired(base, tuned, samples=n, seed=0)


def test_rows_are_counted_by_prompt_in_any_order() -> None:
    base = samples([("b", 1), ("a", 0), ("b", 1), ("a", 1)])
    tuned = samples([("a", 1), ("a", 1), ("b", 0), ("b", 0)])
    found = pair(base, tuned)
    assert found.n == 2
    assert found.base.tolist() == [1, 2]
    assert found.tuned.tolist() == [2, 0]
    arrow = Samples(pa.chunked_array([["b", "a"], ["b", "a"]]), [1, 0, 1, 1])
    assert pair(arrow, tuned).base.tolist() == [1, 2]


def test_what_is_not_compared_is_said_aloud() -> None:
    nan = math.nan
    base = samples([("a", 1), ("a", nan), ("x", 1), ("y", 1), (None, 1)], "old")
    tuned = samples([("a", 1), ("a", 1), ("z", nan)], "new")
    found = pair(base, tuned)
    assert found.base.tolist() == [1]
    text = "\n".join(found.warnings)
    assert "2 prompts only in base (old) left out: x, y" in text
    assert "1 prompt only in tuned (new) left out: z" in text
    assert "base (old): 1 sample (50%) without a label" in text
    assert "count as wrong" in text
    assert "tuned (new): " not in text  # its one missing label is of a prompt that is left out
    assert "base: 1 sample without a prompt id left out" in text
    assert "1 problem only: bands of curves over fewer than 30 are too narrow" in text


def test_of_more_samples_as_many_are_drawn() -> None:
    base = samples([("a", 1)] * 40 + [("a", 0)] * 60 + [("b", 1)] * 10)
    tuned = samples([("a", 1)] * 10 + [("b", 0)] * 10)
    drawn = [paired(base, tuned, samples=None, seed=seed).base for seed in range(200)]
    assert {int(one[1]) for one in drawn} == {10}
    mean = np.mean([one[0] for one in drawn])  # hypergeometric: mean 4, variance 2.2
    assert abs(mean - 4.0) < 4 * math.sqrt(2.2 / 200)
    text = "\n".join(pair(base, tuned).warnings)
    assert "10 of each and of each model are used, chosen at random, and 90 are not" in text


def test_one_short_problem_need_not_cost_all_others() -> None:
    rows = [(f"p{i}", j % 2) for i in range(9) for j in range(8)]
    base, tuned = samples([*rows, ("a", 1)]), samples([*rows, *[("a", 1)] * 8])
    found = pair(base, tuned)
    assert (found.n, pair(tuned, base).n) == (1, 1)
    assert any("--samples 8 uses 8 and leaves 1 problem out" in text for text in found.warnings)
    kept = pair(base, tuned, 8)
    assert (kept.n, kept.base.size) == (8, 9)
    assert kept.base.tolist() == [4] * 9
    assert "1 problem with fewer than 8 samples left out" in kept.warnings


def test_the_spread_of_answers_by_hand() -> None:
    base = samples([("a", 1, "4"), ("a", 0, "5"), ("a", 0, "6"), ("a", 0, "7")])
    tuned = samples([("a", 1, "4.0"), ("a", 1, " 4 "), ("a", 1, "4"), ("a", 0, "9")])
    found = pair(base, tuned)
    assert found.entropy is not None
    assert found.max_share is not None
    quarter = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    np.testing.assert_allclose(found.entropy[:, 0], [math.log(4), quarter])
    np.testing.assert_allclose(found.max_share[:, 0], [0.25, 0.75])


def test_both_models_are_heard_on_as_many_answers() -> None:
    base = samples([("a", 0, "1"), ("a", 0, None), ("a", 0, ""), ("a", 0, "2")])
    tuned = samples([("a", 0, str(i)) for i in range(4)])
    found = pair(base, tuned)
    assert found.entropy is not None
    np.testing.assert_allclose(found.entropy[:, 0], [math.log(2), math.log(2)])
    same = pair(base, samples([("a", 0, "1")] * 4))
    assert same.max_share is not None
    np.testing.assert_allclose(same.max_share[:, 0], [0.5, 1.0])


def test_without_two_answers_the_spread_is_undefined() -> None:
    base = samples([("a", 0, "1"), ("a", 0, None)])
    tuned = samples([("a", 0, "1"), ("a", 0, "2")])
    found = pair(base, tuned)
    assert found.entropy is None
    assert any("undefined" in note for note in found.notes)
    assert pair(samples([("a", 1)]), tuned).entropy is None


def test_a_table_is_rows_of_problems() -> None:
    one = Samples.from_matrix([[1, 0], [math.nan, 1]], [["x", None], ["y", "y"]], name="m")
    assert one.prompts.to_pylist() == ["0", "0", "1", "1"]
    np.testing.assert_array_equal(one.correct, [1, 0, math.nan, 1])
    assert one.answers == ["x", None, "y", "y"]


OK = [("a", 1), ("a", 0)]


@pytest.mark.parametrize(
    ("base", "n", "text"),
    [
        (Samples(None, [1, 0]), None, "base: expected a prompt id for each sample"),
        (Samples([None, ""], [1, 0]), None, "base: expected a prompt id for each sample, .* 2 without"),
        (Samples(["a"], [1, 0]), None, r"base.prompts: expected 2 values, one for each sample, got 1"),
        (Samples(["a", "a"], [1, 0], ["x"]), None, "base.answers: expected 2 values"),
        (Samples(["a", "a"], [1, 0.5]), None, "base.correct: expected 1, 0 or NaN .* got 0.5 at index 1"),
        (Samples(["a"], [math.nan]), None, "base: expected samples with a known label, got 1 of which"),
        (Samples(["b"], [1]), None, "expected prompts that both have, got none, such as 'b' and 'a'"),
        (samples(OK), 3, "samples: expected at most 2, the most .* got 3; ask for fewer"),
    ],
)  # fmt: skip
def test_errors_say_what_was_expected(base: Samples, n: int | None, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        pair(base, samples(OK), n)


def test_a_table_has_two_dimensions() -> None:
    with pytest.raises(InvalidInputError, match=r"correct: expected shape \(P, n\), got \(2,\)"):
        Samples.from_matrix([1, 0])


@pytest.mark.parametrize(("problems", "alike"), [(34, False), (35, True)])
def test_neighbors_that_agree_too_often_are_alike(problems: int, alike: bool) -> None:
    """Two of four: one, two or three neighbors differ in two of six orders each, variance 2/3.

    All with one: so many neighbors too few as there are problems. 34 are less than 6 and 6 standard
    deviations of 4.76, 35 are more than 6 and 6 of 4.83.
    """
    orders = list(itertools.permutations([1, 1, 0, 0]))
    differ = [sum(a != b for a, b in itertools.pairwise(order)) for order in orders]
    assert (np.mean(differ), np.var(differ)) == (2.0, pytest.approx(2 / 3))
    grouped = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])[np.arange(problems) % 2]
    found = paired(of(grouped), of(grouped), samples=None, seed=0)
    assert found.alike == alike
    assert any("neighboring samples" in one for one in found.warnings) == alike
    grouped[0] = [0, 1, 1, 0]
    assert not paired(of(grouped), of(grouped), samples=None, seed=0).alike


def test_sorted_samples_and_independent_ones_are_not_called_alike() -> None:
    right = np.random.default_rng(0).random((300, 16)) < 0.4
    plain = Samples.from_matrix(right)
    for one in (right, np.sort(right, axis=1), np.sort(right, axis=1)[:, ::-1]):
        assert not paired(of(one), plain, samples=None, seed=0).alike
    fours = np.repeat(right[:, :4], 4, axis=1)
    assert paired(plain, of(fours), samples=None, seed=0).alike
    by_turns = Samples(np.tile(np.arange(300), 16).astype(str), fours.T.ravel())
    found = paired(of(fours), by_turns, samples=None, seed=0)
    assert "alike in model and model" in " ".join(found.warnings)
    assert not paired(of(fours[:, :1]), of(fours[:, :1]), samples=None, seed=0).alike


@pytest.mark.parametrize("n", [2, 16])
def test_copies_of_one_answer_are_alike(n: int) -> None:
    """As of greedy decoding: nothing differs within a problem, so no order gives it away."""
    greedy, mixed = np.repeat([[1], [0], [1]], n, axis=1), np.tile([[1], [0], [0]], n)
    mixed[2, 0] = 1
    assert paired(of(greedy), of(mixed), samples=None, seed=0).alike
    assert paired(of(mixed), of(greedy), samples=None, seed=0).alike
    assert not paired(of(mixed), of(mixed), samples=None, seed=0).alike
    for same in (0, 1):
        all_alike = of(np.full((3, n), same))
        assert not paired(of(mixed), all_alike, samples=None, seed=0).alike
    once = of(np.array([[1], [0], [1]]))
    assert not paired(once, once, samples=None, seed=0).alike


def test_two_of_many_may_stand_side_by_side() -> None:
    """Each of three problems has two right ones among 1,024: one pair side by side in 170 files."""
    right = np.zeros((3, 1024))
    right[0, [3, 4]] = right[1:, [5, 900]] = 1
    assert not paired(of(right), of(right), samples=None, seed=0).alike


def of(right: np.ndarray) -> Samples:
    return Samples.from_matrix(right)
