"""A score whose best statement is not the truth."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

RULE = Rule(
    id="improper-reward",
    severity="error",
    sure="proven",
    title="The confidence is scored by an improper rule",
    effect="The best statement under a linear score is 0 or 1, never the truth between them; a "
    "reward for confidence itself is best at 1; one class weighted kappa times moves the best"
    " statement to p / (p + kappa (1 - p)). No estimator can repair that.",
    fixes={
        "trl": "reward_funcs=[brier_reward(...)] from levelhead.adapters.trl_rewards",
        "verl": "a custom_reward_function with -(confidence - correct) ** 2",
        "openrlhf": "--reward.remote_url FILE with -(confidence - correct) ** 2",
        "levelhead": "reward.rule: brier",
    },
    references=("docs/theory.md", "Gneiting and Raftery 2007"),
    check=where(
        "reward_kind",
        lambda kind: kind == "improper",
        "by its name this pays for confidence as such",
    ),
)
