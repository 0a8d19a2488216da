"""The bootstrap engine: what is resampled, and every metric as a function of the resampled weights.

A replicate gives each unit (a row, a cell of identical rows, or a cluster) a count. A metric is
either a function of sums over units, one matrix product for all replicates and all metrics, or a
function of the weights and the errors accumulated from the most confident row down.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from levelhead._arrays import ArrayLike, FloatArray, IntArray, codes
from levelhead.errors import InvalidInputError
from levelhead.metrics._accumulate import BinRule
from levelhead.metrics.batch import SUMS, Batch, MetricSpec, rise_of

__all__ = [
    "CellSums",
    "Interval",
    "NumberArray",
    "Plan",
    "Rows",
    "Scatter",
    "block_size",
    "cluster_codes",
    "label_list",
    "percentile",
]

EXACT_ROWS = 20_000
"""Up to this many rows of distinct confidences the rows themselves are resampled."""

RANK_CELLS = 400
"""Beyond it, rows are resampled in this many cells of equal weight, each one confidence."""

CHUNK = 1 << 17
"""Numbers of one temporary: a megabyte stays in the processor's cache."""

DENSE = 1 << 22
"""Largest matrix from units to ranks that is worth holding."""

DENSE_PER_ROW = 12
"""Entries of that matrix for each row: beyond them adding up the rows is the quicker way."""

ROWS_PER_CELL = 64
"""Rows that a cell of equal rank holds on average before its rows are added up by themselves."""

PIECE = 2048
"""Rows added up at once: what they are gathered into stays in the processor's cache."""

REPLICATES = 32
"""Replicates side by side in a table: a row of it fills a cache line or two."""

BLOCK = 1 << 22
"""Numbers in one block of replicates where there are very many units."""

SCATTERED = 1024
"""From this many units on, most of a resample is drawn as independent Poisson counts."""

MARGIN = 4.0
"""Standard deviations by which these fall short of a resample, so that they hardly ever exceed it."""

NumberArray: TypeAlias = npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[np.uint8]
"""Counts of units; small ones as bytes."""

LABELS = 3
"""Kinds of correctness that a cell of many rows keeps apart: wrong, fractional, right."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value and the interval that covers the truth with probability `level`.

    Attributes:
        value: the metric on the sample; NaN where it is undefined.
        low: lower end; NaN where unknown.
        high: upper end; NaN where unknown.
        level: coverage wanted.
        method: how the ends were found.
        n_boot: number of resamples, or of simulated samples.
    """

    value: float  # on the data as they are
    low: float  # lower end
    high: float  # upper end
    level: float  # in (0, 1)
    method: str  # how it was made, in words
    n_boot: int  # resamples, or simulated samples


# --------------------------------------------------------------------------- rows and plans


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows from the most confident down; identical rows are one row with a multiplicity."""

    confidence: FloatArray
    correct: FloatArray
    weight: FloatArray
    times: FloatArray
    cluster: IntArray | None
    n_clusters: int

    @staticmethod
    def of(
        c: FloatArray,
        y: FloatArray,
        w: FloatArray | None,
        cluster: IntArray | None = None,
        n_clusters: int = 0,
        counts: FloatArray | None = None,
    ) -> Rows:
        """Rows sorted and compressed; the multiplicities add up to the number of rows."""
        if counts is not None:
            kept = np.flatnonzero(counts)
            order = kept[np.lexsort((y[kept], -c[kept]))]
            return Rows(c[order], y[order], np.ones(order.size), counts[order], None, 0)
        if w is None and cluster is None:
            index = np.rint(c * 100.0).astype(np.int64)
            if np.array_equal(index / 100.0, c) and np.array_equal(y, y.astype(bool)):
                count = np.bincount(2 * index + y.astype(np.int64), minlength=202)[::-1]
                used = np.flatnonzero(count)
                code = 201 - used
                return Rows(
                    (code // 2) / 100.0,
                    (code % 2).astype(float),
                    np.ones(used.size),
                    count[used].astype(float),
                    None,
                    0,
                )
        weight = np.ones(c.size) if w is None else w
        keys = (weight, y, -c) if cluster is None else (cluster, weight, y, -c)
        order = np.argsort(-c, kind="stable") if _all_distinct(c) else np.lexsort(keys)
        c, y, weight = c[order], y[order], weight[order]
        cluster = None if cluster is None else cluster[order]
        new = np.ones(c.size, dtype=bool)
        new[1:] = (np.diff(c) != 0) | (np.diff(y) != 0) | (np.diff(weight) != 0)
        if cluster is not None:
            new[1:] |= np.diff(cluster) != 0
        start = np.flatnonzero(new)
        times = np.diff(np.append(start, c.size)).astype(float)
        cluster = None if cluster is None else cluster[start]
        return Rows(c[start], y[start], weight[start], times, cluster, n_clusters)

    @property
    def size(self) -> int:
        return self.confidence.size

    def ranks(self) -> IntArray:
        """Index of the distinct confidence of each row, 0 for the highest."""
        return np.cumsum(np.diff(self.confidence, prepend=self.confidence[0]) != 0)


def _all_distinct(c: FloatArray) -> bool:
    return c.size < 2 or bool((np.diff(np.sort(c)) != 0).all())


def label_list(labels: ArrayLike) -> list[Hashable]:
    """Labels of any hashable kind as Python objects; a tuple is one label."""
    if hasattr(labels, "tolist"):  # numpy's own numbers and texts become Python's
        return cast("list[Hashable]", cast("FloatArray", labels).tolist())
    return list(cast("Iterable[Hashable]", labels))


def cluster_codes(name: str, labels: ArrayLike, size: int) -> IntArray:
    """Labels as codes 0..P-1; long texts are hashed, never padded to the longest of them."""
    kind = np.asarray(labels).dtype.kind if hasattr(labels, "dtype") else "O"
    if kind in "iub":
        return codes(name, labels, size)
    items = label_list(labels)
    if len(items) != size:
        raise InvalidInputError(
            f"{name}: expected shape ({size},), one label per sample, got ({len(items)},)"
        )
    seen: dict[Hashable, int] = {}
    return np.fromiter((seen.setdefault(item, len(seen)) for item in items), np.int64, size)


# --------------------------------------------------------------------------- resamples and sums


class Scatter:
    """Counts of n units in resamples of n: multinomial with equal chances, drawn quickly.

    Independent Poisson counts are multinomial given their total, and so is their sum with the
    counts of as many units picked one by one as are missing from n; too large a total is discarded.
    A Poisson count is looked up from 16 random bits; what 65,536 equal chances cannot represent
    falls to draws from the exact remainder.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.rate = 1.0 - MARGIN / np.sqrt(n) if n >= SCATTERED else 0.0
        if self.rate == 0.0:
            return
        k = np.arange(1, 40)
        chance = np.exp(-self.rate) * np.cumprod(np.append(1.0, self.rate / k)) * 65_536.0
        whole = np.floor(chance)
        rest = chance - whole
        self.rest = rest / rest.sum()
        self.table = np.full(65_536, 255, dtype=np.uint8)
        known = np.repeat(np.arange(k.size + 1), whole.astype(np.int64))
        self.table[: known.size] = known

    def draw(self, rng: np.random.Generator, b: int) -> NumberArray:
        """(b, n) counts, each row summing to n."""
        n = self.n
        if self.rate == 0.0:
            pick = rng.integers(0, n, size=(b, n)) + n * np.arange(b)[:, None]
            return np.bincount(pick.ravel(), minlength=b * n).reshape(b, n)
        counts = self._poisson(rng, b)
        missing = n - counts.sum(axis=1, dtype=np.int64)
        while (missing < 0).any():
            again = np.flatnonzero(missing < 0)
            counts[again] = self._poisson(rng, again.size)
            missing[again] = n - counts[again].sum(axis=1, dtype=np.int64)
        pick = rng.integers(0, n, int(missing.sum())) + np.repeat(n * np.arange(b), missing)
        np.add.at(counts.reshape(-1), pick, np.uint8(1))
        return counts

    def _poisson(self, rng: np.random.Generator, b: int) -> NumberArray:
        size = b * self.n
        bits = np.asarray(rng.bit_generator.random_raw((size + 3) // 4)).view(np.uint16)[:size]
        counts = self.table.take(bits)
        odd = np.flatnonzero(counts == 255)
        counts[odd] = rng.choice(self.rest.size, odd.size, p=self.rest)
        return counts.reshape(b, self.n)


class CellSums:
    """Sums of columns of the rows over ordered cells of rows, in many replicates at once."""

    def __init__(self, unit: IntArray | None, columns: FloatArray, starts: IntArray) -> None:
        self.unit = unit  # of each row; None where row i is unit i
        self.columns = columns  # (k, N), by cell
        self.starts = starts  # (J,), first row of each cell
        size = int(columns.shape[1])
        limits: IntArray = np.arange(0, size, PIECE)
        self.pieces = np.unique(np.concatenate([starts, limits]))
        self.stops = np.append(self.pieces[1:], size)
        self.first_piece = np.searchsorted(self.pieces, starts)

    def __call__(self, counts: NumberArray) -> FloatArray:
        """(k, B, J) sums where the units count (B, U) times."""
        table = np.ascontiguousarray(counts.T)
        out = np.empty((self.pieces.size, len(self.columns), len(counts)))
        for i, (start, stop) in enumerate(zip(self.pieces, self.stops, strict=True)):
            part = slice(start, stop)
            rows = table[part] if self.unit is None else table.take(self.unit[part], axis=0)
            np.matmul(self.columns[:, part], rows.astype(np.float64, copy=False), out=out[i])
        return np.ascontiguousarray(np.add.reduceat(out, self.first_piece).transpose(1, 2, 0))


def block_size(units: int) -> int:
    """Replicates to take at once."""
    return int(np.clip(BLOCK // units, 8, REPLICATES))


class Plan:
    """How counts of units become sums, bins and ranks of these metrics.

    Units are the clusters of the rows if there are any, else cells of equal rows; for many rows of
    distinct confidences, cells of neighboring confidences with the same correctness, whose sums are
    the exact means of their rows: what is lost is the variance of a term within a cell, about
    1/RANK_CELLS^2 of its variance.
    """

    def __init__(
        self,
        rows: Rows,
        specs: Sequence[MetricSpec],
        *,
        rule: BinRule,
        exact_rows: int = EXACT_ROWS,
    ) -> None:
        self.rows, self.specs, self.rule, self.n_bins = rows, specs, rule, rule.n_bins
        self.ranked = any(s.metric.reads == "ranks" for s in specs)
        self.binned = any(s.metric.reads == "bins" for s in specs)
        self.total = float(rows.times.sum())
        weighted = bool(np.any(rows.weight != rows.weight[0]))
        large = rows.size > exact_rows
        self.coarse = large and ((rows.cluster is None and not weighted) or self.ranked)
        rank = _quantile_cells(rows, rule) if self.coarse else rows.ranks()
        self.n_ranks = int(rank[-1]) + 1
        if rows.cluster is not None:
            self.unit, self.n_units = rows.cluster, rows.n_clusters
            self.times = np.ones(self.n_units)
        elif self.coarse and not weighted:
            label = np.where(rows.correct == 1.0, 2, np.where(rows.correct == 0.0, 0, 1))
            self.unit = LABELS * rank + label
            self.n_units = LABELS * self.n_ranks
            self.times = np.bincount(self.unit, rows.times, self.n_units).astype(np.float64)
        else:
            self.unit, self.n_units = np.arange(rows.size), rows.size
            self.times = rows.times
        self.mass = rows.weight * rows.times
        self._fill_linear()
        self._fill_ranks(rank)
        whole = self.ranked and bool(np.all(self.mass == np.floor(self.mass)))
        # Clusters of unequal size can make a resample longer than the sample.
        longest = int((1.0 if rows.cluster is None and not weighted else 2.0) * self.mass.sum())
        self.rise = rise_of(longest if whole else None)

    def _per_unit(self, terms: FloatArray) -> FloatArray:
        """Sum over a unit's rows of mass times term, for one draw of the unit."""
        total = np.bincount(self.unit, self.mass * terms, self.n_units)
        return np.divide(total, self.times, out=np.zeros_like(total), where=self.times > 0)

    def _fill_linear(self) -> None:
        rows = self.rows
        keys: dict[tuple[str, float], int] = {("weight", 0.0): 0}
        for spec in self.specs:
            for name in spec.metric.sums:
                keys.setdefault(_key(name, spec), len(keys))
        self.keys = keys
        columns = [self._per_unit(SUMS[n](rows.confidence, rows.correct, t)) for n, t in keys]
        if self.binned:
            bins = self.rule.index(rows.confidence)
            cell = self.unit * self.n_bins + bins
            for terms in (rows.confidence - rows.correct, np.ones(rows.size)):
                table = np.bincount(cell, self.mass * terms, self.n_units * self.n_bins)
                table = table.reshape(self.n_units, self.n_bins)
                columns.extend((table / np.maximum(self.times, 1.0)[:, None]).T)
        self.linear = np.stack(columns, axis=1)

    def _fill_ranks(self, rank: IntArray) -> None:
        self.dense: FloatArray | None = None
        self.by_label: FloatArray | None = None
        self.cells: CellSums | None = None
        if not self.ranked:
            return
        rows, j = self.rows, self.n_ranks
        errors = self.mass * (1.0 - rows.correct)
        if self.n_units == LABELS * j and rows.cluster is None and self.coarse:
            wrong = self._per_unit(1.0 - rows.correct)
            self.by_label = np.stack([self._per_unit(np.ones(rows.size)), wrong])
            return
        aligned = rows.cluster is None and self.n_units == rows.size == j
        small = self.n_units * j <= min(DENSE, max(DENSE_PER_ROW * rows.size, CHUNK))
        if not aligned and small and (rows.cluster is not None or j < 1000):
            cell = self.unit * (2 * j) + rank
            table = np.bincount(cell, self.mass, self.n_units * 2 * j)
            table += np.bincount(cell + j, errors, self.n_units * 2 * j)
            self.dense = table.reshape(self.n_units, -1) / np.maximum(self.times, 1.0)[:, None]
            return
        drawn = self.times[self.unit]
        self.row_mass, self.row_wrong = self.mass / drawn, errors / drawn
        self.starts = np.flatnonzero(np.diff(rank, prepend=-1) != 0)
        if ROWS_PER_CELL * j <= rows.size:
            unit = None if rows.cluster is None else self.unit
            self.cells = CellSums(unit, np.stack([self.row_mass, self.row_wrong]), self.starts)

    @property
    def observed(self) -> FloatArray:
        """The counts that give back the sample itself, (1, U)."""
        return np.array(self.times[None, :], dtype=np.float64)

    def draw(self, rng: np.random.Generator, n_boot: int) -> Iterator[NumberArray]:
        """Counts of the units in `n_boot` resamples of the sample's own size, in blocks (b, U)."""
        n = self.n_units if self.rows.cluster is not None else int(self.total)
        used = self.times > 0
        by_row = self.ranked and self.dense is None and self.by_label is None
        width = self.rows.size if by_row else self.n_units
        block = max(1, CHUNK // max(width, n if n < 10 * used.sum() else 1))
        if self.cells is not None:
            block = max(block, block_size(self.n_units))
        scatter = Scatter(n)
        for start in range(0, n_boot, block):
            b = min(block, n_boot - start)
            if n == self.n_units:
                yield scatter.draw(rng, b)
            elif n >= 10 * used.sum():
                counts = np.zeros((b, self.n_units))
                counts[:, used] = rng.multinomial(n, self.times[used] / n, size=b)
                yield counts
            else:  # some rows are repeated: find the row that each draw falls into
                yield self._row_counts(rng, b, n)

    def _row_counts(self, rng: np.random.Generator, b: int, n: int) -> FloatArray:
        owner = np.repeat(np.arange(self.n_units), self.times.astype(np.int64))
        pick = owner[rng.integers(0, n, size=(b, n))]
        pick += self.n_units * np.arange(b)[:, None]
        flat = np.bincount(pick.ravel(), minlength=b * self.n_units)
        return flat.astype(np.float64).reshape(b, self.n_units)

    def evaluate(self, counts: NumberArray) -> FloatArray:
        """The metrics of each replicate, (B, number of metrics)."""
        linear = counts.astype(np.float64, copy=False) @ self.linear
        return self.finish(linear, *self.masses(counts))

    def masses(self, counts: NumberArray) -> tuple[FloatArray, FloatArray]:
        """Cumulative weight and errors from the most confident down, (B, J) each."""
        if not self.ranked:
            return np.empty((len(counts), 0)), np.empty((len(counts), 0))
        if self.by_label is not None:
            sums = [(counts * row).reshape(len(counts), -1, LABELS).sum(2) for row in self.by_label]
            return np.cumsum(sums[0], axis=1), np.cumsum(sums[1], axis=1)
        if self.dense is not None:
            table = counts.astype(np.float64, copy=False) @ self.dense
            total = np.cumsum(table.reshape(len(counts), 2, -1), axis=2)
            return total[:, 0], total[:, 1]
        if self.cells is not None:
            total = np.cumsum(self.cells(counts), axis=2)
            return total[0], total[1]
        row = counts if self.rows.cluster is None else counts[:, self.unit]
        parts = [row * self.row_mass, row * self.row_wrong]
        if self.starts.size < self.rows.size:
            parts = [np.add.reduceat(part, self.starts, axis=1) for part in parts]
        return np.cumsum(parts[0], axis=1), np.cumsum(parts[1], axis=1)

    def finish(self, linear: FloatArray, weight: FloatArray, errors: FloatArray) -> FloatArray:
        """The metrics from the sums and the masses, (B, number of metrics)."""
        k, m = len(self.keys), self.n_bins
        batch = Batch({}, linear[:, k : k + m], linear[:, k + m :], weight, errors, self.rise)
        out = np.empty((len(linear), len(self.specs)))
        with np.errstate(divide="ignore", invalid="ignore"):
            for i, spec in enumerate(self.specs):
                batch.sums = {n: linear[:, self.keys[_key(n, spec)]] for n in spec.metric.sums}
                batch.parameter = spec.parameter
                out[:, i] = spec.metric.evaluate(batch)
        return out


def _key(name: str, spec: MetricSpec) -> tuple[str, float]:
    return name, spec.parameter if name in ("trust", "wrong_at") else 0.0


def _quantile_cells(rows: Rows, rule: BinRule) -> IntArray:
    """Cells of about equal weight: no bin edge cuts them, and equal confidences stay together."""
    mass = rows.weight * rows.times
    middle = np.cumsum(mass) - mass / 2
    cell = np.minimum((middle / mass.sum() * RANK_CELLS).astype(np.int64), RANK_CELLS - 1)
    new = np.diff(cell, prepend=cell[0]) != 0
    new &= np.diff(rows.confidence, prepend=rows.confidence[0]) != 0
    new |= np.diff(rule.index(rows.confidence), prepend=-1) != 0
    new[0] = False
    return np.cumsum(new)


def percentile(draws: FloatArray, level: float) -> tuple[float, float]:
    """Ends of the percentile interval; NaN where more than a tenth of the draws are undefined."""
    good = draws[~np.isnan(draws)]
    if good.size < 0.9 * draws.size or good.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(good, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)
