"""The summary holds the metrics' own numbers, under the right reading, with the right intervals."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead import metrics
from levelhead.audit.convention import convention
from levelhead.audit.model_records import ModelRecords
from levelhead.audit.summary import AUDITED, audit, summarize
from levelhead.errors import InvalidInputError, RecordError
from levelhead.metrics import top_label
from levelhead.records import Predictions

RULES = convention("levelhead")


def model(name: str, kind: str, confidence: object, label: object, **given: object) -> ModelRecords:
    records = ModelRecords(name, "assert", ())
    block = Predictions.from_arrays(kind, confidence, label, **given)  # type: ignore[arg-type]
    records.add(block, name, 10**6)
    return records


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    c = np.round(rng.random(600), 2)
    return c, (rng.random(600) < 0.7 * c + 0.1).astype(float)


def test_answers(data: tuple) -> None:
    c, y = data
    found = summarize(model("m", "answer", c, y), RULES, n_boot=200)
    rows = {row.name: row for row in found.metrics}
    assert tuple(rows) == AUDITED
    for name in ("ece", "mce", "brier", "nll", "auroc", "aurc", "trust", "smooth_ece", "accuracy"):
        assert rows[name].value == pytest.approx(getattr(metrics, name)(c, y)), name
    assert {row.reading for row in found.metrics} == {"answer"}
    for name in ("brier", "accuracy", "auroc", "trust", "errors_at_90"):
        assert rows[name].low <= rows[name].value <= rows[name].high
    assert found.null.expected == pytest.approx(metrics.ece_null(c, n_draws=2000).expected, rel=0.1)
    assert sum(found.reliability.count) == 600
    assert sum(found.histogram.right) == y.sum()
    assert sum(found.histogram.wrong) == 600 - y.sum()
    assert found.risk_coverage.coverage[-1] == 1.0
    assert found.risk_coverage.risk[-1] == pytest.approx(1 - y.mean())
    assert found.trust_curve.trust[10] == pytest.approx(metrics.trust(c, y))
    assert found.trust_curve.t0[10] == 0.5
    assert found.n_prompts is None


def test_events_use_both_readings(data: tuple) -> None:
    p, y = data
    found = summarize(model("m", "event", p, y), RULES, n_boot=200)
    rows = {row.name: row for row in found.metrics}
    claim, right = top_label(p, y)
    assert rows["ece"].value == pytest.approx(metrics.ece(p, y))
    assert rows["brier"].value == pytest.approx(metrics.brier(p, y))
    assert rows["overconfidence"].value == pytest.approx(metrics.overconfidence(claim, right))
    assert rows["trust"].value == pytest.approx(metrics.trust(claim, right))
    assert rows["aurc"].value == pytest.approx(metrics.aurc(claim, right))
    assert found.reliability.label == "frequency of the event"
    assert found.trust_curve.trust[10] == pytest.approx(metrics.trust(claim, right))
    curve = metrics.risk_coverage_curve(claim, right)
    assert found.risk_coverage.coverage == pytest.approx(curve.coverage.tolist())
    assert found.risk_coverage.risk == pytest.approx(curve.risk.tolist())


def test_the_histogram_is_right_closed_and_weighted() -> None:
    c, y, w = [0.05, 0.05, 0.15, 0.3, 0.0, 1.0], [1, 0, 1, 1, 0, 1], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    found = summarize(model("m", "answer", c, y, weight=w), RULES, n_boot=100).histogram
    right = {round(found.edges[i], 2): v for i, v in enumerate(found.right) if v}
    wrong = {round(found.edges[i], 2): v for i, v in enumerate(found.wrong) if v}
    assert right == {0.0: 1.0, 0.1: 3.0, 0.25: 4.0, 0.95: 6.0}
    assert wrong == {0.0: 7.0}


def test_the_convention_reaches_the_null_and_weights_the_sensitivity(data: tuple) -> None:
    c, y = data
    rules = convention("rlcr")
    found = summarize(model("m", "answer", c, y), rules, n_boot=300, seed=5)
    expected = metrics.ece_excess_test(c, y, n_draws=300, seed=5, **rules.binning)
    assert found.null.expected == expected.expected
    plain = metrics.ece_excess_test(c, y, n_draws=300, seed=5, **RULES.binning)
    assert found.null.expected != plain.expected
    w = np.linspace(0.1, 2.0, len(c))
    rows = summarize(model("m", "answer", c, y, weight=w), RULES, n_boot=100).sensitivity
    for row in rows:
        given = {"n_bins": row.n_bins, "bins": row.bins, "closed": row.closed}
        assert row.ece == pytest.approx(metrics.ece(c, y, weights=w, **given)), given


def test_prompts_widen_the_reliability_intervals(data: tuple) -> None:
    c, y = data
    ids = np.tile(np.arange(600), 4)
    alone = summarize(model("m", "answer", np.tile(c, 4), np.tile(y, 4)), RULES, n_boot=100)
    grouped = model("m", "answer", np.tile(c, 4), np.tile(y, 4), prompt_id=ids)
    together = summarize(grouped, RULES, n_boot=100)
    narrow = np.subtract(alone.reliability.accuracy_high, alone.reliability.accuracy_low)
    wide = np.subtract(together.reliability.accuracy_high, together.reliability.accuracy_low)
    assert np.median(wide / narrow) == pytest.approx(2.0, rel=0.3)


def test_prompts_widen_the_intervals(data: tuple) -> None:
    c, y = data
    ids = np.tile(np.arange(600), 4)
    alone = summarize(model("m", "answer", np.tile(c, 4), np.tile(y, 4)), RULES, n_boot=400)
    grouped = model("m", "answer", np.tile(c, 4), np.tile(y, 4), prompt_id=ids)
    together = summarize(grouped, RULES, n_boot=400)
    assert together.n_prompts == 600
    a, b = alone.metric("accuracy"), together.metric("accuracy")
    assert (b.high - b.low) / (a.high - a.low) == pytest.approx(2.0, rel=0.25)


def test_undefined_is_none() -> None:
    found = summarize(model("m", "answer", [0.9] * 40, [1] * 40), RULES, n_boot=100)
    assert found.metric("auroc").value is None
    assert found.metric("confidence_on_errors").value is None


def test_one_unit_has_no_interval() -> None:
    found = summarize(model("m", "answer", [0.9, 0.8], [1, 0], prompt_id=["p", "p"]), RULES)
    assert all(row.low is None and row.high is None for row in found.metrics)


def test_all_wrong_is_not_surely_all_wrong() -> None:
    """Wilson's interval of 0 of 18 at 95%: up to z^2 / (n + z^2) = 3.8415 / 21.8415."""
    found = summarize(model("m", "answer", [0.9] * 18, [0] * 18), RULES, n_boot=100)
    right, gap = found.metric("accuracy"), found.metric("overconfidence")
    assert (right.low, right.high) == (0.0, pytest.approx(3.8415 / 21.8415, abs=1e-4))
    assert (gap.low, gap.high) == (
        pytest.approx(0.9 - 3.8415 / 21.8415, abs=1e-4),
        pytest.approx(0.9),
    )


def test_no_confidence_at_all_is_said_and_not_judged() -> None:
    """What nobody stated is no overconfidence, though every record counts as a claim of certainty."""
    found = summarize(model("m", "answer", [None] * 40, [1, 0] * 20), RULES, n_boot=100)
    assert found.verdict.label == "inconclusive"
    assert found.verdict.headline.startswith("No confidence stated: none of 40 records")
    assert "right 50% of the time" in found.verdict.headline
    assert found.status_counts == {"missing": 40}
    assert found.metric("mean_confidence").value == pytest.approx(0.99)
    assert found.metric("mean_confidence").parsed is None


def test_where_no_convention_scores_them_they_are_refused() -> None:
    dropped = ModelRecords("m", "drop", ())
    dropped.add(Predictions.from_arrays("answer", [None, None], [1, 0]), "f", 10)
    with pytest.raises(RecordError, match="none of 2 records states a confidence"):
        summarize(dropped, convention("paper_compat"))


def test_the_verdict_says_what_the_stated_confidences_say_alone() -> None:
    found = summarize(
        model("m", "answer", [0.6] * 60 + [None] * 40, [1, 0] * 50), RULES, n_boot=100
    )
    assert found.verdict.sentences[0] == (
        "40 of 100 records state no usable confidence and count as claims of certainty; the others "
        "alone say 60%, are right 50% of the time, ECE 0.100."
    )


def test_comparisons_need_a_partner(data: tuple) -> None:
    c, y = data
    a, b = model("a", "answer", c, y), model("b", "answer", c * 0.9, y)
    assert audit([a], RULES, n_boot=100).comparisons == []
    found = audit([a, b], RULES, n_boot=100)
    assert [(x.model, x.baseline) for x in found.comparisons] == [("b", "a")]
    found = audit([b], RULES, baseline=a, n_boot=100)
    assert [m.name for m in found.models] == ["a", "b"]


def test_models_that_do_not_pair_are_audited_all_the_same(data: tuple) -> None:
    c, y = data
    short = model("short", "answer", c[:50], y[:50])
    found = audit([model("a", "answer", c, y), short], RULES, n_boot=100)
    assert found.comparisons == []
    assert any(note.startswith("no comparison: ") for note in found.notes)
    with pytest.raises(InvalidInputError, match="same in number"):
        audit([short], RULES, baseline=model("a", "answer", c, y), n_boot=100)


def test_errors() -> None:
    with pytest.raises(InvalidInputError, match="at least one model"):
        audit([], RULES)
    with pytest.raises(RecordError, match="has a label"):
        summarize(model("m", "answer", [0.5], [None]), RULES, n_boot=100)
    one = model("m", "answer", [0.5], [1])
    with pytest.raises(InvalidInputError, match="n_boot"):
        audit([one], RULES, n_boot=99)
    with pytest.raises(InvalidInputError, match="level"):
        audit([one], RULES, level=95)
