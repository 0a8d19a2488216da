"""Files at addresses: Arrow's file systems over a folder that stands for a bucket, and S3 itself."""

from __future__ import annotations

import io
import json
import pickle
import socket
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers import ReadLog, ReadOptions, _remote, load, resolve
from levelhead.readers._remote import RemotePath, as_path, is_remote

ROWS = {"confidence": [0.25, 0.5, 0.75], "correct": [0, 1, 1]}


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder behind `s3://bucket`; the real client of S3 is tried where a server runs."""
    (tmp_path / "bucket").mkdir()
    place = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())

    def opened(root: str) -> tuple[fs.FileSystem, str]:
        assert root.startswith("s3://")
        return place, root.removeprefix("s3://").split("?")[0].rpartition("@")[2]

    monkeypatch.setattr(_remote, "_opened", opened)
    return tmp_path / "bucket"


def put(path: Path, rows: dict | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(ROWS if rows is None else rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".arrow":
        with pa.ipc.new_file(path, table.schema) as out:
            out.write_table(table)
    elif path.suffix == ".csv":
        names = table.column_names
        lines = [
            ",".join(names),
            *(",".join(str(row[n]) for n in names) for row in table.to_pylist()),
        ]
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".json":
        path.write_text(json.dumps(table.to_pylist()))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


@pytest.mark.parametrize("ending", ["parquet", "arrow", "csv", "json", "jsonl"])
def test_every_table_reads_as_it_does_on_disk(bucket: Path, ending: str) -> None:
    put(bucket / "run" / f"base.{ending}")
    here = load([bucket / "run" / f"base.{ending}"])["base"]
    there = load([f"s3://bucket/run/base.{ending}"])["base"]
    assert there.confidence.tolist() == here.confidence.tolist() == ROWS["confidence"]
    assert there.label.tolist() == here.label.tolist()


def test_an_archive_reads_as_it_does_on_disk(bucket: Path) -> None:
    with zipfile.ZipFile(bucket / "log.eval", "w") as archive:
        archive.writestr("header.json", "{}")
    problems = []
    for name in (str(bucket / "log.eval"), "s3://bucket/log.eval"):
        with pytest.raises(RecordError) as error:
            load([name])
        problems.append((error.value.problem, error.value.path))
    assert problems[0] == (problems[1][0], str(bucket / "log.eval"))
    assert problems[1][1] == "s3://bucket/log.eval"


def names(*arguments: str) -> dict[str, list[str]]:
    return {s.name: [str(f) for f in s.files] for s in resolve(arguments)}


def test_folders_shards_and_globs_name_models(bucket: Path) -> None:
    for name in ("tuned/part-2.parquet", "tuned/part-10.parquet", "tuned/.part-1.crc", "tuned/_SUCCESS",
                 "a/x.jsonl", "b/deep/x.jsonl", "b/y.csv"):  # fmt: skip
        put(bucket / name)
    tuned = [f"s3://bucket/tuned/part-{i}.parquet" for i in (2, 10)]
    assert names("s3://bucket/tuned") == names("s3://bucket/tuned/") == {"tuned": tuned}
    assert names("s3://bucket/tuned/*.parquet") == {"tuned": tuned}
    assert names("s3://bucket/**/x.jsonl") == {
        "a/x": ["s3://bucket/a/x.jsonl"],
        "deep/x": ["s3://bucket/b/deep/x.jsonl"],
    }
    assert names("s3://bucket/[ab]/*.*") == {
        "x": ["s3://bucket/a/x.jsonl"],
        "y": ["s3://bucket/b/y.csv"],
    }
    assert names("s3://bucket/tuned/part-?.parquet") == {"tuned": tuned[:1]}
    assert names("s3://bucket/b", "s3://bucket/tuned/p*") == {
        "b": ["s3://bucket/b/y.csv"],
        "tuned": tuned,
    }


def test_a_star_takes_no_hidden_file(bucket: Path) -> None:
    put(bucket / ".hidden.jsonl")
    put(bucket / "seen.jsonl")
    assert list(names("s3://bucket/*.jsonl")) == ["seen"]
    assert names("s3://bucket/.h*") == {".hidden": ["s3://bucket/.hidden.jsonl"]}


def test_what_lies_in_hidden_folders_is_not_found(bucket: Path) -> None:
    for name in (".hid/h.jsonl", "x/.hid/h.jsonl", "x/.dot.jsonl", "x/seen.jsonl", "top.jsonl"):
        put(bucket / name)
    deep = ["s3://bucket/x/seen.jsonl"]
    assert names("s3://bucket/**/*.jsonl") == {"top": ["s3://bucket/top.jsonl"], "seen": deep}
    assert names("s3://bucket/x/**/s*") == {"seen": deep}


def test_folders_of_folders(bucket: Path) -> None:
    put(bucket / "runs" / "a" / "x.jsonl")
    put(bucket / "runs" / "b" / "x.jsonl")
    both = {name: [f"s3://bucket/runs/{name}/x.jsonl"] for name in ("a", "b")}
    assert names("s3://bucket/runs") == names("s3://bucket/runs/*") == both
    assert names("s3://bucket/run?/") == both
    assert names("s3://bucket") == both
    assert names("s3://bucket/**/x.jsonl") == {f"{n}/x": files for n, files in both.items()}


def test_brackets_may_be_part_of_a_name(bucket: Path) -> None:
    put(bucket / "x[1].jsonl")
    assert names("s3://bucket/x[1].jsonl") == {"x[1]": ["s3://bucket/x[1].jsonl"]}


def test_servers_with_the_same_names_are_two(bucket: Path) -> None:
    put(bucket / "x.jsonl")
    files = [f"s3://bucket/x.jsonl?endpoint_override=127.0.0.1:{port}" for port in (1, 2)]
    assert len(resolve(files)) == 2


def test_the_same_file_twice_is_read_once(bucket: Path) -> None:
    put(bucket / "x.jsonl")
    log = ReadLog()
    files = ["S3://bucket/x.jsonl", "s3://bucket/*.jsonl"]
    assert len(load(files, log=log)["x"]) == 3
    assert log.warnings == ["s3://bucket/x.jsonl was named twice and is read once"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "s3://bucket/none.parquet",
            "bucket/none.parquet: expected a file, found none of that name",
        ),
        (
            "s3://bucket/none/*.parquet",
            "expected a file, found none of that name; check the address",
        ),
        ("s3://bucket/*.parquet", "expected files, no file matches this pattern; check it"),
        ("s3://bucket/empty", "expected a folder with files of predictions"),
    ],
)
def test_what_is_not_there_is_told(bucket: Path, name: str, problem: str) -> None:
    (bucket / "empty").mkdir()
    with pytest.raises(RecordError, match=problem.replace("*", r"\*")):
        load([name])


def test_a_bad_value_is_told_with_its_address_and_line(bucket: Path) -> None:
    put(bucket / "x.jsonl", {"confidence": [0.5, 7.0], "correct": [1, 0]})
    with pytest.raises(RecordError, match="s3://bucket/x.jsonl:2: "):
        load(["s3://bucket/x.jsonl"])


def test_what_a_server_refuses_is_no_damaged_file(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket / "x.jsonl")

    def refused(self: RemotePath) -> None:
        raise OSError("AWS Error ACCESS_DENIED during GetObject operation: no such key for you.")

    monkeypatch.setattr(RemotePath, "arrow_file", refused)
    with pytest.raises(RecordError, match="cannot be read: AWS Error ACCESS_DENIED.*credentials"):
        load(["s3://bucket/x.jsonl"])


@pytest.mark.parametrize(
    "error", [ValueError("no\nmore"), NotImplementedError("no"), pa.ArrowInvalid("no")]
)
def test_what_a_foreign_file_system_raises_is_one_sentence(
    bucket: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    put(bucket / "x.jsonl")

    def refused(self: RemotePath) -> None:
        raise error

    monkeypatch.setattr(RemotePath, "arrow_file", refused)
    with pytest.raises(
        RecordError, match="x.jsonl: cannot be read: no; check the address, the cred"
    ):
        load(["s3://bucket/x.jsonl"])


def test_a_secret_is_never_shown(bucket: Path) -> None:
    put(bucket / "x.jsonl")
    path = as_path("s3://AKIA:s3cr3t@bucket/x.jsonl?region=eu-central-1&scheme=http")
    assert isinstance(path, RemotePath)
    assert path.root == "s3://AKIA:s3cr3t@bucket?region=eu-central-1&scheme=http"
    assert (str(path), path.key) == ("s3://bucket/x.jsonl", "bucket/x.jsonl")
    assert "s3cr3t" not in repr(path)
    assert pickle.loads(pickle.dumps(path)).root == path.root


def test_a_secret_is_not_in_errors() -> None:
    with pytest.raises(InvalidInputError) as error:
        as_path("nosuch://KEY:s3cr3t@bucket/x")
    assert str(error.value).startswith(
        "nosuch://bucket: expected an address that pyarrow opens, such as s3://"
    )
    assert "s3cr3t" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIA:Se/s3cr3t@bucket/run",
        "s3://AKIA:s3cr3t/Se@bucket/run/x",
        "nosuch://b/run?token=s3cr3t",
        "nosuch://user:s3cr3t@host/x?token=s3cr3t",
    ],
)
def test_no_part_of_a_secret_is_in_errors(address: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        as_path(address)
    assert "s3cr3t" not in str(error.value)
    assert "AKIA" not in str(error.value)


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_remote, "PATIENCE_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(RecordError, match="s3://bucket/x: cannot be read: .*AWS Error NETWORK"):
            load(
                [
                    f"s3://key:secret@bucket/x?endpoint_override=127.0.0.1:{port}&scheme=http&region=a"
                ]
            )


def test_what_is_an_address(tmp_path: Path) -> None:
    assert is_remote("s3://bucket/x")
    for local in ("x", "/x/y", "C:\\x", "a:b", "file:///x", tmp_path):
        assert not is_remote(local)
    assert as_path("file:///a%20b/c") == Path("/a b/c")
    assert as_path(tmp_path) == tmp_path


def test_it_has_what_readers_need_of_a_path(bucket: Path) -> None:
    put(bucket / "run" / "x.jsonl")
    path = as_path("s3://bucket/run/x.jsonl")
    assert isinstance(path, RemotePath)
    assert (path.name, path.stem, path.suffix, path.parent.name) == (
        "x.jsonl",
        "x",
        ".jsonl",
        "run",
    )
    assert str(path.parent / "y") == "s3://bucket/run/y"
    assert path.stat().st_size == (bucket / "run" / "x.jsonl").stat().st_size
    assert stat.S_ISREG(path.stat().st_mode)
    assert stat.S_ISDIR(path.parent.stat().st_mode)
    with path.open() as file:
        assert isinstance(file, io.BufferedReader)
        assert list(file) == (bucket / "run" / "x.jsonl").read_bytes().splitlines(keepends=True)
    with pytest.raises(TypeError):
        Path(path)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        as_path("s3://bucket/none").stat()
    with pytest.raises(InvalidInputError, match="mode: expected 'rb', got 'wb'"):
        path.open("wb")  # type: ignore[arg-type]


def test_labels_are_joined_to_remote_logs(bucket: Path, tmp_path: Path) -> None:
    put(bucket / "x.jsonl", {"confidence": [0.2, 0.9], "prompt_id": ["a", "b"]})
    put(tmp_path / "labels.jsonl", {"prompt_id": ["b", "a"], "correct": [1, 0]})
    options = ReadOptions(labels=tmp_path / "labels.jsonl")
    assert load(["s3://bucket/x.jsonl"], options)["x"].label.tolist() == [0.0, 1.0]


def test_a_bucket_reads_through_the_client_of_s3(s3: Callable[[Path], str], tmp_path: Path) -> None:
    for i in range(7):
        rows = {"confidence": [i / 10], "correct": [1]}
        put(tmp_path / "bucket" / "run 1" / f"part-{i}.parquet", rows)
    put(tmp_path / "bucket" / "run 1" / "deep" / "x.csv")
    query = s3(tmp_path)
    for name in ("run 1", "run 1/", "run 1/part-?.parquet", "**/*.parquet"):
        (found,) = load([f"s3://key:secret@bucket/{name}?{query}"]).values()
        assert found.confidence.tolist() == [i / 10 for i in range(7)]
    deep = load([f"s3://key:secret@bucket/run 1/deep/x.csv?{query}"])["x"]
    assert deep.label.tolist() == [0, 1, 1]
    with pytest.raises(RecordError, match="s3://none/x: expected a file, found none") as error:
        load([f"s3://key:secret@none/x?{query}"])
    assert "secret" not in str(error.value)
