"""Rows of a forward pass: what is in them, what is wanted of them, and what each token sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from levelhead.errors import InvalidInputError
from levelhead.train.answers import AnswerBranch, AnswerTrie
from levelhead.train.packing import cheaper_layout, micro_batches, pack, rows_needed

PROMPTS = [np.array([10, 11]), np.array([12])]
COMPLETIONS = [np.array([1, 2, 3]), np.array([1, 4]), np.array([5])]
GROUP = np.array([0, 0, 1])


def trie(*, nodes=((), (7,)), edges=((0, 7), (0, 8), (1, 9)), paths=((0, 2), (1, -1))):
    return AnswerTrie(
        ("a", "b"), "<", ">", (3,), nodes, np.array(edges, np.int64), np.array(paths, np.int64)
    )


def test_prefix_rows_by_hand() -> None:
    packed = pack(PROMPTS, COMPLETIONS, GROUP)
    # The last token of a completion predicts nothing; both completions of the first prompt begin with 1.
    assert packed.input_ids.tolist() == [[10, 11, 1, 2], [12, 0, 0, 0]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3], [0, 0, 0, 0]]
    assert packed.mask.tolist() == [[True] * 3, [True, True, False], [True, False, False]]
    # States: 1 (the prompt's end) predicts 1 and 1; 2 predicts 2 and 4; 3 predicts 3; 4 predicts 5.
    assert packed.places.tolist() == [1, 2, 3, 4]
    assert packed.which.tolist() == [0, 0, 1, 1, 2, 3]
    assert packed.tokens.tolist() == [1, 1, 2, 4, 3, 5]
    assert packed.slots.tolist() == [0, 3, 1, 4, 2, 6]
    seen = (packed.attention_mask(torch.float32) == 0.0)[:, 0]
    assert seen[0].long().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert torch.equal(seen[1], torch.eye(4, dtype=torch.bool))
    assert packed.n_tokens == 8


def test_siblings_do_not_see_each_other() -> None:
    packed = pack([np.array([10])], [np.array([1, 2]), np.array([3, 4])], np.array([0, 0]))
    assert packed.input_ids.tolist() == [[10, 1, 3]]
    seen = packed.attention_mask(torch.bfloat16) == 0.0
    assert seen[0, 0].long().tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    assert packed.attention_mask(torch.bfloat16).dtype == torch.bfloat16


def test_padded_rows_by_hand() -> None:
    packed = pack(PROMPTS, COMPLETIONS, GROUP, layout="padded")
    assert packed.input_ids.tolist() == [[10, 11, 1, 2], [10, 11, 1, 0], [12, 0, 0, 0]]
    assert packed.attention_mask(torch.float32).tolist() == [
        [1, 1, 1, 1],
        [1, 1, 1, 0],
        [1, 0, 0, 0],
    ]
    assert packed.tokens[torch.argsort(packed.slots)].tolist() == [1, 2, 3, 1, 4, 5]


def test_branches_by_hand() -> None:
    answers = trie()
    branches = [AnswerBranch(answers, 1), None, AnswerBranch(answers, 1)]
    packed = pack(PROMPTS, COMPLETIONS, GROUP, branches=branches)
    # Behind 1 the branch 7 of the answer; behind 5, which now has to be computed, another one.
    assert packed.input_ids.tolist() == [[10, 11, 1, 2, 7], [12, 5, 7, 0, 0]]
    assert packed.has_answer is not None
    assert packed.has_answer.tolist() == [True, False, True]
    wanted = sorted(
        zip(
            packed.slots.tolist(),
            packed.places[packed.which].tolist(),
            packed.tokens.tolist(),
            strict=True,
        )
    )
    # 9 slots of completion tokens, then 3 edges for each of 3 completions.
    assert wanted[-6:] == [(9, 2, 7), (10, 2, 8), (11, 4, 9), (15, 6, 7), (16, 6, 8), (17, 7, 9)]


def test_micro_batches_by_hand_and_within_the_budget() -> None:
    found = micro_batches([4, 4, 4, 4], [6, 20, 7, 7], budget_tokens=24)
    assert [batch.tolist() for batch in found] == [[1], [2, 3], [0]]
    rng = np.random.default_rng(1)
    prompts, completions = rng.integers(1, 50, 40), rng.integers(0, 200, 40)
    batches = micro_batches(prompts, completions, budget_tokens=400)
    assert sorted(np.concatenate(batches).tolist()) == list(range(40))
    assert all((prompts + completions)[batch].max() * len(batch) <= 400 for batch in batches)
    assert micro_batches([], [], budget_tokens=1) == []


@pytest.mark.parametrize("layout", ["prefix", "padded"])
@pytest.mark.parametrize("answered", [False, True])
def test_rows_needed_are_those_of_the_packed_group(layout: Any, answered: bool) -> None:
    """Nothing begins alike here, so that a bound is reached: every completion ends with its opening."""
    answers = trie() if answered else None
    completions = [np.array([1, 2, 3]), np.array([4, 5]), np.array([6])]
    branches = [AnswerBranch(answers, len(c)) for c in completions] if answers else None
    packed = pack([PROMPTS[0]], completions, np.zeros(3), branches=branches, layout=layout)
    found = rows_needed(2, [3, 2, 1], layout=layout, trie=answers)
    assert tuple(packed.input_ids.shape) == found
    by_hand = {
        ("prefix", False): (1, 2 + 2 + 1 + 0),
        ("prefix", True): (1, 2 + 4 + 3 + 2),
        ("padded", False): (3, 2 + 2),
        ("padded", True): (6, 2 + 3 + 1),
    }
    assert found == by_hand[layout, answered]


def test_cheaper_layout_by_hand() -> None:
    # Two completions of 9 tokens behind 8, hidden 2: a row of 24 tokens, 24 * (12 + 24) = 864, or two
    # rows of 16 tokens, 16 * (12 + 16) = 448 each.
    assert cheaper_layout(8, [9, 9], hidden=2) == "prefix"
    assert cheaper_layout(3, [9, 9], hidden=2) == "padded"  # 19 * 31 = 589, 2 * 11 * 23 = 506
    assert cheaper_layout(3, [9, 9], hidden=2, trie=trie(nodes=((),))) == "padded"
    assert cheaper_layout(3, [9, 9], hidden=64) == "prefix"
    assert cheaper_layout(64, [28] * 8, hidden=64) == "prefix"
    # One completion costs the same either way; the mask of a long tree does not.
    assert cheaper_layout(4096, [1], hidden=2560) == "prefix"
    assert cheaper_layout(4096, [2], hidden=2560) == "padded"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"layout": "ragged"}, "layout: expected 'prefix' or 'padded', got 'ragged'"),
        (
            {"group": np.array([0, 0, 2])},
            "group: expected values >= 0 and below 2, got 2 at index 2",
        ),
        (
            {"prompts": [np.array([1]), np.array([], np.int64)]},
            "prompts: expected at least one token each, got none at index 1",
        ),
        ({"branches": [None]}, "branches: expected 3, one per completion, got 1"),
        (
            {"branches": [AnswerBranch(trie(), 4), None, None]},
            "branches: expected a start from 0 to the 3 tokens of the completion, got 4 at index 0",
        ),
        (
            {"branches": [AnswerBranch(trie(), 1), AnswerBranch(trie(), 1), None]},
            "branches: expected one tree of answers for all, got another at index 1",
        ),
    ],
)
def test_errors(changes: dict[str, Any], text: str) -> None:
    arguments = {"prompts": PROMPTS, "completions": COMPLETIONS, "group": GROUP, **changes}
    positional = [arguments.pop(name) for name in ("prompts", "completions", "group")]
    with pytest.raises(InvalidInputError) as caught:
        pack(*positional, **arguments)
    assert str(caught.value).startswith(text)


def test_a_budget_below_one_token() -> None:
    with pytest.raises(InvalidInputError, match="budget_tokens: expected at least 1, got 0"):
        micro_batches([1], [1], budget_tokens=0)
