"""Selective prediction: does higher confidence mean a better chance of being right?

Everything here depends on the order of the confidences alone. Predictions of exactly equal
confidence form a tie block; the order within a block carries no information, so the numbers are
averages over it.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, paired, probabilities
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.metrics._table import Metric
from levelhead.metrics._ties import TieBlocks, harmonic_rise, tie_blocks

__all__ = [
    "TABLE",
    "RiskCoverageCurve",
    "accuracy_at_coverage",
    "augrc",
    "auroc",
    "aurc",
    "coverage_at_risk",
    "e_aurc",
    "risk_coverage_curve",
]

RISK_TOLERANCE = 1e-9
"""A risk of 3/60 passes a limit of 0.05 whatever the last bit of the division says."""


@dataclasses.dataclass(frozen=True)
class RiskCoverageCurve:
    """Risk among the answered when every prediction at or above a threshold is answered.

    Attributes:
        coverage: (B,) share answered, ascending, ends at 1.
        risk: (B,) error rate among the answered.
        threshold: (B,) the lowest confidence answered, descending.
    """

    coverage: FloatArray
    risk: FloatArray
    threshold: FloatArray


def auroc(confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Probability that a right answer was stated with more confidence than a wrong one.

    P(c+ > c-) + P(c+ = c-) / 2, c+ drawn with weight w y and c- with weight w (1 - y)

    Args:
        confidence: (N,) in [0, 1]; only its order counts.
        correct: (N,) correctness or outcome in [0, 1]; y counts as y right and 1 - y wrong.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The area in [0, 1], 0.5 for no information; NaN where nothing is right or nothing is wrong.

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: ties are exact equality of floats; 0.1 * 3 and 0.3 do not tie. Without weights and
        with 0/1 correctness pairs are counted in integers, so the result is correctly rounded.
    Properties: plug-in, higher is better; unchanged by any increasing map of the confidences.
    Reference: Hanley & McNeil 1982 (Mann-Whitney statistic).

    Example:
        >>> auroc([0.9, 0.8, 0.8, 0.3], [1, 1, 0, 0])
        0.875
    """
    blocks = tie_blocks(*paired(confidence, correct, weights))
    right, wrong = blocks.right, blocks.wrong
    rights, wrongs = right.sum(), wrong.sum()
    if not (rights > 0 and wrongs > 0):
        return float("nan")
    below = wrongs - np.cumsum(wrong)
    if right.dtype == np.int64:  # twice the pairs won: at most N^2 / 2, so 4e9 predictions fit
        twice = int((right * (2 * below + wrong)).sum())
        return twice / (2 * int(rights) * int(wrongs))
    # Divided first: the product of two tiny totals would underflow.
    area = float(((right / rights) * ((below + 0.5 * wrong) / wrongs)).sum())
    return min(max(area, 0.0), 1.0)


def risk_coverage_curve(
    confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
) -> RiskCoverageCurve:
    """Error rate among the answered against the share answered, one point per threshold.

    coverage(t) = sum_i w_i 1[c_i >= t] / sum_i w_i;
    risk(t) = sum_i w_i (1 - y_i) 1[c_i >= t] / sum_i w_i 1[c_i >= t]

    Args:
        confidence: (N,) stated probability of being right, in [0, 1]; only its order counts.
        correct: (N,) correctness in [0, 1]; 0.5 is half an error.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        One point per distinct confidence (equal ones are answered together), most confident first.

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: a confidence that has weight 0 only gets no point.
    Properties: plug-in; independent of row order.
    Reference: El-Yaniv & Wiener 2010.

    Example:
        >>> risk_coverage_curve([0.9, 0.9, 0.6, 0.2], [1, 0, 1, 0]).risk
        array([0.5       , 0.33333333, 0.5       ])
    """
    blocks = tie_blocks(*paired(confidence, correct, weights))
    answered = np.cumsum(blocks.weight, dtype=np.float64)
    errors = np.cumsum(blocks.wrong, dtype=np.float64)
    return RiskCoverageCurve(answered / answered[-1], errors / answered, blocks.confidence.copy())


def aurc(confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Area under the risk-coverage curve: the mean of the risk over all numbers of answers given.

    AURC = (1/N) sum_{k=1..N} (1/k) sum_{i<=k} e_i, confidences descending, each error e_i = 1 - y_i
    replaced by the mean over its tie block. A block of weight w and error rate e that begins after
    weight W and errors E adds E h + e (w - W h), h = H(W + w) - H(W) and H(x) = digamma(x + 1).

    Args:
        confidence: (N,) stated probability of being right, in [0, 1]; only its order counts.
        correct: (N,) correctness in [0, 1]; 0.5 is half an error.
        weights: (N,) finite and >= 0, in units of samples; None weighs all 1.

    Returns:
        The area in [0, 1].

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: for whole weights H is the harmonic sum, so a weight of 3 equals three copies
        exactly; in between the digamma function interpolates. The mean over k knows the number of
        samples, so weights that sum to 1 do not give the AURC of the sample: scale them to sum to
        the number of samples.
    Properties: not plug-in (repeating all samples shifts it by O(1/N)), lower is better;
        independent of row order: it is the expectation over all orders of the ties.
    Reference: Geifman, Uziel & El-Yaniv 2019 (arXiv:1805.08206), with ties averaged.

    Example:
        >>> aurc([0.9, 0.8], [0, 1])
        0.75
    """
    return _aurc(tie_blocks(*paired(confidence, correct, weights)))


def e_aurc(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    oracle: Literal["limit", "sample"] = "limit",
    weights: ArrayLike | None = None,
) -> float:
    """Excess AURC: what the ranking loses against one that puts every error last.

    AURC - (r + (1 - r) ln(1 - r)), r the error rate: the oracle's AURC as N grows

    Args:
        confidence: (N,) stated probability of being right, in [0, 1]; only its order counts.
        correct: (N,) correctness in [0, 1]; 0.5 is half an error.
        oracle: "limit" for the published formula above; "sample" for the oracle's AURC on these N.
        weights: (N,) finite and >= 0, in units of samples; None weighs all 1.

    Returns:
        The excess in [0, 1].

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, there are none, or the
            oracle is unknown.

    Edge cases: a perfect ranking gets 0 (to rounding) with "sample" and O(1/N) with "limit", whose
        oracle is out of reach for finite N; neither is ever negative.
    Properties: not plug-in, lower is better.
    Reference: Geifman, Uziel & El-Yaniv 2019 (arXiv:1805.08206).

    Example:
        >>> round(e_aurc([0.9, 0.8], [0, 1]), 6), e_aurc([0.9, 0.8], [0, 1], oracle="sample")
        (0.596574, 0.5)
    """
    if oracle not in ("limit", "sample"):
        raise unknown_name("oracle", oracle, ("limit", "sample"))
    blocks = tie_blocks(*paired(confidence, correct, weights))
    total, errors = float(blocks.weight.sum()), float(blocks.wrong.sum())
    good = total - errors
    if oracle == "sample":
        ends = TieBlocks(np.array([1.0, 0.0]), np.array([good, errors]), np.array([good, 0.0]))
        best = _aurc(ends)
    else:
        best = errors / total
        if 0.0 < good < total:
            best += good / total * float(np.log(good / total))
    return max(_aurc(blocks) - best, 0.0)


def augrc(confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Area under the generalized risk-coverage curve: undetected errors, averaged over coverages.

    Integral over the coverage of P(wrong and answered), ties spread evenly;
    = (1 - AUROC) a (1 - a) + (1 - a)^2 / 2 with a the accuracy

    Args:
        confidence: (N,) stated probability of being right, in [0, 1]; only its order counts.
        correct: (N,) correctness in [0, 1]; 0.5 is half an error.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The area in [0, 0.5].

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Properties: plug-in, lower is better; unlike the AURC it does not let the few most confident
        answers weigh most.
    Reference: Traub et al. 2024 (arXiv:2407.01032).

    Example:
        >>> augrc([0.9, 0.8], [0, 1])
        0.375
    """
    blocks = tie_blocks(*paired(confidence, correct, weights))
    share = blocks.weight / blocks.weight.sum()
    wrong = blocks.wrong / blocks.weight.sum()
    return float((share * (np.cumsum(wrong) - 0.5 * wrong)).sum())


def accuracy_at_coverage(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    coverage: float = 0.8,
    weights: ArrayLike | None = None,
) -> float:
    """Accuracy when only the most confident share is answered.

    Weighted mean of y over the weight `coverage * sum_i w_i` of highest confidence

    Args:
        confidence: (N,) stated probability of being right, in [0, 1]; only its order counts.
        correct: (N,) correctness in [0, 1]; 0.5 counts half.
        coverage: share answered, in (0, 1].
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The accuracy in [0, 1].

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: where the share ends within a tie block, or within a sample, that part counts with
        the block's mean: the expectation when ties are broken at random.
    Properties: plug-in, higher is better; independent of row order; continuous in the coverage.
    Reference: Geifman & El-Yaniv 2017 (arXiv:1705.08500).

    Example:
        >>> accuracy_at_coverage([0.9, 0.8, 0.7, 0.1], [1, 1, 0, 0], coverage=0.75)
        0.6666666666666666
    """
    share = float(probabilities("coverage", [coverage])[0])
    if share == 0.0:
        raise InvalidInputError("coverage: expected a share above 0, got 0.0; nothing is answered")
    blocks = tie_blocks(*paired(confidence, correct, weights))
    ends = np.cumsum(blocks.weight, dtype=np.float64)
    rights = np.cumsum(blocks.right, dtype=np.float64)
    target = share * float(ends[-1])
    last = min(int(np.searchsorted(ends, target)), ends.size - 1)
    weight, right = float(blocks.weight[last]), float(blocks.right[last])
    unanswered = (float(ends[last]) - target) / weight  # share of the last block
    return min(max((float(rights[last]) - unanswered * right) / target, 0.0), 1.0)


def coverage_at_risk(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    risk: float = 0.05,
    weights: ArrayLike | None = None,
) -> float:
    """Largest share that can be answered with an error rate within the limit.

    max { coverage(t) : risk(t) <= risk } over the confidences t as thresholds

    Args:
        confidence: (N,) stated probability of being right, in [0, 1]; only its order counts.
        correct: (N,) correctness in [0, 1]; 0.5 is half an error.
        risk: highest error rate allowed among the answered, in [0, 1], inclusive to 1e-9.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The coverage in [0, 1]; 0 where no threshold keeps the limit, which is a result (answer
        nothing) and not a missing value.

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: equal confidences are answered together or not at all, since a threshold cannot
        split them. A smaller coverage may exceed the limit where the risk is not monotone.
    Properties: plug-in, higher is better; optimistic as a promise, since the threshold is chosen on
        the same data.
    Reference: Geifman & El-Yaniv 2017 (arXiv:1705.08500).

    Example:
        >>> coverage_at_risk([0.9, 0.8, 0.7, 0.1], [1, 1, 0, 0], risk=0.05)
        0.5
    """
    limit = float(probabilities("risk", [risk])[0])
    curve = risk_coverage_curve(confidence, correct, weights=weights)
    kept = np.flatnonzero(curve.risk <= limit + RISK_TOLERANCE)
    return float(curve.coverage[kept[-1]]) if kept.size else 0.0


def _aurc(blocks: TieBlocks) -> float:
    weight, wrong = blocks.weight.astype(np.float64), blocks.wrong.astype(np.float64)
    ends, errors = np.cumsum(weight), np.cumsum(wrong)
    before = ends - weight
    rise = harmonic_rise(before, weight)
    # Only the oracle of a sample where all are right, or all are wrong, has a block of weight 0.
    rate = np.divide(wrong, weight, out=np.zeros_like(wrong), where=weight > 0)
    area = float(((errors - wrong) * rise + rate * (weight - before * rise)).sum() / ends[-1])
    return min(max(area, 0.0), 1.0)


def _share_metric(
    name: str, function: functools.partial[float], label: str, better: Literal["lower", "higher"]
) -> Metric:
    return Metric(
        name=name,
        function=function,
        label=label,
        group="selective",
        better=better,
        low=0.0,
        high=1.0,
        event_reading="top-label",
        reference="Geifman & El-Yaniv 2017 (arXiv:1705.08500)",
    )


TABLE = (
    Metric(
        name="auroc",
        function=auroc,
        label="AUROC",
        group="selective",
        better="higher",
        low=0.0,
        high=1.0,
        event_reading="event",
        reference="Hanley & McNeil 1982",
    ),
    Metric(
        name="aurc",
        function=aurc,
        label="Area under the risk-coverage curve (AURC)",
        group="selective",
        better="lower",
        low=0.0,
        high=1.0,
        event_reading="top-label",
        plug_in=False,
        reference="Geifman, Uziel & El-Yaniv 2019 (arXiv:1805.08206)",
    ),
    Metric(
        name="e_aurc",
        function=e_aurc,
        label="Excess AURC over a perfect ranking",
        group="selective",
        better="lower",
        low=0.0,
        high=1.0,
        event_reading="top-label",
        plug_in=False,
        reference="Geifman, Uziel & El-Yaniv 2019 (arXiv:1805.08206)",
    ),
    Metric(
        name="augrc",
        function=augrc,
        label="Area under the generalized risk-coverage curve (AUGRC)",
        group="selective",
        better="lower",
        low=0.0,
        high=0.5,
        event_reading="top-label",
        reference="Traub et al. 2024 (arXiv:2407.01032)",
    ),
    _share_metric(
        "accuracy_at_coverage",
        functools.partial(accuracy_at_coverage, coverage=0.8),
        "Accuracy on the most confident 80%",
        "higher",
    ),
    _share_metric(
        "accuracy_at_coverage_50",
        functools.partial(accuracy_at_coverage, coverage=0.5),
        "Accuracy on the most confident 50%",
        "higher",
    ),
    _share_metric(
        "accuracy_at_coverage_90",
        functools.partial(accuracy_at_coverage, coverage=0.9),
        "Accuracy on the most confident 90%",
        "higher",
    ),
    _share_metric(
        "coverage_at_risk",
        functools.partial(coverage_at_risk, risk=0.05),
        "Share answerable at an error rate of 5%",
        "higher",
    ),
    _share_metric(
        "coverage_at_risk_10",
        functools.partial(coverage_at_risk, risk=0.1),
        "Share answerable at an error rate of 10%",
        "higher",
    ),
)
