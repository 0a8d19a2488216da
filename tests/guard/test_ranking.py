"""Ranks within a prompt, and stated against verified confidence."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead.errors import InvalidInputError
from levelhead.guard.ranking import overconfident, rank_within, shown_confidence

NAN = float("nan")


def test_ranks_by_hand() -> None:
    ranks = rank_within([0.1, 0.9, 0.5, 0.9, 0.2], ["p", "p", "p", "q", "q"])
    assert ranks.tolist() == [3, 1, 2, 1, 2]
    assert ranks.dtype == np.int64


def test_ties_share_the_better_rank_and_the_next_is_skipped() -> None:
    assert rank_within([0.5, 0.7, 0.7, 0.1], [1, 1, 1, 1]).tolist() == [3, 1, 1, 4]


def test_a_missing_score_comes_last() -> None:
    assert rank_within([NAN, 0.0, 0.3, NAN], [1, 1, 1, 1]).tolist() == [3, 2, 1, 3]


def test_a_tie_breaker_decides_by_the_hash_of_its_text() -> None:
    names = ["A", "B", "C", "D"]
    by_hash = sorted(names, key=lambda s: hashlib.blake2b(s.encode(), digest_size=16).digest())
    ranks = rank_within([0.5] * 4, ["p"] * 4, tie_breaker=names)
    assert [names[i] for i in np.argsort(ranks)] == by_hash
    assert by_hash != names  # the alphabet would have been another order
    assert rank_within([0.5, 0.6], ["p", "p"], tie_breaker=by_hash[:2]).tolist() == [2, 1]
    # The same text twice: nothing tells them apart, so they share.
    assert rank_within([0.5] * 3, ["p"] * 3, tie_breaker=["A", "A", "A"]).tolist() == [1, 1, 1]
    numbers = rank_within([0.5] * 4, ["p"] * 4, tie_breaker=np.arange(4))
    assert sorted(numbers.tolist()) == [1, 2, 3, 4]


def test_no_rows() -> None:
    assert rank_within([], []).tolist() == []


def slow(score: list[float], prompts: list[int]) -> list[int]:
    key = [-1.0 if np.isnan(s) else s for s in score]
    return [
        1 + sum(k > key[i] for k, p in zip(key, prompts, strict=True) if p == prompts[i])
        for i in range(len(score))
    ]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0, NAN]), st.integers(0, 3)), min_size=1
    ),
    seed=st.integers(0, 100),
)
def test_ranks_equal_the_slow_count_in_any_order_of_rows(
    rows: list[tuple[float, int]], seed: int
) -> None:
    score = np.array([s for s, _ in rows])
    prompts = np.array([p for _, p in rows])
    ranks = rank_within(score, prompts)
    assert ranks.tolist() == slow(score.tolist(), prompts.tolist())
    order = np.random.default_rng(seed).permutation(score.size)
    assert rank_within(score[order], prompts[order]).tolist() == ranks[order].tolist()
    labels = np.arange(score.size).astype(str)
    broken = rank_within(score, prompts, tie_breaker=labels)
    again = rank_within(score[order], prompts[order], tie_breaker=labels[order])
    assert again.tolist() == broken[order].tolist()
    for p in set(prompts.tolist()):
        size = int((prompts == p).sum())
        assert sorted(broken[prompts == p].tolist()) == list(range(1, size + 1))


def test_overconfident_needs_more_than_the_margin() -> None:
    # 0.9 - 0.7 is 0.20000000000000007 in floats and 0.2 on paper.
    assert overconfident([0.9, 0.91, 0.2, NAN], [0.7, 0.7, 0.9, 0.1]).tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert overconfident([0.5], [0.45], margin=0.0).tolist() == [True]
    assert overconfident([0.5], [0.5], margin=0.0).tolist() == [False]


def test_shown_is_the_lower_one() -> None:
    shown = shown_confidence([0.9, 0.3, NAN], [0.7, 0.6, 0.6])
    assert shown.tolist() == [0.7, 0.3, 0.6]


def test_bad_input_is_named() -> None:
    with pytest.raises(
        InvalidInputError, match=r"^score: expected finite numbers or NaN, got inf at"
    ):
        rank_within([np.inf], [1])
    with pytest.raises(InvalidInputError, match=r"^prompts: expected shape \(2,\), one label per"):
        rank_within([0.1, 0.2], [1])
    with pytest.raises(
        InvalidInputError, match=r"^tie_breaker: expected shape \(2,\), one label per"
    ):
        rank_within([0.1, 0.2], [1, 1], tie_breaker=["a"])
    with pytest.raises(
        InvalidInputError, match=r"^stated: expected 1 values, one for each of verif"
    ):
        overconfident([0.1, 0.2], [0.1])
    with pytest.raises(
        InvalidInputError,
        match=r"^stated: expected values in \[0, 1\] or NaN, got 90.0 at index 0; percentages must",
    ):
        shown_confidence([90], [0.1])
    with pytest.raises(
        InvalidInputError, match=r"^verified: expected values in \[0, 1\], got nan at"
    ):
        shown_confidence([0.9], [NAN])
    with pytest.raises(InvalidInputError, match=r"^margin: expected a value in \[0, 1\], got 2$"):
        overconfident([0.9], [0.5], margin=2)
