"""Token sequences that begin alike as one tree, written down so that each shared token occurs once."""

from __future__ import annotations

import dataclasses

import numpy as np

from levelhead._arrays import IntArray

__all__ = ["TokenTree", "grow"]


@dataclasses.dataclass(frozen=True, eq=False)
class TokenTree:
    """A forest over one prompt, its nodes in depth-first order behind the prompt's tokens.

    Attributes:
        tokens: (L,) int64: the prompt, then the nodes.
        positions: (L,) int64: how many tokens stand before a node on its way from the start.
        ends: (L,) int64: index behind the last descendant. Node j is on the way to node i exactly if
            j <= i < ends[j].
        paths: one array per sequence: the indices of its tokens.
    """

    tokens: IntArray
    positions: IntArray
    ends: IntArray
    paths: list[IntArray]


def grow(prompt: IntArray, sequences: list[IntArray]) -> TokenTree:
    """The tree of the continuations of a prompt; the prompt itself is shared by all.

    Args:
        prompt: (n,) int64, n >= 1.
        sequences: int64 arrays, any of them empty or equal to another.

    Returns:
        The tree. Two sequences share the nodes of their longest common beginning and no others.
    """
    n = len(prompt)
    # Sorted, the sequences with a common beginning are side by side (any order of the tokens does),
    # and what a sequence shares with an earlier one it then shares with the one just before it.
    order = sorted(range(len(sequences)), key=lambda i: sequences[i].tobytes())
    total = n + sum(map(len, sequences))
    tokens = np.empty(total, dtype=np.int64)
    positions = np.empty(total, dtype=np.int64)
    ends = np.empty(total, dtype=np.int64)
    tokens[:n], positions[:n] = prompt, np.arange(n)
    paths: list[IntArray] = [np.empty(0, dtype=np.int64)] * len(sequences)
    size = n
    before, path = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    for i in order:
        sequence = sequences[i]
        common = _common(before, sequence)
        ends[path[common:]] = size
        fresh = len(sequence) - common
        new = np.arange(size, size + fresh)
        tokens[new] = sequence[common:]
        positions[new] = n + np.arange(common, len(sequence))
        path = np.concatenate([path[:common], new])
        paths[i], before, size = path, sequence, size + fresh
    ends[path] = size
    ends[:n] = size
    return TokenTree(tokens[:size], positions[:size], ends[:size], paths)


def _common(a: IntArray, b: IntArray) -> int:
    """Length of the longest common beginning."""
    short = min(len(a), len(b))
    differ = a[:short] != b[:short]
    return int(differ.argmax()) if differ.any() else short
