"""Samples without confidences: the same labels, prompts and answers as with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from levelhead.cli.diagnose._all import everything
from levelhead.cli.diagnose._difficulty import difficulty
from levelhead.cli.diagnose._formats import formats
from levelhead.cli.diagnose._samples import TRACES, load_samples, second_path, two_models
from levelhead.cli.diagnose._sharpening import sharpening
from levelhead.errors import InvalidInputError, RecordError
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


def test_lists_of_texts_are_samples_but_no_text_of_one_sample(tmp_path: Path) -> None:
    row = {"prompt_id": "a", "text": ["one", "two"]}
    path = write(tmp_path / "x.jsonl", [row])
    found = load_samples(path, ReadOptions(), ReadLog(), evidence=TRACES, labelled=False)["x"]
    assert found.columns["text"].to_pylist() == ["one", "two"]
    assert found.prompt_id is not None
    assert found.prompt_id.to_pylist() == ["a", "a"]
    path = write(tmp_path / "y.jsonl", [{**row, "correct": 1, "confidence": 0.5}])
    with pytest.raises(RecordError, match="text: expected one text in a row, got lists of texts"):
        load_samples(path, ReadOptions(), ReadLog(), evidence=TRACES)


FOLDED = [
    {"prompt_id": "a", "responses": ["4", "so 5"], "correct": [True, False], "pred": ["4", "5"]},
    {"prompt_id": "b", "responses": [], "correct": [], "pred": []},
    {"prompt_id": "c", "responses": ["7"], "correct": [None], "pred": None},
]


def test_a_row_for_each_prompt_is_read_as_its_samples(tmp_path: Path) -> None:
    plain = [
        {"prompt_id": "a", "response": "4", "correct": True, "pred": "4"},
        {"prompt_id": "a", "response": "so 5", "correct": False, "pred": "5"},
        {"prompt_id": "c", "response": "7", "correct": None, "pred": None},
    ]
    log = ReadLog()
    # The right answer, which is one for a prompt, is no sample's own.
    path = write(tmp_path / "x.jsonl", [{**row, "answer": "4"} for row in FOLDED])
    found = load_samples(path, ReadOptions(), log, evidence=TRACES)["x"]
    other = load_samples(
        write(tmp_path / "y.jsonl", plain), ReadOptions(), ReadLog(), evidence=TRACES
    )["y"]
    np.testing.assert_array_equal(found.label, other.label)
    assert found.columns.to_pydict() == other.columns.to_pydict()
    assert found.prompt_id is not None
    assert found.prompt_id.to_pylist() == ["a", "a", "c"]
    assert any("2 rows hold 1 to 2 samples each" in note for note in log.notes)
    assert any("3 samples; 1 further row holds none" in note for note in log.notes)


def test_lists_of_chats_are_samples_and_a_chat_is_one(tmp_path: Path) -> None:
    said = [[{"role": "user", "content": "?"}, {"role": "assistant", "content": word}]
            for word in ("hi", "ho")]  # fmt: skip
    rows = [{"prompt_id": "a", "correct": [1, 0], "completions": said}]
    path = write(tmp_path / "x.jsonl", rows)
    found = load_samples(path, ReadOptions(), ReadLog(), evidence=TRACES)["x"]
    assert found.columns["text"].to_pylist() == ["hi", "ho"]
    rows = [{"prompt_id": "a", "correct": 1, "completion": said[0]}]
    path = write(tmp_path / "y.jsonl", rows)
    found = load_samples(path, ReadOptions(), ReadLog(), evidence=TRACES)["y"]
    assert found.columns["text"].to_pylist() == ["hi"]


def test_one_text_for_several_truths_is_refused(tmp_path: Path) -> None:
    rows = [{"prompt_id": "a", "correct": [1, 0], "response": "x"}]
    with pytest.raises(
        RecordError, match=r"x.jsonl:1: response: expected a list of 2 values, one "
    ):
        load_samples(write(tmp_path / "x.jsonl", rows), ReadOptions(), ReadLog())


def test_texts_named_by_their_column_are_samples(tmp_path: Path) -> None:
    rows = [{"prompt_id": "a", "code": ["x", "y"], "step": 3}] * 2
    path = write(tmp_path / "x.jsonl", rows)
    found = load_samples(path, ReadOptions(), ReadLog(), evidence=("code", "step"), labelled=None)
    assert found["x"].columns["code"].to_pylist() == ["x", "y"] * 2
    assert found["x"].columns["step"].to_pylist() == [3] * 4
    path = write(tmp_path / "y.jsonl", [{**row, "correct": 1} for row in rows])  # of a majority
    found = load_samples(path, ReadOptions(), ReadLog(), evidence=("code", "step"), labelled=None)
    assert found["y"].columns["code"].to_pylist() == ["x", "y"] * 2
    assert np.isnan(found["y"].label).all()


def test_the_named_answer_wins_over_a_column_of_that_name(tmp_path: Path) -> None:
    rows = [{"prompt_id": "a", "answer": "4", "pred": p, "correct": p == "4"} for p in ("4", "5")]
    path = write(tmp_path / "x.jsonl", rows)
    found = load_samples(path, ReadOptions(answer="pred"), ReadLog(), evidence=TRACES)["x"]
    assert found.columns["answer"].to_pylist() == ["4", "5"]


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


BOTH_MODELS = [
    {"prompt_id": f"q{i // 4}", "correct": int(i % 3 < k), "text": f"{k} {i}", "model": model}
    for k, model in ((1, "old"), (2, "new"))
    for i in range(40)
]

COMPARING: dict[click.Command, str] = {
    sharpening: "TUNED",
    everything: "TUNED",
    difficulty: "--baseline",
    formats: "--baseline",
}
"""The commands that compare two models, and what names the second path."""


def said(command: click.Command, *arguments: str) -> str:
    """What it says of its arguments; an error is raised."""
    done = CliRunner().invoke(command, [*arguments, "--json", "-"])
    if isinstance(done.exception, InvalidInputError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return " ".join(json.loads(done.stdout)["sections"][0]["warnings"])


def test_the_second_path_is_the_first_where_names_tell_the_models_apart() -> None:
    assert second_path("a", "b", None) == "b"
    assert second_path("a", "b", ("m", "m")) == "b"
    assert second_path("a", None, ("m", "n")) == "a"
    assert second_path("a", "a", ("m", "n")) == "a"
    with pytest.raises(InvalidInputError, match="^TUNED: expected a second path beside 'a', got"):
        second_path("a", None, None)
    with pytest.raises(InvalidInputError, match="got 'm' twice"):
        second_path("a", "a", ("m", "m"))


@pytest.mark.parametrize("command", COMPARING)
def test_both_models_of_one_file_need_two_names(command: click.Command, tmp_path: Path) -> None:
    path = write(tmp_path / "both.jsonl", BOTH_MODELS)
    assert "same rows" not in said(command, path, "--models", "old", "new")
    with pytest.raises(
        InvalidInputError, match=r"^--models: expected two different models of .*, got 'old' twice"
    ):
        said(command, path, "--models", "old", "old")


def test_one_file_of_one_model_is_not_both(tmp_path: Path) -> None:
    path = write(tmp_path / "old.jsonl", [{**row, "model": "old"} for row in BOTH_MODELS])
    with pytest.raises(InvalidInputError, match="^--models: expected one of old, got 'new'"):
        said(sharpening, path, "--models", "old", "new")


@pytest.mark.parametrize(("command", "option"), COMPARING.items())
def test_an_empty_path_is_not_this_folder(
    command: click.Command, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "both.jsonl", BOTH_MODELS)
    with pytest.raises(InvalidInputError, match=f"^{option}: expected a path, got an empty text"):
        said(command, path, *([option] * option.startswith("-")), "", "--models", "old", "new")


@pytest.mark.parametrize(("command", "option"), COMPARING.items())
def test_names_choose_in_two_paths_as_well(
    command: click.Command, option: str, tmp_path: Path
) -> None:
    path, copy = (write(tmp_path / f"{name}.jsonl", BOTH_MODELS) for name in ("one", "two"))
    second = [*([option] * option.startswith("-")), copy]
    assert "same rows" not in said(command, path, *second, "--models", "old", "new")
    same = said(command, path, *second, "--models", "old", "old")
    assert same.startswith("BASE and TUNED hold the same rows, so nothing can differ")
    assert "--models" not in same
