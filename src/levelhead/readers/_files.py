"""Opening files: whatever can go wrong becomes one sentence with the path."""

from __future__ import annotations

import difflib
import errno
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers._remote import AnyPath, RemotePath

__all__ = ["one_line", "os_problem", "reading", "show"]

MAX_MESSAGE = 600
"""Characters of a message: a library's own text can quote a whole damaged file."""

_WHY = {
    errno.EISDIR: "expected a file, got a directory; name a file in it",
    errno.EACCES: "no permission to read it; change its mode (chmod +r) or run as its owner",
    errno.EPERM: "no permission to read it; change its mode (chmod +r) or run as its owner",
    errno.ELOOP: "expected a file, got symbolic links that lead in a circle; name the real file",
    errno.ENAMETOOLONG: "expected a file, got a name that is too long; check the path",
}


def one_line(text: str) -> str:
    """`text` on a single line: whatever cannot be printed is shown as an escape."""
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in text[: MAX_MESSAGE * 2]
    )
    return shown if len(shown) <= MAX_MESSAGE else shown[: MAX_MESSAGE - 3] + "..."


def show(path: str | os.PathLike[str] | RemotePath) -> str:
    """The path as a message shows it."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in str(path)
    )


def os_problem(error: OSError, path: AnyPath) -> str:
    """What an operating system's error means for the user, and what to do about it."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"expected a file, found none of that name{_nearest(path)}"
    if error.errno in _WHY:
        return _WHY[error.errno]
    if error.errno is None and isinstance(path, RemotePath):
        return _unreachable(error)
    if error.errno is None:  # Arrow's own: the content is wrong, not the access
        return _damaged(error)
    return f"cannot be read: {error.strerror or error}; check the disk and the path"


@contextmanager
def reading(path: AnyPath) -> Iterator[None]:
    """Turn everything that can go wrong inside into a `RecordError` on one line with the path."""
    try:
        yield
    except RecordError as error:
        name = show(path) if error.path is None else show(error.path)
        problem = one_line(error.problem)
        if (name, problem) == (error.path, error.problem):
            raise
        raise RecordError(problem, name, error.line) from error
    except InvalidInputError as error:
        raise RecordError(one_line(str(error)), show(path)) from error
    except UnicodeError as error:
        raise RecordError(
            f"expected UTF-8 text, got bytes that are not ({one_line(str(error))}); "
            "convert the file to UTF-8",
            show(path),
        ) from error
    except RecursionError as error:
        raise RecordError(
            "expected records, got data that is nested too deeply; flatten it", show(path)
        ) from error
    except OSError as error:
        raise RecordError(os_problem(error, path), show(path)) from error
    except (pa.ArrowException, zipfile.BadZipFile, MemoryError, OverflowError) as error:
        problem = _unreachable if isinstance(path, RemotePath) else _damaged
        raise RecordError(problem(error), show(path)) from error
    except Exception as error:  # a file system of fsspec raises whatever its library does
        if isinstance(path, RemotePath):
            raise RecordError(_unreachable(error), show(path)) from error
        raise


def _unreachable(error: Exception) -> str:
    said = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    return (
        f"cannot be read: {one_line(said[:300])}; check the address, the credentials and the "
        "connection, and that the file is whole"
    )


def _damaged(error: Exception) -> str:
    said = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    return one_line(
        f"cannot be read: {said[:300]}; the file is damaged, incomplete or of "
        "another kind: write or download it again"
    )


def _nearest(path: AnyPath) -> str:
    folder = path.parent
    if isinstance(path, RemotePath) or isinstance(folder, RemotePath):
        return "; check the address"
    try:
        names = os.listdir(folder)
    except OSError:
        return f"; there is no folder {show(folder)!r}"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {show(folder / near[0])!r}?" if near else "; check the path"
