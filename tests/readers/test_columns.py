"""Plain columns: names, types, percentages, labels, texts, class probabilities, and row helpers."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import RecordError
from levelhead.readers import BATCH_ROWS, ReadLog, ReadOptions, load, read, sniff
from levelhead.readers._columns import RowBuilder, answer_key, as_label, grade, parse_text
from levelhead.readers._roles import CONFIDENCE, CORRECT, OUTCOME
from levelhead.records import Predictions, concat


def write(folder: Path, columns: dict[str, Any], kind: str = "parquet") -> Path:
    path = folder / f"preds.{kind}"
    table = pa.table(columns)
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "arrow":
        with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    elif kind == "feather":
        with path.open("wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    elif kind == "csv":
        rows = [
            ",".join("" if v is None else str(v) for v in r.values()) for r in table.to_pylist()
        ]
        path.write_text("\n".join([",".join(table.column_names), *rows]) + "\n")
    elif kind == "json":
        path.write_text(json.dumps(table.to_pylist(), indent=1))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return path


def one(
    folder: Path, columns: dict[str, Any], log: ReadLog | None = None, **options: Any
) -> Predictions:
    return concat(list(read([write(folder, columns)], ReadOptions(**options), log)))


@pytest.mark.parametrize("kind", ["parquet", "arrow", "feather", "csv", "json", "jsonl"])
def test_every_container_gives_the_same_records(kind: str, tmp_path: Path) -> None:
    columns = {
        "confidence": [0.9, None, 0.25, 1.0, 0.0],
        "correct": [1, 0, None, 1, 0],
        "prompt_id": ["a", "a", "b", "c", "d"],
        "weight": [1.0, 2.0, 0.5, 1.0, 0.0],
        "answer": ["A", "B", "C", "D", "E"],
        "subject": ["x", "y", "x", "y", "x"],
    }
    path = write(tmp_path, columns, kind)
    found = concat(list(read([path], ReadOptions(by=("subject",)))))
    assert (found.kind, found.model) == ("answer", "preds")
    np.testing.assert_array_equal(found.confidence, [0.9, np.nan, 0.25, 1.0, 0.0])
    np.testing.assert_array_equal(found.label, [1, 0, np.nan, 1, 0])
    assert found.status_counts() == {"ok": 4, "missing": 1}
    assert found.provenance_counts() == {"reported": 4, "missing": 1}
    assert found.clusters is not None
    assert found.clusters.tolist() == [0, 0, 1, 2, 3]
    assert found.weight is not None
    assert found.weight.tolist() == columns["weight"]
    assert found.columns["answer"].to_pylist() == columns["answer"]
    assert found.columns["subject"].to_pylist() == columns["subject"]
    line = {"csv": 3}.get(kind, 2)
    assert found.columns["location"][1].as_py() == f"{path}:{line}"


@pytest.mark.parametrize("name", CONFIDENCE)
def test_usual_names_of_a_confidence_are_found_and_said_aloud(name: str, tmp_path: Path) -> None:
    log = ReadLog()
    found = one(tmp_path, {name: [0.25], "correct": [1]}, log)
    assert found.confidence.tolist() == [0.25]
    expected = [] if name == "confidence" else [f"read {name!r} as the confidence"]
    assert log.notes == expected


@pytest.mark.parametrize("name", [*CORRECT, *OUTCOME, "Is Correct", "is-correct"])
def test_usual_names_of_a_truth_decide_the_kind(name: str, tmp_path: Path) -> None:
    log = ReadLog()
    found = one(tmp_path, {"Confidence": [0.25], name: [True]}, log)
    assert found.kind == ("event" if name in OUTCOME else "answer")
    assert found.label.tolist() == [1.0]
    role = "outcome" if name in OUTCOME else "correctness"
    assert (f"read {name!r} as the {role}" in log.notes) == (name not in ("correct", "outcome"))


def test_the_users_names_win(tmp_path: Path) -> None:
    columns = {"confidence": [0.1], "mine": [0.9], "correct": [0], "hit": [1], "my id": [5]}
    found = one(tmp_path, columns, confidence="mine", outcome="hit", prompt_id="my id")
    assert (found.kind, found.confidence.tolist(), found.label.tolist()) == ("event", [0.9], [1.0])
    assert found.prompt_id is not None
    assert found.prompt_id.to_pylist() == ["5"]
    for option in ("confidence", "correct", "outcome", "prompt_id", "weight", "gold"):
        with pytest.raises(RecordError, match="expected a column named 'mi'.*did you mean 'mine'"):
            one(tmp_path, columns, **{option: "mi"})
    with pytest.raises(RecordError, match="--by: expected a column named 'topic', the file has"):
        one(tmp_path, columns, outcome="hit", by=("topic",))
    with pytest.raises(
        RecordError, match="--split-by: expected a column named 'topic', the file has"
    ):
        one(tmp_path, columns, outcome="hit", by=("topic",), asked=(("topic", "--split-by"),))
    with pytest.raises(RecordError, match="--keep: expected a column named 'topic', the file has"):
        one(tmp_path, columns, outcome="hit", asked=(("topic", "--keep"),))


def test_everything_can_be_kept(tmp_path: Path) -> None:
    columns = {
        "confidence": [0.1],
        "correct": [0],
        "id": ["a"],
        "x": [2],
        "answer": ["B"],
        "c": [[1]],
    }
    found = one(tmp_path, columns, evidence=("*",)).columns
    assert {"x", "c", "answer"} <= set(found.column_names)
    assert {"confidence", "correct"}.isdisjoint(found.column_names)
    assert found["c"].to_pylist() == [[1]]
    assert "x" not in one(tmp_path, columns).columns.column_names
    for columns in ({"stated_confidence": [0.1], "is_correct": [0]}, {"p": [0.1], "y": [0]}):
        found = one(tmp_path, columns, evidence=("*",)).columns  # no second time by its own name
        assert found.column_names == ["location"]


def test_a_predicted_class_or_a_text_is_no_confidence(tmp_path: Path) -> None:
    columns = {"confidence": [0.7], "prediction": [1], "p": ["text"], "correct": [1]}
    assert one(tmp_path, columns).confidence.tolist() == [0.7]


def test_a_repeated_prompt_makes_the_clusters(tmp_path: Path) -> None:
    log = ReadLog()
    columns = {"confidence": [0.1] * 3, "correct": [1] * 3, "question": ["q" * 99, "r", "q" * 99]}
    found = one(tmp_path, columns, log)
    assert found.clusters is not None
    assert found.clusters.tolist() == [0, 1, 0]
    assert any("'question' count as samples of one prompt" in note for note in log.notes)


def test_percentages_are_divided_only_when_the_user_says_so(tmp_path: Path) -> None:
    columns = {"confidence": [87.0, 1.0, 0.5, 0.0], "correct": [1] * 4}
    assert one(tmp_path, columns, percent=True).confidence.tolist() == [0.87, 0.01, 0.005, 0.0]
    with pytest.raises(RecordError, match="fractions and percentages are mixed"):
        one(tmp_path, columns)
    with pytest.raises(RecordError, match=r"expected percentages in \[0, 100\], got 101"):
        one(tmp_path, {"confidence": [101.0], "correct": [1]}, percent=True)
    log = ReadLog()
    one(tmp_path, {"confidence": [0.5], "correct": [1]}, log, percent=True)
    assert "no confidence is above 1" in log.warnings[0]


def test_a_percent_sign_is_unambiguous(tmp_path: Path) -> None:
    columns = {"confidence": ["80%", "0.8", "8%", "1"], "correct": [1] * 4}
    assert one(tmp_path, columns).confidence.tolist() == [0.8, 0.8, 0.08, 1.0]
    found = one(tmp_path, {**columns, "confidence": ["80%", "80", "8%", "1"]}, percent=True)
    assert found.confidence.tolist() == [0.8, 0.8, 0.08, 0.01]


def test_class_probabilities(tmp_path: Path) -> None:
    log = ReadLog()
    probs = [[0.2, 0.5, 0.3], None, [0.25, 0.75], [0.5, 0.5], [0.1, float("nan")], []]
    found = one(tmp_path, {"probs": probs, "label": [1, 0, 0, 0, 1, 1]}, log)
    np.testing.assert_array_equal(found.confidence, [0.5, np.nan, 0.75, 0.5, np.nan, np.nan])
    np.testing.assert_array_equal(found.label, [1, np.nan, 0, 1, 0, np.nan])
    assert found.status_counts() == {"ok": 3, "missing": 2, "unparsable": 1}
    assert found.columns["probs"].to_pylist()[0] == probs[0]
    assert found.columns["target_index"].to_pylist() == [1, 0, 0, 0, 1, 1]
    assert "the largest probability in 'probs'" in log.notes[0]


def test_logits_go_through_a_stable_softmax(tmp_path: Path) -> None:
    log = ReadLog()
    logits = [[1000.0, 1000.0 + math.log(3)], [0.0, -1e9], [2.0, 0.0]]
    found = one(tmp_path, {"logits": logits, "target": ["1", "0", None]}, log)
    softmax = 1 / (1 + math.exp(-2.0))
    np.testing.assert_allclose(found.confidence, [0.75, 1.0, softmax], rtol=1e-12)
    np.testing.assert_array_equal(found.label, [1, 1, np.nan])
    assert "softmax" in log.notes[0]
    assert found.columns["logits"].to_pylist() == logits
    assert found.columns["target_index"].to_pylist() == ["1", "0", None]
    assert "probs" not in found.columns.column_names


def test_a_fixed_size_list_is_a_list(tmp_path: Path) -> None:
    probs = pa.array([[0.2, 0.8], [0.6, 0.4]], pa.list_(pa.float32(), 2))
    found = one(tmp_path, {"probs": probs, "label": [1, 1]})
    assert found.label.tolist() == [1.0, 0.0]
    np.testing.assert_allclose(found.confidence, [0.8, 0.6], rtol=1e-7)


TAGGED = [
    "<answer>Paris.</answer><confidence>0.9</confidence>",
    "<answer>rome</answer><confidence>0.4</confidence>",
    "no idea",
    None,
]


def test_texts_are_parsed_and_compared_with_the_gold(tmp_path: Path) -> None:
    log = ReadLog()
    columns = {"response": TAGGED, "gold": ["paris", "Oslo", "x", "y"]}
    found = one(tmp_path, columns, log)
    np.testing.assert_array_equal(found.confidence, [0.9, 0.4, np.nan, np.nan])
    assert found.label.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert found.columns["answer"].to_pylist() == ["Paris.", "rome", None, None]
    assert found.columns["text"].to_pylist() == TAGGED
    assert found.provenance_counts() == {"parsed": 2, "missing": 2}
    assert any("answer_confidence_tags" in note for note in log.notes)


def test_given_answers_are_compared_with_the_right_ones(tmp_path: Path) -> None:
    columns = {"confidence": [0.5, 0.6], "answer": ["B", "C"], "label": ["b)", "D"]}
    assert one(tmp_path, columns, gold="label").label.tolist() == [1.0, 0.0]
    del columns["answer"]
    with pytest.raises(RecordError, match="beside the right ones in 'label'.*--answer"):
        one(tmp_path, columns, gold="label")


def test_a_text_with_a_label_a_pattern_and_a_convention(tmp_path: Path) -> None:
    percent = {"output": ["<answer>37</answer>", "<answer>0.5</answer>"], "outcome": [1, 0]}
    found = one(tmp_path, percent)
    assert found.kind == "event"
    assert found.status_counts() == {"ok": 1, "out_of_range": 1}
    graded = {"output": ["<answer>37</answer>"], "gold": ["37"]}
    with pytest.raises(RecordError, match="got percentages in the answer tags; name the column"):
        one(tmp_path, graded, elicitation="percent_tag")
    both = {"output": ["<answer>37.9</answer>, <answer>5</answer>"], "outcome": [1]}
    assert one(tmp_path, both).confidence.tolist() == [0.05]
    assert one(tmp_path, both, convention="paper_compat").confidence.tolist() == [0.37]
    tagged = {"text": TAGGED[:3], "correct": [1, 0, 0]}
    assert one(tmp_path, tagged, convention="rlcr").confidence.tolist() == [0.9, 0.4, 0.0]
    sure = {"note": ["I am 80 sure"], "correct": [1]}
    pattern = r"(?P<confidence>\d+) sure"
    found = one(tmp_path, sure, text="note", pattern=pattern, percent=True)
    assert found.confidence.tolist() == [0.8]


def test_a_file_of_several_models_gives_blocks_of_each(tmp_path: Path) -> None:
    columns = {"confidence": [0.1, 0.2, 0.3], "correct": [1, 0, 1], "model": ["a", "b", "a"]}
    path = write(tmp_path, columns)
    blocks = {b.model: b.confidence.tolist() for b in read([path])}
    assert blocks == {"a": [0.1, 0.3], "b": [0.2]}
    assert list(load([path])) == ["a", "b"]
    other = path.with_name("other.parquet")
    other.write_bytes(path.read_bytes())
    assert list(load([path, other])) == ["preds/a", "preds/b", "other/a", "other/b"]


def test_labels_of_a_file_of_their_own_are_joined(tmp_path: Path) -> None:
    path = write(tmp_path, {"confidence": [0.1, 0.2], "id": ["a", "b"]})
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"id": "b", "correct": 1}\n{"id": "a", "correct": 0}\n')
    found = concat(list(read([path], ReadOptions(labels=labels))))
    assert found.label.tolist() == [0.0, 1.0]


def test_blocks_are_no_larger_than_promised(tmp_path: Path) -> None:
    n = 2 * BATCH_ROWS + 5
    rng = np.random.default_rng(0)
    columns = {"confidence": rng.random(n), "correct": rng.integers(0, 2, n)}
    blocks = list(read([write(tmp_path, columns)]))
    assert max(map(len, blocks)) <= BATCH_ROWS
    found = concat(blocks)
    np.testing.assert_array_equal(found.confidence, columns["confidence"])
    np.testing.assert_array_equal(found.label, columns["correct"])


@pytest.mark.parametrize(
    ("content", "container"),
    [
        ('{"a": 1}\n{"a": 2}\n', "jsonl"),
        ('{"a": 1}', "json"),
        ('{\n "a": 1\n}', "json"),
        ("[]", "json"),
        ("\ufeff[1]", "json"),
        ('{"a": 1}\n\n\n', "json"),
        ("PAR1", "parquet"),
        ("ARROW1", "arrow"),
        ("PK\x05\x06" + "\0" * 18, "zip"),
        ("what", "unknown"),
    ],
)
def test_the_first_bytes_decide_and_not_the_name(
    content: str, container: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.dat"
    path.write_text(content)
    if container in ("parquet", "arrow"):
        with pytest.raises(RecordError, match="cannot be read"):
            sniff(path)
    else:
        assert sniff(path).container == container


LABELS = [
    (True, 1.0), (False, 0.0), (1, 1.0), (0, 0.0), (1.0, 1.0), (np.int8(1), 1.0),
    (np.bool_(False), 0.0), ("C", 1.0), ("I", 0.0), (" Correct ", 1.0), ("incorrect", 0.0),
    ("TRUE", 1.0), ("false", 0.0), ("1", 1.0), ("0.0", 0.0), (None, None), (math.nan, None),
    ("", None), ("nan", None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "label"), LABELS)
def test_as_label(value: Any, label: float | None) -> None:
    assert as_label(value, name="c", path="f", line=1) == label


@pytest.mark.parametrize("value", [0.5, 2, -1, 37.0, "P", "maybe", [1], {}, b"1", math.inf])
def test_what_is_no_label(value: Any) -> None:
    with pytest.raises(RecordError, match="f:3: c: expected 0 or 1, got .*--correct"):
        as_label(value, name="c", path="f", line=3)


GRADES = [
    ("Paris", "paris", 1.0), (" Paris. ", "paris", 1.0), ("new  york", "New York", 1.0),
    ("Paris", "Rome", 0.0), (None, "Rome", 0.0), ("x", None, None), ("x", math.nan, None),
    ("1,000", 1000, 1.0), ("3.0", "3", 1.0), ("0.5", ".50", 1.0), (".5", "5", 0.0), ("5.", "5", 1.0),
    ("1,00", "100", 0.0),
    ("-3", "3", 0.0), ("$5", "5", 1.0), ("\\boxed{42}", "42", 1.0), ("A) bank", "A", 1.0),
    ("(A)", "a", 1.0), ("A", "A) bank", 1.0), ("bank", "A) bank", 1.0), ("B) bank", "A", 0.0),
    ("A) bank", "A) library", 0.0), ("A.", "(A)", 1.0), ("Option A", "A", 1.0),
    ("A", "Option A which is : bank", 1.0), ("A bank", "A", 0.0), ("Paris", ["Rome", "paris"], 1.0),
    ("Paris", [None], None), ("Paris", [], None), ("", "x", 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "gold", "right"), GRADES)
def test_grade(answer: str | None, gold: Any, right: float | None) -> None:
    assert grade(answer, gold) == right


def test_parse_text_follows_the_options() -> None:
    tagged = "<answer>37</answer><confidence>80</confidence>"
    assert parse_text(tagged, ReadOptions()).status == "out_of_range"
    assert parse_text(tagged, ReadOptions(convention="rlcr")).confidence == 0.8
    assert parse_text(tagged, ReadOptions(elicitation="percent_tag")).confidence == 0.37
    assert (
        parse_text(tagged, ReadOptions(pattern=r">(?P<confidence>\d)7<")).status == "out_of_range"
    )
    assert parse_text("no tags", ReadOptions()).status == "missing"
    assert parse_text(None, ReadOptions()).status == "missing"


def builder(**options: Any) -> RowBuilder:
    return RowBuilder("answer", "m", Path("log.json"), ReadOptions(**options), ReadLog())


def test_the_builder_keeps_every_row_and_empties_itself() -> None:
    rows = builder()
    rows.add(confidence=0.9, label=1.0, prompt_id=7, line=3, answer="A", text="t")
    rows.add(confidence=None, label=None, line=4, probs=[0.1, 0.9])
    rows.add(confidence=math.nan, label=0.0, status="ok", provenance="parsed")
    rows.add(confidence=0.3, label=0.0, status="refusal", weight=2.0, answer=5)
    rows.add(confidence=math.inf, label=0.0, answer="\ud800")
    assert len(rows) == 5
    block = rows.block()
    np.testing.assert_array_equal(block.confidence, [0.9] + [np.nan] * 4)
    assert block.status.tolist() == [0, 1, 1, 4, 3]
    assert block.provenance.tolist() == [0, 4, 1, 4, 4]
    assert block.weight is not None
    assert block.weight.tolist() == [1.0, 1.0, 1.0, 2.0, 1.0]
    assert block.columns["answer"].to_pylist() == ["A", None, None, "5", "?"]
    assert block.columns["probs"].to_pylist() == [None, [0.1, 0.9], None, None, None]
    assert block.columns["location"].to_pylist()[:3] == ["log.json:3", "log.json:4", "log.json"]
    assert len(rows) == 0
    assert not rows.full()


def test_the_builder_checks_the_scale() -> None:
    with pytest.raises(
        RecordError, match=r"log\.json:2: .* got 87\.0; percentages must be divided"
    ):
        builder().add(confidence=87.0, label=1.0, line=2)
    rows = builder(percent=True)
    rows.add(confidence=87.0, label=1.0)
    rows.add(confidence=0.87, label=1.0, provenance="parsed")
    rows.add(confidence=1.0 + 1e-9, label=1.0, provenance="computed")
    assert rows.block().confidence.tolist() == [0.87, 0.87, 1.0]
    with pytest.raises(RecordError, match="weight: expected a finite number"):
        builder().add(confidence=0.5, label=1.0, weight=-1.0)


def test_the_builder_is_full_after_many_rows_or_much_text() -> None:
    rows = builder()
    rows.add(confidence=0.5, label=1.0, text="x" * 70_000_000)
    assert rows.full()


def test_plain_columns_are_read_at_millions_of_rows_per_second(tmp_path: Path) -> None:
    n = 2_000_000
    rng = np.random.default_rng(0)
    path = write(tmp_path, {"confidence": rng.random(n), "correct": rng.integers(0, 2, n)})
    start = time.process_time()
    assert sum(map(len, read([path]))) == n
    assert time.process_time() - start < 0.5  # measured: 0.02; row by row would take seconds


def test_a_csv_file_through_load(tmp_path: Path) -> None:
    path = tmp_path / "base.csv"
    path.write_text(
        "confidence,correct,prompt_id,topic\n"
        '0.9,1,q1,"a, b"\n80%,false,q1,c\n,1,,c\nunsure,0, ,c\n1.0,true,q2,c\n'
    )
    log = ReadLog()
    found = load([path], ReadOptions(by=("topic",)), log)["base"]
    np.testing.assert_array_equal(found.confidence, [0.9, 0.8, np.nan, np.nan, 1.0])
    assert found.label.tolist() == [1, 0, 1, 0, 1]
    assert found.status_counts() == {"ok": 3, "missing": 1, "unparsable": 1}
    assert found.prompt_id is not None
    assert found.prompt_id.to_pylist() == ["q1", "q1", None, None, "q2"]
    assert found.columns["topic"].to_pylist() == ["a, b", "c", "c", "c", "c"]
    assert found.columns["location"][4].as_py() == f"{path}:6"
    said = "2 of 5 rows have no prompt id; each counts as a prompt of its own"
    assert log.warnings == [f"{path}: {said}"]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv", "json", "jsonl"])
@pytest.mark.parametrize("ids", [["", "", ""], [" ", None, ""]])
def test_ids_that_are_all_blank_are_as_none(
    kind: str, ids: list[str | None], tmp_path: Path
) -> None:
    columns = {"confidence": [0.9, 0.1, 0.5], "correct": [1, 0, 1], "prompt_id": ids}
    log = ReadLog()
    found = load([write(tmp_path, columns, kind)], None, log)["preds"]
    assert found.prompt_id is None
    assert found.clusters is None
    assert len(log.warnings) == 1
    assert "its prompt ids are all empty" in log.warnings[0]


def test_an_id_that_is_no_number_is_no_id(tmp_path: Path) -> None:
    path = tmp_path / "preds.jsonl"
    row = '{"confidence": 0.5, "correct": 1, "prompt_id": %s}\n'
    for ids, names in (
        (["NaN", "NaN", "7"], [None, None, "7.0"]),
        (["NaN", '"a"', "NaN", '"a"'], [None, "a", None, "a"]),
    ):
        path.write_text("".join(row % i for i in ids))
        log = ReadLog()
        found = load([path], None, log)["preds"]
        assert found.prompt_id is not None
        assert [n and n.removesuffix(".0") for n in found.prompt_id.to_pylist()] == [
            n and n.removesuffix(".0") for n in names
        ]
        assert f"2 of {len(ids)} rows have no prompt id" in log.warnings[0]
    columns = {"confidence": [0.5] * 3, "correct": [1] * 3, "prompt_id": [1.5, math.nan, math.nan]}
    assert one(tmp_path, columns).n_without_prompt == 2


def test_a_shard_without_ids_leaves_the_ids_of_the_others(tmp_path: Path) -> None:
    named = {"confidence": [0.5] * 2, "correct": [1, 0], "prompt_id": ["a", "a"]}
    plain = {"confidence": [0.5] * 2, "correct": [1, 0]}
    for i, columns in enumerate((named, plain)):
        write(tmp_path, columns).rename(tmp_path / f"preds-{i}-of-2.parquet")
    log = ReadLog()
    (found,) = load([tmp_path], None, log).values()
    assert found.n_without_prompt == 2
    assert found.clusters is not None
    assert found.clusters.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(16)])
def test_ids_of_raw_bytes_are_read(kind: pa.DataType, tmp_path: Path) -> None:
    digests = [bytes([255, i]) * 8 for i in (1, 2, 1)]
    columns = {"confidence": [0.5] * 3, "correct": [1, 0, 1], "prompt_id": pa.array(digests, kind)}
    found = one(tmp_path, columns)
    assert found.prompt_id is not None
    assert found.prompt_id.to_pylist() == [d.hex() for d in digests]


def test_rows_of_a_large_file_of_several_models_say_where_they_are(tmp_path: Path) -> None:
    n = BATCH_ROWS + 10
    names = ["a"] * 3 + ["b"] * (n - 5) + ["a", "b"]
    columns = {"confidence": [0.5] * n, "correct": [1] * n, "model": names}
    found = load([write(tmp_path, columns)])
    assert found["a"].columns.column_names == ["row"]
    assert found["a"].columns["row"].to_pylist() == [1, 2, 3, n - 1]
    assert found["b"].columns["row"].type == pa.int64()
    assert found["b"].columns["row"].to_pylist() == [*range(4, n - 1), n]
    del columns["model"]
    assert one(tmp_path, columns).columns.num_columns == 0
    few = {"confidence": [0.5] * 2, "correct": [1] * 2, "model": ["a", "b"]}
    assert one(tmp_path, few).columns.column_names == ["location"]


def test_evidence_is_kept_where_it_is_there_and_never_an_error(tmp_path: Path) -> None:
    columns = {
        "confidence": [0.5, 0.9],
        "correct": [1, 0],
        "token_logprobs": [[-0.5], None],
        "logits": [[0.1, 2.0], [1.0, 3.0]],
        "completion": ["a", "b"],
        "other": [1, 2],
    }
    asked = ("token_logprobs", "logits", "cluster", "completion", "correct", "confidence")
    found = one(tmp_path, columns, evidence=asked)
    kept = found.columns.to_pydict()
    assert kept.pop("location")
    # 'completion' is the text, and what a record says itself is no evidence beside it.
    assert kept == {
        "text": ["a", "b"],
        "token_logprobs": [[-0.5], None],
        "logits": [[0.1, 2.0], [1.0, 3.0]],
    }
    with pytest.raises(RecordError, match="--by: expected a column named 'cluster'"):
        one(tmp_path, columns, by=("cluster",))


def test_the_truth_is_no_evidence(tmp_path: Path) -> None:
    columns = {"confidence": [0.5, 0.9], "answer": ["a", "b"], "pass_rate": [1, 0]}
    found = one(tmp_path, columns, correct="pass_rate", evidence=("pass_rate",))
    assert found.columns.column_names == ["answer", "location"]


def test_texts_of_a_large_file_are_kept_as_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levelhead.readers.columns.MAX_TEXT_ROWS", 1)
    columns = {
        "confidence": [0.5, 0.9],
        "correct": [1, 0],
        "text": ["a", "b"],
        "answer": ["c", "d"],
    }
    assert one(tmp_path, columns).columns.column_names == []
    assert one(tmp_path, columns, evidence=("text",)).columns.to_pydict() == {"text": ["a", "b"]}
    both = one(tmp_path, columns, evidence=("text", "answer")).columns.to_pydict()
    assert both == {"text": ["a", "b"], "answer": ["c", "d"]}


KEYS = [
    ("A", "(a)", "A) bank", "Option A", "a."),
    ("1,000.0", "1000", " 1e3 ", "$1000$", "\\boxed{1000}"),
    ("Paris.", "paris", " PARIS "),
    ("50%",),
    ("0.5", ".5", "+0.50"),
    ("0", "-0"),
]


def test_answers_have_one_key_where_they_grade_as_equal() -> None:
    for same in KEYS:
        assert len({answer_key(text) for text in same}) == 1
        assert {grade(text, same[0]) for text in same} == {1.0}
    assert len({answer_key(same[0]) for same in KEYS}) == len(KEYS)
    assert [answer_key(nothing) for nothing in (None, "", " ... ")] == [None, None, None]


def test_a_table_without_a_truth_is_read_where_none_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "new.parquet"
    pq.write_table(pa.table({"confidence": [0.9, 0.8], "prompt_id": ["a", "b"]}), path)
    with pytest.raises(RecordError, match="expected a column that says what was right"):
        load([path])
    for kind in ("answer", "event"):
        (found,) = load([path], ReadOptions(unlabelled=kind)).values()
        assert found.kind == kind
        assert found.confidence.tolist() == [0.9, 0.8]
        assert np.isnan(found.label).all()


def test_class_scores_without_the_right_class_are_read_where_none_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "new.parquet"
    pq.write_table(pa.table({"logits": [[1.0, 2.0], [3.0, 0.0]]}), path)
    with pytest.raises(RecordError, match="expected the index of the right class"):
        load([path])
    (found,) = load([path], ReadOptions(unlabelled="answer")).values()
    assert found.columns["logits"].to_pylist() == [[1.0, 2.0], [3.0, 0.0]]
    np.testing.assert_allclose(found.confidence, [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-3))])
    assert np.isnan(found.label).all()


def test_a_truth_that_is_there_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "new.parquet"
    pq.write_table(pa.table({"confidence": [0.9, 0.8], "outcome": [1, 0]}), path)
    (found,) = load([path], ReadOptions(unlabelled="answer")).values()
    assert found.kind == "event"
    assert found.label.tolist() == [1.0, 0.0]


def test_p_true_beside_a_confidence_is_evidence_and_alone_the_confidence(tmp_path: Path) -> None:
    both, alone = tmp_path / "both.parquet", tmp_path / "alone.parquet"
    pq.write_table(pa.table({"confidence": [0.9], "p_true": [0.2], "correct": [1]}), both)
    pq.write_table(pa.table({"p_true": [0.2], "correct": [1]}), alone)
    assert load(both)["both"].confidence.tolist() == [0.9]
    assert load(alone)["alone"].confidence.tolist() == [0.2]


def test_several_answers_in_a_list_are_not_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"confidence": 0.5, "correct": 1, "predictions": ["a", "b"]}\n')
    (found,) = read([path])
    assert "answer" not in found.columns.column_names
