"""Which lists are samples, and which belong to one record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead.readers import ReadLog, ReadOptions, read
from levelhead.records import concat

Row = dict[str, Any]


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


TAGS = "<answer>4</answer><confidence>0.7</confidence>"


@pytest.mark.parametrize(
    ("row", "options", "confidence", "label"),
    [
        # The answer of a majority, beside the samples that it is of.
        ({"confidence": 0.9, "pred": "4", "gold": "4", "responses": ["a", "b"]}, {}, 0.9, 1.0),
        ({"confidence": 0.9, "answer": "4", "gold": "4", "responses": ["a", "b"]}, {}, 0.9, 1.0),
        ({"confidence": 0.9, "pred": "5", "answer": "4", "responses": ["a", "b"]},
         {"gold": "answer"}, 0.9, 0.0),
        ({"response": TAGS, "gold": "4", "responses": ["a", "b"]}, {}, 0.7, 1.0),
        ({"confidence": 0.9, "ok": 1, "response": ["a", "b"]}, {"correct": "ok"}, 0.9, 1.0),
        ({"confidence": 0.9, "prompt_id": "q", "responses": ["a", "b"]},
         {"unlabelled": "answer"}, 0.9, None),
        # Lists under names that a truth may have as well.
        ({"confidence": 0.9, "correct": 1, "resolution": [1920, 1080]}, {}, 0.9, 1.0),
        ({"confidence": 0.9, "correct": 1, "resolution": "[1920, 1080]"}, {}, 0.9, 1.0),
        ({"confidence": 0.9, "pred": "4", "gold": "4", "y": [0, 1]}, {}, 0.9, 1.0),
        ({"confidence": 0.9, "pred": "4", "gold": "4", "event": ["a", "b"]}, {}, 0.9, 1.0),
        # Probabilities of classes.
        ({"probs": [0.1, 0.9], "label": 1, "y": [0, 1]}, {}, 0.9, 1.0),
        ({"probs": [0.1, 0.9], "label": 1, "responses": ["a", "b", "c"]}, {}, 0.9, 1.0),
        ({"probs": [0.1, 0.9], "label": "1", "acc": [0, 1]}, {}, 0.9, 1.0),
        ({"probs": [0.1, 0.9], "k": 1, "responses": ["a", "b"]}, {"gold": "k"}, 0.9, 1.0),
        # The right answer in several spellings.
        ({"confidence": 0.9, "pred": "4", "answer": ["4", "four"], "responses": ["a"]},
         {"gold": "answer"}, 0.9, 1.0),
    ],
)  # fmt: skip
def test_a_row_with_its_own_truth_and_confidence_is_one_record(
    row: Row, options: dict[str, Any], confidence: float, label: float | None, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.jsonl", [row] * 3)
    found = concat(list(read([path], ReadOptions(**options))))
    assert found.confidence.tolist() == [confidence] * 3
    assert [None if np.isnan(y) else y for y in found.label] == [label] * 3


def test_truths_of_samples_that_are_named_outweigh_what_the_row_says(tmp_path: Path) -> None:
    for name, options in (("right", ReadOptions(correct="right")), ("correct", ReadOptions())):
        row = {"confidence": 0.5, "pred": "4", "gold": "4", name: [1, 0]}
        found = concat(list(read([write(tmp_path / f"{name}.jsonl", [row])], options)))
        assert found.label.tolist() == [1.0, 0.0]


def test_labels_of_another_file_are_of_rows(tmp_path: Path) -> None:
    row = {"prompt_id": "q", "confidence": 0.9, "responses": ["a", "b"]}
    labels = tmp_path / "labels.jsonl"
    rows = write(tmp_path / "x.jsonl", [row, {**row, "prompt_id": "r"}])
    labels.write_text('{"prompt_id": "q", "correct": 1}\n{"prompt_id": "r", "correct": 0}\n')
    found = concat(list(read([rows], ReadOptions(labels=labels))))
    assert found.label.tolist() == [1.0, 0.0]


def test_a_text_that_is_asked_for_outweighs_a_confidence(tmp_path: Path) -> None:
    row = {"confidence": 0.9, "pred": "4", "gold": "4", "responses": [TAGS, TAGS]}
    path = write(tmp_path / "x.jsonl", [row] * 2)
    assert (
        concat(list(read([path], ReadOptions(text="responses")))).confidence.tolist() == [0.7] * 4
    )


def test_right_answers_are_no_samples(tmp_path: Path) -> None:
    row = {"confidence": [0.5, 0.6], "pred": ["4", "5"], "answer": ["4", "four", "iv"]}
    log = ReadLog()
    path = write(tmp_path / "x.jsonl", [row] * 2)
    found = concat(list(read([path], ReadOptions(gold="answer"), log)))
    assert found.label.tolist() == [1.0, 0.0] * 2
    many = write(tmp_path / "y.jsonl", [{**row, "answer": ["five", "5"]}] * 2)
    found = concat(list(read([many], ReadOptions(gold="answer", evidence=("*",)))))
    assert found.label.tolist() == [0.0, 1.0] * 2
    assert found.columns["gold"].to_pylist() == [["five", "5"]] * 4
    assert (
        "'answer' holds lists of right answers: any of them is right for every sample" in log.notes
    )
