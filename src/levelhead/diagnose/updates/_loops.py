"""The inner loops of a comparison: in numpy, and in single passes where numba is there to compile them.

numpy goes over memory once for each step of a computation. A compiled loop reads a weight once and does
all steps while the processor has it. Counts are the same; sums may differ in their last digits.
"""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead._optional import optional_import
from levelhead.diagnose.updates import _bits, _null, _rank
from levelhead.diagnose.updates._bits import RELATIVE, Bits, Format, Scratch, Tally
from levelhead.diagnose.updates._rank import Floats
from levelhead.errors import MissingDependencyError

__all__ = ["PLAIN", "Loops", "compiled"]

NARROW = "bfloat16"
"""The format that is compiled for; the others, in which models are seldom stored, are left to numpy."""

PART = 2048
"""Weights whose changes are kept at hand for all tolerances; single precision will do for their sums."""

FLAWS = (ImportError, AttributeError, OSError, EOFError, RuntimeError, SystemError, ValueError,
         TypeError, KeyError, IndexError, pickle.UnpicklingError)  # fmt: skip
"""What a numba that is broken, or that cannot read or write what it keeps, ends with."""

UPPER, HALF, ONE, KEPT = (np.uint32(x) for x in (16, 0x7FFF, 1, 0xFFFF0000))


@dataclasses.dataclass(frozen=True)
class Loops:
    """One way to compute.

    Attributes:
        tally: sums over pairs of weights, as `_bits.tally`; 0 is among the tolerances.
        moves: how far weights move when they are stored after a step, as `_null.moves`.
        add_rows: adds up rows of changes in groups, as `_rank.add_rows`.
    """

    tally: Callable[[Bits, Bits, Format, tuple[float, ...], Scratch], Tally]
    moves: Callable[[FloatArray, FloatArray, float, Format], FloatArray]
    add_rows: Callable[[Bits, Bits, Format, IntArray, Floats, Floats], None]


PLAIN = Loops(_bits.tally, _null.moves, _rank.add_rows)


@functools.cache
def compiled() -> Loops | None:
    """The compiled loops, or those compiled before; None where numba is not there or does not work."""
    try:
        numba: Any = optional_import("numba", "comparing weights in single passes", "fast")
        flaws = (*FLAWS, numba.core.errors.NumbaError)
    except (MissingDependencyError, *FLAWS):  # such as a numba for another numpy
        return None
    for cache in (True, False):  # what was kept may be cut off, or there is no place to keep it
        try:
            return _made(numba, cache)
        except flaws:
            continue
    return None


def _made(numba: Any, cache: bool) -> Loops:
    """The loops, compiled at once for what they are called with: nothing can fail later on."""
    made = functools.partial(numba.njit, cache=cache, nogil=True, error_model="numpy")
    kinds = numba.types
    word, single, double, whole = kinds.uint16, kinds.float32, kinds.float64, kinds.int64

    def array(kind: Any, axes: int = 1, *, fixed: bool = False) -> Any:
        return kinds.Array(kind, axes, "C", readonly=fixed)

    bits, rows = array(word, fixed=True), array(word, 2, fixed=True)
    sums_of = bits, bits, array(single), single, array(whole)
    move_of = array(double), array(double), double, array(double)
    add_of = rows, rows, array(whole), array(single), array(single, 2)
    # Sums may be taken in any order, so that several numbers are added at a time; NaN stays NaN.
    sums = made(sums_of, fastmath={"reassoc", "contract"})(_sums)
    move, add = made(move_of)(_move), made(add_of)(_add)
    share = np.float32(RELATIVE)  # not a global of the loop: one from another file would be kept

    def tally(
        before: Bits, after: Bits, form: Format, tolerances: tuple[float, ...], scratch: Scratch
    ) -> Tally:
        if form.name != NARROW:
            return _bits.tally(before, after, form, tolerances, scratch)
        above = np.zeros(len(tolerances), np.int64)
        with np.errstate(over="ignore"):  # above a tolerance that is infinite lies no change
            limits = np.array(tolerances, np.float32)
        total, squares, relative = sums(before, after, limits, share, above)
        if not np.isfinite(total):  # so are weights, or changes that overflow
            return _bits.tally(before, after, form, tolerances, scratch)
        changed = int(above[tolerances.index(0.0)])
        return Tally(before.size, changed, above, relative, total, squares)

    def moves(weights: FloatArray, noise: FloatArray, step: float, form: Format) -> FloatArray:
        if form.name != NARROW:
            return _null.moves(weights, noise, step, form)
        found = np.empty_like(weights)
        move(weights, noise, step, found)
        return found

    def add_rows(
        before: Bits, after: Bits, form: Format, group: IntArray, sign: Floats, sums: Floats
    ) -> None:
        if form.name != NARROW:
            return _rank.add_rows(before, after, form, group, sign, sums)
        return add(before, after, group, sign, sums)

    return Loops(tally, moves, add_rows)


# What follows is compiled, so it has loops where Python would have none, and types spelled out.


def _sums(before: Any, after: Any, tolerances: Any, share: Any, above: Any) -> Any:
    """Sums of the absolute changes and of their squares, and how many are not small beside the weight;
    adds to the counts above each tolerance."""
    change = np.empty(PART, np.float32)
    total, squares, relative = 0.0, 0.0, 0
    for start in range(0, before.size, PART):
        old, new = before[start : start + PART], after[start : start + PART]
        part, square, large = np.float32(0), np.float32(0), np.int32(0)
        for i in range(old.size):
            a = np.uint32(np.uint32(old[i]) << UPPER).view(np.float32)
            b = np.uint32(np.uint32(new[i]) << UPPER).view(np.float32)
            size = abs(b - a)
            change[i] = size
            part += size
            square += size * size
            large += np.int32(size > abs(a) * share)
        total += part
        squares += square
        relative += large
        for j in range(tolerances.size):
            count, tolerance = np.int32(0), tolerances[j]
            for i in range(old.size):
                count += np.int32(change[i] > tolerance)
            above[j] += count
    return total, squares, relative


def _move(weights: Any, noise: Any, step: Any, out: Any) -> Any:
    for i in range(weights.size):
        wide = np.float32(weights[i] + step * noise[i]).view(np.uint32)
        near = np.uint32((wide + HALF + ((wide >> UPPER) & ONE)) & KEPT).view(np.float32)
        out[i] = abs(np.float64(near) - weights[i])


def _add(before: Any, after: Any, group: Any, sign: Any, sums: Any) -> Any:
    for row in range(before.shape[0]):
        old, new, out, weight = before[row], after[row], sums[group[row]], sign[row]
        for i in range(old.size):
            a = np.uint32(np.uint32(old[i]) << UPPER).view(np.float32)
            b = np.uint32(np.uint32(new[i]) << UPPER).view(np.float32)
            out[i] += weight * (b - a)
