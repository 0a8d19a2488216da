"""Pairing two models' records, and what a comparison says."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.audit.compare import COMPARED, compare, pair, shown_p
from levelhead.audit.convention import convention
from levelhead.audit.model_records import ModelRecords
from levelhead.audit.result import ComparisonRow
from levelhead.errors import InvalidInputError
from levelhead.metrics import ece
from levelhead.records import STATUSES, Predictions

RULES = convention("levelhead")


def model(
    name: str, confidence: object, label: object, ids: object = None, kind: str = "answer"
) -> ModelRecords:
    records = ModelRecords(name, "assert", ())
    given = Predictions.from_arrays(kind, confidence, label, prompt_id=ids)  # type: ignore[arg-type]
    records.add(given, name, 10**6)
    return records


def test_pairs_by_prompt_whatever_the_order() -> None:
    a = model("a", [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], ["p", "q", "r", "only a"])
    b = model("b", [0.9, 0.8, 0.7], [1, 0, 0], ["r", "q", "p"])
    found = pair(a, b)
    assert found.n_clusters == 3
    assert found.paired_by == "prompt"
    assert found.model.confidence.tolist() == [0.1, 0.2, 0.3]
    joined = dict(zip(found.model_clusters, found.model.confidence, strict=True))
    other = dict(zip(found.baseline_clusters, found.baseline.confidence, strict=True))
    assert {(joined[k], other[k]) for k in joined} == {(0.1, 0.7), (0.2, 0.8), (0.3, 0.9)}


def test_samples_of_a_prompt_stay_together_and_may_differ_in_number() -> None:
    a = model("a", [0.1, 0.2, 0.3], [0, 0, 1], ["p", "p", "q"])
    b = model("b", [0.4, 0.5, 0.6], [0, 1, 1], ["p", "q", "q"])
    found = pair(a, b)
    assert found.n_clusters == 2
    assert len(set(found.model_clusters[:2])) == 1


def test_without_prompts_rows_pair_in_order() -> None:
    found = pair(model("a", [0.1, 0.2], [0, 1]), model("b", [0.3, 0.4], [1, 1]))
    assert found.paired_by == "row order"
    assert found.n_clusters == 2


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (model("a", [0.1], [0], ["p"]), model("b", [0.1], [0], ["q"]), "got none in common"),
        (model("a", [0.1], [0]), model("b", [0.1, 0.2], [0, 1]), "got 1 and 2"),
        (
            model("a", [0.1], [0], kind="event"),
            model("b", [0.1], [1], kind="event"),
            "outcomes differ",
        ),
        (model("a", [0.1], [0]), model("b", [0.1], [1], kind="event"), "one holds answers"),
    ],
)
def test_what_cannot_be_paired(a: ModelRecords, b: ModelRecords, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        pair(a, b)


def test_below_thirty_items_nothing_is_decided() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 8).astype(float)
    found = compare(
        model("a", [0.99] * 8, 1 - y),
        model("b", [0.5] * 8, y),
        RULES,
        n_boot=200,
        level=0.95,
        seed=0,
    )
    assert {row.worse for row in found.rows} == {None}
    assert "do not differ clearly" in found.sentence


def test_items_that_one_side_lacks_are_counted() -> None:
    a = model("a", [0.5] * 3, [0, 0, 1], ["p", "q", "x"])
    b = model("b", [0.5] * 4, [0, 0, 1, 1], ["p", "q", "y", "z"])
    found = pair(a, b)
    assert (found.n_clusters, found.n_only_model, found.n_only_baseline) == (2, 1, 2)


def test_the_comparison_of_a_shifted_model() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 0.8, 2000)
    y = (rng.random(2000) < p).astype(float)
    worse, fair = model("worse", p + 0.15, y), model("fair", p, y)
    found = compare(worse, fair, RULES, n_boot=200, level=0.95, seed=0)
    rows = {row.name: row for row in found.rows}
    assert list(rows) == list(COMPARED)
    assert rows["mean_confidence"].difference == pytest.approx(0.15)
    assert (
        rows["mean_confidence"].worse is None
    )  # neither more nor less confidence is worse as such
    assert rows["ece"].worse is True
    assert rows["ece"].difference == pytest.approx(ece(p + 0.15, y) - ece(p, y))
    assert rows["accuracy"].difference == 0.0
    assert found.sentence.startswith("worse is worse calibrated than fair: its ECE is 0.1")
    back = compare(fair, worse, RULES, n_boot=200, level=0.95, seed=0)
    assert {row.name: row for row in back.rows}["ece"].worse is False
    assert back.sentence == found.sentence  # who is worse does not depend on who is the baseline


def test_events_use_both_readings() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.0, 1.0, 500)
    y = (rng.random(500) < p).astype(float)
    sure = model("sure", np.where(p > 0.5, 0.99, 0.01), y, kind="event")
    found = compare(sure, model("fair", p, y, kind="event"), RULES, n_boot=200, level=0.95, seed=0)
    rows = {row.name: row for row in found.rows}
    assert rows["mean_confidence"].model_value == pytest.approx(0.99)
    assert rows["accuracy"].difference == pytest.approx(0.0)
    assert rows["overconfidence"].worse is not False
    assert rows["ece"].worse is True


def test_better_and_worse_follow_the_metric_s_direction() -> None:
    """The worse model knows nothing: its AUROC, accuracy and Trust drop, its AURC and Brier rise."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.3, 0.95, 1500)
    y = (rng.random(1500) < p).astype(float)
    y_worse = np.where(rng.random(1500) < 0.3, 0.0, y)
    found = compare(
        model("worse", rng.permutation(p), y_worse), model("fair", p, y), RULES,
        n_boot=200, level=0.95, seed=0,
    )  # fmt: skip
    rows = {row.name: row for row in found.rows}
    for name in ("auroc", "accuracy", "trust", "aurc", "brier", "nll", "ece"):
        assert rows[name].worse is True, name
    assert rows["auroc"].difference < 0 < rows["aurc"].difference


def test_weights_and_the_convention_reach_the_comparison() -> None:
    rng = np.random.default_rng(0)
    c, y = np.round(rng.random(200) * 20) / 20, rng.integers(0, 2, 200).astype(float)
    w = rng.random(200)
    rules = convention("rlcr")

    def weighted(name: str, confidence: np.ndarray) -> ModelRecords:
        records = ModelRecords(name, "assert", ())
        records.add(Predictions.from_arrays("answer", confidence, y, weight=w), name, 10**6)
        return records

    found = compare(
        weighted("a", c), weighted("b", c[::-1].copy()), rules, n_boot=100, level=0.95, seed=0
    )
    rows = {row.name: row for row in found.rows}
    assert rows["accuracy"].model_value == pytest.approx(np.average(y, weights=w))
    assert rows["ece"].model_value == pytest.approx(ece(c, y, weights=w, **rules.binning))
    assert ece(c, y, weights=w, **rules.binning) != pytest.approx(ece(c, y, weights=w))


def test_rows_without_an_id_have_no_partner() -> None:
    a = model("a", [0.1, 0.2, 0.9], [0, 0, 1], ["p", "q", None])
    b = model("b", [0.7, 0.8, 0.4], [0, 0, 1], ["p", "q", None])
    found = pair(a, b)
    assert found.n_clusters == 2
    assert found.model.confidence.tolist() == [0.1, 0.2]


def test_row_order_survives_rows_that_do_not_count() -> None:
    """Row i stays opposite row i although each model lost another row."""
    c, y = np.linspace(0.1, 0.9, 40), np.tile([0.0, 1.0], 20)
    first, last = c.copy().astype(object), c.copy().astype(object)
    first[0], last[-1] = None, None
    a, b = ModelRecords("a", "drop", ()), ModelRecords("b", "drop", ())
    a.add(Predictions.from_arrays("answer", list(first), y), "a", 10**6)
    b.add(Predictions.from_arrays("answer", list(last), y), "b", 10**6)
    found = pair(a, b)
    assert found.n_clusters == 38
    assert found.model.confidence.tolist() == found.baseline.confidence.tolist()


def test_trust_counts_refusals_as_zero() -> None:
    refused = [0] * 50 + [STATUSES.index("refusal")] * 50
    a, b = ModelRecords("a", "assert", ()), ModelRecords("b", "assert", ())
    ids = list(range(100))
    a.add(
        Predictions.from_arrays(
            "answer", [0.9] * 50 + [None] * 50, [1.0] * 100, status=refused, prompt_id=ids
        ),
        "a", 10**6,
    )  # fmt: skip
    b.add(Predictions.from_arrays("answer", [0.9] * 100, [1.0] * 100, prompt_id=ids), "b", 10**6)
    rows = {r.name: r for r in compare(a, b, RULES, n_boot=100, level=0.95, seed=0).rows}
    assert rows["trust"].model_value == pytest.approx(rows["trust"].baseline_value / 2)
    assert rows["accuracy"].model_value == 1.0


@pytest.mark.parametrize(
    ("low", "high", "p", "shown"),
    [
        (-0.015, -0.006, 0.493, None),  # the interval says less, the p-value says chance
        (-0.015, -0.006, 0.003, 0.003),
        (-0.015, 0.006, 0.493, 0.493),
        (-0.015, 0.006, 0.003, None),
        (0.006, 0.015, 0.5, None),
        (0.006, 0.015, 0.06, None),
        (None, None, 0.5, 0.5),
        (0.006, 0.015, None, None),
    ],
)
def test_a_p_value_that_contradicts_the_interval_is_not_shown(
    low: float | None, high: float | None, p: float | None, shown: float | None
) -> None:
    row = ComparisonRow("auroc", "AUROC", "higher", 0.6, 0.7, -0.011, low, high, p, None)
    assert shown_p(row, 0.95) == shown


def test_the_level_decides_what_a_p_value_says() -> None:
    row = ComparisonRow("auroc", "AUROC", "higher", 0.6, 0.7, -0.1, -0.2, -0.01, 0.06, True)
    assert shown_p(row, 0.95) is None
    assert shown_p(row, 0.9) == 0.06
