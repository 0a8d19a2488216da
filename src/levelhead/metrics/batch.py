"""Every metric over all replicates at once: as a function of sums, of bins or of ranks.

A metric is linear in the counts of the rows up to a final formula (a ratio, a sum of absolute
gaps), or reads the weight and the errors accumulated from the most confident row down.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Literal

import numpy as np

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.metrics._ties import harmonic_rise

__all__ = ["METRICS", "SUMS", "Batch", "BatchMetric", "MetricSpec", "parse_metric", "rise_of"]

EPS = 0.01
"""Confidence above 1 - EPS counts as 1 - EPS in the trust score."""

ETA = 0.01
"""Predictions are clipped to [ETA, 1 - ETA] in the log score."""

RISK_TOLERANCE = 1e-9
"""A risk of 3/60 passes a limit of 0.05 whatever the last bit of the division says."""

THRESHOLD_TOLERANCE = 1e-9
"""A confidence of 1 - 0.1 counts as stated at 0.9."""

LONGEST_TABLE = 4_000_000
"""Whole numbers up to here have their harmonic sums in a table."""


# --------------------------------------------------------------------------- sums over units


def _trust(c: FloatArray, y: FloatArray, t0: float) -> FloatArray:
    said = np.minimum(c, 1.0 - EPS)
    score = ((said - t0) + (1.0 - y) * np.log((1.0 - said) / (1.0 - t0))) / (1.0 - t0)
    return np.where(said > t0, score, 0.0)


def _nll(c: FloatArray, y: FloatArray, _: float) -> FloatArray:
    p = np.clip(c, ETA, 1.0 - ETA)
    return -(y * np.log(p) + (1.0 - y) * np.log1p(-p))


SUMS: dict[str, Callable[[FloatArray, FloatArray, float], FloatArray]] = {
    "weight": lambda c, y, _: np.ones_like(c),
    "right": lambda c, y, _: y,
    "wrong": lambda c, y, _: 1.0 - y,
    "confidence": lambda c, y, _: c,
    "gap": lambda c, y, _: c - y,
    "wrong_confidence": lambda c, y, _: (1.0 - y) * c,
    "wrong_at": lambda c, y, t: (1.0 - y) * (c >= t - THRESHOLD_TOLERANCE),
    "brier": lambda c, y, _: y * (1.0 - c) ** 2 + (1.0 - y) * c * c,
    "nll": _nll,
    "trust": _trust,
}
"""Per-row terms, linear in correctness, whose weighted sums the metrics are made of."""


@dataclasses.dataclass
class Batch:
    """One metric's view of B replicates: its sums (B,), its bins (B, M), its ranks (B, J)."""

    sums: dict[str, FloatArray]
    bin_gap: FloatArray
    bin_weight: FloatArray
    cumulative_weight: FloatArray
    cumulative_errors: FloatArray
    rise: Callable[[FloatArray, FloatArray], FloatArray]
    """H(start + width) - H(start) of harmonic numbers H."""
    parameter: float = 0.0


# --------------------------------------------------------------------------- metrics


def _ratio(top: str, bottom: str) -> Callable[[Batch], FloatArray]:
    return lambda b: b.sums[top] / b.sums[bottom]


def _brier_skill(b: Batch) -> FloatArray:
    base = b.sums["right"] * b.sums["wrong"] / b.sums["weight"]
    return np.where(base > 0, 1.0 - b.sums["brier"] / base, np.nan)


def _mce(b: Batch) -> FloatArray:
    gap = np.divide(b.bin_gap, b.bin_weight, out=np.zeros_like(b.bin_gap), where=b.bin_weight > 0)
    return np.abs(gap).max(axis=1)


def _auroc(b: Batch) -> FloatArray:
    errors, weight = b.cumulative_errors, b.cumulative_weight
    n_wrong = errors[:, -1]
    n_right = weight[:, -1] - n_wrong
    right = np.diff(weight - errors, axis=1, prepend=0.0)
    # A right answer wins against the errors below it and half of those at its own confidence.
    middle = errors.copy()
    middle[:, 1:] += errors[:, :-1]
    lost = np.einsum("bj,bj->b", right, middle) / 2.0
    return np.where((n_wrong > 0) & (n_right > 0), 1.0 - lost / (n_right * n_wrong), np.nan)


def _augrc(b: Batch) -> FloatArray:
    weight, errors = b.cumulative_weight, b.cumulative_errors
    both = errors.copy()
    both[:, 1:] += errors[:, :-1]
    area = np.einsum("bj,bj->b", np.diff(weight, axis=1, prepend=0.0), both) / 2.0
    return area / weight[:, -1] ** 2


def _aurc(b: Batch) -> FloatArray:
    errors, weight = b.cumulative_errors, b.cumulative_weight
    before_e = np.concatenate([np.zeros((len(errors), 1)), errors[:, :-1]], axis=1)
    before_w = np.concatenate([np.zeros((len(weight), 1)), weight[:, :-1]], axis=1)
    mass = weight - before_w
    h = b.rise(before_w, mass)
    share = np.divide(errors - before_e, mass, out=np.zeros_like(mass), where=mass > 0)
    # In a tie block risk at k is (E + share (k - K)) / k = share + (E - share K) / k.
    area = np.einsum("bj,bj->b", before_e - share * before_w, h) + errors[:, -1]
    return area / weight[:, -1]


def _e_aurc(b: Batch) -> FloatArray:
    errors, weight = b.cumulative_errors[:, -1:], b.cumulative_weight[:, -1:]
    share = (errors / weight)[:, 0]
    best = share + np.where(share < 1.0, (1.0 - share) * np.log1p(-np.minimum(share, 1.0)), 0.0)
    return np.maximum(_aurc(b) - np.where(share < 1.0, best, 1.0), 0.0)


def _accuracy_at_coverage(b: Batch) -> FloatArray:
    errors, weight = b.cumulative_errors, b.cumulative_weight
    answered = b.parameter * weight[:, -1]
    j = np.minimum((weight < answered[:, None] * (1 - 1e-12)).sum(axis=1), weight.shape[1] - 1)
    row = np.arange(len(weight))
    before_w = np.where(j > 0, weight[row, j - 1], 0.0)
    before_e = np.where(j > 0, errors[row, j - 1], 0.0)
    share = (errors[row, j] - before_e) / (weight[row, j] - before_w)
    return 1.0 - (before_e + share * (answered - before_w)) / answered


def _coverage_at_risk(b: Batch) -> FloatArray:
    errors, weight = b.cumulative_errors, b.cumulative_weight
    fine = (errors <= (b.parameter + RISK_TOLERANCE) * weight) & (weight > 0)
    return np.where(fine, weight, 0.0).max(axis=1) / weight[:, -1]


@dataclasses.dataclass(frozen=True)
class BatchMetric:
    """A metric over replicates: the sums that it reads, or bins or ranks; its parameter."""

    evaluate: Callable[[Batch], FloatArray]
    sums: tuple[str, ...] = ()
    reads: Literal["sums", "bins", "ranks"] = "sums"
    parameter: float | None = None


METRICS: dict[str, BatchMetric] = {
    "ece": BatchMetric(
        lambda b: np.abs(b.bin_gap).sum(axis=1) / b.sums["weight"], ("weight",), "bins"
    ),
    "over_ece": BatchMetric(
        lambda b: np.maximum(b.bin_gap, 0.0).sum(axis=1) / b.sums["weight"], ("weight",), "bins"
    ),
    "under_ece": BatchMetric(
        lambda b: np.maximum(-b.bin_gap, 0.0).sum(axis=1) / b.sums["weight"], ("weight",), "bins"
    ),
    "mce": BatchMetric(_mce, (), "bins"),
    "brier": BatchMetric(_ratio("brier", "weight"), ("brier", "weight")),
    "brier_skill": BatchMetric(_brier_skill, ("brier", "right", "wrong", "weight")),
    "nll": BatchMetric(_ratio("nll", "weight"), ("nll", "weight")),
    "mean_confidence": BatchMetric(_ratio("confidence", "weight"), ("confidence", "weight")),
    "accuracy": BatchMetric(_ratio("right", "weight"), ("right", "weight")),
    "overconfidence": BatchMetric(_ratio("gap", "weight"), ("gap", "weight")),
    "confidence_on_errors": BatchMetric(
        _ratio("wrong_confidence", "wrong"), ("wrong_confidence", "wrong")
    ),
    "errors_at_least": BatchMetric(
        _ratio("wrong_at", "wrong"), ("wrong_at", "wrong"), parameter=0.9
    ),
    "confident_error_rate": BatchMetric(
        _ratio("wrong_at", "weight"), ("wrong_at", "weight"), parameter=0.9
    ),
    "auroc": BatchMetric(_auroc, (), "ranks"),
    "aurc": BatchMetric(_aurc, (), "ranks"),
    "e_aurc": BatchMetric(_e_aurc, (), "ranks"),
    "augrc": BatchMetric(_augrc, (), "ranks"),
    "accuracy_at_coverage": BatchMetric(_accuracy_at_coverage, (), "ranks", 0.8),
    "coverage_at_risk": BatchMetric(_coverage_at_risk, (), "ranks", 0.05),
    "trust": BatchMetric(_ratio("trust", "weight"), ("trust", "weight"), parameter=0.5),
}
"""Metrics that the engine evaluates on all replicates at once."""


ALIASES = {"errors_at": "errors_at_least", "trust_at": "trust"}
"""Stems of the names with a percentage at the end, such as `errors_at_90`, in the metric tables."""


@dataclasses.dataclass(frozen=True)
class MetricSpec:
    """A metric of the table with its parameter."""

    name: str
    metric: BatchMetric
    parameter: float


def parse_metric(text: str) -> MetricSpec:
    """A metric of the table by name; `"trust@0.75"` or `"trust_at_75"` with a parameter."""
    name, at, value = text.partition("@")
    percent = re.fullmatch(r"(.+?)_(\d\d?)", text)
    if percent and ALIASES.get(percent[1], percent[1]) in METRICS:
        name, at, value = ALIASES.get(percent[1], percent[1]), "@", str(int(percent[2]) / 100)
    if name not in METRICS:
        raise unknown_name("metric", name, METRICS)
    metric = METRICS[name]
    if not at:
        return MetricSpec(name, metric, 0.0 if metric.parameter is None else metric.parameter)
    if metric.parameter is None:
        raise InvalidInputError(f"metric: expected {name!r} without a parameter, got {text!r}")
    try:
        parameter = float(value)
    except ValueError as error:
        raise InvalidInputError(f"metric: expected a number after @, got {text!r}") from error
    top = parameter < 1.0 if name == "trust" else parameter <= 1.0
    if parameter < 0.0 or not top or (name == "accuracy_at_coverage" and parameter == 0.0):
        raise InvalidInputError(f"metric: expected a parameter inside (0, 1), got {text!r}")
    return MetricSpec(name, metric, parameter)


def rise_of(whole_up_to: int | None) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Rises of harmonic numbers: looked up where weights are whole and few, else from digamma."""
    if whole_up_to is None or whole_up_to > LONGEST_TABLE:
        return harmonic_rise
    table = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, whole_up_to + 1))])

    def look_up(start: FloatArray, width: FloatArray) -> FloatArray:
        first, last = np.rint(start).astype(np.int64), np.rint(start + width).astype(np.int64)
        if last.size and last.max() >= table.size:
            return harmonic_rise(start, width)
        return table[last] - table[first]

    return look_up
