"""Checkpoints and the log of a run, such that a kill at any moment loses nothing that was saved.

A checkpoint is a folder. It is written under a hidden name, flushed to the disk, and then renamed, so
that under its own name it is there whole or not at all; its manifest has the digest of every file,
so that what a disk or a hand did to it later is noticed. Older checkpoints go only after that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch

from levelhead import __version__
from levelhead._write import plain
from levelhead.errors import DataWarning, InvalidInputError, RecordError
from levelhead.train._disk import OnDisk

__all__ = ["Checkpoint", "Checkpoints", "History"]

SCHEMA_VERSION = 1
MANIFEST, TENSORS, STATE = "manifest.json", "model.safetensors", "state.pt"
UNFINISHED, REPLACED, REMOVED = ".unfinished-", ".replaced-", ".removed-"
_NAME = re.compile(r"step-([0-9]{8,})")
_PLAIN = (bool, int, float, str, bytes, type(None))


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose manifest has been verified.

    Attributes:
        path: its folder.
        step: updates done when it was made.
        same: name of a tensor -> name of the tensor that it shares its memory with (tied weights).
    """

    path: Path
    step: int
    same: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


class Checkpoints:
    """The checkpoints of one run, in one folder.

    Args:
        folder: where they are; made when the first one is saved.
        keep: how many to keep, at least 1; 2 survive the loss of the newest.

    Raises:
        InvalidInputError: `keep` below 1.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2) -> None:
        if keep < 1:
            raise InvalidInputError(f"keep: expected at least 1 checkpoint, got {keep}")
        self.folder, self.keep = Path(folder), keep

    def save(
        self, step: int, *, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]
    ) -> Path:
        """Save a checkpoint, then remove the oldest ones.

        Args:
            step: updates done, >= 0.
            tensors: weights by name, on any device; such as share their memory are written once.
            state: everything else, a nest of dicts, lists and tuples of plain Python values and
                tensors: optimizer, random generators, position in the data.

        Returns:
            Its folder.

        Raises:
            InvalidInputError: a negative step, or a value in `state` that could not be loaded safely.
            RecordError: the disk is full or cannot be written to; what was there is still there.

        Edge cases: a checkpoint of the same step is replaced, and there all the time until then.
            Checkpoints of later steps are left alone.
        """
        if step < 0:
            raise InvalidInputError(f"step: expected a number >= 0, got {step}")
        content = _plain(state, "state")
        final = self.folder / f"step-{step:08d}"
        unfinished = self.folder / f"{UNFINISHED}{final.name}"
        with OnDisk("cannot save the checkpoint", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._recover()
            try:
                unfinished.mkdir()
                self._fill(unfinished, step, tensors, content)
                self._publish(unfinished, final)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._recover()
                raise
            self._prune(step)
        return final

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole.

        Returns:
            It, or None where there is none. What is damaged is skipped, with a `DataWarning` that
            says which folder and what is wrong with it.

        Raises:
            RecordError: the folder cannot be read.

        Edge cases: reads every byte of the newest checkpoint, to verify its digests.
        """
        if not self.folder.is_dir():
            return None
        with OnDisk("cannot read the checkpoints", self.folder):
            self._recover()
            for step, path in sorted(self._steps().items(), reverse=True):
                found = _verified(path, step)
                if isinstance(found, Checkpoint):
                    return found
                warnings.warn(
                    f"checkpoint {path}: {found}; it is skipped, and the one before it is used",
                    DataWarning,
                    stacklevel=2,
                )
        return None

    def load(
        self, checkpoint: Checkpoint, device: str | torch.device = "cpu"
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What was saved.

        Args:
            checkpoint: one that `latest` found.
            device: where the weights go. The state stays on the CPU: generators need it there, and an
                optimizer moves its own.

        Returns:
            (weights by name, state). Weights that shared their memory do again.

        Raises:
            RecordError: it cannot be read.
        """
        with OnDisk("cannot load the checkpoint", checkpoint.path):
            tensors = safetensors.torch.load_file(checkpoint.path / TENSORS, device=str(device))
            tensors |= {name: tensors[other] for name, other in checkpoint.same.items()}
            state = torch.load(checkpoint.path / STATE, map_location="cpu", weights_only=True)
        return tensors, cast(dict[str, Any], state)

    def _fill(
        self,
        folder: Path,
        step: int,
        tensors: Mapping[str, torch.Tensor],
        state: Mapping[str, Any],
    ) -> None:
        """All files of a checkpoint, on the disk and not only on their way to it."""
        own, same = _distinct(tensors)
        safetensors.torch.save_file(own, folder / TENSORS)
        with (folder / STATE).open("wb") as file:
            torch.save(state, file)
        files = {
            name: {"bytes": (folder / name).stat().st_size, "sha256": _digest(folder / name)}
            for name in (TENSORS, STATE)
        }
        manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "levelhead_version": __version__,
            "step": step,
            "same": same,
            "files": files,
        }
        manifest["sha256"] = _seal(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for path in (*(folder / name for name in (TENSORS, STATE, MANIFEST)), folder):
            _sync(path)

    def _publish(self, unfinished: Path, final: Path) -> None:
        replaced = final.with_name(REPLACED + final.name)
        if final.exists():
            final.rename(replaced)
        unfinished.rename(final)
        _sync(self.folder)
        shutil.rmtree(replaced, ignore_errors=True)

    def _recover(self) -> None:
        """Clear away what a kill left; a checkpoint that was about to be replaced comes back."""
        for path in self.folder.glob(f"{REPLACED}*"):
            final = path.with_name(path.name.removeprefix(REPLACED))
            if not final.exists():
                with contextlib.suppress(FileNotFoundError):  # another rank was quicker
                    path.rename(final)
        for prefix in (UNFINISHED, REPLACED, REMOVED):
            for path in self.folder.glob(f"{prefix}*"):
                shutil.rmtree(path, ignore_errors=True)

    def _prune(self, step: int) -> None:
        for old in sorted(s for s in self._steps() if s <= step)[: -self.keep]:
            path = self.folder / f"step-{old:08d}"
            # Out of sight first: half removed it would look damaged.
            hidden = path.with_name(REMOVED + path.name)
            path.rename(hidden)
            shutil.rmtree(hidden, ignore_errors=True)

    def _steps(self) -> dict[int, Path]:
        matches = [(path, _NAME.fullmatch(path.name)) for path in self.folder.iterdir()]
        return {int(match[1]): path for path, match in matches if match and path.is_dir()}


class History:
    """The log of a run, one JSON object per line, that a resumed run continues as if nothing was.

    Write everything of a step before its checkpoint is saved, and `truncate` to the checkpoint's step
    when resuming: the file is then the same, byte for byte, as that of a run without interruption.

    Args:
        path: the file; made at the first line.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def append(self, step: int, values: Mapping[str, Any]) -> None:
        """Write one line, `{"step": step, ...}`; NaN and infinities become null.

        Args:
            step: updates done, >= 0, not below that of the last line.
            values: plain values by name; `step` is not among them.

        Raises:
            InvalidInputError: `values` has a key `step`.
            RecordError: it cannot be written; a line that was begun is taken back.
        """
        if "step" in values:
            raise InvalidInputError("values: expected no key 'step' beside the argument, got one")
        record = plain({"step": step} | dict(values))
        line = (json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n").encode()
        with OnDisk("cannot write the log", self.path), self.path.open("ab", buffering=0) as file:
            start = file.tell()
            try:
                written = file.write(line)
                if written != len(
                    line
                ):  # a full disk takes the first part and complains at the next
                    file.write(line[written:])
            except OSError:
                file.truncate(start)
                raise

    def sync(self) -> None:
        """Flush the log to the disk; before a checkpoint is saved, so that no line of it is lost.

        Raises:
            RecordError: it cannot be written.
        """
        if self.path.exists():
            with OnDisk("cannot write the log", self.path):
                _sync(self.path)

    def truncate(self, step: int) -> None:
        """Cut off what comes after a step, and a last line that a kill tore.

        Args:
            step: of the checkpoint that the run resumes from; -1 empties the log.

        Raises:
            RecordError: a line before the last one is no record of this log, or the file cannot be
                written.
        """
        end = 0
        for stop, record in self._lines():
            if record["step"] > step:
                break
            end = stop
        if self.path.exists():
            with OnDisk("cannot write the log", self.path):
                os.truncate(self.path, end)
                _sync(self.path)

    def read(self) -> list[dict[str, Any]]:
        """All records, without a torn last line.

        Returns:
            One dict per line, in order.

        Raises:
            RecordError: a line before the last one is no record of this log.
        """
        return [record for _, record in self._lines()]

    def _lines(self) -> list[tuple[int, dict[str, Any]]]:
        """Each record and the byte after its line."""
        if not self.path.exists():
            return []
        with OnDisk("cannot read the log", self.path):
            pieces = self.path.read_bytes().split(b"\n")
        found: list[tuple[int, dict[str, Any]]] = []
        end = 0
        for number, piece in enumerate(
            pieces[:-1], start=1
        ):  # after the last newline: torn, or empty
            end += len(piece) + 1
            record = _record(piece)
            if record is None and number == len(pieces) - 1:
                break
            if record is None:
                raise RecordError(
                    "expected a JSON object with a step, got something else; remove the line to go on",
                    str(self.path),
                    number,
                )
            found.append((end, record))
        return found


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(value, dict) and isinstance(cast(Any, value).get("step"), int)
    return cast(dict[str, Any], value) if whole else None


def _verified(path: Path, step: int) -> Checkpoint | str:
    """The checkpoint, or what is wrong with it."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"it has no {MANIFEST}"
    except ValueError:
        return f"its {MANIFEST} cannot be read"
    if not isinstance(manifest, dict) or "schema_version" not in manifest:
        return f"its {MANIFEST} is not one that levelhead wrote"
    manifest = cast(dict[str, Any], manifest)
    if manifest["schema_version"] != SCHEMA_VERSION:
        return (
            f"it is of schema version {manifest['schema_version']}, and this levelhead reads version "
            f"{SCHEMA_VERSION}"
        )
    if manifest.pop("sha256", None) != _seal(manifest) or manifest["step"] != step:
        return f"its {MANIFEST} was changed since it was written"
    for name, about in manifest["files"].items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != about["bytes"]:
            return f"{name} has {file.stat().st_size:,} bytes in place of {about['bytes']:,}"
        if _digest(file) != about["sha256"]:
            return f"{name} has changed since it was written (its digest differs)"
    return Checkpoint(path, step, manifest["same"])


def _distinct(
    tensors: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors that are to be written, and the names that only repeat one of them."""
    own: dict[str, torch.Tensor] = {}
    same: dict[str, str] = {}
    first: dict[Any, str] = {}
    memory: set[Any] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        storage = (tensor.device, tensor.untyped_storage().data_ptr())
        view = (storage, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and view in first:
            same[name] = first[view]
            continue
        if tensor.numel():
            first[view] = name
        # Two parts of one memory are not the same tensor, but the file format takes no shared memory.
        own[name] = tensor.contiguous() if storage not in memory else tensor.clone()
        own[name] = own[name].contiguous()
        memory.add(storage)
    return own, same


def _plain(value: Any, place: str) -> Any:
    """The same nest in dicts, lists and tuples; raises where loading would have to run code."""
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        for key, _ in items:
            if type(key) not in _PLAIN:
                raise _not_plain(key, f"a key of {place}")
        return {key: _plain(inner, f"{place}[{key!r}]") for key, inner in items}
    if isinstance(value, list | tuple):
        nest = cast(list[Any], value)
        inside = [_plain(inner, f"{place}[{i}]") for i, inner in enumerate(nest)]
        return inside if isinstance(value, list) else tuple(inside)
    if isinstance(value, torch.Tensor):
        return value.detach()
    if type(value) not in _PLAIN:
        raise _not_plain(value, place)
    return value


def _not_plain(value: object, place: str) -> InvalidInputError:
    kind = f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
    return InvalidInputError(
        f"{place}: expected plain Python values and tensors, got {kind}; convert it first (numpy: "
        ".item(), .tolist() or torch.from_numpy)"
    )


def _seal(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """To the disk: the content of a file, or the names in a folder."""
    if path.is_dir() and os.name == "nt":
        return  # a folder cannot be opened there
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
