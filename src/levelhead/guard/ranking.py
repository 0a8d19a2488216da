"""Which of several answers to one prompt comes first, and which states more than was verified."""

from __future__ import annotations

import hashlib

import numpy as np

from levelhead._arrays import (
    ArrayLike,
    BoolArray,
    FloatArray,
    IntArray,
    codes,
    probabilities,
    real,
    vector,
)
from levelhead.errors import InvalidInputError

__all__ = ["MARGIN", "overconfident", "rank_within", "shown_confidence"]

MARGIN = 0.2
"""How far a stated confidence may exceed the verified one before it is flagged."""

TOLERANCE = 1e-9
"""0.9 exceeds 0.7 by 0.2 and not by more, whatever the last bit of the difference says."""


def rank_within(
    score: ArrayLike, prompts: ArrayLike, *, tie_breaker: ArrayLike | None = None
) -> IntArray:
    """The rank of each answer among the answers to its prompt, 1 for the best.

    rank_i = 1 + #{j of the same prompt: j is before i}; a higher score is before a lower one, and
    among equal scores, where a `tie_breaker` is given, the lower hash of its text.

    Args:
        score: (N,) verified confidence or any other score, higher is better; NaN comes last.
        prompts: (N,) prompt id of each answer, any labels in any order.
        tie_breaker: (N,) a label of each answer, e.g. its text or its number; None: ties stay.

    Returns:
        (N,) int64 ranks >= 1.

    Raises:
        InvalidInputError: the lengths differ, or a score is infinite.

    Edge cases: what ties in score (and label) shares the better rank, and the next rank is skipped:
        1, 1, 3. Without a `tie_breaker` several answers may therefore have rank 1. Labels are hashed
        so that neither the order of the alphabet nor that of the samples is favored.
    Properties: independent of row order and of prompt labels; unchanged by an increasing map of the
        scores; a prompt's ranks do not depend on other prompts.
    Reference: standard competition ranking.

    Example:
        >>> rank_within([0.9, 0.2, 0.5, 0.7, 0.7], ["a", "b", "a", "b", "b"])
        array([1, 3, 2, 1, 1])
    """
    scores = vector("score", score)
    if np.isinf(scores).any():
        i = int(np.isinf(scores).argmax())
        raise InvalidInputError(
            f"score: expected finite numbers or NaN, got {scores[i]} at index {i}"
        )
    if scores.size == 0:
        return np.zeros(0, np.int64)
    prompt = codes("prompts", prompts, scores.size)
    key = np.where(np.isnan(scores), -np.inf, scores)
    label = np.zeros(scores.size, np.int64)
    if tie_breaker is not None:
        code = codes("tie_breaker", tie_breaker, scores.size)
        label = _shuffled(code, tie_breaker)
    order = np.lexsort((label, -key, prompt))
    p, k, h = prompt[order], key[order], label[order]
    fresh = np.concatenate(([True], p[1:] != p[:-1]))  # first row of a prompt
    moved = fresh | np.concatenate(([True], (k[1:] != k[:-1]) | (h[1:] != h[:-1])))
    place = np.arange(scores.size)
    start = np.maximum.accumulate(np.where(fresh, place, 0))
    block = np.maximum.accumulate(np.where(moved, place, 0))
    ranks = np.empty(scores.size, np.int64)
    ranks[order] = block - start + 1
    return ranks


def overconfident(stated: ArrayLike, verified: ArrayLike, margin: float = MARGIN) -> BoolArray:
    """Where an answer states more confidence than was verified, by more than a margin.

    stated - verified > margin

    Args:
        stated: (N,) stated confidence in [0, 1]; NaN where none was stated.
        verified: (N,) verified confidence in [0, 1].
        margin: in [0, 1].

    Returns:
        (N,) True where the answer is overconfident.

    Raises:
        InvalidInputError: a value is out of its range, or the lengths differ.

    Edge cases: a difference of exactly the margin is not flagged, to 1e-9; where nothing was stated
        nothing was overstated.
    Properties: row by row.
    Reference: the difference of stated and verified confidence is the sample-wise overconfidence.

    Example:
        >>> overconfident([0.9, 0.95, 0.5], [0.7, 0.6, 0.9])
        array([False,  True, False])
    """
    said, checked = _pair(stated, verified)
    if not 0.0 <= real("margin", margin) <= 1.0:
        raise InvalidInputError(f"margin: expected a value in [0, 1], got {margin}")
    return said - checked > margin + TOLERANCE


def shown_confidence(stated: ArrayLike, verified: ArrayLike) -> FloatArray:
    """The confidence to show to a user: the lower of the stated and the verified one.

    min(stated, verified)

    Args:
        stated: (N,) stated confidence in [0, 1]; NaN where none was stated.
        verified: (N,) verified confidence in [0, 1].

    Returns:
        (N,) in [0, 1].

    Raises:
        InvalidInputError: a value is out of its range, or the lengths differ.

    Edge cases: where nothing was stated, the verified one.
    Properties: row by row; never above the verified confidence.
    Reference: none; a verifier may lower a claim and never raises it.

    Example:
        >>> shown_confidence([0.9, float("nan"), 0.5], [0.7, 0.6, 0.9])
        array([0.7, 0.6, 0.5])
    """
    return np.fmin(*_pair(stated, verified))


def _pair(stated: ArrayLike, verified: ArrayLike) -> tuple[FloatArray, FloatArray]:
    checked = probabilities("verified", verified)
    said = vector("stated", stated)
    if said.size != checked.size:
        raise InvalidInputError(
            f"stated: expected {checked.size} values, one for each of verified, got {said.size}"
        )
    bad = ~(np.isnan(said) | ((said >= 0.0) & (said <= 1.0)))
    if bad.any():
        i = int(bad.argmax())
        hint = "; percentages must be divided by 100" if 1.0 < said[i] <= 100.0 else ""
        raise InvalidInputError(
            f"stated: expected values in [0, 1] or NaN, got {said[i]} at index {i}{hint}"
        )
    return said, checked


def _shuffled(code: IntArray, labels: ArrayLike) -> IntArray:
    """For each label a number whose order is that of the hashes of the texts."""
    listed = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)  # type: ignore[arg-type]
    texts: dict[int, str] = {}
    for number, value in zip(code.tolist(), listed, strict=True):
        texts.setdefault(number, str(value))
    hashed = {
        number: hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for number, text in texts.items()
    }
    position = {number: i for i, number in enumerate(sorted(hashed, key=hashed.__getitem__))}
    return np.fromiter((position[number] for number in code.tolist()), np.int64, code.size)
