"""What an audit found, as plain frozen dataclasses: the report, the terminal and the JSON all read these.

Every number that does not exist is None here and `null` in the JSON: undefined is never 0.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from levelhead._write import plain

__all__ = [
    "SCHEMA_VERSION",
    "AuditResult",
    "Comparison",
    "ComparisonRow",
    "ConfidentError",
    "Histogram",
    "MetricRow",
    "ModelAudit",
    "NullRow",
    "Reliability",
    "RiskCoverage",
    "SensitivityRow",
    "SliceRow",
    "TrustCurve",
    "Verdict",
    "json_text",
    "to_json",
]

SCHEMA_VERSION = "1"
"""Of the JSON file; a change that breaks a reader of it raises this number."""


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """One number: its name in code, its name for people, its value, interval and reading."""

    name: str  # e.g. "ece"
    label: str  # e.g. "Expected calibration error"
    group: str  # "calibration" | "overconfidence" | "scores" | "selective" | "trust"
    reading: (
        str  # "answer" | "event" | "top-label": which (confidence, correct) pair it was computed on
    )
    value: float | None
    low: float | None = None
    high: float | None = None
    better: str | None = None  # "lower" | "higher" | None where neither is better
    parsed: float | None = None  # the same on the parsed records only, where some are not
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The answer in words: a label for machines, a headline and supporting sentences for people."""

    label: (
        str  # "overconfident" | "underconfident" | "miscalibrated" | "calibrated" | "inconclusive"
    )
    headline: str
    sentences: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class NullRow:
    """ECE of a perfectly calibrated model with the same confidences, and what the model has beyond it."""

    expected: float
    quantile_95: float
    excess: float
    p_value: float


@dataclasses.dataclass(frozen=True)
class Reliability:
    """The reliability diagram: one entry per non-empty bin, in order."""

    low: list[float]
    high: list[float]
    count: list[float]
    confidence: list[float]
    accuracy: list[float]
    accuracy_low: list[float]
    accuracy_high: list[float]
    label: str = "accuracy"  # "accuracy" | "frequency of the event"


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How often each confidence is stated, split by what came of it; `edges` has one more entry."""

    edges: list[float]
    right: list[float]
    wrong: list[float]


@dataclasses.dataclass(frozen=True)
class RiskCoverage:
    """Risk (error rate among the answered) when only the most confident share is answered."""

    coverage: list[float]
    risk: list[float]


@dataclasses.dataclass(frozen=True)
class TrustCurve:
    """Trustworthiness over the stakes floor t0, with pointwise intervals."""

    t0: list[float]
    trust: list[float]
    low: list[float | None]
    high: list[float | None]


@dataclasses.dataclass(frozen=True)
class SensitivityRow:
    """The ECE under another binning convention."""

    n_bins: int
    bins: str  # "width" | "mass"
    closed: str  # "right" | "left"
    ece: float


@dataclasses.dataclass(frozen=True)
class SliceRow:
    """One value of one slice column; `damage` ranks them: its share of the
    column's sum of n * |mean confidence - accuracy|."""

    column: str
    value: str
    n: int
    accuracy: float
    confidence: float
    gap: float  # mean confidence - accuracy (top-label reading for events)
    ece: float
    trust: float  # on the answered records
    damage: float
    gap_low: float | None = None
    gap_high: float | None = None


@dataclasses.dataclass(frozen=True)
class ConfidentError:
    """One of the errors with the highest confidence, with what the file says about it."""

    confidence: float
    said: str
    truth: str
    prompt_id: str
    location: str
    prompt: str
    text: str


@dataclasses.dataclass(frozen=True)
class ModelAudit:
    """Everything about one model."""

    name: str
    files: list[str]
    kind: str  # "answer" | "event"
    n_records: int
    n_scored: int
    n_prompts: int | None
    streamed: bool
    status_counts: dict[str, int]
    provenance_counts: dict[str, int]
    n_unlabelled: int
    verdict: Verdict
    metrics: list[MetricRow]
    null: NullRow | None
    reliability: Reliability
    histogram: Histogram
    risk_coverage: RiskCoverage
    trust_curve: TrustCurve
    sensitivity: list[SensitivityRow]
    slices: list[SliceRow]
    confident_errors: list[ConfidentError]
    warnings: list[str]

    def metric(self, name: str) -> MetricRow:
        """The row of that name; KeyError where the audit has none."""
        for row in self.metrics:
            if row.name == name:
                return row
        raise KeyError(name)


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """One metric on the same items under two models; the difference is model minus baseline."""

    name: str
    label: str
    better: str | None
    model_value: float | None
    baseline_value: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    worse: bool | None  # True/False where the interval decides, None where it does not


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A model against the baseline, on the items that both have."""

    model: str
    baseline: str
    n_pairs: int
    n_prompts: int
    paired_by: str
    rows: list[ComparisonRow]
    sentence: str
    n_only_model: int = 0
    n_only_baseline: int = 0


@dataclasses.dataclass(frozen=True)
class AuditResult:
    """One run of `levelhead audit`."""

    models: list[ModelAudit]
    comparisons: list[Comparison]
    convention: dict[str, Any]
    level: float
    n_boot: int
    seed: int
    created: str
    levelhead_version: str
    notes: list[str]
    warnings: list[str] = dataclasses.field(default_factory=list)
    """What the readers found odd in the files, of whichever model."""
    alarms: list[str] = dataclasses.field(default_factory=list)
    """What makes the numbers worthless, such as a calibrator judged on what it was fitted on."""
    schema_version: str = SCHEMA_VERSION


def to_json(result: AuditResult) -> dict[str, Any]:
    """The result as plain JSON types; NaN and infinities become None.

    Args:
        result: what the audit found.

    Returns:
        Nested dicts and lists of strings, numbers, booleans and None.
    """
    return plain(dataclasses.asdict(result))


def json_text(result: AuditResult) -> str:
    """The result as JSON with sorted structure, two spaces, no NaN.

    Args:
        result: what the audit found.

    Returns:
        The text, ending in a newline.
    """
    return json.dumps(to_json(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
