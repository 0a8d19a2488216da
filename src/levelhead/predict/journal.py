"""The journal: every reply once, in a file that only grows, so that nothing is asked twice."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from levelhead._optional import optional_import
from levelhead.errors import RecordError
from levelhead.predict._replies import Reply

__all__ = ["Journal", "journal_path"]

FORMAT = 1
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a line raises that nobody wrote here."""

SYNC_SECONDS = 1.0
"""Replies of at most this long ago are lost where the machine itself goes down."""


def journal_path(out: str | Path) -> Path:
    """Where the journal of an output is: beside it, under its name and `.journal`.

    Args:
        out: the predictions file.

    Returns:
        The path.

    Example:
        >>> journal_path("a/predictions.parquet").as_posix()
        'a/predictions.parquet.journal'
    """
    out = Path(out)
    return out.with_name(f"{out.name}.journal")


class Journal:
    """Replies by the key of their request, kept in a file of JSON Lines.

    The first line says with which settings the requests were made; each other line is a key and a
    reply. A last line that was not written whole is cut off. Two processes cannot write to one.

    Args:
        path: the file; made where it is not there.
        settings: everything that decides a request, as plain JSON values.

    Attributes:
        path: the file.
        before: replies that were there when it was opened.

    Raises:
        RecordError: it was made with other settings, is no journal, is in use, or cannot be written.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._replies: dict[str, Reply] = {}
        self._unwritten: list[bytes] = []
        self._file = self._opened()
        try:
            self._read(settings)
        except BaseException:
            self._file.close()
            raise
        self.before = len(self._replies)
        self._synced = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        with contextlib.suppress(RecordError):  # it would hide what has gone wrong before
            self.close()

    def __len__(self) -> int:
        return len(self._replies)

    def get(self, key: str) -> Reply | None:
        """The reply to a request, or None where it has none yet.

        Args:
            key: of the request.

        Returns:
            The reply.
        """
        return self._replies.get(key)

    def add(self, key: str, reply: Reply) -> None:
        """Keep a reply; a key that is there already stays as it is.

        Args:
            key: of the request.
            reply: what came.

        Raises:
            RecordError: the disk is full, or gone. The next call, and closing, try again.
        """
        if key in self._replies:
            return
        self._replies[key] = reply
        self._write({"key": key, **reply.to_json()})
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._sync()

    def close(self) -> None:
        """Make sure that everything is on the disk, and let others have the file.

        Raises:
            RecordError: the disk is full, or gone.

        Edge cases: a journal without a reply is removed.
        """
        if self._file.closed:
            return
        try:
            if not self._replies and self._is_the_file(self._file):
                with contextlib.suppress(PermissionError):  # Windows keeps what is open
                    self.path.unlink(missing_ok=True)
            self._flush()
            self._sync()
        finally:
            self._file.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        self._unwritten.append(line)
        self._flush()

    def _flush(self) -> None:
        """Write what is not written; a line that does not fit is taken back, and stays unwritten."""
        while self._unwritten:
            end = self._file.seek(0, os.SEEK_END)
            rest = memoryview(self._unwritten[0])
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError as error:
                with contextlib.suppress(OSError):
                    self._file.truncate(end)
                raise self._full(error) from error
            del self._unwritten[0]

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._full(error) from error
        self._synced = time.monotonic()

    def _full(self, error: OSError) -> RecordError:
        return RecordError(
            f"the journal cannot be written: {error.strerror}; make room and run the same command "
            "again, it goes on where it was",
            str(self.path),
        )

    def _opened(self) -> io.FileIO:
        """The file, locked, and still the one of that name: another run may have removed it."""
        while True:
            try:
                # Without a buffer: a killed process loses nothing that it had been told.
                file = self.path.open("a+b", buffering=0)
            except OSError as error:
                raise RecordError(
                    f"the journal cannot be written here: {error.strerror}", str(self.path)
                ) from error
            try:
                self._lock(file)
                if self._is_the_file(file):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()

    def _is_the_file(self, file: io.FileIO) -> bool:
        mine = os.fstat(file.fileno())
        try:
            return os.path.samestat(mine, self.path.stat())
        except FileNotFoundError:
            return False

    def _lock(self, file: io.FileIO) -> None:
        if os.name != "posix":
            return
        fcntl: Any = optional_import("fcntl", "locking the journal", "predict")
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecordError(
                "another levelhead predict writes to this journal; wait for it, or give another "
                "--out",
                str(self.path),
            ) from error
        except OSError:  # a file system without locks
            return

    def _read(self, settings: Mapping[str, Any]) -> None:
        self._file.seek(0)
        good = 0
        head: Any = None
        lines = io.BufferedReader(self._file)
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            record = self._parsed(line, number)
            if head is None:
                head = record
            elif record["key"] not in self._replies:
                self._replies[record["key"]] = Reply.from_json(record)
            good += len(line)
        lines.detach()
        if self._replies:
            self._check(head, settings)
        else:  # a run that never got a reply binds nobody to its settings
            good = 0
        self._file.seek(0, os.SEEK_END)
        if self._file.tell() > good:
            self._file.truncate(good)
        if not good:
            self._write({"levelhead.journal": FORMAT, "settings": settings})

    def _parsed(self, line: bytes, number: int) -> Any:
        try:
            record = json.loads(line)
            if number > 1:
                Reply.from_json(record)
                record["key"] = str(record["key"])
            elif record["levelhead.journal"] != FORMAT or not isinstance(record["settings"], dict):
                raise ValueError("another format")
        except DAMAGE as error:
            advice = (
                "take the line out, and its request is asked again"
                if number > 1
                else "delete the file, or give another --out"
            )
            raise RecordError(
                f"expected a line of a journal of levelhead, got {line[:40]!r}; {advice}",
                str(self.path),
                number,
            ) from error
        return record

    def _check(self, head: Any, settings: Mapping[str, Any]) -> None:
        kept = head["settings"]
        now = json.loads(json.dumps(dict(settings)))
        for name in dict.fromkeys([*now, *kept]):
            if kept.get(name) != now.get(name):
                raise RecordError(
                    f"the journal was made with other settings: {name} was "
                    f"{_shown(kept.get(name))} and is now {_shown(now.get(name))}; give another "
                    "--out, the old settings, or delete the journal to pay for all of it again",
                    str(self.path),
                )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."
