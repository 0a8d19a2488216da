"""Files that lie elsewhere: `s3://`, `gs://`, `abfs://`, `hdfs://`, and what else pyarrow opens.

A `RemotePath` has what the readers need of a `Path`, so that they read both alike. It is no
`os.PathLike`: whatever would look for it on this machine's disk fails at once.
"""

from __future__ import annotations

import dataclasses
import functools
import glob
import io
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from levelhead.errors import InvalidInputError

__all__ = [
    "BUFFER",
    "AnyPath",
    "RemotePath",
    "absolute",
    "arrow_source",
    "as_path",
    "children",
    "is_remote",
]

BUFFER = 1 << 23
"""Bytes that one request asks for: each takes tens of milliseconds, however little it brings."""

_REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
_QUERY = re.compile(r"\?(?=[A-Za-z_]+=)")
_CUT_SECRET = re.compile(r"^[^@]*:(?![0-9]+$)[^@]*$")
"""What stands before the first slash of an address whose secret holds one."""

PATIENCE_S = 30
"""Seconds for which a server that does not answer is waited for, a few times."""


@dataclasses.dataclass(frozen=True)
class RemotePath:
    """A file or a folder in a file system that pyarrow opens.

    Attributes:
        uri: its address as messages show it, without credentials.
        key: its path within the file system.
        root: the address of the file system, with credentials and options.
        size: bytes of a file, as its folder listed them.
        is_folder: whether it is a folder.
    """

    uri: str
    key: str = dataclasses.field(repr=False)
    root: str = dataclasses.field(repr=False, compare=False)
    size: int | None = dataclasses.field(default=None, compare=False)
    is_folder: bool = dataclasses.field(default=False, compare=False)

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> RemotePath:
        uri, key = (f"{part.rstrip('/')}/{name}" for part in (self.uri, self.key))
        return RemotePath(uri, key, self.root)

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> RemotePath:
        uri, key = (part.rstrip("/").rpartition("/")[0] for part in (self.uri, self.key))
        return RemotePath(uri, key, self.root, is_folder=True)

    def open(self, mode: Literal["rb"] = "rb") -> io.BufferedReader:
        """The file for reading, as `Path.open` gives it."""
        if mode != "rb":
            raise InvalidInputError(
                f"mode: expected 'rb', got {mode!r}: remote files are read only"
            )
        return io.BufferedReader(self.arrow_file(), BUFFER)

    def arrow_file(self) -> Any:
        """The file for Arrow, which reads only the parts that it needs."""
        return filesystem(self.root).open_input_file(self.key)

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return file.read()

    def stat(self) -> os.stat_result:
        """Kind and size alone; the rest is 0.

        Raises:
            FileNotFoundError: there is nothing of that name.
        """
        size, folder = self.size, self.is_folder
        if size is None and not folder:
            found = self.found()
            size, folder = found.size, found.is_folder
        mode = stat.S_IFDIR if folder else stat.S_IFREG
        return os.stat_result((mode | 0o444, 0, 0, 0, 0, 0, size or 0, 0, 0, 0))

    def found(self) -> RemotePath:
        """The same with what the file system says about it.

        Raises:
            FileNotFoundError: there is nothing of that name.
        """
        info = filesystem(self.root).get_file_info(self.key)
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(2, "No such file or directory", self.uri)
        folder = info.type == fs.FileType.Directory
        return dataclasses.replace(self, size=info.size, is_folder=folder)

    def matches(self) -> list[RemotePath]:
        """The files and folders that the name describes, a glob's `**` going through folders."""
        if glob.has_magic(self.key):
            with suppress(FileNotFoundError):
                return [self.found()]  # brackets may be part of a name
        parts = self.key.split("/")
        n_plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        if n_plain == len(parts):
            return [self.found()]
        pattern = parts[n_plain:]
        start = RemotePath(
            "/".join(self.uri.split("/")[: -len(pattern)]), "/".join(parts[:n_plain]), self.root
        )
        below = children(start, recursive=len(pattern) > 1 or "**" in pattern)
        offset = len(start.key) + 1
        return [one for one in below if _fits(one.key[offset:].split("/"), pattern)]


AnyPath = Path | RemotePath


def is_remote(file: object) -> bool:
    """Whether this is an address such as `s3://bucket/file`, and no path on this machine."""
    return isinstance(file, RemotePath) or (
        isinstance(file, str) and bool(_REMOTE.match(file)) and file[:7].lower() != "file://"
    )


def as_path(file: str | os.PathLike[str] | RemotePath) -> AnyPath:
    """A path for reading.

    Args:
        file: a path, or an address such as `s3://bucket/folder/file.parquet`, of which a query such
            as `?endpoint_override=host:port` is handed to the file system.

    Returns:
        A `RemotePath` where it is an address; `file://` is a path on this machine.

    Raises:
        InvalidInputError: pyarrow has no file system of this kind, or it cannot be reached.
    """
    if isinstance(file, RemotePath):
        return file
    if not isinstance(file, str):
        return Path(file)
    if file[:7].lower() == "file://":
        return Path(unquote(urlsplit(file).path))
    if not is_remote(file):
        return Path(file)
    place, *options = _QUERY.split(file, maxsplit=1)
    scheme, _, rest = place.partition("://")
    scheme = scheme.lower()
    authority, _, inside = rest.partition("/")
    if _CUT_SECRET.search(authority) and "@" in inside:
        raise InvalidInputError(
            f"{scheme}://...: expected an address, got one whose credentials hold a slash; write it "
            "as %2F"
        )
    if scheme == "gs" and not any("retry_limit_seconds" in option for option in options):
        options = ["&".join([*options, f"retry_limit_seconds={PATIENCE_S}"])]
    root = f"{scheme}://{authority}" + "".join(f"?{option}" for option in options)
    user, _, host = authority.rpartition("@")
    public = host if ":" in user else authority  # a key and its secret are not for messages
    inside = inside.rstrip("/")
    try:
        base = _opened(root)[1].rstrip("/")
    except Exception as error:  # a file system of fsspec raises whatever its library does
        if not isinstance(error, MemoryError):
            said = str(error).strip().split("\n")[0]
            for hidden in (root, *options, authority):
                said = said.replace(hidden, public)
            raise InvalidInputError(
                f"{scheme}://{public}: expected an address that pyarrow opens, such as s3://, gs://, "
                f"abfs://, hdfs:// or hf://, got: {said}; check the address, the credentials and "
                "the connection"
            ) from error
        raise
    uri = f"{scheme}://{public}" + (f"/{inside}" if inside else "")
    return RemotePath(uri, f"{base}/{inside}".rstrip("/"), root)


def filesystem(root: str) -> Any:
    """The file system at an address; one connection of each process for all files."""
    return _opened(root)[0]


def arrow_source(path: AnyPath) -> Any:
    """What Arrow's own readers take: a path on this machine, or an open remote file."""
    return path.arrow_file() if isinstance(path, RemotePath) else path


def absolute(path: AnyPath) -> AnyPath:
    """The path from the root, so that the folder it lies in has a name."""
    return path if isinstance(path, RemotePath) else Path(os.path.abspath(path))


def children(path: RemotePath, *, recursive: bool = False) -> list[RemotePath]:
    """What lies in a folder, with its size.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    found = filesystem(path.root).get_file_info(fs.FileSelector(path.key, recursive=recursive))
    offset = len(path.key.rstrip("/")) + 1
    return [
        RemotePath(
            f"{path.uri.rstrip('/')}/{info.path[offset:]}",
            info.path,
            path.root,
            info.size,
            info.type == fs.FileType.Directory,
        )
        for info in found
    ]


@functools.lru_cache(maxsize=64)
def _opened(root: str) -> tuple[Any, str]:
    place, base = fs.FileSystem.from_uri(root)
    if root.startswith("s3://"):
        # It would wait for good for a server that takes connections and never answers. What it is
        # pickled as is all that it was made with.
        options = place.__reduce__()[1][0]
        times = {"connect_timeout": PATIENCE_S / 3, "request_timeout": PATIENCE_S}
        place = fs.S3FileSystem(**{**options, **times})
    return place, base


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path is one that a glob describes; `*` takes no hidden name."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        hidden = (i for i, part in enumerate(parts) if part.startswith("."))
        deepest = next(hidden, len(parts))
        return any(_fits(parts[i:], pattern[1:]) for i in range(deepest + 1))
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])
