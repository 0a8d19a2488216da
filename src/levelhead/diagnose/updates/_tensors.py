"""Tensors in safetensors files, read in slices so that memory stays bounded.

A safetensors file is a length, a JSON header with the type, shape and place of every tensor, and the
numbers. It is read here as bits, because numpy knows no bfloat16.
"""

from __future__ import annotations

import dataclasses
import json
import math
import mmap
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from levelhead.diagnose.updates._bits import FORMATS, Bits, decode
from levelhead.diagnose.updates._tensors_lora import LowRank, is_adapter, low_rank_updates
from levelhead.errors import InvalidInputError

__all__ = ["CODES", "Checkpoint", "Files", "Tensor", "open_checkpoint"]

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"

LARGEST_HEADER = 100_000_000
"""Bytes; the format itself allows no larger one."""

CODES = {form.code: form for form in FORMATS.values()}

AHEAD = 1 << 26
"""Bytes between what is used of a file and what the disk is asked for at that moment."""

OPEN_FILES = 16
"""Shards that are held open at a time."""


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Where the numbers of a tensor lie.

    Attributes:
        name: in the file.
        code: its type as the file says it, e.g. `BF16`.
        shape: its dimensions.
        path: the file.
        offset: byte at which its numbers start there.
    """

    name: str
    code: str
    shape: tuple[int, ...]
    path: Path
    offset: int

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


class Files:
    """Reads slices of tensors; holds a few files open, and no more of them in memory than is used."""

    def __init__(self) -> None:
        self._open: dict[Path, mmap.mmap] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.clear()  # a map is closed when the last slice of it is gone

    def read(self, tensor: Tensor, start: int, stop: int) -> Bits:
        """The bits of the numbers from `start` to before `stop`, in the order in which they lie.

        They are a window on the file: not to be written to, and copied where they are to be kept or
        where they lie at uneven places.
        """
        kind = np.dtype(CODES[tensor.code].bits)
        place, end = (tensor.offset + at * kind.itemsize for at in (start, stop))
        held = self._map(tensor.path)
        # To touch a page of a map that the file no longer has ends the process, without a word.
        if (now := held.size()) < end:
            raise InvalidInputError(
                f"{tensor.path}: expected {end} bytes or more for tensor {tensor.name!r}, got {now}: "
                "the file was cut off while it was read; compare it when nothing writes to it"
            )
        _ask_ahead(held, place, end)
        found = np.frombuffer(held, kind, stop - start, place)
        return found if found.flags.aligned else found.copy()

    def drop(self, tensor: Tensor, start: int, stop: int) -> None:
        """Let go of the memory of a slice that was read; reading it again is allowed."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        width = np.dtype(CODES[tensor.code].bits).itemsize
        first = (tensor.offset + start * width) // mmap.PAGESIZE * mmap.PAGESIZE
        last = (tensor.offset + stop * width) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            self._map(tensor.path).madvise(mmap.MADV_DONTNEED, first, last - first)

    def _map(self, path: Path) -> mmap.mmap:
        with self._lock:  # blocks are read by several threads
            found = self._open.get(path)
            if found is None:
                if len(self._open) >= OPEN_FILES:
                    self._open.pop(next(iter(self._open)))
                found = self._open[path] = _mapped(path)
            return found


def _ask_ahead(held: mmap.mmap, place: int, end: int) -> None:
    """Have the system begin to read what comes next: several threads ask for slices, and in what they ask
    for together it sees no order by itself."""
    if hasattr(mmap, "MADV_WILLNEED"):
        first = (place + AHEAD) // mmap.PAGESIZE * mmap.PAGESIZE
        last = min(end + AHEAD, len(held))
        if first < last:
            held.madvise(mmap.MADV_WILLNEED, first, last - first)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        try:
            found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # of no bytes
            raise InvalidInputError(
                f"{path}: expected the numbers of its tensors, got an empty file: it was cut off while "
                "it was read; compare it when nothing writes to it"
            ) from error
    if hasattr(mmap, "MADV_SEQUENTIAL"):
        found.madvise(mmap.MADV_SEQUENTIAL)
    return found


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A model's tensors by name, or what an adapter adds to them.

    Attributes:
        path: the folder or file, as it was given.
        tensors: by name.
        updates: of an adapter, what it adds to the tensor of each name; None for a model.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    updates: Mapping[str, LowRank] | None = None


def open_checkpoint(path: Path | str, role: str) -> Checkpoint:
    """Read the headers of a model's safetensors files.

    Args:
        path: a .safetensors file, a folder with model.safetensors, with shards and their index, or
            with an adapter (adapter_model.safetensors and adapter_config.json).
        role: what it is called in errors, e.g. `BASE`.
    """
    path = Path(path)
    if path.is_file():
        return Checkpoint(path, _header(path))
    if not path.is_dir():
        raise InvalidInputError(
            f"{role}: expected a folder or file of safetensors, got {str(path)!r}, which is not "
            "there; check the path"
        )
    if is_adapter(path):
        config, weights = path / "adapter_config.json", path / "adapter_model.safetensors"
        if not weights.is_file():
            raise InvalidInputError(
                f"{role}: expected adapter_model.safetensors beside {config}, got none; save the "
                "adapter as safetensors"
            )
        with Files() as files:
            found = _header(weights)
            updates, whole = low_rank_updates(config, found, _floats(files))
        return Checkpoint(path, whole, updates)
    if (path / INDEX).is_file():
        return Checkpoint(path, _sharded(path / INDEX))
    if (path / SINGLE).is_file():
        return Checkpoint(path, _header(path / SINGLE))
    names = sorted(one.name for one in path.glob("*.safetensors"))
    if len(names) == 1:
        return Checkpoint(path, _header(path / names[0]))
    got = f"{len(names)} files such as {names[0]}" if names else "no .safetensors file"
    raise InvalidInputError(
        f"{role}: expected {SINGLE}, {INDEX} or an adapter in {str(path)!r}, got {got}; save the "
        "model with save_pretrained"
    )


def _floats(files: Files) -> Any:
    """A function that reads a whole tensor as float32."""

    def read(tensor: Tensor) -> Any:
        if tensor.code not in CODES:
            raise InvalidInputError(
                f"{tensor.path}: expected a floating-point {tensor.name!r}, got {tensor.code}; "
                "save the adapter unquantized"
            )
        bits = files.read(tensor, 0, tensor.size)
        return decode(bits, CODES[tensor.code]).astype(np.float32).reshape(tensor.shape)

    return read


def _header(path: Path) -> dict[str, Tensor]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, LARGEST_HEADER):
            raise InvalidInputError(
                f"{path}: expected a safetensors file, but its first 8 bytes are not the length of "
                "a header; download it again, or convert it from .bin"
            )
        raw = file.read(length)
    try:
        entries = json.loads(raw)
        if not isinstance(entries, dict):
            raise TypeError
        return {
            str(name): _entry(str(name), entry, path, 8 + length, size)
            for name, entry in entries.items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            f"{path}: expected a safetensors header with dtype, shape and data_offsets of every "
            "tensor, got another; download it again"
        ) from error


def _entry(name: str, entry: Any, path: Path, start: int, size: int) -> Tensor:
    first, last = _whole(entry["data_offsets"])
    tensor = Tensor(name, str(entry["dtype"]), _whole(entry["shape"]), path, start + first)
    if not 0 <= first <= last or min(tensor.shape, default=0) < 0:
        raise ValueError(name)
    if start + last > size:
        raise InvalidInputError(
            f"{path}: expected {start + last} bytes or more for tensor {name!r}, got a file of "
            f"{size}; it is cut off: copy or download it again"
        )
    form = CODES.get(tensor.code)
    if form is not None and last - first != tensor.size * np.dtype(form.bits).itemsize:
        raise ValueError(name)
    return tensor


def _whole(numbers: Any) -> tuple[int, ...]:
    if not isinstance(numbers, list) or any(type(n) is not int for n in numbers):
        raise TypeError
    return tuple(numbers)


def _sharded(index: Path) -> dict[str, Tensor]:
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = {str(name): str(file) for name, file in places.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidInputError(
            f'{index}: expected JSON with a "weight_map" from tensors to files, got another; save '
            "the model again"
        ) from error
    headers: dict[str, dict[str, Tensor]] = {}
    for name in dict.fromkeys(shards.values()):
        if Path(name).name != name:
            raise InvalidInputError(f"{index}: expected names of files beside it, got {name!r}")
        if not (index.parent / name).is_file():
            raise InvalidInputError(
                f"{index}: expected the shard {name!r} beside it, got none; download it as well"
            )
        headers[name] = _header(index.parent / name)
    missing = [name for name, file in shards.items() if name not in headers[file]]
    if missing:
        raise InvalidInputError(
            f"{index}: expected tensor {missing[0]!r} in {shards[missing[0]]!r}, got none; the "
            "shards are not of this index"
        )
    return {name: headers[file][name] for name, file in shards.items()}
