"""A file is there whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from levelhead._write import plain, write_text
from levelhead.errors import RecordError


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    write_text(path, "one")
    write_text(path, "two \U0001f642")
    assert path.read_text(encoding="utf-8") == "two \U0001f642"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_the_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    mask = os.umask(0o022)
    try:
        write_text(path, "one")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.txt"
    write_text(path, "old")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_lone_surrogates_are_escaped_not_fatal(tmp_path: Path) -> None:
    write_text(tmp_path / "out.txt", "a\ud800b")
    assert (tmp_path / "out.txt").read_text() == "a\\ud800b"


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="expected a file to write, got a folder"):
        write_text(tmp_path, "x")
    with pytest.raises(RecordError, match="nowhere.*cannot write here"):
        write_text(tmp_path / "nowhere" / "out.txt", "x")


def test_a_link_stays_a_link_and_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_json_has_plain_types_and_no_nan() -> None:
    nest = {1: (np.float32(0.5), float("nan")), "b": [np.int64(3), np.bool_(True), None, -np.inf]}
    found = plain(nest)
    assert found == {"1": [0.5, None], "b": [3, True, None, None]}
    assert [type(one) for one in found["b"][:2]] == [int, bool]
