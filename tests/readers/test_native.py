"""levelhead's own files: exact round trips are in test_records; here is what else they promise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers import ReadLog, ReadOptions, load, read, write
from levelhead.records import Predictions, concat

P = Predictions.from_arrays(
    "event", [0.9, None], [1, 0], model="base", status=[0, 4], columns={"topic": ["a", "b"]}
)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_the_file_is_recognized_and_keeps_model_status_and_columns(
    suffix: str, tmp_path: Path
) -> None:
    log = ReadLog()
    path = tmp_path / f"renamed.{suffix}"
    write(path, P)
    (found,) = read([path], ReadOptions(by=("topic",)), log)
    assert (found.model, found.kind) == ("base", "event")
    assert found.status_counts() == {"ok": 1, "refusal": 1}
    assert found.columns.column_names == ["topic"]
    assert log.notes[0].startswith("read as levelhead:")


def test_a_newer_schema_is_refused_and_an_older_one_read(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for version, fine in (("2", False), ("x", False), ("1", True), ("0", True)):
        table = P.to_table().replace_schema_metadata({"levelhead.schema_version": version})
        pq.write_table(table, path)
        if fine:
            assert len(concat(list(read([path])))) == 2
        else:
            with pytest.raises(RecordError, match=f"version 1 or older, got {version}; update"):
                list(read([path]))


def test_a_kind_that_the_columns_contradict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = P.to_table().replace_schema_metadata({"levelhead.kind": "answer"})
    pq.write_table(table, path)
    with pytest.raises(RecordError, match="got 'answer' predictions without it"):
        list(read([path]))


def test_files_of_one_format_can_be_put_behind_one_another(tmp_path: Path) -> None:
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write(a, P)
    write(b, P)
    both = tmp_path / "both.jsonl"
    both.write_text(a.read_text() + b.read_text())
    assert len(load([both])["base"]) == 4


def test_only_the_first_record_says_what_the_file_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, P)
    first, second = map(json.loads, path.read_text().splitlines())
    assert first["levelhead.schema_version"] == "1"
    assert set(first) - set(second) == {"levelhead.schema_version", "levelhead.kind"}


def test_several_models_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    tables = [P.to_table(), Predictions.from_arrays("event", [0.5], [1], model="tuned").to_table()]
    pq.write_table(pa.concat_tables(tables, promote_options="default"), path)
    assert {m: len(p) for m, p in load([path]).items()} == {"base": 2, "tuned": 1}


def test_nothing_is_left_behind_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.parquet"
    write(path, P)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(RecordError, match="cannot be written: .*No space left"):
        write(path, P)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no folder"):
        write(tmp_path / "no" / "x.parquet", P)
    with pytest.raises(InvalidInputError, match=r"expected \.parquet, \.pq, \.jsonl or \.ndjson"):
        write(tmp_path / "x.csv", P)
    with pytest.raises(InvalidInputError, match="at least one record"):
        write(tmp_path / "x.parquet", P.take(np.array([], dtype=np.int64)))


def test_a_file_of_several_models_says_which_row_is_whose(tmp_path: Path) -> None:
    path = tmp_path / "base.parquet"
    parts = [
        Predictions.from_arrays("answer", [c] * 2, [1, 0], model=name).to_table()
        for name, c in (("a", 0.1), ("b", 0.2), ("a", 0.3))
    ]
    pq.write_table(pa.concat_tables(parts), path)
    found = load([path])
    assert found["a"].columns["row"].to_pylist() == [1, 2, 5, 6]
    assert found["b"].columns["row"].to_pylist() == [3, 4]
    pq.write_table(parts[0], path)
    assert load([path])["a"].columns.num_columns == 0


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_list_columns_come_back_exactly(suffix: str, tmp_path: Path) -> None:
    lists = {
        "probs": [[0.1, 0.9], None, [0.2, 0.3, 0.5]],
        "logits": [[-1e300, 2.5], [0.1, 0.2], None],
        "token_logprobs": [[-0.5, 0.0], [-1 / 3], []],
        "top_logprobs": [[[-0.1, -3.0], [-0.2]], None, []],
    }
    path = tmp_path / f"x.{suffix}"
    write(path, Predictions.from_arrays("answer", [0.9, 0.5, 0.5], [1, 0, 1], columns=lists))
    (found,) = read([path], ReadOptions(evidence=("probs", "no_such_column")))
    assert found.columns.to_pydict() == lists
