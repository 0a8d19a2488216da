"""Samples without confidences: the same labels, prompts and answers as with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead.cli._diagnose_samples import TRACES, load_samples, two_models
from levelhead.errors import RecordError
from levelhead.readers import ReadLog, ReadOptions


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(json.dumps(one) for one in records) + "\n")
    return str(path)


RECORDS = [
    {"prompt_id": "a", "answer": "4", "correct": True},
    {"prompt_id": "a", "answer": None, "correct": False},
    {"prompt_id": "b", "answer": "5", "correct": None},
]


def test_it_reads_what_the_readers_read_and_no_confidence(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", RECORDS)
    full = write(tmp_path / "y.jsonl", [{**one, "confidence": 0.5} for one in RECORDS])
    log = ReadLog()
    bare = load_samples(path, ReadOptions(), log)["x"]
    other = load_samples(full, ReadOptions(), ReadLog(), evidence=("answer",))["y"]
    np.testing.assert_array_equal(bare.label, other.label)
    assert bare.prompt_id is not None
    assert other.prompt_id is not None
    assert bare.prompt_id.to_pylist() == other.prompt_id.to_pylist()
    assert bare.columns["answer"].to_pylist() == other.columns["answer"].to_pylist()
    assert np.isnan(bare.confidence).all()
    assert bare.status_counts() == {"missing": 3}
    assert f"{path}: its samples state no confidence; none is needed here" in log.notes


def test_prompts_without_ids_and_right_answers(tmp_path: Path) -> None:
    records = [{"prompt": "2+2?", "answer": a, "gold": "4"} for a in ("4.0", "5", "4")]
    found = load_samples(write(tmp_path / "x.jsonl", records), ReadOptions(), ReadLog())["x"]
    assert found.label.tolist() == [1.0, 0.0, 1.0]
    assert found.clusters is not None
    assert found.clusters.tolist() == [0, 0, 0]


def test_models_folders_and_pools(tmp_path: Path) -> None:
    write(tmp_path / "one.jsonl", [{**one, "model": "m"} for one in RECORDS])
    write(tmp_path / "two.jsonl", [{**one, "model": "n"} for one in RECORDS])
    found = load_samples(str(tmp_path), ReadOptions(), ReadLog())
    assert sorted(found) == ["m", "n"]
    assert list(load_samples(str(tmp_path), ReadOptions(only="n"), ReadLog())) == ["n"]


def test_labels_may_come_from_another_file(tmp_path: Path) -> None:
    log = [{"prompt_id": "a", "answer": "4"}, {"prompt_id": "b", "answer": "6"}]
    right = [{"prompt_id": "a", "gold": "4"}, {"prompt_id": "b", "gold": "5"}]
    labels = Path(write(tmp_path / "right.jsonl", right))
    options = ReadOptions(labels=labels, unlabelled="answer")
    found = load_samples(write(tmp_path / "x.jsonl", log), options, ReadLog())["x"]
    assert found.label.tolist() == [1.0, 0.0]


def test_a_number_in_an_answer_tag_is_an_answer(tmp_path: Path) -> None:
    """A rollout that ends in <answer>37</answer> is not 37% sure."""
    rows = [
        {"prompt_id": str(i), "completion": f"So <answer>{i}</answer>", "correct": i % 2 == 0}
        for i in range(20)
    ]
    found = load_samples(
        write(tmp_path / "x.jsonl", rows), ReadOptions(), ReadLog(), evidence=TRACES
    )
    assert np.isnan(found["x"].confidence).all()
    assert found["x"].columns["text"].to_pylist() == [row["completion"] for row in rows]
    asked = ReadOptions(elicitation="percent_tag")
    stated = load_samples(write(tmp_path / "y.jsonl", rows), asked, ReadLog())["y"]
    np.testing.assert_allclose(stated.confidence, np.arange(20) / 100)


def test_chats_are_what_the_assistant_said_last(tmp_path: Path) -> None:
    def chat(*turns: str) -> list[dict[str, str]]:
        roles = ("user", "assistant")
        return [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]

    rows = [
        {"prompt_id": "a", "correct": True, "completion": chat("Put it in \boxed{}", "4")},
        {"prompt_id": "b", "correct": False, "completion": chat("Why?", "no", "Again", "yes")},
        {"prompt_id": "c", "correct": False, "completion": chat("Why?")},
    ]
    log = ReadLog()
    path = write(tmp_path / "x.jsonl", rows)
    found = load_samples(path, ReadOptions(), log, evidence=("text", "completion"))["x"]
    assert found.columns["text"].to_pylist() == ["4", "yes", None]
    assert found.columns["completion"].to_pylist() == ["4", "yes", None]
    assert any("the last turn of the assistant" in note for note in log.notes)


def test_templates_are_read_from_where_the_assistant_speaks_last(tmp_path: Path) -> None:
    rows = [
        "<|im_start|>user\nPut it in \\boxed{}<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n",
        "<|start_header_id|>assistant<|end_header_id|>\n\nno<|eot_id|><|start_header_id|>assistant"
        "<|end_header_id|>\n\nyes<|eot_id|>",
        "<s>[INST] Why? [/INST] because</s>",
        "<start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\na<end_of_turn>",
        "plain [INST]",
        None,
    ]
    texts = [{"prompt_id": str(i), "correct": True, "text": text} for i, text in enumerate(rows)]
    log = ReadLog()
    found = load_samples(write(tmp_path / "x.jsonl", texts), ReadOptions(), log, evidence=TRACES)
    assert found["x"].columns["text"].to_pylist() == [
        "4",
        "yes",
        "because",
        "a",
        "plain [INST]",
        None,
    ]
    assert any("the last turn of the assistant" in note for note in log.notes)
    plain = ReadLog()
    load_samples(write(tmp_path / "y.jsonl", texts[4:]), ReadOptions(), plain, evidence=TRACES)
    assert not any("assistant" in note for note in plain.notes)


@pytest.mark.parametrize("more", [{}, {"confidence": 0.5}])
def test_a_column_of_messages_is_the_text_where_there_is_no_other(
    tmp_path: Path, more: dict[str, float]
) -> None:
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "because"}]
    rows = [{"prompt_id": "a", "correct": True, "messages": turns, **more}]
    found = load_samples(
        write(tmp_path / "x.jsonl", rows), ReadOptions(), ReadLog(), evidence=TRACES
    )
    assert found["x"].columns["text"].to_pylist() == ["because"]


def test_texts_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"prompt_id": "a", "text": "It is 4."}])
    with pytest.raises(RecordError, match="expected a column that says what was right") as told:
        load_samples(path, ReadOptions(), ReadLog(), evidence=TRACES)
    assert "\\x00" not in str(told.value)
    found = load_samples(path, ReadOptions(), ReadLog(), evidence=TRACES, labelled=False)["x"]
    assert np.isnan(found.label).all()
    assert found.columns["text"].to_pylist() == ["It is 4."]


def test_a_reward_that_is_neither_right_nor_wrong_may_be_left_out(tmp_path: Path) -> None:
    records = [{**one, "correct": 0.3, "text": "so"} for one in RECORDS]
    path = write(tmp_path / "x.jsonl", records)
    with pytest.raises(RecordError, match="correct: expected 0 or 1"):
        load_samples(path, ReadOptions(), ReadLog(), evidence=TRACES, labelled=False)
    log = ReadLog()
    found = load_samples(path, ReadOptions(), log, evidence=TRACES, labelled=None)["x"]
    assert np.isnan(found.label).all()
    assert found.columns["text"].to_pylist() == ["so"] * 3
    assert any("read as texts, without correctness (correct: exp" in note for note in log.notes)
    with pytest.raises(RecordError, match="correct: expected 0 or 1"):
        load_samples(path, ReadOptions(correct="correct"), ReadLog(), labelled=None)


def test_lists_of_texts_are_no_text(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"prompt_id": "a", "text": ["one", "two"]}])
    with pytest.raises(RecordError, match="text: expected one text in a row, got lists of texts"):
        load_samples(path, ReadOptions(), ReadLog(), evidence=TRACES, labelled=False)


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"size": 1}])
    with pytest.raises(RecordError, match="a prompt, an answer or a text, got the columns 'size'"):
        load_samples(path, ReadOptions(), ReadLog(), evidence=TRACES, labelled=False)


def test_the_same_rows_are_told_by_what_is_compared(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{word}.jsonl", [{"prompt_id": "a", "said": word}])
        for word in ("one", "two")
    ]
    for pair, count in (((paths[0], paths[1]), 0), ((paths[0], paths[0]), 1)):
        log = ReadLog()
        two_models(pair, ReadOptions(), log, evidence=("said",), labelled=False)
        assert sum("hold the same rows" in text for text in log.warnings) == count


def test_a_column_of_confidences_that_holds_none(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{**one, "confidence": None} for one in RECORDS])
    assert np.isnan(load_samples(path, ReadOptions(), ReadLog())["x"].confidence).all()


def test_other_errors_stay(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", RECORDS)
    with pytest.raises(RecordError, match="expected a column named 'conf'"):
        load_samples(path, ReadOptions(confidence="conf"), ReadLog())
    with pytest.raises(RecordError, match=r"x.jsonl"):
        load_samples(path, ReadOptions(correct="right"), ReadLog())
    bad = write(tmp_path / "bad.jsonl", [{"prompt_id": "a", "correct": 3}])
    with pytest.raises(RecordError, match=r"bad.jsonl.*correct"):
        load_samples(bad, ReadOptions(), ReadLog())
