"""Neutral drift: the published frequencies, its noise by enumeration, and what the test makes of it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom

from levelhead.diagnose.formats._drift import (
    _simulate,  # pyright: ignore[reportPrivateUsage]
    _steadiness,  # pyright: ignore[reportPrivateUsage]
    drift_rate,
    drift_test,
    neutral_drift,
)
from levelhead.errors import InvalidInputError

P0 = np.array([0.5, 0.3, 0.2])


def softmax(logit: np.ndarray) -> np.ndarray:
    e = np.exp(logit - logit.max())
    return e / e.sum()


def a_run(
    rng: np.random.Generator, *, rate: float, pull: float = 0.0, steps: int = 24, n: int = 256
) -> np.ndarray:
    """A run by the obvious loop: one group of 8 a step, the second format pulled up."""
    logit, counts = np.log(P0), np.zeros((steps, 3), np.int64)
    for t in range(steps):
        counts[t] = rng.multinomial(n, softmax(logit))
        k = rng.choice(3, size=8, p=softmax(logit))
        reward = (rng.random(8) < 0.5) * 1.0
        np.add.at(logit, k, rate / 8 * (reward - reward.mean()))
        logit[1] += pull
    return counts


def test_published_drift() -> None:
    end = neutral_drift(P0, runs=600, seed=1)
    won = np.bincount(end.argmax(axis=1), minlength=3) / 600
    # four standard errors of 600 runs, and of the 600 that were published
    assert won == pytest.approx([0.41, 0.34, 0.25], abs=0.11)
    assert won[0] > won[1] > won[2]
    assert (end.max(axis=1) > 0.99).mean() == pytest.approx(0.57, abs=0.11)


def test_noise_of_a_step_by_enumeration() -> None:
    """The covariance of one step's logits is rate^2 (diag(pi) - pi pi'), for a group of 3."""
    p, group, a, eta = np.array([0.6, 0.4]), 3, 0.3, 0.7
    total = np.zeros((2, 2))
    for k in itertools.product((0, 1), repeat=group):
        for r in itertools.product((0, 1), repeat=group):
            chance = np.prod(p[list(k)]) * np.prod([a if x else 1 - a for x in r])
            move = np.zeros(2)
            np.add.at(move, list(k), eta / group * (np.array(r) - np.mean(r)))
            total += chance * np.outer(move, move)
    rate = drift_rate(batch_size=3, group_size=3, learning_rate=eta, accuracy=a)
    assert total == pytest.approx(rate**2 * (np.diag(p) - np.outer(p, p)), abs=1e-12)


def test_nothing_moves_where_rewards_are_equal() -> None:
    assert neutral_drift(P0, accuracy=1.0, runs=3, steps=5) == pytest.approx(np.tile(P0, (3, 1)))
    assert neutral_drift(P0, learning_rate=0, runs=3, steps=5) == pytest.approx(np.tile(P0, (3, 1)))


def test_groups_make_the_step_of_a_batch() -> None:
    """Two groups of 4 move as far as the rate of a batch of 8 says."""
    end = neutral_drift([0.5, 0.5], steps=1, batch_size=8, group_size=4, runs=4000, stop=1.0)
    moved = np.log(end[:, 0] / end[:, 1])  # variance rate^2 (1, -1) S (1, -1)' = rate^2
    rate = drift_rate(batch_size=8, group_size=4, learning_rate=1.5)
    assert moved.std() == pytest.approx(rate, rel=0.06)


def test_selection_beats_drift_and_drift_does_not() -> None:
    rng = np.random.default_rng(0)
    steps = np.arange(40)
    pulled = drift_test(a_run(rng, rate=0.2, pull=0.2, steps=40), steps, runs=400, momentum=0.0)
    assert pulled.calibrated
    assert pulled.p <= 0.05
    drifted = drift_test(a_run(rng, rate=6.0, steps=40), steps, runs=400, momentum=0.0)
    assert drifted.p > 0.05
    assert drifted.rate > pulled.rate


def test_selection_in_few_points_is_found_without_a_rate() -> None:
    """10 runs of 20 points with 64 samples: at least 8 are found."""
    found = 0
    for i in range(10):
        counts = a_run(np.random.default_rng(i), rate=0.5, pull=0.3, steps=20, n=64)
        found += drift_test(counts, np.arange(20) * 10, runs=80, momentum=0.0).p <= 0.05
    assert found >= 8


def test_steadiness_by_hand() -> None:
    """At one point a block; blocks of two need twelve points."""
    share = np.array([0.1, 0.3, 0.2, 0.6, 0.9])
    x = 2 * np.arcsin(np.sqrt(share))
    own, rough = _steadiness(np.stack([1 - share, share], axis=1), np.full(5, 10))
    assert own == pytest.approx((x[4] - x[0]) / math.sqrt(sum((x[1:] - x[:-1]) ** 2)))
    assert rough == pytest.approx(sum((x[1:] - x[:-1]) ** 2) / 4)
    share = np.array([0.1, 0.2, 0.1, 0.3, 0.2, 0.4, 0.3, 0.5, 0.4, 0.6, 0.5, 0.7, 0.6])
    x = 2 * np.arcsin(np.sqrt(share))
    own, _ = _steadiness(np.stack([1 - share, share], axis=1), np.full(13, 10))
    m = np.array([x[:3].mean(), *((x[i] + x[i + 1]) / 2 for i in range(3, 13, 2))])
    assert own == pytest.approx((m[5] - m[0]) / math.sqrt(sum((m[1:] - m[:-1]) ** 2)))


def test_momentum_keeps_the_noise_of_a_long_run() -> None:
    """The variance of a logit over 300 steps is that without momentum; over one it is 1 / 19."""
    start, rates, n = np.full((4000, 2), 0.5), np.full(4000, 0.01), np.array([10**9, 10**9])
    for gap, share in ((300.0, 1.0), (1.0, 1 / 19)):
        rng = np.random.default_rng(0)
        p = _simulate(start, rates, n, np.array([gap]), rng, 0.9, None)[1].astype(float)
        moved = np.log(p[:, 0] / p[:, 1])
        # 0.01^2 (1, -1) S (1, -1)' = 0.01^2 for each step, a little less where p moved
        assert moved.std() == pytest.approx(0.01 * math.sqrt(gap * share), rel=0.07)


def test_steps_put_together_keep_as_much_of_the_noise_as_they_are_long() -> None:
    """Ten steps taken as one: the sum of ten of noise whose correlation falls by 0.9 a step."""
    start, rates, n = np.full((1500, 2), 0.5), np.full(1500, 0.001), np.array([10**9] * 3)
    gaps, rng = np.array([8000.0, 10.0]), np.random.default_rng(0)
    p = _simulate(start, rates, n, gaps, rng, 0.9, None).astype(float)
    moved = np.diff(np.log(p[1:, :, 0] / p[1:, :, 1]), axis=0)[0]
    pairs = sum(0.9 ** abs(i - j) for i in range(10) for j in range(10))
    assert moved.std() == pytest.approx(0.001 * math.sqrt(pairs / 19), rel=0.15)


def test_a_winner_that_fell_was_not_steady() -> None:
    share = np.array([0.9, 0.8, 0.6])
    own, _ = _steadiness(np.stack([1 - share, share], axis=1), np.full(3, 10))
    assert float(own) < -1.0


def test_a_start_of_one_format_stays_one_without_drift() -> None:
    counts = np.array([[8, 0]] + [[99, 1]] * 9)
    assert drift_test(counts, np.arange(10), rate=0.0, runs=400).p > 0.6


def under_momentum(
    runs: int, rate: float, *, points: int, gap: int, seed: int = 0
) -> list[np.ndarray]:
    """Drifting runs by the obvious loop: each step moves by an average of the noise so far."""
    rng = np.random.default_rng(seed)
    logit, moving = np.tile(np.log(P0), (runs, 1)), np.zeros((runs, 3))
    counts = np.zeros((runs, points, 3), np.int64)
    for t in range(points):
        p = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
        counts[:, t] = rng.multinomial(256, p)
        for _ in range(gap):
            p = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
            root = np.sqrt(p) * rng.standard_normal(p.shape)
            moving = 0.9 * moving + 0.1 * rate * (root - p * root.sum(axis=1, keepdims=True))
            logit = logit + moving
    return list(counts)


def test_a_given_rate_keeps_its_level_under_momentum() -> None:
    """Of 160 drifting runs at most 16 have p <= 0.05; were momentum ignored, more would."""
    steps = np.arange(12) * 8
    low = [
        drift_test(counts, steps, rate=1.0, momentum=0.9, runs=60, seed=i).p <= 0.05
        for i, counts in enumerate(under_momentum(160, 1.0, points=12, gap=8))
    ]
    assert sum(low) <= binom.ppf(0.995, 160, 0.05)


def test_noise_of_momentum_is_no_steady_rise() -> None:
    """24 runs under momentum: at most 5 have p <= 0.05; were it not simulated, more would."""
    low = [
        drift_test(counts, np.arange(24), runs=60, momentum=0.9).p <= 0.05
        for counts in under_momentum(24, 1.25, points=24, gap=1)
    ]
    assert sum(low) <= binom.ppf(0.995, 24, 0.05)


def test_false_alarms_are_at_most_the_level() -> None:
    """With a rate, p is at most 0.05 no more often than in 5% of 60 runs: 8 is beyond 99%."""
    rng = np.random.default_rng(3)
    rate = drift_rate(batch_size=8, learning_rate=2.0)
    low = [
        drift_test(a_run(rng, rate=2.0, n=64), np.arange(24), rate=rate, runs=200, seed=i).p
        for i in range(60)
    ]
    assert sum(p <= 0.05 for p in low) <= binom.ppf(0.995, 60, 0.05)
    assert sum(p <= 0.5 for p in low) >= binom.ppf(0.005, 60, 0.5)


def test_a_given_rate_of_zero_is_sampling_noise_alone() -> None:
    rng = np.random.default_rng(5)
    counts = rng.multinomial(200, P0, size=10)
    found = drift_test(counts, np.arange(10), rate=0.0, runs=400)
    assert 0.02 < found.p < 1.0
    assert math.isnan(found.steady)
    assert not found.calibrated
    shares = counts / 200
    inside = (shares >= found.low - 1e-6) & (shares <= found.high + 1e-6)
    assert inside.mean() > 0.85


def test_few_points_bound_no_rate() -> None:
    counts = np.array([[50, 50]] * 7)
    found = drift_test(counts, np.arange(7), runs=400)
    assert math.isnan(found.p)
    assert math.isnan(found.rate)


def test_same_seed_same_test() -> None:
    counts = np.random.default_rng(0).multinomial(60, P0, size=9)
    one, two = (drift_test(counts, np.arange(9), runs=400, seed=4) for _ in (0, 1))
    assert one.p == two.p
    assert np.array_equal(one.low, two.low)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"batch_size": 9}, r"batch_size: expected a multiple of group_size \(at least 2\), got 9"),
        ({"accuracy": 2.0}, r"learning_rate: expected a number >= 0 and an accuracy in \[0, 1\]"),
        ({"learning_rate": -1.0}, r"learning_rate: expected a number >= 0"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, float], text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        neutral_drift(P0, **given)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="batch_size: expected sizes"):
        drift_rate(batch_size=0, learning_rate=1.0)
    with pytest.raises(InvalidInputError, match="start: expected shares >= 0"):
        neutral_drift([-1.0, 2.0])
