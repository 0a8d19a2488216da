"""Questions with right answers: planted files, and the published TriviaQA and GSM8K folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from levelhead.errors import RecordError
from levelhead.rewards import rlcr_reward
from levelhead.tasks import Task, make_task
from levelhead.tasks.qa import INSTRUCTION


def build(folder: Path, rows: list[dict[str, Any]], **options: Any) -> Task:
    path = folder / "qa.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return make_task({"kind": "qa", "path": path, "evaluation": 1, **options})


ROWS = [
    {"question": " 6 * 3? ", "answer": 18, "topic": "sums"},
    {"question": "Capital of France?", "answer": ["Paris", "Lutetia"], "topic": "towns"},
]


def test_a_question_asks_for_an_answer_and_a_confidence(tmp_path: Path) -> None:
    task = build(tmp_path, ROWS, columns=["topic"])
    found = {p.columns["topic"]: p for p in (*task.train, *task.evaluation)}
    assert found["sums"].messages[0]["content"] == f"6 * 3?\n\n{INSTRUCTION}"
    assert found["sums"].targets == ("18",)
    said = task.elicit("France. <answer>Lutetia</answer> <confidence>0.8</confidence>")
    correct = task.correct(said, found["towns"])
    assert (said.confidence, correct) == (0.8, 1.0)
    assert rlcr_reward([0.8], [correct]) == pytest.approx(1 - 0.04)
    assert task.correct(said, found["sums"]) == 0.0


@pytest.mark.parametrize(
    ("row", "options", "problem"),
    [
        ({"question": " ", "answer": "x"}, {}, "question: expected a question, got ' '; remove"),
        ({"question": None, "answer": "x"}, {}, "question: expected a question, got None"),
        ({"question": "q", "answer": []}, {}, "answer: expected a right answer, got nothing"),
        ({"question": "q", "answer": "ten"}, {"verifier": "number"}, "answer: expected one number"),
    ],
)
def test_a_wrong_row_is_named(row: Any, options: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        build(tmp_path, [{"question": "1?", "answer": "1"}, row], **options)
    assert str(caught.value).startswith(f"{tmp_path / 'qa.jsonl'}:2: {problem}")


def test_the_published_trivia_questions(shared_data: Path) -> None:
    path = shared_data / "qa" / "trivia"
    task = make_task({"kind": "qa", "path": path, "id": "question_id", "evaluation": 300})
    prompts = (*task.train, *task.evaluation)
    assert len(prompts) == 2000
    assert len(task.evaluation) >= 300
    questions = [{p.messages[0]["content"] for p in part} for part in (task.train, task.evaluation)]
    assert not questions[0] & questions[1]  # a fifth of them are there twice
    # Row 4 and row 276 are one question with two lists of right answers: each of them will do.
    travolta = [p for p in prompts if p.prompt_id == "qz_4576"]
    assert len(travolta) == 2
    assert all({"Tony Manero", "Tonie"} <= set(p.targets) for p in travolta)
    said = task.elicit("<answer>The dave lamb!</answer><confidence>1</confidence>")
    assert [task.correct(said, p) for p in prompts if p.prompt_id == "qb_1285"] == [1.0]


@pytest.mark.parametrize("verifier", ["number", "exact"])
def test_the_published_school_mathematics(verifier: str, shared_data: Path) -> None:
    path = shared_data / "qa" / "gsm8k"
    task = make_task({
        "kind": "qa", "path": path, "question": "problem", "verifier": verifier, "evaluation": 1000
    })  # fmt: skip
    assert (len(task.train), len(task.evaluation)) == (319, 1000)
    assert task.verify is not None
    assert all(task.verify(f"${p.targets[0]}.00", p) == 1.0 for p in task.evaluation)
    assert all(task.verify(f"{p.targets[0]}1", p) == 0.0 for p in task.evaluation)
