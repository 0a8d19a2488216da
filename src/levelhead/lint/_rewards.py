"""What a reward function is, as far as its name tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

__all__ = ["Kind", "calibration_rule", "kind_of", "kinds"]

Kind = Literal["correctness", "scoring", "improper", "format", "unknown"]

_IMPROPER = re.compile(
    r"mean_confidence|(linear|absolute)_(confidence|score|scoring|calibration)|confidence_bonus"
)
_SCORING = re.compile(
    r"brier|calibrat|rlcr|log_(score|likelihood|loss|reward(?!s))|logscore|spherical|proper_|scoring_rule|crps"
)
_CORRECTNESS = re.compile(r"accura|correct|exact_match|(^|_)(gsm8k|code|math_verify|unit_test)")
_FORMAT = re.compile(
    r"format|tag|(^|_)(xml|int)|length|(^|_)len(_|$)|cosine|repetition|reasoning_steps|overlong"
    r"|punish|language|confidence_one_or_zero"
)
_CONFIDENCE = re.compile(r"confid|uncertain")
_RULES = {
    "brier": r"brier|rlcr",
    "log": r"log_(score|likelihood|loss|reward)|logscore",
    "spherical": r"spherical",
}


def kind_of(name: str) -> Kind:
    """What a reward function of this name is; "unknown" where the name does not tell.

    Args:
        name: of a function, a file or a reward.

    Returns:
        The kind; "format" is a reward for the form of the output.

    Example:
        >>> kind_of("accuracy_reward"), kind_of("brier"), kind_of("my_reward")
        ('correctness', 'scoring', 'unknown')
    """
    low = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    if _IMPROPER.search(low):
        return "improper"
    if _SCORING.search(low):
        return "scoring"
    if _FORMAT.search(low):
        return "format"
    if _CONFIDENCE.search(low):  # whatever it does with a confidence, it is not correctness alone
        return "unknown"
    return "correctness" if _CORRECTNESS.search(low) else "unknown"


def calibration_rule(name: str) -> str | None:
    """The scoring rule that a name stands for, `brier`, `log` or `spherical`; None if none."""
    return next((rule for rule, form in _RULES.items() if re.search(form, name.lower())), None)


def kinds(names: Sequence[str], weights: Sequence[float] | None) -> str | None:
    """The kind of a sum of rewards; None where one of them is unknown.

    Args:
        names: of the rewards.
        weights: of each; None: all 1.

    Returns:
        "improper", "scoring" or "correctness".
    """
    pairs = list(zip(names, weights or [1.0] * len(names), strict=False))
    total = sum(abs(weight) for _, weight in pairs) or 1.0
    found = {kind_of(name) for name, weight in pairs if abs(weight) > 0.01 * total}
    if "improper" in found:
        return "improper"
    if "scoring" in found:
        return "scoring"
    if "unknown" in found or "correctness" not in found:
        return None
    return "correctness"
