"""Sealed JSON: exact, of one kind and version, and a change by hand is noticed."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelhead import __version__, _sealed
from levelhead._sealed import read_sealed, sealed, unsealed, write_sealed
from levelhead.errors import InvalidInputError, RecordError

KIND, VERSION = "thermometer", "3"
CONTENT: dict[str, Any] = {"scale": 0.1, "marks": [1, 2.5, -0.0], "maker": None, "new": True}

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(), plain, max_size=5))
def test_whatever_json_has_comes_back_as_it_was(content: dict[str, Any]) -> None:
    again = unsealed(sealed(KIND, VERSION, content), None, KIND, VERSION)
    assert repr(again) == repr(
        content
    )  # repr tells -0.0 from 0.0, 1 from 1.0 and True, and the order


def test_every_bit_of_a_float_comes_back() -> None:
    bits = np.random.default_rng(0).integers(0, 2**64, 2000, dtype=np.uint64)
    values = bits.view(np.float64)
    values = values[np.isfinite(values)]
    again = unsealed(sealed(KIND, VERSION, {"v": values}), None, KIND, VERSION)["v"]
    assert np.array_equal(np.array(again).view(np.uint64), values.view(np.uint64))


def test_arrays_and_tuples_become_lists() -> None:
    content = {"a": np.eye(2), "b": (1, 2), "c": np.float32(0.5), "d": np.int64(3)}
    again = unsealed(sealed(KIND, VERSION, content), None, KIND, VERSION)
    assert again == {"a": [[1.0, 0.0], [0.0, 1.0]], "b": [1, 2], "c": 0.5, "d": 3}


def test_the_file_says_what_it_is() -> None:
    document = json.loads(sealed(KIND, VERSION, CONTENT))
    assert list(document) == [
        "levelhead", "schema_version", "levelhead_version", "content", "sha256",
    ]  # fmt: skip
    assert document["levelhead"] == KIND
    assert document["schema_version"] == VERSION
    assert document["levelhead_version"] == __version__
    by_hand = (
        '["thermometer", "3", {"maker": null, "marks": [1, 2.5, -0.0], "new": true, "scale": 0.1}]'
    )
    assert document["sha256"] == hashlib.sha256(by_hand.encode()).hexdigest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": [0.5, math.nan]}, "content['a'][1]: expected a finite number, got nan"),
        ({"a": np.array([math.inf])}, "content['a'][0]: expected a finite number, got inf"),
        ({"a": {1: 2}}, "content['a']: expected texts as keys, got 1"),
        ({"a": {1j}}, "content['a']: expected a value that JSON has, got set '{1j}'"),
    ],
)
def test_what_json_cannot_hold_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        sealed(KIND, VERSION, content)
    assert str(error.value) == message


def changed(**entries: Any) -> str:
    return json.dumps(json.loads(sealed(KIND, VERSION, CONTENT)) | entries)


TAMPERED = (
    "x.json: expected a thermometer as levelhead wrote it, got one that was changed since (its digest "
    "differs); fit it again"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.json: expected JSON, got an empty file"),
        ("{\n,",
         "x.json:2: expected JSON, got an error: Expecting property name enclosed in double quotes"),
        ("[1]", "x.json: expected a thermometer that levelhead wrote, got other JSON"),
        ('{"method": "platt"}', "x.json: expected a thermometer that levelhead wrote, got other JSON"),
        ("[" * 100_000, "x.json: expected JSON, got one that is nested too deeply"),
        ('{"a": NaN}', "x.json: expected JSON with finite numbers, got NaN"),
        ('{"a": -Infinity}', "x.json: expected JSON with finite numbers, got -Infinity"),
        (changed(levelhead="guard"), "x.json: expected a thermometer, got a guard"),
        (changed(levelhead="audit"), "x.json: expected a thermometer, got an audit"),
        (changed(levelhead={}), "x.json: expected a thermometer, got something else"),
        (
            changed(schema_version="4", levelhead_version="9.1"),
            "x.json: expected a thermometer of schema version 3, got version '4', which levelhead 9.1 "
            "wrote; upgrade levelhead, or fit it again with this version",
        ),
        (
            changed(schema_version="2", levelhead_version="0.0"),
            "x.json: expected a thermometer of schema version 3, got version '2', which levelhead 0.0 "
            "wrote; fit it again with this version",
        ),
        (
            changed(schema_version=3, levelhead_version="0.0"),
            "x.json: expected a thermometer of schema version 3, got version '3', which levelhead 0.0 "
            "wrote; fit it again with this version",
        ),
        (changed(content=CONTENT | {"scale": 0.2}), TAMPERED),
        (changed(content=CONTENT | {"more": 1}), TAMPERED),
        (changed(content=[1]), TAMPERED),
        (changed(sha256=None), TAMPERED),
        (changed(more=1), TAMPERED),
        (changed(content={"scale": 1}).replace('"scale": 1', '"scale": 1e999'), TAMPERED),
    ],
)  # fmt: skip
def test_another_text_is_refused_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(RecordError) as error:
        unsealed(text, "x.json", KIND, VERSION)
    assert str(error.value) == message


def test_an_integer_without_end_is_refused() -> None:
    with pytest.raises(
        RecordError, match=r"^expected JSON with finite numbers, got Exceeds the limit"
    ):
        unsealed('{"a": ' + "1" * 5000 + "}", None, KIND, VERSION)


def test_another_layout_of_the_same_content_is_fine() -> None:
    assert unsealed(changed(), None, KIND, VERSION) == CONTENT
    assert unsealed("\n\n" + changed(), None, KIND, VERSION) == CONTENT


def test_any_changed_character_of_the_content_is_noticed_or_changes_nothing() -> None:
    text = sealed(KIND, VERSION, {"scale": 0.125, "marks": [1, 20]})
    start, end = text.index('"content"'), text.index('"sha256"')
    for i in range(start, end):
        other = text[:i] + ("7" if text[i] != "7" else "8") + text[i + 1 :]
        try:
            assert unsealed(other, None, KIND, VERSION) == {"scale": 0.125, "marks": [1, 20]}
        except RecordError:
            continue
        assert text[i].isspace()


def test_a_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_sealed(path, KIND, VERSION, CONTENT)
    assert read_sealed(path, KIND, VERSION) == CONTENT
    assert read_sealed(str(path), KIND, VERSION) == CONTENT
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # an editor's byte order mark
    assert read_sealed(path, KIND, VERSION) == CONTENT
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_sealed(path, KIND, VERSION, CONTENT)
    with pytest.raises(InvalidInputError):
        write_sealed(path, KIND, VERSION, {"a": math.nan})
    assert read_sealed(path, KIND, VERSION) == CONTENT


def refusal(path: Path) -> str:
    with pytest.raises(RecordError) as error:
        read_sealed(path, KIND, VERSION)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(str(path))


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(tmp_path / "x") == ": expected a file, found none of that name"
    assert refusal(tmp_path) == ": expected a file, got a folder; name the file in it"
    file = tmp_path / "latin"
    file.write_bytes(b'{"a": "\xe9"}')
    assert refusal(file) == ": expected a thermometer as UTF-8 text, got the byte 0xe9 at 7"
    assert refusal(file / "below") == ": cannot be read: Not a directory"
    huge = tmp_path / "huge"
    with huge.open("wb") as stream:
        stream.truncate(10**9)  # sparse: it takes no space
    expected = ": expected a thermometer, got a file of 1,000 MB, far beyond the size of one"
    assert refusal(huge) == expected
    monkeypatch.setattr(_sealed, "MAX_BYTES", 1000)
    if os.path.exists("/dev/zero"):
        got = refusal(Path("/dev/zero"))
        assert got == ": expected a thermometer, got a file without an end"


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="expected a file to write, got a folder$"):
        write_sealed(tmp_path, KIND, VERSION, CONTENT)
    with pytest.raises(RecordError, match="there is no such folder; make it first$"):
        write_sealed(tmp_path / "no" / "x.json", KIND, VERSION, CONTENT)
