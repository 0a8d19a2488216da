"""Writing files: a file is there whole or not at all, and JSON has no NaN."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import numpy as np

from levelhead.errors import RecordError

__all__ = ["check_writable", "plain", "replacing", "write_text"]


@contextlib.contextmanager
def replacing(path: str | Path) -> Generator[Path]:
    """A path to write to inside the block; it takes the place of `path` where the block succeeds.

    A link is followed and stays a link; a file that is there keeps its permissions; what is there and
    is no file (a device, a pipe) is written to as it is.

    Args:
        path: where the file shall be; its folder must exist.

    Yields:
        An empty file beside it, with the same suffix.

    Raises:
        RecordError: `path` is a folder, or its folder does not exist or cannot be written to.
    """
    path = Path(path)
    check_writable(path)
    path = path.resolve()
    if path.exists() and not path.is_file():
        yield path
        return
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-", suffix=path.suffix)
    except OSError as error:
        raise RecordError(f"cannot write here: {error.strerror}", str(path)) from error
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` through a temporary file beside it and a rename.

    Args:
        path: where to; its folder must exist.
        text: what; lone surrogates from broken inputs are written as escapes.

    Raises:
        RecordError: `path` is a folder, or its folder does not exist or cannot be written to.
    """
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


def check_writable(path: str | Path) -> None:
    """Raise before any work is done where a file cannot be written later.

    Args:
        path: where to.

    Raises:
        RecordError: it is a folder, or its folder does not exist or may not be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise RecordError("expected a file to write, got a folder", str(path))
    if not path.parent.is_dir():
        raise RecordError("cannot write here: there is no such folder; make it first", str(path))
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise RecordError("cannot write here: no permission to write in the folder", str(path))


def plain(value: Any) -> Any:
    """A nest of dicts, lists and tuples as plain JSON types; NaN and infinities become None.

    Args:
        value: what to write; numpy's numbers are welcome.

    Returns:
        Dicts with text keys, lists, texts, numbers, booleans and None.
    """
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in cast(dict[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in cast(list[Any], value)]
    if isinstance(value, np.generic):
        return plain(cast(Any, value).item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
