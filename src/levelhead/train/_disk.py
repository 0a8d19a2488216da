"""One sentence for whatever a disk, or a library that writes to one, complains about."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import TracebackType

from safetensors import SafetensorError

from levelhead.errors import LevelheadError, RecordError

__all__ = ["OnDisk"]

MOST = 200
"""Characters that are quoted of a complaint."""

FULL = ("No space left", "Disk quota", "File too large")


class OnDisk:
    """Inside the block files are read or written; what goes wrong becomes a `RecordError`.

    A context manager and no handler: it lets nothing pass as if it had worked.

    Args:
        what: what cannot be done then, e.g. "cannot save the checkpoint".
        path: where.

    Raises:
        RecordError: the block raised what a disk is the reason of.
    """

    def __init__(self, what: str, path: Path) -> None:
        self.what, self.path = what, path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, LevelheadError):
            return
        known = (OSError, SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError)
        # The tokenizers library raises bare exceptions.
        if not isinstance(error, known) and kind is not Exception:
            return
        # torch's writer stumbles over its own state after the disk has refused, and reports that.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        said = (cause.strerror if cause is not None else None) or str(cause or error)
        raise RecordError(f"{self.what}: {_reason(said)}", str(self.path)) from error


def _reason(text: str) -> str:
    text = " ".join(text.split())[:MOST]
    if any(full in text for full in FULL):
        return (
            f"{text}; free some space and resume, the checkpoints that were there are still there"
        )
    return text
