"""What a confidence that is not there counts as."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

ASSERTED = 0.9
"""Smallest stand-in for a claim of certainty."""

RULE = Rule(
    id="missing-confidence",
    severity="error",
    sure="proven",
    title="A missing confidence counts as a low one",
    effect="A wrong answer that states nothing gets the score of one that warned of itself (a "
    "perfect Brier score at 0), so that saying nothing is the best policy for hard questions."
    " An assertion without a hedge claims certainty: count it as 0.99, and report the share.",
    fixes={"verl": "+reward.custom_reward_function.reward_kwargs.missing_confidence=0.99"},
    references=("arXiv:2507.16806",),
    check=where(
        "missing_confidence",
        lambda value: value < ASSERTED,
        "an answer without a confidence counts as if it had doubted itself",
    ),
)
