"""Shares of a softmax over a group."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("advantage")
    if found is not None and found.value == "softmax":
        yield Hit(f"{said(found)}: samples compete for shares of a softmax over their group", found)


RULE = Rule(
    id="softmax-scores",
    severity="warning",
    sure="measured",
    title="Advantages are shares of a softmax over the group",
    effect="Calibrated with a shared outcome at a temperature of 1 or more. Where each sample has "
    "its own outcome (is my answer right?) it ends at the extremes, and so it does as the "
    "temperature falls.",
    fixes={"levelhead": "algorithm.estimator: rloo"},
    probes={"levelhead": "levelhead probe pl_softmax --groups independent"},
    references=("docs/leaderboard.md",),
    check=_check,
)
