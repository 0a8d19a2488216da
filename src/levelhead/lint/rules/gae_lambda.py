"""GAE with lambda below 1."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

RULE = Rule(
    id="gae-lambda",
    severity="note",
    sure="proven",
    title="GAE with lambda below 1",
    effect="The gradient is unbiased for any critic only at lambda = 1; below, errors of the critic "
    "enter it. Where the reward comes at the end, as a score does, the critic has to be right"
    " about probabilities before the policy can be.",
    fixes={
        "verl": "algorithm.lam=1.0",
        "openrlhf": "--algo.advantage.lambd 1",
        "levelhead": "algorithm.critic.lam: 1.0",
    },
    references=("arXiv:1506.02438",),
    check=where("gae_lambda", lambda value: value < 1, "advantages lean on the critic"),
)
