"""Rows of files with their places, templates, messages, outcomes and right answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import RecordError
from levelhead.tasks._rows import Row, check_slots, filled, is_event, messages, read_rows, texts

COLUMNS = {"name": ["Ada", "Bo"], "age": [36.0, 41.5], "n": [1, 2], "info": [{"i": 7}, {"i": 8}]}


def write(folder: Path, name: str, columns: dict[str, Any] = COLUMNS) -> Path:
    path = folder / name
    table = pa.table(columns)
    if path.suffix in (".parquet", ".pq"):
        pq.write_table(table, path)
    elif path.suffix == ".arrow":
        with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=1)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return path


def row(**values: Any) -> Row:
    return Row("data.csv", 3, values)


@pytest.mark.parametrize("name", ["d.parquet", "d.pq", "d.arrow", "d.jsonl"])
def test_every_container_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name)
    found = read_rows(path, ["name", "age", "info.i"])
    assert [r.values for r in found] == [
        {"name": "Ada", "age": 36.0, "info.i": 7},
        {"name": "Bo", "age": 41.5, "info.i": 8},
    ]
    assert [(r.path, r.line) for r in found] == [(str(path), 1), (str(path), 2)]


def test_a_column_of_json_keeps_the_types_of_its_values(tmp_path: Path) -> None:
    values = [18, "[1, 2)", ["Paris", "Lutetia"], True, None, {"a": 1}]
    for name, text in (
        ("d.jsonl", "".join(json.dumps({"x": v}) + "\n" for v in values)),
        ("d.json", json.dumps([{"x": v} for v in values])),
    ):
        (tmp_path / name).write_text(text)
        assert [r.values["x"] for r in read_rows(tmp_path / name, ["x"])] == values


def test_a_line_of_csv_is_counted_with_the_header(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('name,n\nAda,1\n"Bo, jr",2\n')
    assert [(r.line, r.values["name"]) for r in read_rows(path, ["name"])] == [
        (2, "Ada"),
        (3, "Bo, jr"),
    ]


def test_a_folder_is_its_tables_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "data-00001-of-00002.arrow", {"n": [3]})
    write(tmp_path, "data-00000-of-00002.arrow", {"n": [1, 2]})
    write(tmp_path, "cache-0123.arrow", {"n": [99]})
    (tmp_path / "state.json").write_text("{}")
    assert [r.values["n"] for r in read_rows(tmp_path, ["n"])] == [1, 2, 3]


def test_what_cannot_be_read_says_so_with_the_path(tmp_path: Path) -> None:
    path = write(tmp_path, "d.parquet")
    cases = {
        tmp_path / "e.parquet": f"expected a file, found none of that name; did you mean '{path}'?",
        tmp_path / "broken.parquet": "cannot be read: ",
        tmp_path / "rows.jsonl": "expected at least one record, got an empty file",
        tmp_path / "hub": "expected a folder with .arrow, .parquet, .pq files directly in it, got "
        "none; name one of its splits",
    }
    (tmp_path / "broken.parquet").write_bytes(b"PAR1" + bytes(20))
    (tmp_path / "rows.jsonl").write_text("")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    for file, text in cases.items():
        with pytest.raises(RecordError) as caught:
            read_rows(file, ["n"])
        assert caught.value.path == str(file)
        assert caught.value.problem.startswith(text)
    with pytest.raises(RecordError) as caught:
        read_rows(path, ["nmae"])
    assert caught.value.problem == (
        "column: expected one of name, age, n, info, got 'nmae'; did you mean 'name'?"
    )
    with pytest.raises(RecordError, match="expected at least one row, got none"):
        read_rows(write(tmp_path, "none.parquet", {"n": pa.array([], pa.int64())}), ["n"])


def test_a_template_takes_the_words_of_a_row() -> None:
    given = row(name="Ada", age=36.0, share=0.25, tags=["x", "y"])
    template = "{name}, {age}: {share} of {{all}} ({tags})"
    assert filled(template, given) == "Ada, 36: 0.25 of {all} (x, y)"
    for nothing in (None, "", float("nan")):
        with pytest.raises(RecordError) as caught:
            filled("Hello {name}", row(name=nothing))
        assert str(caught.value) == (
            "data.csv:3: prompt: expected a value for {name}, got nothing; remove the row"
        )


@pytest.mark.parametrize("template", ["{name", "{}", "{age:.2f}", "{name!r}", "name}"])
def test_a_broken_template_is_refused_before_any_row(template: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"expected a text with \{column\} slots, got a template"):
        check_slots(template, write(tmp_path, "d.parquet"))


def test_a_slot_is_a_column_and_never_an_attribute(tmp_path: Path) -> None:
    path = write(tmp_path, "d.parquet")
    assert check_slots("{name} {info.i} {{x}}", path) == ["name", "info.i"]
    with pytest.raises(RecordError, match=r"prompt: slot \{nam\}: .* did you mean 'name'"):
        check_slots("{nam}", path)
    (found,) = read_rows(path, ["name.__class__"])[:1]
    with pytest.raises(RecordError, match="got nothing"):
        filled("{name.__class__}", found)


def test_messages_come_as_a_list_as_json_or_as_a_text() -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Rain?"}]
    assert messages(chat, "prompt", row()) == tuple(chat)
    assert messages(json.dumps(chat), "prompt", row()) == tuple(chat)
    assert messages("[Rain?]", "prompt", row()) == ({"role": "user", "content": "[Rain?]"},)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "expected a text or a list of messages, got None"),
        ([], "expected a text or a list of messages, got []"),
        ('[{"role"', "expected messages as JSON, got "),
        ([{"role": "user", "content": None}], "expected messages with the texts role and content"),
        (["Rain?"], "expected messages with the texts role and content, got 'Rain?'"),
        ("  \n", "expected a prompt, got an empty one"),
        ([{"role": "assistant", "content": "Yes."}], "expected the user to speak last"),
    ],
)
def test_a_prompt_that_is_none_is_refused(value: Any, text: str) -> None:
    with pytest.raises(RecordError) as caught:
        messages(value, "prompt", row())
    assert str(caught.value).startswith(f"data.csv:3: prompt: {text}")


def test_outcomes_are_0_or_1_however_they_are_written() -> None:
    for value in (1, 1.0, True, "1", "true", "yes"):
        assert is_event(value, "hit", row()) == 1.0
    for value in (0, 0.0, False, "0", "False"):
        assert is_event(value, "hit", row()) == 0.0
    for value in (None, float("nan"), ""):
        with pytest.raises(RecordError, match=r"data.csv:3: hit: expected 0 or 1, got nothing"):
            is_event(value, "hit", row())
    for value in (0.5, 2, "maybe"):
        with pytest.raises(RecordError, match=r"data.csv:3: hit: expected 0 or 1"):
            is_event(value, "hit", row())


def test_right_answers_are_one_or_several() -> None:
    assert texts("Paris", "a", row()) == ("Paris",)
    assert texts(18.0, "a", row()) == ("18",)
    assert texts(["Paris ", None, "", "Paris", "Lutetia"], "a", row()) == ("Paris", "Lutetia")
    for nothing in (None, "", " ", [], [None]):
        with pytest.raises(
            RecordError, match="data.csv:3: a: expected a right answer, got nothing"
        ):
            texts(nothing, "a", row())
