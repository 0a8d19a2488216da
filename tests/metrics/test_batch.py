"""Every metric over replicates equals the public function on the replicate's rows."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from levelhead import metrics
from levelhead.errors import InvalidInputError
from levelhead.metrics import resample
from levelhead.metrics._accumulate import BinRule
from levelhead.metrics.batch import METRICS, parse_metric, rise_of
from levelhead.metrics.resample import Plan, Rows

TOLERANCE = 1e-11
p = functools.partial
PUBLIC = {
    "ece": metrics.ece,
    "over_ece": metrics.over_ece,
    "under_ece": metrics.under_ece,
    "mce": metrics.mce,
    "brier": metrics.brier,
    "brier_skill": metrics.brier_skill,
    "nll": metrics.nll,
    "mean_confidence": metrics.mean_confidence,
    "accuracy": metrics.accuracy,
    "overconfidence": metrics.overconfidence,
    "confidence_on_errors": metrics.confidence_on_errors,
    "errors_at_least": metrics.errors_at_least,
    "errors_at_99": p(metrics.errors_at_least, threshold=0.99),
    "confident_error_rate": metrics.confident_error_rate,
    "confident_error_rate@0.6": p(metrics.confident_error_rate, threshold=0.6),
    "auroc": metrics.auroc,
    "aurc": metrics.aurc,
    "e_aurc": metrics.e_aurc,
    "augrc": metrics.augrc,
    "accuracy_at_coverage": metrics.accuracy_at_coverage,
    "accuracy_at_coverage_50": p(metrics.accuracy_at_coverage, coverage=0.5),
    "coverage_at_risk": metrics.coverage_at_risk,
    "coverage_at_risk@0.4": p(metrics.coverage_at_risk, risk=0.4),
    "trust": metrics.trust,
    "trust_at_75": p(metrics.trust, t0=0.75),
    "trust@0": p(metrics.trust, t0=0.0),
}


def samples():
    rng = np.random.default_rng(3)
    arbitrary = rng.random(40)
    coarse = np.round(rng.random(60), 1)
    coarse[:4] = [0.1 * 3, 0.0, 1.0, 1.0]
    for c in (arbitrary, coarse):
        y = (rng.random(c.size) < c).astype(float)
        half = np.where(rng.random(c.size) < 0.2, 0.5, y)
        yield c, y, None, None
        yield c, half, None, None
        yield c, y, rng.integers(0, 3, c.size).astype(float), None
        yield c, half, rng.random(c.size), None
        yield c, y, None, rng.integers(0, 9, c.size)
        yield c, half, rng.random(c.size), rng.integers(0, 9, c.size)
    yield np.array([0.7, 0.7, 0.9]), np.ones(3), None, None
    yield np.array([0.7, 0.7, 0.9]), np.zeros(3), None, None


def test_the_table_is_covered():
    assert {parse_metric(name).name for name in PUBLIC} == set(METRICS)


@pytest.mark.parametrize(
    ("closed", "way"), [("right", "dense"), ("left", "rows"), ("right", "cells")]
)
def test_replicates_equal_the_public_functions_on_repeated_rows(closed, way, monkeypatch):
    if way != "dense":
        monkeypatch.setattr(resample, "DENSE", 0)
        monkeypatch.setattr(resample, "ROWS_PER_CELL", 0 if way == "cells" else 10**9)
    rng = np.random.default_rng(4)
    for c, y, w, group in samples():
        n_clusters = 0 if group is None else int(group.max()) + 1
        specs = [parse_metric(name) for name in PUBLIC]
        rows = Rows.of(c, y, w, group, n_clusters)
        plan = Plan(rows, specs, rule=BinRule(10, closed))
        counts = next(plan.draw(rng, 4))
        got = plan.evaluate(counts)
        for b in range(4):
            if group is None:  # the rows of the plan are distinct rows: find each one's count
                key = {
                    k: counts[b, i]
                    for i, k in enumerate(
                        zip(rows.confidence, rows.correct, rows.weight, strict=True)
                    )
                }
                ones = np.ones(c.size) if w is None else w
                share = [key[k] for k in zip(c, y, ones, strict=True)]
                total = [rows.times[list(key).index(k)] for k in zip(c, y, ones, strict=True)]
                times = np.array(share) / np.array(total)
            else:
                times = counts[b, group]
            weights = times * (1.0 if w is None else w)
            for i, (name, function) in enumerate(PUBLIC.items()):
                extra = (
                    {"closed": closed} if name in ("ece", "over_ece", "under_ece", "mce") else {}
                )
                want = function(c, y, weights=weights, **extra) if weights.any() else np.nan
                assert got[b, i] == pytest.approx(want, abs=TOLERANCE, nan_ok=True), (name, c, y, w)


def test_a_share_that_ends_with_a_tie_block_or_with_all_that_was_drawn():
    c = np.repeat([0.9, 0.6, 0.2], [4, 4, 2])
    y = np.array([1.0, 1, 1, 0, 1, 0, 0, 0, 0, 1])
    names = ["accuracy_at_coverage@0.4", "accuracy_at_coverage@0.8", "accuracy_at_coverage@1"]
    plan = Plan(Rows.of(c, y, None), [parse_metric(name) for name in names], rule=BinRule())
    np.testing.assert_allclose(plan.evaluate(plan.observed)[0], [3 / 4, 4 / 8, 5 / 10])
    without_last = plan.observed
    without_last[0, plan.rows.confidence == 0.2] = 0.0  # what no resample holds bounds no share
    np.testing.assert_allclose(plan.evaluate(without_last)[0], [3 / 4, 3.6 / 6.4, 4 / 8])


def test_rises_of_harmonic_numbers():
    start, width = np.array([[0.0, 3.0]]), np.array([[3.0, 2.0]])
    want = [[1 + 1 / 2 + 1 / 3, 1 / 4 + 1 / 5]]
    for limit in (None, 10, 4):
        np.testing.assert_allclose(rise_of(limit)(start, width), want, rtol=1e-14)


def test_names():
    assert parse_metric("trust@0.75").parameter == parse_metric("trust_at_75").parameter == 0.75
    assert parse_metric("errors_at_90").name == "errors_at_least"
    assert parse_metric("auroc").parameter == 0.0
    for text, message in (
        ("aurok", "metric: expected one of .*did you mean 'auroc'"),
        ("auroc@0.5", "metric: expected 'auroc' without a parameter, got 'auroc@0.5'"),
        ("trust@x", "metric: expected a number after @, got 'trust@x'"),
        ("trust@1", r"metric: expected a parameter inside \(0, 1\), got 'trust@1'"),
        ("errors_at_least@1.5", r"inside \(0, 1\), got 'errors_at_least@1.5'"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            parse_metric(text)
