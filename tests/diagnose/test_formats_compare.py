"""Two sets of prompts: permutation p by exact enumeration, and the noise of like samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from levelhead.diagnose._formats_compare import (
    compare_clusters,
    design_effect,
    retained_interval,
)
from levelhead.diagnose._formats_measures import effective_number

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


def test_splits_of_all_prompts_are_enumerated() -> None:
    rows = np.concatenate([FIRST, SECOND])
    own, hits, count = fall(FIRST.sum(0), SECOND.sum(0)), 0, 0
    for chosen in itertools.combinations(range(10), 5):
        a = rows[list(chosen)].sum(0)
        hits += fall(a, rows.sum(0) - a) >= own - 1e-12
        count += 1
    found = compare_clusters(FIRST, SECOND, paired=False, draws=4000)
    assert found.p_number == pytest.approx(hits / count, abs=0.03)


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
