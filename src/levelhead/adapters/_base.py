"""What the adapters share: another package's estimators and loss aggregations as plain functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from types import TracebackType

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray
from levelhead.advantages import AdvantageFunction
from levelhead.errors import InvalidInputError, unknown_name

__all__ = [
    "INSTALLED",
    "AdvantageFunction",
    "Attempt",
    "PeerAggregation",
    "PeerEstimator",
    "aggregation",
    "known_name",
    "trial",
    "whole_lengths",
]

INSTALLED = "installed code"
"""How a subject is driven: the package's own lines run, in the version that is installed."""


@dataclasses.dataclass(frozen=True)
class PeerEstimator:
    """An advantage estimator of another package.

    Attributes:
        name: package and estimator, e.g. `verl:grpo`.
        version: of the package, e.g. `0.9.1`.
        how: `installed code` where their own lines run, `published formula` where they are rewritten.
        call: (rewards (N,), groups (N,)) -> advantages (N,); None where it cannot be driven.
        reason: why it cannot be driven; empty where it can.
        note: what was assumed for what rewards and groups do not say, and what else a reader of a
            number about it must know.
    """

    name: str
    version: str
    how: str
    call: AdvantageFunction | None
    reason: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class PeerAggregation:
    """A way of another package to reduce per-token losses to one number.

    Attributes:
        name: package and mode, e.g. `verl:token-mean`.
        version: of the package, e.g. `0.9.1`.
        how: `installed code` or `published formula`.
        weights: lengths (B,) in tokens -> (B,) factors w, such that the loss of a batch of sequences
            of these lengths is sum_i w_i * (sum of the token losses of sequence i); None where it
            cannot be driven.
        reason: why it cannot be driven; empty where it can.
        note: what a reader of a number about it must know.
    """

    name: str
    version: str
    how: str
    weights: Callable[[IntArray], FloatArray] | None
    reason: str = ""
    note: str = ""


class Attempt:
    """Runs code of another package; whatever it raises becomes a sentence instead.

    Attributes:
        reason: what was raised, in one line; empty where nothing was.
    """

    def __init__(self) -> None:
        self.reason = ""

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False  # an interrupt stays one
        said = " ".join(str(error).split())[:200]
        self.reason = f"raises {type(error).__name__}{f': {said}' if said else ''}"
        return True


def known_name(kind: str, name: object, choices: Iterable[str]) -> str:
    """A name that is in a table; whatever else was given, a list for example, is an error in words."""
    names = sorted(choices)
    if not isinstance(name, str):
        raise InvalidInputError(f"{kind}: expected one of {', '.join(names)}, got {name!r}")
    if name not in names:
        raise unknown_name(kind, name, names)
    return name


TRIAL_REWARDS = (1.0, 0.0, 0.25, 0.5, 0.75, 0.75)
TRIAL_GROUPS = (4, 4, 4, 2, 2, 2)


def trial(call: AdvantageFunction, *, follows_rewards: bool = False) -> str:
    """Why an estimator cannot be used, found by calling it on two groups of three; empty if it can.

    `follows_rewards` asks in addition that within a group a higher reward has the higher advantage
    and an equal one the same, to notice that rewards no longer reach the lines that are driven.
    """
    rewards = np.array(TRIAL_REWARDS)
    groups = np.array(TRIAL_GROUPS, dtype=np.int64)
    with Attempt() as attempt:
        got = np.asarray(call(rewards, groups), dtype=np.float64)
        if got.shape != rewards.shape:
            return f"returns shape {got.shape} for {rewards.size} rewards"
        if not np.isfinite(got).all():
            return f"returns {got[~np.isfinite(got)][0]} for ordinary rewards"
        if follows_rewards:
            ordered = got[0] > got[2] > got[1] and got[4] > got[3]
            if not ordered or not np.isclose(got[4], got[5]):
                return "returns advantages that do not follow the rewards"
    return attempt.reason


TRIAL_LENGTHS = (1, 1)


def aggregation(
    name: str, version: str, make: Callable[[], Callable[[IntArray], FloatArray]], note: str
) -> PeerAggregation:
    """A subject whose weights are tried on two sequences first."""
    weights: Callable[[IntArray], FloatArray] | None = None
    with Attempt() as attempt:
        weights = make()
        got = weights(np.array(TRIAL_LENGTHS, dtype=np.int64))
        if got.shape != (2,) or not (np.isfinite(got).all() and (got > 0).all()):
            attempt.reason = f"weighs sequences of {TRIAL_LENGTHS} tokens by {got.tolist()}"
    usable = None if attempt.reason else weights
    return PeerAggregation(name, version, INSTALLED, usable, attempt.reason, note)


def whole_lengths(lengths: ArrayLike, longest: int) -> IntArray:
    """Sequence lengths as (B,) whole numbers in 1..`longest`, at least one of them."""
    array = np.asarray(lengths)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise InvalidInputError(
            f"lengths: expected one or more whole numbers (B,), got {array.dtype} {array.shape}"
        )
    bad = (array < 1) | (array > longest)
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(
            f"lengths: expected values in 1..{longest}, got {array[i]} at index {i}; "
            "a longer one needs a larger max_length"
        )
    return array.astype(np.int64)
