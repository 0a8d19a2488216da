"""Labels from a file of their own: joined by id, by prompt or by order, never by accident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import RecordError
from levelhead.readers._base import ReadLog, ReadOptions
from levelhead.readers._labels import attach_labels, needs_labels
from levelhead.records import Predictions, concat

LOG = Path("log.jsonl")


def block(
    ids: list[str] | None = None, model: str = "m", size: int = 3, **columns: Any
) -> Predictions:
    return Predictions.from_arrays(
        "answer",
        [0.5] * size,
        [None] * size,
        model=model,
        prompt_id=ids,
        columns={"answer": ["4", "5", None][:size], "text": ["4", "5", "6"][:size]} | columns,
    )


def write(folder: Path, *rows: Any, name: str = "labels.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def join(
    labels: Path | None, *blocks: Predictions, ids: bool = True, **options: Any
) -> tuple[list[float | None], ReadLog]:
    log = ReadLog()
    found = attach_labels(blocks, LOG, ReadOptions(labels=labels, **options), log, ids=ids)
    p = concat(list(found))
    return [p.row(i).correct for i in range(len(p))], log


def test_by_id_in_any_order(tmp_path: Path) -> None:
    rows = [{"prompt_id": name, "correct": name == "b"} for name in "cba"]
    labels, log = join(write(tmp_path, *rows), block(["a", "b"], size=2), block(["c"], size=1))
    assert labels == [0.0, 1.0, 0.0]
    assert "labels of labels.jsonl are joined by id" in log.notes
    assert not log.warnings


def test_numbers_and_texts_are_the_same_id(tmp_path: Path) -> None:
    labels, _ = join(write(tmp_path, *({"id": i, "correct": i == 1} for i in range(3))),
                     block(["0", "1", "2"]))  # fmt: skip
    assert labels == [0.0, 1.0, 0.0]


def test_gold_answers_are_compared_with_the_answer_or_the_whole_text(tmp_path: Path) -> None:
    rows = [{"id": "a", "gold": "4.0"}, {"id": "b", "gold": 4}, {"id": "c", "gold": ["6", "7"]}]
    assert join(write(tmp_path, *rows), block(["a", "b", "c"]))[0] == [1.0, 0.0, 1.0]


def test_records_without_a_partner_are_unknown_and_counted(tmp_path: Path) -> None:
    rows = [{"id": "a", "correct": 1}, {"id": "z", "correct": 0}]
    labels, log = join(write(tmp_path, *rows), block(["a", "b", "c"]))
    assert labels == [1.0, None, None]
    assert "2 of 3 records have no label in labels.jsonl" in log.warnings[0]


def test_ids_that_never_meet_are_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, *({"id": name, "correct": 1} for name in "xyz"))
    with pytest.raises(RecordError, match=r"none of the 3 records has its id among the 3.*'x'"):
        join(path, block(["a", "b", "c"]))


def test_an_id_that_occurs_twice_is_an_error(tmp_path: Path) -> None:
    rows = [{"id": "a", "correct": 1}, {"id": "b", "correct": 1}, {"id": "a", "correct": 0}]
    with pytest.raises(RecordError, match=r"labels\.jsonl:3: id: expected each id once, got 'a'"):
        join(write(tmp_path, *rows), block(["a", "b", "c"]))


def test_samples_of_one_prompt_share_a_gold_answer_but_no_correctness(tmp_path: Path) -> None:
    three = block(["a", "a", "a"])
    assert join(write(tmp_path, {"id": "a", "gold": 5}), three)[0] == [0.0, 1.0, 0.0]
    with pytest.raises(RecordError, match=r"'a' has several answers in log\.jsonl"):
        join(write(tmp_path, {"id": "a", "correct": 1}), three)


def test_two_models_may_answer_the_same_prompt(tmp_path: Path) -> None:
    rows = [{"id": "a", "correct": 1}]
    log = ReadLog()
    options = ReadOptions(labels=write(tmp_path, *rows))
    blocks = [block(["a"], "m", 1), block(["a"], "n", 1)]
    found = list(attach_labels(blocks, LOG, options, log))
    assert [b.label.tolist() for b in found] == [[1.0], [1.0]]


def test_by_the_text_of_the_prompt(tmp_path: Path) -> None:
    long = "why? " * 100
    rows = [{"question": long, "correct": 1}, {"question": "b?", "correct": 0}]
    labels, log = join(write(tmp_path, *rows), block(prompt=["b?", long, "b!"]), ids=False)
    assert labels == [0.0, 1.0, None]
    assert any("by the text of the prompt" in note for note in log.notes)


def test_by_order_only_if_the_counts_are_equal(tmp_path: Path) -> None:
    rows = [{"correct": 1}, {"correct": 0}, {"correct": None}]
    labels, log = join(write(tmp_path, *rows), block(size=2), block(size=1))
    assert labels == [1.0, 0.0, None]
    assert any("joined by order (3 rows)" in note for note in log.notes)
    with pytest.raises(RecordError, match=r"one row for each of its 2 records.* got 3 rows"):
        join(write(tmp_path, *rows), block(size=2))


@pytest.mark.parametrize("column", ["id", "question"])
def test_ids_or_prompts_that_the_log_does_not_have_are_never_left_aside(
    column: str, tmp_path: Path
) -> None:
    path = write(tmp_path, *({column: name, "correct": 1} for name in "abc"))
    with pytest.raises(RecordError, match=f"'{column}' cannot be matched.*leave the column out"):
        join(path, block())
    # The log's ids are no prompts.
    if column == "question":
        with pytest.raises(RecordError, match="'question' cannot be matched"):
            join(path, block(["a", "b", "c"]))


def test_ids_of_bytes_meet_their_hexadecimal_form(tmp_path: Path) -> None:
    digests = [bytes([200 + i]) * 16 for i in range(2)]
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"id": pa.array(digests, pa.binary(16)), "correct": [1, 0]}), path)
    assert join(path, block([d.hex() for d in reversed(digests)], size=2))[0] == [0.0, 1.0]


def test_by_order_never_across_models(tmp_path: Path) -> None:
    rows = [{"correct": 1}, {"correct": 0}]
    with pytest.raises(RecordError, match="holds 2 models"):
        join(write(tmp_path, *rows), block(model="m", size=1), block(model="n", size=1))


def test_parquet_and_arrays(tmp_path: Path) -> None:
    parquet = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"id": ["a", "b", "c"], "correct": [True, False, None]}), parquet)
    assert join(parquet, block(["a", "b", "c"]))[0] == [1.0, 0.0, None]
    array = tmp_path / "labels.json"
    array.write_text(json.dumps([{"id": "a", "correct": "yes"}]))
    assert join(array, block(["a"], size=1))[0] == [1.0]


def test_columns_can_be_named(tmp_path: Path) -> None:
    rows = [{"key": "a", "mine": 1, "correct": 0, "right": "4"}]
    path = write(tmp_path, *rows)
    assert join(path, block(["a"], size=1), correct="mine", prompt_id="key")[0] == [1.0]
    with pytest.raises(RecordError, match="expected a column 'other', got key, mine"):
        join(path, block(["a"], size=1), correct="other")
    rows = [{"id": "a", "solution": "4"}]
    assert join(write(tmp_path, *rows), block(["a"], size=1), gold="solution")[0] == [1.0]


def test_without_labels_the_blocks_pass() -> None:
    assert join(None, block(["a", "b", "c"]))[0] == [None, None, None]
    with pytest.raises(RecordError, match=r"log\.jsonl: such files do not say .* --labels"):
        needs_labels(LOG, ReadOptions(), "such files")
    needs_labels(LOG, ReadOptions(labels=Path("x")), "such files")


def test_malformed_labels(tmp_path: Path) -> None:
    one = block(["a"], size=1)
    for rows, message in (
        ([{"id": "a"}], "expected a column 'correct'"),
        ([{"id": "a", "correct": 0.5}], r"labels\.jsonl:1: correct: expected 0 or 1"),
        ([{"id": None, "correct": 1}], r"labels\.jsonl:1: id: expected an id, got none"),
        ([{"id": " ", "correct": 1}], r"labels\.jsonl:1: id: expected an id, got none"),
        ([{"id": float("nan"), "correct": 1}], r"labels\.jsonl:1: id: expected an id, got none"),
        ([{"id": "a", "correct": 1}, 1], r"labels\.jsonl:2: expected a JSON object"),
        ([], "at least one record"),
    ):
        with pytest.raises(RecordError, match=message):
            join(write(tmp_path, *rows), one)
    path = tmp_path / "labels.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(RecordError, match=r"labels\.parquet: cannot be read"):
        join(path, one)
    with pytest.raises(RecordError, match="expected a file"):
        join(tmp_path / "none.jsonl", one)
    path = tmp_path / "labels.json"
    for content, message in (("[]", "at least one label"), ("[1]", "an array of objects")):
        path.write_text(content)
        with pytest.raises(RecordError, match=message):
            join(path, one)
