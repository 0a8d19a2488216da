"""Many draws from many small distributions, by inversion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray, IntArray

__all__ = ["Symbols", "draw_keys", "draw_words"]

GUIDE_BITS = (
    12  # buckets per cell in the guide of `Symbols`; 2^12 leaves 2% of the draws to a search
)
GUIDE_PAYS = 4_000  # draws below which the plain search is quicker than filling the guide


class Symbols:
    """Independent draws from the rows of a table, by inversion.

    A draw of row x with the number u in [0, 2^32) is the symbol m with t_{m-1} <= u < t_m, where t
    is the row's cumulative distribution in units of 2^-32. A guide knows the symbol of every bucket of
    2^20 numbers that no threshold divides; the few others are searched for.
    """

    def __init__(self, weights: FloatArray, source: IntArray | None = None) -> None:
        """Take rows of weights >= 0, and which of them each cell draws from, where not its own.

        A row without weight must not be drawn from.
        """
        cumulative = np.cumsum(weights, axis=1)
        total = cumulative[:, -1:]
        if np.count_nonzero(total) < total.size:
            total = np.where(total > 0.0, total, 1.0)
        edges = np.rint(cumulative * (2.0**32 / total)).astype(np.int64)
        if source is not None:
            edges = edges[source]
        self.n_cells = edges.shape[0]
        edges += np.arange(self.n_cells, dtype=np.int64)[:, None] << 32
        self.edges = edges.ravel()

    def at(self, keys: IntArray) -> IntArray:
        """Codes x M + m for keys x 2^32 + u."""
        if keys.size < GUIDE_PAYS:
            return self.searched(keys)
        return self.guided(keys)

    def searched(self, keys: IntArray) -> IntArray:
        """`at` by binary search."""
        return np.searchsorted(self.edges, keys, side="right")

    def guided(self, keys: IntArray) -> IntArray:
        """`at` by table; the same codes."""
        found = self._guide()[keys >> (32 - GUIDE_BITS)]
        codes = found.astype(np.int64)
        open_ = np.flatnonzero(found < 0)
        codes[open_] = self.searched(keys[open_])
        return codes

    def spread(self, words: npt.NDArray[np.uint32], cell: IntArray, shift: IntArray) -> IntArray:
        """`at` for numbers (G, B) whose columns belong to cells (B,), plus (B,) a shift."""
        buckets = (words >> np.uint32(32 - GUIDE_BITS)) + (cell << GUIDE_BITS)
        found = self._guide()[buckets]
        codes = found + shift
        open_ = np.flatnonzero(found < 0)
        column = open_ % cell.size
        keys = (cell[column] << 32) | words.ravel()[open_]
        codes.ravel()[open_] = self.searched(keys) + shift[column]
        return codes

    def _guide(self) -> npt.NDArray[np.signedinteger]:
        """The code of each bucket, or -1 where a threshold divides it."""
        shift = 32 - GUIDE_BITS
        size = self.n_cells << GUIDE_BITS
        first = np.minimum(-(-self.edges >> shift), size)  # first bucket that begins at or past it
        kind = np.int16 if self.edges.size < 2**15 else np.int32
        codes = np.arange(self.edges.size + 1, dtype=kind)
        guide = np.repeat(codes, np.diff(first, prepend=0, append=size))
        inner = self.edges >> shift
        guide[inner[inner < size]] = -1
        return guide


def draw_words(rng: np.random.Generator, n: int) -> npt.NDArray[np.uint32]:
    """Random numbers of 32 bits."""
    return rng.bit_generator.random_raw((n + 1) // 2).view(np.uint32)[:n]


def draw_keys(rng: np.random.Generator, cell: IntArray) -> IntArray:
    """Keys for `Symbols`: a random number of 32 bits for each of the listed cells."""
    keys = cell << 32
    keys |= draw_words(rng, cell.size)
    return keys
