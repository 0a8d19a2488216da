"""Multiple choice: reading the options, their order, the right one; the published CommonsenseQA."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from levelhead.errors import RecordError
from levelhead.tasks import Task, make_task
from levelhead.tasks.multiple_choice import ordered, parted


def build(folder: Path, rows: list[dict[str, Any]], **options: Any) -> Task:
    path = folder / "mc.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"options": "options", "evaluation": 1, **options}
    return make_task({"kind": "multiple_choice", "path": path, **given})


def row(answer: Any, options: Any = ("bank", "mall", "park"), question: str = "Where?") -> Any:
    return {"question": question, "options": options, "answer": answer}


OTHER = row("A", question="Other?")


def targets(folder: Path, answer: Any, options: Any = ("bank", "mall", "park")) -> Any:
    task = build(folder, [row(answer, options), OTHER], order="file")
    found = {p.messages[0]["content"][:5]: p.targets for p in (*task.train, *task.evaluation)}
    return found["Where"]


@pytest.mark.parametrize("answer", ["B", "(b)", "mall", "Mall", 1, "1", "B) mall"])
def test_the_right_option_is_a_letter_a_text_or_a_number(answer: Any, tmp_path: Path) -> None:
    assert targets(tmp_path, answer) == ("B) mall",)


def test_options_may_be_nested_with_labels(tmp_path: Path) -> None:
    nested = {"label": ["A", "B"], "text": ["bank", "mall"]}
    path = tmp_path / "mc.jsonl"
    rows = [{"question": f"q{i}", "choices": nested, "key": "B"} for i in range(2)]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    task = make_task({
        "kind": "multiple_choice", "path": path, "options": "choices", "answer": "key",
        "order": "file", "evaluation": 1,
    })  # fmt: skip
    assert task.train[0].targets == ("B) mall",)


def test_what_could_mean_two_options_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        targets(tmp_path, "1", ["1", "2", "3"])  # the text of the first, the number of the second
    assert str(caught.value).endswith(
        "mc.jsonl:1: answer: expected the letter, the text or the number (from 0) of one of 3 "
        "options, got '1', which could be 2 of them; say which of them it is with answer_form"
    )
    rows = [row("1", ["1", "2", "0"]), row("0", ["1", "2", "0"], question="Other?")]
    for form, right in (("text", {("A) 1",), ("C) 0",)}), ("index", {("B) 2",), ("A) 1",)})):
        task = build(tmp_path, rows, order="file", answer_form=form)
        assert {p.targets for p in (*task.train, *task.evaluation)} == right
    with pytest.raises(RecordError, match="got '1', which is none; correct it, or choose another"):
        build(tmp_path, rows, order="file", answer_form="letter")


@pytest.mark.parametrize(
    ("planted", "problem"),
    [
        (row("D"), "answer: expected the letter, the text or the number (from 0) of one of 3"),
        (row(3), "answer: expected the letter, the text or the number (from 0) of one of 3"),
        (row(-1), "answer: expected the letter, the text or the number (from 0) of one of 3"),
        (row(True), "answer: expected the letter, the text or the number (from 0) of one of 3"),
        (row(None), "answer: expected the letter, the text or the number (from 0) of one of 3"),
        (row("A", ["bank"]), "options: expected a list of texts, 2 to 26 of them, got 1"),
        (row("A", ["bank", ""]), "options: expected a list of texts, 2 to 26 of them, got 2"),
        (row("A", None), "options: expected a list of texts, 2 to 26 of them, got 0"),
        (row("A", question=""), "question: expected a question, got ''; remove the row"),
    ],
)
def test_a_wrong_row_is_named(planted: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        build(tmp_path, [OTHER, planted])
    assert str(caught.value).startswith(f"{tmp_path / 'mc.jsonl'}:2: {problem}")


def test_options_are_parted_from_the_end_of_a_question() -> None:
    assert parted("Where?\nA) bank\n(B) mall  \nC. park\n") == ("Where?", ["bank", "mall", "park"])
    # A question may itself have lines that look like options: the last list counts.
    assert parted("Given\nA) x\nwhich?\nA) y\nB) z") == ("Given\nA) x\nwhich?", ["y", "z"])
    for text in ("Where?", "Where?\nB) mall\nC) park", "Where?\nA) bank\nC) park", "A) x\nsaid he"):
        assert parted(text) == (text, [])


def test_the_order_follows_from_the_seed_and_the_texts() -> None:
    listed = ["a", "b", "c", "d"]
    assert ordered("q", listed, 1) == ordered("q", listed, 1)
    assert len({tuple(ordered("q", listed, seed)) for seed in range(200)}) == 24
    firsts = Counter(ordered(f"q{i}", listed, 0)[0] for i in range(2000))
    assert all(abs(n - 500) < 4 * (2000 * 0.25 * 0.75) ** 0.5 for n in firsts.values())
    # Put in another order, the same options come out in the same order.
    first = [listed[k] for k in ordered("q", listed, 5)]
    assert sorted(first) == listed
    assert sorted(ordered("q", ["x", "x", "y"], 0)) == [0, 1, 2]


def test_the_published_commonsense_questions(shared_data: Path) -> None:
    path = shared_data / "qa" / "commonsenseqa"
    given = {"kind": "multiple_choice", "path": path, "question": "problem", "id": "id"}
    by_letter = make_task({**given, "answer": "answerKey", "order": "file"})
    by_text = make_task({**given, "answer": "answer", "order": "file"})
    assert by_letter == by_text
    assert len(by_letter.train) + len(by_letter.evaluation) == 1221
    assert {p.columns["n_options"] for p in by_letter.train} == {5}
    first = by_letter.train[0]
    assert first.messages[0]["content"].startswith(
        "A revolving door is convenient for two direction travel, but it also serves as a security "
        "measure at a what?\nA) bank\nB) library\nC) department store\nD) mall\nE) new york\n\n"
    )
    shuffled = make_task({**given, "answer": "answerKey"})
    # The same right texts under other letters, each letter about equally often.
    assert [p.targets[0][3:] for p in shuffled.train] == [p.targets[0][3:] for p in by_letter.train]
    letters = Counter(p.targets[0][0] for p in shuffled.train)
    assert all(abs(n - 1021 / 5) < 4 * (1021 * 0.2 * 0.8) ** 0.5 for n in letters.values())
    assert shuffled.verify is not None
    for prompt in shuffled.evaluation:
        assert f"\n{prompt.targets[0]}\n" in prompt.messages[0]["content"]
        assert shuffled.verify(prompt.targets[0][0], prompt) == 1.0
        assert shuffled.verify("F", prompt) == 0.0
