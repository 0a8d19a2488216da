"""Malformed output is paid better than an honest answer."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    floor, low = settings.get("format_floor"), settings.plain("reward_least")
    if floor is None or low is None:
        return
    if floor.value > low:
        yield Hit(
            f"{said(floor)} is above {low:.4g}, the worst reward of a well-formed answer", floor
        )


RULE = Rule(
    id="format-floor",
    severity="error",
    sure="proven",
    title="Malformed output can earn more than a well-formed answer",
    effect="A model that expects a bad score does better by breaking the format, and learns to do so"
    " where it is unsure: what is left over looks calibrated.",
    fixes={
        "levelhead": "leave reward.floor out; it is then the worst reward of a well-formed answer"
    },
    references=("docs/theory.md",),
    check=_check,
)
