"""Rewards normalized twice."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

RULE = Rule(
    id="double-std",
    severity="error",
    sure="measured",
    title="Rewards are normalized in their group and again over the batch",
    effect="The first division is that of group-std and drives statements to the extremes (with a "
    "shared outcome to 0.01 and 0.99); the second is a change of the learning rate. Where "
    "each sample has an outcome of its own they end at 0.01 to 0.06 and 0.92 to 0.99. No "
    "other switch turns the first off.",
    fixes={
        "trl": 'multi_objective_aggregation="sum_then_normalize", scale_rewards="none"',
        "verl": "algorithm.adv_estimator=rloo",
    },
    probes={"trl": "levelhead probe trl:normalize_then_sum", "verl": "levelhead probe verl:gdpo"},
    references=("docs/leaderboard.md", "axon-rl/gem#113"),
    check=where(
        "advantage",
        lambda kind: kind == "double_std",
        "divided by the std of the group, then by that of the batch",
    ),
)
