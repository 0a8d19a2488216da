"""From files to rows: what is kept, what is counted, what a missing confidence becomes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from levelhead.audit.collect import MAX_ERRORS, ModelRecords, collect, native_rows
from levelhead.errors import RecordError
from levelhead.readers import ReadLog, ReadOptions, resolve
from levelhead.records import STATUSES, Predictions


def block(kind: str, confidence: list, label: list, **given: object) -> Predictions:
    return Predictions.from_arrays(kind, confidence, label, **given)  # type: ignore[arg-type]


def lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


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


def test_collect_names_models_after_their_files(tmp_path: Path) -> None:
    for name in ("base", "tuned"):
        lines(tmp_path / f"{name}.jsonl", [{"confidence": 0.5, "correct": 1}] * 3)
    log = ReadLog()
    files = [str(tmp_path / "base.jsonl"), str(tmp_path / "tuned.jsonl")]
    models = collect(resolve(files, log=log), ReadOptions(), log, missing="assert")
    assert {name: m.n_records for name, m in models.items()} == {"base": 3, "tuned": 3}


def test_an_interrupt_keeps_what_was_read(tmp_path: Path) -> None:
    for name in ("part-1-2", "part-2-2"):
        lines(tmp_path / f"{name}.jsonl", [{"confidence": 0.5, "correct": 1}] * 3)
    log = ReadLog()

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    sources = resolve([str(tmp_path)], log=log)
    models = collect(sources, ReadOptions(), log, missing="assert", on_block=interrupt)
    assert sum(m.n_records for m in models.values()) == 3
    assert any("interrupted: this covers the first 3 records only" in w for w in log.warnings)


def test_files_of_different_formats_are_not_pooled(tmp_path: Path) -> None:
    lines(tmp_path / "part-1-2.jsonl", [{"confidence": 0.5, "correct": 1}])
    verl = {
        "input": "q",
        "output": "<confidence>0.5</confidence>",
        "gts": "a",
        "score": 1.0,
        "step": 1,
    }
    lines(tmp_path / "part-2-2.jsonl", [verl])
    log = ReadLog()
    with pytest.raises(RecordError, match="expected files of one format to audit as one model"):
        collect(resolve([str(tmp_path)], log=log), ReadOptions(), log, missing="assert")
