"""Compares the weights of two or three models, tensor by tensor and block by block."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from levelhead._arrays import BoolArray, IntArray
from levelhead.diagnose.updates._bits import FORMATS, Bits, Format, Scratch, Tally, decode
from levelhead.diagnose.updates._loops import PLAIN, compiled
from levelhead.diagnose.updates._null import OverlapCounts, RoundingNull, matched_null, strata_of
from levelhead.diagnose.updates._rank import (
    EXACT,
    Rank,
    changes,
    from_values,
    gini,
    rank_of,
    sketched,
)
from levelhead.diagnose.updates._result import TensorUpdate, UpdatesResult
from levelhead.diagnose.updates._tensors import Files
from levelhead.diagnose.updates._tensors_pairs import Pair, Pairs, in_format
from levelhead.errors import InvalidInputError

__all__ = ["LEVEL", "OPEN_SHARE", "Z_LEVEL", "Run", "verdict_of"]

LEVEL, Z_LEVEL = 0.01, 2.3263478740408408
"""How often a dense Gaussian step would be called sparse at most, and the normal quantile of that."""
DENSE = 0.9
"""Share of changed weights, of tensors that changed at all, from which on there is nothing sparse to
explain."""
OPEN_SHARE, OPEN_LEAST = 0.75, 30
"""Of the weights that rounding cannot hide a step from, fewer than this share of what the null expects
must have changed, and so many of them must count alike, before an update is called sparse."""

BLOCK = 1 << 20
"""Weights that are read at a time: the processor keeps them at hand while they are compared."""
WIDE = 1 << 19
"""Weights that are sketched at a time."""
SAMPLE, LEAST, MOST = 1 << 19, 1 << 12, 1 << 16
"""Weights that the null is computed on: together, and at least and at most of a tensor."""
OWN = 2505_11711
"""Before every seed: models made with numpy's generator must not share the null's noise."""
MANY = 1 << 29
"""Weights from which on compiled loops save more time than it takes to load the compiler."""
FEWEST = 0.01
"""Share of the weights below which sizes are no point of their own on the curve of the density."""


Block = tuple[Tally, Bits, Bits, IntArray | None]
"""Sums, sampled weights before and after, and the counts of an overlap."""


class Run:
    """The comparison as it goes on, tensor by tensor."""

    def __init__(
        self,
        first: Pairs,
        second: Pairs | None,
        files: Files,
        tolerances: tuple[float, ...],
        ranks: int,
        seed: int,
        on_read: Callable[[int], None] | None,
        threads: int,
    ) -> None:
        self.first, self.second, self.files = first, second, files
        self.tolerances, self.seed, self.on_read = tolerances, seed, on_read
        self.updates: list[TensorUpdate] = []
        self.nulls: list[RoundingNull] = []
        self.common = None if second is None else OverlapCounts()
        self.notes = list(first.notes)
        if second is not None:
            self.notes += [note for note in second.notes if note not in self.notes]
        matrices = [name for name, pair in first.pairs.items() if pair.is_matrix]
        order = np.random.default_rng([OWN, seed]).permutation(len(matrices))[:ranks]
        self.ranked = {matrices[i] for i in order}
        self.sample = int(np.clip(SAMPLE // len(first.pairs), LEAST, MOST))
        self.narrow = 0
        whole = sum(pair.size for pair in first.pairs.values())
        self.loops = (compiled() if whole >= MANY else None) or PLAIN
        self.threads, self.memory, self.lock = threads, threading.local(), threading.Lock()

    def all(self) -> None:
        """Compare every tensor, or those until Ctrl-C."""
        try:
            for i, pair in enumerate(self.first.pairs.values()):
                twin = None if self.second is None else self.second.pairs.get(pair.name)
                self.one(pair, twin, np.random.default_rng([OWN, self.seed, i]))
        except KeyboardInterrupt:
            if not self.updates:
                raise

    def one(self, pair: Pair, twin: Pair | None, rng: np.random.Generator) -> None:
        """Compare a tensor."""
        sums, counts = Tally(), OverlapCounts()
        if pair.tuned is None and pair.update is None and twin is None:
            sums = Tally(n=pair.size, above=np.zeros(len(self.tolerances), np.int64))
            self._told(pair.size)
            olds = news = np.zeros(0, pair.form.bits)
        else:
            olds, news = self._blocks(pair, twin, sums, counts, rng)
        null = self._null(pair, sums, olds, news, rng) if sums.changed else None
        rank = self._rank(pair, sums, rng)
        # Nothing of a tensor is kept before all of it is there: Ctrl-C may come in between.
        if self.common is not None and counts.n:
            _merge(self.common, counts)
        if null is not None:
            self.nulls.append(null)
        self.updates.append(_update(pair, sums, null, rank))

    def _blocks(
        self,
        pair: Pair,
        twin: Pair | None,
        sums: Tally,
        counts: OverlapCounts,
        rng: np.random.Generator,
    ) -> tuple[Bits, Bits]:
        """Read a tensor through; returns the sampled weights before and after."""
        columns = math.prod(pair.shape[1:]) if pair.shape else 1
        step = max(1, BLOCK // columns) * columns if _by_rows(pair, twin) else BLOCK
        stride = max(1, pair.size // self.sample)
        while math.gcd(stride, columns) > 1:
            stride += 1
        offset = int(rng.integers(stride))
        strata = None
        if twin is not None:
            first = self.files.read(pair.base, 0, min(step, pair.size))
            strata = strata_of(
                in_format(first, pair.base, pair.form)[:: max(1, first.size // MOST)], pair.form
            )

        def block(start: int) -> Block:
            stop = min(start + step, pair.size)
            old, new = pair.bits(self.files, start, stop)
            scratch = self._scratch(pair.form)
            found = self.loops.tally(old, new, pair.form, self.tolerances, scratch)
            taken = slice((offset - start) % stride, None, stride)
            both = None
            if twin is not None and strata is not None:
                their_old, their_new = twin.bits(self.files, start, stop)
                both = strata.counts(old, old != new, their_old != their_new)
            kept = found, old[taken].copy(), new[taken].copy(), both
            for one in (pair, twin):
                if one is not None:
                    one.drop(self.files, start, stop)
            self._told(stop - start)
            return kept

        olds, news = [], []
        for found, old, new, both in self._each(block, range(0, pair.size, step)):
            sums.add(found)
            olds.append(old)
            news.append(new)
            if both is not None:
                counts.add(both)
        return np.concatenate(olds), np.concatenate(news)

    def _each(self, block: Callable[[int], Block], starts: Sequence[int]) -> Iterator[Block]:
        """The blocks in their order; a few are compared at a time where threads allow it."""
        if self.threads == 1 or len(starts) == 1:
            yield from map(block, starts)
            return
        with concurrent.futures.ThreadPoolExecutor(self.threads) as pool:
            try:
                yield from pool.map(block, starts)
            except BaseException:  # Ctrl-C: what was not begun is not waited for
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _scratch(self, form: Format) -> Scratch:
        """Each thread's own memory to work in."""
        held: dict[str, Scratch] = self.memory.__dict__
        if form.name not in held:
            held[form.name] = Scratch(form)
        return held[form.name]

    def _null(
        self, pair: Pair, sums: Tally, olds: Bits, news: Bits, rng: np.random.Generator
    ) -> RoundingNull | None:
        form = pair.form
        if form.name == "float32" and not ((olds | news) & np.uint32(0xFFFF)).any():
            form = FORMATS["bfloat16"]
            self.narrow += 1
        old, new = decode(olds, pair.form), decode(news, pair.form)
        kept = np.isfinite(old) & np.isfinite(new)
        if not kept.any() or not math.isfinite(sums.total):
            return None
        changed: BoolArray = old[kept] != new[kept]
        size = sums.total / sums.n
        return matched_null(old[kept], changed, size, sums.n, form, rng, self.loops.moves)

    def _rank(self, pair: Pair, sums: Tally, rng: np.random.Generator) -> Rank | None:
        if pair.update is not None and pair.is_matrix:
            values = pair.update.singular_values()
            return from_values(values, max(pair.shape), "adapter", min(pair.shape))
        if pair.name not in self.ranked or sums.nonfinite or not sums.changed:
            return None
        rows, columns = pair.shape
        step = max(1, WIDE // columns)

        def blocks() -> Iterator[tuple[Bits, Bits]]:
            for start in range(0, rows, step):
                place = start * columns, min(start + step, rows) * columns
                old, new = pair.bits(self.files, *place)
                yield old.reshape(-1, columns), new.reshape(-1, columns)
                pair.drop(self.files, *place)

        if rows * columns <= EXACT:
            return rank_of(np.concatenate([changes(*block, pair.form) for block in blocks()]))
        found = sketched(blocks(), (rows, columns), pair.form, rng, self.loops.add_rows)
        return rank_of(found, "sketch")

    def _told(self, count: int) -> None:
        if self.on_read is not None:
            with self.lock:
                self.on_read(count)

    def result(self, base: str, tuned: str, other: str | None) -> UpdatesResult:
        """All sums."""
        n = sum(one.n for one in self.updates)
        if not n:
            raise InvalidInputError(f"BASE: expected finite weights in {base!r}, got none")
        changed = sum(one.changed for one in self.updates)
        above = np.array([one.above for one in self.updates]).sum(axis=0)
        moved = [one for one in self.updates if one.null_density is not None]
        null = seen = z = None
        if moved:
            null, seen, z = _pooled(moved)
        opened = _opened(self.nulls)
        shares = [one.density for one in self.updates if len(one.shape) > 1 and one.n]
        if self.narrow:
            self.notes.append(
                f"{self.narrow} tensors are stored as float32 but hold bfloat16 numbers; their null "
                "rounds to bfloat16"
            )
        self.notes.append(_how_ranked(self.updates))
        return UpdatesResult(
            base, tuned, other, tuple(self.updates), self.tolerances, n, changed,
            tuple(float(x) / n for x in above),
            sum(one.relative for one in self.updates) / n,
            null, seen, z, sum(one.open_n for one in self.nulls), opened[1], opened[2],
            _by_size(self.nulls),
            gini([x for x in shares if x is not None]) if shares else None,
            self.common.result() if self.common is not None and self.common.n else None,
            verdict_of(changed, n, null, seen, z, opened),
            self.first.excluded, tuple(self.notes), len(self.first.pairs), self.seed,
        )  # fmt: skip


def _by_rows(pair: Pair, twin: Pair | None) -> bool:
    return pair.update is not None or (twin is not None and twin.update is not None)


def _merge(total: OverlapCounts, more: OverlapCounts) -> None:
    for field in dataclasses.fields(OverlapCounts):
        setattr(total, field.name, getattr(total, field.name) + getattr(more, field.name))


def _update(pair: Pair, sums: Tally, null: RoundingNull | None, rank: Rank | None) -> TensorUpdate:
    return TensorUpdate(
        pair.name, pair.layer, pair.kind, pair.shape, pair.form.name, sums.n, sums.changed,
        tuple(int(x) for x in sums.above), sums.relative,
        sums.total / sums.n if sums.n else 0.0, math.sqrt(sums.squares), sums.nonfinite,
        None if null is None else null.step,
        None if null is None else null.density,
        None if null is None else null.variance,
        rank,
    )  # fmt: skip


def _pooled(moved: Sequence[TensorUpdate]) -> tuple[float, float, float]:
    """The null's density, the one that was seen, and z, over the tensors that changed."""
    n = np.array([one.n for one in moved], dtype=np.float64)
    share = n / n.sum()
    null = float(share @ np.array([one.null_density for one in moved], dtype=np.float64))
    seen = sum(one.changed for one in moved) / float(n.sum())
    spread = math.sqrt(float(share**2 @ np.array([one.null_variance for one in moved])))
    if spread == 0.0:
        return null, seen, 0.0 if seen == null else math.copysign(math.inf, seen - null)
    return null, seen, (seen - null) / spread


def verdict_of(
    changed: int,
    n: int,
    null: float | None,
    seen: float | None,
    z: float | None,
    opened: tuple[float, float | None, float | None],
) -> str:
    """The verdict by the stated rule; `opened`: how many sampled weights in the open count alike, the
    share of them that changed, and the expected one."""
    if not changed:
        return "UNCHANGED"
    if changed >= DENSE * n or (seen is not None and seen >= DENSE):
        return "DENSE"
    if null is None or seen is None or z is None:
        return "UNDECIDED"
    if z >= -Z_LEVEL:
        return "AS ROUNDING PRODUCES"
    count, found, expected = opened
    if count < OPEN_LEAST or found is None or expected is None:
        return "UNDECIDED"
    return "SPARSE BEYOND ROUNDING" if found < OPEN_SHARE * expected else "AS ROUNDING PRODUCES"


def _opened(nulls: Sequence[RoundingNull]) -> tuple[float, float | None, float | None]:
    """Of the weights in the open: how many would tell as much if all counted alike, (sum of weights)^2 /
    sum of squares; the share that changed; and the expected share."""
    total = sum(one.open_n * one.stands_for for one in nulls)
    if not total:
        return 0.0, None, None
    alike = total**2 / sum(one.open_n * one.stands_for**2 for one in nulls)
    seen = sum(one.open_seen * one.stands_for for one in nulls) / total
    return alike, seen, sum(one.open_expected * one.stands_for for one in nulls) / total


def _by_size(nulls: Sequence[RoundingNull]) -> tuple[tuple[float, float, float], ...]:
    """The density seen and under the null, by |w|, over the sampled weights of changed tensors.

    From one power of two to the next the stored numbers lie equally far apart; across one, half of the
    null's density can go."""
    if not nulls:
        return ()
    size, seen, expected = (np.concatenate([getattr(one, name) for one in nulls])
                            for name in ("weights", "seen", "expected"))  # fmt: skip
    counts = np.concatenate([np.full(one.weights.size, one.stands_for) for one in nulls])
    powers = np.frexp(size)[1].astype(np.int16)  # of 16 bits, which are sorted in one go
    order = np.argsort(powers, kind="stable")
    order = order[size[order] > 0.0]  # 0 has no place on a logarithmic axis
    few = FEWEST * float(counts[order].sum())
    parts: list[IntArray] = []
    for part in np.split(order, np.flatnonzero(np.diff(powers[order])) + 1):
        if parts and counts[parts[-1]].sum() < few:
            part = np.concatenate((parts.pop(), part))
        parts.append(part)
    if len(parts) > 1 and counts[parts[-1]].sum() < few:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return tuple(
        (float(np.median(size[part])), *(float(np.average(x[part], weights=counts[part]))
                                         for x in (seen, expected)))
        for part in parts
        if part.size
    )  # type: ignore[return-value]  # fmt: skip


def _how_ranked(updates: Sequence[TensorUpdate]) -> str:
    how = [one.rank.how for one in updates if one.rank is not None]
    if not how:
        return "no ranks were computed"
    words = {
        "adapter": "from the adapter's two factors",
        "exact": f"of the whole matrix (up to {EXACT:,} weights)",
        "sketch": "of a random sketch of 256 rows and columns, in which a higher rank shows as full, and "
        "single entries may count once",
    }
    parts = [f"{how.count(key)} {text}" for key, text in words.items() if key in how]
    return f"ranks of {len(how)} matrices without norms: {'; '.join(parts)}"
