"""What a comparison of weights comes to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from levelhead.diagnose.updates._null import Overlap
from levelhead.diagnose.updates._rank import Rank

__all__ = ["TensorUpdate", "UpdatesResult"]


@dataclasses.dataclass(frozen=True)
class TensorUpdate:
    """What changed in a tensor.

    Attributes:
        name: of the tensor.
        layer: number of its layer, or None.
        kind: what it is in each layer, e.g. `q_proj`.
        shape: its dimensions.
        storage: the format in which it was compared.
        n: finite weights.
        changed: how many changed.
        above: (T,) how many changed by more than each tolerance.
        relative: how many changed by more than 2^-8 of themselves.
        mean_change: mean absolute change.
        norm: Frobenius norm of the change.
        nonfinite: weights left out because they are NaN or infinite in one of the models.
        null_step: the dense Gaussian step that gives this mean change; None where nothing changed.
        null_density: the density that such a step would show; None likewise.
        null_variance: of the difference between the two densities under the null; None likewise.
        rank: ranks of the change; None where they were not computed.
    """

    name: str
    layer: int | None
    kind: str
    shape: tuple[int, ...]
    storage: str
    n: int
    changed: int
    above: tuple[int, ...]
    relative: int
    mean_change: float
    norm: float
    nonfinite: int
    null_step: float | None
    null_density: float | None
    null_variance: float | None
    rank: Rank | None

    @property
    def density(self) -> float | None:
        """Share of the weights that changed; None without finite weights."""
        return self.changed / self.n if self.n else None


@dataclasses.dataclass(frozen=True)
class UpdatesResult:
    """What changed in a model.

    Attributes:
        base: path of the model before.
        tuned: path of the model after, or of the adapter.
        other: path of a second model after, or None.
        tensors: by tensor, in the order of the file.
        tolerances: (T,) absolute tolerances.
        n: finite weights.
        changed: how many changed.
        densities: (T,) shares of the weights that changed by more than each tolerance.
        relative: share of the weights that changed by more than 2^-8 of themselves.
        null_density: share of the weights of changed tensors that rounding would let a dense Gaussian
            step of the same size change; None where nothing changed.
        moved_density: the share of these weights that did change.
        z: standard deviations of `moved_density` above `null_density` under the null; None likewise.
        open_n: sampled weights so small that rounding cannot hide the step.
        open_seen: share of them that changed, where each counts for as many weights of its tensor as it
            stands for; None where there are none.
        open_expected: the share under the null; None likewise.
        by_size: points of (|w|, density seen, density under the null), from one power of two of |w| to
            the next; weighed likewise, without weights of 0.
        gini: of the matrices' densities; None where nothing changed or there is no matrix.
        overlap: of the two runs; None without a second.
        verdict: SPARSE BEYOND ROUNDING, AS ROUNDING PRODUCES, DENSE, UNCHANGED or UNDECIDED.
        excluded: names of tensors that are not compared, with why.
        notes: casts, tied weights, how ranks were computed.
        expected_tensors: how many there were to compare; fewer in `tensors` after Ctrl-C.
        seed: of the samples and sketches.
    """

    base: str
    tuned: str
    other: str | None
    tensors: tuple[TensorUpdate, ...]
    tolerances: tuple[float, ...]
    n: int
    changed: int
    densities: tuple[float, ...]
    relative: float
    null_density: float | None
    moved_density: float | None
    z: float | None
    open_n: int
    open_seen: float | None
    open_expected: float | None
    by_size: tuple[tuple[float, float, float], ...]
    gini: float | None
    overlap: Overlap | None
    verdict: str
    excluded: Mapping[str, str]
    notes: tuple[str, ...]
    expected_tensors: int
    seed: int

    @property
    def complete(self) -> bool:
        """Whether every tensor was compared."""
        return len(self.tensors) == self.expected_tensors

    @property
    def matrices(self) -> tuple[TensorUpdate, ...]:
        """Tensors with two dimensions or more."""
        return tuple(one for one in self.tensors if len(one.shape) > 1)
