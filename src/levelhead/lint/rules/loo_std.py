"""Leave-one-out with a standard deviation."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

RULE = Rule(
    id="loo-std",
    severity="error",
    sure="proven",
    title="Leave-one-out advantages are divided by a std",
    effect="Leaving a sample out of its own divisor removes its influence on itself, but the others "
    "share its outcome, so that the divisor still cancels the scoring rule: with a shared "
    "outcome statements end at the extremes. Where every sample has its own outcome it was "
    "measured to be calibrated.",
    fixes={"levelhead": "algorithm.estimator: rloo"},
    probes={"levelhead": "levelhead probe loo_std"},
    references=("NVIDIA-NeMo/RL#1518", "docs/theory.md"),
    check=where(
        "advantage", lambda kind: kind == "loo_std", "divided by the std of the others in the group"
    ),
)
