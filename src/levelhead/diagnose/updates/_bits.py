"""Floating-point formats as bits: decoding, rounding, distances to the neighbors, and counting.

numpy has no bfloat16, so its numbers are handled as unsigned integers: a bfloat16 is the upper half
of a float32, and in every format the bits without the sign count the numbers upward from 0.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray
from levelhead.errors import unknown_name

__all__ = [
    "FORMATS",
    "Format",
    "Tally",
    "decode",
    "format_named",
    "Scratch",
    "half_gaps",
    "rounded",
    "tally",
]

Bits = npt.NDArray[Any]
"""Unsigned integers of the format's width."""

CHUNK, PART = 1 << 17, 1 << 15
"""Weights that are compared at once, and changed ones that are computed with at once: their temporaries
fit into a core's cache."""

FEW = 1 / 2
"""Share of words with a changed weight up to which picking them out beats computing with all."""

UPPER, MASK = np.uint32(16), np.uint32(0xFFFF0000)
"""Where the second of two numbers of 16 bits lies in a word."""

RELATIVE = 2.0**-8
"""A change below this share of the weight is smaller than half a step of bfloat16."""


@dataclasses.dataclass(frozen=True)
class Format:
    """A floating-point format.

    Attributes:
        name: as numpy and torch call it, e.g. `bfloat16`.
        code: as safetensors files call it, e.g. `BF16`.
        bits: numpy type of its bits, little-endian.
        digits: binary digits of its fraction, the hidden one included: fewer is coarser.
        infinity: the bits of +infinity; larger ones are NaN.
    """

    name: str
    code: str
    bits: str
    digits: int
    infinity: int

    @property
    def sign(self) -> int:
        """The bit of the sign."""
        return 1 << (8 * np.dtype(self.bits).itemsize - 1)


FORMATS = {
    one.name: one
    for one in (
        Format("bfloat16", "BF16", "<u2", 8, 0x7F80),
        Format("float16", "F16", "<u2", 11, 0x7C00),
        Format("float32", "F32", "<u4", 24, 0x7F800000),
        Format("float64", "F64", "<u8", 53, 0x7FF0000000000000),
    )
}


def format_named(name: str) -> Format:
    """The format of this name."""
    if name not in FORMATS:
        raise unknown_name("storage format", name, FORMATS)
    return FORMATS[name]


def decode(bits: Bits, form: Format) -> npt.NDArray[np.floating]:
    """The numbers: float32, or float64 from float64."""
    if form.name == "bfloat16":
        wide = bits.astype(np.uint32)
        wide <<= np.uint32(16)
        return wide.view(np.float32)
    if form.name == "float16":
        return bits.view(np.float16).astype(np.float32)
    return bits.view(np.float32 if form.name == "float32" else np.float64)


def encode(values: npt.NDArray[np.floating], form: Format) -> Bits:
    """The bits of the nearest numbers of the format, ties to even."""
    if form.name == "bfloat16":
        wide = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
        even = (wide >> np.uint32(16)) & np.uint32(1)
        near = ((wide + (np.uint32(0x7FFF) + even)) >> np.uint32(16)).astype(np.uint16)
        lost = (wide & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
        # A NaN whose digits are rounded up would wrap around to a number.
        return np.where(lost, np.uint16(0x7FC0), near) if lost.any() else near
    kinds = {"float16": np.float16, "float32": np.float32, "float64": np.float64}
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=kinds[form.name]).view(form.bits)


def rounded(values: npt.NDArray[np.floating], form: Format) -> npt.NDArray[np.floating]:
    """The nearest numbers of the format, ties to even; float32, or float64 for float64."""
    return decode(encode(values, form), form)


def half_gaps(values: npt.NDArray[np.floating], form: Format) -> tuple[FloatArray, FloatArray]:
    """How far each number must move to be rounded to another: away from 0, and toward it.

    The number need not be one of the format: what counts is where it would be rounded to, and how far
    from there the middle to the next one lies.
    """
    size = np.abs(np.asarray(values, dtype=np.float64))
    bits = encode(size, form)
    one = bits.dtype.type(1)
    here = decode(bits, form).astype(np.float64)
    above = decode(bits + one, form).astype(np.float64)
    below = decode(np.maximum(bits, one) - one, form).astype(np.float64)
    below = np.where(bits == 0, -above, below)
    return (here + above) / 2 - size, size - (here + below) / 2


@dataclasses.dataclass
class Tally:
    """Sums over pairs of weights, before and after.

    Attributes:
        n: pairs of finite weights.
        changed: how many of them differ.
        above: (T,) how many differ by more than each tolerance.
        relative: how many differ by more than 2^-8 of the weight before.
        total: sum of the absolute differences.
        squares: sum of the squared differences.
        nonfinite: pairs in which one is NaN or infinite; they are not in n.
    """

    n: int = 0
    changed: int = 0
    above: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    relative: int = 0
    total: float = 0.0
    squares: float = 0.0
    nonfinite: int = 0

    def add(self, other: Tally) -> None:
        """Take the sums of other pairs in."""
        self.n += other.n
        self.changed += other.changed
        self.above = self.above + other.above if self.above.size else other.above
        self.relative += other.relative
        self.total += other.total
        self.squares += other.squares
        self.nonfinite += other.nonfinite


class Scratch:
    """Memory for one chunk of weights, taken once: to ask for it again and again costs more."""

    def __init__(self, form: Format) -> None:
        kind = np.float64 if form.name == "float64" else np.float32
        self.before, self.after = (np.empty(PART, kind) for _ in range(2))
        self.change, self.ones = np.empty(PART, kind), np.ones(PART, kind)
        self.flags = np.empty(CHUNK, dtype=bool)


def tally(
    before: Bits,
    after: Bits,
    form: Format,
    tolerances: tuple[float, ...],
    scratch: Scratch | None = None,
) -> Tally:
    """Compare weights with weights, both as bits of one format.

    Args:
        before: (N,) bits.
        after: (N,) bits.
        form: their format.
        tolerances: (T,) absolute differences; 0 counts every change.
        scratch: memory to work in, of the same format.
    """
    scratch = scratch or Scratch(form)
    found = Tally(above=np.zeros(len(tolerances), np.int64))
    for start in range(0, before.size, CHUNK):
        old, new = before[start : start + CHUNK], after[start : start + CHUNK]
        found.add(_chunk(old, new, form, tolerances, scratch))
    return found


def _chunk(
    before: Bits, after: Bits, form: Format, tolerances: tuple[float, ...], scratch: Scratch
) -> Tally:
    n, old, new = before.size, _words(before), _words(after)
    if old.size != new.size:  # only one of them lies at even places, and decoding keeps no order
        before, after = before.copy(), after.copy()
        old, new = _words(before), _words(after)
    differ = np.not_equal(old, new, out=scratch.flags[: old.size])
    count = int(np.count_nonzero(differ))
    if count <= FEW * old.size:
        if not _is_finite(before, form):
            return _finite_chunk(before, after, form, tolerances, scratch)
        if not count:
            return Tally(n, above=np.zeros(len(tolerances), np.int64))
        where = np.flatnonzero(differ)
        before, after = (words.take(where).view(before.dtype) for words in (old, new))
    found = _sums(before, after, form, tolerances, scratch)
    if not np.isfinite(found.total) and not all(_is_finite(x, form) for x in (before, after)):
        return _finite_chunk(before, after, form, tolerances, scratch, n - before.size)
    found.n = n
    return found


def _words(bits: Bits) -> Bits:
    """Two neighbors of 16 bits as one word: half as many to compare and to pick."""
    if bits.itemsize != 2 or bits.size % 2 or not bits.flags.c_contiguous:
        return bits
    words = bits.view(np.uint32)
    return words if words.flags.aligned else bits


def _sums(
    before: Bits, after: Bits, form: Format, tolerances: tuple[float, ...], scratch: Scratch
) -> Tally:
    """The sums over these pairs."""
    found = Tally(above=np.zeros(len(tolerances), np.int64))
    for start in range(0, before.size, PART):
        old, new = before[start : start + PART], after[start : start + PART]
        found.add(_part(old, new, form, tolerances, scratch))
    return found


def _part(
    before: Bits, after: Bits, form: Format, tolerances: tuple[float, ...], scratch: Scratch
) -> Tally:
    """The sums over as many pairs as memory is there for, in few passes."""
    n = before.size
    old = _decoded(before, form, scratch.before[:n])
    new = _decoded(after, form, scratch.after[:n])
    change, flags = scratch.change[:n], scratch.flags[:n]
    with np.errstate(over="ignore", invalid="ignore"):
        np.abs(np.subtract(new, old, out=change), out=change)
        total, squares = float(np.dot(change, scratch.ones[:n])), float(np.dot(change, change))
        above = [int(np.count_nonzero(np.greater(change, t, out=flags))) for t in tolerances]
        changed = above[tolerances.index(0.0)] if 0.0 in tolerances else np.count_nonzero(change)
        least = scratch.before[:n]
        np.multiply(np.abs(old, out=least), RELATIVE, out=least)
        relative = int(np.count_nonzero(np.greater(change, least, out=flags)))
    return Tally(n, int(changed), np.array(above, np.int64), relative, total, squares)


def _decoded(bits: Bits, form: Format, out: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """As `decode`, but into memory that is there already, and in any order that the number of weights
    decides."""
    if form.name != "bfloat16":
        return decode(bits, form)
    wide, words = out.view(np.uint32), _words(bits)
    if words is not bits:  # those at even places, then those at odd ones
        np.left_shift(words, UPPER, out=wide[: words.size])
        np.bitwise_and(words, MASK, out=wide[words.size :])
        return out
    np.copyto(wide, bits)
    np.left_shift(wide, UPPER, out=wide)
    return out


def _is_finite(bits: Bits, form: Format) -> bool:
    """Whether neither the largest positive nor the largest negative is infinite or NaN."""
    signed = bits.view(bits.dtype.str.replace("u", "i"))
    return int(signed.max()) < form.infinity and int(bits.max()) < form.sign + form.infinity


def _finite_chunk(
    before: Bits,
    after: Bits,
    form: Format,
    tolerances: tuple[float, ...],
    scratch: Scratch,
    same: int = 0,
) -> Tally:
    """Those pairs of which both are finite; `same` more are known to be equal."""
    mask = before.dtype.type(form.sign - 1)
    kept = np.flatnonzero(((before & mask) < form.infinity) & ((after & mask) < form.infinity))
    found = Tally(above=np.zeros(len(tolerances), np.int64))
    if kept.size:
        found = _sums(before[kept], after[kept], form, tolerances, scratch)
    found.n += same
    found.nonfinite = before.size - kept.size
    return found
