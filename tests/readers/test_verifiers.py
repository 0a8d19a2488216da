"""verifiers results: messages or text, metrics or a reward, rollouts that failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from levelhead.errors import RecordError
from levelhead.readers._base import Head, ReadLog, ReadOptions
from levelhead.readers.verifiers import READER
from levelhead.records import Predictions, concat

TEXT = "<answer>4</answer><confidence>0.9</confidence>"


def rollout(example: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "example_id": example,
        "prompt": [{"role": "user", "content": "What is 2+2?"}],
        "completion": [{"role": "assistant", "content": TEXT}],
        "answer": "4",
        "info": {"level": "easy"},
        "reward": 1.0,
        "error": None,
        "metrics": {},
    } | changes


def read(folder: Path, *rows: Any, **options: Any) -> tuple[Predictions, ReadLog]:
    path = folder / "results.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    log = ReadLog()
    return concat(list(READER.read(path, ReadOptions(**options), log))), log


def test_a_correctness_metric_is_preferred_to_the_reward(tmp_path: Path) -> None:
    metrics = {"correct": 1.0, "fmt": 0.5}
    rows = [
        rollout(reward=0.8, metrics=metrics),
        rollout(reward=0.3, metrics={"correct": 0.0, "fmt": 1.0}),
        rollout(1, reward=0.8, metrics=metrics),
    ]
    p, log = read(tmp_path, *rows)
    assert p.confidence.tolist() == [0.9] * 3
    assert p.label.tolist() == [1.0, 0.0, 1.0]
    assert p.clusters is not None
    assert p.clusters.tolist() == [0, 0, 1]
    assert log.notes == ["correctness is read from 'correct'"]


def test_old_files_have_the_metrics_at_the_top(tmp_path: Path) -> None:
    row = rollout(reward=0.8, exact_match=0)
    del row["metrics"]
    p, _ = read(tmp_path, row)
    assert p.label.tolist() == [0.0]


def test_a_reward_of_0_or_1_is_taken_and_said(tmp_path: Path) -> None:
    p, log = read(tmp_path, rollout(metrics={"fmt": 0.5}), rollout(reward=0))
    assert p.label.tolist() == [1.0, 0.0]
    assert log.notes == ["correctness is read from 'reward' (it must be 0 or 1)"]
    with pytest.raises(RecordError, match=r"results\.jsonl:1: reward: expected 0 or 1, got 0\.8"):
        read(tmp_path, rollout(reward=0.8))


def test_a_metric_can_be_chosen_and_must_be_where_several_fit(tmp_path: Path) -> None:
    row = rollout(metrics={"correct": 1.0, "exact_match": 0.0})
    with pytest.raises(RecordError, match="not clear which of correct, exact_match, reward"):
        read(tmp_path, row)
    assert read(tmp_path, row, scorer="exact_match")[0].label.tolist() == [0.0]
    assert read(tmp_path, row, correct="correct")[0].label.tolist() == [1.0]
    with pytest.raises(RecordError, match="expected one of correct, exact_match, reward, got 'x'"):
        read(tmp_path, row, scorer="x")


def test_completions_are_texts_or_conversations(tmp_path: Path) -> None:
    turns = [
        {"role": "assistant", "content": "<confidence>0.1</confidence>"},
        {"role": "user", "content": "<confidence>0.2</confidence>"},
        {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
        {"role": "tool", "content": "<confidence>0.3</confidence>"},
    ]
    p, _ = read(tmp_path, rollout(completion=TEXT), rollout(completion=turns))
    assert p.confidence.tolist() == [0.9, 0.9]
    p, _ = read(tmp_path, rollout(completion=[]), rollout(completion=None))
    assert p.status_counts() == {"missing": 2}


def test_failed_rollouts_are_counted(tmp_path: Path) -> None:
    p, log = read(tmp_path, rollout(), rollout(error={"error": "Timeout"}, completion=None))
    assert p.status_counts() == {"ok": 1, "missing": 1}
    assert p.row(1).correct is None
    assert any("1 rollouts ended in an error" in warning for warning in log.warnings)
    p, _ = read(tmp_path, rollout(error="Timeout"))
    assert p.row(0).correct is None


def test_without_example_ids_the_prompt_is_the_id(tmp_path: Path) -> None:
    rows = [rollout(), rollout(), rollout(prompt="other")]
    for row in rows:
        del row["example_id"]
    p, _ = read(tmp_path, *rows)
    assert p.clusters is not None
    assert p.clusters.tolist() == [0, 0, 1]
    assert p.columns["prompt"].to_pylist() == ["What is 2+2?", "What is 2+2?", "other"]


def test_slices_come_from_info(tmp_path: Path) -> None:
    p, _ = read(tmp_path, rollout(), by=("level",))
    assert p.columns["level"].to_pylist() == ["easy"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"completion": "x"}, r":1: expected a rollout with 'reward'"),
        (rollout(metrics=[1]), r":1: metrics: expected an object"),
        (rollout(completion=3), r":1: completion: expected text"),
        (rollout(completion=[3]), r":1: completion: expected text"),
        (rollout(metrics={"correct": "perhaps"}), r":1: correct: expected 0 or 1, got 'perhaps'"),
        (rollout(metrics={"correct": 2}), r":1: correct: expected 0 or 1, got 2"),
    ],
)
def test_malformed_rows_name_the_file_and_the_line(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecordError, match=r"results\.jsonl" + message):
        read(tmp_path, row)


def test_a_later_row_without_the_metric(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r":2: scorer: expected one of reward, got 'correct'"):
        read(tmp_path, rollout(metrics={"correct": 1}), rollout())


def test_what_is_recognized() -> None:
    assert READER.recognizes(Head(Path("results.jsonl"), "jsonl", tuple(rollout())))
    assert READER.recognizes(Head(Path("results.jsonl"), "json", ("completion", "reward", "task")))
    assert not READER.recognizes(Head(Path("results.jsonl"), "jsonl", ("completion", "reward")))
    assert not READER.recognizes(Head(Path("results.parquet"), "parquet", tuple(rollout())))


def test_the_published_sample(shared_data: Path) -> None:
    log = ReadLog()
    path = shared_data / "formats" / "verifiers_results.jsonl"
    p = concat(list(READER.read(path, ReadOptions(), log)))
    assert p.confidence.tolist() == [0.9]
    assert p.label.tolist() == [1.0]
    assert p.prompt_id is not None
    assert p.prompt_id.to_pylist() == ["0"]
