"""A status column in plain files: what a refusal looks like, and what is none of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import RecordError
from levelhead.readers import ReadLog, ReadOptions, read
from levelhead.readers._status import StatusColumn
from levelhead.readers._values import Place
from levelhead.records import STATUSES, Predictions, concat

PLACE = Place(Path("a.jsonl"))


def lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def one(path: Path, log: ReadLog | None = None, **options: Any) -> Predictions:
    return concat(list(read([path], ReadOptions(**options), log)))


def test_a_refusal_in_a_plain_file(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        {"confidence": 0.9, "correct": 1, "status": "ok"},
        {"confidence": 0.8, "correct": 0, "answer": None, "status": "Refusal"},
        {"confidence": None, "correct": 0, "status": None},
        {"confidence": 0.7, "correct": 0, "status": "unparsable "},
        {"confidence": 0.6, "correct": 1, "status": ""},
    )
    found = one(path)
    assert [STATUSES[code] for code in found.status] == [
        "ok", "refusal", "missing", "unparsable", "ok",
    ]  # fmt: skip
    np.testing.assert_array_equal(found.confidence, [0.9, np.nan, np.nan, np.nan, 0.6])
    assert found.provenance_counts() == {"reported": 2, "missing": 3}
    assert found.label.tolist() == [1, 0, 0, 0, 1]


def test_a_status_that_the_first_records_lack(tmp_path: Path) -> None:
    plain = [{"confidence": 0.9, "correct": 1}] * 300
    path = lines(
        tmp_path / "a.jsonl", *plain, {"confidence": 0.9, "correct": 0, "status": "refusal"}
    )
    assert one(path).status_counts() == {"ok": 300, "refusal": 1}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_in_other_containers(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    words = ["", "refusal", "ok"]
    if kind == "csv":
        rows = [f"0.5,1,{word}" for word in words]
        path.write_text("\n".join(["confidence,correct,Status", *rows]) + "\n")
    else:
        column = pa.array(words).dictionary_encode()
        table = {"confidence": [0.5] * 3, "correct": [1] * 3, "Status": column}
        pq.write_table(pa.table(table), path)
    assert one(path).status.tolist() == [0, STATUSES.index("refusal"), 0]


def test_beside_texts_and_class_scores(tmp_path: Path) -> None:
    text = "<answer>A</answer><confidence>0.5</confidence>"
    records = [{"text": text, "gold": "A", "status": s} for s in ("ok", "refusal")]
    assert one(lines(tmp_path / "a.jsonl", *records)).status.tolist() == [0, 4]
    scores = [{"probs": [0.5, 0.5], "target": 0, "status": s} for s in (None, "missing")]
    assert one(lines(tmp_path / "b.jsonl", *scores)).status.tolist() == [0, 1]


@pytest.mark.parametrize(
    "words", [["success", "success"], [200, 404], ["ok", "finished"], [True, False]]
)
def test_a_status_of_something_else_changes_nothing(words: list[Any], tmp_path: Path) -> None:
    records = [{"confidence": 0.5, "correct": 1, "status": word} for word in words]
    log = ReadLog()
    found = one(lines(tmp_path / "a.jsonl", *records), log, by=("status",))
    assert found.status_counts() == {"ok": 2}
    assert found.columns["status"].to_pylist() == words
    if words[0] == "success":
        assert log.notes == [
            "the column 'status' says 'success', which is no status of a confidence "
            "(ok, missing, unparsable, out_of_range, refusal), and was not used"
        ]


def test_a_word_that_is_none_of_ours_beside_ours(tmp_path: Path) -> None:
    records = [{"confidence": 0.5, "correct": 1, "status": w} for w in ("refusal", "ok", "refused")]
    with pytest.raises(
        RecordError, match="status: expected one of ok, .*, or nothing, got 'refused'"
    ):
        one(lines(tmp_path / "a.jsonl", *records))


def test_batch_after_batch() -> None:
    log = ReadLog()
    column = StatusColumn("status", log)
    assert column.convert(pa.array(["ok", None]), PLACE) is None
    assert column.convert(pa.nulls(2), PLACE) is None
    first = column.convert(pa.array(["ok", "refusal"]), PLACE)
    assert first is not None
    assert first.tolist() == [0, 4]
    after = column.convert(pa.array(["ok", None]), PLACE)
    assert after is not None
    assert after.tolist() == [0, 0]
    with pytest.raises(RecordError, match="got 'done'"):
        column.convert(pa.array(["done"]), PLACE)
    assert not log.notes
