"""Splits by unit: which part of the data a prompt, or whatever must stay together, belongs to.

A unit's part follows from a hash of the seed and the unit alone. So the same prompt lands in the
same part tomorrow, in another file, in another order and whatever else the file holds: a threshold
set on one part can be judged on another without a list of who was where.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError

__all__ = ["PARTS", "SHARES", "folds", "hashed", "split"]

PARTS = ("train", "calibrate", "threshold", "test")
"""What each part is for; `split` returns indices into it."""

SHARES = (0.5, 0.2, 0.15, 0.15)
"""The usual share of the units in each part."""

SUM_TOLERANCE = 1e-9


def hashed(units: Sequence[str], *, seed: int, purpose: str = "split") -> FloatArray:
    """A pseudo-random number in [0, 1) for each unit, which only the seed and the unit decide.

    u = (the first 53 bits of blake2b(unit, key = seed, person = purpose)) / 2^53

    Args:
        units: (N,) texts.
        seed: any integer.
        purpose: at most 16 bytes; different purposes give independent numbers.

    Returns:
        (N,) float64 in [0, 1); equal units get equal numbers.

    Raises:
        InvalidInputError: the purpose is longer than 16 bytes, the seed is no integer, or a unit
            is no text.

    Edge cases: no units give an empty array.
    Properties: independent of the order and of the other units; uniform over distinct units.

    Example:
        >>> a, b = hashed(["x", "y"], seed=0), hashed(["y"], seed=0)
        >>> bool(a[1] == b[0]), bool(a[0] == a[1])
        (True, False)
    """
    person = purpose.encode()
    if len(person) > hashlib.blake2b.PERSON_SIZE:
        raise InvalidInputError(f"purpose: expected at most 16 bytes, got {len(person)}")
    if not isinstance(seed, int | np.integer):
        raise InvalidInputError(f"seed: expected an integer, got {type(seed).__name__} {seed!r}")
    key = hashlib.blake2b(str(int(seed)).encode(), digest_size=16).digest()
    start = hashlib.blake2b(digest_size=8, key=key, person=person)
    known: dict[str, int] = {}
    codes = np.empty(len(units), dtype=np.uint64)
    for i, unit in enumerate(units):
        code = known.get(unit)
        if code is None:
            if not isinstance(unit, str):
                raise InvalidInputError(
                    f"units: expected texts, got {type(unit).__name__} {unit!r} at index {i}"
                )
            state = start.copy()
            state.update(unit.encode("utf-8", "surrogatepass"))
            code = known[unit] = int.from_bytes(state.digest(), "big") >> 11
        codes[i] = code
    return codes / 2.0**53


def split(
    units: Sequence[str], *, seed: int, shares: Sequence[float] = SHARES
) -> npt.NDArray[np.int8]:
    """The part of each unit: to train, to calibrate, to set thresholds, to test.

    part = #{j < 3 : u >= shares_0 + ... + shares_j},  u = `hashed(unit)` in [0, 1)

    Args:
        units: (N,) texts, one per row; rows with equal units are never separated.
        seed: any integer; another seed gives an independent split.
        shares: (4,) numbers >= 0 that sum to 1: the expected share of the units in each of `PARTS`.

    Returns:
        (N,) int8 in 0..3, indices into `PARTS`.

    Raises:
        InvalidInputError: other than four shares, a negative one, or shares that do not sum to 1.

    Edge cases: the shares hold in expectation; with few units a part can be empty. A part whose
        share is 0 stays empty.
    Properties: independent of the row order and of which other units there are.

    Example:
        >>> parts = split([f"prompt {i}" for i in range(10_000)], seed=0)
        >>> (np.bincount(parts) / 10_000).round(2)
        array([0.5 , 0.2 , 0.15, 0.15])
    """
    given = [float(share) for share in shares]
    if len(given) != len(PARTS):
        raise InvalidInputError(
            f"shares: expected {len(PARTS)} numbers ({', '.join(PARTS)}), got {len(given)}"
        )
    bad = [share for share in given if not (math.isfinite(share) and share >= 0.0)]
    if bad:
        raise InvalidInputError(f"shares: expected finite numbers >= 0, got {bad[0]}")
    if abs(sum(given) - 1.0) > SUM_TOLERANCE:
        raise InvalidInputError(f"shares: expected numbers that sum to 1, got {sum(given):.6g}")
    edges = np.cumsum(given)[:-1]
    last = max(j for j, share in enumerate(given) if share > 0.0)
    parts = np.searchsorted(edges, hashed(units, seed=seed), side="right")
    return np.minimum(parts, last).astype(np.int8)  # rounding of the sum opens no empty part


def folds(units: Sequence[str], n_folds: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Folds of cross-validation with nearly equally many distinct units each.

    fold = (rank of the unit's `hashed` number among the distinct units) mod n_folds

    Args:
        units: (N,) texts, one per row; rows with equal units are in one fold.
        n_folds: at least 2 and at most the number of distinct units.
        seed: any integer.

    Returns:
        (N,) int64 in 0..n_folds - 1.

    Raises:
        InvalidInputError: fewer than 2 folds, or more than distinct units.

    Properties: independent of the row order; the numbers of units differ by at most one.

    Example:
        >>> np.bincount(folds(["a", "b", "b", "c", "d"], 2, seed=0)).sum()
        np.int64(5)
    """
    distinct = sorted(set(units))
    if not 2 <= n_folds <= len(distinct):
        raise InvalidInputError(
            f"n_folds: expected 2 to {len(distinct)}, the number of distinct units, got {n_folds}"
        )
    order = np.argsort(hashed(distinct, seed=seed, purpose="folds"), kind="stable")
    fold = {distinct[at]: rank % n_folds for rank, at in enumerate(order.tolist())}
    return np.fromiter((fold[unit] for unit in units), np.int64, len(units))
