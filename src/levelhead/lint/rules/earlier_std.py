"""A divisor from earlier visits."""

from __future__ import annotations

from levelhead.lint.rules._rule import Rule, where

__all__ = ["RULE"]

RULE = Rule(
    id="earlier-std",
    severity="note",
    sure="measured",
    title="Advantages are divided by the std of earlier visits of their prompt",
    effect="Calibrated where outcomes are drawn anew at each visit. A prompt that keeps its outcome "
    "over several epochs tells it to its own past, and statements drift outwards: an ECE of "
    "0.16 after 50,000 updates in the lab.",
    fixes={"levelhead": "algorithm.estimator: rloo, where prompts come back with the same outcome"},
    probes={"levelhead": "levelhead probe ema_std"},
    references=("docs/theory.md",),
    check=where(
        "advantage",
        lambda kind: kind == "earlier_std",
        "divided by the std of earlier visits of the same prompt",
    ),
)
