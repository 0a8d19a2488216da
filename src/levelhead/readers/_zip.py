"""Members of a ZIP archive one at a time, also those packed with Zstandard (method 93).

`zipfile` of Python before 3.14 lists such members but cannot open them, so their bytes are found by
the archive's own directory and unpacked here. No member may unpack to more than `MEMBER_CAP` bytes.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import zstandard

from levelhead.errors import RecordError
from levelhead.readers._files import reading, show
from levelhead.readers._remote import AnyPath

__all__ = ["MEMBER_CAP", "Archive", "open_archive"]

MEMBER_CAP = 512 * 2**20
"""Bytes that one member may unpack to; a larger one is taken for a ZIP bomb."""

_ZSTD = 93
_LOCAL_HEADER = 30
_LOCAL_MAGIC = b"PK\x03\x04"
_ENCRYPTED = 0x1
_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    zstandard.ZstdError,
    EOFError,
    NotImplementedError,
    OSError,
)


class Archive:
    """An open archive.

    Args:
        path: the file.
        archive: its directory.
        file: its bytes.
    """

    def __init__(self, path: AnyPath, archive: zipfile.ZipFile, file: IO[bytes]) -> None:
        self.path, self._archive, self._file = path, archive, file
        self.names = archive.namelist()

    def read(self, name: str) -> bytes:
        """The unpacked bytes of one member.

        Args:
            name: the member.

        Returns:
            Its bytes, checked against the checksum in the archive.

        Raises:
            RecordError: it is encrypted, damaged, packed in another way, or too large.
        """
        info = self._archive.getinfo(name)
        if info.flag_bits & _ENCRYPTED:
            raise self._error(name, "is encrypted")
        if info.file_size > MEMBER_CAP:
            cap = f"{MEMBER_CAP // 2**20} MiB"
            raise self._error(name, f"unpacks to more than {cap}, which no sample needs")
        try:
            data = self._zstd(info) if info.compress_type == _ZSTD else self._plain(info)
        except _ERRORS as error:
            raise self._error(name, f"is damaged: {error}") from error
        # One byte more than declared was asked for: a member that lies about its size fails here.
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise self._error(name, "is damaged: its size or checksum does not match")
        return data

    def _plain(self, info: zipfile.ZipInfo) -> bytes:
        with self._archive.open(info) as member:
            return member.read(info.file_size + 1)

    def _zstd(self, info: zipfile.ZipInfo) -> bytes:
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or not header.startswith(_LOCAL_MAGIC):
            raise zipfile.BadZipFile("its header is not where the directory says")
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        self._file.seek(name_length + extra_length, 1)
        packed = self._file.read(info.compress_size)
        unpacker = zstandard.ZstdDecompressor()
        with unpacker.stream_reader(packed, read_across_frames=True) as stream:
            return stream.read(info.file_size + 1)

    def _error(self, name: str, problem: str) -> RecordError:
        return RecordError(f"the archive member {name!r} {problem}", show(self.path))


@contextmanager
def open_archive(path: AnyPath) -> Iterator[Archive]:
    """Open a ZIP archive for reading one member after another.

    Args:
        path: the file.

    Yields:
        The open archive.

    Raises:
        RecordError: the file is no complete archive.
    """
    with reading(path), path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            raise RecordError(
                f"expected a complete ZIP archive ({error}); the program that wrote it may have "
                "been interrupted",
                show(path),
            ) from error
        with archive:
            yield Archive(path, archive, file)
