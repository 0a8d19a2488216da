"""Trustworthiness: what an answer is worth to users whose stakes differ, silence being worth 0.

A user with stakes t gains 1 from a right answer, loses t / (1 - t) from a wrong one and is answered
where the stated confidence reaches t. The score is the mean over t uniform on [t0, 1).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from levelhead._arrays import (
    ArrayLike,
    BoolArray,
    FloatArray,
    paired,
    probabilities,
    vector,
)
from levelhead.errors import InvalidInputError
from levelhead.metrics._table import Metric
from levelhead.metrics._ties import tie_blocks

__all__ = [
    "TABLE",
    "TrustCurve",
    "TrustDecomposition",
    "trust",
    "trust_curve",
    "trust_decomposition",
    "trust_score",
]

STAKES = tuple(k / 100 for k in range(96))
"""Default floors of the curve; beyond 0.95 the cap of confidence at 1 - eps decides the score."""

REFERENCE = "penalties t/(1-t) as in Kalai et al. 2025 (arXiv:2509.04664), averaged over t"


@dataclasses.dataclass(frozen=True)
class TrustDecomposition:
    """trust = resolution - miscalibration.

    Attributes:
        trust: the score.
        resolution: the score after replacing every confidence by the accuracy at that confidence,
            >= 0.
        miscalibration: what stating another number costs, >= 0.
    """

    trust: float
    resolution: float
    miscalibration: float


@dataclasses.dataclass(frozen=True)
class TrustCurve:
    """The score for every stakes floor.

    Attributes:
        t0: (K,) stakes floors, in the order given.
        trust: (K,) the score at each.
    """

    t0: FloatArray
    trust: FloatArray


def trust_score(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    t0: float = 0.5,
    eps: float = 0.01,
    answered: ArrayLike | None = None,
) -> FloatArray:
    """Utility of each prediction, averaged over stakes from t0 up.

    T(c, y) = 1[c' > t0] ((c' - t0) + (1 - y) ln((1 - c') / (1 - t0))) / (1 - t0)
    with c' = min(c, 1 - eps)

    Args:
        confidence: (N,) stated probability of being right, in [0, 1].
        correct: (N,) correctness in [0, 1]; the score is linear in it.
        t0: lowest stakes, in [0, 1).
        eps: confidences are capped at 1 - eps, in [0, 1).
        answered: (N,) False where the model declined to answer; None means that it always answered.

    Returns:
        (N,) float64, at most 1, 0 where no user is answered, negative where users are worse off.

    Raises:
        InvalidInputError: a value is outside its range or the lengths differ.

    Edge cases: a prediction that was not answered scores 0; its confidence and correctness are not
        read and may be NaN. eps = 0 gives -inf to a wrong answer stated at 1. t0 >= 1 - eps gives 0
        throughout.
    Properties: a proper scoring rule (a gain), strictly where the probability exceeds t0;
        continuous in c.
    Reference: penalties t/(1-t) as in Kalai et al. 2025 (arXiv:2509.04664), averaged over t.

    Example:
        >>> trust_score([1.0, 0.75, 0.75, 0.4], [1, 1, 0, 0]).round(4)
        array([ 0.98  ,  0.5   , -0.8863,  0.    ])
    """
    c, y, _, mask = _checked(confidence, correct, None, answered)
    scores = _scores(c, y, _stakes(t0), _cap(eps))
    return scores if mask is None else np.where(mask, scores, 0.0)


def trust(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    t0: float = 0.5,
    eps: float = 0.01,
    answered: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Trustworthiness: mean utility to users with stakes from t0 up; 0 is silence, 1 is perfection.

    sum_i w_i T(c_i, y_i) / sum_i w_i, T as in `trust_score`

    Args:
        confidence: (N,) stated probability of being right, in [0, 1].
        correct: (N,) correctness in [0, 1]; 0.5 counts half.
        t0: lowest stakes, in [0, 1).
        eps: confidences are capped at 1 - eps, in [0, 1).
        answered: (N,) False where the model declined to answer (scores 0); None means always
            answered.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The mean, at most 1; for eps > 0 at least ((1 - eps - t0) + ln(eps / (1 - t0))) / (1 - t0).

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: a model below 0 serves its users worse than one that never answers.
    Properties: plug-in, higher is better; a proper score, so accuracy and honesty are rewarded
        jointly.
    Reference: penalties t/(1-t) as in Kalai et al. 2025 (arXiv:2509.04664), averaged over t.

    Example:
        >>> round(trust([1.0, 1.0, 1.0, 1.0, 0.0], [1, 1, 1, 1, 0]), 3)
        0.784
    """
    c, y, w, mask = _checked(confidence, correct, weights, answered)
    scores = _scores(c, y, _stakes(t0), _cap(eps))
    if mask is not None:
        scores[~mask] = 0.0
    if w is None:
        return float(scores.mean())
    scores[w == 0.0] = 0.0  # where a score is -inf, 0 times it would be NaN
    return float((w * scores).sum() / w.sum())


def trust_decomposition(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    t0: float = 0.5,
    eps: float = 0.01,
    answered: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> TrustDecomposition:
    """Split Trustworthiness into what the confidences distinguish and what misstating them costs.

    Resolution = sum_v s_v Phi(a_v); miscalibration = sum_v s_v (Phi(a_v) - E_v); over the distinct
    stated confidences v with share s_v and accuracy a_v, E_v = T(v, a_v) and Phi(a) = T(a, a) =
    max_c T(c, a).

    Args:
        confidence: (N,) stated probability of being right, in [0, 1].
        correct: (N,) correctness in [0, 1]; 0.5 counts half.
        t0: lowest stakes, in [0, 1).
        eps: confidences are capped at 1 - eps, in [0, 1).
        answered: (N,) False where the model declined to answer; None means always answered.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The three numbers; trust = resolution - miscalibration to rounding, both parts >= 0.

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: predictions not answered add 0 to each number and count in the shares. With few
        predictions for each distinct confidence both parts are inflated alike: a_v fits the noise.
    Properties: plug-in; exact for each distinct confidence, no bins.
    Reference: Broecker 2009 (decomposition of proper scores), for the rule of `trust_score`.

    Example:
        >>> parts = trust_decomposition([0.9, 0.9, 0.9, 0.9], [1, 1, 1, 0])
        >>> round(parts.resolution, 4), round(parts.miscalibration, 4)
        (0.1534, 0.1581)
    """
    c, y, w, mask = _checked(confidence, correct, weights, answered)
    stakes, cap = _stakes(t0), _cap(eps)
    total = float(c.size) if w is None else float(w.sum())
    if mask is not None:
        c, y, w = c[mask], y[mask], None if w is None else w[mask]
        if c.size == 0:
            return TrustDecomposition(0.0, 0.0, 0.0)
    blocks = tie_blocks(c, y, w)
    share, rate = blocks.weight / total, np.minimum(blocks.right / blocks.weight, 1.0)
    stated = _scores(blocks.confidence, rate, stakes, cap)
    honest = _scores(rate, rate, stakes, cap)
    cost = np.maximum(honest - stated, 0.0)
    resolution, miscalibration = float((share * honest).sum()), float((share * cost).sum())
    return TrustDecomposition(float((share * stated).sum()), resolution, miscalibration)


def trust_curve(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    t0s: ArrayLike | None = None,
    eps: float = 0.01,
    answered: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> TrustCurve:
    """Trustworthiness over the stakes floor t0: how it changes as errors get more expensive.

    `trust` for every t0, from one pass over the predictions

    Args:
        confidence: (N,) stated probability of being right, in [0, 1].
        correct: (N,) correctness in [0, 1]; 0.5 counts half.
        t0s: (K,) stakes floors in [0, 1), in any order; None for 0, 0.01, ..., 0.95.
        eps: confidences are capped at 1 - eps, in [0, 1).
        answered: (N,) False where the model declined to answer; None means always answered.
        weights: (N,) finite and >= 0; None weighs all the same.

    Returns:
        The floors as given and the score at each.

    Raises:
        InvalidInputError: a value is outside its range, the lengths differ, or there are none.

    Edge cases: a floor of 1 - eps or more answers nobody, so the score there is 0.
    Properties: plug-in; O(N log K).
    Reference: penalties t/(1-t) as in Kalai et al. 2025 (arXiv:2509.04664), averaged over t.

    Example:
        >>> trust_curve([1.0, 1.0, 0.0], [1, 1, 0], t0s=[0.0, 0.5, 0.9]).trust
        array([0.66      , 0.65333333, 0.6       ])
    """
    c, y, w, mask = _checked(confidence, correct, weights, answered)
    floors = _floors(t0s)
    cap = _cap(eps)
    total = float(c.size) if w is None else float(w.sum())
    mass = np.ones(c.size) if w is None else w
    if mask is not None:
        mass = mass * mask
    sure = np.minimum(c, 1.0 - cap)
    wrong = mass * (1.0 - y)
    order = np.argsort(floors)
    ladder = floors[order]
    below = np.searchsorted(ladder, sure)  # how many floors the confidence exceeds
    sums = [
        np.bincount(below, terms, ladder.size + 1)
        for terms in (mass * sure, mass, wrong * _log_left(c, wrong, cap), wrong)
    ]
    stated, answers, logs, errors = (np.cumsum(s[::-1])[::-1][1:] for s in sums)
    gained = stated - ladder * answers + logs - errors * np.log1p(-ladder)
    scores = np.empty_like(gained)
    scores[order] = np.where(answers > 0, gained / ((1.0 - ladder) * total), 0.0)
    return TrustCurve(floors, scores)


def _scores(c: FloatArray, y: FloatArray, t0: float, eps: float) -> FloatArray:
    sure = np.minimum(c, 1.0 - eps)
    wrong = 1.0 - y
    gained = sure - t0 + wrong * (_log_left(c, wrong, eps) - np.log1p(-t0))
    return np.where(sure > t0, gained / (1.0 - t0), 0.0)


def _log_left(c: FloatArray, wrong: FloatArray, eps: float) -> FloatArray:
    """ln(1 - c'), or 0 where nothing is wrong: -inf (c = 1, eps = 0) times no error is no loss."""
    left = np.where(wrong > 0.0, np.maximum(1.0 - c, eps), 1.0)
    with np.errstate(divide="ignore"):
        return np.log(left)


def _checked(
    confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None, answered: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray | None, BoolArray | None]:
    if answered is None:
        return (*paired(confidence, correct, weights), None)
    c, y = vector("confidence", confidence), vector("correct", correct)
    mask = np.asarray(answered)
    if mask.shape != c.shape:
        raise InvalidInputError(
            f"answered: expected {c.size} values, one per sample, got shape {mask.shape}"
        )
    if mask.dtype.kind not in "biuf" or not np.all((mask == 0) | (mask == 1)):
        raise InvalidInputError("answered: expected only True and False")
    mask = mask.astype(np.bool_)
    c = np.where(mask, c, 0.0)
    if y.shape == c.shape:
        y = np.where(mask, y, 0.0)
    return (*paired(c, y, weights), mask)


def _stakes(t0: float) -> float:
    return float(_floors([t0], "t0")[0])


def _floors(t0s: ArrayLike | None, name: str = "t0s") -> FloatArray:
    floors = probabilities(name, STAKES if t0s is None else t0s)
    if (floors == 1.0).any():
        raise InvalidInputError(
            f"{name}: expected values in [0, 1), got 1.0; at stakes of 1 an error costs infinity"
        )
    return floors.copy()


def _cap(eps: float) -> float:
    value = float(probabilities("eps", [eps])[0])
    if value == 1.0:
        raise InvalidInputError("eps: expected a value in [0, 1), got 1.0; 0.01 caps at 0.99")
    return value


def _row(name: str, t0: float, label: str) -> Metric:
    certain = trust_score([1.0, 1.0], [0.0, 1.0], t0=t0)
    return Metric(
        name=name,
        function=functools.partial(trust, t0=t0),
        label=label,
        group="trust",
        better="higher",
        low=float(certain[0]),
        high=float(certain[1]),
        event_reading="top-label",
        reference=REFERENCE,
    )


TABLE = (
    _row("trust", 0.5, "Trustworthiness"),
    _row("trust_at_0", 0.0, "Trustworthiness, stakes from 0"),
    _row("trust_at_75", 0.75, "Trustworthiness, stakes from 0.75"),
    _row("trust_at_90", 0.9, "Trustworthiness, stakes from 0.9"),
)
