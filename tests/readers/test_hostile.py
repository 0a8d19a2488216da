"""Hostile input: each file gives one sentence with its path and what to do, or counted records.

`FILES` are files that must be refused, each with words that the sentence must hold; `COUNTED` are
files that must be read, each with the statuses that must come out.
"""

from __future__ import annotations

import datetime
import decimal
import errno
import gzip
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import InvalidInputError, LevelheadError, RecordError
from levelhead.readers import ReadLog, ReadOptions, load, read, resolve
from levelhead.readers._files import os_problem, reading
from levelhead.records import Predictions, concat

Make = Callable[[Path], Path]


def raw(content: bytes | str, name: str = "x.jsonl") -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def lines(*rows: Any, name: str = "x.jsonl") -> Make:
    return raw("".join(json.dumps(row) + "\n" for row in rows), name)


def rows(confidence: list[Any], correct: list[Any] | None = None) -> Make:
    truth = [i % 2 for i in range(len(confidence))] if correct is None else correct
    return lines(*({"confidence": c, "correct": y} for c, y in zip(confidence, truth, strict=True)))


def parquet(columns: Any, name: str = "x.parquet") -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path)
        return path

    return make


def cut(make: Make, keep: float) -> Make:
    """The first part of a file, as a broken download leaves it."""

    def shortened(folder: Path) -> Path:
        path = make(folder)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        return path

    return shortened


def broken_pages(folder: Path) -> Path:
    """A Parquet file whose footer is right and whose data are not."""
    rng = np.random.default_rng(0)
    path = folder / "x.parquet"
    table = pa.table({"confidence": rng.random(5000).round(1), "correct": [1] * 5000})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[60:200] = rng.integers(0, 256, 140, dtype=np.uint8).tobytes()
    path.write_bytes(bytes(content))
    return path


def arrow(folder: Path) -> Path:
    path = folder / "x.arrow"
    table = pa.table({"confidence": [0.1] * 1000, "correct": [1] * 1000})
    with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return path


def twice(folder: Path) -> Path:
    table = pa.table(
        [pa.array([0.5]), pa.array([0.6]), pa.array([1])], ["confidence"] * 2 + ["correct"]
    )
    return parquet(table)(folder)


def archive(folder: Path) -> Path:
    path = folder / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("notes.txt", "nothing to see")
    return path


def corrupt_archive(folder: Path) -> Path:
    path = archive(folder)
    content = path.read_bytes()
    path.write_bytes(content[:20] + b"\xff" * 200)
    return path


def encrypted_log(folder: Path) -> Path:
    """An Inspect log whose members say that they are encrypted."""
    path = folder / "x.eval"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("header.json", '{"eval": {}, "version": 2}')
        file.writestr("samples/1_epoch_1.json", "{}")
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(bytes(content))
    return path


def loop(folder: Path) -> Path:
    (folder / "a.jsonl").symlink_to("b.jsonl")
    (folder / "b.jsonl").symlink_to("a.jsonl")
    return folder / "a.jsonl"


def with_newline(folder: Path) -> Path:
    return raw("junk", "two\nlines\x1b[31m.jsonl")(folder)


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def a_folder(folder: Path) -> Path:
    path = folder / "inner.parquet"
    path.mkdir()
    return path


GOOD = {"confidence": 0.9, "correct": 1}
DEEP = "[" * 100_000 + "]" * 100_000
NOW = datetime.datetime(2026, 1, 1)

FILES: dict[str, tuple[Make, str]] = {
    "missing file": (lambda folder: folder / "preds.jsonl", "found none of that name"),
    "missing folder": (lambda folder: folder / "no" / "preds.jsonl", "there is no folder"),
    "directory": (a_folder, "got a directory"),
    "file as folder": (lambda f: raw("{}", "a.jsonl")(f) / "b.jsonl", "found none of that name"),
    "pipe": (pipe, "got a pipe or a device"),
    "symlink loop": (loop, "lead in a circle"),
    "dangling link": (
        lambda f: ((f / "l.jsonl").symlink_to("gone"), f / "l.jsonl")[1],
        "found none of that name",
    ),
    "long name": (lambda folder: folder / ("x" * 5000), "too long"),
    "empty": (raw(""), "at least one record"),
    "only spaces": (raw(" \n\n \t\n"), "at least one record"),
    "only a byte order mark": (raw(b"\xef\xbb\xbf"), "at least one record"),
    "only NUL bytes": (raw(b"\0" * 10_000), "at least one record"),
    "empty array": (raw("[]", "x.json"), "at least one record"),
    "zero rows": (
        parquet({"confidence": pa.array([], pa.float64()), "correct": pa.array([], pa.int8())}),
        "at least one record",
    ),
    "binary": (raw(bytes(range(1, 255)) * 50, "x.bin"), "expected a file of predictions"),
    "plain text": (raw("hello, world", "x.txt"), "expected a file of predictions"),
    "text named jsonl": (raw("hello, world"), "x.jsonl:1: expected JSON"),
    "truncated parquet": (cut(parquet({"confidence": [0.5] * 999}), 0.7), "cannot be read"),
    "parquet of four bytes": (raw(b"PAR1", "x.parquet"), "cannot be read"),
    "parquet magic and junk": (raw(b"PAR1" + b"junk" * 99 + b"PAR1", "x.pq"), "cannot be read"),
    "parquet with broken pages": (broken_pages, "cannot be read"),
    "truncated arrow": (cut(arrow, 0.5), "cannot be read"),
    "arrow magic and junk": (raw(b"ARROW1\0\0" + b"junk" * 99, "x.arrow"), "cannot be read"),
    "arrow stream of junk": (raw(b"\xff\xff\xff\xff" + b"\x10\0\0\0" * 9, "x.arrow"), "cannot be"),
    "gzip": (raw(gzip.compress(b'{"confidence": 1}')), "gunzip"),
    "zip that is no log": (archive, "ZIP archive with notes.txt"),
    "corrupt zip": (corrupt_archive, "cannot be read"),
    "encrypted log": (encrypted_log, "x.eval"),
    "newline in the path": (with_newline, r"two\nlines\x1b[31m.jsonl:1: expected JSON"),
    "UTF-16": (raw(json.dumps(GOOD).encode("utf-16")), "UTF-16"),
    "invalid UTF-8": (raw(b'{"confidence": 0.9}\n{"a": "\xff"}'), "x.jsonl:2: expected UTF-8"),
    "broken line": (raw('{"confidence": 0.9, "correct": 1}\n{"confidence": 0.9,'), "x.jsonl:2:"),
    "trailing garbage": (raw('{"confidence": 0.9, "correct": 1} x\n' * 2), "x.jsonl:1:"),
    "trailing garbage in an array": (raw('[{"confidence": 0.9}]\nx', "x.json"), "x.json:2"),
    "a line that is an array": (raw('{"confidence": 0.9, "correct": 1}\n[0.9, 1]\n'), "got an array"),
    "a line that is null": (raw('{"confidence": 0.9, "correct": 1}\nnull\n'), "got null"),
    "array of numbers": (raw("[0.9, 0.8]", "x.json"), "x.json:1"),
    "a number": (raw("0.9", "x.json"), "expected a file of predictions"),
    "nested too deeply": (raw(DEEP, "x.json"), "nested too deeply"),
    "nested too deeply in a line": (raw('{"confidence": 1}\n{"a": ' + DEEP + "}"), "nested"),
    "an integer of 5000 digits": (raw('{"confidence": ' + "9" * 5000 + "}\n{}"), "thousands of digits"),
    "NUL byte in a line": (raw(b'{"confidence": 0.9,\0 "correct": 1}\n{}\n'), "x.jsonl:1"),
    "no confidence": (lines({"a": 1, "correct": 1}, {"a": 1}), "--confidence"),
    "no truth": (lines({"confidence": 0.1}, {"confidence": 0.2}), "--correct"),
    "two confidences": (lines({"conf": 0.1, "prob": 0.1, "correct": 1}), "'conf' and 'prob'; choose"),
    "two truths": (lines({"conf": 0.1, "acc": 1, "correct": 1}), "'correct' and 'acc'; choose"),
    "answers and events": (lines({**GOOD, "outcome": 1}), "--correct correct or --outcome outcome"),
    "ambiguous label": (lines({"confidence": 0.1, "label": 1}), "--correct label or --outcome label"),
    "percentages": (rows([1, 0, 87.0]), "got 87 at row 3; percentages must be divided by 100"),
    "a scale": (
        rows([7, 1, 10, None]),
        "values from 1 to 10 look like a scale, not a probability; rescale them to [0, 1]",
    ),
    "small percentages": (rows([7.5, 1]), "got 7.5 at row 1; percentages must be divided by 100"),
    "whole percentages": (rows([7, 11]), "got 7 at row 1; percentages must be divided by 100"),
    "mixed scales": (rows([0.8, 87.0]), "got 87 at row 2 but 0.8 at row 1: fractions and percent"),
    "negative": (rows([0.8, -0.1]), "got -0.1 at row 2"),
    "log-probabilities": (rows([-0.8, -0.1]), "log-probabilities must go through exp"),
    "far too large": (rows([0.8, 1e300]), "no probabilities"),
    "all null": (rows([None, None]), "no usable value in 2 rows"),
    "all junk": (rows(["high", "low"]), "no usable value in 2 rows"),
    "column of nulls": (parquet({"confidence": pa.nulls(3), "correct": [1, 0, 1]}), "no usable value"),
    "objects as confidence": (rows([{"a": 1}, {"a": 2}]), "got a column of type struct"),
    "lists as confidence": (rows([[0.1], [0.2]]), "got a column of type list"),
    "timestamps as confidence": (parquet({"confidence": [NOW], "correct": [1]}), "type timestamp"),
    "booleans as confidence": (rows([True, False]), "got a column of type bool"),
    "correct = 2": (rows([0.1, 0.2], [1, 2]), "x.jsonl:2: correct: expected 0 or 1, got 2"),
    "correct = 0.5": (rows([0.1, 0.2], [1.0, 0.5]), "a reward or a score is not correctness"),
    "correct = maybe": (rows([0.1, 0.2], ["yes", "maybe"]), "x.jsonl:2: correct: expected 0 or 1"),
    "correct = inf": (raw('{"confidence": 0.1, "correct": Infinity}\n{"confidence": 1}'), "got inf"),
    "correct is an object": (rows([0.1, 0.2], [{"a": 1}] * 2), "got a column of type struct"),
    "correct is a list of lists": (rows([0.1, 0.2], [[[1]], [[0]]]), "got a column of type list"),
    "lists of different lengths": (rows([[0.1], [0.2]], [[1], [0, 1]]), "x.jsonl:2: expected lists"),
    "timestamps as correct": (parquet({"confidence": [0.1], "correct": [NOW]}), "type timestamp"),
    "negative weight": (lines({**GOOD, "weight": -1}, GOOD), "x.jsonl:1: weight: expected a finite"),
    "weight missing": (lines({**GOOD, "weight": 1}, GOOD), "x.jsonl:2: weight"),
    "duplicate column names": (twice, "'confidence' twice"),
    "csv with a duplicate name": (raw("confidence,confidence\n1,1\n", "x.csv"), "'confidence' twice"),
    "csv with a short row": (raw("confidence,correct\n0.5,1\n0.5\n", "x.csv"), "cannot be read"),
    "csv of nothing": (raw("confidence,correct\n", "x.csv"), "at least one record"),
    "probs that are logits": (lines({"probs": [2.0, -1.0], "label": 0}), "'logits'"),
    "target beyond the classes": (lines({"probs": [0.5, 0.5], "label": 2}), "index of a class, 0 to 1"),
    "probs without a target": (lines({"probs": [0.5, 0.5]}), "--gold"),
    "one class": (lines({"probs": [1.0], "label": 0}), "at least 2 classes"),
    "texts without tags": (lines({"completion": "I am sure", "correct": 1}), "--pattern"),
    "a percentage instead of an answer": (
        lines({"output": "<answer>37</answer>", "gold": "37"}),
        "expected texts with <confidence>0.8</confidence>, got none",
    ),
    "gold without answers": (lines({"confidence": 0.5, "gold": "37"}, {}), "--correct"),
    "newer schema": (
        lines({**GOOD, "status": "ok", "provenance": "reported", "levelhead.schema_version": "99"}),
        "update levelhead",
    ),
    "unknown status": (lines({**GOOD, "status": "fine", "provenance": "reported"}), "got 'fine'"),
    "status against confidence": (
        lines({**GOOD, "status": "missing", "provenance": "missing"}),
        "got 0.9 with status 'missing'",
    ),
    "string view of bytes": (
        parquet({"confidence": pa.array([b"\xff\xfe"], pa.binary()), "correct": [1]}),
        "x.parquet",
    ),
    "crispr with a wrong hit": (
        lines({"hit": 3, "answer": "5", "pert": "a", "pheno": 1}),
        "hit: expected 0 or 1, got 3",
    ),
    "rlcr with a wrong number of levels": (
        lines({"A-evals": [1, 0], "A-confidence_levels": [0.5]}),
        "A-confidence_levels: expected 2 values",
    ),
    "rlcr with words as levels": (
        lines({"A-evals": [1], "A-confidence_levels": ["high"]}),
        "A-confidence_levels: expected numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_gives_one_sentence_with_its_path(name: str, tmp_path: Path) -> None:
    make, words = FILES[name]
    path = make(tmp_path)
    with pytest.raises((RecordError, InvalidInputError)) as caught:
        concat(list(read([path])))
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert message.isprintable()
    assert str(tmp_path) in message
    assert len(message) < 1500 + len(str(path))


ONE_BEYOND = {"ok": 1, "out_of_range": 1}
ONE_OF_EACH = {"ok": 1, "missing": 1, "unparsable": 1}
LONG = "x" * 10_000_000

COUNTED: dict[str, tuple[Make, dict[str, int]]] = {
    "NaN": (raw('{"confidence": NaN, "correct": 1}\n{"confidence": 0.5}\n'), {"ok": 1, "missing": 1}),
    "infinities": (
        raw('{"confidence": Infinity, "correct": 1}\n{"confidence": -Infinity}\n{"confidence": 1}'),
        {"ok": 1, "out_of_range": 2},
    ),
    "1e400": (raw('{"confidence": 1e400, "correct": 1}\n{"confidence": 1}'), ONE_BEYOND),
    "10**400": (rows([10**400, 0.5]), {"ok": 1, "out_of_range": 1}),
    "null": (rows([None, 0.5]), {"ok": 1, "missing": 1}),
    "empty strings": (rows(["", "0.5"]), {"ok": 1, "missing": 1}),
    "numeric strings": (rows(["0.8", " 80 % ", "8e-1"]), {"ok": 3}),
    "junk strings": (rows(["0.8", "very sure", "0.8.1"]), {"ok": 1, "unparsable": 2}),
    "-5%": (rows(["0.8", "-5%"]), {"ok": 1, "out_of_range": 1}),
    "130%": (rows(["0.8", "130%"]), {"ok": 1, "out_of_range": 1}),
    "an object among numbers": (rows([0.8, {"value": 0.9}, [0.5]]), {"ok": 1, "unparsable": 2}),
    "true among numbers": (rows([0.8, True]), {"ok": 1, "unparsable": 1}),
    "a column that ends halfway": (lines(GOOD, {"correct": 1}, {"x": 1}), {"ok": 1, "missing": 2}),
    "extra keys": (lines(GOOD, {**GOOD, "extra": {"a": [1]}}), {"ok": 2}),
    "duplicate keys": (raw('{"confidence": 1, "confidence": 0.5, "correct": 1}\n'), {"ok": 1}),
    "one class only": (rows([0.5, 0.6], [1, 1]), {"ok": 2}),
    "no label known": (rows([0.5, 0.6], [None, None]), {"ok": 2}),
    "duplicate ids": (lines({**GOOD, "id": 1}, {**GOOD, "id": 1}), {"ok": 2}),
    "one record": (lines(GOOD), {"ok": 1}),
    "a byte order mark": (raw("\ufeff" + json.dumps(GOOD) + "\n" + json.dumps(GOOD)), {"ok": 2}),
    "CRLF": (raw(json.dumps(GOOD) + "\r\n\r\n" + json.dumps(GOOD) + "\r\n"), {"ok": 2}),
    "blank lines": (raw("\n\n" + json.dumps(GOOD) + "\n \n" + json.dumps(GOOD)), {"ok": 2}),
    "JSON array": (raw(json.dumps([GOOD, GOOD], indent=1), "x.json"), {"ok": 2}),
    "JSON columns": (raw('{"confidence": [0.5, 1], "correct": [1, 0]}', "x.json"), {"ok": 2}),
    "lone surrogates": (
        raw('{"confidence": 0.9, "correct": 1, "answer": "\\ud800", "id": "\\udfff"}\n{}'),
        {"ok": 1, "missing": 1},
    ),
    "escaped NUL": (raw('{"confidence": 0.9, "correct": 1, "answer": "a\\u0000b"}\n'), {"ok": 1}),
    "script": (lines({**GOOD, "answer": "<script>alert(1)</script>"}), {"ok": 1}),
    "10 MB in a field": (lines({**GOOD, "response": LONG}, GOOD), {"ok": 2}),
    "10 MB of open tags": (
        lines(
            {"completion": "<confidence>" * 800_000, "correct": 1},
            {"completion": "<confidence>0.5</confidence>", "correct": 1},
        ),
        {"ok": 1, "missing": 1},
    ),
    "csv": (raw("confidence,correct\n0.5,1\n,0\nhuh,1\n", "x.csv"), ONE_OF_EACH),
    "decimal": (
        parquet({"confidence": [decimal.Decimal("0.25")], "correct": [1]}),
        {"ok": 1},
    ),
    "dictionary of floats": (
        parquet({"confidence": pa.array([0.5, None]).dictionary_encode(), "correct": [1, 0]}),
        {"ok": 1, "missing": 1},
    ),
    "dictionary of strings": (
        parquet({"confidence": pa.array(["0.5", "?"]).dictionary_encode(), "correct": [1, 0]}),
        {"ok": 1, "unparsable": 1},
    ),
    "large strings": (
        parquet({"confidence": pa.array(["0.5"], pa.large_string()), "correct": [True]}),
        {"ok": 1},
    ),
    "int64": (
        parquet({"confidence": pa.array([0, 1, None]), "correct": [1, 0, 1]}),
        {"ok": 2, "missing": 1},
    ),
    "uint8": (parquet({"confidence": pa.array([0, 1], pa.uint8()), "correct": [1, 0]}), {"ok": 2}),
    "half floats": (
        parquet({"confidence": pa.array(np.array([0.5, 1], np.float16)), "correct": [1, 0]}),
        {"ok": 2},
    ),
    "rounding above 1": (parquet({"confidence": [1.0000001, 0.5], "correct": [1, 0]}), {"ok": 2}),
    "words as truth": (rows([0.5, 0.6, 0.7], ["Correct", "I", ""]), {"ok": 3}),
    "dictionary truth": (
        parquet({"confidence": [0.5, 0.6], "correct": pa.array(["yes", "no"]).dictionary_encode()}),
        {"ok": 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTED)
def test_an_odd_value_is_a_counted_record(name: str, tmp_path: Path) -> None:
    make, statuses = COUNTED[name]
    found = concat(list(read([make(tmp_path)])))
    assert found.status_counts() == statuses


def test_there_are_enough_of_them() -> None:
    assert len(FILES) + len(COUNTED) >= 120


def test_half_of_every_file_never_gives_another_exception(tmp_path: Path) -> None:
    """Files of every container, cut anywhere and with bytes flipped: an error of ours or records."""
    rng = np.random.default_rng(1)
    makers = [
        arrow,
        parquet({"confidence": [0.5, 0.1] * 50, "correct": [1, 0] * 50}),
        rows([0.5] * 9),
    ]
    for make in makers:
        content = make(tmp_path).read_bytes()
        for trial in range(60):
            damaged = bytearray(content[: rng.integers(1, len(content) + 1)])
            for at in rng.integers(0, len(damaged), trial % 4):
                damaged[at] = rng.integers(0, 256)
            path = tmp_path / "damaged"
            path.write_bytes(bytes(damaged))
            found = attempt(path)
            if isinstance(found, LevelheadError):
                assert "\n" not in str(found)
                assert str(path) in str(found)
            else:
                assert len(found) > 0


def attempt(path: Path) -> Predictions | LevelheadError:
    try:
        return concat(list(read([path])))
    except LevelheadError as error:
        return error


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "no permission to read it"),
        (errno.EPERM, "no permission to read it"),
        (errno.EISDIR, "got a directory"),
        (errno.ELOOP, "lead in a circle"),
        (errno.EIO, "cannot be read: Input/output error"),
    ],
)
def test_what_the_system_says_becomes_a_sentence(number: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with pytest.raises(RecordError, match=words) as caught, reading(path):
        raise OSError(number, os.strerror(number), str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert words in os_problem(OSError(number, os.strerror(number)), path)


def test_no_permission(tmp_path: Path) -> None:
    path = rows([0.5])(tmp_path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(RecordError, match="no permission"):
        list(read([path]))


def test_the_nearest_name_is_suggested(tmp_path: Path) -> None:
    rows([0.5])(tmp_path).rename(tmp_path / "predictions.jsonl")
    for call in (resolve, load):
        with pytest.raises(RecordError, match=r"did you mean '.*predictions\.jsonl'"):
            call([tmp_path / "predictons.jsonl"])


def test_ten_megabytes_survive_as_they_are(tmp_path: Path) -> None:
    found = concat(list(read([lines({**GOOD, "response": LONG})(tmp_path)])))
    assert found.columns["text"][0].as_py() == LONG


def test_script_is_kept_as_text(tmp_path: Path) -> None:
    found = concat(list(read([COUNTED["script"][0](tmp_path)])))
    assert found.columns["answer"][0].as_py() == "<script>alert(1)</script>"


def test_a_wrong_option_is_named_before_any_file_is_opened() -> None:
    with pytest.raises(InvalidInputError, match="format: expected one of"):
        list(read(["gone"], ReadOptions(format="colums")))
    with pytest.raises(InvalidInputError, match="did you mean 'percent_tag'"):
        list(read(["gone"], ReadOptions(elicitation="percent_tags")))
    with pytest.raises(InvalidInputError, match="group named confidence"):
        list(read(["gone"], ReadOptions(pattern="[0-9]+")))


def test_an_error_in_the_second_batch_names_the_row_of_the_file(tmp_path: Path) -> None:
    n = 200_000
    confidence = np.full(n, 0.5)
    confidence[150_000] = 87.0
    path = parquet({"confidence": confidence, "correct": np.ones(n)})(tmp_path)
    with pytest.raises(RecordError, match=r"got 87 at row 150001 but 0\.5 at row 1: ") as caught:
        list(read([path]))
    assert caught.value.line == 150_001


def test_blocks_before_a_damaged_part_are_predictions(tmp_path: Path) -> None:
    stream = read([rows([0.5] * 10)(tmp_path)], ReadOptions(), ReadLog())
    assert isinstance(next(stream), Predictions)
