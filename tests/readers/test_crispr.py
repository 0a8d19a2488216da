"""The published prediction files, and small ones like them whose numbers are known by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import RecordError
from levelhead.readers import ReadLog, ReadOptions, load, read
from levelhead.records import Predictions, concat


def table(answers: Any, **columns: Any) -> dict[str, Any]:
    n = len(answers)
    return {
        "pert": pa.array(["G1", "G2"] * n)[:n].dictionary_encode(),
        "hit_prob": [0.9] * n,
        "pheno": list(range(n)),
        "hit": [i % 2 == 0 for i in range(n)],
        "answer": answers,
        **columns,
    }


def one(folder: Path, columns: dict[str, Any], **options: Any) -> Predictions:
    path = folder / "preds-1-1.pq"
    pq.write_table(pa.table(columns), path)
    return concat(list(read([path], ReadOptions(**options))))


def test_strict_and_published_reading_of_the_same_answers(tmp_path: Path) -> None:
    answers = ["30", "0", "100", "70%", "0.5", "a lot", None, ""]
    strict = one(tmp_path, table(answers))
    paper = one(tmp_path, table(answers), convention="paper_compat")
    assert strict.kind == "event"
    assert strict.label.tolist() == [1.0, 0.0] * 4
    nan = np.nan
    np.testing.assert_array_equal(strict.confidence, [0.3, 0.0, 1.0, 0.7, nan, nan, nan, nan])
    assert strict.status_counts() == {"ok": 4, "missing": 2, "unparsable": 1, "out_of_range": 1}
    np.testing.assert_array_equal(paper.confidence, [0.3, 0.01, 0.99, nan, 0.01, nan, nan, nan])
    assert paper.status_counts() == {"ok": 4, "missing": 1, "unparsable": 3}
    assert paper.provenance_counts() == {"parsed": 4, "missing": 4}


@pytest.mark.parametrize("convention", ["levelhead", "paper_compat"])
@pytest.mark.parametrize(
    "answers", [[30.0, 99.0, None], [30.0, 99.0, float("nan")], pa.array([30, 99, None])]
)
def test_answers_may_be_numbers(answers: Any, convention: str, tmp_path: Path) -> None:
    found = one(tmp_path, table(answers), convention=convention)
    np.testing.assert_array_equal(found.confidence, [0.3, 0.99, np.nan])
    assert found.columns["answer"].to_pylist()[:2] in (["30", "99"], ["30.0", "99.0"])


def test_samples_of_one_prompt_are_one_cluster(tmp_path: Path) -> None:
    long = "p" * 500
    by_prompt = one(tmp_path, table(["1", "2", "3"], prompt=[long, long, long + "x"]))
    assert by_prompt.clusters is not None
    assert by_prompt.clusters.tolist() == [0, 0, 1]
    by_gene = one(tmp_path, table(["1", "2", "3"], pheno=[7, 7, 7]))
    assert by_gene.prompt_id is not None
    assert by_gene.prompt_id.to_pylist() == ["G1/7", "G2/7", "G1/7"]


def test_texts_and_slices_come_along(tmp_path: Path) -> None:
    columns = table(["1", "2"], prompt=["p", "q"], thinking_content=["hm", None])
    found = one(tmp_path, columns, by=("pert",))
    assert found.columns["text"].to_pylist() == ["hm", None]
    assert found.columns["prompt"].to_pylist() == ["p", "q"]
    assert found.columns["pert"].to_pylist() == ["G1", "G2"]
    assert found.columns["location"].to_pylist()[1].endswith("preds-1-1.pq:2")
    with pytest.raises(RecordError, match="expected a column named 'gene'"):
        one(tmp_path, columns, by=("gene",))


def test_the_posterior_of_the_truth_is_not_taken_for_a_confidence(tmp_path: Path) -> None:
    columns = table(["1", "2"])
    del columns["answer"]
    with pytest.raises(RecordError, match="expected a column of confidences"):
        one(tmp_path, columns)


def accuracy(p: Predictions) -> float:
    c, y = p.confidence[p.status == 0], p.label[p.status == 0]
    return float(np.mean(np.where(c == 0.5, 0.5, (c > 0.5) == (y == 1))))


def brute_ece(p: Predictions) -> float:
    """Ten right-closed bins of whole percentages, by integer arithmetic."""
    c, y = p.confidence[p.status == 0], p.label[p.status == 0]
    bins: dict[int, list[float]] = {}
    for percent, outcome in zip(np.rint(c * 100).astype(int).tolist(), y.tolist(), strict=True):
        total = bins.setdefault(max(-(-percent // 10), 1), [0.0, 0.0])
        total[0] += percent / 100
        total[1] += outcome
    return sum(abs(said - happened) for said, happened in bins.values()) / len(c)


@pytest.mark.parametrize(
    ("model", "n", "missing", "ece", "right"),
    [
        ("final_grpo", 5608, 1, 0.292213, 0.669966),
        ("final_grpo_no_std", 5608, 0, 0.035806, 0.675731),
    ],
)
def test_the_published_files_give_the_published_numbers(
    shared_data: Path, model: str, n: int, missing: int, ece: float, right: float
) -> None:
    log = ReadLog()
    options = ReadOptions(convention="paper_compat")
    found = load([shared_data / "crispr" / "predictions" / model], options, log)
    assert list(found) == [model]
    p = found[model]
    assert len(p) == n
    assert n - p.status_counts()["ok"] == missing
    assert round(brute_ece(p), 6) == ece
    assert round(accuracy(p), 6) == right
    assert p.clusters is not None
    assert p.clusters.max() + 1 == 1402
    assert any("8 files" in note and model in note for note in log.notes)
    assert not log.warnings


def test_evidence_is_kept_and_the_posterior_of_the_truth_is_none(tmp_path: Path) -> None:
    columns = table(
        ["37", "1"], p_true=[0.25, 0.5], thinking_content=["may", "x"], prompt=["p", "q"]
    )
    found = one(tmp_path, columns, evidence=("p_true", "hit_prob", "hit", "answer", "judges"))
    assert found.columns["p_true"].to_pylist() == [0.25, 0.5]
    assert found.columns["answer"].to_pylist() == ["37", "1"]
    assert not {"hit", "hit_prob", "judges"} & set(found.columns.column_names)


def test_texts_of_a_large_file_are_kept_as_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levelhead.readers.columns.MAX_TEXT_ROWS", 1)
    columns = table(["37", "1"], thinking_content=["may", "x"], prompt=["p", "q"])
    assert one(tmp_path, columns).columns.column_names == ["answer", "location"]
    found = one(tmp_path, columns, evidence=("text",)).columns
    assert found.column_names == ["answer", "text", "location"]
