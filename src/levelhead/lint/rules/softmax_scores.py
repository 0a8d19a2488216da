"""Shares of a softmax over a group."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

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
    check=where(
        "advantage",
        lambda kind: kind == "softmax",
        "samples compete for shares of a softmax over their group",
    ),
)
