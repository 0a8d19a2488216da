"""Rows with lists of samples against the same samples a row each, made by a slow loop."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import RecordError
from levelhead.readers import BATCH_ROWS, ReadLog, ReadOptions, _unfold, load, read
from levelhead.readers._tables import Table
from levelhead.readers._unfold import holds_samples, unfold, unfolded
from levelhead.readers._values import Place
from levelhead.records import Predictions, concat

Row = dict[str, Any]


def write(path: Path, rows: list[Row]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    elif path.suffix == ".arrow":
        table = pa.Table.from_pylist(rows)
        with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=5)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def one_by_one(rows: list[Row], lists: set[str]) -> list[Row]:
    """The oracle: every sample as a row of its own, by a loop."""
    made: list[Row] = []
    for row in rows:
        n = max(len(row[name] or []) for name in lists)
        for j in range(n):
            made.append({
                name: (None if value is None else value[j]) if name in lists else value
                for name, value in row.items()
            })  # fmt: skip
    return made


def same(folded: Predictions, plain: Predictions) -> None:
    for name in ("confidence", "label", "status", "provenance"):
        np.testing.assert_array_equal(getattr(folded, name), getattr(plain, name), err_msg=name)
    ids = [None if one.prompt_id is None else one.prompt_id.to_pylist() for one in (folded, plain)]
    assert ids[0] == ids[1]
    for name in {*folded.columns.column_names, *plain.columns.column_names} - {"location", "row"}:
        assert folded.columns[name].to_pylist() == plain.columns[name].to_pylist(), name


def sampled(n_rows: int, seed: int = 0) -> list[Row]:
    """Rows of 0 to 5 samples with nulls among them and in place of lists."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for i in range(n_rows):
        n = int(rng.integers(0, 6)) if i else 3
        confidence: list[float | None] | None = [
            None if rng.random() < 0.2 else round(float(rng.random()), 3) for _ in range(n)
        ]
        if i % 11 == 5:
            confidence = None
        rows.append({
            "prompt_id": f"q{i}",
            "responses": [f"text {i} {j}" for j in range(n)],
            "correct": [None if rng.random() < 0.1 else bool(rng.random() < 0.5) for _ in range(n)],
            "confidence": confidence,
            "pred": [str(rng.integers(0, 4)) for _ in range(n)],
            "level": i % 3,
            "logprobs": [[-0.5] * (j + 1) for j in range(n)],
            "tags": ["x", "y", "z"][: i % 4],
        })  # fmt: skip
    return rows


LISTS = {"responses", "correct", "confidence", "pred", "logprobs"}
KEPT = ReadOptions(by=("level",), evidence=("logprobs", "tags", "text"))


@pytest.mark.parametrize("kind", ["parquet", "arrow", "jsonl", "json"])
def test_rows_with_lists_are_the_samples_one_by_one(kind: str, tmp_path: Path) -> None:
    rows = sampled(300)
    log = ReadLog()
    folded = concat(list(read([write(tmp_path / f"x.{kind}", rows)], KEPT, log)))
    plain = concat(list(read([write(tmp_path / f"y.{kind}", one_by_one(rows, LISTS))], KEPT)))
    same(folded, plain)
    full = [row for row in rows if row["responses"]]
    total = sum(len(row["responses"]) for row in full)
    assert any(
        f"{len(full)} rows hold 1 to 5 samples each in lists ('correct', 'responses', 'pred', "
        f"'confidence'): {total:,} samples; {300 - len(full)} further rows hold none" in note
        for note in log.notes
    ), log.notes


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_every_record_knows_its_row_and_which_sample_it_is(kind: str, tmp_path: Path) -> None:
    rows = sampled(40)
    path = write(tmp_path / f"x.{kind}", rows)
    found = concat(list(read([path])))
    expected = [
        f"{path}:{i}, sample {j}"
        for i, row in enumerate(rows, start=1)
        for j in range(1, len(row["responses"]) + 1)
    ]
    assert found.columns["location"].to_pylist() == expected


def test_samples_of_a_large_file_say_their_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levelhead.readers.columns.MAX_TEXT_ROWS", 100)
    rows = [{"prompt_id": f"q{i}", "confidence": [0.5] * 16, "correct": [1] * 16} for i in range(9)]
    found = concat(list(read([write(tmp_path / "x.parquet", rows)])))
    assert "location" not in found.columns.column_names  # 9 rows are 144 samples
    assert found.columns["row"].to_pylist() == [i for i in range(1, 10) for _ in range(16)]


def test_blocks_stay_small_and_rows_whole(tmp_path: Path) -> None:
    n, k = 20_000, 16
    rng = np.random.default_rng(0)
    c, y = rng.random(n * k), rng.integers(0, 2, n * k)
    ends = pa.array(np.arange(0, n * k + 1, k), pa.int32())
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({
            "prompt_id": [f"q{i}" for i in range(n)],
            "confidence": pa.ListArray.from_arrays(ends, pa.array(c)),
            "correct": pa.ListArray.from_arrays(ends, pa.array(y)),
        }),
        path,
    )  # fmt: skip
    log = ReadLog()
    blocks = list(read([path], log=log))
    assert max(map(len, blocks)) <= BATCH_ROWS
    assert len(blocks) > 1
    found = concat(blocks)
    np.testing.assert_array_equal(found.confidence, c)
    np.testing.assert_array_equal(found.label, y)
    assert found.clusters is not None
    np.testing.assert_array_equal(found.clusters, np.repeat(np.arange(n), k))
    assert f"{path}: 20,000 rows hold 16 samples each in lists" in log.notes[0]
    assert "320,000 samples" in log.notes[0]


def test_a_row_with_more_samples_than_the_first_ones_comes_in_pieces(tmp_path: Path) -> None:
    rows = [{"prompt_id": "a", "confidence": [0.5], "correct": [1]}] * 120
    n = BATCH_ROWS + 10
    rows.append({"prompt_id": "b", "confidence": [0.25] * n, "correct": [0] * n})
    blocks = list(read([write(tmp_path / "x.parquet", rows)]))
    assert max(map(len, blocks)) <= BATCH_ROWS
    assert sum(map(len, blocks)) == n + 120


def test_millions_of_samples_per_second(tmp_path: Path) -> None:
    n = 1_000_000
    rng = np.random.default_rng(0)
    ends = pa.array(np.arange(0, n + 1, 16), pa.int32())
    lists = [
        pa.ListArray.from_arrays(ends, pa.array(a)) for a in (rng.random(n), rng.integers(0, 2, n))
    ]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(dict(zip(("confidence", "correct"), lists, strict=True))), path)
    start = time.perf_counter()
    assert len(load([path])["x"]) == n
    assert time.perf_counter() - start < 2.0  # 0.1 s; a loop over samples takes more than 3


GOOD = {"prompt_id": "q", "responses": ["a", "b"], "correct": [1, 0], "confidence": [0.9, 0.1]}
MANY = [GOOD] * 150


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([GOOD, {**GOOD, "correct": [1, 0, 1]}],
         "x.KIND:2: expected lists of one length in a row, one value for each sample, got 3 in "
         "'correct', 2 in 'responses', 2 in 'confidence'; correct the row"),
        ([*MANY, {**GOOD, "confidence": []}],
         "x.KIND:151: expected lists of one length in a row, one value for each sample, got 2 in "
         "'correct', 2 in 'responses', 0 in 'confidence'"),
        ([*MANY, {**GOOD, "correct": [1, 2]}], "x.KIND:151: sample 2: correct: expected 0 or 1, got 2"),
        ([*MANY, {**GOOD, "confidence": [0.5, 80.0]}],
         "x.KIND:151: sample 2: confidence: expected values in [0, 1], got 80 at row 151 but 0.9 at "
         "row 1: fractions and percentages are mixed"),
        ([{**GOOD, "responses": "a"}],
         "x.KIND:1: responses: expected a list of 2 values, one for each sample as in 'correct', got "
         "one value; write a list, or one row for each sample"),
        ([{**GOOD, "correct": 1, "confidence": [0.5, 0.5]}],
         "x.KIND:1: correct: expected a list of 2 values, one for each sample as in 'responses'"),
        ([{**GOOD, "responses": [], "correct": [], "confidence": []}] * 2,
         "expected samples in the lists of 'correct', got empty lists in all 2 rows"),
    ],
)  # fmt: skip
def test_errors_name_the_row_and_the_sample(
    rows: list[Row], words: str, kind: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordError) as told:
        list(read([write(tmp_path / f"x.{kind}", rows)]))
    assert words.replace("KIND", kind) in str(told.value)


@pytest.mark.parametrize(
    ("rows", "line", "words"),
    [
        ([GOOD, {**GOOD, "correct": 1}], 2, "got lists in some rows only; write all rows in one way"),
        ([{**GOOD, "correct": 1}, GOOD], 2, "got lists in some rows only"),
        ([*MANY, {**GOOD, "correct": 1}], 151,
         "correct: expected a list in every row, as in the first rows, got single values"),
        ([{**GOOD, "correct": "[1, 0]"}], 1, "got the text of a list; write all rows in one way"),
    ],
)  # fmt: skip
def test_lists_in_some_rows_only_are_refused(
    rows: list[Row], line: int, words: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordError) as told:
        list(read([write(tmp_path / "x.jsonl", rows)]))
    assert f"x.jsonl:{line}: correct: " in str(told.value)
    assert words in str(told.value)


def test_lists_of_mixed_values_are_lists(tmp_path: Path) -> None:
    rows = [
        {"prompt_id": "a", "pred": ["x", 3, None], "correct": [True, 0, None], "confidence": 0.5}
    ] * 2
    log = ReadLog()
    found = concat(list(read([write(tmp_path / "x.jsonl", rows)], log=log)))
    assert found.label.tolist()[:2] == [1.0, 0.0]
    assert np.isnan(found.label[2])
    assert found.columns["answer"].to_pylist() == ["x", "3", None] * 2
    assert found.confidence.tolist() == [0.5] * 6
    assert "'confidence' holds one confidence for all samples of a row" in log.notes


def test_texts_in_lists_are_parsed_and_compared_with_the_right_answer(tmp_path: Path) -> None:
    texts = [f"<answer>{a}</answer><confidence>0.{c}</confidence>" for a, c in ((4, 8), (5, 6))]
    rows = [{"prompt_id": "q", "generations": texts, "answer": "4", "gold": "4"}]
    found = concat(list(read([write(tmp_path / "x.jsonl", [*rows, *rows])])))
    assert found.confidence.tolist() == [0.8, 0.6, 0.8, 0.6]
    assert found.label.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert found.columns["text"].to_pylist() == texts * 2


def test_what_one_value_says_of_a_prompt_is_not_what_a_sample_says(tmp_path: Path) -> None:
    """Evaluations write the right answer as `answer`, and the mean as `acc`, beside the lists."""
    rows = [{"question": "2+2?", "answer": "4", "acc": 0.5, "text": "solve it", "code": ["c", "d"],
             "pred": ["4", "5"], "score": [True, False], "confidence": [0.9, 0.8]}] * 2  # fmt: skip
    path = write(tmp_path / "x.jsonl", rows)
    found = concat(list(read([path], ReadOptions(correct="score", text=None))))
    assert found.columns["answer"].to_pylist() == ["4", "5", "4", "5"]
    assert found.label.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert found.clusters is not None
    assert found.clusters.tolist() == [0, 0, 0, 0]
    graded = concat(list(read([path], ReadOptions(gold="answer"))))
    assert graded.label.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert found.columns["answer"].to_pylist() == graded.columns["answer"].to_pylist()


def test_the_right_answer_is_never_compared_with_itself(tmp_path: Path) -> None:
    rows = [{"answer": "4", "pred": p, "confidence": 0.5} for p in ("4", "5")]
    found = concat(list(read([write(tmp_path / "x.jsonl", rows)], ReadOptions(gold="answer"))))
    assert found.label.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("row", "n"),
    [
        ({"probs": [0.1, 0.9], "label": 1}, 1),  # class probabilities
        ({"confidence": 0.9, "correct": 1, "responses": ["a", "b"]}, 1),  # one answer by majority
        ({"confidence": 0.9, "correct": 1, "answer": ["a", "b"]}, 1),  # spellings of one answer
        ({"confidence": 0.9, "correct": 1, "completion": [{"role": "user", "content": "x"}] * 2}, 1),
        ({"confidence": 0.9, "correct": 1, "y": [0, 1, 0]}, 1),  # classes of one record
        ({"confidence": [0.9, 0.8], "y": [0, 1]}, 2),
        ({"confidence": [0.9, 0.8], "correct": [1, 0], "gold": ["a", "b", "c"]}, 2),
        ({"confidence": [0.9, 0.8], "correct": [1, 0], "answer": ["a", "b", "c"]}, 2),
        ({"confidence": [0.9, 0.8], "correct": [1, 0],
          "messages": [{"role": "user", "content": "x"}] * 2}, 2),
        ({"confidence": [0.9, 0.8], "outcome": [1, 0]}, 2),
        ({"ps": [0.9, 0.8], "ys": [1, 0], "options": {"confidence": "ps", "correct": "ys"}}, 2),
    ],
)  # fmt: skip
def test_which_lists_are_samples(row: Row, n: int, tmp_path: Path) -> None:
    options = ReadOptions(**row.pop("options", {}), evidence=("messages",))
    found = concat(list(read([write(tmp_path / "x.jsonl", [row, row])], options)))
    assert len(found) == 2 * n
    if "messages" in row:
        assert found.columns["messages"].to_pylist() == [row["messages"]] * 4


def test_answers_that_are_named_must_be_as_many_as_the_truths(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{**GOOD, "answer": ["a", "b", "c"]}] * 2)
    with pytest.raises(
        RecordError, match=r"x.jsonl:1: expected lists of one length .* 3 in 'answer'"
    ):
        list(read([path], ReadOptions(answer="answer")))


def test_a_slice_that_stops_being_a_list_of_samples_is_refused(tmp_path: Path) -> None:
    rows = [*[{**GOOD, "tag": ["x", "y"]}] * 120, {**GOOD, "tag": ["x"]}]
    with pytest.raises(
        RecordError, match=r"x.jsonl:121: tag: expected a list of 2 values, one for"
    ):
        list(read([write(tmp_path / "x.jsonl", rows)], ReadOptions(by=("tag",))))


def test_everything_is_kept_sample_by_sample_where_it_is_as_long(tmp_path: Path) -> None:
    rows = [{**GOOD, "finish": ["stop", "length"], "tokens": [3], "extra": [[1], [2, 3]]}] * 3
    options = ReadOptions(evidence=("*",))
    found = concat(list(read([write(tmp_path / "x.jsonl", rows)], options)))
    assert found.columns["finish"].to_pylist() == ["stop", "length"] * 3
    assert found.columns["tokens"].to_pylist() == [[3]] * 6
    assert found.columns["extra"].to_pylist() == [[1], [2, 3]] * 3


def test_weights_models_and_ids_may_be_lists(tmp_path: Path) -> None:
    row = {**GOOD, "prompt_id": ["p", "q"], "weight": [1.0, 2.0], "model": ["m", "n"]}
    found = load([write(tmp_path / "x.jsonl", [row, row])])
    assert {name: one.confidence.tolist() for name, one in found.items()} == {
        "m": [0.9, 0.9],
        "n": [0.1, 0.1],
    }
    assert found["n"].weight is not None
    assert found["n"].weight.tolist() == [2.0, 2.0]
    assert found["n"].prompt_id is not None
    assert found["n"].prompt_id.to_pylist() == ["q", "q"]


def test_holds_samples() -> None:
    words = pa.list_(pa.string())
    chat = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
    assert holds_samples(words)
    assert holds_samples(pa.large_list(pa.bool_()))
    assert holds_samples(pa.list_(pa.null()))
    assert not holds_samples(pa.string())
    assert not holds_samples(words, pa.types.is_integer)
    assert not holds_samples(chat, lambda kind: True)
    assert holds_samples(pa.list_(chat), lambda kind: True)


def table(columns: dict[str, Any]) -> Table:
    data = pa.table(columns)

    def batches(names: Any, size: int) -> Iterator[tuple[dict[str, Any], Place]]:
        for at in range(0, data.num_rows, size):
            part = {n: data[n].combine_chunks().slice(at, size) for n in names}
            yield part, Place(Path("x.parquet"), first=at + 1)

    return Table({f.name: f.type for f in data.schema}, data.num_rows, {}, batches)


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.list_(pa.int64(), 2)])
def test_lists_of_any_layout(kind: pa.DataType) -> None:
    made = table({
        "a": pa.array([[1, 2], None, [3, None]], kind),
        "b": pa.array([["x", "y"], ["z", "w"], ["v", "u"]], pa.large_list(pa.string())),
        "c": pa.array(["p", "q", "p"]).dictionary_encode(),
        "d": pa.array(["p", None, "r"], pa.string_view()),
    })  # fmt: skip
    found = unfold(made, Path("x.parquet"), ReadLog(), needed=["a", "b"])
    assert found.rows == 6
    (columns, place), *rest = found.batches(["a", "b", "c", "d"], 100)
    assert not rest
    assert columns["a"].to_pylist() == [1, 2, None, None, 3, None]
    assert columns["b"].to_pylist() == list("xyzwvu")
    assert columns["c"].to_pylist() == list("ppqqpp")
    assert columns["d"].to_pylist() == ["p", "p", None, None, "r", "r"]
    assert [place.row(i) for i in range(6)] == [1, 1, 2, 2, 3, 3]
    assert "x.parquet:2: sample 2: odd" in str(place.error("odd", 3))


def test_a_table_without_lists_is_the_table_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_unfold, "unfold", None)
    made = table({"confidence": [0.5], "correct": [1], "token_logprobs": [[-0.1]]})
    assert unfolded(made, ReadOptions(), Path("x.parquet"), ReadLog()) is made


def test_rows_are_read_as_few_as_their_samples_are_many() -> None:
    asked: list[int] = []
    plain = table({"a": [[1, 2, 3, 4]] * 5})

    def batches(names: Any, size: int) -> Any:
        asked.append(size)
        return plain.batches(names, size)

    found = unfold(
        Table(plain.schema, plain.rows, {}, batches), Path("x.parquet"), ReadLog(), needed=["a"]
    )
    assert [len(c["a"]) for c, _ in found.batches(["a"], 8)] == [8, 8, 4]
    assert asked[1:] == [2]


@pytest.mark.parametrize(
    ("rows", "line", "words"),
    [
        ([GOOD, {**GOOD, "confidence": 0.5}], 2, "confidence: expected one value in every row, or a"),
        ([{**GOOD, "confidence": 0.5}, GOOD], 2, "confidence: expected one value in every row, or a"),
        ([*[{**GOOD, "confidence": 0.5}] * 110, GOOD], 111,
         "confidence: expected one value in every row, as in the first rows, got a list; write all"),
        ([*[{**GOOD, "weight": [1, 2]}] * 110, {**GOOD, "weight": 1}], 111,
         "weight: expected a list in every row, as in the first rows, got single values"),
    ],
)  # fmt: skip
def test_no_list_is_read_as_the_text_of_itself(
    rows: list[Row], line: int, words: str, tmp_path: Path
) -> None:
    """One row that is written in another way must not cost the numbers of all others."""
    with pytest.raises(RecordError) as told:
        list(read([write(tmp_path / "x.jsonl", rows)]))
    assert f"x.jsonl:{line}: {words}" in str(told.value)


def test_a_column_that_is_asked_for_stays(tmp_path: Path) -> None:
    row = {"text": "2+2?", "responses": ["a", "b"], "correct": [1, 0], "confidence": [0.5, 0.6]}
    path = write(tmp_path / "x.jsonl", [row, {**row, "text": "3+3?"}])
    found = concat(list(read([path], ReadOptions(prompt_id="text"))))
    assert found.clusters is not None
    assert found.clusters.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("named", [{}, {"prompt_id": "q"}, {"question": "2+2?"}])
def test_samples_of_no_prompt_are_warned_of(named: Row, tmp_path: Path) -> None:
    log = ReadLog()
    row = {"correct": [1, 0], "confidence": [0.5, 0.6], **named}
    list(read([write(tmp_path / "x.jsonl", [row] * 2)], ReadOptions(), log))
    told = [w for w in log.warnings if "intervals are too narrow; name a column of prompts" in w]
    assert len(told) == (0 if named else 1)


def test_one_sample_has_no_s(tmp_path: Path) -> None:
    log = ReadLog()
    row = {"prompt_id": "q", "correct": [1], "confidence": [0.5]}
    list(read([write(tmp_path / "x.jsonl", [row])], ReadOptions(), log))
    assert log.notes[-1].endswith(
        "1 row holds 1 sample in lists ('correct', 'confidence'): 1 sample"
    )
