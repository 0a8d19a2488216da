"""Neutral drift: what sampling noise alone does to the shares of formats that are equally good.

`neutral_drift` takes each step of a tabular run as it is. `drift_test` asks whether an observed run
lost more diversity than drift explains; the rate of the drift is given, or bounded from how rough
the observed shares are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import ArrayLike, FloatArray, IntArray, real, vector
from levelhead.diagnose._formats_measures import effective_number
from levelhead.errors import InvalidInputError

__all__ = [
    "BETA",
    "MAX_POINTS",
    "MIN_POINTS",
    "DriftTest",
    "drift_rate",
    "drift_test",
    "neutral_drift",
]

BETA = 0.02
"""Part of the false-alarm level that bounding the rate may use up."""

MIN_POINTS = 8
"""Steps with samples from which roughness bounds a rate."""

RATES = np.concatenate(([0.0], np.geomspace(0.1, 60.0, 13)))
"""Rates that are tried, as standard deviations of a logit over the whole run."""

LAST = 3
"""Points at the end that are pooled, as a collapse must last."""

MAX_SUBSTEPS = 800
"""Steps that are simulated; more are put together, with noise of the same size."""
MAX_POINTS = 120
"""Points that are simulated; longer logs are put together."""


@dataclasses.dataclass(frozen=True)
class DriftTest:
    """An observed run against neutral drift.

    Attributes:
        p_number: chance under drift of an effective number as low as at the end, or lower; NaN where
            the rate is neither given nor to be had.
        p_dominant: chance of a dominant share as high.
        rate: the drift rate per step that is hardest to beat among those that the data allow.
        calibrated: whether it came from the roughness of the shares.
        number: (3,) 2.5%, 50% and 97.5% of the effective number at the end under that rate.
        low: (T, F) 2.5% of each share under that rate.
        high: (T, F) 97.5%.
    """

    p_number: float
    p_dominant: float
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
    design_effect: float = 1.0,
    runs: int = 500,
    seed: int = 0,
    tick: Callable[[int], None] | None = None,
) -> DriftTest:
    """Did a run lose more diversity than neutral drift explains?

    Drift is simulated from the start, drawn from what the first samples leave open, with as many
    samples at each point as were seen. Without a `rate`, every rate is tried under which the observed
    shares are not too smooth: second differences over several lags, relative to what the shares
    allow, must not lie below all but a share `BETA` of the simulated ones. The largest p of the
    rates that are left, plus `BETA`, is a valid p (Berger and Boos 1994).

    Args:
        counts: (T, F) formats at each point; every row has samples.
        steps: (T,) ascending steps of the points.
        rate: of the drift per step, as `drift_rate` computes it; None bounds it from the data.
        design_effect: by how much samples of one prompt alike widen the noise of a point, >= 1.
        runs: simulated runs for each rate.
        seed: of every random number.
        tick: called with 1 after each point.

    Returns:
        The test; its p are NaN where there are too few points to bound a rate.

    Properties: valid for any shape of the change; a change within one or two points has little
        power, as drift of a large rate does that too.

    Reference: R. L. Berger and D. D. Boos (1994), P values maximized over a confidence set.
    """
    points, formats = counts.shape
    n = np.maximum(np.rint(counts.sum(axis=1) / design_effect), 1).astype(np.int64)
    gaps = np.diff(steps).astype(np.float64)
    span = max(float(gaps.sum()), 1.0)
    tried = RATES / math.sqrt(span) if rate is None else np.array([rate])
    if points < 2 or (rate is None and points < MIN_POINTS):
        nothing, none = np.full((points, formats), np.nan), math.nan
        return DriftTest(none, none, none, rate is None, np.full(3, none), nothing, nothing)
    rng = np.random.default_rng([seed, 11])
    start = rng.dirichlet((counts[0] / design_effect) + 0.5, size=runs)
    p_seen = _simulate(np.tile(start, (tried.size, 1)), np.repeat(tried, runs), n, gaps, rng, tick)
    p_seen = p_seen.reshape(points, tried.size, runs, formats)
    last = min(LAST, points - 1)
    weights = n[-last:] / n[-last:].sum()
    end = np.tensordot(weights, p_seen[-last:], axes=1)
    total = float(n[-last:].sum())
    own = _own_end(counts, n, last)
    number = effective_number(end * total)
    p_number = _p(number <= effective_number(own * total) + 1e-9)
    p_dominant = _p(end.max(axis=2) >= own.max() - 1e-9)
    allowed = np.ones(tried.size, np.bool_)
    if rate is None:
        allowed = _not_too_smooth(counts / counts.sum(axis=1, keepdims=True), p_seen)
    spent = BETA if rate is None else 0.0
    worst = int(np.flatnonzero(allowed & (p_number >= p_number[allowed].max()))[-1])
    band = np.quantile(p_seen[:, worst], [0.025, 0.975], axis=1)
    return DriftTest(
        min(float(p_number[worst]) + spent, 1.0),
        min(float(p_dominant[allowed].max()) + spent, 1.0),
        float(tried[worst]),
        rate is None,
        np.quantile(number[worst], [0.025, 0.5, 0.975]),
        band[0],
        band[1],
    )


def _own_end(counts: IntArray, n: IntArray, last: int) -> FloatArray:
    """The observed shares at the end, weighted as the simulated ones are."""
    shares = counts[-last:] / counts[-last:].sum(axis=1, keepdims=True)
    return (n[-last:] / n[-last:].sum()) @ shares


def _simulate(
    start: FloatArray,
    rates: FloatArray,
    n: IntArray,
    gaps: FloatArray,
    rng: np.random.Generator,
    tick: Callable[[int], None] | None,
) -> npt.NDArray[Any]:
    """(T, R, F) sampled shares; steps between points are put together where there are many."""
    logit = np.log(np.maximum(start, 1e-300))
    size = gaps.sum() / MAX_SUBSTEPS
    seen = np.empty((n.size, *start.shape), np.float32)
    for t, samples in enumerate(n):
        if t:
            parts = max(1, math.ceil(min(gaps[t - 1], gaps[t - 1] / max(size, 1e-9))))
            step = (rates * math.sqrt(gaps[t - 1] / parts))[:, None]
            for _ in range(parts):
                p = _softmax(logit)
                root = np.sqrt(p) * rng.standard_normal(p.shape)
                logit += step * (root - p * root.sum(axis=1, keepdims=True))
        seen[t] = rng.multinomial(samples, _softmax(logit)) / samples
        if tick is not None:
            tick(1)
    return seen


def _not_too_smooth(own: FloatArray, simulated: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which rates the roughness of the shares leaves open; one beyond the last is kept as well."""
    scales = [h for h in (1, 2, 4, 8) if own.shape[0] // h >= 6]
    allowed = np.ones(simulated.shape[1], np.bool_)
    runs = simulated.shape[2]
    for h in scales:
        below = _roughness(simulated, h) <= _roughness(own[:, None, None, :], h)
        allowed &= (1 + below.sum(axis=1)) / (1 + runs) > BETA / len(scales)
    top = int(np.flatnonzero(allowed).max()) if allowed.any() else allowed.size - 1
    allowed[min(top + 1, allowed.size - 1)] = True
    return allowed


def _roughness(shares: npt.NDArray[Any], h: int) -> npt.NDArray[Any]:
    """Second differences of means over h points, relative to what drift at these shares would do."""
    blocks = shares.shape[0] // h
    means = shares[: blocks * h].reshape(blocks, h, *shares.shape[1:]).mean(axis=1)
    bend = ((means[2:] - 2.0 * means[1:-1] + means[:-2]) ** 2).sum(axis=(0, -1))
    # tr((diag(p) - pp')^3), the expected square of a step of the shares for a rate of 1
    square = (means**2).sum(axis=-1)
    cube, fourth = (means**3).sum(axis=-1), (means**4).sum(axis=-1)
    scope = cube - 3.0 * fourth + 3.0 * square * cube - square**3
    scope = np.maximum(scope[1:-1].sum(axis=0), 0.0)
    return np.where(scope > 1e-6, bend / np.maximum(scope, 1e-6), np.inf)


def _p(at_least: npt.NDArray[np.bool_]) -> FloatArray:
    return (1.0 + at_least.sum(axis=-1)) / (1.0 + at_least.shape[-1])


def _softmax(logit: FloatArray) -> FloatArray:
    e = np.exp(logit - logit.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
