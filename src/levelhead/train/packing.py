"""Prompts and their completions as the rows of one forward pass, without computing anything twice.

The rollouts of a group share their prompt, and often the beginning of the completion. In the layout
"prefix" a row is the tree of one prompt's sequences: every shared token is computed once, a token sees
what is on its way from the start and nothing else, and positions count along that way. A completion's
last token predicts nothing and is left out. The layout "padded" has one plain row per sequence, for
models that cannot be told what to see.

Reference: prefix sharing as in Hydragen (arXiv:2402.05099); token trees as in SpecInfer
(arXiv:2305.09781).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from levelhead._arrays import IntArray, integers
from levelhead.errors import InvalidInputError
from levelhead.train._tree import grow
from levelhead.train.answers import AnswerBranch, AnswerTrie

__all__ = ["Layout", "Packed", "cheaper_layout", "micro_batches", "pack", "rows_needed"]

Layout = Literal["prefix", "padded"]

LONGEST_TREE = 4096
"""Tokens of a row above which its mask, a number for every pair, takes more memory than it saves."""


@dataclasses.dataclass(frozen=True, eq=False)
class Packed:
    """Rows of tokens for a decoder, and which of its predictions are wanted.

    Q predictions are taken from the hidden states of U places; a place may predict several tokens (the
    end of a prompt predicts the first token of each completion).

    Attributes:
        input_ids: (R, L) int64.
        position_ids: (R, L) int64.
        ends: (R, L) int64, index behind a token's last descendant; None in the layout "padded".
        lengths: (R,) int64, tokens of a row before the padding.
        places: (U,) int64, indices into the flattened (R * L) hidden states.
        which: (Q,) int64, ascending, index into `places` that makes prediction q.
        tokens: (Q,) int64, the token whose log-probability is wanted.
        slots: (Q,) int64, where it goes in the flat result: (B * T) completion tokens, then (B * E)
            edges of the answer tree.
        mask: (B, T) bool, True where a completion has a token; T >= 1.
        trie: the answers, or None.
        has_answer: (B,) bool, True where the answer was evaluated, or None.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    ends: torch.Tensor | None
    lengths: torch.Tensor
    places: torch.Tensor
    which: torch.Tensor
    tokens: torch.Tensor
    slots: torch.Tensor
    mask: torch.Tensor
    trie: AnswerTrie | None = None
    has_answer: torch.Tensor | None = None

    @property
    def n_tokens(self) -> int:
        """Tokens that the decoder computes, padding included."""
        return self.input_ids.numel()

    def attention_mask(self, dtype: torch.dtype) -> torch.Tensor:
        """What each token sees, in the form that the decoder takes.

        Args:
            dtype: the model's number type.

        Returns:
            (R, 1, L, L), 0 where the row's token sees the column's and the lowest number of `dtype`
            where it does not; in the layout "padded" (R, L) int64, 1 for tokens and 0 for padding.
        """
        columns = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
        if self.ends is None:
            return (columns < self.lengths[:, None]).long()
        seen = (columns[:, None] >= columns) & (columns[:, None] < self.ends[:, None, :])
        # Numbers and not booleans: PyTorch's kernels for the CPU are a fifth faster with them.
        blocked = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return blocked.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


class _Continuation(NamedTuple):
    """Tokens behind a prompt, and the predictions wanted on the way.

    Prediction q is made by the state after the first `after[q]` of these tokens.
    """

    sequence: IntArray
    after: IntArray
    tokens: IntArray
    slots: IntArray


class _Row(NamedTuple):
    """A row's tokens, and the predictions wanted of it, made by the states at `at`."""

    tokens: IntArray
    positions: IntArray
    ends: IntArray
    at: IntArray
    wanted: IntArray
    slots: IntArray


def pack(
    prompts: Sequence[IntArray],
    completions: Sequence[IntArray],
    group: IntArray,
    *,
    branches: Sequence[AnswerBranch | None] | None = None,
    trie: AnswerTrie | None = None,
    layout: Layout = "prefix",
    device: torch.device | str = "cpu",
) -> Packed:
    """The rows of a micro-batch and the predictions wanted of them.

    Args:
        prompts: P arrays of token ids, none empty.
        completions: B arrays of token ids, the stop token included; an empty one has no predictions.
        group: (B,) index of each completion's prompt.
        branches: for each completion where its answer begins, or None where it has none; all with the
            same tree. None: no answers are evaluated. Tokens behind the answer's beginning are not
            needed for the exact gradient: cut the completions at `start` to save them.
        trie: the tree of the branches; needed where perhaps no completion has a branch.
        layout: "prefix" (a row is a prompt's tree) or "padded" (a row is a sequence).
        device: where the tensors are made.

    Returns:
        The batch; sequence b is completion b.

    Raises:
        InvalidInputError: lengths that differ, an empty prompt, a group that names no prompt, a branch
            outside of its completion, or branches with different trees.

    Edge cases: prompts without completions make no row; without any prediction there is one row of
        one token.
    Properties: both layouts have the same predictions, up to rounding.
    """
    if layout not in ("prefix", "padded"):
        raise InvalidInputError(f"layout: expected 'prefix' or 'padded', got {layout!r}")
    groups = integers("group", group, len(completions), below=max(1, len(prompts)))
    for i, prompt in enumerate(prompts):
        if len(prompt) == 0:
            raise InvalidInputError(
                f"prompts: expected at least one token each, got none at index {i}; "
                "nothing would predict the first token of its completions"
            )
    prompts = [np.asarray(prompt, dtype=np.int64) for prompt in prompts]
    completions = [np.asarray(completion, dtype=np.int64) for completion in completions]
    given: list[AnswerBranch | None] = list(branches or [None] * len(completions))
    trie = _one_trie(trie, given, completions)
    width = max([1, *map(len, completions)])
    # First in the flat result come all completion tokens, then all edges.
    first_edge = len(completions) * width
    rows: list[_Row] = []
    for p, prompt in enumerate(prompts):
        continuations: list[_Continuation] = []
        for b in np.flatnonzero(groups == p).tolist():
            slots = (b * width, first_edge + b * (len(trie.edges) if trie else 0))
            continuations += _continuations(completions[b], given[b], slots)
        if layout == "prefix" and continuations:
            rows.append(_tree_row(prompt, continuations))
        elif layout == "padded":
            rows += [_plain_row(prompt, continuation) for continuation in continuations]
    has_answer = None
    if branches is not None:
        has_answer = torch.tensor([branch is not None for branch in given], device=device)
    lengths = np.array([len(completion) for completion in completions], dtype=np.int64)
    mask = torch.from_numpy(np.arange(width) < lengths[:, None]).to(device)
    return Packed(**_tensors(rows, layout, device), mask=mask, trie=trie, has_answer=has_answer)


def micro_batches(
    prompt_lengths: Sequence[int] | IntArray,
    completion_lengths: Sequence[int] | IntArray,
    *,
    budget_tokens: int,
) -> list[IntArray]:
    """Which prompts go through the model together: whole groups, of like lengths.

    Args:
        prompt_lengths: (P,) tokens of each prompt.
        completion_lengths: (P,) tokens of all completions of each prompt together.
        budget_tokens: how many tokens a micro-batch may have, padding included; >= 1.

    Returns:
        Arrays of prompt indices that hold each prompt once, longest first.

    Raises:
        InvalidInputError: lengths below 0 or of different number, or a budget below 1.

    Edge cases: a group above the budget is a micro-batch of its own; no prompts, no micro-batches.
    Properties: deterministic; equal lengths keep the order of the prompts.

    Example:
        >>> [batch.tolist() for batch in micro_batches([4, 4, 4], [6, 20, 7], budget_tokens=24)]
        [[1], [2, 0]]
    """
    if budget_tokens < 1:
        raise InvalidInputError(f"budget_tokens: expected at least 1, got {budget_tokens}")
    n = len(prompt_lengths)
    total = integers("prompt_lengths", prompt_lengths, n)
    total = total + integers("completion_lengths", completion_lengths, n)
    batches: list[list[int]] = []
    for p in np.argsort(-total, kind="stable"):
        # Longest first: the first of a batch sets the length of its rows.
        if batches and (len(batches[-1]) + 1) * total[batches[-1][0]] <= budget_tokens:
            batches[-1].append(int(p))
        else:
            batches.append([int(p)])
    return [np.array(batch, dtype=np.int64) for batch in batches]


def rows_needed(
    prompt_length: int,
    completion_lengths: Sequence[int] | IntArray,
    *,
    layout: Layout,
    trie: AnswerTrie | None = None,
) -> tuple[int, int]:
    """How many rows a group takes, and of how many tokens, at most.

    Args:
        prompt_length: tokens of the prompt.
        completion_lengths: (G,) tokens of each completion.
        layout: of the rows.
        trie: the answers that are evaluated behind each completion, or None.

    Returns:
        The rows, and the tokens of the longest.

    Edge cases: trees whose completions begin alike, and completions without an answer, take less.

    Example:
        >>> rows_needed(5, [3, 4], layout="prefix"), rows_needed(5, [3, 4], layout="padded")
        ((1, 10), (2, 8))
    """
    # Without answers a completion's last token predicts nothing; an answer may begin behind it.
    used = [int(n) if trie is not None else max(int(n) - 1, 0) for n in completion_lengths]
    nodes = [len(node) for node in trie.nodes] if trie is not None else [0]
    if layout == "prefix":
        return 1, prompt_length + sum(used) + len(used) * (len(nodes) - 1)
    return len(used) * len(nodes), prompt_length + max(used, default=0) + max(nodes)


def cheaper_layout(
    prompt_length: int,
    completion_lengths: Sequence[int] | IntArray,
    *,
    hidden: int,
    trie: AnswerTrie | None = None,
) -> Layout:
    """The layout in which a group costs a transformer less: shared prompts against shorter rows.

    cost = rows * (length * 12 * hidden^2 + length^2 * 2 * hidden), the products of a layer: about
    12 * hidden^2 of its weights for each token, and 2 * hidden of attention for each pair of tokens of a
    row, those that the mask hides included. "prefix" has the fewer tokens, "padded" the fewer pairs.

    Args:
        prompt_length: tokens of the prompt.
        completion_lengths: (G,) tokens of each completion.
        hidden: width of the model.
        trie: the answers that are evaluated behind each completion, or None.

    Returns:
        "padded" where it costs less, or where the tree would have more than `LONGEST_TREE` tokens.

    Properties: the wider the model, the sooner "prefix".

    Example:
        >>> cheaper_layout(64, [28] * 8, hidden=64), cheaper_layout(64, [280] * 8, hidden=64)
        ('prefix', 'padded')
    """

    def cost(layout: Layout) -> int:
        n, length = rows_needed(prompt_length, completion_lengths, layout=layout, trie=trie)
        return n * length * (6 * hidden + length)  # in units of 2 * hidden

    _, length = rows_needed(prompt_length, completion_lengths, layout="prefix", trie=trie)
    if length > LONGEST_TREE:
        return "padded"
    return "prefix" if cost("prefix") <= cost("padded") else "padded"


def _one_trie(
    trie: AnswerTrie | None,
    branches: list[AnswerBranch | None],
    completions: Sequence[IntArray],
) -> AnswerTrie | None:
    """The tree that all branches have; None where there is neither a tree nor a branch."""
    if len(branches) != len(completions):
        raise InvalidInputError(
            f"branches: expected {len(completions)}, one per completion, got {len(branches)}"
        )
    for b, branch in enumerate(branches):
        if branch is None:
            continue
        if not 0 <= branch.start <= len(completions[b]):
            raise InvalidInputError(
                f"branches: expected a start from 0 to the {len(completions[b])} tokens of the "
                f"completion, got {branch.start} at index {b}"
            )
        if trie is not None and branch.trie is not trie:
            raise InvalidInputError(
                f"branches: expected one tree of answers for all, got another at index {b}"
            )
        trie = branch.trie
    return trie


def _continuations(
    completion: IntArray, branch: AnswerBranch | None, first_slots: tuple[int, int]
) -> list[_Continuation]:
    """A completion and, where its answer is evaluated, the beginnings of the answers behind it."""
    slots = first_slots[0] + np.arange(len(completion))
    if branch is None:
        if not len(completion):
            return []
        return [_Continuation(completion[:-1], np.arange(len(completion)), completion, slots)]
    out: list[_Continuation] = []
    edge_tokens = branch.trie.edges[:, 1]
    for node, path in enumerate(branch.trie.nodes):
        edges = np.flatnonzero(branch.trie.edges[:, 0] == node)
        into = first_slots[1] + edges
        if node == 0:  # the root lies on the completion's own way
            sequence = completion[: max(len(completion) - 1, branch.start)]
            after = np.concatenate([np.arange(len(completion)), np.full(len(edges), branch.start)])
            wanted = np.concatenate([completion, edge_tokens[edges]])
            into = np.concatenate([slots, into])
        else:
            sequence = np.concatenate([completion[: branch.start], np.array(path, dtype=np.int64)])
            after, wanted = np.full(len(edges), len(sequence)), edge_tokens[edges]
        out.append(_Continuation(sequence, after, wanted, into))
    return out


def _tree_row(prompt: IntArray, continuations: list[_Continuation]) -> _Row:
    tree = grow(prompt, [continuation.sequence for continuation in continuations])
    at = [
        np.concatenate([[len(prompt) - 1], path])[continuation.after]
        for path, continuation in zip(tree.paths, continuations, strict=True)
    ]
    return _Row(
        tree.tokens,
        tree.positions,
        tree.ends,
        np.concatenate(at),
        np.concatenate([continuation.tokens for continuation in continuations]),
        np.concatenate([continuation.slots for continuation in continuations]),
    )


def _plain_row(prompt: IntArray, continuation: _Continuation) -> _Row:
    tokens = np.concatenate([prompt, continuation.sequence])
    positions, ends = np.arange(len(tokens)), np.full(len(tokens), len(tokens))
    at = len(prompt) - 1 + continuation.after
    return _Row(tokens, positions, ends, at, continuation.tokens, continuation.slots)


def _tensors(rows: list[_Row], layout: Layout, device: torch.device | str) -> dict[str, Any]:
    """The rows side by side, filled up to the longest, and their predictions in ascending places."""
    lengths = np.array([len(row.tokens) for row in rows] or [0], dtype=np.int64)
    length = max(1, int(lengths.max()))
    ids = np.zeros((len(lengths), length), dtype=np.int64)
    positions = np.zeros_like(ids)
    # A padding token sees itself alone: nothing looks at it, and a row of the mask without any open
    # place would be NaN in some kernels.
    ends = np.tile(np.arange(1, length + 1), (len(lengths), 1))
    for r, row in enumerate(rows):
        n = len(row.tokens)
        ids[r, :n], positions[r, :n], ends[r, :n] = row.tokens, row.positions, row.ends
    at = _joined([r * length + row.at for r, row in enumerate(rows)])
    wanted = _joined([row.wanted for row in rows])
    slots = _joined([row.slots for row in rows])
    places, which = np.unique(at, return_inverse=True)
    order = np.argsort(which, kind="stable")
    arrays = {
        "input_ids": ids,
        "position_ids": positions,
        "ends": ends if layout == "prefix" else None,
        "lengths": lengths,
        "places": places,
        "which": which[order],
        "tokens": wanted[order],
        "slots": slots[order],
    }
    return {
        name: None if array is None else torch.from_numpy(array).to(device)
        for name, array in arrays.items()
    }


def _joined(arrays: list[IntArray]) -> IntArray:
    return np.concatenate([np.empty(0, dtype=np.int64), *arrays])
