"""uqlm results: which scorer is meant, labels from elsewhere, names that lost their s."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from levelhead.errors import RecordError
from levelhead.readers._base import Head, ReadLog, ReadOptions
from levelhead.readers.uqlm import READER
from levelhead.records import Predictions, concat


def result(**data: Any) -> dict[str, Any]:
    base = {
        "prompts": ["2+2?", "3+3?"],
        "responses": ["4", "7"],
        "sampled_responses": [["4", "4"], ["7", "6"]],
        "noncontradiction": [0.9, 0.4],
    }
    kept = {k: v for k, v in (base | data).items() if v is not None}
    return {"data": kept, "metadata": {"num_responses": 2}}


def write(folder: Path, content: Any, name: str = "result.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content, indent=1), "utf-8")
    return path


def labels(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def read(path: Path, **options: Any) -> tuple[Predictions, ReadLog]:
    log = ReadLog()
    return concat(list(READER.read(path, ReadOptions(**options), log))), log


def test_gold_answers_from_a_labels_file_joined_by_the_prompt(tmp_path: Path) -> None:
    file = labels(tmp_path, {"prompt": "3+3?", "gold": 6}, {"prompt": "2+2?", "gold": "4.0"})
    p, log = read(write(tmp_path, result()), labels=file)
    assert p.confidence.tolist() == [0.9, 0.4]
    assert p.label.tolist() == [1.0, 0.0]
    assert p.provenance_counts() == {"reported": 2}
    assert p.columns["answer"].to_pylist() == ["4", "7"]
    assert "the confidence is read from 'noncontradiction'" in log.notes
    assert any("joined by the text of the prompt" in note for note in log.notes)


def test_labels_without_prompts_are_joined_by_order(tmp_path: Path) -> None:
    file = labels(tmp_path, {"correct": 0}, {"correct": 1})
    p, log = read(write(tmp_path, result(prompts=None)), labels=file)
    assert p.label.tolist() == [0.0, 1.0]
    assert any("joined by order (2 rows)" in note for note in log.notes)


def test_ids_of_the_labels_do_not_meet_prompts(tmp_path: Path) -> None:
    # uqlm has no ids: ids are never compared with the text of prompts, nor left aside in silence.
    file = labels(tmp_path, {"id": "a", "correct": 0}, {"id": "b", "correct": 1})
    with pytest.raises(RecordError, match=r"'id' cannot be matched: result\.json has nothing"):
        read(write(tmp_path, result()), labels=file)


def test_a_list_of_grades_beside_the_scorers(tmp_path: Path) -> None:
    p, log = read(write(tmp_path, result(correct=[True, False])))
    assert p.label.tolist() == [1.0, 0.0]
    assert "correctness is read from 'correct'" in log.notes
    p, _ = read(write(tmp_path, result(mine=[0, 1])), correct="mine")
    assert p.label.tolist() == [0.0, 1.0]
    with pytest.raises(RecordError, match=r"correct: expected one of .* got 'other'"):
        read(write(tmp_path, result()), correct="other")


def test_without_correctness_the_way_out_is_named(tmp_path: Path) -> None:
    # exact_match is agreement among samples: a confidence, however much it sounds like correctness.
    path = write(tmp_path, result(exact_match=[1.0, 0.0]))
    with pytest.raises(RecordError, match=r"result\.json: uqlm results do not say .* --labels"):
        read(path)


def test_one_of_several_scorers_must_be_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, result(correct=[1, 0], exact_match=[1.0, 0.5], judge_1=[1, 0]))
    with pytest.raises(
        RecordError, match="which of the scorers noncontradiction, exact_match, judge_1 is meant"
    ):
        read(path)
    assert read(path, scorer="exact_match")[0].confidence.tolist() == [1.0, 0.5]
    assert read(path, confidence="judge_1")[0].confidence.tolist() == [1.0, 0.0]
    with pytest.raises(RecordError, match=r"scorer: expected one of noncontradiction.* got 'nope'"):
        read(path, scorer="nope")


@pytest.mark.parametrize("asked", ["ensemble_scores", "ensemble_score"])
@pytest.mark.parametrize("stored", ["ensemble_scores", "ensemble_score"])
def test_to_df_strips_an_s(tmp_path: Path, asked: str, stored: str) -> None:
    records = [
        {"prompt": "2+2?", "response": "4", stored: 0.7, "noncontradiction": 0.1, "grade": 1},
        {"prompt": "3+3?", "response": "7", stored: 0.6, "noncontradiction": 0.1, "grade": 0},
    ]
    p, _ = read(write(tmp_path, records), scorer=asked)
    assert p.confidence.tolist() == [0.7, 0.6]
    assert p.label.tolist() == [1.0, 0.0]
    lines = tmp_path / "result.jsonl"
    lines.write_text("".join(json.dumps(r) + "\n" for r in records))
    assert read(lines, scorer=asked)[0].confidence.tolist() == [0.7, 0.6]


def test_a_score_that_is_missing_is_a_record_without_one(tmp_path: Path) -> None:
    path = write(tmp_path, result(correct=[1, 0], noncontradiction=[None, float("nan")]))
    p, _ = read(path, scorer="noncontradiction")
    assert p.status_counts() == {"missing": 2}
    assert p.label.tolist() == [1.0, 0.0]


def test_prompts_as_messages(tmp_path: Path) -> None:
    prompts = [[{"role": "user", "content": "2+2?"}], [{"role": "user", "content": "2+2?"}]]
    p, _ = read(write(tmp_path, result(prompts=prompts, correct=[1, 0])))
    assert p.clusters is not None
    assert p.clusters.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": [1], "metadata": {}}, "data: expected an object with a list for each scorer"),
        (result(responses=None, correct=[1, 0]), "expected 'responses' with at least one"),
        (result(responses=[], prompts=[]), "expected 'responses' with at least one"),
        (result(noncontradiction=[0.9]), "noncontradiction: expected 2 values.* got 1"),
        (result(prompts=["2+2?"]), "prompts: expected 2 values"),
        (result(correct=[1, 0], noncontradiction=[0.9, 1.7]), ":2: confidence: expected a value"),
        (result(correct=[1, 0.5]), ":2: correct: expected 0 or 1, got 0.5"),
        (result(correct=[1, 0], noncontradiction=None), "which of the scorers none is meant"),
        (result(correct=[1, 0], responses=["4", 5]), ":2: response: expected text"),
        ([1, 2], "expected an array of objects"),
    ],
)
def test_malformed_results(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(RecordError, match=r"result\.json:.*" + message.lstrip(":")):
        read(write(tmp_path, content))


def test_what_is_recognized() -> None:
    path = Path("result.json")
    assert READER.recognizes(Head(path, "json", ("data", "metadata"), result()))
    columns = ("prompt", "response", "noncontradiction")
    assert READER.recognizes(Head(path, "json", columns))
    assert READER.recognizes(Head(path, "jsonl", columns))
    assert not READER.recognizes(Head(path, "jsonl", ("prompt", "response", "correct")))
    assert not READER.recognizes(Head(path, "json", ("data",), {"data": {"prompts": []}}))


def test_the_published_sample(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "formats" / "uqlm_result.json"
    file = labels(tmp_path, {"prompt": "What is 2+2?", "gold": 4})
    p, _ = read(path, labels=file, scorer="semantic_negentropy")
    assert p.confidence.tolist() == [0.42]
    assert p.label.tolist() == [1.0]
    with pytest.raises(RecordError, match="normalized_probability, min_probability"):
        read(path, labels=file)
