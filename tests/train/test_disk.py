"""One sentence for whatever a disk complains about."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from safetensors import SafetensorError

from levelhead.errors import InvalidInputError, RecordError
from levelhead.train._disk import OnDisk

PATH = Path("folder")


def chained() -> Exception:
    """A library that stumbles over its own state after the disk has refused."""
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904  # as the library does
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EACCES, "Permission denied"), "Permission denied$"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; free some"),
        (chained(), "No space left on device; free some space and resume, the checkpoints"),
        (
            SafetensorError("I/O error: File too large (os error 27)"),
            "I/O error: File too large .*; free",
        ),
        (Exception("No space left on device (os error 28)"), "No space left .*; free some"),
        (RuntimeError("a\nb" * 200), "a ba b"),
    ],
)
def test_the_reason_is_told(error: Exception, said: str) -> None:
    expected = pytest.raises(RecordError, match=f"^folder: cannot save: {said}")
    with expected as caught, OnDisk("cannot save", PATH):
        raise error
    assert caught.value.__cause__ is error
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "error", [InvalidInputError("clear already"), KeyError("a bug"), KeyboardInterrupt()]
)
def test_anything_else_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, OnDisk("cannot save", PATH):
        raise error
    assert caught.value is error
