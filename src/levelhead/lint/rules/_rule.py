"""What a rule is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from levelhead.lint.settings import Settings, Tool, Value

__all__ = ["SEVERITIES", "SURE", "Hit", "Rule", "Severity", "Sure", "said"]

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
    check: Callable[[Settings], Iterator[Hit]]
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
