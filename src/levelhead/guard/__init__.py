"""Guard: a second model that judges the first one's confidence, and silence with a guarantee.

`fit_guard` learns from predictions whose truth is known what a stated confidence is worth,
`set_threshold` finds what may be answered so that a promised error rate is kept, `apply_guard` puts
both to use on new predictions, and `evaluate` judges them on rows that neither has seen.
"""

from levelhead.guard.drift import CusumResult, DriftCheck, ErrorCusum, ScoreReference, psi
from levelhead.guard.evaluation import Evaluation, Outcome, Overstated, Quality, SliceResult
from levelhead.guard.features import Feature, Features, claim_correct, features
from levelhead.guard.guard import (
    Guard,
    apply_guard,
    evaluate,
    fit_guard,
    load,
    save,
    set_threshold,
)
from levelhead.guard.policy import DECISIONS, Policy
from levelhead.guard.ranking import overconfident, rank_within, shown_confidence
from levelhead.guard.splits import PARTS, split
from levelhead.guard.threshold import (
    Threshold,
    conformal_threshold,
    risk_threshold,
    risk_thresholds_by,
)
from levelhead.guard.verifier import Verifier, fit_verifier

__all__ = [
    "CusumResult",
    "DECISIONS",
    "DriftCheck",
    "ErrorCusum",
    "Evaluation",
    "Feature",
    "Features",
    "Guard",
    "Outcome",
    "Overstated",
    "PARTS",
    "Policy",
    "Quality",
    "ScoreReference",
    "SliceResult",
    "Threshold",
    "Verifier",
    "apply_guard",
    "claim_correct",
    "conformal_threshold",
    "evaluate",
    "features",
    "fit_guard",
    "fit_verifier",
    "load",
    "overconfident",
    "psi",
    "rank_within",
    "risk_threshold",
    "risk_thresholds_by",
    "save",
    "set_threshold",
    "shown_confidence",
    "split",
]
