"""Folds that depend on what the rows hold and on nothing else.

A row's fold follows from its values, so the order of the rows does not matter, rows that are equal
share a fold, and three copies of a row are cut as one row of weight 3 is. Groups are never split.
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray, IntArray

__all__ = ["content_folds", "group_folds"]

_BLOCK = 1 << 16  # elements that are hashed at a time, so that they stay in the cache
_ODD = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)  # odd multipliers: each is a permutation of 32 bits

UIntArray = npt.NDArray[np.uint32]


def content_folds(columns: npt.NDArray[np.floating], labels: IntArray, n_folds: int) -> IntArray:
    """A fold 0..n_folds-1 for each row, dealt out in the order of a hash of the row's content.

    Args:
        columns: (K, N) values, one row per class; rounded to float32 before they are hashed, so that
            the same numbers from another formula fall into the same folds.
        labels: (N,) integers >= 0; below K they name one of the values, otherwise they are hashed
            themselves.
        n_folds: >= 2; with fewer different rows each of them is a fold.

    Returns:
        (N,) int64. The distinct rows are spread evenly over the folds; relabeling the classes and
        reordering the rows moves nothing.
    """
    size = columns.shape[1]
    keys = np.empty(size, np.uint32)
    step = max(1, _BLOCK // columns.shape[0])
    for start in range(0, size, step):
        rows = slice(start, min(start + step, size))
        keys[rows] = _hashes(columns[:, rows], labels[rows])
    distinct, place = np.unique(keys, return_inverse=True)
    return place.astype(np.int64) % max(1, min(n_folds, distinct.size))


def group_folds(groups: IntArray, weights: FloatArray, n_folds: int) -> IntArray:
    """A fold 0..n_folds-1 for each row, so that no group is split and the folds weigh about the same.

    Args:
        groups: (N,) codes 0..P-1.
        weights: (N,) >= 0.
        n_folds: >= 2; with fewer groups every group is a fold.

    Returns:
        (N,) int64: groups from the heaviest on, each into the lightest fold so far.
    """
    mass = np.bincount(groups, weights)
    heap = [(0.0, fold) for fold in range(min(n_folds, mass.size))]
    fold_of = np.empty(mass.size, np.int64)
    for group in np.argsort(-mass, kind="stable"):
        total, fold = heapq.heappop(heap)
        fold_of[group] = fold
        heapq.heappush(heap, (total + float(mass[group]), fold))
    return fold_of[groups]


def _hashes(columns: npt.NDArray[np.floating], labels: IntArray) -> UIntArray:
    """32 bits per column: a sum over the classes, which does not see their order, plus the label's."""
    values = columns.astype(np.float32, order="C")
    values += np.float32(0.0)  # -0.0 and 0.0 are one number
    mixed = values.view(np.uint32)
    mixed *= np.uint32(_ODD[0])
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(_ODD[1])
    mixed ^= mixed >> np.uint32(13)
    named = labels < columns.shape[0]
    own = labels.astype(np.uint32)
    own[named] = mixed[labels[named], np.flatnonzero(named)]
    total = mixed.sum(axis=0, dtype=np.uint32)
    total += own * np.uint32(_ODD[2])
    total ^= total >> np.uint32(16)
    total *= np.uint32(_ODD[0])
    total ^= total >> np.uint32(15)
    return total
