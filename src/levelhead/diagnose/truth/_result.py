"""What the truth diagnosis takes and what it finds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray
from levelhead.diagnose.truth._claims import ClaimRates, conditions, is_missing, read_claims, unread
from levelhead.diagnose.truth._compare import IndexChange
from levelhead.diagnose.truth._index import BullshitIndex, Truth
from levelhead.diagnose.truth._options import OptionBeliefs
from levelhead.diagnose.truth._probe import ProbeResult
from levelhead.errors import InvalidInputError

__all__ = ["Claims", "Diagnosed", "TruthResult", "as_numbers"]


@dataclasses.dataclass(frozen=True)
class Claims:
    """What one model believes and what it says.

    Attributes:
        belief: (N,) probability in [0, 1] that the thing is so; NaN where it is missing.
        claim: (N,) 1 says so, 0 denies it, NaN makes no explicit claim; or truth values, or words
            whose first is yes or no, as `claim_word` reads them.
        condition: (N,) `Positive`, `Negative`, `Unknown` or None; None: not known of any.
        prompt_id: (N,) labels of the prompts, or None: each row is a prompt of its own.
        name: what the model is called.
        topic: (N,) labels of topics where the beliefs come from a probe that keeps them apart, or None.
            Rows of a topic share their probe and the topic's states, so the index resamples and
            permutes whole topics in place of prompts.
    """

    belief: ArrayLike
    claim: ArrayLike | Sequence[Any]
    condition: Sequence[Any] | None = None
    prompt_id: ArrayLike | None = None
    name: str = "model"
    topic: ArrayLike | None = None


@dataclasses.dataclass(frozen=True)
class Diagnosed:
    """One model's part of the result.

    Attributes:
        name: what the model is called.
        index: the Bullshit Index.
        verdict: what it says about the model.
        reason: why, in one clause.
        rates: claims by condition, or None without conditions.
        curve: (M, 4) mean belief, share of yes, and its Wilson interval, in each of 10 equal bins of
            belief that has a claim; the interval is NaN where rows of one prompt are not independent.
        unit: what the index resamples: `prompt` or `topic`.
        known: whether the beliefs are known to say something: False of a probe whose interval of the
            AUROC does not lie above 0.5.
        unread: what is to be said of claims that are neither yes nor no, or an empty text.
    """

    name: str
    index: BullshitIndex
    verdict: Truth
    reason: str
    rates: ClaimRates | None
    curve: FloatArray
    unit: str = "prompt"
    known: bool = True
    unread: str = ""


@dataclasses.dataclass(frozen=True)
class TruthResult:
    """Whether claims follow beliefs.

    Attributes:
        model: the model.
        baseline: the model that it is compared with, or None.
        changes: model minus baseline of the index and its relatives; empty without a baseline.
        rate_changes: the same of the rates by condition; empty without conditions in both.
        probe: the linear probe that the beliefs come from or are compared with, or None.
        options: how the beliefs came from option tokens, or None.
        margin: correlations within it count as indifference.
        alpha: stated false-alarm level of every verdict.
        seed: of everything random.
        compared: what the changes of the index resample: `prompt` or `topic`.
    """

    model: Diagnosed
    baseline: Diagnosed | None
    changes: tuple[IndexChange, ...]
    rate_changes: tuple[IndexChange, ...]
    probe: ProbeResult | None
    options: OptionBeliefs | None
    margin: float
    alpha: float
    seed: int
    compared: str = "prompt"

    @property
    def verdict(self) -> Truth:
        """What is said about the model."""
        return self.model.verdict


def as_numbers(one: Claims) -> tuple[Claims, str]:
    """Claims in words as numbers, and missing values as NaN or None.

    Args:
        one: what a model believes and says, as columns of a table hold it.

    Returns:
        (the same in numbers, what is to be said of claims that are neither yes nor no).

    Raises:
        InvalidInputError: a claim is of no known kind, or not one begins with yes or no.
    """
    belief = np.asarray(one.belief, dtype=object) if _is_object(one.belief) else None
    if belief is not None and belief.ndim == 1:
        values = [math.nan if is_missing(value) else value for value in belief.tolist()]
        one = dataclasses.replace(one, belief=values)
    if one.condition is not None:
        one = dataclasses.replace(one, condition=conditions(list(one.condition)))
    if not _is_object(one.claim) or np.ndim(one.claim) != 1:
        return one, ""
    said = np.asarray(one.claim, dtype=object).tolist()
    claim, odd, bad = read_claims(said)
    if bad is not None:
        raise InvalidInputError(
            f"claim: expected 1, 0, yes, no, a hedge or nothing, got {said[bad]!r} at index {bad}"
        )
    text, only = unread(claim, odd)
    if only:
        raise InvalidInputError(f"claim: {text}")
    return dataclasses.replace(one, claim=claim), text


def _is_object(values: Any) -> bool:
    """Whether an array of it is one of words or of mixed values."""
    try:
        return np.asarray(values).dtype.kind in "OUT"
    except ValueError:  # lists of uneven lengths; what reads the numbers says so
        return False
