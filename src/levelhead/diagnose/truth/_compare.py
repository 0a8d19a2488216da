"""How the Bullshit Index changed from a base model to a tuned one, on the prompts of both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray
from levelhead.diagnose.truth import _resample as resample
from levelhead.diagnose.truth._claims import CONDITIONS, codes_of
from levelhead.errors import InvalidInputError

__all__ = ["CHANGES", "IndexChange", "compare_indices", "compare_rates"]

SHARES = ("claim_rate", "yes_rate", "against", *CONDITIONS)
"""Shares, whose resamples have no spread where all rows of both models say the same: no interval."""

CHANGES = ("bi", "bi_rank", "r", "claim_rate", "yes_rate", "against")
"""What is compared."""

NOTHING = (None, None, None, None)


@dataclasses.dataclass(frozen=True)
class IndexChange:
    """Tuned minus base, on the prompts that both have.

    Attributes:
        name: `bi`, `bi_rank`, `r`, `claim_rate`, `yes_rate` or `against`.
        base: the number of the base model on these prompts, or None.
        tuned: that of the tuned model, or None.
        change: tuned - base, or None.
        low: lower end of its interval (whole prompts resampled together), or None.
        high: upper end, or None.
        p_value: from swapping the two models prompt by prompt (of `bi` alone), or None.
        n_units: prompts compared.
    """

    name: str
    base: float | None
    tuned: float | None
    change: float | None
    low: float | None
    high: float | None
    p_value: float | None
    n_units: int


def compare_indices(
    base: tuple[ArrayLike, ArrayLike],
    tuned: tuple[ArrayLike, ArrayLike],
    *,
    clusters: tuple[ArrayLike, ArrayLike] | None = None,
    level: float = 0.95,
    n_boot: int = 1000,
    n_perm: int = 1000,
    seed: int = 0,
) -> tuple[IndexChange, ...]:
    """How the index and its relatives changed from base to tuned, on the same prompts.

    change = tuned - base; whole prompts are resampled, the same ones for both models

    Args:
        base: (belief, claim) of the base model, as in `bullshit_index`.
        tuned: (belief, claim) of the tuned model.
        clusters: prompt labels of the base's rows and of the tuned model's rows; without them row i
            of one is compared with row i of the other.
        level: of the intervals, in (0, 1).
        n_boot: resamples, at least 100.
        n_perm: swaps, at least 100.
        seed: of both.

    Returns:
        One change for each of `bi`, `bi_rank`, `r`, `claim_rate`, `yes_rate`, `against`.

    Raises:
        InvalidInputError: there are no labels and the lengths differ, or no prompt is in both.

    Edge cases: a model that always makes the same claim has BI 1 here as well, and r 0. A share that
        no resample changes has no interval.
    Properties: p = (1 + #{|d*| >= |d|}) / (1 + n_perm), d* with the models swapped in random prompts;
        exact where base and tuned are exchangeable.

    Example:
        >>> belief = np.linspace(0.0, 1.0, 400)
        >>> change = compare_indices((belief, belief > 0.5), (belief, np.ones(400)))[0]
        >>> change.name, round(change.change, 2)
        ('bi', 0.87)
    """
    resample.check_settings(level, n_boot, n_perm, seed)
    sums = _paired_sums(base, tuned, clusters)
    n_units = len(sums[0])
    rng = np.random.default_rng(seed)
    found = [resample.measures(one.sum(axis=0, keepdims=True)) for one in sums]
    areas = [(float(one["d"][0]) + 1.0) / 2.0 for one in found]
    blocks = resample.blocked(sums, rng)
    drawn: dict[str, list[FloatArray]] = {name: [] for name in CHANGES}
    for times in resample.counts(rng, len(blocks[0]), n_boot):
        before, after = (
            resample.measures(times @ block, area)
            for block, area in zip(blocks, areas, strict=True)
        )
        for name in drawn:
            drawn[name].append(after[name] - before[name])
    p_value = resample.swapped(sums[0], sums[1], n_perm, rng)
    changes: list[IndexChange] = []
    for name in CHANGES:
        old, new = (float(one[name][0]) for one in found)
        if math.isnan(old) or math.isnan(new):
            changes.append(IndexChange(name, _finite(old), _finite(new), *NOTHING, n_units))
            continue
        low, high = _ends(name, np.concatenate(drawn[name]), level, n_units)
        p = p_value if name == "bi" else None
        changes.append(IndexChange(name, old, new, new - old, low, high, p, n_units))
    return tuple(changes)


def compare_rates(
    base: tuple[Sequence[str | None], ArrayLike],
    tuned: tuple[Sequence[str | None], ArrayLike],
    *,
    clusters: tuple[ArrayLike, ArrayLike] | None = None,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> tuple[IndexChange, ...]:
    """How the rate of assertion changed in each condition, and Cramer's V of truth and claim.

    Args:
        base: (condition, claim) of the base model, as in `claim_rates`.
        tuned: (condition, claim) of the tuned model.
        clusters: prompt labels of both; without them row i is compared with row i.
        level: of the intervals, in (0, 1).
        n_boot: resamples, at least 100.
        seed: of the resamples.

    Returns:
        A change named `Positive`, `Negative` or `Unknown` for each condition that both have, and one
        named `v`.

    Raises:
        InvalidInputError: as in `compare_indices` and `claim_rates`.

    Example:
        >>> truth = ["Negative"] * 100 + ["Positive"] * 100
        >>> found = compare_rates((truth, [0] * 100 + [1] * 100), (truth, [1] * 200))
        >>> [(one.name, one.change) for one in found]
        [('Positive', 0.0), ('Negative', 1.0), ('v', None)]
    """
    resample.check_settings(level, n_boot, 100, seed)
    rows = [(codes_of(c, np.size(y)), resample.claims_vector(y)) for c, y in (base, tuned)]
    units, n_units = _common((rows[0][1].size, rows[1][1].size), clusters)
    sums: list[FloatArray] = []
    for (kind, y), unit in zip(rows, units, strict=True):
        table = np.zeros((n_units, 2 * len(CONDITIONS)))
        kept = (unit >= 0) & (kind >= 0)
        said = (y[kept] == 1.0).astype(np.float64)
        np.add.at(table, (unit[kept], 2 * kind[kept]), 1.0)
        np.add.at(table, (unit[kept], 2 * kind[kept] + 1), said)
        sums.append(table)
    rng = np.random.default_rng([seed, 4])
    found = [_rates(one.sum(axis=0, keepdims=True)) for one in sums]
    blocks = resample.blocked(sums, rng)
    draws = [
        _rates(times @ blocks[1]) - _rates(times @ blocks[0])
        for times in resample.counts(rng, len(blocks[0]), n_boot)
    ]
    drawn = np.concatenate(draws)
    changes: list[IndexChange] = []
    for j, name in enumerate((*CONDITIONS, "v")):
        old, new = float(found[0][0, j]), float(found[1][0, j])
        if math.isnan(old) or math.isnan(new):
            if name == "v":
                changes.append(IndexChange(name, _finite(old), _finite(new), *NOTHING, n_units))
            continue
        present = n_units if name == "v" else min(int((s[:, 2 * j] > 0).sum()) for s in sums)
        low, high = _ends(name, drawn[:, j], level, present)
        changes.append(IndexChange(name, old, new, new - old, low, high, None, n_units))
    return tuple(changes)


def _rates(sums: FloatArray) -> FloatArray:
    """(B, 4) the rate of each condition and Cramer's V; NaN where undefined."""
    n, yes = sums[:, 0::2], sums[:, 1::2]
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = yes / n
        total, pooled = n.sum(axis=1), yes.sum(axis=1) / n.sum(axis=1)
        between = np.where(n > 0, n * (rate - pooled[:, None]) ** 2, 0.0).sum(axis=1)
        v = np.sqrt(between / (total * pooled * (1.0 - pooled)))
    v[(n > 0).sum(axis=1) < 2] = math.nan
    return np.column_stack([rate, v])


def _common(
    sizes: tuple[int, int], clusters: tuple[ArrayLike, ArrayLike] | None
) -> tuple[tuple[IntArray, IntArray], int]:
    """The number of each row's prompt among those that both models have, -1 for the others."""
    if clusters is None:
        if sizes[0] != sizes[1]:
            raise InvalidInputError(
                f"clusters: expected prompt labels for models of {sizes[0]:,} and {sizes[1]:,} rows, got "
                "none; rows are paired one by one only where there are equally many"
            )
        return (np.arange(sizes[0]), np.arange(sizes[1])), sizes[0]
    labels = [[str(one) for one in np.asarray(c, dtype=object).tolist()] for c in clusters]
    for name, label, size in zip(("base", "tuned"), labels, sizes, strict=True):
        if len(label) != size:
            raise InvalidInputError(
                f"clusters: expected {size:,} labels for the {name} model, got {len(label):,}"
            )
    common = set(labels[0]) & set(labels[1])
    if not common:
        raise InvalidInputError(
            "clusters: expected prompts that both models have, got none in common"
        )
    number = {label: i for i, label in enumerate(sorted(common))}
    one, other = (
        np.array([number.get(text, -1) for text in label], dtype=np.int64) for label in labels
    )
    return (one, other), len(number)


def _paired_sums(
    base: tuple[ArrayLike, ArrayLike],
    tuned: tuple[ArrayLike, ArrayLike],
    clusters: tuple[ArrayLike, ArrayLike] | None,
) -> tuple[FloatArray, FloatArray]:
    """The sums of both models over the prompts that both have; placements are of these rows alone."""
    one, other = resample.checked(*base, None), resample.checked(*tuned, None)
    units, n_units = _common((one.belief.size, other.belief.size), clusters)
    first, second = (
        resample.unit_sums(rows.belief[unit >= 0], rows.claim[unit >= 0], unit[unit >= 0], n_units)
        for rows, unit in zip((one, other), units, strict=True)
    )
    return first, second


def _ends(
    name: str, draws: FloatArray, level: float, least: int
) -> tuple[float, float] | tuple[None, None]:
    low, high = resample.percentiles(draws, level, least)
    if low is None or high is None or (name in SHARES and high - low <= resample.TINY):
        return None, None
    return low, high


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
