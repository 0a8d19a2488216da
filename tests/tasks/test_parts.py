"""Two parts from one file or two: ids, what may repeat, and what must not leak."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from levelhead.errors import RecordError
from levelhead.tasks import Prompt, QAOptions
from levelhead.tasks._base import user_message
from levelhead.tasks._parts import FileOptions, prompts_from
from levelhead.tasks._rows import Row


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make(row: Row, name: str) -> Prompt:
    target = row.values.get("t")
    return Prompt(
        name, user_message(row.values["q"]), row.values["y"], () if target is None else (target,)
    )


def parts(options: FileOptions, *, merge: bool = False) -> tuple[list[str], list[str]]:
    train, evaluation = prompts_from(options, ["q", "y", "t"], make, merge=merge)
    return [p.prompt_id for p in train], [p.prompt_id for p in evaluation]


def rows(n: int, **changes: Any) -> list[dict[str, Any]]:
    return [{"q": f"q{i}", "y": i % 2, "t": None, "g": i % 5, **changes} for i in range(n)]


def test_two_files_are_two_parts(tmp_path: Path) -> None:
    train, held = write(tmp_path / "a.jsonl", rows(3)), write(tmp_path / "b.jsonl", rows(2))
    first, second = parts(FileOptions(path=train, evaluation=held))
    assert first == ["a-00001", "a-00002", "a-00003"]
    assert sorted(second) == ["b-00001", "b-00002"]


def test_the_first_prompts_of_an_evaluation_are_a_sample_of_it(tmp_path: Path) -> None:
    train, held = write(tmp_path / "a.jsonl", rows(3)), write(tmp_path / "b.jsonl", rows(1000))
    for evaluation in (held, 900):
        path = train if evaluation == held else held
        _, order = parts(FileOptions(path=path, evaluation=evaluation))
        first = [int(name[-5:]) for name in order[:100]]
        # 100 of 1,000 row numbers: their mean is 500.5 with a standard error below 29.
        assert abs(sum(first) / 100 - 500.5) < 4 * 29


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    train = write(tmp_path / "train" / "data.jsonl", rows(2))
    held = write(tmp_path / "test" / "data.jsonl", rows(2))
    first, second = parts(FileOptions(path=train, evaluation=held))
    assert not set(first) & set(second)


def test_a_group_stays_on_one_side(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows(50))
    for seed in range(5):
        options = FileOptions(path=path, evaluation=10, split_by="g", seed=seed)
        train, held = parts(options)
        assert len(held) == 10
        assert len(train) == 40
        groups = [{(int(name[-5:]) - 1) % 5 for name in part} for part in (train, held)]
        assert len(groups[1]) == 1
        assert not groups[0] & groups[1]


def test_a_prompt_that_repeats_is_never_on_both_sides(tmp_path: Path) -> None:
    repeated = [{"q": f"q{i % 10}", "y": 1, "t": None} for i in range(40)]
    train, held = parts(FileOptions(path=write(tmp_path / "a.jsonl", repeated), evaluation=8))
    texts = [{(int(name[-5:]) - 1) % 10 for name in part} for part in (train, held)]
    assert len(texts[1]) == 2
    assert not texts[0] & texts[1]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"y": 0}, "expected one outcome for each id, got another one than in {path}:1"),
        ({"q": "other"}, "expected one prompt for each id, got another one than in {path}:1"),
        ({"t": "B"}, "expected one right answer for each id, got another one than in {path}:1"),
    ],
)
def test_an_id_names_one_prompt(changes: dict[str, Any], text: str, tmp_path: Path) -> None:
    first = {"id": "x", "q": "q", "y": 1, "t": "A"}
    path = write(tmp_path / "a.jsonl", [first, {**first, "id": "z"}, {**first, **changes}])
    with pytest.raises(RecordError) as caught:
        parts(FileOptions(path=path, evaluation=1, id="id"))
    assert str(caught.value).startswith(f"{path}:3: id 'x': {text.format(path=path)}; correct it")


def test_rows_of_one_question_share_their_right_answers(tmp_path: Path) -> None:
    first = {"id": "x", "q": "q", "y": None, "t": "A"}
    path = write(tmp_path / "a.jsonl", [first, {**first, "t": "B"}, {**first, "id": "z", "q": "p"}])
    options = QAOptions(path=path, evaluation=1, id="id")
    train, held = prompts_from(options, ["q", "y", "t"], make, merge=True)
    found = {prompt.prompt_id: prompt.targets for prompt in (*train, *held)}
    assert found == {"x": ("A", "B"), "z": ("A",)}


def test_what_is_trained_on_is_not_evaluated_on(tmp_path: Path) -> None:
    row = {"id": "x", "q": "q", "y": 1, "t": None}
    train, held = write(tmp_path / "a.jsonl", [row]), write(tmp_path / "b.jsonl", [row])
    for files in ((train, held), (train, train)):
        with pytest.raises(RecordError) as caught:
            parts(FileOptions(path=files[0], evaluation=files[1], id="id"))
        assert "id 'x': expected prompts that are not trained on" in str(caught.value)
    with pytest.raises(RecordError, match="expected prompts that are not trained on"):
        parts(FileOptions(path=train, evaluation=train))


def test_a_row_without_an_id_is_refused_where_there_are_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"id": "x", "q": "q", "y": 1, "t": None}, *rows(2)])
    with pytest.raises(RecordError, match=r"a\.jsonl:2: id: expected an id, got nothing"):
        parts(FileOptions(path=path, evaluation=1, id="id"))


@pytest.mark.parametrize("wrong", [0, -3, True])
def test_an_evaluation_part_is_a_file_or_at_least_one_row(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        FileOptions(path=Path("a"), evaluation=wrong)
