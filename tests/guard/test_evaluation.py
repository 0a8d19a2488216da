"""The numbers of an evaluation, by hand, by enumeration, and against scipy and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from levelhead import metrics
from levelhead.errors import InvalidInputError
from levelhead.guard.evaluation import (
    Outcome,
    curve_of,
    error_interval,
    outcome_of,
    quality_of,
    slice_results,
    verdict_of,
)
from levelhead.guard.features import features
from levelhead.guard.guard import evaluate, fit_guard, set_threshold
from levelhead.guard.policy import ABSTAIN, ANSWER, DECISIONS, ESCALATE, Policy
from levelhead.guard.threshold import risk_thresholds_by
from levelhead.records import Predictions

EXACT = 1e-12
NAN = math.nan


@pytest.mark.parametrize(("e", "n"), [(0, 1), (0, 17), (3, 17), (17, 17), (40, 400)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_is_scipys_exact_one(e: int, n: int, level: float) -> None:
    exact = stats.binomtest(e, n).proportion_ci(level, method="exact")
    assert error_interval(e, n, level) == pytest.approx((exact.low, exact.high), abs=1e-12)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
def test_the_interval_covers_the_true_rate(rate: float) -> None:
    """All outcomes of 60 trials, enumerated: each tail misses with at most 2.5%."""
    ends = [error_interval(e, 60) for e in range(61)]
    p = stats.binom.pmf(np.arange(61), 60, rate)
    assert sum(q for q, (low, _) in zip(p, ends, strict=True) if low > rate) <= 0.025
    assert sum(q for q, (_, high) in zip(p, ends, strict=True) if high < rate) <= 0.025


def test_an_interval_of_nothing() -> None:
    assert all(math.isnan(end) for end in error_interval(0, 0))
    with pytest.raises(InvalidInputError, match="n_errors: expected 0 to 3, got 4"):
        error_interval(4, 3)
    with pytest.raises(InvalidInputError, match=r"level: expected a number in \(0, 1\), got 95"):
        error_interval(1, 3, 95)


def test_counts_by_hand() -> None:
    decision = np.array([ANSWER, ANSWER, ANSWER, ESCALATE, ABSTAIN, ANSWER], dtype=np.int8)
    o = outcome_of(decision, np.array([1.0, 0.0, NAN, 0.0, 0.0, 1.0]))
    assert (o.n_prompts, o.n_answered, o.n_escalated, o.n_abstained) == (6, 4, 1, 1)
    assert (o.n_judged, o.n_errors) == (3, 1)
    assert o.coverage == 4 / 6
    assert o.error_rate == 1 / 3
    assert (o.low, o.high) == error_interval(1, 3)
    empty = outcome_of(decision[:0], np.zeros(0))
    assert math.isnan(empty.coverage)
    assert math.isnan(empty.error_rate)


def judged(errors: int, n: int, prompts: int = 1000) -> Outcome:
    return Outcome(prompts, n, 0, n, errors, *error_interval(errors, n))


@pytest.mark.parametrize(
    ("outcome", "method", "limit", "expected"),
    [
        (judged(10, 100), "ltt", 0.1, "kept"),
        (judged(11, 100), "ltt", 0.1, "within chance"),
        (judged(16, 100), "ltt", 0.1, "within chance"),  # P(at least 16 at 10%) = 0.040
        (judged(17, 100), "ltt", 0.1, "broken"),  # P(at least 17 at 10%) = 0.021
        (judged(0, 0), "ltt", 0.1, "nothing answered"),
        (judged(40, 100), None, None, "no threshold"),
        (judged(40, 100), "crc", 0.05, "kept"),  # 40 of 1000 prompts
        (judged(55, 100), "crc", 0.05, "within chance"),
        (judged(90, 100), "crc", 0.05, "broken"),
    ],
)
def test_verdicts(outcome: Outcome, method: str | None, limit: float | None, expected: str) -> None:
    assert verdict_of(outcome, method, limit) == expected


def test_slices_by_hand() -> None:
    score = np.full(300, 0.9)
    names = np.repeat(["a", "b", "c"], 100)
    error = np.r_[np.zeros(100), np.ones(100), np.zeros(100)]
    policy = Policy(risk_thresholds_by(score, error, names, max_error=0.2, delta=0.1), "sort")
    labels = ["a", "a", "b", "z", ""]
    decision = np.array([ANSWER, ANSWER, ABSTAIN, ABSTAIN, ABSTAIN], dtype=np.int8)
    found = slice_results(
        policy, "sort", labels, decision, np.array([1.0, 0.0, 1.0, 1.0, 0.0]), "ltt", 0.2
    )
    rows = [(s.value, s.seen, s.threshold, s.outcome.n_prompts, s.outcome.n_errors) for s in found]
    assert rows == [
        ("", False, None, 1, 0),
        ("a", True, 0.0, 2, 1),
        ("b", True, None, 1, 0),
        ("c", True, 0.0, 0, 0),
        ("z", False, None, 1, 0),
    ]
    assert [s.verdict for s in found] == [
        "nothing answered",
        "within chance",
        "nothing answered",
        "nothing answered",
        "nothing answered",
    ]


def test_slices_that_the_thresholds_know_nothing_of() -> None:
    p = world()
    p = Predictions.from_arrays(
        "answer",
        p.confidence,
        p.label,
        prompt_id=p.prompt_id,
        columns={**{n: p.columns[n] for n in p.columns.column_names}, "half": [0, 0, 1, 1] * 600},
    )
    one = set_threshold(fit_guard(p), p, max_error=0.3)
    e = evaluate(one, p, by="half")
    whole = one.policy.thresholds[""].value  # type: ignore[union-attr]
    assert [(s.value, s.seen, s.threshold) for s in e.slices] == [
        ("0", True, whole),
        ("1", True, whole),
    ]
    assert "the promise is for all prompts, not for each half" in e.notes
    each = set_threshold(fit_guard(p), p, max_error=0.3, by="half")
    assert "the promise is for each half, not for each text" in evaluate(each, p, by="text").notes
    assert {s.seen for s in evaluate(each, p, by="text").slices} == {True}


@pytest.mark.parametrize("kind", ["answer", "event"])
def test_quality_is_in_the_kinds_own_reading(kind) -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.0, 1.0, 300).round(2)
    label = (rng.random(300) < p).astype(float)
    claims = p >= 0.5
    claimed = p if kind == "answer" else np.where(claims, p, 1.0 - p)
    right = label if kind == "answer" else np.where(claims, label, 1.0 - label)
    q = quality_of(
        "stated",
        p,
        label,
        claimed=claimed,
        right=right,
        kind=kind,
        clusters=np.arange(300),
        weights=None,
        seed=0,
    )
    assert q.auroc == pytest.approx(roc_auc_score(label, p), abs=EXACT)
    assert q.brier == pytest.approx(np.mean((p - label) ** 2), abs=EXACT)
    assert q.ece == pytest.approx(metrics.ece(p, label), abs=EXACT)
    assert q.accuracy == pytest.approx(right.mean(), abs=EXACT)
    assert q.overconfidence == pytest.approx((claimed - right).mean(), abs=EXACT)
    certain = np.clip(p, 0.01, 0.99)
    nll = -np.mean(np.where(label == 1, np.log(certain), np.log(1 - certain)))
    assert q.nll == pytest.approx(nll, abs=EXACT)
    assert q.ece_p_value > 0.01  # calibrated by construction
    sure = claimed if kind == "event" else p
    half = np.where(np.abs(p - 0.5) < 1e-9, 0.5, right) if kind == "event" else right
    gain = np.minimum(sure, 0.99)
    t = (gain - 0.5 + (1 - half) * np.log((1 - gain) / 0.5)) / 0.5
    assert q.trust == pytest.approx(np.where(gain > 0.5, t, 0.0).mean(), abs=1e-9)


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    rng = np.random.default_rng(1)
    score, correct = rng.random(3000), (rng.random(3000) < 0.7).astype(float)
    correct[::3] = NAN
    curve = curve_of(score, correct, np.ones(3000, np.bool_))
    assert curve is not None
    assert curve.coverage.size <= 500
    known = ~np.isnan(correct)
    whole = metrics.risk_coverage_curve(score[known], correct[known])
    assert curve.coverage[-1] == 1.0
    assert curve.risk[-1] == whole.risk[-1]
    assert set(curve.threshold).issubset(set(whole.threshold))
    assert curve_of(score, np.full(3000, NAN), np.ones(3000, np.bool_)) is None
    assert curve_of(score, correct, np.zeros(3000, np.bool_)) is None


def world(n: int = 1200, seed: int = 0) -> Predictions:
    """Two samples a prompt; the second one states more, and is right less often."""
    rng = np.random.default_rng(seed)
    second = np.arange(2 * n) % 2 == 1
    support = rng.random(2 * n)
    correct = (rng.random(2 * n) < np.where(second, 0.4, 0.5) + 0.45 * support).astype(float)
    return Predictions.from_arrays(
        "answer",
        np.where(second, 0.97, 0.9),
        correct,
        prompt_id=[f"q{i // 2}" for i in range(2 * n)],
        columns={"retrieval_support": support, "text": [f"t{i}" for i in range(2 * n)]},
    )


def test_an_evaluation_says_what_a_loop_over_the_rows_says() -> None:
    p = world()
    g = set_threshold(fit_guard(p), p, max_error=0.3)
    new = world(400, seed=7)
    new = Predictions.from_arrays(
        "answer",
        new.confidence,
        new.label,
        prompt_id=[f"new {i}" for i in new.prompt_id.to_pylist()],  # type: ignore[union-attr]
        columns=new.columns,
    )
    e = evaluate(g, new)
    threshold = g.policy.thresholds[""].value  # type: ignore[union-attr]
    assert threshold is not None
    out = g.calibrator.predict(g.verifier.predict(features_of(g, new)))
    answered = errors = stated_errors = 0
    for i in range(0, 800, 2):
        best = i if out[i] > out[i + 1] else i + 1
        if out[best] >= threshold:
            answered += 1
            errors += new.label[best] == 0.0
        stated_errors += new.label[i + 1] == 0.0  # the second sample states more
    assert (e.outcome.n_answered, e.outcome.n_errors) == (answered, errors)
    assert e.n_prompts == 400
    assert e.stated_curve is not None
    assert e.stated_curve.risk[-1] == pytest.approx(stated_errors / 400, abs=EXACT)
    assert e.curve is not None
    at = int(np.searchsorted(e.curve.coverage, e.outcome.coverage - 1e-9))
    assert e.curve.risk[at] == pytest.approx(e.outcome.error_rate, abs=EXACT)
    over = new.confidence - out > 0.2 + 1e-9
    assert e.counts["overconfident"] == over.sum()
    worst = e.overstated[0]
    assert worst.stated - worst.verified == pytest.approx((new.confidence - out).max(), abs=EXACT)
    assert worst.record.columns["text"] == f"t{int((new.confidence - out).argmax())}"
    assert worst.decision in DECISIONS
    assert len(e.score_edges) == len(e.score_shares) + 1 == len(e.reference_shares) + 1
    assert sum(e.score_shares) == pytest.approx(1.0)
    assert e.alarm is not None
    assert e.alarm.statistic.size == answered


def features_of(guard, predictions: Predictions) -> np.ndarray:
    return features(predictions, guard.verifier.names).values


def test_drift_and_errors_raise_their_alarms() -> None:
    p = world()
    g = set_threshold(fit_guard(p), p, max_error=0.3)
    q = world(800, seed=8)
    support = q.columns["retrieval_support"].to_numpy() ** 0.2
    ids = [f"new {i}" for i in q.prompt_id.to_pylist()]  # type: ignore[union-attr]
    drifted = Predictions.from_arrays(
        "answer",
        q.confidence,
        np.zeros(len(q)),
        prompt_id=ids,
        columns={"retrieval_support": support, "text": q.columns["text"]},
    )
    e = evaluate(g, drifted)
    assert e.drift is not None
    assert e.drift.alarm
    assert e.alarm is not None
    assert e.alarm.alarm_at is not None
    assert e.verdict == "broken"
    assert e.verified is not None
    assert math.isnan(e.verified.auroc)  # nothing is right
    calm = evaluate(g, p)
    assert calm.drift is not None
    assert not calm.drift.alarm


def test_rows_without_a_truth_count_for_coverage_only() -> None:
    p = world()
    g = set_threshold(fit_guard(p), p, max_error=0.3)
    part = evaluate(g, p)
    unknown = np.where(np.arange(len(p)) % 6 < 2, NAN, p.label)
    q = Predictions.from_arrays(
        "answer", p.confidence, unknown, prompt_id=p.prompt_id, columns=p.columns
    )
    e = evaluate(g, q)
    assert e.outcome.n_answered == part.outcome.n_answered
    assert e.outcome.n_judged < part.outcome.n_judged
    assert e.counts["without_truth"] > 0
    blind = Predictions.from_arrays(
        "answer", p.confidence, np.full(len(p), NAN), prompt_id=p.prompt_id, columns=p.columns
    )
    e = evaluate(g, blind)
    assert (e.stated, e.curve, e.alarm) == (None, None, None)
    assert e.verdict == "nothing answered"


def test_without_a_threshold_nothing_is_promised() -> None:
    p = world()
    e = evaluate(fit_guard(p), p)
    assert e.verdict == "no threshold"
    assert (e.method, e.max_error, e.delta, e.promise) == (None, None, None, "")
    assert e.sentence == "no threshold is set: nothing is promised and nothing is answered"
    assert e.outcome.n_answered == 0
    assert e.verified is not None
