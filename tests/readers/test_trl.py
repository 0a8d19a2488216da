"""TRL completions: which reward says what is right, texts and conversations, steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import RecordError
from levelhead.readers import trl
from levelhead.readers._base import Head, ReadLog, ReadOptions
from levelhead.readers.trl import READER
from levelhead.records import Predictions, concat

TEXT = "<think>..</think><answer>4</answer><confidence>0.9</confidence>"


def write(folder: Path, **columns: Any) -> Path:
    path = folder / "completions_00010.parquet"
    base = {
        "step": [10, 10],
        "prompt": ["What is 2+2?", "What is 3+3?"],
        "completion": [TEXT, "no tags"],
        "accuracy_reward": [1.0, 0.0],
        "format_reward": [1.0, 0.0],
        "advantage": [0.7, -0.7],
    }
    table = {k: v for k, v in (base | columns).items() if v is not None}
    pq.write_table(pa.table(table), path)
    return path


def read(path: Path, **options: Any) -> tuple[Predictions, ReadLog]:
    log = ReadLog()
    return concat(list(READER.read(path, ReadOptions(**options), log))), log


def test_the_accuracy_reward_is_correctness(tmp_path: Path) -> None:
    p, log = read(write(tmp_path))
    assert p.model == "completions_00010"
    assert p.row(0).confidence == 0.9
    assert p.status_counts() == {"ok": 1, "missing": 1}
    assert p.label.tolist() == [1.0, 0.0]
    assert p.columns["step"].to_pylist() == [10, 10]
    assert p.prompt_id is not None
    assert p.prompt_id.to_pylist() == ["What is 2+2?", "What is 3+3?"]
    assert p.columns["location"].to_pylist()[1].endswith("completions_00010.parquet:2")
    assert log.notes == ["correctness (a reward of 0 or 1) is read from 'accuracy_reward'"]


def test_another_reward_must_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, accuracy_reward=None, solved=[0, 1])
    with pytest.raises(RecordError, match=r"which of format_reward, solved holds it"):
        read(path)
    assert read(path, correct="solved")[0].label.tolist() == [0.0, 1.0]
    assert read(path, scorer="solved")[0].label.tolist() == [0.0, 1.0]
    with pytest.raises(RecordError, match="expected one of format_reward, solved, got 'advantage'"):
        read(path, correct="advantage")


def test_two_accuracy_rewards_are_not_clear(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="accuracy_reward, format_reward, correct holds it"):
        read(write(tmp_path, correct=[True, False]))


def test_a_shaped_reward_is_no_correctness(tmp_path: Path) -> None:
    path = write(tmp_path, accuracy_reward=[1.0, 0.37])
    with pytest.raises(
        RecordError, match=r"\.parquet:2: accuracy_reward: expected 0 or 1, got 0.37"
    ):
        read(path)


def test_a_reward_that_does_not_apply_is_an_unknown_label(tmp_path: Path) -> None:
    p, _ = read(write(tmp_path, accuracy_reward=[float("nan"), None]))
    assert [p.row(0).correct, p.row(1).correct] == [None, None]


def test_conversations(tmp_path: Path) -> None:
    prompts = [[{"role": "system", "content": "s"}, {"role": "user", "content": "2+2?"}]] * 2
    completions = [[{"role": "assistant", "content": TEXT}], []]
    p, _ = read(write(tmp_path, prompt=prompts, completion=completions))
    assert p.row(0).confidence == 0.9
    assert p.row(1).status == "missing"
    assert p.columns["prompt"].to_pylist() == ["2+2?", "2+2?"]
    assert p.clusters is not None
    assert p.clusters.tolist() == [0, 0]


def test_rows_stream_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trl, "_ROWS", 1)
    p, _ = read(write(tmp_path))
    assert p.columns["location"].to_pylist()[1].endswith(":2")


def test_slices(tmp_path: Path) -> None:
    p, _ = read(write(tmp_path, source=["a", "b"]), by=("source",))
    assert p.columns["source"].to_pylist() == ["a", "b"]
    with pytest.raises(RecordError, match="no record has the field 'other'"):
        read(write(tmp_path), by=("other",))


def test_malformed_files(tmp_path: Path) -> None:
    path = write(tmp_path, completion=[1, 2])
    with pytest.raises(RecordError, match=r"\.parquet:1: completion: expected text"):
        read(path)
    with pytest.raises(RecordError, match="expected a column 'completion'"):
        read(write(tmp_path, completion=None))
    whole = write(tmp_path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match=r"\.parquet: cannot be read"):
        read(path)
    path = write(tmp_path)
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(RecordError, match="at least one record"):
        read(path)
    with pytest.raises(RecordError, match="expected a file"):
        read(tmp_path / "none.parquet")


def test_what_is_recognized() -> None:
    path = Path("completions_1.parquet")
    assert READER.recognizes(Head(path, "parquet", ("step", "prompt", "completion", "r")))
    assert not READER.recognizes(Head(path, "parquet", ("prompt", "completion", "confidence")))
    assert not READER.recognizes(Head(path, "jsonl", ("step", "prompt", "completion")))


def test_the_published_sample(shared_data: Path) -> None:
    p, _ = read(shared_data / "formats" / "trl_completions_00010.parquet")
    assert p.confidence[:3].tolist() == [0.9, 0.8, 1.0]
    assert p.label.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert p.status_counts() == {"ok": 3, "missing": 1}
    assert p.columns["step"].to_pylist() == [10] * 4
