"""Folds from content: order, repetition, relabeling and balance, and groups that are never split."""

from __future__ import annotations

import numpy as np

from levelhead.calibrators._folds import content_folds, group_folds


def rows(n: int = 500, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(k, n)), rng.integers(0, k, n)


def test_folds_are_even_and_all_used():
    x, y = rows()
    counts = np.bincount(content_folds(x, y, 5))
    assert counts.tolist() == [100] * 5


def test_order_of_the_rows_does_not_matter():
    x, y = rows()
    order = np.random.default_rng(1).permutation(y.size)
    assert np.array_equal(content_folds(x, y, 5)[order], content_folds(x[:, order], y[order], 5))


def test_copies_share_a_fold_and_move_nobody():
    x, y = rows()
    folds = content_folds(x, y, 5)
    thrice = content_folds(np.tile(x, 3), np.tile(y, 3), 5)
    assert np.array_equal(thrice, np.tile(folds, 3))


def test_a_relabeling_of_the_classes_moves_nobody():
    x, y = rows(k=4)
    order = np.array([2, 0, 3, 1])
    position = np.argsort(order)
    assert np.array_equal(content_folds(x, y, 5), content_folds(x[order], position[y], 5))


def test_the_label_counts():
    x, y = rows(n=4000)
    same = np.mean(content_folds(x, y, 5) == content_folds(x, (y + 1) % 3, 5))
    assert 0.1 < same < 0.3  # one in five by chance


def test_rounding_moves_nobody_and_zeros_have_no_sign():
    x, y = rows()
    x[:, :50] = 0.0
    y = np.where(np.arange(y.size) < 50, 0, y)
    noisy = x * (1.0 + 1e-16)
    noisy[:, :50] = -0.0
    assert np.array_equal(content_folds(x, y, 5), content_folds(noisy, y, 5))


def test_folds_do_not_follow_the_values():
    x, y = rows(n=20_000)
    folds = content_folds(x, y, 5)
    means = [x[0, folds == fold].mean() for fold in range(5)]
    assert np.abs(means).max() < 4 / np.sqrt(4000)


def test_one_column_with_labels_beyond_it():
    x, _ = rows(k=1)
    y = np.arange(500) % 7
    assert np.bincount(content_folds(x, y, 5)).tolist() == [100] * 5


def test_fewer_different_rows_than_folds():
    x, y = np.repeat([[0.0, 1.0, 2.0]] * 2, 4, axis=1), np.zeros(12, np.int64)
    folds = content_folds(x, y, 5)
    assert sorted(folds[::4].tolist()) == [0, 1, 2]
    assert not content_folds(np.zeros((3, 40)), np.zeros(40, np.int64), 5).any()


def test_groups_stay_whole_and_weigh_the_same():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 1000)
    weights = rng.random(1000)
    folds = group_folds(groups, weights, 5)
    assert all(np.unique(folds[groups == group]).size == 1 for group in range(40))
    mass = np.bincount(folds, weights)
    assert mass.max() - mass.min() < np.bincount(groups, weights).max()


def test_fewer_groups_than_folds():
    assert sorted(group_folds(np.array([0, 1, 1, 2]), np.ones(4), 5).tolist()) == [0, 0, 1, 2]
    assert not group_folds(np.zeros(4, np.int64), np.ones(4), 5).any()
