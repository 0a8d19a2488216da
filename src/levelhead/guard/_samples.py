"""Samples of one prompt: which agree, how many clusters they form, what the others say."""

from __future__ import annotations

import dataclasses

import numpy as np

from levelhead._arrays import FloatArray, IntArray

__all__ = ["Samples", "others_mean", "within_mean", "within_sd"]


@dataclasses.dataclass(frozen=True)
class Samples:
    """How the samples of each prompt agree; NaN where a prompt has fewer than two that say anything.

    Attributes:
        share: (N,) share of the prompt's samples that say what this one says, itself included;
            NaN where this one says nothing.
        others: (N,) the same share among the other samples.
        clusters: (N,) number of different things that the prompt's samples say.
        entropy: (N,) -sum_k s_k ln s_k over their shares s_k, in nats.
    """

    share: FloatArray
    others: FloatArray
    clusters: FloatArray
    entropy: FloatArray

    @classmethod
    def of(cls, prompts: IntArray | None, members: IntArray) -> Samples:
        """Args:
        prompts: (N,) codes of the prompts; None where each row is a prompt of its own.
        members: (N,) codes of what each sample says; -1 where it says nothing.
        """
        nothing = np.full(members.size, np.nan)
        if prompts is None or members.size == 0:
            return cls(nothing, nothing, nothing, nothing)
        said = np.flatnonzero(members >= 0)
        n_prompts = int(prompts.max()) + 1
        pair = prompts[said] * (members.max() + 1) + members[said]
        _, first, which, counts = np.unique(
            pair, return_index=True, return_inverse=True, return_counts=True
        )
        size = np.bincount(prompts[said], minlength=n_prompts).astype(np.float64)
        size[size < 2] = np.nan
        owner = prompts[said][first]
        s = counts / size[owner]
        unknown = np.where(np.isnan(size), np.nan, 0.0)
        clusters = np.bincount(owner, minlength=n_prompts).astype(np.float64) + unknown
        # Adding 0.0 turns the -0.0 of full agreement into 0.0; rounding must not make it negative.
        entropy = np.maximum(np.bincount(owner, -s * np.log(s), minlength=n_prompts), 0.0) + unknown
        share, others = nothing.copy(), nothing.copy()
        share[said] = s[which]
        others[said] = (counts[which] - 1.0) / (size[prompts[said]] - 1.0)
        return cls(share, others, clusters[prompts], entropy[prompts])


def within_mean(prompts: IntArray | None, values: FloatArray) -> FloatArray:
    """(N,) mean of the values of each row's prompt; NaN with fewer than two, or none of its own."""
    if prompts is None:
        return np.full(values.size, np.nan)
    total, size = _sums(prompts, values)
    mean = total / np.where(size > 1, size, np.nan)
    return np.where(np.isnan(values), np.nan, mean[prompts])


def others_mean(prompts: IntArray | None, values: FloatArray) -> FloatArray:
    """(N,) mean of the values of the other rows of the prompt; NaN where there are none."""
    if prompts is None:
        return np.full(values.size, np.nan)
    total, size = _sums(prompts, values)
    own = ~np.isnan(values)
    rest = size[prompts] - own
    return (total[prompts] - np.where(own, values, 0.0)) / np.where(rest > 0, rest, np.nan)


def within_sd(prompts: IntArray | None, values: FloatArray) -> FloatArray:
    """(N,) standard deviation (ddof 1) of the values of each row's prompt; NaN with fewer than two."""
    if prompts is None:
        return np.full(values.size, np.nan)
    total, size = _sums(prompts, values)
    mean = total / np.where(size > 0, size, np.nan)
    squares, _ = _sums(prompts, (values - mean[prompts]) ** 2)
    return np.sqrt(squares / np.where(size > 1, size - 1, np.nan))[prompts]


def _sums(prompts: IntArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum and number of the known values of each prompt."""
    known = ~np.isnan(values)
    n = int(prompts.max()) + 1 if prompts.size else 0
    total = np.bincount(prompts[known], values[known], minlength=n).astype(np.float64)
    return total, np.bincount(prompts[known], minlength=n).astype(np.float64)
