"""Pairing two models' records, and what a comparison says."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.audit.collect import ModelRecords
from levelhead.audit.compare import COMPARED, compare, pair
from levelhead.audit.convention import convention
from levelhead.errors import InvalidInputError
from levelhead.metrics import ece
from levelhead.records import Predictions

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
