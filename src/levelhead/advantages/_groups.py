"""From flat samples to dense blocks: what every estimator needs to know about groups.

Samples that can be scored are arranged in blocks (B, G) of groups that are equally large, so that
each estimator is one formula on a dense block, whatever the batch looks like.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import (
    ArrayLike,
    BoolArray,
    FloatArray,
    IntArray,
    codes,
    real,
    unmasked,
    vector,
)
from levelhead.errors import InvalidInputError

__all__ = [
    "EPS",
    "LARGEST",
    "LARGEST_ID",
    "ROUNDING",
    "Kernel",
    "Layout",
    "centered",
    "constant",
    "ddof_or_error",
    "eps_or_error",
    "extremes",
    "grouped",
    "spread",
    "total_spread",
]

Kernel = Callable[[FloatArray], FloatArray]
"""An estimator on a block (B, G) of complete groups, G >= 2, that it must not write to."""

ROUNDING = 2.0**-22
"""Rewards whose range is at most this share of the largest of them count as equal in whatever
divides by their spread. It is two units in the last place of a float32, the type in which nearly
all rewards are computed: a smaller spread cannot be told from rounding, and divided by itself it
would be turned into advantages of ordinary size."""

EPS = 1e-6
"""Added to standard deviations unless stated, as in verl."""

LARGEST_ID = 2**63 - 1

LARGEST = 1e100
"""Rewards beyond this are refused, so that squares and sums stay finite."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Rewards in blocks of equally large groups.

    Attributes:
        rewards: (N,) float64; NaN where `scorable` is False.
        scorable: (N,) what counts, or None where everything does.
        blocks: for each size of group, (B, G) the samples' indices, or None for all N in order.
        sizes: G of each block.
        first: (P,) the index of one sample of each group, in the order of the blocks' rows.
    """

    rewards: FloatArray
    scorable: BoolArray | None
    blocks: tuple[IntArray | None, ...]
    sizes: tuple[int, ...]
    first: IntArray

    def values(self) -> FloatArray:
        """The rewards that count, in their order."""
        return self.rewards if self.scorable is None else self.rewards[self.scorable]

    def dense(self) -> list[FloatArray]:
        """The rewards of each block, (B, G)."""
        return [
            self.rewards.reshape(-1, size) if block is None else self.rewards[block]
            for block, size in zip(self.blocks, self.sizes, strict=True)
        ]

    def scattered(self, parts: Sequence[FloatArray]) -> FloatArray:
        """Blocks (B, G) back in the order of the samples, 0 where nothing counts."""
        if len(parts) == 1 and self.blocks[0] is None:
            return parts[0].reshape(-1)
        out = np.zeros(self.rewards.size)
        for block, part in zip(self.blocks, parts, strict=True):
            out[block] = part
        return out

    def apply(self, kernel: Kernel) -> FloatArray:
        """An estimator on every group of two or more; 0 for the others and for what does not count."""
        return self.scattered(
            [
                kernel(dense) if dense.shape[1] > 1 else np.zeros_like(dense)
                for dense in self.dense()
            ]
        )


def grouped(
    rewards: ArrayLike, groups: ArrayLike, valid: ArrayLike | None, *, integer: bool = False
) -> Layout:
    """Checked rewards, arranged by group; NaN and what is not valid is left out of every block."""
    r = vector("rewards", rewards)
    labels = _labels(groups, r.size, integer)
    keep = _scorable(r, valid)
    if keep is None:
        return _arranged(r, None, labels, None)
    return _arranged(np.where(keep, r, np.nan), keep, labels[keep], np.flatnonzero(keep))


def _scorable(r: FloatArray, valid: ArrayLike | None) -> BoolArray | None:
    finite = np.abs(r) <= LARGEST  # False for NaN
    everything = bool(finite.all())
    if not everything:
        bad = ~(finite | np.isnan(r))
        if bad.any():
            i = int(bad.argmax())
            raise InvalidInputError(
                f"rewards: expected finite numbers up to {LARGEST:g} in size, or NaN for what "
                f"cannot be scored, got {r[i]} at index {i}"
            )
    if valid is None:
        return None if everything else finite
    mask = unmasked("valid", valid)
    if mask.shape != r.shape:
        raise InvalidInputError(f"valid: expected shape ({r.size},), got {mask.shape}")
    if not np.isin(mask, (0, 1)).all():
        raise InvalidInputError(
            f"valid: expected booleans, True where a sample counts, got {mask.dtype} numbers"
        )
    keep = mask.astype(np.bool_) & finite
    return None if keep.all() else keep


def _labels(groups: ArrayLike, size: int, integer: bool) -> IntArray:
    try:
        array = unmasked("groups", groups)
    except InvalidInputError:
        raise
    except ValueError as error:
        raise InvalidInputError(
            f"groups: expected shape ({size},), got rows of many lengths"
        ) from error
    if array.ndim != 1 or array.size != size:
        raise InvalidInputError(
            f"groups: expected shape ({size},), one label per reward, got {array.shape}"
        )
    if integer:
        return _ids(array, size)
    if array.dtype.kind in "iu" or size == 0:
        return array.astype(np.int64, copy=False)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        i = int((~np.isfinite(array)).argmax())
        raise InvalidInputError(f"groups: expected labels, got {array[i]} at index {i}")
    return codes("groups", groups if array.dtype.kind in "USf" else array, size)


def _ids(array: npt.NDArray[Any], size: int) -> IntArray:
    if array.dtype.kind not in "iu" and size > 0:
        raise InvalidInputError(
            f"groups: expected integers below 2**63, which name the same prompt in every call, got "
            f"dtype {array.dtype}"
        )
    if array.dtype == np.uint64 and size > 0 and array.max() > LARGEST_ID:
        i = int((array > LARGEST_ID).argmax())
        raise InvalidInputError(f"groups: expected ids below 2**63, got {array[i]} at index {i}")
    return array.astype(np.int64, copy=False)


def _arranged(
    r: FloatArray, keep: BoolArray | None, labels: IntArray, kept: IntArray | None
) -> Layout:
    """Buckets by size; `kept` are the indices that `labels` belong to, or None for all."""
    order, starts = _runs(labels)
    if kept is not None:
        order = kept if order is None else kept[order]
    sizes = np.diff(starts, append=labels.size)
    distinct = np.unique(sizes)
    if distinct.size == 1 and order is None:
        return Layout(r, keep, (None,), (int(distinct[0]),), starts)
    blocks: list[IntArray | None] = []
    for size in distinct.tolist():
        within: IntArray = np.arange(size, dtype=np.int64)
        place = starts[sizes == size][:, None] + within
        blocks.append(place if order is None else order[place])
    first = [block[:, 0] for block in blocks if block is not None]
    return Layout(
        r,
        keep,
        tuple(blocks),
        tuple(distinct.tolist()),
        np.concatenate(first) if first else np.empty(0, np.int64),
    )


def _runs(labels: IntArray) -> tuple[IntArray | None, IntArray]:
    """An order that brings groups together (None where they are together), and where each starts."""
    starts = _starts(labels)
    heads = labels[starts]
    if (heads[1:] > heads[:-1]).all() or _distinct(heads):
        return None, starts
    order = _stable_order(labels)
    return order, _starts(labels[order])


def _distinct(heads: IntArray) -> bool:
    low = int(heads.min())
    if int(heads.max()) - low < 4 * heads.size:  # a table of counts is quicker than a sort
        return bool(np.bincount(heads - low).max() == 1)
    return np.unique(heads).size == heads.size


def _stable_order(labels: IntArray) -> IntArray:
    """A stable argsort; in two passes of 16 bits where they suffice, which numpy does by radix."""
    low, high = int(labels.min()), int(labels.max())
    if high - low >= 1 << 32:
        return np.argsort(labels, kind="stable")
    apart = labels - low
    order = np.argsort((apart & 0xFFFF).astype(np.uint16), kind="stable")
    if high - low > 0xFFFF:
        order = order[np.argsort((apart[order] >> 16).astype(np.uint16), kind="stable")]
    return order


def _starts(labels: IntArray) -> IntArray:
    if labels.size == 0:
        return np.empty(0, np.int64)
    return np.concatenate(([0], np.flatnonzero(labels[1:] != labels[:-1]) + 1)).astype(np.int64)


# ---- statistics of a block


def centered(block: FloatArray) -> FloatArray:
    """r_i - mean r, exactly 0 where all rewards of a group are equal.

    Differences to the first reward are averaged, as the mean of equal numbers is not always the
    number, and a large common offset would cost digits.
    """
    apart = block - block[:, :1]
    apart -= np.einsum("ij->i", apart)[:, None] / block.shape[1]
    return apart


def constant(block: FloatArray) -> BoolArray:
    """(B,) whether the rewards of a group are equal up to `ROUNDING`."""
    low, high = extremes(block)
    return high - low <= ROUNDING * np.maximum(np.abs(high), np.abs(low))


def extremes(block: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(B,) the smallest and the largest reward of each group."""
    columns = np.ascontiguousarray(block.T) if block.shape[0] > block.shape[1] else block.T
    return columns.min(axis=0), columns.max(axis=0)


def spread(deviations: FloatArray, ddof: int) -> FloatArray:
    """(B,) standard deviations of groups, from what `centered` gives."""
    return np.sqrt(np.einsum("ij,ij->i", deviations, deviations) / (deviations.shape[1] - ddof))


def total_spread(values: FloatArray, ddof: int) -> float:
    """Standard deviation of a whole batch; 0 for one value and for values equal up to `ROUNDING`."""
    if values.size < 2 or constant(values.reshape(1, -1))[0]:
        return 0.0
    return float(spread(centered(values.reshape(1, -1)), ddof)[0])


def ddof_or_error(ddof: int) -> int:
    """0 or 1."""
    if real("ddof", ddof) not in (0.0, 1.0):
        raise InvalidInputError(f"ddof: expected 0 or 1, got {ddof}")
    return int(ddof)


def eps_or_error(eps: float) -> float:
    """A finite number >= 0."""
    if not 0.0 <= real("eps", eps) < np.inf:
        raise InvalidInputError(f"eps: expected a finite number >= 0, got {eps}")
    return float(eps)
