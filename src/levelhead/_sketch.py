"""A small sample of the keys of a data set, which tells later whether other rows were among them."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from levelhead._arrays import BoolArray
from levelhead.errors import InvalidInputError

__all__ = ["Sketch"]

SIZE = 4096
_CHUNK = 1 << 16
_DIGITS = 16

Hashes = npt.NDArray[np.uint64]


@dataclasses.dataclass(frozen=True, eq=False)
class Sketch:
    """The smallest 64-bit hashes of a set of keys: all of them while they are few, else a sample.

    Whether a key was in the set can be told where its hash is at most the largest that was kept, which
    a hash decides and neither the order of the keys nor their meaning. So the share of any other set
    of keys that was in it is estimated without bias from those that can be told.

    Attributes:
        hashes: (k,) uint64, increasing.
        size: how many are kept at most.
        complete: whether they are all.
    """

    hashes: Hashes
    size: int
    complete: bool

    @classmethod
    def of(cls, keys: Iterable[str], size: int = SIZE) -> Sketch:
        """The sketch of the distinct keys.

        Args:
            keys: texts in any order; a repeated key counts once.
            size: how many hashes to keep, at least 1.

        Returns:
            The sketch; it says nothing readable about the keys, though a key that somebody has can be
            looked up in it.

        Raises:
            InvalidInputError: a key is no text, or the size is no whole number of at least 1.

        Example:
            >>> Sketch.of(["gene A", "gene B"]).seen(["gene B", "gene C"])
            0.5
        """
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise InvalidInputError(f"size: expected a whole number of at least 1, got {size!r}")
        kept = np.empty(0, dtype=np.uint64)
        complete = True
        for chunk in _hashes(keys):
            kept = np.union1d(kept, chunk)
            complete = complete and kept.size <= size
            kept = kept[:size]
        return cls(kept, int(size), complete)

    def seen(self, keys: Iterable[str]) -> float:
        """The share of the distinct keys that are in the sketched set.

        Args:
            keys: texts in any order; a repeated key counts once.

        Returns:
            A share in [0, 1], exact where the sketch is complete and an estimate otherwise; NaN where
            it cannot tell: no keys, or none whose hash is among the small ones.

        Raises:
            InvalidInputError: a key is no text.
        """
        parts = [chunk if self.complete else self._decidable(chunk) for chunk in _hashes(keys)]
        asked = np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *parts]))
        total = int(asked.size)
        known = int(np.isin(asked, self.hashes, assume_unique=True).sum())
        return known / total if total else math.nan

    def told(self, keys: Sequence[str]) -> tuple[BoolArray, BoolArray]:
        """Which keys are in the sketched set, and of which that cannot be told.

        Args:
            keys: (N,) texts.

        Returns:
            (N,) true where a key is known to be in the set, and (N,) true where its hash lies beyond
            those that an incomplete sketch keeps.
        """
        hashes = _hashed(keys)
        beyond = np.zeros(hashes.size, np.bool_)
        if not self.complete:
            beyond = hashes > self.hashes[-1]
        return np.isin(hashes, self.hashes), beyond

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; the hashes are one text of 16 hexadecimal digits each.

        Returns:
            What `from_json` reads.
        """
        digits = self.hashes.astype(">u8").tobytes().hex()
        return {"size": self.size, "complete": self.complete, "hashes": digits}

    @classmethod
    def from_json(cls, value: object) -> Sketch:
        """The sketch that `to_json` wrote.

        Args:
            value: from a file.

        Returns:
            The same sketch.

        Raises:
            InvalidInputError: it is none.
        """
        entry = cast(dict[str, Any], value) if isinstance(value, dict) else {}
        size, complete, digits = entry.get("size"), entry.get("complete"), entry.get("hashes")
        if (
            isinstance(size, int)
            and not isinstance(size, bool)
            and isinstance(complete, bool)
            and isinstance(digits, str)
            and len(digits) % _DIGITS == 0
            and re.fullmatch("[0-9a-f]*", digits)
        ):
            hashes = np.frombuffer(bytes.fromhex(digits), dtype=">u8").astype(np.uint64)
            full = complete or hashes.size == size
            rises = bool((hashes[1:] > hashes[:-1]).all())
            if size >= 1 and hashes.size <= size and full and rises:
                return cls(hashes, size, complete)
        raise InvalidInputError("sketch: expected size, complete and increasing hashes, got others")

    def _decidable(self, hashes: Hashes) -> Hashes:
        return hashes[hashes <= self.hashes[-1]] if self.hashes.size else hashes[:0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sketch):
            return NotImplemented
        same = self.size == other.size and self.complete == other.complete
        return same and np.array_equal(self.hashes, other.hashes)

    def __hash__(self) -> int:
        return hash((self.size, self.complete, self.hashes.tobytes()))


def _hashes(keys: Iterable[str]) -> Iterator[Hashes]:
    """Hashes of the keys, distinct in each chunk."""
    if isinstance(keys, str | bytes):
        raise InvalidInputError("keys: expected several texts, got a single one; put it in a list")
    rest = iter(keys)
    while chunk := list(islice(rest, _CHUNK)):
        for key in chunk:
            if not isinstance(key, str):
                raise InvalidInputError(
                    f"keys: expected texts, got {type(key).__name__} {str(key)[:60]!r}"
                )
        yield np.unique(_hashed(set(chunk)))


def _hashed(keys: Iterable[str]) -> Hashes:
    """The hash of each key, in their order."""
    raw = b"".join(
        hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for key in keys
    )
    return np.frombuffer(raw, dtype=">u8").astype(np.uint64)
