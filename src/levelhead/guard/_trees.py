"""Boosted trees: grown by scikit-learn, kept as plain numbers, evaluated here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from levelhead._arrays import FloatArray, IntArray
from levelhead._optional import optional_import
from levelhead.errors import InvalidInputError

CHUNK = 1 << 12  # rows at a time, so that they stay in cache from tree to tree
N_TREES = 100
DEPTH = 3
RATE = 0.1
MIN_LEAF = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Tree:
    """A binary tree in arrays: a leaf has itself as both children."""

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    value: FloatArray
    depth: int

    def state(self) -> dict[str, Any]:
        """Plain lists of numbers."""
        return {
            "feature": self.feature.tolist(),
            "threshold": self.threshold.tolist(),
            "left": self.left.tolist(),
            "right": self.right.tolist(),
            "value": self.value.tolist(),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self.state() == other.state()

    def __hash__(self) -> int:
        return hash(self.value.tobytes())


@dataclasses.dataclass(frozen=True)
class Trees:
    """sigmoid(initial + rate * sum of the trees' leaf values)."""

    initial: float
    rate: float
    trees: tuple[Tree, ...]
    importance: tuple[float, ...]  # (F,) share of the total gain; sums to 1 (or is all 0)

    def predict(self, x: FloatArray) -> FloatArray:
        """(N,) probabilities of class 1 for (N, F) columns."""
        # scikit-learn grew the trees on float32, and a threshold can separate what float64 does not
        low = np.ascontiguousarray(x.astype(np.float32))
        raw = np.full(x.shape[0], self.initial)
        for start in range(0, x.shape[0], CHUNK):
            rows = slice(start, start + CHUNK)
            for tree in self.trees:
                raw[rows] += self.rate * tree.value[_leaves(tree, low[rows])]
        return special.expit(raw)

    def state(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return {
            "initial": self.initial,
            "rate": self.rate,
            "importance": list(self.importance),
            "trees": [tree.state() for tree in self.trees],
        }

    @classmethod
    def from_state(cls, content: Mapping[str, Any], n_features: int) -> Trees:
        """The trees back; one that does not hold together is refused."""
        return cls(
            float(content["initial"]),
            float(content["rate"]),
            tuple(_tree(one, n_features) for one in content["trees"]),
            tuple(float(one) for one in content["importance"]),
        )


def _leaves(tree: Tree, x: np.ndarray) -> IntArray:
    node = np.zeros(x.shape[0], dtype=np.int64)
    rows = np.arange(x.shape[0])
    for _ in range(tree.depth):
        left = x[rows, tree.feature[node]] <= tree.threshold[node]
        node = np.where(left, tree.left[node], tree.right[node])
    return node


def _tree(content: Mapping[str, Sequence[float]], n_features: int) -> Tree:
    feature = np.asarray(content["feature"], dtype=np.int64)
    threshold = np.asarray(content["threshold"], dtype=np.float64)
    left = np.asarray(content["left"], dtype=np.int64)
    right = np.asarray(content["right"], dtype=np.int64)
    value = np.asarray(content["value"], dtype=np.float64)
    n = feature.size
    same = all(one.shape == (n,) for one in (threshold, left, right, value))
    if not n or not same or feature.min() < 0 or feature.max() >= n_features:
        raise InvalidInputError(
            f"trees: expected arrays of one length with features below {n_features}, got others"
        )
    own = np.arange(n)
    leaf = (left == own) & (right == own)
    inner = ~leaf
    forward = (left[inner] > own[inner]) & (right[inner] > own[inner])
    if not (forward.all() and left.max() < n and right.max() < n and np.isfinite(value).all()):
        raise InvalidInputError("trees: expected every node's children behind it, got a loop")
    depth = np.zeros(n, dtype=np.int64)
    for i in np.flatnonzero(inner):  # parents come first
        depth[[left[i], right[i]]] = depth[i] + 1
    return Tree(feature, threshold, left, right, value, int(depth.max()))


def grow(x: FloatArray, y: FloatArray, w: FloatArray, seed: int) -> Trees:
    """Gradient boosting of the log loss; a fractional `y` counts as both classes in its shares."""
    ensemble = optional_import("sklearn.ensemble", "a boosted verifier", "guard")
    part = (y > 0.0) & (y < 1.0)
    rows = np.concatenate([np.arange(y.size), np.flatnonzero(part)])
    label = np.concatenate([np.where(part, 1.0, y), np.zeros(int(part.sum()))])
    weight = np.concatenate([np.where(part, w * y, w), (w * (1.0 - y))[part]])
    model = ensemble.GradientBoostingClassifier(
        n_estimators=N_TREES,
        max_depth=DEPTH,
        learning_rate=RATE,
        min_samples_leaf=max(1, min(MIN_LEAF, y.size // 10)),
        random_state=seed,
    )
    counts = weight > 0.0
    model.fit(x[rows][counts], label[counts].astype(np.int64), sample_weight=weight[counts])
    return exported(model)


def exported(model: Any) -> Trees:
    """A fitted binary `GradientBoostingClassifier` as plain numbers, from its public attributes."""
    tiny = float(np.finfo(np.float32).eps)  # scikit-learn's own clip of the prior
    prior = min(max(float(model.init_.class_prior_[1]), tiny), 1.0 - tiny)
    trees = []
    for (one,) in model.estimators_.tolist():
        grown = one.tree_
        own = np.arange(grown.node_count)
        leaf = np.asarray(grown.children_left) < 0
        content = {
            "feature": np.where(leaf, 0, grown.feature).tolist(),
            "threshold": np.where(leaf, 0.0, grown.threshold).tolist(),
            "left": np.where(leaf, own, grown.children_left).tolist(),
            "right": np.where(leaf, own, grown.children_right).tolist(),
            "value": np.asarray(grown.value)[:, 0, 0].tolist(),
        }
        trees.append(_tree(content, int(model.n_features_in_)))
    return Trees(
        float(special.logit(prior)),
        float(model.learning_rate),
        tuple(trees),
        tuple(float(one) for one in model.feature_importances_),
    )
