"""Did training make one way of answering take over, more than neutral drift would?

Sampling noise alone makes formats that are equally good die out. So a collapse counts only where it
beats drift: the same start, steps and samples, with noise as large as the run's own.
"""

from levelhead.diagnose.formats._diagnose import compare_formats, diagnose_formats, section
from levelhead.diagnose.formats._drift import drift_rate, drift_test, neutral_drift
from levelhead.diagnose.formats._measures import (
    collapse_step,
    effective_number,
    entropy,
    jensen_shannon,
    kl_divergence,
    kl_optimum,
    replicator_step,
)
from levelhead.diagnose.formats._rules import RULES, Rule, classify, own_rules
from levelhead.diagnose.formats._words import FormatsResult

__all__ = [
    "RULES",
    "FormatsResult",
    "Rule",
    "classify",
    "collapse_step",
    "compare_formats",
    "diagnose_formats",
    "drift_rate",
    "drift_test",
    "effective_number",
    "entropy",
    "jensen_shannon",
    "kl_divergence",
    "kl_optimum",
    "neutral_drift",
    "own_rules",
    "replicator_step",
    "section",
]
