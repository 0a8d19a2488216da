"""What a reader of the numbers is told about the records behind them."""

from __future__ import annotations

import pytest

from levelhead.audit.convention import convention
from levelhead.audit.model_records import ModelRecords
from levelhead.audit.remarks import nothing_to_score
from levelhead.audit.summary import summarize
from levelhead.records import PROVENANCES, STATUSES, Predictions


def warnings(missing: str = "levelhead", **given: object) -> list[str]:
    rules = convention(missing)
    model = ModelRecords("m", rules.missing, ())
    model.add(Predictions.from_arrays("answer", **given), "f", 10**6)  # type: ignore[arg-type]
    return summarize(model, rules, n_boot=100).warnings


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("levelhead", "claim of certainty (0.99)"),
        ("paper_compat", "left out of the metrics"),
        ("rlcr", "gives a wrong answer a perfect score"),
    ],
)
def test_missing_confidences_say_how_they_counted(name: str, says: str) -> None:
    found = warnings(name, confidence=[0.5] * 99 + [None], label=[1, 0] * 50)
    (line,) = [w for w in found if w.startswith("1 missing of 100 confidences (1.0%)")]
    assert says in line


def test_only_what_has_a_label_counts_as_a_claim() -> None:
    labels = [1, 0] * 32  # of those that state one
    found = warnings(confidence=[0.5] * 64 + [None] * 36, label=labels + [None] * 36)
    assert (
        "36 missing of 100 confidences (36.0%): they have no label, so they count nowhere." in found
    )
    assert "36 of 100 records have no label and cannot be scored." in found
    found = warnings(confidence=[0.5] * 64 + [None] * 36, label=labels + [1] * 4 + [None] * 32)
    assert (
        "36 missing of 100 confidences (36.0%): each of the 4 that have a label counts as a claim of "
        "certainty (0.99); the 'parsed only' values leave them out."
    ) in found
    found = warnings(confidence=[0.5] * 64 + [None] * 36, label=[None] * 10 + [1, 0] * 45)
    assert any("(36.0%): each counts as a claim of certainty" in w for w in found)
    rules = convention("levelhead")
    streamed = ModelRecords("m", rules.missing, ())
    block = Predictions.from_arrays("answer", [0.5] * 64 + [None] * 36, labels + [None] * 36)
    streamed.add(block, "f", 10)
    found = summarize(streamed, rules, n_boot=100).warnings
    assert any("each that has a label counts as a claim of certainty" in w for w in found)


def test_one_class_unlabelled_thin_and_few() -> None:
    found = warnings(confidence=[0.5, 0.55, 0.9], label=[1, 1, None])
    assert any("1 of 3 records have no label" in w for w in found)
    assert any("AUROC and Brier skill are undefined" in w for w in found)
    assert any("fewer than 10 records in 2 of 2 bins" in w for w in found)
    assert any("only 2 scored records" in w for w in found)


def test_stand_ins_are_named() -> None:
    origin = [PROVENANCES.index("fallback")] + [0] * 39
    found = warnings(confidence=[0.5] * 40, label=[1, 0] * 20, provenance=origin)
    assert any(
        w == "1 confidence not stated by the model: a stand-in, of another tool or "
        "of a calibrator for what is missing."
        for w in found
    )


def test_nothing_odd_is_not_remarked() -> None:
    spread = [0.05 + 0.1 * (i % 10) + 0.01 for i in range(400)]
    assert warnings(confidence=spread, label=[1, 0] * 200) == []


def test_binning_edges_that_matter_are_named_with_both_numbers() -> None:
    """0.9 shares a bin with 0.85 where bins are right-closed, with 0.95 where they are left-closed.

    Confidence minus correct summed over each value: 42.5 - 50, 90 - 75, 47.5 - 50. So right-closed
    |(-7.5 + 15)| + |-2.5| = 10 of 200, left-closed |-7.5| + |15 - 2.5| = 20 of 200.
    """
    confidence = [0.85] * 50 + [0.9] * 100 + [0.95] * 50
    label = [1] * 50 + [1] * 75 + [0] * 25 + [1] * 50
    (line,) = [w for w in warnings(confidence=confidence, label=label) if "matters" in w]
    assert "ECE is 0.0500 with 10 right-closed bins" in line
    assert "0.1000 with 10 left-closed bins" in line
    assert "50% of the confidences lie on bin edges" in line


def test_the_share_is_of_all_records() -> None:
    found = warnings(
        confidence=[0.5] * 60 + [None] * 40, label=[1, 0] * 20 + [None] * 20 + [1, 0] * 20
    )
    assert any(w.startswith("40 missing of 100 confidences (40.0%)") for w in found)


def test_refusals_are_told_apart_from_missing_confidences() -> None:
    status = [STATUSES.index("refusal")] * 10 + [0] * 40
    found = warnings(confidence=[None] * 10 + [0.5] * 40, label=[1, 0] * 25, status=status)
    assert any(w.startswith("10 refusals of 50 records: one scores 0 in Trust") for w in found)
    assert not any("claim of certainty" in w for w in found)


def test_a_shard_without_prompt_ids_is_named() -> None:
    model = ModelRecords("m", "assert", ())
    for ids in ([f"q{i // 4}" for i in range(40)], None):
        block = Predictions.from_arrays("answer", [0.5] * 40, [1, 0] * 20, prompt_id=ids)
        model.add(block, "f", 10**6)
    found = summarize(model, convention("levelhead"), n_boot=100)
    assert any(w.startswith("40 records in files without prompt ids") for w in found.warnings)
    assert found.n_prompts == 10 + 40


def test_percentages_in_disguise_are_suspected() -> None:
    status = [STATUSES.index("out_of_range")] * 60 + [0] * 40
    confidence = [None] * 60 + [0.5] * 40
    found = warnings(confidence=confidence, label=[1, 0] * 50, status=status)
    assert any("where they are percentages, pass --percent" in w for w in found)


def test_why_nothing_can_be_scored() -> None:
    model = ModelRecords("m", "drop", ())
    assert nothing_to_score(model) == "m: expected at least one record, got none"
    model.add(Predictions.from_arrays("answer", [0.5], [None]), "f", 10)
    assert "has a label" in nothing_to_score(model)
    model.add(Predictions.from_arrays("answer", [None], [1]), "f", 10)
    assert "none of 2 records states a confidence that can be read (1 ok, 1 missing)" in (
        nothing_to_score(model)
    )
