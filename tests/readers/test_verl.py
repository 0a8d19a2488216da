"""verl rollouts: accuracy or a reward that must be 0 or 1, and rollouts of one prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from levelhead.errors import RecordError
from levelhead.readers._base import Head, ReadLog, ReadOptions
from levelhead.readers.verl import READER
from levelhead.records import Predictions, concat


def rollout(said: str = "4", confidence: str = "0.9", **changes: Any) -> dict[str, Any]:
    return {
        "input": "What is 2+2?",
        "output": f"<answer>{said}</answer><confidence>{confidence}</confidence>",
        "gts": "4",
        "score": 1.0,
        "step": 10,
    } | changes


def read(folder: Path, *rows: Any, **options: Any) -> tuple[Predictions, ReadLog]:
    path = folder / "10.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    log = ReadLog()
    return concat(list(READER.read(path, ReadOptions(**options), log))), log


def test_acc_is_preferred_to_a_shaped_score(tmp_path: Path) -> None:
    rows = [rollout(acc=True, score=0.37), rollout("5", "0.8", acc=False, score=-1.2)]
    p, log = read(tmp_path, *rows)
    assert p.model == "10"
    assert p.confidence.tolist() == [0.9, 0.8]
    assert p.label.tolist() == [1.0, 0.0]
    assert p.columns["step"].to_pylist() == [10, 10]
    assert p.columns["answer"].to_pylist() == ["4", "5"]
    assert p.clusters is not None
    assert p.clusters.tolist() == [0, 0]
    assert log.notes == ["correctness is read from 'acc'"]


def test_a_score_of_0_or_1_is_taken_and_said(tmp_path: Path) -> None:
    p, log = read(tmp_path, rollout(), rollout(score=0))
    assert p.label.tolist() == [1.0, 0.0]
    assert log.notes == ["correctness is read from 'score' (the reward itself: it must be 0 or 1)"]


def test_a_shaped_score_is_no_correctness(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"10\.jsonl:2: score: expected 0 or 1, got 0\.37"):
        read(tmp_path, rollout(), rollout(score=0.37, right=1))
    p, _ = read(tmp_path, rollout(right=0), rollout(score=0.37, right=1), scorer="right")
    assert p.label.tolist() == [0.0, 1.0]
    with pytest.raises(RecordError, match=r":1: scorer: expected one of gts, score, got 'acc'"):
        read(tmp_path, rollout(), correct="acc")


def test_outputs_without_a_confidence_stay(tmp_path: Path) -> None:
    rows = [
        rollout(),
        rollout(output="no tags"),
        rollout(output="<answer>37</answer>"),
        rollout(confidence="very"),
        rollout(confidence="90"),
        rollout(output=None),
    ]
    p, _ = read(tmp_path, *rows)
    assert p.status_counts() == {"ok": 1, "missing": 3, "unparsable": 1, "out_of_range": 1}


def test_conventions_and_patterns_reach_the_parser(tmp_path: Path) -> None:
    p, _ = read(tmp_path, rollout(output="none"), rollout(confidence="about 90"), convention="rlcr")
    assert p.confidence.tolist() == [0.0, 0.9]
    assert p.provenance_counts() == {"parsed": 1, "fallback": 1}
    p, _ = read(tmp_path, rollout(output="p=0.25"), pattern=r"p=(?P<confidence>[\d.]+)")
    assert p.confidence.tolist() == [0.25]


def test_long_prompts_get_a_short_id(tmp_path: Path) -> None:
    long, other = "x" * 500, "x" * 499 + "y"
    p, _ = read(tmp_path, rollout(input=long), rollout(input=other), rollout(input=long))
    assert p.prompt_id is not None
    ids = p.prompt_id.to_pylist()
    assert ids[0] == ids[2] != ids[1]
    assert len(ids[0]) == 24
    assert p.columns["prompt"].to_pylist()[1] == other


def test_slices(tmp_path: Path) -> None:
    p, _ = read(tmp_path, rollout(source="a"), rollout(source=None), by=("source", "step"))
    assert p.columns["source"].to_pylist() == ["a", None]
    assert p.columns["step"].to_pylist() == [10, 10]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"input": "a", "output": "b"}, r":1: expected a rollout with 'score'"),
        (rollout(output=5), r":1: output: expected text"),
        (rollout(score="high"), r":1: score: expected 0 or 1, got 'high'"),
        (rollout(score=[1]), r":1: score: expected 0 or 1"),
        ([1], r":1: expected a JSON object"),
    ],
)
def test_malformed_rows_name_the_file_and_the_line(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(RecordError, match=r"10\.jsonl" + message):
        read(tmp_path, row)


def test_a_later_row_without_the_metric(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r":2: scorer: expected one of gts, score, got 'acc'"):
        read(tmp_path, rollout(acc=1), rollout())
    with pytest.raises(RecordError, match="at least one record"):
        read(tmp_path)


def test_nan_is_an_unknown_label(tmp_path: Path) -> None:
    p, _ = read(tmp_path, rollout(acc=float("nan")), rollout(acc=None))
    assert [p.row(0).correct, p.row(1).correct] == [None, None]


def test_what_is_recognized() -> None:
    assert READER.recognizes(Head(Path("1.jsonl"), "jsonl", tuple(rollout())))
    assert READER.recognizes(Head(Path("1.jsonl"), "json", tuple(rollout())))
    assert not READER.recognizes(Head(Path("1.jsonl"), "jsonl", ("input", "output")))
    assert not READER.recognizes(Head(Path("1.parquet"), "parquet", tuple(rollout())))


def test_the_published_sample(shared_data: Path) -> None:
    log = ReadLog()
    path = shared_data / "formats" / "verl_10.jsonl"
    p = concat(list(READER.read(path, ReadOptions(by=("request_id",)), log)))
    assert p.model == "verl_10"
    assert p.confidence.tolist() == [0.9, 0.8]
    assert p.label.tolist() == [1.0, 0.0]
    assert p.columns["request_id"].to_pylist() == ["abc", "abc"]
