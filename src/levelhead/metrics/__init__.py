"""Calibration, overconfidence, selective prediction and trust: functions from arrays to numbers.

Every function takes `confidence` (N,) in [0, 1] and `correct` (N,) in [0, 1] (0 or 1; 0.5 counts
half), optional `weights` (N,), and returns a float or a frozen result. Numpy only, nothing cached.

    >>> from levelhead import metrics
    >>> confidence, correct = [0.9, 0.9, 0.9, 0.6], [1, 0, 1, 0]
    >>> round(metrics.ece(confidence, correct), 6), metrics.accuracy(confidence, correct)
    (0.325, 0.5)

`TABLE` lists the metrics that are one number, with what they declare about themselves.
"""

from __future__ import annotations

# Not lazily: where a function has the name of its file, what `metrics.trust` is would depend on who
# imported the file first.
from levelhead.metrics._table import Metric
from levelhead.metrics.binned import TABLE as _BINNED
from levelhead.metrics.binned import (
    BinnedAccumulator,
    EceExcess,
    EceNull,
    MurphyDecomposition,
    ReliabilityCurve,
    bin_index,
    classwise_ece,
    ece,
    ece_excess_test,
    ece_l2_debiased,
    ece_null,
    mce,
    murphy_decomposition,
    over_ece,
    reliability_curve,
    top_label_ece,
    under_ece,
)
from levelhead.metrics.intervals import (
    Interval,
    PairedDifference,
    bootstrap,
    ece_interval,
    metric_names,
    paired_differences,
    reliability_intervals,
    trust_curve_intervals,
)
from levelhead.metrics.overconfidence import TABLE as _OVERCONFIDENCE
from levelhead.metrics.overconfidence import (
    accuracy,
    confidence_on_errors,
    confident_error_rate,
    errors_at_least,
    mean_confidence,
    overconfidence,
    top_label,
)
from levelhead.metrics.selective import TABLE as _SELECTIVE
from levelhead.metrics.selective import (
    RiskCoverageCurve,
    accuracy_at_coverage,
    augrc,
    aurc,
    auroc,
    coverage_at_risk,
    e_aurc,
    risk_coverage_curve,
)
from levelhead.metrics.tally import Tally
from levelhead.metrics.trust import TABLE as _TRUST
from levelhead.metrics.trust import (
    TrustCurve,
    TrustDecomposition,
    trust,
    trust_curve,
    trust_decomposition,
    trust_score,
)
from levelhead.metrics.unbinned import TABLE as _UNBINNED
from levelhead.metrics.unbinned import (
    CorpDecomposition,
    IsotonicFit,
    SmoothCurve,
    brier,
    brier_skill,
    corp_decomposition,
    isotonic_fit,
    ks_error,
    nll,
    smooth_curve,
    smooth_ece,
)

__all__ = [
    "BinnedAccumulator",
    "CorpDecomposition",
    "EceExcess",
    "EceNull",
    "Interval",
    "IsotonicFit",
    "Metric",
    "MurphyDecomposition",
    "PairedDifference",
    "ReliabilityCurve",
    "RiskCoverageCurve",
    "SmoothCurve",
    "TABLE",
    "Tally",
    "TrustCurve",
    "TrustDecomposition",
    "accuracy",
    "accuracy_at_coverage",
    "augrc",
    "aurc",
    "auroc",
    "bin_index",
    "bootstrap",
    "brier",
    "brier_skill",
    "classwise_ece",
    "confidence_on_errors",
    "confident_error_rate",
    "corp_decomposition",
    "coverage_at_risk",
    "e_aurc",
    "ece",
    "ece_excess_test",
    "ece_interval",
    "ece_l2_debiased",
    "ece_null",
    "errors_at_least",
    "isotonic_fit",
    "ks_error",
    "mce",
    "mean_confidence",
    "metric_names",
    "murphy_decomposition",
    "nll",
    "over_ece",
    "overconfidence",
    "paired_differences",
    "reliability_curve",
    "reliability_intervals",
    "risk_coverage_curve",
    "smooth_curve",
    "smooth_ece",
    "top_label",
    "top_label_ece",
    "trust",
    "trust_curve",
    "trust_curve_intervals",
    "trust_decomposition",
    "trust_score",
    "under_ece",
]

TABLE: tuple[Metric, ...] = (*_BINNED, *_OVERCONFIDENCE, *_SELECTIVE, *_TRUST, *_UNBINNED)
"""Every metric that is one number, in the order of the files."""
