"""RLCR's outputs: the published numbers under its convention, and no stand-ins under ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from levelhead.elicitation import answer_confidence_tags_rlcr
from levelhead.errors import RecordError
from levelhead.readers import ReadLog, ReadOptions, load
from levelhead.records import Predictions

EXACT = 1e-12


def stream(path: Path, columns: dict[str, Any]) -> Path:
    table = pa.table(columns)
    with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return path


def said(confidence: str, answer: str = "A") -> str:
    return f"<answer>{answer}</answer><confidence>{confidence}</confidence>"


def arms(folder: Path, columns: dict[str, Any], log: ReadLog | None = None, **options: Any) -> Any:
    return load([stream(folder / "x.arrow", columns)], ReadOptions(**options), log)


TEXTS = [said("0.8"), said("0"), said("high"), "no tags"]
BASE = {
    "id": [7, 8, 9, 10],
    "problem": ["p", "q", "r", "s"],
    "Base-output_0": TEXTS,
    "Base-evals": [[1], [0], [1], [0]],
    "Base-confidence_levels": [[0.8], [0.0], [0.0], [0.0]],
}


def test_a_stand_in_is_missing_by_default_and_kept_under_rlcr(tmp_path: Path) -> None:
    log = ReadLog()
    ours = arms(tmp_path, BASE, log)["Base"]
    np.testing.assert_array_equal(ours.confidence, [0.8, 0.0, np.nan, np.nan])
    assert ours.status_counts() == {"ok": 2, "missing": 2}
    assert ours.provenance_counts() == {"reported": 2, "fallback": 2}
    assert "2 stored confidences of 0.0 stand for a text without one" in log.warnings[0]
    theirs = arms(tmp_path, BASE, convention="rlcr")["Base"]
    assert theirs.confidence.tolist() == [0.8, 0.0, 0.0, 0.0]
    assert theirs.status_counts() == {"ok": 4}
    assert theirs.provenance_counts() == {"reported": 2, "fallback": 2}
    assert theirs.label.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert theirs.prompt_id is not None
    assert theirs.prompt_id.to_pylist() == ["7", "8", "9", "10"]
    assert theirs.columns["prompt"].to_pylist() == ["p", "q", "r", "s"]
    assert theirs.columns["answer"].to_pylist() == ["A", "A", "A", None]


def test_a_zero_of_the_classifier_is_a_statement(tmp_path: Path) -> None:
    columns = {
        "C-output_0": ["<answer>A</answer>"] * 2,
        "C-evals": [[1], [0]],
        "C-class_output": [[1.0, 0.0], [0.3, 0.7]],
        "C-confidence_levels": [[0.0], [0.7]],
    }
    found = arms(tmp_path, columns)["C"]
    assert found.confidence.tolist() == [0.0, 0.7]
    del columns["C-confidence_levels"]
    found = arms(tmp_path, columns)["C"]
    assert found.confidence.tolist() == [0.0, 0.7]
    assert found.provenance_counts() == {"computed": 2}


def test_a_half_stands_for_an_absent_answer_probability(tmp_path: Path) -> None:
    columns = {
        "Answer-Prob-output_0": ["no tags", "<answer>A</answer>"],
        "Answer-Prob-evals": [[1], [0]],
        "Answer-Prob-confidence_levels": [[0.5], [0.5]],
    }
    found = arms(tmp_path, columns)["Answer-Prob"]
    np.testing.assert_array_equal(found.confidence, [np.nan, 0.5])
    assert (
        arms(tmp_path, columns, convention="rlcr")["Answer-Prob"].confidence.tolist() == [0.5] * 2
    )


def test_texts_are_parsed_where_no_levels_are_stored(tmp_path: Path) -> None:
    columns = {k: v for k, v in BASE.items() if k != "Base-confidence_levels"}
    ours = arms(tmp_path, columns)["Base"]
    assert ours.status_counts() == {"ok": 2, "missing": 1, "unparsable": 1}
    assert ours.provenance_counts() == {"parsed": 2, "missing": 2}
    theirs = arms(tmp_path, columns, convention="rlcr")["Base"]
    assert theirs.confidence.tolist() == BASE["Base-confidence_levels"][0] + [0.0] * 3
    assert theirs.provenance_counts() == {"parsed": 2, "fallback": 2}


def test_several_samples_of_a_row_share_its_prompt(tmp_path: Path) -> None:
    columns = {
        "M-output_0": [said("0.1", "a"), said("0.3", "c")],
        "M-output_1": [said("0.2", "b"), said("0.4", "d")],
        "M-evals": [[1, 0], [0, 1]],
        "M-confidence_levels": [[0.1, 0.2], [0.3, 0.4]],
        "subject": ["x", "y"],
    }
    found = arms(tmp_path, columns, by=("subject",))["M"]
    assert found.confidence.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert found.label.tolist() == [1.0, 0.0, 0.0, 1.0]
    assert found.columns["answer"].to_pylist() == ["a", "b", "c", "d"]
    assert found.columns["subject"].to_pylist() == ["x", "x", "y", "y"]
    assert found.clusters is not None
    assert found.clusters.tolist() == [0, 0, 1, 1]


def test_rows_without_an_id_are_told_apart_across_shards(tmp_path: Path) -> None:
    columns = {"M-evals": [[1], [0]], "M-confidence_levels": [[0.1], [0.2]]}
    for i in range(2):
        stream(tmp_path / f"data-0000{i}-of-00002.arrow", columns)
    found = load([tmp_path])["M"]
    assert len(found) == 4
    assert found.clusters is None


def test_levels_that_are_null_or_nan_are_missing(tmp_path: Path) -> None:
    columns = {
        "M-evals": [[1], [0], [None]],
        "M-confidence_levels": [None, [float("nan")], [0.3]],
    }
    found = arms(tmp_path, columns, convention="rlcr")["M"]
    assert found.status_counts() == {"ok": 1, "missing": 2}
    np.testing.assert_array_equal(found.label, [1.0, 0.0, np.nan])


def test_a_level_above_one_names_the_row(tmp_path: Path) -> None:
    columns = {"M-evals": [[1], [0]], "M-confidence_levels": [[0.5], [87.0]]}
    with pytest.raises(RecordError, match=r"x\.arrow:2: confidence: .* got 87\.0; percentages"):
        arms(tmp_path, columns)


def metrics(p: Predictions) -> dict[str, float]:
    """RLCR's evaluation by loops: left-closed bins, tie-averaged AUROC."""
    c, y = p.confidence, p.label
    bins = np.minimum(np.floor(c * 10 + 1e-9), 9)
    ece = sum(abs((c - y)[bins == b].sum()) for b in range(10)) / len(c)
    right, wrong = c[y == 1], c[y == 0]
    order = np.sign(right[:, None] - wrong[None, :])
    return {
        "brier_score": float(np.mean((c - y) ** 2)),
        "ece": float(ece),
        "auroc": float((order.mean() + 1) / 2),
        "accuracy": float(y.mean()),
        "confidence level": float(c.mean()),
    }


def test_the_published_numbers(shared_data: Path) -> None:
    folder = shared_data / "rlcr" / "commonsenseqa"
    published = json.loads((folder / "metrics.json").read_text())
    found = load([folder], ReadOptions(convention="rlcr"))
    assert set(found) == set(published)
    for arm, p in found.items():
        assert len(p) == 1221
        for name, value in metrics(p).items():
            assert value == pytest.approx(published[arm][name], abs=EXACT), (arm, name)


@pytest.mark.parametrize("inner", ["rlcr/commonsenseqa", "formats/rlcr_sample.arrow"])
def test_the_stored_levels_are_what_their_parser_finds(shared_data: Path, inner: str) -> None:
    found = load([shared_data / inner], ReadOptions(convention="rlcr"))
    for arm, p in found.items():
        if arm == "RLVR-Classifier":  # its texts hold no confidence
            continue
        parsed = [answer_confidence_tags_rlcr(t).confidence for t in p.columns["text"].to_pylist()]
        assert parsed == p.confidence.tolist(), arm


def test_evidence_is_kept_and_the_right_answer_is_not_taken_for_the_given_one(
    tmp_path: Path,
) -> None:
    columns = BASE | {"answer": ["G", "H", "I", "J"], "pass_rate": [0.1, 0.2, 0.3, 0.4]}
    found = arms(tmp_path, columns, evidence=("answer", "text", "pass_rate", "cluster"))["Base"]
    assert found.columns["pass_rate"].to_pylist() == [0.1, 0.2, 0.3, 0.4]
    assert found.columns["answer"].to_pylist() == ["A", "A", "A", None]
    assert found.columns["text"].to_pylist() == TEXTS
    assert "cluster" not in found.columns.column_names
