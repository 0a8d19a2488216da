"""A loss averaged over all tokens of a batch."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

RULE = Rule(
    id="token-mean",
    severity="note",
    sure="measured",
    title="The loss is averaged over all tokens of a batch",
    effect="Fair within a batch, but a batch that contains a long answer counts less: the long wrong"
    " one of 100 tokens is 1.38 times as likely as the one of 10 in batches of 8 sequences "
    "and 1.09 times in batches of 32. It is the default of verl and TRL.",
    fixes={
        "trl": 'loss_type="dr_grpo"',
        "verl": "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum-norm",
        "openrlhf": "larger batches; it has no constant divisor",
        "levelhead": "algorithm.aggregation: seq-sum-constant",
    },
    probes={
        "trl": "levelhead probe trl:loss:dapo",
        "verl": "levelhead probe verl:loss:token-mean",
        "openrlhf": "levelhead probe loss:token_mean",
        "levelhead": "levelhead probe loss:token_mean",
    },
    references=("docs/leaderboard.md",),
    check=where(
        "aggregation", lambda mode: mode == "token_mean", "batches with long answers count less"
    ),
)
