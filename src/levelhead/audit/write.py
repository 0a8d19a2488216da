"""Writing results: a file is there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from levelhead.audit.result import AuditResult, to_json
from levelhead.errors import RecordError

__all__ = ["check_writable", "json_text", "write_text"]


def json_text(result: AuditResult) -> str:
    """The result as JSON with sorted structure, two spaces, no NaN.

    Args:
        result: what an audit found.

    Returns:
        The text, ending in a newline.
    """
    return json.dumps(to_json(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` through a temporary file beside it and a rename.

    Args:
        path: where to; its folder must exist.
        text: what; lone surrogates from broken inputs are written as escapes.

    Raises:
        RecordError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    check_writable(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise RecordError(f"cannot write here: {error.strerror}", str(path)) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
