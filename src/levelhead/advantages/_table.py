"""The row type of the table of advantage estimators."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from levelhead._arrays import FloatArray, IntArray

__all__ = ["AdvantageFunction", "Estimator", "group_mean_factor", "one"]

AdvantageFunction = Callable[[FloatArray, IntArray], FloatArray]
"""`(rewards (N,), groups (N,)) -> advantages (N,)`: the signature of every estimator, ours or not."""


@dataclasses.dataclass(frozen=True)
class Estimator:
    """An advantage estimator and what it declares about itself; the contract tests hold it to that.

    Attributes:
        name: what the command line and configurations call it.
        function: `(rewards (N,), groups (N,), *, valid=None, ...) -> (N,)`, with all checks; for a
            "history" estimator the first visit of every group, without a memory.
        dense: the same formula with default options on complete groups, (B, G) -> (B, G), G >= 2,
            finite float64 rewards, without checks; a "batch" estimator takes the block for the batch.
        scope: what an advantage depends on: the "sample", its "group", the whole "batch", or its
            group and earlier batches ("history").
        gradient: whether the expected policy gradient is that of the expected reward ("unbiased"),
            a positive multiple of it ("proportional"; in the limit of many groups for a "batch"
            estimator), that of another objective ("other"), or of none ("biased").
        factor: G -> the multiple, None where no number can be given in advance.
        centered: whether the advantages of a group sum to 0.
        fixed_point: where a policy over stated probabilities ends under a proper scoring rule whose
            outcome the group shares: the "truth", the "extremes", a "lottery" between both ends
            whose mean is near the truth, or "none" of them.
        reference: where the estimator comes from.
        new: makes a function with a memory of its own, for "history" estimators only.
    """

    name: str
    function: Callable[..., FloatArray]
    dense: Callable[[FloatArray], FloatArray]
    scope: Literal["sample", "group", "batch", "history"]
    gradient: Literal["unbiased", "proportional", "biased", "other"]
    factor: Callable[[int], float] | None
    centered: bool
    fixed_point: Literal["truth", "extremes", "lottery", "none"]
    reference: str
    new: Callable[[], AdvantageFunction] | None = None

    def start(self) -> AdvantageFunction:
        """A function to train with: the estimator itself, or a new one where it has a memory."""
        return self.function if self.new is None else self.new()


def one(group_size: int) -> float:
    """The factor of an unbiased estimator, whatever the group's size."""
    return 1.0


def group_mean_factor(group_size: int) -> float:
    """(G - 1) / G: a reward's own share in the mean of its group is lost."""
    return (group_size - 1) / group_size
