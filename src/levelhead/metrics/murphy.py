"""Murphy's decomposition of the Brier score into reliability, resolution and uncertainty."""

from __future__ import annotations

import dataclasses

import numpy as np

from levelhead._arrays import ArrayLike
from levelhead.metrics._accumulate import BinRule, per_bin, placed

__all__ = ["MurphyDecomposition", "murphy_decomposition"]


@dataclasses.dataclass(frozen=True)
class MurphyDecomposition:
    """The Brier score in parts that add up to it exactly.

    Attributes:
        reliability: mean squared gap between confidence and accuracy of the bins; lower is better.
        resolution: variance of the bins' accuracies; higher is better.
        uncertainty: variance of correctness, accuracy (1 - accuracy); not the model's doing.
        within_bin: within_variance - within_covariance, the effect of binning.
        brier: reliability - resolution + uncertainty + within_bin.
        within_variance: mean squared distance of a confidence from its bin's mean.
        within_covariance: twice the mean within-bin covariance of confidence and correctness.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bin: float
    brier: float
    within_variance: float
    within_covariance: float


def murphy_decomposition(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    bins: str = "width",
    closed: str = "right",
    edges: str = "decimal",
    weights: ArrayLike | None = None,
) -> MurphyDecomposition:
    """Murphy's decomposition of the Brier score, with the within-bin terms that make it exact.

    brier = sum_b w_b (conf_b - acc_b)^2 - sum_b w_b (acc_b - acc)^2 + acc (1 - acc)
            + sum_b w_b [var_b(c) - 2 cov_b(c, y)]

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) in [0, 1].
        n_bins: number of bins.
        bins: `width` or `mass`, see `ece`.
        closed: `right` or `left`, see `bin_index`.
        edges: `decimal` or `float`, see `bin_index`.
        weights: (N,) >= 0; None counts every sample once.

    Returns:
        A `MurphyDecomposition`.

    Raises:
        InvalidInputError: empty or unequal lengths, a value outside its range, an unknown option.

    Edge cases: where every bin holds one distinct confidence the within-bin terms are 0.
    Properties: independent of order; integer weights equal repetition; the parts add up to `brier`.
    Reference: Murphy 1973; Stephenson, Coelho and Jolliffe 2008 for the within-bin terms.

    Example:
        >>> parts = murphy_decomposition([0.75, 0.75, 0.25, 0.25], [1, 1, 0, 1])
        >>> parts.reliability, parts.resolution, parts.uncertainty, parts.brier
        (0.0625, 0.0625, 0.1875, 0.1875)
    """
    rule = BinRule(n_bins, closed, edges)
    c, y, w, index = placed(confidence, correct, weights, rule, bins)
    share = np.full(c.size, 1.0 / c.size) if w is None else w / w.sum()
    mass, conf, acc = (per_bin(index, v, rule.n_bins) for v in (share, share * c, share * y))
    divisor = np.where(mass > 0.0, mass, 1.0)
    conf, acc = conf / divisor, acc / divisor
    rate = float((share * y).sum())
    inner_c, inner_y = c - conf[index], y - acc[index]
    variance = float((share * inner_c * inner_c).sum())
    covariance = 2.0 * float((share * inner_c * inner_y).sum())
    return MurphyDecomposition(
        reliability=float((mass * (conf - acc) ** 2).sum()),
        resolution=float((mass * (acc - rate) ** 2).sum()),
        uncertainty=rate * (1.0 - rate),
        within_bin=variance - covariance,
        brier=float((share * (y * (1.0 - c) ** 2 + (1.0 - y) * c**2)).sum()),
        within_variance=variance,
        within_covariance=covariance,
    )
