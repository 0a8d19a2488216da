"""What the report says about each metric, for a reader who has never met it."""

from __future__ import annotations

__all__ = ["EXPLANATIONS"]

EXPLANATIONS = {
    "ece": (
        "Records are sorted into bins by stated confidence; in each bin the average confidence is "
        "compared with the share that was right. This is the average distance. 0 is perfect; "
        "chance alone makes it a little more than 0."
    ),
    "over_ece": "The part of the calibration error from bins that promise more than they keep.",
    "under_ece": "The part of the calibration error from bins that keep more than they promise.",
    "mce": "The distance in the worst bin. It is noisy where that bin is small.",
    "smooth_ece": (
        "A calibration error without bins: neighboring confidences are averaged smoothly, so it "
        "does not jump when a bin edge moves."
    ),
    "ks_error": (
        "The largest running total of confidence minus correctness when records are sorted by "
        "confidence. It needs no bins either."
    ),
    "mean_confidence": "What the model claims to be right about, on average.",
    "accuracy": "The share of records that were right. A coin flip (50% on an event) counts half.",
    "overconfidence": (
        "Average confidence minus accuracy. Above 0 it claims too much, below 0 too little. "
        "Errors in both directions cancel here, and do not in the calibration error."
    ),
    "confidence_on_errors": (
        "How sure it sounds when it is wrong. Lower is better, because the reader gets a warning."
    ),
    "errors_at_90": "Of all errors, the share stated with a confidence of 90% or more.",
    "errors_at_99": "Of all errors, the share stated with a confidence of 99% or more.",
    "brier": (
        "The mean squared distance between confidence and what happened. It rewards knowing which "
        "records are right as well as honest confidence. Always saying 50% scores 0.25."
    ),
    "brier_skill": (
        "How much better the Brier score is than always stating the overall accuracy: 1 is "
        "perfect, 0 is no better, below 0 is worse."
    ),
    "nll": (
        "Mean negative logarithm of the probability given to what happened. It punishes confident "
        "errors hard; confidences are limited to 1%–99% first, so that one error cannot cost "
        "infinity."
    ),
    "auroc": (
        "The chance that a right record was stated with more confidence than a wrong one. 0.5 is "
        "no better than chance, 1 is perfect. It does not ask whether the level is honest."
    ),
    "aurc": (
        "The error rate averaged over all shares of records that could be answered, most "
        "confident first."
    ),
    "e_aurc": "The same, beyond what a perfect ordering with this accuracy would have.",
    "accuracy_at_coverage_50": "Accuracy on the most confident half of the records.",
    "accuracy_at_coverage": "Accuracy on the most confident 80% of the records.",
    "accuracy_at_coverage_90": "Accuracy on the most confident 90% of the records.",
    "coverage_at_risk": (
        "The largest share of records that can be answered, most confident first, with at most 5% "
        "of them wrong."
    ),
    "coverage_at_risk_10": "The same with at most 10% of them wrong.",
    "trust": (
        "The average gain of a person who acts on the confidence: a right answer is worth 1, a "
        "wrong one costs more the higher the stakes, silence is worth 0. Averaged over stakes "
        "from 50% up. 1 is perfect; below 0, never asking would have been better."
    ),
    "trust_at_0": "The same, averaged over all stakes: a cheap mistake counts too.",
    "trust_at_75": "The same for stakes from 75% up.",
    "trust_at_90": "The same for stakes from 90% up, where only near certainty should answer.",
}
"""Metric to explanation."""
