"""Losses of softmax models that are linear in their parameters, with exact first and second sums.

Rows are stored as columns, (K, N), so that the maximum and the sum over the classes run along
memory, and are taken in blocks that stay in the cache. A model says how the scores follow from its
parameters; `newton` and `cross_validated` know nothing else about it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray, IntArray

__all__ = ["Columns", "MatrixModel", "Model", "Sums", "TemperatureModel", "VectorModel", "soften"]

BLOCK = 1 << 16
"""Elements of a block of columns: half a megabyte, so that a block stays in the cache."""

Floats = npt.NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class Columns:
    """Rows to fit on, stored as columns.

    Attributes:
        x: (K, N) features, float32 or float64.
        labels: (N,) class indices.
        weights: (N,) in the type of x, or None where every row weighs 1.
        total: the sum of the weights.
    """

    x: Floats
    labels: IntArray
    weights: Floats | None
    total: float

    @classmethod
    def of(cls, x: Floats, labels: IntArray, weights: FloatArray | None) -> Columns:
        total = float(x.shape[1]) if weights is None else float(weights.sum())
        own = None if weights is None else weights.astype(x.dtype, copy=False)
        return cls(x, labels, own, total)

    def part(self, where: slice) -> Columns:
        """The columns of a slice, as views."""
        weights = None if self.weights is None else self.weights[where]
        x = self.x[:, where]
        total = float(x.shape[1] if weights is None else weights.sum(dtype=np.float64))
        return Columns(x, self.labels[where], weights, total)

    def take(self, which: IntArray) -> Columns:
        """The columns in another order, as a copy."""
        weights = None if self.weights is None else self.weights[which]
        return Columns(np.take(self.x, which, axis=1), self.labels[which], weights, self.total)

    def single(self) -> Columns:
        """The same in single precision."""
        weights = None if self.weights is None else self.weights.astype(np.float32)
        return Columns(self.x.astype(np.float32), self.labels, weights, self.total)

    def blocks(self, height: int = 0) -> Iterator[Columns]:
        """Pieces of about `BLOCK` elements; `height` is how many rows the work on them needs."""
        size = self.x.shape[1]
        step = max(64, BLOCK // max(self.x.shape[0], height))
        if size <= step + step // 2:
            yield self
            return
        for start in range(0, size, step):
            yield self.part(slice(start, min(start + step, size)))


@dataclasses.dataclass
class Sums:
    """Weighted sums over rows: of the loss (nats), of its gradient and of its Hessian.

    Attributes:
        loss: sum of the losses.
        gradient: (P,).
        hessian: (P, P); empty where it was not asked for.
        total: sum of the weights.
    """

    loss: float
    gradient: FloatArray
    hessian: FloatArray
    total: float

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.loss + other.loss,
            self.gradient + other.gradient,
            self.hessian + other.hessian,
            self.total + other.total,
        )

    def __sub__(self, other: Sums) -> Sums:
        return Sums(
            self.loss - other.loss,
            self.gradient - other.gradient,
            self.hessian - other.hessian,
            self.total - other.total,
        )


class Model(Protocol):
    """How scores follow from parameters, and what the loss sums to."""

    @property
    def size(self) -> int: ...

    def scores(self, x: Floats, theta: FloatArray) -> Floats: ...

    def sums(self, columns: Columns, theta: FloatArray, *, second: bool = True) -> Sums: ...


def soften(scores: Floats, labels: IntArray) -> Floats:
    """Turns scores (K, N) into probabilities in place; returns the losses of the labels (N,)."""
    scores -= scores.max(axis=0)
    stated = scores[labels, np.arange(labels.size)]
    np.exp(scores, out=scores)
    total = scores.sum(axis=0)
    scores /= total
    return np.log(total) - stated


def losses(model: Model, columns: Columns, theta: FloatArray) -> FloatArray:
    """The loss of every row, in nats."""
    parts = [soften(model.scores(b.x, theta), b.labels) for b in columns.blocks()]
    return np.concatenate(parts).astype(np.float64, copy=False)


def _accumulated(columns: Columns, size: int, second: bool) -> Sums:
    return Sums(0.0, np.zeros(size), np.zeros((size, size) if second else (0, 0)), columns.total)


def _residuals(block: Columns, scores: Floats) -> tuple[float, Floats, Floats]:
    """Sum of the losses, the weighted probabilities, and those minus the weighted labels."""
    losses_ = soften(scores, block.labels)
    index = np.arange(block.labels.size)
    if block.weights is None:
        residual = scores.copy()
        residual[block.labels, index] -= 1
        return float(losses_.sum(dtype=np.float64)), scores, residual
    weighted = scores * block.weights
    residual = weighted.copy()
    residual[block.labels, index] -= block.weights
    return float(np.dot(losses_, block.weights)), weighted, residual


@dataclasses.dataclass(frozen=True)
class TemperatureModel:
    """Scores a * x; the only parameter is a, one over the temperature."""

    @property
    def size(self) -> int:
        return 1

    def scores(self, x: Floats, theta: FloatArray) -> Floats:
        return x * x.dtype.type(theta[0])

    def sums(self, columns: Columns, theta: FloatArray, *, second: bool = True) -> Sums:
        out = _accumulated(columns, 1, second)
        for block in columns.blocks():
            x, factor = block.x, block.x.dtype.type(theta[0])
            e = x * factor
            e -= e.max(axis=0)
            index = np.arange(block.labels.size)
            stated = e[block.labels, index]
            np.exp(e, out=e)
            total = e.sum(axis=0)
            e *= x
            first = e.sum(axis=0) / total
            weights = np.ones_like(total) if block.weights is None else block.weights
            out.loss += float(np.dot(np.log(total) - stated, weights))
            out.gradient[0] += np.dot(first - x[block.labels, index], weights)
            if second:
                spread = np.einsum("kn,kn->n", e, x) / total - first * first
                out.hessian[0, 0] += np.dot(spread, weights)
        return out


@dataclasses.dataclass(frozen=True)
class VectorModel:
    """Scores w_k * x_k + b_k; parameters w, then b."""

    classes: int

    @property
    def size(self) -> int:
        return 2 * self.classes

    def scores(self, x: Floats, theta: FloatArray) -> Floats:
        k = self.classes
        own = theta.astype(x.dtype)
        scores = x * own[:k, None]
        scores += own[k:, None]
        return scores

    def sums(self, columns: Columns, theta: FloatArray, *, second: bool = True) -> Sums:
        k = self.classes
        out = _accumulated(columns, 2 * k, second)
        for block in columns.blocks():
            p = self.scores(block.x, theta)
            loss, weighted, residual = _residuals(block, p)
            out.loss += loss
            out.gradient[:k] += np.einsum("kn,kn->k", residual, block.x)
            out.gradient[k:] += residual.sum(axis=1)
            if second:
                self._add_hessian(out.hessian, block, p, weighted)
        return out

    def block_diagonal(self, columns: Columns, theta: FloatArray) -> FloatArray:
        """(3, K): the Hessian's entries of w_k twice, of w_k and b_k, and of b_k twice, summed."""
        out = np.zeros((3, self.classes))
        for block in columns.blocks():
            p = self.scores(block.x, theta)
            soften(p, block.labels)
            p -= p * p
            if block.weights is not None:
                p *= block.weights
            moment = p * block.x
            out[0] += np.einsum("kn,kn->k", moment, block.x)
            out[1] += moment.sum(axis=1)
            out[2] += p.sum(axis=1)
        return out

    def _add_hessian(self, out: FloatArray, block: Columns, p: Floats, weighted: Floats) -> None:
        k = self.classes
        stacked = np.empty((2 * k, p.shape[1]), p.dtype)
        root = None if block.weights is None else np.sqrt(block.weights)
        np.multiply(p, 1 if root is None else root, out=stacked[k:])
        np.multiply(stacked[k:], block.x, out=stacked[:k])
        out -= stacked @ stacked.T
        moment = weighted * block.x
        i = np.arange(k)
        cross = moment.sum(axis=1)
        out[i, i] += np.einsum("kn,kn->k", moment, block.x)
        out[i, i + k] += cross
        out[i + k, i] += cross
        out[i + k, i + k] += weighted.sum(axis=1)


@dataclasses.dataclass(frozen=True)
class MatrixModel:
    """Scores W x + b; parameters are the rows of (W, b), K rows of K + 1."""

    classes: int

    @property
    def size(self) -> int:
        return self.classes * (self.classes + 1)

    def scores(self, x: Floats, theta: FloatArray) -> Floats:
        table = theta.reshape(self.classes, -1).astype(x.dtype)
        scores = table[:, :-1] @ x
        scores += table[:, -1:]
        return scores

    def sums(self, columns: Columns, theta: FloatArray, *, second: bool = True) -> Sums:
        k = self.classes
        out = _accumulated(columns, self.size, second)
        table = out.gradient.reshape(k, k + 1)
        pairs = np.zeros((k + _pairs(k)[0].size, _pairs(k + 1)[0].size)) if second else None
        height = 0 if pairs is None else pairs.shape[1]
        for block in columns.blocks(height):
            p = self.scores(block.x, theta)
            loss, weighted, residual = _residuals(block, p)
            out.loss += loss
            table[:, :-1] += residual @ block.x.T
            table[:, -1] += residual.sum(axis=1)
            if pairs is not None:
                pairs += self._moments(block, p, weighted)
        if pairs is not None:
            out.hessian = self._unfolded(pairs)
        return out

    def _moments(self, block: Columns, p: Floats, weighted: Floats) -> Floats:
        """Sums of p_k and of p_k p_l times the products of two features."""
        k, size = self.classes, p.shape[1]
        left = np.empty((k + _pairs(k)[0].size, size), p.dtype)
        left[:k] = weighted
        right = np.empty((_pairs(k + 1)[0].size, size), p.dtype)
        row = k
        for one in range(k):  # row by row, in the order of _pairs, because nothing is copied
            np.multiply(weighted[one], p[one:], out=left[row : row + k - one])
            row += k - one
        row = 0
        for one in range(k):
            np.multiply(block.x[one], block.x[one:], out=right[row : row + k - one])
            right[row + k - one] = block.x[one]
            row += k - one + 1
        right[row] = 1
        return left @ right.T

    def _unfolded(self, pairs: FloatArray) -> FloatArray:
        k = self.classes
        a, b = _pairs(k + 1)
        full = np.empty((pairs.shape[0], k + 1, k + 1))
        full[:, a, b] = pairs
        full[:, b, a] = pairs
        first, second = _pairs(k)
        hessian = np.zeros((k, k + 1, k, k + 1))
        hessian[first, :, second, :] = -full[k:]
        hessian[second, :, first, :] = -full[k:]
        i = np.arange(k)
        hessian[i, :, i, :] += full[:k]
        return hessian.reshape(self.size, self.size)


@functools.cache
def _pairs(k: int) -> tuple[IntArray, IntArray]:
    first, second = np.triu_indices(k)
    return first.astype(np.int64), second.astype(np.int64)
