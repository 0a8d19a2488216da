"""A loss divided by each sequence's own length."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

RULE = Rule(
    id="length-mean",
    severity="warning",
    sure="measured",
    title="Each sequence's loss is divided by its own length",
    effect="Long wrong answers are punished less per token than short ones: with one of 100 tokens "
    "and one of 10, the long one is 2.52 times as likely by the time the right answer has "
    "0.9.",
    fixes={
        "trl": 'loss_type="dr_grpo"',
        "verl": "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum-norm",
        "openrlhf": "--actor.loss_agg_mode token-mean; it has no constant divisor",
        "levelhead": "algorithm.aggregation: seq-sum-constant",
    },
    probes={
        "trl": "levelhead probe trl:loss:grpo",
        "verl": "levelhead probe verl:loss:seq-mean-token-mean",
        "openrlhf": "levelhead probe loss:seq_mean_token_mean",
        "levelhead": "levelhead probe loss:seq_mean_token_mean",
    },
    references=("arXiv:2503.20783", "docs/leaderboard.md"),
    check=where(
        "aggregation",
        lambda mode: mode == "sequence_mean",
        "a sequence's loss is divided by its own length",
    ),
)
