"""What a guard says of itself, for the terminal and the report: percentages, evidence, advice."""

from __future__ import annotations

import math

from scipy import special

from levelhead._text import percent
from levelhead.guard.features import OWN, TABLE
from levelhead.guard.threshold import Threshold

__all__ = ["advice", "evidence_words", "promise_words"]

MOST = 10_000_000
"""Prompts beyond which nobody is advised to collect more."""


def evidence_words(name: str) -> str:
    """What an input of the verifier is, in words.

    Args:
        name: as `Verifier.explain` calls it: a feature, `logit of` it, or a feature `missing`.

    Returns:
        A phrase; an unknown name comes back as it is.

    Example:
        >>> evidence_words("agreement_others")
        "share of the prompt's other samples with this answer (events: this claim)"
        >>> evidence_words("logit of stated")
        'stated confidence in the claim, in log-odds'
    """
    feature = name.removeprefix("logit of ").removesuffix(" missing")
    if feature not in TABLE and not feature.startswith(OWN):
        return name
    words = feature if feature.startswith(OWN) else TABLE[feature].description
    if name.startswith("logit of "):
        return f"{words}, in log-odds"
    return f"whether there is none: {words}" if name.endswith(" missing") else words


def promise_words(promise: str, changed: bool) -> str:
    """A promise beside what was found, so that it never stands there as if it still held.

    Args:
        promise: as `Policy.promise` says it; may be "".
        changed: whether an alarm says that the scores or the errors are others than promised on.

    Returns:
        The promise, or what is left of it.

    Example:
        >>> promise_words("At most 5% of the answered are wrong", changed=True)
        'The promise need not hold here, as the alarm says. It was: at most 5% of the answered are wrong'
    """
    if not promise or not changed:
        return promise
    return (
        "The promise need not hold here, as the alarm says. It was: "
        f"{promise[:1].lower()}{promise[1:]}"
    )


def advice(threshold: Threshold) -> str:
    """What would let a guard answer, where its threshold answers nothing.

    Args:
        threshold: as `risk_threshold` or `conformal_threshold` found it.

    Returns:
        A sentence; "" where something is answered. The number of prompts is a guess: it takes the
        share of errors among the surest rows for the true one.

    Example:
        >>> from levelhead.guard.threshold import risk_threshold
        >>> advice(risk_threshold([0.9] * 20, [0] * 20, max_error=0.05))
        'It takes at least 60 prompts to set this threshold on; there are 20.'
    """
    if threshold.value is not None:
        return ""
    limit = percent(threshold.max_error)
    if threshold.method == "crc":
        least = math.ceil(threshold.bound / threshold.max_error - 1.0 - 1e-9)
        if threshold.n < least:
            return (
                f"It takes at least {least:,} prompts to set this threshold on; there are "
                f"{threshold.n:,}."
            )
        return (
            f"Its surest answers lose too much; raise --max-error above {limit}, or find evidence."
        )
    if not threshold.path:
        return (
            f"It takes at least {threshold.n_min:,} prompts to set this threshold on; there are "
            f"{threshold.n:,}."
        )
    first = threshold.path[0]
    rate = first.errors / first.answered
    if rate >= threshold.max_error:
        # P(so many errors or more), were the rate the limit itself
        surely = special.betainc(
            first.errors, first.answered - first.errors + 1, threshold.max_error
        )
        word = "will hardly" if surely <= 0.05 else "may not"
        return (
            f"{percent(rate)} of its surest {first.answered:,} answers are wrong, so more prompts "
            f"alone {word} help: raise --max-error above {limit}, or give the verifier more "
            "evidence (several samples per prompt, token probabilities)."
        )
    enough = _enough(rate, threshold.max_error, threshold.delta or 0.05, first.answered)
    needed = math.ceil(threshold.n * enough / first.answered)
    if needed > MOST:
        return (
            "Its surest answers are wrong about as often as the limit; raise --max-error above "
            f"{limit}."
        )
    return (
        f"About {_rounded(needed):,} prompts would be enough to set this threshold on if "
        f"{percent(rate)} of the surest stay wrong; there are {threshold.n:,}. Or raise --max-error."
    )


def _enough(rate: float, limit: float, delta: float, start: int) -> float:
    """How many rows with this share of errors show that it is below the limit."""

    def shown(n: float) -> bool:
        return bool(special.betaincc(rate * n + 1.0, n - rate * n, limit) <= delta)

    high = float(start)
    while not shown(high) and high <= MOST:
        high *= 2.0
    low = high / 2.0
    while high - low > 0.5:
        middle = (low + high) / 2.0
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high


def _rounded(n: int) -> int:
    """Two digits, rounded up: a guess is no exact number."""
    unit = 10 ** max(len(str(n)) - 2, 0)
    return math.ceil(n / unit) * unit
