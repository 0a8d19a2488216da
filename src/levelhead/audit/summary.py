"""One model's audit: every number with its interval, the verdict, the curves and the slices."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

import levelhead
from levelhead._arrays import FloatArray
from levelhead.audit.compare import METRICS, compare
from levelhead.audit.convention import Convention
from levelhead.audit.model_records import ModelRecords, Rows
from levelhead.audit.remarks import nothing_to_score, warnings_about
from levelhead.audit.result import (
    AuditResult,
    Comparison,
    Histogram,
    MetricRow,
    ModelAudit,
    NullRow,
    Reliability,
    RiskCoverage,
    SensitivityRow,
    TrustCurve,
)
from levelhead.audit.slices import summarize_slices
from levelhead.audit.verdict import verdict
from levelhead.errors import InvalidInputError, RecordError
from levelhead.metrics.binned import ece, reliability_curve
from levelhead.metrics.intervals import (
    Interval,
    bootstrap,
    ece_interval,
    reliability_intervals,
    trust_curve_intervals,
)
from levelhead.metrics.nulls import ece_excess_test
from levelhead.metrics.selective import risk_coverage_curve
from levelhead.metrics.trust import trust

__all__ = ["AUDITED", "audit", "summarize"]

AUDITED = (
    "ece", "over_ece", "under_ece", "mce", "smooth_ece", "ks_error",
    "mean_confidence", "accuracy", "overconfidence", "confidence_on_errors",
    "errors_at_90", "errors_at_99",
    "brier", "brier_skill", "nll",
    "auroc", "aurc", "e_aurc",
    "accuracy_at_coverage_50", "accuracy_at_coverage", "accuracy_at_coverage_90",
    "coverage_at_risk", "coverage_at_risk_10",
    "trust", "trust_at_0", "trust_at_75", "trust_at_90",
)  # fmt: skip
"""Metrics of a report, in the order of its table."""

BINNED = ("ece", "over_ece", "under_ece", "mce")
"""Metrics that the convention's binning changes."""

NO_INTERVAL = ("smooth_ece", "ks_error")
"""Their bootstrap costs seconds and, near zero, covers nothing; the ECE carries the interval."""

STAKES = tuple(np.round(np.linspace(0.0, 0.95, 20), 2))
"""The stakes floors t0 of the trust curve."""

CURVE_POINTS = 200


def audit(
    models: Sequence[ModelRecords],
    convention: Convention,
    *,
    baseline: ModelRecords | None = None,
    pairs: Sequence[tuple[ModelRecords, ModelRecords]] | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
    alarms: Sequence[str] = (),
    on_step: Callable[[str], None] = lambda step: None,
) -> AuditResult:
    """Audit every model and compare each with the baseline.

    Args:
        models: at least one; the baseline is audited as well and comes first.
        convention: binning and how a missing confidence counts.
        baseline: what every model is compared with; with several models and no baseline the first
            model is the baseline.
        pairs: which models to compare with which instead, all of them among the models.
        n_boot: bootstrap replicates, at least 100.
        level: of the intervals, in (0, 1).
        seed: of every random number; the same seed gives the same report.
        notes: what the readers decided, for the report.
        warnings: what the readers found odd, for the report.
        alarms: what makes the numbers worthless, for the top of the report.
        on_step: called with a line about each step as it begins.

    Returns:
        Everything that the report, the terminal and the JSON show.

    Raises:
        InvalidInputError: no models, or `n_boot` or `level` out of range.
        RecordError: a model has no record that can be scored.
    """
    if not models and baseline is None:
        raise InvalidInputError("models: expected at least one model, got none")
    if n_boot < 100:
        raise InvalidInputError(f"n_boot: expected at least 100 replicates, got {n_boot}")
    if not 0.0 < level < 1.0:
        raise InvalidInputError(f"level: expected a value in (0, 1) such as 0.95, got {level}")
    everyone = [*([baseline] if baseline is not None else []), *models]
    _name_apart(everyone)
    summaries = []
    for records in everyone:
        on_step(f"auditing {records.name}")
        summaries.append(summarize(records, convention, n_boot=n_boot, level=level, seed=seed))
    comparisons: list[Comparison] = []
    said = list(notes)
    compared = [(one, everyone[0]) for one in everyone[1:]] if pairs is None else pairs
    for records, other in compared:
        on_step(f"comparing {records.name} with {other.name}")
        try:
            comparisons.append(
                compare(records, other, convention, n_boot=n_boot, level=level, seed=seed)
            )
        except InvalidInputError as error:
            if baseline is not None:
                raise
            said.append(f"no comparison: {error}")
    return AuditResult(
        models=summaries,
        comparisons=comparisons,
        convention=dataclasses.asdict(convention),
        level=level,
        n_boot=n_boot,
        seed=seed,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        levelhead_version=levelhead.__version__,
        notes=said,
        warnings=list(warnings),
        alarms=list(alarms),
    )


def _name_apart(models: Sequence[ModelRecords]) -> None:
    """Models of one name are told apart by the folder of their files, or else by a number."""
    taken: set[str] = set()
    names = [records.name for records in models]
    for records in models:
        if names.count(records.name) > 1 and records.files:
            records.name = f"{Path(records.files[0]).parent.name}/{records.name}"
    for records in models:
        name, k = records.name, 2
        while name in taken:
            name, k = f"{records.name} ({k})", k + 1
        records.name = name
        taken.add(name)


def summarize(
    records: ModelRecords,
    convention: Convention,
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> ModelAudit:
    """The audit of one model.

    Args:
        records: what was read of it.
        convention: binning and how a missing confidence counts.
        n_boot: bootstrap replicates.
        level: of the intervals.
        seed: of every random number.

    Returns:
        The summary.

    Raises:
        RecordError: no record can be scored.
    """
    rows = records.rows()
    if rows.confidence.size == 0:
        raise RecordError(nothing_to_score(records), records.files[0] if records.files else None)
    event = records.kind == "event"
    top = rows.top_label() if event else rows
    n_scored = int(rows.confidence.size) if records.tally is None else records.tally.n
    metrics = _metric_rows(records, convention, n_boot=n_boot, level=level, seed=seed)
    by_name = {row.name: row for row in metrics}
    null = _null(rows, convention, by_name["ece"].value, n_boot=n_boot, seed=seed)
    sensitivity = _sensitivity(records, rows)
    n_prompts = None if rows.clusters is None else len(np.unique(rows.clusters))
    summary = ModelAudit(
        name=records.name,
        files=records.files,
        kind=records.kind,
        n_records=records.n_records,
        n_scored=n_scored,
        n_prompts=n_prompts,
        streamed=records.streamed,
        status_counts=records.status_counts,
        provenance_counts=records.provenance_counts,
        n_unlabelled=records.n_unlabelled,
        verdict=verdict(
            by_name,
            null,
            n_scored,
            kind=records.kind,
            asserted=records.n_asserted if convention.missing == "assert" else 0,
        ),
        metrics=metrics,
        null=null,
        reliability=_reliability(rows, convention, event, level),
        histogram=_histogram(rows, event),
        risk_coverage=_risk_coverage(top),
        trust_curve=_trust_curve(records.trust_rows(), n_boot=n_boot, level=level, seed=seed),
        sensitivity=sensitivity,
        slices=summarize_slices(records, convention, level),
        confident_errors=records.confident_errors,
        warnings=[],
    )
    return dataclasses.replace(summary, warnings=warnings_about(summary, records, convention))


@dataclasses.dataclass(frozen=True)
class _View:
    """Some metrics and the rows they are computed on."""

    reading: str
    names: tuple[str, ...]
    rows: Rows
    parsed: Rows | None


def _views(records: ModelRecords) -> list[_View]:
    """Which metric reads the records in which way; Trust has rows of its own where some refused."""
    event = records.kind == "event"
    partly = any(status not in ("ok", "refusal") for status in records.status_counts)
    rows, parsed = records.rows(), records.rows("parsed") if partly else None
    partly = partly and parsed is not None and parsed.confidence.size > 0
    parsed = parsed if partly else None
    top = [part.top_label() if event and part is not None else part for part in (rows, parsed)]
    claims = [n for n in AUDITED if not event or METRICS[n].event_reading == "top-label"]
    reading = "top-label" if event else "answer"
    out = []
    if event:
        events = tuple(n for n in AUDITED if METRICS[n].event_reading == "event")
        out.append(_View("event", events, rows, parsed))
    if records.n_refusals:
        trusts = tuple(n for n in claims if METRICS[n].group == "trust")
        claims = [n for n in claims if n not in trusts]
        trusted = records.trust_rows("parsed") if partly else None
        out.append(_View(reading, trusts, records.trust_rows(), trusted))
    out.append(_View(reading, tuple(claims), top[0] or rows, top[1]))
    return out


def _metric_rows(
    records: ModelRecords, convention: Convention, *, n_boot: int, level: float, seed: int
) -> list[MetricRow]:
    found: dict[str, MetricRow] = {}
    for view in _views(records):
        intervals = (
            _intervals(view, convention, n_boot=n_boot, level=level, seed=seed)
            if view.rows.resamples
            else {}
        )
        for name in view.names:
            metric, interval = METRICS[name], intervals.get(name)
            found[name] = MetricRow(
                name=name,
                label=metric.label,
                group=metric.group,
                reading=view.reading,
                value=_value(name, view.rows, convention),
                low=None if interval is None else _finite(interval.low),
                high=None if interval is None else _finite(interval.high),
                better=metric.better,
                parsed=None if view.parsed is None else _value(name, view.parsed, convention),
            )
    return _undecided([found[name] for name in AUDITED], _units(records.rows()), level)


def _intervals(
    view: _View, convention: Convention, *, n_boot: int, level: float, seed: int
) -> dict[str, Interval]:
    c, y, names = view.rows.confidence, view.rows.correct, view.names
    drawn = {"level": level, "seed": seed, **view.rows.resampling}
    resampled = [name for name in names if name not in NO_INTERVAL]
    out = bootstrap(c, y, resampled, n_boot=n_boot, **drawn, **convention.binning)
    if "ece" in names:
        out["ece"] = ece_interval(c, y, **drawn, **convention.binning)
    return out


def _units(rows: Rows) -> float:
    """How many independent units the rows hold: prompts, or the rows themselves."""
    if rows.clusters is not None:
        return float(np.unique(rows.clusters).size)
    if rows.counted and rows.weights is not None:
        return float(rows.weights.sum())
    return float(rows.confidence.size)


def _undecided(metrics: list[MetricRow], units: float, level: float) -> list[MetricRow]:
    """Intervals that resampling cannot give: none from one unit; Wilson's where all are right or wrong.

    A sample of 18 wrong answers resamples to 18 wrong answers, which says nothing about the next one.
    """
    if units < 2:
        return [dataclasses.replace(row, low=None, high=None) for row in metrics]
    by_name = {row.name: row for row in metrics}
    right = by_name["accuracy"].value
    if right not in (0.0, 1.0):
        return metrics
    z = NormalDist().inv_cdf(0.5 + level / 2.0) ** 2
    low, high = (0.0, z / (units + z)) if right == 0.0 else (units / (units + z), 1.0)
    says = by_name["mean_confidence"].value or 0.0
    wilson = {"accuracy": (low, high), "overconfidence": (says - high, says - low)}
    return [
        dataclasses.replace(row, low=wilson[row.name][0], high=wilson[row.name][1])
        if row.name in wilson
        else row
        for row in metrics
    ]


def _value(name: str, rows: Rows, convention: Convention) -> float | None:
    choices: dict[str, Any] = {}
    if name in BINNED:
        choices = convention.binning
    function = METRICS[name].function
    return _finite(function(rows.confidence, rows.correct, weights=rows.weights, **choices))


def _null(
    rows: Rows, convention: Convention, value: float | None, *, n_boot: int, seed: int
) -> NullRow | None:
    if value is None or not rows.resamples:
        return None
    excess = ece_excess_test(
        rows.confidence,
        rows.correct,
        **convention.binning,
        **rows.resampling,
        n_draws=n_boot,
        seed=seed,
    )
    return NullRow(excess.expected, excess.quantile_95, excess.excess, excess.p_value)


def _reliability(rows: Rows, convention: Convention, event: bool, level: float) -> Reliability:
    c, y = rows.confidence, rows.correct
    curve = reliability_curve(c, y, weights=rows.weights, **convention.binning)
    if rows.resamples:
        low, high = reliability_intervals(
            c, y, level=level, **rows.resampling, **convention.binning
        )
    else:
        low = high = np.full(curve.weight.size, np.nan)
    return Reliability(
        low=curve.low.tolist(),
        high=curve.high.tolist(),
        count=curve.weight.tolist(),
        confidence=curve.confidence.tolist(),
        accuracy=curve.accuracy.tolist(),
        accuracy_low=low.tolist(),
        accuracy_high=high.tolist(),
        label="frequency of the event" if event else "accuracy",
    )


def _histogram(rows: Rows, event: bool) -> Histogram:
    edges = np.round(np.linspace(0.0, 1.0, 21), 2)
    cell = np.clip(np.ceil(rows.confidence * 20 - 1e-9).astype(np.int64) - 1, 0, 19)
    weights = np.ones(rows.confidence.size) if rows.weights is None else rows.weights
    right = np.bincount(cell, weights * rows.correct, minlength=20)
    wrong = np.bincount(cell, weights * (1.0 - rows.correct), minlength=20)
    return Histogram(edges.tolist(), right.tolist(), wrong.tolist())


def _risk_coverage(top: Rows) -> RiskCoverage:
    curve = risk_coverage_curve(top.confidence, top.correct, weights=top.weights)
    if curve.coverage.size > CURVE_POINTS:
        keep = np.unique(np.linspace(0, curve.coverage.size - 1, CURVE_POINTS).astype(np.int64))
        return RiskCoverage(curve.coverage[keep].tolist(), curve.risk[keep].tolist())
    return RiskCoverage(curve.coverage.tolist(), curve.risk.tolist())


def _trust_curve(top: Rows, *, n_boot: int, level: float, seed: int) -> TrustCurve:
    values = [trust(top.confidence, top.correct, t0=t0, weights=top.weights) for t0 in STAKES]
    ends: list[tuple[float | None, float | None]] = [(None, None)] * len(STAKES)
    if top.resamples:
        intervals = trust_curve_intervals(
            top.confidence,
            top.correct,
            STAKES,
            n_boot=n_boot,
            level=level,
            seed=seed,
            **top.resampling,
        )
        ends = [(_finite(one.low), _finite(one.high)) for one in intervals]
    return TrustCurve(
        t0=[float(t) for t in STAKES],
        trust=[float(v) for v in values],
        low=[low for low, _ in ends],
        high=[high for _, high in ends],
    )


def _sensitivity(records: ModelRecords, rows: Rows) -> list[SensitivityRow]:
    out = []
    exact = records.tally is None or records.tally.exact
    for bins in ("width", "mass"):
        for n_bins in (10, 15, 20):
            for closed in ("right", "left") if bins == "width" else ("right",):
                if closed == "left" and not exact:
                    continue  # a tally cell does not remember which of its values lay on an edge
                value = ece(
                    rows.confidence,
                    rows.correct,
                    n_bins=n_bins,
                    bins=bins,
                    closed=closed,
                    weights=rows.weights,
                )
                out.append(SensitivityRow(n_bins, bins, closed, float(value)))
    return out


def _finite(value: float | FloatArray) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
