"""Trees of token sequences, against sets of prefixes."""

from __future__ import annotations

import numpy as np

from levelhead.train._tree import grow


def test_by_hand() -> None:
    prompt = np.array([9, 8])
    tree = grow(prompt, [np.array([1, 2, 3]), np.array([1, 2]), np.array([4]), np.array([1, 5])])
    # Depth first: 9 8, then 1 (2 (3), 5), then 4.
    assert tree.tokens.tolist() == [9, 8, 1, 2, 3, 5, 4]
    assert tree.positions.tolist() == [0, 1, 2, 3, 4, 3, 2]
    assert tree.ends.tolist() == [7, 7, 6, 5, 5, 6, 7]
    assert [path.tolist() for path in tree.paths] == [[2, 3, 4], [2, 3], [6], [2, 5]]


def test_every_prefix_once_and_every_token_sees_its_own_way() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        prompt = rng.integers(0, 300, rng.integers(1, 4))
        sequences = [rng.integers(255, 258, rng.integers(0, 6)) for _ in range(rng.integers(1, 9))]
        tree = grow(prompt, sequences)
        prefixes = {tuple(s[:d]) for s in sequences for d in range(1, len(s) + 1)}
        assert len(tree.tokens) == len(prompt) + len(prefixes)
        for sequence, path in zip(sequences, tree.paths, strict=True):
            way = [*range(len(prompt)), *path.tolist()]
            assert tree.tokens[way].tolist() == [*prompt.tolist(), *sequence.tolist()]
            assert tree.positions[way].tolist() == list(range(len(way)))
            for depth, i in enumerate(way):
                seen = [j for j in range(len(tree.tokens)) if j <= i < tree.ends[j]]
                assert seen == way[: depth + 1]
