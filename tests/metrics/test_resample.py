"""The engine draws what a naive loop over rows draws: the same distribution, in every design."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, kstwobign

from levelhead import metrics
from levelhead.errors import InvalidInputError
from levelhead.metrics import resample
from levelhead.metrics._accumulate import BinRule
from levelhead.metrics.batch import parse_metric
from levelhead.metrics.resample import (
    RANK_CELLS,
    CellSums,
    Plan,
    Rows,
    Scatter,
    cluster_codes,
    percentile,
)

NAMES = ("ece", "brier", "auroc", "aurc", "trust", "confidence_on_errors", "accuracy_at_coverage")
FALSE_ALARM = 1e-4
"""Chance that a comparison of two equal distributions fails; the seeds are fixed."""


def fast(c, y, w=None, group=None, *, n_boot=2000, seed=0, names=NAMES):
    rows = Rows.of(c, y, w, group, 0 if group is None else int(group.max()) + 1)
    plan = Plan(rows, [parse_metric(name) for name in names], rule=BinRule())
    rng = np.random.default_rng(seed)
    return plan, np.concatenate([plan.evaluate(counts) for counts in plan.draw(rng, n_boot)])


def naive(c, y, w=None, group=None, *, n_boot=600, seed=1, names=NAMES):
    rng = np.random.default_rng(seed)
    out = np.empty((n_boot, len(names)))
    members = (
        None if group is None else [np.flatnonzero(group == k) for k in range(group.max() + 1)]
    )
    for b in range(n_boot):
        if members is None:
            pick = rng.integers(0, c.size, c.size)
        else:
            pick = np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])
        weights = None if w is None else w[pick]
        out[b] = [getattr(metrics, name)(c[pick], y[pick], weights=weights) for name in names]
    return out


def same_distribution(a, b):
    """The two-sample Kolmogorov-Smirnov distance stays below what chance gives in 1 of 10,000."""
    grid = np.sort(np.concatenate([a, b]))
    at = [np.searchsorted(np.sort(x), grid, side="right") / x.size for x in (a, b)]
    scale = np.sqrt(a.size * b.size / (a.size + b.size))
    return np.abs(at[0] - at[1]).max() * scale < kstwobign.isf(FALSE_ALARM)


def data(n, seed=0):
    rng = np.random.default_rng(seed)
    c = rng.beta(3, 1.5, n)
    return c, (rng.random(n) < c**1.4).astype(float), rng


@pytest.mark.parametrize("design", ["rows", "percent", "weights", "clusters", "percent clusters"])
def test_equal_in_distribution_to_the_naive_loop(design):
    c, y, rng = data(300)
    c = np.round(c, 2) if "percent" in design else c
    w = rng.integers(1, 4, 300) * 0.5 if design == "weights" else None
    group = rng.integers(0, 40, 300) if "clusters" in design else None
    _, quick = fast(c, y, w, group)
    slow = naive(c, y, w, group)
    for i, name in enumerate(NAMES):
        assert same_distribution(quick[:, i], slow[:, i]), name


def test_many_rows_of_distinct_confidences_are_resampled_in_cells():
    c, y, _ = data(30_000)
    names = ("ece", "brier", "auroc", "trust", "nll", "accuracy")
    plan, quick = fast(c, y, names=names)
    assert plan.coarse
    slow = naive(c, y, n_boot=300, names=names)
    for i, name in enumerate(names):
        assert same_distribution(quick[:, i], slow[:, i]), name
        assert np.std(quick[:, i]) == pytest.approx(np.std(slow[:, i]), rel=0.15)


def test_cells_keep_the_sums_and_nearly_all_of_the_variance():
    c, y, _ = data(30_000)
    names = ("ece", "brier", "trust", "accuracy", "auroc")
    specs = [parse_metric(name) for name in names]
    rows = Rows.of(c, y, None)
    cells = Plan(rows, specs, rule=BinRule())
    exact = Plan(rows, specs, rule=BinRule(), exact_rows=rows.size)
    assert RANK_CELLS <= cells.n_ranks <= RANK_CELLS + 10
    assert exact.n_ranks == 30_000
    got, want = (plan.evaluate(plan.observed)[0] for plan in (cells, exact))
    np.testing.assert_allclose(got[:4], want[:4], atol=1e-12)
    assert got[4] == pytest.approx(want[4], abs=2e-5)
    brier_terms = y * (1 - c) ** 2 + (1 - y) * c * c
    between = np.bincount(cells.unit, brier_terms[np.argsort(-c)]) ** 2 / np.maximum(cells.times, 1)
    total = (brier_terms**2).sum() - brier_terms.sum() ** 2 / c.size
    kept = (between.sum() - brier_terms.sum() ** 2 / c.size) / total
    assert 1 - 1e-4 < kept <= 1


def test_counts_are_those_of_a_bootstrap():
    c, y, _ = data(50)
    for confidence in (c, np.round(c, 1)):
        plan = Plan(Rows.of(confidence, y, None), [parse_metric("ece")], rule=BinRule())
        counts = np.concatenate(list(plan.draw(np.random.default_rng(0), 4000)))
        assert np.all(counts.sum(axis=1) == 50)
        share = plan.times / 50
        np.testing.assert_allclose(
            counts.mean(axis=0), plan.times, atol=6 * np.sqrt(share.max() / 80)
        )
        want = 50 * share * (1 - share)
        np.testing.assert_allclose(counts.var(axis=0), want, rtol=0.15)


@pytest.mark.parametrize(("n", "draws"), [(50, 2000), (1024, 2000), (20_000, 600)])
def test_quick_counts_are_multinomial(n, draws):
    rng = np.random.default_rng(0)
    scatter = Scatter(n)
    blocks = [scatter.draw(rng, draws // 20) for _ in range(20)]
    counts = np.concatenate(blocks).astype(float)
    assert np.all(counts.sum(axis=1) == n)
    # A unit's count is binomial, also where the looked up chances have no bits left.
    k = np.arange(8)
    got = np.bincount(counts.ravel().astype(int), minlength=9) / counts.size
    got = np.append(got[:8], got[8:].sum())
    want = np.append(binom.pmf(k, n, 1 / n), binom.sf(7, n, 1 / n))
    assert np.all(np.abs(got - want) < 5 * np.sqrt(want / counts.size))
    # The count of a half is binomial with p = 1/2, so that the counts repel as they must.
    half = counts[:, : n // 2].sum(axis=1)
    assert half.mean() == pytest.approx(n // 2, abs=5 * np.sqrt(n / 4 / draws))
    assert half.var() == pytest.approx(n / 4, rel=5 * np.sqrt(2 / draws))
    # Units next to one another, which share random words, are independent but for the total.
    near = np.mean((counts[:, 1:] - 1) * (counts[:, :-1] - 1))
    assert near == pytest.approx(-1 / n, abs=5 / np.sqrt(counts.size))


def test_too_large_a_total_is_drawn_again(monkeypatch):
    monkeypatch.setattr(resample, "MARGIN", 0.0)  # then half of the totals are
    counts = Scatter(1100).draw(np.random.default_rng(0), 400).astype(float)
    assert np.all(counts.sum(axis=1) == 1100)
    assert counts.var() == pytest.approx(1.0, rel=0.02)


def test_sums_over_cells_equal_a_loop(monkeypatch):
    monkeypatch.setattr(resample, "PIECE", 7)
    rng = np.random.default_rng(0)
    unit, columns = rng.integers(0, 12, 60), rng.random((2, 60))
    starts = np.array([0, 1, 14, 30, 59])
    for counts in (rng.integers(0, 5, (3, 12)).astype(np.uint8), rng.random((3, 12))):
        got = CellSums(unit, columns, starts)(counts)
        cells = np.split(np.arange(60), starts[1:])
        for k, b, j in np.ndindex(2, 3, 5):
            want = sum(columns[k, i] * float(counts[b, unit[i]]) for i in cells[j])
            assert got[k, b, j] == pytest.approx(want, rel=1e-12)
    own = CellSums(None, columns, starts)(np.ones((1, 60)))
    np.testing.assert_allclose(own[:, 0], np.add.reduceat(columns, starts, axis=1))


@pytest.mark.parametrize("design", ["clusters", "weights", "weighted clusters"])
def test_rows_added_up_by_cells_are_the_naive_loop(design, monkeypatch):
    monkeypatch.setattr(resample, "ROWS_PER_CELL", 1)
    monkeypatch.setattr(resample, "DENSE", 0)
    c, y, rng = data(3000)
    w = rng.integers(1, 4, 3000) * 0.5 if "weight" in design else None
    group = rng.permutation(np.arange(3000) // 2) if "clusters" in design else None
    specs = [parse_metric(name) for name in NAMES]
    rows = Rows.of(c, y, w, group, 0 if group is None else 1500)
    plan = Plan(rows, specs, rule=BinRule(), exact_rows=1000)
    assert plan.cells is not None
    rng = np.random.default_rng(0)
    quick = np.concatenate([plan.evaluate(counts) for counts in plan.draw(rng, 1000)])
    slow = naive(c, y, w, group, n_boot=300)
    for i, name in enumerate(NAMES):
        assert same_distribution(quick[:, i], slow[:, i]), name
        assert np.std(quick[:, i]) == pytest.approx(np.std(slow[:, i]), rel=0.2)


def test_rows_are_sorted_and_compressed():
    rows = Rows.of(np.array([0.2, 0.9, 0.9, 0.2, 0.9]), np.array([1.0, 0, 1, 1, 1]), None)
    assert rows.confidence.tolist() == [0.9, 0.9, 0.2]
    assert dict(zip(rows.correct[:2], rows.times[:2], strict=True)) == {1.0: 2.0, 0.0: 1.0}
    assert rows.ranks().tolist() == [0, 0, 1]
    third = Rows.of(np.array([1 / 3, 1 / 3, 0.9]), np.array([1.0, 1, 0]), None)
    assert (third.confidence.tolist(), third.times.tolist()) == ([0.9, 1 / 3], [1, 2])


def test_percentile():
    assert percentile(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))
    draws = np.arange(100.0)
    draws[:10] = np.nan
    assert percentile(draws, 0.5)[0] == pytest.approx(10 + 89 * 0.25)
    draws[:11] = np.nan
    assert np.isnan(percentile(draws, 0.5)).all()


def test_cluster_codes_of_any_label():
    assert cluster_codes("clusters", ["b", "a", "b"], 3).tolist() == [0, 1, 0]
    assert cluster_codes("clusters", np.array([7, 3, 7]), 3).tolist() == [1, 0, 1]
    assert len(set(cluster_codes("clusters", ["x" * 10**6, "y", ("t", 1)], 3))) == 3
    assert cluster_codes("clusters", [("a", 1), ("a", 2), ("a", 1)], 3).tolist() == [0, 1, 0]
    with pytest.raises(InvalidInputError, match="clusters: expected shape \\(2,\\), one label"):
        cluster_codes("clusters", ["a"], 2)
