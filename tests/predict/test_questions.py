"""Prompts of files and tasks, with the truth where it is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from levelhead.elicitation import Elicited
from levelhead.errors import InvalidInputError, RecordError
from levelhead.predict.questions import Questions, of_task, read_questions
from levelhead.tasks import Task


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [
        {"q": "Capital of Italy?", "a": "Rome", "won": 1, "name": "x", "level": 3},
        {"q": "2 + 2?", "a": ["4", "four"], "won": 0, "name": "y", "level": 4},
        {"q": "Nobody knows?", "a": None, "won": None, "name": "z", "level": 5},
    ]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_answers_from_a_file(file: Path) -> None:
    found = read_questions(file, prompt="Q: {q}", answer="a", id_column="name", columns=["level"])
    assert found.kind == "answer"
    assert [p.prompt_id for p in found.prompts] == ["x", "y", "z"]
    assert found.prompts[0].messages == ({"role": "user", "content": "Q: Capital of Italy?"},)
    assert [p.targets for p in found.prompts] == [("Rome",), ("4", "four"), ()]
    assert found.prompts[1].columns == {"level": 4}
    said = Elicited("rome.", None, "missing")
    assert found.truth(said, found.prompts[0]) == 1.0
    assert found.truth(said, found.prompts[1]) == 0.0
    assert found.truth(said, found.prompts[2]) is None
    assert found.truth(Elicited(None, None, "missing"), found.prompts[0]) == 0.0


def test_events_from_a_file(file: Path) -> None:
    found = read_questions(file, prompt="{q}", outcome="won")
    assert found.kind == "event"
    assert [p.outcome for p in found.prompts] == [1.0, 0.0, None]
    assert [p.prompt_id for p in found.prompts] == ["asked-00001", "asked-00002", "asked-00003"]
    assert found.truth(Elicited(None, None, "missing"), found.prompts[0]) == 1.0


def test_a_csv_and_a_column_of_prompts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,right\nCapital of Italy?,Rome\n")
    found = read_questions(path, messages_column="text", answer="right")
    assert found.prompts[0].messages[0]["content"] == "Capital of Italy?"
    assert found.prompts[0].targets == ("Rome",)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "expected either a template (--prompt"),
        ({"prompt": "{q}", "messages_column": "q"}, "got both"),
        ({"prompt": "{q}", "answer": "a", "outcome": "won"}, "got both"),
        ({"prompt": "{q}", "answer": "a", "kind": "event"}, "got kind 'event' with the other one"),
        ({"prompt": "{quest}"}, "slot {quest}: expected one of q, a, won, name, level"),
        ({"prompt": "{q} {"}, "a template that is broken"),
        ({"prompt": "{q}", "answer": "anser"}, "--answer: expected one of q, a"),
        ({"prompt": "{q}", "columns": ["a", "levl"]}, "got 'levl'; did you mean 'level'?"),
        ({"prompt": "{q}", "columns": ["x"]}, "asked.jsonl: --keep: expected one of q, a, won,"),
        ({"prompt": "{q}", "id_column": "x"}, "asked.jsonl: --id: expected one of"),
        ({"messages_column": "x"}, "asked.jsonl: --messages: expected one of"),
        ({"prompt": "{q}", "outcome": "x"}, "asked.jsonl: --outcome: expected one of"),
        ({"prompt": "{q}", "verifier": "exat"}, "verifier: expected one of"),
    ],
)
def test_what_is_wrong_is_said(file: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises((InvalidInputError, RecordError)) as caught:
        read_questions(file, **options)
    assert text in str(caught.value)


def test_the_parts_of_a_task(oracle: Task) -> None:
    assert len(of_task(oracle).prompts) == 30
    assert len(of_task(oracle, "train").prompts) == 60
    assert of_task(oracle).kind == "event"
    with pytest.raises(InvalidInputError, match="split: expected one of evaluation, train"):
        of_task(oracle, "test")


def test_no_prompts_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="nothing: expected prompts, got none"):
        Questions("nothing", "answer", (), "percent_tag")
