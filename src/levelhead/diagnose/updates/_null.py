"""What rounding alone does to the density and the overlap of updates."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import root_scalar
from scipy.special import ndtr

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray
from levelhead.diagnose.updates._bits import Bits, Format, format_named, half_gaps, rounded
from levelhead.errors import InvalidInputError

__all__ = [
    "Overlap",
    "OverlapCounts",
    "RoundingNull",
    "Strata",
    "change_probability",
    "matched_null",
    "moves",
    "overlap",
    "rounding_density",
    "strata_of",
]

LARGEST, NARROWEST = 69.0, 5e-4
"""Logarithms: of the largest step that is tried, and within which of the right one the search ends."""

QUANTILES = 10
"""Strata of equal numbers of weights, by size; they are split further where the spacing changes."""

OPEN_P = 0.9
"""A weight is open to a step that changes it at least this often."""


def rounding_density(weights: ArrayLike, step: float, storage: str = "bfloat16") -> float:
    """Share of weights that a dense Gaussian step changes in what is stored.

    Mean over w of Q((d_up - e) / s) + Q((d_down + e) / s): Q is the upper tail of the Gaussian, s the
    step, d_up and d_down half the distance from the stored number to its neighbors, and e how far w
    lies from the stored number (0 where w was read from a file).

    Args:
        weights: (N,) numbers before the step, stored or not.
        step: standard deviation of the independent steps, > 0.
        storage: `bfloat16`, `float16`, `float32` or `float64`.

    Returns:
        The expected density in [0, 1], exact for these weights.

    Raises:
        InvalidInputError: no weights, one that is not finite, a step that is not above 0, or an
            unknown format.

    Edge cases: a weight of 0 has neighbors so near that nearly every step changes it.

    Properties: rises with the step; 1 for a step far above the spacing, 0 far below it.

    Reference: Mukherjee et al. 2025, arXiv:2505.11711 (updates that look sparse); arXiv:2511.08567
    (rounding as the reason).

    Example:
        >>> round(rounding_density([0.02, 0.02, 0.002], 1e-5), 3)
        0.149
    """
    w = np.asarray(weights, dtype=np.float64)
    form = format_named(storage)
    if w.size == 0 or not np.isfinite(w).all():
        raise InvalidInputError("weights: expected finite numbers, got none or one that is not")
    if not 0.0 < step < math.inf:
        raise InvalidInputError(f"step: expected a number above 0, got {step}")
    return float(change_probability(w, step, form).mean())


def change_probability(weights: npt.NDArray[np.floating], step: float, form: Format) -> FloatArray:
    """(N,) how likely a Gaussian step of this size changes each weight as it is stored."""
    away, toward = half_gaps(weights, form)
    return ndtr(-away / step) + ndtr(-toward / step)


@dataclasses.dataclass(frozen=True)
class RoundingNull:
    """What a dense Gaussian step of the same size would show in a tensor.

    Attributes:
        step: standard deviation of that step: it gives the mean absolute change that was seen.
        density: share of the weights that it would change.
        variance: of the difference between a density seen under the null and this one.
        stands_for: how many weights of the tensor each sampled one stands for.
        open_n: sampled weights so small that the step changes them nine times in ten or more; not 0,
            because what masks and padding hold at 0 does not move for another reason.
        open_seen: how many of them changed.
        open_expected: how many would have, on average.
        weights: (m,) absolute sampled weights.
        seen: (m,) whether they changed.
        expected: (m,) how likely the step would have changed them.
    """

    step: float
    density: float
    variance: float
    stands_for: float
    open_n: int
    open_seen: int
    open_expected: float
    weights: FloatArray
    seen: BoolArray
    expected: FloatArray


def moves(weights: FloatArray, noise: FloatArray, step: float, form: Format) -> FloatArray:
    """(m,) how far stored weights move, in absolute terms, when a step times the noise is added and they
    are stored again."""
    return np.abs(rounded(weights + step * noise, form).astype(np.float64) - weights)


def matched_null(
    before: npt.NDArray[np.floating],
    changed: BoolArray,
    mean_change: float,
    n: int,
    form: Format,
    rng: np.random.Generator,
    moves: Callable[[FloatArray, FloatArray, float, Format], FloatArray] = moves,
) -> RoundingNull:
    """The Gaussian step that gives the mean absolute change that was seen, and its density.

    Args:
        before: (m,) a sample of the weights as they are stored.
        changed: (m,) whether they changed.
        mean_change: mean absolute change of all weights, after rounding; > 0.
        n: how many weights those are.
        form: the storage format.
        rng: draws the sample's steps.
        moves: `moves`, or a faster one.
    """
    noise = rng.standard_normal(before.size)
    away, toward = half_gaps(before, form)
    w = before.astype(np.float64)

    def moved(step: float, drawn: FloatArray = noise) -> FloatArray:
        return moves(w, drawn, step, form)

    step = _matching(lambda s: float(moved(s).mean()), mean_change)
    expected, size = ndtr(-away / step) + ndtr(-toward / step), moved(step)
    wide, narrow = moved(step * 1.1), moved(step / 1.1)
    rise = float(wide.mean() - narrow.mean())
    slope = float((wide > 0).mean() - (narrow > 0).mean()) / rise if rise > 0 else 0.0
    # Both the density and the size that the step is matched to are seen with error, on both sides:
    # where a sample's steps change more weights than expected, the mean change is larger as well.
    rest, other = ((x > 0) - slope * x for x in (size, moved(step, np.roll(noise, 1))))
    # Of one weight's steps on both sides; of which weights there are, only as far as they are a sample.
    within = float(np.mean((rest - other) ** 2)) / 2
    between = max(float(rest.var()) - within, 0.0)
    m = before.size
    variance = within * (1 / n + 1 / m) + between * max(1 / m - 1 / n, 0.0)
    # A weight of exactly 0 that stays 0 is held there, by a mask or by padding, and not by rounding.
    small = (expected >= OPEN_P) & (w != 0)
    return RoundingNull(
        step,
        float((size > 0).mean()),
        variance,
        n / m,
        int(small.sum()),
        int(changed[small].sum()),
        float(expected[small].sum()),
        np.abs(w),
        changed,
        expected,
    )


def _matching(mean_of: Callable[[float], float], wanted: float) -> float:
    """The step whose mean change is the wanted one; mean changes rise with the step."""

    @functools.cache  # the ends of the search are asked for again and again
    def excess(log_step: float) -> float:
        # A step that overflows the format has an infinite mean, which no interpolation survives.
        return min(mean_of(math.exp(log_step)) / wanted, 2.0) - 1.0

    low = high = math.log(wanted)
    while excess(high) < 0 and high < LARGEST:
        high += math.log(2.0)
    while excess(low) > 0 and low > -LARGEST:
        low -= math.log(2.0)
    if not excess(low) < 0 < excess(high):
        return math.exp(low if abs(excess(low)) < abs(excess(high)) else high)
    return math.exp(root_scalar(excess, bracket=(low, high), xtol=NARROWEST).root)


@dataclasses.dataclass(frozen=True)
class Overlap:
    """How far two runs changed the same weights.

    Attributes:
        one_sided: share of the weights changed by the first run that the second changed as well (o1);
            None where the first changed none.
        other_sided: the same the other way round (o2).
        jaccard: weights changed by both / by either; None where neither changed any.
        chance: what `one_sided` would be if the second run's changes lay anywhere: its density.
        other_chance: what `other_sided` would be: the first run's density.
        jaccard_chance: d1 d2 / (d1 + d2 - d1 d2).
        matched: what `one_sided` would be if they lay anywhere among weights of like size in the same
            tensor; None where `one_sided` is.
        jaccard_matched: the Jaccard index then.
        z: how many standard deviations the common changes lie above the matched null; None where
            that null leaves no freedom.
        both: weights changed by both runs.
        expected: of these, how many under the matched null.
        sd: their standard deviation under it.
        shared: correlation of the two runs' changes after sizes, rows and columns are taken out, in some
            matrices; None where it was not computed.
        shared_z: standard deviations of it above 0; None likewise.
    """

    one_sided: float | None
    other_sided: float | None
    jaccard: float | None
    chance: float
    other_chance: float
    jaccard_chance: float | None
    matched: float | None
    jaccard_matched: float | None
    z: float | None
    both: int
    expected: float
    sd: float
    shared: float | None = None
    shared_z: float | None = None


@dataclasses.dataclass
class OverlapCounts:
    """Sums over strata from which an overlap follows.

    Attributes:
        n: weights.
        first: changed by the first run.
        second: changed by the second.
        both: changed by both.
        expected: of `both`, the mean when each run's changes are shuffled within each stratum.
        variance: the variance then.
    """

    n: int = 0
    first: int = 0
    second: int = 0
    both: int = 0
    expected: float = 0.0
    variance: float = 0.0

    def add(self, counts: IntArray) -> None:
        """Take (S, 4) in: per stratum, changed by neither, the second, the first, both."""
        c = counts.astype(np.float64)
        n, one, two = c.sum(axis=1), c[:, 2] + c[:, 3], c[:, 1] + c[:, 3]
        kept = n > 0
        n, one, two = n[kept], one[kept], two[kept]
        self.n += int(n.sum())
        self.first += int(one.sum())
        self.second += int(two.sum())
        self.both += int(counts[:, 3].sum())
        self.expected += float((one * two / n).sum())
        spread = one / n * (1 - one / n) * two * (n - two) / np.maximum(n - 1, 1)
        self.variance += float(spread.sum())

    def result(self) -> Overlap:
        """The measures."""
        n, one, two, both = self.n, self.first, self.second, self.both
        d1, d2 = one / n, two / n
        either, sd = one + two - both, math.sqrt(self.variance)
        union = d1 + d2 - d1 * d2
        return Overlap(
            one_sided=both / one if one else None,
            other_sided=both / two if two else None,
            jaccard=both / either if either else None,
            chance=d2,
            other_chance=d1,
            jaccard_chance=d1 * d2 / union if union else None,
            matched=self.expected / one if one else None,
            jaccard_matched=self.expected / (one + two - self.expected) if either else None,
            z=(both - self.expected) / sd if sd > 0 else None,
            both=both,
            expected=self.expected,
            sd=sd,
        )


def overlap(first: ArrayLike, second: ArrayLike, strata: ArrayLike | None = None) -> Overlap:
    """Overlap of two sets of changed weights, with chance and with the null matched by strata.

    o1 = |I1 and I2| / |I1|, o2 = |I1 and I2| / |I2|, Jaccard = |I1 and I2| / |I1 or I2|. Shuffling each
    run's changes within a stratum of n weights, a of them changed by one run and b by the other, makes
    the common ones hypergeometric: mean a b / n, variance a b (n - a)(n - b) / (n^2 (n - 1)). No
    shuffle has to be drawn.

    Args:
        first: (N,) which weights the first run changed.
        second: (N,) which the second changed.
        strata: (N,) whole numbers >= 0, such as the |w| quantile of each weight; one stratum unless
            given.

    Returns:
        The measures, see `Overlap`.

    Raises:
        InvalidInputError: no weights, or arrays of different lengths.

    Edge cases: a run that changed nothing has no overlap: None.

    Properties: swapping the runs swaps `one_sided` and `other_sided`; with one stratum, `matched` is
    `chance`.

    Reference: Mukherjee et al. 2025, arXiv:2505.11711.

    Example:
        >>> found = overlap([True, True, False, False], [True, False, True, False])
        >>> found.one_sided, found.chance, round(found.jaccard, 3), found.z
        (0.5, 0.5, 0.333, 0.0)
    """
    one, two = (np.asarray(x, dtype=bool).reshape(-1) for x in (first, second))
    layer = np.zeros(one.size, np.int64) if strata is None else np.asarray(strata).reshape(-1)
    if one.size == 0 or not one.size == two.size == layer.size:
        raise InvalidInputError(
            f"first, second, strata: expected equal lengths above 0, got {one.size}, {two.size} and "
            f"{layer.size}"
        )
    sums = OverlapCounts()
    sums.add(_counted(one, two, layer.astype(np.int64), int(layer.max()) + 1))
    return sums.result()


def _counted(one: BoolArray, two: BoolArray, stratum: IntArray, size: int) -> IntArray:
    code = stratum << 2
    code += one.astype(np.int64) << 1
    code += two
    return np.bincount(code, minlength=4 * size).reshape(size, 4)


@dataclasses.dataclass(frozen=True)
class Strata:
    """Weights of like size, found by a table from the leading bits of |w|.

    Attributes:
        table: (2^15,) the stratum by the upper 15 bits without the sign.
        shift: bits that are dropped to get there.
        mask: of the bits without the sign.
        size: how many strata there are.
    """

    table: IntArray
    shift: int
    mask: int
    size: int

    def counts(self, bits: Bits, first: BoolArray, second: BoolArray) -> IntArray:
        """(S, 4) per stratum, how many neither, the second, the first, both runs changed."""
        top = (bits & bits.dtype.type(self.mask)) >> bits.dtype.type(self.shift)
        return _counted(first, second, self.table[top], self.size)


def strata_of(sample: Bits, form: Format) -> Strata:
    """Deciles of |w| in a sample, split wherever the spacing of the numbers changes.

    Within a stratum every weight has the same neighbors' distances, so that a step of one size changes
    each of them equally often: independent runs then overlap as the matched null says, exactly.
    """
    width = 8 * np.dtype(form.bits).itemsize
    shift, mask = width - 16, form.sign - 1
    leading = np.sort((sample & sample.dtype.type(mask)) >> sample.dtype.type(shift)).astype(
        np.int64
    )
    ends = leading[np.linspace(0, leading.size - 1, QUANTILES + 1).astype(int)[1:-1]]
    starts = np.zeros(1 << 15, dtype=bool)
    starts[ends] = True
    fraction = form.digits - 1 - shift  # bits of the fraction among the leading ones
    powers = np.arange(0, 1 << 15, 1 << fraction) if fraction > 0 else np.arange(1 << 15)
    starts[powers] = True
    # A power of two has a nearer neighbor below it, so it is a stratum of its own.
    starts[np.minimum(powers + 1, (1 << 15) - 1)] = True
    starts[0] = False
    return Strata(np.cumsum(starts, dtype=np.int64), shift, mask, int(starts.sum()) + 1)
