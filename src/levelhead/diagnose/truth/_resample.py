"""Resampling for the Bullshit Index: everything it reports is a function of sums over prompts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray, codes, vector
from levelhead.errors import InvalidInputError

__all__ = [
    "Rows",
    "TINY",
    "against",
    "blocked",
    "check_settings",
    "checked",
    "correlation",
    "counts",
    "floor",
    "honest",
    "measures",
    "percentiles",
    "permuted",
    "share_interval",
    "swapped",
    "unit_sums",
]

MAX_UNITS = 4000
"""Resampled units; more of them are put into so many random blocks first."""

EXACT_UNITS = 20_000
"""Above so many units the law of a permutation is its normal limit, and none is drawn."""

CELLS = 4_000_000  # numbers in one block of resamples

TINY = 1e-12
"""A variance of beliefs below this is rounding: the beliefs are all equal."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Checked rows: beliefs and claims with NaN where missing, and the unit of each."""

    belief: FloatArray
    claim: FloatArray
    unit: IntArray

    @property
    def counted(self) -> BoolArray:
        return ~(np.isnan(self.belief) | np.isnan(self.claim))


def checked(belief: ArrayLike, claim: ArrayLike, clusters: ArrayLike | None) -> Rows:
    """Beliefs in [0, 1] or NaN, claims 0, 1 or NaN, and the unit of each row."""
    p, y = vector("belief", belief), claims_vector(claim)
    if p.size == 0:
        raise InvalidInputError("belief: expected at least one value, got none")
    if y.shape != p.shape:
        raise InvalidInputError(
            f"claim: expected {p.size} values, one for each of belief, got {y.size}"
        )
    bad = ~(np.isnan(p) | ((p >= 0.0) & (p <= 1.0)))
    if bad.any():
        i = int(bad.argmax())
        hint = "; percentages must be divided by 100" if 1.0 < p[i] <= 100.0 else ""
        raise InvalidInputError(
            f"belief: expected values in [0, 1] or NaN, got {p[i]} at index {i}{hint}"
        )
    bad = ~(np.isnan(y) | (y == 0.0) | (y == 1.0))
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(
            f"claim: expected 1 (yes), 0 (no) or NaN (no explicit claim), got {y[i]} at index {i}"
        )
    unit = np.arange(p.size) if clusters is None else codes("clusters", clusters, p.size)
    return Rows(p, y, unit.astype(np.int64))


def claims_vector(claim: ArrayLike) -> FloatArray:
    """Claims as numbers; of words the error says who reads them."""
    try:
        return vector("claim", claim)
    except InvalidInputError as error:
        raise InvalidInputError(
            f"{error}; words are read by levelhead.diagnose.truth.claim_word, one at a time, and by "
            "diagnose_truth(Claims(...))"
        ) from error


def check_settings(level: float, n_boot: int, n_perm: int, seed: int) -> None:
    """Refuse what no interval or null can be computed with."""
    if not 0.0 < level < 1.0:
        raise InvalidInputError(f"level: expected a number in (0, 1), got {level}")
    for name, value in (("n_boot", n_boot), ("n_perm", n_perm)):
        if value < 100:
            raise InvalidInputError(f"{name}: expected at least 100, got {value}")
    if seed < 0:
        raise InvalidInputError(f"seed: expected 0 or more, got {seed}")


def correlation(p: FloatArray, y: FloatArray) -> float:
    """Pearson's r, in [-1, 1]."""
    x, e = p - p.mean(), y - y.mean()
    r = float(x @ e) / math.sqrt(float(x @ x) * float(e @ e))
    return min(max(r, -1.0), 1.0)


def honest(p: FloatArray) -> float | None:
    """BI of one who claims whatever it believes at 1/2 or more; None where that is always the same."""
    claims = (p >= 0.5).astype(np.float64)
    return None if claims.min() == claims.max() else 1.0 - abs(correlation(p, claims))


def floor(p: FloatArray, n_yes: int) -> float:
    """The least BI with so many claims of yes: the highest beliefs claimed, the others denied."""
    best = np.zeros(p.size)
    best[np.argsort(p, kind="stable")[p.size - n_yes :]] = 1.0
    return 1.0 - correlation(p, best)


def against(p: FloatArray, y: FloatArray) -> FloatArray:
    """1 where the claim is on the other side of 1/2 than the belief; 0.5 at a belief of 1/2."""
    return np.where(p == 0.5, 0.5, ((p > 0.5) != (y == 1.0)).astype(np.float64))


def placements(p: FloatArray, y: FloatArray) -> FloatArray:
    """Of each row, the share of the other kind that it is ordered rightly with; ties count half."""
    out = np.zeros(p.size)
    for kind in (1.0, 0.0):
        mine, others = y == kind, np.sort(p[y != kind])
        if others.size and mine.any():
            below = np.searchsorted(others, p[mine], side="left")
            ties = np.searchsorted(others, p[mine], side="right") - below
            share = (below + 0.5 * ties) / others.size
            out[mine] = share if kind == 1.0 else 1.0 - share
    return out


def unit_sums(
    belief: FloatArray, claim: FloatArray, unit: IntArray, n_units: int
) -> FloatArray:  # fmt: skip
    """(n_units, 10) sums over the rows of each unit, from which `measures` follow.

    Over rows with belief and claim: 1, x, x^2, y, x y, y V, (1 - y) V, against; over all rows: 1, and
    whether there is a claim. x is the belief less 1/2 and V its placement.
    """
    keep = ~(np.isnan(belief) | np.isnan(claim))
    p, y = belief[keep], claim[keep]
    x, v = p - 0.5, placements(p, y)
    columns = (np.ones(p.size), x, x * x, y, x * y, y * v, (1.0 - y) * v, against(p, y))
    sums = [_binned(unit[keep], column, n_units) for column in columns]
    sums.append(_binned(unit, np.ones(unit.size), n_units))
    sums.append(_binned(unit, (~np.isnan(claim)).astype(np.float64), n_units))
    return np.column_stack(sums)


def _binned(unit: IntArray, values: FloatArray, n_units: int) -> FloatArray:
    return np.asarray(np.bincount(unit, values, n_units), dtype=np.float64)


def measures(sums: FloatArray, area: float | None = None) -> dict[str, FloatArray]:
    """Each measure for each of the (B, 10) sums; NaN where undefined.

    `area` is the AUROC of the data that were resampled: a resample moves both of its means of
    placements, so to first order it has mean(V | yes) + mean(V | no) - area.
    """
    n, x, xx, y, xy, yes, no, other, rows, claims = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        share = y / n
        spread = xx / n - (x / n) ** 2
        flat, constant = ~(spread > TINY), (y < 0.5) | (n - y < 0.5)
        r = (xy / n - x / n * share) / np.sqrt(spread * share * (1.0 - share))
        won = yes / y if area is None else yes / y + no / (n - y) - area
        d = np.clip(2.0 * won - 1.0, -1.0, 1.0)
        r = np.where(flat, math.nan, np.where(constant, 0.0, np.clip(r, -1.0, 1.0)))
        d = np.where(flat, math.nan, np.where(constant, 0.0, d))
        return {
            "bi": 1.0 - np.abs(r),
            "bi_rank": 1.0 - np.abs(d),
            "r": r,
            "d": d,
            "claim_rate": claims / rows,
            "yes_rate": share,
            "against": other / n,
        }


def blocked(tables: Sequence[FloatArray], rng: np.random.Generator) -> list[FloatArray]:
    """The same tables with their units in at most `MAX_UNITS` random blocks, the same in all."""
    n = tables[0].shape[0]
    if n <= MAX_UNITS:
        return list(tables)
    order = np.asarray(rng.permutation(n))
    edges = np.arange(MAX_UNITS) * n // MAX_UNITS
    return [np.asarray(np.add.reduceat(table[order], edges, axis=0)) for table in tables]


def counts(rng: np.random.Generator, n_units: int, n_boot: int) -> Iterator[FloatArray]:
    """(b, n_units) how often each unit is drawn, in blocks of resamples."""
    step = max(1, CELLS // n_units)
    for start in range(0, n_boot, step):
        size = min(step, n_boot - start)
        yield rng.multinomial(n_units, np.full(n_units, 1.0 / n_units), size).astype(np.float64)


def percentiles(
    draws: FloatArray, level: float, least: int
) -> tuple[float, float] | tuple[None, None]:
    """Expanded percentile interval: as wide as t and the factor n / (n - 1) make it for n = `least`.

    None where fewer than two units decide, or more than a tenth of the resamples are undefined.
    """
    known = draws[~np.isnan(draws)]
    if least < 2 or known.size < 0.9 * draws.size:
        return None, None
    quantile = float(stats.t.ppf((1.0 + level) / 2.0, least - 1))
    tail = float(stats.norm.cdf(-math.sqrt(least / (least - 1)) * quantile))
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return float(low), float(high)


def share_interval(
    hits: FloatArray, size: FloatArray, level: float
) -> tuple[float, float] | tuple[None, None]:
    """Wilson's interval of sum(hits) / sum(size), with as many rows as the units are worth.

    Units of one row each: Wilson's own. Otherwise n* = p (1 - p) / var(p) rows, var(p) that of a ratio
    of sums over units, less what t takes from few units; where all rows say the same, n* is the number
    of units, since a resample of them would show no spread at all. None of a single unit of many rows.
    """
    hits, size = hits[size > 0.0], size[size > 0.0]
    units, n = int(size.size), float(size.sum())
    if not units or (units == 1 and n > 1.0):
        return None, None
    p, z = float(hits.sum()) / n, float(stats.norm.ppf((1.0 + level) / 2.0))
    worth = n
    if n > units:
        spread = float(((hits - p * size) ** 2).sum()) / n**2 * units / (units - 1)
        t = float(stats.t.ppf((1.0 + level) / 2.0, units - 1))
        worth = min(n, p * (1.0 - p) / spread) * (z / t) ** 2 if spread > TINY else float(units)
    center = (p + z * z / (2.0 * worth)) / (1.0 + z * z / worth)
    half = z * math.sqrt(p * (1.0 - p) / worth + (z / (2.0 * worth)) ** 2) / (1.0 + z * z / worth)
    return max(center - half, 0.0), min(center + half, 1.0)


def permuted(
    p: FloatArray,
    y: FloatArray,
    unit: IntArray,
    n_perm: int,
    alpha: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """(the 1 - alpha quantile of |r| over permutations of the units' claims, the p-value).

    t = sum_u x_u e_u / sqrt(sum_u x_u^2 e_u^2) of the units' mean beliefs and claims, centered; of more
    than `EXACT_UNITS` units both are computed from the normal limit.
    """
    size = np.bincount(unit).astype(np.float64)
    x, e = np.bincount(unit, p) / size, np.bincount(unit, y) / size
    weight = size * (x - float(p.mean()))
    scale = p.size * float(p.std()) * float(y.std())
    x, e = x - x.mean(), e - e.mean()
    # All prompts have one mean belief, or one mean claim: nothing can be permuted.
    if max(float(np.abs(x).max()), 0.0) <= TINY or float(np.abs(e).max()) <= TINY:
        return 0.0, 1.0
    t = abs(float(_studentized(x, e[None, :])[0]))
    if x.size > EXACT_UNITS:
        center = weight - weight.mean()
        spread = math.sqrt(float(center @ center) * float(e @ e) / (x.size - 1)) / scale
        reach = float(stats.norm.ppf(1.0 - alpha / 2.0))
        return reach * spread, 2.0 * float(stats.norm.sf(t))
    hits, chance = 0, np.empty(n_perm)
    step = max(1, CELLS // x.size)
    for start in range(0, n_perm, step):
        drawn = np.tile(e, (min(step, n_perm - start), 1))
        drawn = rng.permuted(drawn, axis=1)
        hits += int((np.abs(_studentized(x, drawn)) >= t * (1.0 - 1e-9)).sum())
        chance[start : start + len(drawn)] = np.abs(drawn @ weight) / scale
    return float(np.quantile(chance, 1.0 - alpha)), (1 + hits) / (1 + n_perm)


def _studentized(x: FloatArray, e: FloatArray) -> FloatArray:
    top, bottom = e @ x, np.sqrt((e * e) @ (x * x))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom > 0.0, top / bottom, 0.0)


def swapped(a: FloatArray, b: FloatArray, n_perm: int, rng: np.random.Generator) -> float | None:
    """p-value of a change of BI: the two models' (n_units, 10) sums swapped in random units."""
    whole_a, whole_b = a.sum(axis=0, keepdims=True), b.sum(axis=0, keepdims=True)
    seen = measures(whole_b)["bi"][0] - measures(whole_a)["bi"][0]
    if math.isnan(seen):
        return None
    hits, step = 0, max(1, CELLS // a.shape[0])
    for start in range(0, n_perm, step):
        swap: BoolArray = rng.random((min(step, n_perm - start), a.shape[0])) < 0.5
        moved = swap.astype(np.float64) @ (b - a)
        change = measures(whole_b - moved)["bi"] - measures(whole_a + moved)["bi"]
        hits += int((np.abs(change) >= abs(seen) - 1e-12).sum())
    return (1 + hits) / (1 + n_perm)
