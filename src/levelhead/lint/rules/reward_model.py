"""A learned reward model."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

RULE = Rule(
    id="reward-model",
    severity="note",
    sure="reported",
    title="A learned reward model judges the answers",
    effect="Reward models are reported to prefer high stated confidence whatever the answer's "
    "quality, and training on them to make verbal confidence worse. Nothing here measures "
    "yours: audit before and after.",
    fixes={
        "trl": "add brier_reward(...) of levelhead.adapters.trl_rewards to reward_funcs",
        "verl": "reward.custom_reward_function.path=FILE with a proper score of the confidence",
        "openrlhf": "--reward.remote_url FILE with a proper score of the confidence",
    },
    references=("arXiv:2410.09724",),
    check=where(
        "reward_kind",
        lambda kind: kind == "model",
        "a learned model judges, and it may prefer confident words",
    ),
)
