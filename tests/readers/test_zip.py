"""Members of ZIP archives, packed in every way that occurs and damaged in several."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest
import zstandard

from levelhead.errors import RecordError
from levelhead.readers import _zip
from levelhead.readers._zip import open_archive

DATA = b'{"a": 1}' * 1000


def zstd_archive(
    path: Path,
    data: bytes = DATA,
    *,
    size: int | None = None,
    flags: int = 0,
    frames: int = 1,
    extra: bytes = b"",
) -> Path:
    """One member `m` of method 93; `size` is what the archive claims it unpacks to.

    The extra field is in the member's own header only, as writers that stream leave it.
    """
    step = max(1, -(-len(data) // frames))
    chunks = [data[i : i + step] for i in range(0, len(data), step)] or [b""]
    packed = b"".join(zstandard.ZstdCompressor().compress(chunk) for chunk in chunks)
    claimed = len(data) if size is None else size
    common = struct.pack(
        "<HHHHHIIIH", 20, flags, 93, 0, 0, zlib.crc32(data), len(packed), claimed, 1
    )
    body = b"PK\x03\x04" + common + struct.pack("<H", len(extra)) + b"m" + extra + packed
    entry = (
        b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHHII", 0, 0, 0, 0, 0, 0)
    )
    directory = entry + b"m"
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), len(body), 0)
    path.write_bytes(body + directory + b"PK\x05\x06" + end)
    return path


def member(path: Path, name: str = "m") -> bytes:
    with open_archive(path) as archive:
        assert archive.names == [name]
        return archive.read(name)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_zstandard_member_of_one_or_several_frames(tmp_path: Path, frames: int) -> None:
    assert member(zstd_archive(tmp_path / "a.zip", frames=frames)) == DATA


def test_extra_fields_before_the_bytes(tmp_path: Path) -> None:
    assert member(zstd_archive(tmp_path / "a.zip", extra=b"\x01\x00\x04\x00abcd")) == DATA


def test_an_empty_zstandard_member(tmp_path: Path) -> None:
    assert member(zstd_archive(tmp_path / "a.zip", b"")) == b""


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_the_methods_that_python_knows(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("m", DATA)
    assert member(path) == DATA


@pytest.mark.parametrize("size", [10, 10 * len(DATA)])
def test_a_member_that_lies_about_its_size(tmp_path: Path, size: int) -> None:
    with pytest.raises(RecordError, match=r"a\.zip: the archive member 'm' is damaged: its size"):
        member(zstd_archive(tmp_path / "a.zip", size=size))


def test_a_member_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_zip, "MEMBER_CAP", 2**20)
    path = zstd_archive(tmp_path / "a.zip", bytes(2**20))
    assert len(member(path)) == 2**20
    path = zstd_archive(tmp_path / "a.zip", bytes(2**20 + 1))
    with pytest.raises(RecordError, match="'m' unpacks to more than 1 MiB, which no sample needs"):
        member(path)


def test_an_encrypted_member(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="'m' is encrypted"):
        member(zstd_archive(tmp_path / "a.zip", flags=1))


def test_damaged_bytes(tmp_path: Path) -> None:
    path = zstd_archive(tmp_path / "a.zip")
    whole = bytearray(path.read_bytes())
    for position in (31, 35):  # the frame's magic number, then its content
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        path.write_bytes(broken)
        with pytest.raises(RecordError, match="'m' is damaged"):
            member(path)
    broken = bytearray(whole)
    broken[0] = 0
    path.write_bytes(broken)
    with pytest.raises(RecordError, match="not where the directory says"):
        member(path)


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 and no directory")
    with pytest.raises(RecordError, match=r"a\.zip: expected a complete ZIP archive"):
        member(path)
    with pytest.raises(RecordError, match=r"none\.zip: expected a file"):
        member(tmp_path / "none.zip")
