"""Two sets of prompts: permutation p by exact enumeration, and the noise of like samples."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy.stats import binom

from levelhead.diagnose.formats._compare import (
    _number,  # pyright: ignore[reportPrivateUsage]
    compare_clusters,
    design_effect,
    retained_interval,
)
from levelhead.diagnose.formats._measures import effective_number

FIRST = np.array([[2, 0], [1, 1], [0, 2], [1, 1], [2, 1]])
SECOND = np.array([[2, 0], [2, 0], [1, 1], [2, 0], [3, 0]])


def fall(a: np.ndarray, b: np.ndarray) -> float:
    return float(effective_number(a) - effective_number(b))


def differs(a: np.ndarray, b: np.ndarray) -> float:
    both = (a + b) / (a + b).sum()
    return float((((a / a.sum()) - (b / b.sum())) ** 2 / both).sum())


def test_swaps_of_pairs_are_enumerated() -> None:
    own = [f(FIRST.sum(0), SECOND.sum(0)) for f in (differs, fall)]
    hits = np.zeros(2)
    for swap in itertools.product((0, 1), repeat=5):
        w = np.array(swap)[:, None]
        a, b = (np.where(w, SECOND, FIRST).sum(0), np.where(w, FIRST, SECOND).sum(0))
        hits += [f(a, b) >= o - 1e-12 for f, o in zip((differs, fall), own, strict=True)]
    found = compare_clusters(FIRST, SECOND, paired=True, draws=4000)
    assert (found.p_any, found.p_number) == pytest.approx(tuple(hits / 32), abs=0.03)
    assert found.clusters == 5


def test_swaps_of_pairs_with_other_numbers_of_samples_are_enumerated() -> None:
    """Each prompt weighs as the harmonic mean of its samples; one that a set lacks not at all."""
    first = np.array([[2, 0], [1, 3], [0, 1], [4, 1], [2, 2], [5, 0]])
    second = np.array([[8, 1], [9, 1], [2, 6], [3, 0], [1, 9], [0, 0]])
    n, m = first[:5].sum(axis=1), second[:5].sum(axis=1)
    weight = 2 * n * m / (n + m)
    shares = np.array([first[:5] / n[:, None], second[:5] / m[:, None]])
    found: list[tuple[float, float]] = []
    for swap in itertools.product((0, 1), repeat=5):
        sets: list[np.ndarray] = []
        numbers: list[float] = []
        for side in (0, 1):
            which = [side ^ s for s in swap]
            total = weight @ shares[which, range(5)]
            # the noise of a weighted mean of shares is that of so many samples
            like = weight.sum() ** 2 / sum(weight[i] ** 2 / (n, m)[which[i]][i] for i in range(5))
            p = total / total.sum()
            plug_in = -sum(x * np.log(x) for x in p if x > 0)
            numbers.append(float(np.exp(plug_in + ((p > 0).sum() - 1) / (2 * like))))
            sets.append(total)
        both = sets[0] + sets[1]
        found.append((float(((sets[0] - sets[1]) ** 2 / both).sum()), numbers[0] - numbers[1]))
    hits = (np.array(found) >= np.array(found[0]) - 1e-9).mean(axis=0)
    test = compare_clusters(first, second, paired=True, draws=4000)
    assert (test.p_any, test.p_number) == pytest.approx(tuple(hits), abs=0.025)
    assert test.clusters == 5


def test_the_number_of_weighted_sums_is_corrected_for_the_samples_they_are_like() -> None:
    """Weights 2 and 1 of shares from 4 and 8 samples: like 3^2 / (2^2 / 4 + 1 / 8) samples."""
    p = np.array([2.0, 1.0]) / 3
    plug_in = -float((p * np.log(p)).sum())
    found = _number(np.array([[2.0, 1.0, 4 / 4 + 1 / 8], [3.0, 0.0, 1.0]]))
    assert found == pytest.approx([np.exp(plug_in + (4 / 4 + 1 / 8) / (2 * 9)), 1.0])


def spread(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Shares and effective number of a set with their squared errors over prompts, by plain loops."""
    n, prompts = rows.sum(), len(rows)
    share = rows.sum(axis=0) / n
    number = float(effective_number(rows.sum(axis=0)))
    logs = [-np.log(p) if p else 0.0 for p in share]
    height = sum(p * one for p, one in zip(share, logs, strict=True))
    noise, error = np.zeros(share.size), 0.0
    for row in rows:
        noise += (row - row.sum() * share) ** 2
        error += sum((one - height) * k for one, k in zip(logs, row, strict=True)) ** 2
    more = prompts / (prompts - 1)
    half = 0.25 / n**2
    return share, more * noise / n**2 + half, number, number**2 * more * error / n**2 + half


def test_splits_of_all_prompts_are_enumerated() -> None:
    """Of the 210 splits, with a few prompts of few samples against more of many."""
    first, second = FIRST[:4], np.array([[9, 1], [2, 6], [8, 0], [12, 0], [3, 4], [5, 2]])
    rows = np.concatenate([first, second])
    found: list[tuple[float, float]] = []
    for chosen in itertools.combinations(range(10), 4):
        rest = [i for i in range(10) if i not in chosen]
        (p, v, n, e), (q, w, m, f) = spread(rows[list(chosen)]), spread(rows[rest])
        found.append((float(((p - q) ** 2 / (v + w)).sum()), (n - m) / np.sqrt(e + f)))
    hits = (np.array(found) >= np.array(found[0]) - 1e-9).mean(axis=0)  # the observed one is first
    test = compare_clusters(first, second, paired=False, draws=4000)
    assert (test.p_any, test.p_number) == pytest.approx(tuple(hits), abs=0.03)


@pytest.mark.parametrize(
    ("n", "m", "paired", "alike"),
    [(4, 64, True, 1e6), (64, 4, True, 1.0), (64, 4, False, 1e6), (4, 4, True, 1.0)],
)
def test_a_set_with_more_samples_is_no_other_set(
    n: int, m: int, paired: bool, alike: float
) -> None:
    """60 pairs of sets of one model: alarms of either p are no more than 99.9% of such have."""
    rng, alarms = np.random.default_rng(7), np.zeros(2)
    for i in range(60):
        shares = rng.dirichlet(np.array([0.85, 0.1, 0.05]) * alike, 30)
        other = shares if paired else rng.dirichlet(np.array([0.85, 0.1, 0.05]) * alike, 30)
        test = compare_clusters(
            rng.multinomial(n, shares), rng.multinomial(m, other), paired=paired, draws=200, seed=i
        )
        alarms += [test.p_any <= 0.05, test.p_number <= 0.05]
    assert alarms.max() <= binom.ppf(0.999, 60, 0.05)


def test_more_samples_of_some_prompts_are_no_other_set() -> None:
    """The base has more samples of one half of the prompts, the tuned of the other."""
    rng, alarms = np.random.default_rng(7), 0
    size = np.repeat([16, 4], 20)
    kinds = np.repeat([[0.9, 0.1], [0.1, 0.9]], 20, axis=0)
    for i in range(60):
        first, second = rng.multinomial(size, kinds), rng.multinomial(size[::-1], kinds)
        alarms += compare_clusters(first, second, paired=True, draws=200, seed=i).p_any <= 0.05
    assert alarms <= binom.ppf(0.999, 60, 0.05)


def test_a_plain_fall_is_found_whatever_the_sizes() -> None:
    rng = np.random.default_rng(0)
    for n, m, paired in ((4, 32, True), (32, 4, False), (1, 1, False)):
        first = rng.multinomial(np.full(60, n), [0.5, 0.3, 0.2])
        second = rng.multinomial(np.full(60, m), [0.93, 0.05, 0.02])
        found = compare_clusters(first, second, paired=paired)
        assert 0.0 < max(found.p_any, found.p_number) < 0.01


def test_many_single_samples_take_no_time() -> None:
    rows = np.eye(3, dtype=np.int64)[np.random.default_rng(0).choice(3, 100_000)]
    start = time.process_time()
    compare_clusters(rows[:50_000], rows[50_000:], paired=False)
    retained_interval(rows[:50_000], rows[50_000:], paired=True)
    assert time.process_time() - start < 3.0


def test_false_alarms_with_prompts_that_differ() -> None:
    """Each prompt has its own format; 80 pairs of other prompts: at most 10 alarms at 5%."""
    rng = np.random.default_rng(0)
    alarms = 0
    for i in range(80):
        sets = [
            np.array([rng.multinomial(4, p) for p in rng.dirichlet([0.3, 0.2, 0.1], 40)])
            for _ in (0, 1)
        ]
        alarms += compare_clusters(*sets, paired=False, draws=200, seed=i).p_number <= 0.05
    assert alarms <= binom.ppf(0.999, 80, 0.05)


def test_what_is_kept_lies_inside_its_interval() -> None:
    rng = np.random.default_rng(0)
    first, second = (np.array(rng.multinomial(1, p, 400)) for p in ([0.5, 0.5], [0.9, 0.1]))
    low, high = retained_interval(first, second, paired=False)
    kept = (np.exp(-0.9 * np.log(0.9) - 0.1 * np.log(0.1)) - 1) / (2 - 1)
    assert low < kept < high
    assert high - low < 0.25


def test_one_format_at_the_start_has_no_interval() -> None:
    assert all(np.isnan(retained_interval(np.array([[3, 0]]), np.array([[2, 1]]), paired=False)))


def test_prompts_of_one_format_count_once() -> None:
    rng = np.random.default_rng(0)
    formats = np.repeat(rng.integers(0, 2, 400), 8)
    prompts, steps = np.repeat(np.arange(400), 8), np.repeat(np.arange(4), 800)
    assert design_effect(formats, prompts, steps, 2) == pytest.approx(8.0, abs=0.1)


def test_steps_that_differ_are_no_likeness_of_prompts() -> None:
    rng = np.random.default_rng(0)
    steps = np.repeat([0, 1], 1600)
    formats = (rng.random(3200) < np.where(steps == 0, 0.1, 0.9)).astype(np.int64)
    assert design_effect(formats, np.arange(3200) // 8, steps, 2) == pytest.approx(1.0, abs=0.15)


def test_single_samples_have_no_likeness() -> None:
    assert design_effect(np.array([0, 1, 1]), np.arange(3), np.zeros(3, np.int64), 2) == 1.0
