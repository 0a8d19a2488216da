"""What a rule is, and the checks that rules share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from levelhead.lint.settings import Settings, Tool, Value

__all__ = [
    "SEVERITIES",
    "STRONG",
    "SURE",
    "Check",
    "Hit",
    "Rule",
    "Severity",
    "Sure",
    "blurs",
    "said",
    "spread",
    "unscored",
    "where",
]

Severity = Literal["error", "warning", "note"]
"""How bad it is: calibration is lost; it suffers, or may; worth knowing."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

Sure = Literal["proven", "measured", "reported"]
"""How sure we are."""

SURE: dict[Sure, str] = {
    "proven": "follows from the formulas",
    "measured": "measured by running the tool's own code, or ours",
    "reported": "reported in a paper; not measured here",
}


@dataclasses.dataclass(frozen=True)
class Hit:
    """What a rule found.

    Attributes:
        message: one sentence about this file.
        at: the setting that it is about.
        severity: where it differs from the rule's.
    """

    message: str
    at: Value
    severity: Severity | None = None


Check = Callable[[Settings], Iterator[Hit]]
"""Settings -> what was found."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """One thing that a configuration can do to calibration.

    Attributes:
        id: its name, in lower case with dashes.
        severity: of most of its findings.
        sure: how sure we are of the effect.
        title: a few words.
        effect: what it does to calibration.
        fixes: tool -> what to write there, one line.
        probes: tool -> the command that shows the effect; none where no probe does.
        references: arXiv numbers and the like.
        check: settings -> what was found.
    """

    id: str
    severity: Severity
    sure: Sure
    title: str
    effect: str
    fixes: Mapping[Tool, str]
    check: Check
    probes: Mapping[Tool, str] = dataclasses.field(default_factory=dict)
    references: tuple[str, ...] = ()

    def __call__(self, settings: Settings) -> list[Hit]:
        """What the rule finds in settings."""
        return list(self.check(settings))


def said(value: Value) -> str:
    """A setting as a sentence quotes it: key and text, and whether it is a default."""
    if value.default:
        return f"{value.key} is {value.text} by default"
    if value.key == "AsyncGRPOTrainer":
        return f"{value.key} knows {value.text}"
    return f"{value.key}{' ' if value.key.startswith('--') else '='}{value.text}"


def unscored(settings: Settings) -> bool:
    """Whether the reward is known not to score a stated confidence."""
    return settings.plain("reward_kind") in ("correctness", "model")


def where(field: str, holds: Callable[[Any], bool], says: str) -> Check:
    """A check of one setting: if its value is so, the message is the setting, a colon and `says`."""

    def check(settings: Settings) -> Iterator[Hit]:
        found = settings.get(field)
        if found is not None and holds(found.value):
            yield Hit(f"{said(found)}: {says}", found)

    return check


STRONG = 0.1
"""A spread of statements that is worth knowing."""


def spread(weight: float, form: str = "exp") -> float:
    """The standard deviation of statements around a truth of 1/2 under a penalty.

    exp: pi ~ exp(r / weight), sqrt(weight / 2). reverse: pi = weight / (c - r), c so that it sums to 1.
    The score is Brier's with weight 1, r = -(q - 1/2)^2, and the reference is uniform on [0, 1].

    Args:
        weight: > 0.
        form: "exp", which is as good as normal where the weight is small; or "reverse".

    Returns:
        In the unit of the statements.
    """
    if form == "exp":
        return math.sqrt(weight / 2)
    low, high = 1e-12, 2.0 + weight * 4.0  # of a, where c = a^2
    for _ in range(100):
        a = math.sqrt(low * high)
        total = 2.0 * weight / a * math.atan(0.5 / a)
        low, high = (a, high) if total > 1.0 else (low, a)
    return math.sqrt(max(weight - low * low, 0.0))


def blurs(field: str) -> Check:
    """A check of a weight under which the best policy is proportional to exp(reward / weight)."""

    def check(settings: Settings) -> Iterator[Hit]:
        found = settings.get(field)
        if found is None or found.value <= 0 or unscored(settings):
            return
        if (wide := spread(found.value)) >= STRONG:
            message = "under a Brier score of weight 1, statements keep a spread of"
            yield Hit(f"{said(found)}: {message} {wide:.2f}", found)

    return check
