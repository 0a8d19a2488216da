"""Neutral drift: what sampling noise alone does to the shares of formats that are equally good.

`neutral_drift` takes each step of a tabular run as it is. `drift_test` asks whether an observed run
lost more diversity than drift explains. Where the rate of the drift is given, it asks that outright;
where it is not, it asks whether the winner rose more steadily than drift of any rate does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import ArrayLike, FloatArray, IntArray, real, vector
from levelhead.diagnose.formats._measures import effective_number
from levelhead.errors import InvalidInputError

__all__ = [
    "MAX_POINTS",
    "MIN_POINTS",
    "MOMENTUM",
    "DriftTest",
    "drift_rate",
    "drift_test",
    "neutral_drift",
]

MIN_POINTS = 8
"""Steps with samples from which steadiness can be told."""

RATES = np.concatenate(([0.0], np.geomspace(0.1, 60.0, 13)))
"""Rates that are tried, as standard deviations of a logit over the whole run."""

MOMENTUM = 0.9
"""Of the optimizer, per step: what Adam has unless told otherwise."""

LAST = 3
"""Points at the end that are pooled, as a collapse must last."""

SCALES = (1, 2, 4, 8, 16)
"""Points in a block: few where a rise is fast, many where samples are few."""

MIN_BLOCKS = 6
"""Blocks that a scale above 1 needs."""

MAX_SUBSTEPS = 800
"""Steps that are simulated; more are put together, with noise of the same size."""
MAX_POINTS = 120
"""Points that are simulated; longer logs are put together."""


@dataclasses.dataclass(frozen=True)
class DriftTest:
    """An observed run against neutral drift.

    Attributes:
        p: with a given rate, the chance under drift of an effective number as low as at the end, or
            lower; without, the largest chance over all rates of a rise as steady as the winner's. NaN
            where the rate is neither given nor steadiness to be had.
        steady: how steadily the winner rose: its net change relative to the root of its summed
            squared changes, on an arcsine scale; NaN with a given rate.
        steady_null: what drift of no rate exceeds in more than 5% of runs.
        changes: independent changes while the winner rose, as noise that momentum keeps is no new one.
        possible: as many as there would be, were every step logged.
        rate: of the drift per step: that given, or the one whose shares are as rough as those seen.
        calibrated: whether it was found from the data.
        number: (3,) 2.5%, 50% and 97.5% of the effective number at the end under that rate.
        low: (T, F) 2.5% of each share under that rate.
        high: (T, F) 97.5%.
    """

    p: float
    steady: float
    steady_null: float
    changes: float
    possible: float
    rate: float
    calibrated: bool
    number: FloatArray
    low: FloatArray
    high: FloatArray


def neutral_drift(
    start: ArrayLike,
    *,
    steps: int = 1500,
    batch_size: int = 8,
    group_size: int = 8,
    learning_rate: float = 1.5,
    accuracy: float = 0.5,
    runs: int = 600,
    stop: float = 0.99,
    seed: int = 0,
) -> FloatArray:
    """Runs of a softmax policy over formats that are all right equally often.

    Each step samples `batch_size` formats, in groups with a mean baseline, and moves the logits by
    `learning_rate` times the mean of `advantage * (onehot - share)`.

    Args:
        start: (F,) shares.
        steps: steps at most.
        batch_size: samples of a step, a multiple of `group_size`.
        group_size: samples that share a baseline, at least 2.
        learning_rate: of the logits, >= 0.
        accuracy: of every format, in [0, 1].
        runs: how many runs.
        stop: a format with a larger share has won; the run stops there.
        seed: of every random number.

    Returns:
        (runs, F) shares at the end.

    Raises:
        InvalidInputError: a size is out of its range.

    Edge cases: `accuracy` 0 or 1, or a rate of 0, moves nothing.

    Properties: the larger share wins more often, but not in proportion to it: a rare format's
        logit moves too rarely.

    Example:
        >>> won = neutral_drift([0.5, 0.3, 0.2], runs=50).argmax(axis=1)
        >>> len(won)
        50
    """
    p0 = vector("start", start)
    if not p0.size or not np.isfinite(p0).all() or (p0 < 0.0).any() or not p0.sum() > 0.0:
        raise InvalidInputError(f"start: expected shares >= 0 with a sum above 0, got {p0}")
    if group_size < 2 or batch_size < group_size or batch_size % group_size:
        raise InvalidInputError(
            f"batch_size: expected a multiple of group_size (at least 2), got {batch_size} with "
            f"groups of {group_size}"
        )
    rate, right = real("learning_rate", learning_rate), real("accuracy", accuracy)
    if not (rate >= 0.0 and 0.0 <= right <= 1.0):
        raise InvalidInputError(
            f"learning_rate: expected a number >= 0 and an accuracy in [0, 1], got {rate} and {right}"
        )
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore"):
        logit = np.tile(np.log(p0 / p0.sum()), (runs, 1))
    active = np.arange(runs)
    for _ in range(steps):
        p = _softmax(logit[active])
        active = active[p.max(axis=1) <= stop]
        if not active.size:
            break
        p = _softmax(logit[active])[:, None, :]
        n = rng.multinomial(group_size, np.repeat(p, batch_size // group_size, axis=1))
        s = rng.binomial(n, right)
        baseline = s.sum(axis=2, keepdims=True) / group_size
        # The advantages of a group sum to 0, so that the term in the share drops out.
        logit[active] += rate / batch_size * (s - n * baseline).sum(axis=1)
    return _softmax(logit)


def drift_rate(
    *,
    batch_size: int,
    learning_rate: float,
    group_size: int = 8,
    accuracy: float = 0.5,
) -> float:
    """Size of the logit noise of a step: `eta sqrt(a (1 - a) (1 - 1 / G) / N)`.

    Neutral drift moves the logits by noise of covariance `rate^2 (diag(pi) - pi pi')`.

    Args:
        batch_size: N, samples of a step.
        learning_rate: eta, of the logits.
        group_size: G, samples that share a mean baseline.
        accuracy: a, of every format.

    Returns:
        The rate per step.

    Raises:
        InvalidInputError: a size is out of its range.

    Example:
        >>> round(drift_rate(batch_size=8, learning_rate=1.5), 3)
        0.248
    """
    eta, right = real("learning_rate", learning_rate), real("accuracy", accuracy)
    if batch_size < 1 or group_size < 2 or not eta >= 0.0 or not 0.0 <= right <= 1.0:
        raise InvalidInputError(
            "batch_size: expected sizes of at least 1 and 2, a rate >= 0 and an accuracy in [0, 1], "
            f"got {batch_size}, {group_size}, {eta} and {right}"
        )
    return eta * math.sqrt(right * (1.0 - right) * (1.0 - 1.0 / group_size) / batch_size)


def drift_test(
    counts: IntArray,
    steps: IntArray,
    *,
    rate: float | None = None,
    momentum: float = MOMENTUM,
    design_effect: float = 1.0,
    runs: int = 500,
    seed: int = 0,
    tick: Callable[[int], None] | None = None,
) -> DriftTest:
    """Did a run lose more diversity than neutral drift explains?

    Drift is simulated from the start, drawn from what the first samples leave open, with as many
    samples at each point as were seen. With a `rate`, the effective number at the end is compared.
    Without, what is compared is how steadily the winner rose: drift turns back as often as it goes on,
    whatever its rate, so that the net change is about one or two times the root of the summed squared
    changes; selection goes one way. The largest p of all rates is a valid p.

    Args:
        counts: (T, F) formats at each point; every row has samples.
        steps: (T,) ascending steps of the points.
        rate: of the drift per step, as `drift_rate` computes it; None where it is not known.
        momentum: of the optimizer, in [0, 1): successive noise is alike by as much. It averages, as
            Adam does, and leaves the rate over many steps as it is.
        design_effect: by how much samples of one prompt alike widen the noise of a point, >= 1.
        runs: simulated runs for each rate.
        seed: of every random number.
        tick: called with 1 after each point.

    Returns:
        The test; its p is NaN where there are too few points to tell steadiness.

    Properties: valid for every rate up to 60 logits over the run; a change within a few points has no
        power without a rate, as drift of a large rate does that too.
    """
    points, formats = counts.shape
    n = np.maximum(np.rint(counts.sum(axis=1) / design_effect), 1).astype(np.int64)
    gaps = np.diff(steps).astype(np.float64)
    span = max(float(gaps.sum()), 1.0)
    tried = RATES / math.sqrt(span) if rate is None else np.array([rate])
    if points < 2 or (rate is None and points < MIN_POINTS):
        nothing, none = np.full((points, formats), np.nan), math.nan
        return DriftTest(
            none, none, none, none, none, none, rate is None, np.full(3, none), nothing, nothing
        )
    rng = np.random.default_rng([seed, 11])
    # A format that the first samples lack is as likely as in the whole run, by one sample.
    prior = counts.sum(axis=0) / counts.sum()
    start = rng.dirichlet(counts[0] / design_effect + prior, size=runs)
    seen = _simulate(
        np.tile(start, (tried.size, 1)), np.repeat(tried, runs), n, gaps, rng, momentum, tick
    ).reshape(points, tried.size, runs, formats)  # fmt: skip
    own = counts / counts.sum(axis=1, keepdims=True)
    number, own_number = _end_number(seen, n), _end_number(own, n)
    steady = steady_null = changes = possible = math.nan
    if rate is None:
        found, rough = _steadiness(seen, n)
        (steady, *_), (own_rough, *_) = (x.ravel() for x in _steadiness(own, n))
        p = _p(found >= steady - 1e-9)
        changes, possible = _changes(own[:, int(_end(own, n).argmax())], steps, momentum)
        steady_null = float(np.quantile(found, 0.95, axis=1).max())
        # Large rates are smooth again, as one format alone stays so; the smallest that fits is shown.
        fits = np.maximum.accumulate(np.median(rough, axis=1))
        shown = int(np.searchsorted(fits, min(float(own_rough), float(fits[-1]))))
    else:
        p, shown = _p(number <= own_number + 1e-9), 0
    band = np.quantile(seen[:, shown], [0.025, 0.975], axis=1)
    return DriftTest(
        float(p.max()), float(steady), steady_null, changes, possible, float(tried[shown]), rate is None,
        np.quantile(number[shown], [0.025, 0.5, 0.975]), band[0], band[1],
    )  # fmt: skip


def _end(shares: npt.NDArray[Any], n: IntArray) -> npt.NDArray[Any]:
    """Shares of the last points together."""
    last = min(LAST, n.size - 1)
    return np.tensordot(n[-last:] / n[-last:].sum(), shares[-last:], axes=1)


def _end_number(shares: npt.NDArray[Any], n: IntArray) -> FloatArray:
    return effective_number(_end(shares, n) * float(n[-min(LAST, n.size - 1) :].sum()))


def _simulate(
    start: FloatArray,
    rates: FloatArray,
    n: IntArray,
    gaps: FloatArray,
    rng: np.random.Generator,
    momentum: float,
    tick: Callable[[int], None] | None,
) -> npt.NDArray[Any]:
    """(T, R, F) sampled shares; steps between points are put together where there are many."""
    logit = np.log(np.maximum(start, 1e-300))
    size = gaps.sum() / MAX_SUBSTEPS
    seen = np.empty((n.size, *start.shape), np.float32)
    # The run may have begun before the log did, with noise that goes on.
    moving = rates[:, None] * _noise(logit, rng) * math.sqrt((1.0 - momentum) / (1.0 + momentum))
    for t, samples in enumerate(n):
        if t:
            parts = max(1, math.ceil(min(gaps[t - 1], gaps[t - 1] / max(size, 1e-9))))
            step = (rates * math.sqrt(gaps[t - 1] / parts))[:, None]
            kept = momentum ** (gaps[t - 1] / parts)
            for _ in range(parts):
                moving = kept * moving + (1.0 - kept) * step * _noise(logit, rng)
                logit += moving
        seen[t] = rng.multinomial(samples, _softmax(logit)) / samples
        if tick is not None:
            tick(1)
    return seen


def _noise(logit: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Of covariance diag(pi) - pi pi'."""
    p = _softmax(logit)
    root = np.sqrt(p) * rng.standard_normal(p.shape)
    return root - p * root.sum(axis=1, keepdims=True)


def _steadiness(shares: npt.NDArray[Any], n: IntArray) -> tuple[FloatArray, FloatArray]:
    """How steadily the winner rose, at the scale where that is most; and the mean square of a point.

    `(x_last - x_first) / sqrt(sum (x_b - x_b-1)^2)` over blocks, with `x = 2 arcsin sqrt(share)`, on
    which samples are equally noisy everywhere.
    """
    winner = _end(shares, n).argmax(axis=-1)[None, ..., None]
    share = np.take_along_axis(shares, winner, axis=-1)[..., 0]
    x = 2.0 * np.arcsin(np.sqrt(np.clip(share, 0.0, 1.0)))
    best, rough = np.full(x.shape[1:], -np.inf), np.zeros(x.shape[1:])
    for h in SCALES:
        blocks = x.shape[0] // h
        if h > 1 and blocks < MIN_BLOCKS:
            break
        # Points that fill no block are of the first, where nothing has happened yet.
        first = x.shape[0] - (blocks - 1) * h
        rest = x[first:].reshape(blocks - 1, h, *x.shape[1:]).mean(axis=1)
        means = np.concatenate([x[:first].mean(axis=0)[None], rest])
        square = (np.diff(means, axis=0) ** 2).sum(axis=0)
        rise = means[-1] - means[0]
        best = np.maximum(
            best, np.where(square > 0.0, rise / np.sqrt(np.maximum(square, 1e-12)), 0.0)
        )
        rough = square / (blocks - 1)
    return best, rough


def _changes(share: FloatArray, steps: IntArray, momentum: float) -> tuple[float, float]:
    """Independent changes between a tenth and nine tenths of a share's rise; and at all steps."""
    low, high = share[0] + 0.1 * (share[-1] - share[0]), share[0] + 0.9 * (share[-1] - share[0])
    end = int(np.flatnonzero(share >= min(high, share.max()))[0])
    begin = int(np.flatnonzero(share[: end + 1] <= max(low, share[: end + 1].min()))[-1])
    took = float(steps[end] - steps[begin]) * (1.0 - momentum) / (1.0 + momentum)
    return min(float(end - begin), took), took


def _p(at_least: npt.NDArray[np.bool_]) -> FloatArray:
    return (1.0 + at_least.sum(axis=-1)) / (1.0 + at_least.shape[-1])


def _softmax(logit: FloatArray) -> FloatArray:
    e = np.exp(logit - logit.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
