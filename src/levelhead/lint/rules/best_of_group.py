"""Only the best sample of a group is paid."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

RULE = Rule(
    id="best-of-group",
    severity="error",
    sure="measured",
    title="Only the best sample of a group is paid",
    effect="It raises the expected best of k, not the expected score, and is not meant to be "
    "calibrated: with a shared outcome the policy splits between both ends of the scale, with"
    " independent ones it ends at 0.02 and 0.98.",
    fixes={
        "verl": "algorithm.adv_estimator=rloo",
        "levelhead": "algorithm.estimator: rloo",
    },
    probes={"verl": "levelhead probe verl:grpo_passk", "levelhead": "levelhead probe max_at_k"},
    references=("arXiv:2503.19595", "docs/leaderboard.md"),
    check=where(
        "advantage",
        lambda kind: kind == "best_of_group",
        "only the best sample of a group has an advantage",
    ),
)
