"""A model's rows: what is kept, what is counted, what a missing confidence becomes, what merges."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from levelhead.audit import model_records
from levelhead.audit.model_records import (
    MAX_ERRORS,
    MAX_SLICE_VALUES,
    OTHER,
    ModelRecords,
    native_rows,
)
from levelhead.errors import RecordError
from levelhead.records import STATUSES, Predictions


def block(kind: str, confidence: list, label: list, **given: object) -> Predictions:
    return Predictions.from_arrays(kind, confidence, label, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "missing", "expected"),
    [
        # label 1, 0 and a missing confidence each; by hand from the definition of each policy.
        ("answer", "assert", ([0.7, 0.99, 0.99], [1, 1, 0])),
        ("answer", "zero", ([0.7, 0.0, 0.0], [1, 1, 0])),
        ("answer", "drop", ([0.7], [1])),
        ("event", "assert", ([0.7, 0.01, 0.99], [1, 1, 0])),
        ("event", "drop", ([0.7], [1])),
    ],
)
def test_missing_confidences(kind: str, missing: str, expected: tuple) -> None:
    rows, _ = native_rows(block(kind, [0.7, None, None], [1, 1, 0]), missing)  # type: ignore[arg-type]
    assert rows.confidence.tolist() == expected[0]
    assert rows.correct.tolist() == expected[1]


def test_an_event_without_a_probability_is_certain_and_wrong() -> None:
    rows, _ = native_rows(block("event", [None, None], [1, 0]), "assert")
    top = rows.top_label()
    assert top.confidence.tolist() == [0.99, 0.99]
    assert top.correct.tolist() == [0.0, 0.0]


def test_unlabelled_records_and_refusals_are_not_scored() -> None:
    status = [0, 0, STATUSES.index("refusal")]
    rows, keep = native_rows(
        block("answer", [0.7, 0.8, None], [1, None, 0], status=status), "assert"
    )
    assert keep.tolist() == [True, False, False]
    assert rows.confidence.tolist() == [0.7]


def test_the_most_confident_errors_are_kept_in_order() -> None:
    model = ModelRecords("m", "assert", ())
    n = 3 * MAX_ERRORS
    confidence = np.linspace(0.1, 0.9, n)
    for part in np.array_split(np.arange(n), 4):
        ids = [f"q{i}" for i in part]
        model.add(block("answer", confidence[part], np.zeros(len(part)), prompt_id=ids), "f", 10**6)
    found = [e.confidence for e in model.confident_errors]
    assert found == sorted(confidence, reverse=True)[:MAX_ERRORS]
    assert model.confident_errors[0].prompt_id == f"q{n - 1}"


def test_equally_confident_errors_keep_their_order() -> None:
    model = ModelRecords("m", "assert", ())
    for start in (0, 30):
        ids = [f"q{i}" for i in range(start, start + 30)]
        model.add(block("answer", [0.9] * 30, [0] * 30, prompt_id=ids), "f", 10**6)
    assert [e.prompt_id for e in model.confident_errors] == [f"q{i}" for i in range(MAX_ERRORS)]


def test_records_that_count_as_claims_have_a_label_and_no_confidence() -> None:
    status = [0, 1, 1, STATUSES.index("refusal"), 2]
    model = ModelRecords("m", "assert", ())
    given = block("answer", [0.9, None, None, None, None], [1, 0, None, 0, 1], status=status)
    for _ in range(2):
        model.add(given, "f", 10)
    assert (model.n_asserted, model.n_unlabelled, model.n_refusals) == (4, 2, 2)


def test_clusters_survive_a_dropped_row() -> None:
    given = block("answer", [0.5, None, 0.6, 0.7], [1, 1, 0, 1], prompt_id=["p", "p", "p", "q"])
    rows, _ = native_rows(given, "drop")
    assert rows.clusters is not None
    assert rows.clusters.tolist() == [0, 0, 1]


def test_what_was_parsed_before_the_first_gap_still_counts() -> None:
    kept, folded = ModelRecords("m", "assert", ()), ModelRecords("m", "assert", ())
    for confidence in ([0.2] * 50, [0.9] * 50, [None] * 10 + [0.4] * 40):
        part = block("answer", confidence, [1, 0] * 25)
        kept.add(part, "f", 10**6)
        folded.add(part, "f", 20)
    a, b = kept.rows("parsed"), folded.rows("parsed")
    assert b.weights is not None
    assert b.weights.sum() == a.confidence.size == 140
    assert (b.confidence * b.weights).sum() == pytest.approx(a.confidence.sum())


def test_tallied_weights_are_not_counts() -> None:
    model = ModelRecords("m", "assert", ())
    model.add(block("answer", [0.5] * 30, [1, 0] * 15, weight=[2.0] * 30), "f", 10)
    assert not model.rows().resamples
    plain = ModelRecords("m", "assert", ())
    plain.add(block("answer", [0.5] * 30, [1, 0] * 15), "f", 10)
    assert plain.rows().resamples


def test_refusals_score_zero_in_trust_and_nowhere_else() -> None:
    status = [0, 0, STATUSES.index("refusal")]
    for kind, claim in (("answer", 0.2), ("event", 0.8)):
        for limit in (10, 1):
            model = ModelRecords("m", "assert", ())
            model.add(block(kind, [0.9, 0.2, None], [1, 0, 1], status=status), "f", limit)
            said = model.trust_rows()
            assert sorted(said.confidence.tolist()) == [0.0, claim, 0.9]
            assert sorted(model.rows().confidence.tolist()) == [0.2, 0.9]


def test_an_error_is_found_at_its_row_in_its_file() -> None:
    model = ModelRecords("m", "assert", ())
    model.add(block("answer", [0.6, 0.7], [1, 1]), "first", 10)
    model.add(block("answer", [0.6], [1]), "second", 10)
    model.add(block("answer", [0.6, 0.9], [1, 0]), "second", 10)
    (error,) = model.confident_errors
    assert error.location == "second:3"


def test_an_event_error_is_the_likelier_outcome_that_did_not_come() -> None:
    model = ModelRecords("m", "assert", ())
    model.add(block("event", [0.05, 0.95, 0.5, 0.9], [1, 1, 0, 0]), "f", 10**6)
    found = [(e.confidence, e.said, e.truth) for e in model.confident_errors]
    assert found == [
        (0.95, "5% chance", "it happened"),
        (0.9, "90% chance", "it did not happen"),
    ]


def test_kinds_are_never_mixed() -> None:
    model = ModelRecords("m", "assert", ())
    model.add(block("answer", [0.5], [1]), "a", 10)
    with pytest.raises(RecordError, match="b: expected answer predictions of model 'm'.*got event"):
        model.add(block("event", [0.5], [1]), "b", 10)


def test_tallies_take_over_beyond_the_limit() -> None:
    kept, folded = ModelRecords("m", "assert", ()), ModelRecords("m", "assert", ())
    rng = np.random.default_rng(0)
    for _ in range(5):
        part = block("answer", np.round(rng.random(50), 2), rng.integers(0, 2, 50).astype(float))
        kept.add(part, "f", 10**6)
        folded.add(part, "f", 120)
    assert not kept.streamed
    assert folded.streamed
    total = folded.rows().weights
    assert total is not None
    assert total.sum() == 250
    assert np.isclose((folded.rows().correct * total).sum(), kept.rows().correct.sum())


def some_blocks(seed: int, **given: Any) -> list[Predictions]:
    """Blocks with gaps, refusals, unlabelled rows, prompts, weights and more slices than are shown."""
    rng = np.random.default_rng(seed)
    blocks = []
    for start in range(0, 1200, 100):
        confidence = list(np.round(rng.random(100), 3))
        status = (
            rng.choice([0, 0, 0, 1, STATUSES.index("refusal")], 100) if start >= 300 else [0] * 100
        )
        confidence = [c if s == 0 else None for c, s in zip(confidence, status, strict=True)]
        label = [None if rng.random() < 0.05 else float(rng.random() < 0.5) for _ in range(100)]
        subject = [f"s{i}" for i in rng.integers(0, MAX_SLICE_VALUES + 60, 100)]
        columns = pa.table({"subject": subject, "half": ["a", "b"] * 50})
        blocks.append(
            block(
                "answer",
                confidence,
                label,
                status=list(status),
                prompt_id=[f"p{start + i // 4}" for i in range(100)],
                columns=columns,
                **given,
            )
        )
    return blocks


def summed(rows: Any) -> tuple[np.ndarray, ...]:
    """Confidences, the weight right and the weight wrong at each."""
    weights = np.ones(rows.confidence.size) if rows.weights is None else rows.weights
    values, index = np.unique(rows.confidence, return_inverse=True)
    right = np.bincount(index, weights * rows.correct)
    return values, right, np.bincount(index, weights) - right


def same(a: ModelRecords, b: ModelRecords) -> None:
    for name in (
        "kind", "files", "n_records", "n_unlabelled", "n_refusals", "n_asserted", "streamed",
        "n_without_prompt", "refused_weight", "status_counts", "provenance_counts", "counted",
    ):  # fmt: skip
        assert getattr(a, name) == getattr(b, name), name
    assert a.confident_errors == b.confident_errors
    for part in ("scored", "parsed"):
        for read in ("rows", "trust_rows"):
            for x, y in zip(
                summed(getattr(a, read)(part)), summed(getattr(b, read)(part)), strict=True
            ):
                np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)
    slices = [{(c, v): summed(r) for c, v, r in one.slices()} for one in (a, b)]
    assert list(slices[0]) == list(slices[1])
    for key, found in slices[0].items():
        for x, y in zip(found, slices[1][key], strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weight", [None, [0.5, 2.0] * 50])
@pytest.mark.parametrize(
    ("limit", "share"), [(10**6, 10**6), (500, 0), (500, 150), (500, 500), (250, 10**6)]
)
@pytest.mark.parametrize("cuts", [(5,), (1, 2, 7), (3, 11)])
def test_parts_merge_into_what_reading_in_turn_gives(
    weight: list | None, limit: int, share: int, cuts: tuple[int, ...]
) -> None:
    blocks = some_blocks(0, weight=weight)
    whole = ModelRecords("m", "assert", ("subject", "half"))
    merged = ModelRecords("m", "assert", ("subject", "half"))
    for start, end in itertools.pairwise((0, *cuts, len(blocks))):
        part = ModelRecords("m", "assert", ("subject", "half"), part=True)
        for given in blocks[start:end]:
            whole.add(given, f"file{start}", limit)
            part.add(given, f"file{start}", share)
        merged.merge(part, limit)
    same(merged, whole)
    if limit == 500:
        assert (merged.streamed, OTHER in {v for _, v, _ in merged.slices()}) == (True, True)
    else:
        assert merged.streamed == (limit < 1200)
    if limit == 10**6:  # rows that are kept keep their prompts, which are what is resampled
        a, b = merged.rows(), whole.rows()
        assert a.clusters is not None
        assert b.clusters is not None
        assert (a.clusters.tolist(), a.confidence.tolist()) == (
            b.clusters.tolist(),
            b.confidence.tolist(),
        )


def test_a_part_of_a_file_without_gaps_still_counts_as_parsed() -> None:
    first, second = (ModelRecords("m", "assert", (), part=True) for _ in range(2))
    first.add(block("answer", [0.2] * 10, [1] * 10), "a", 0)
    second.add(block("answer", [None] * 4 + [0.4] * 6, [1] * 10), "b", 0)
    for order in ((first, second), (second, first)):
        merged = ModelRecords("m", "assert", ())
        for part in order:
            merged.merge(part, 0)
        rows = merged.rows("parsed")
        assert rows.weights is not None
        assert dict(zip(rows.confidence.tolist(), rows.weights.tolist(), strict=True)) == {
            0.2: 10.0,
            0.4: 6.0,
        }


def test_kinds_are_not_merged() -> None:
    one, other = ModelRecords("m", "assert", ()), ModelRecords("m", "assert", (), part=True)
    one.add(block("answer", [0.5], [1]), "a", 10)
    other.add(block("event", [0.5], [1]), "b", 10)
    with pytest.raises(RecordError, match="b: expected answer predictions of model 'm'.*got event"):
        one.merge(other, 10)


def test_a_part_with_too_many_slices_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_records, "MAX_PART_SLICES", 3)
    whole, given = ModelRecords("m", "assert", ("id",)), list("abcd")
    for file, some in (("e", given[:3]), ("f", given), ("g", given)):
        part = ModelRecords("m", "assert", ("id",), part=True)
        columns = pa.table({"id": some})
        part.add(block("answer", [0.5] * len(some), [1] * len(some), columns=columns), file, 0)
        whole.merge(part, 0)
    assert whole.too_many_slices == {"id": "f"}


def test_files_without_prompts_beside_files_with_them() -> None:
    whole = ModelRecords("m", "assert", ())
    for file, ids in (("a", None), ("b", ["p", "q"])):
        part = ModelRecords("m", "assert", (), part=True)
        part.add(block("answer", [0.5] * 2, [1, 0], prompt_id=ids), file, 10)
        whole.merge(part, 10)
    assert whole.n_without_prompt == 2
