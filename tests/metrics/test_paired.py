"""Two models on the same items: exact permutations, closed forms, coverage, what is left out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from levelhead import metrics
from levelhead.errors import InvalidInputError
from levelhead.metrics import paired, resample
from levelhead.metrics._accumulate import BinRule
from levelhead.metrics.batch import parse_metric
from levelhead.metrics.intervals import ece_interval, paired_differences

RANKED = ["ece", "auroc", "aurc", "brier", "trust", "accuracy_at_coverage"]


def two_models(n, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    luck = rng.random(n)
    ca, cb = np.round(rng.beta(4, 1.5, n), 2), np.round(rng.beta(4, 1.5, n), 2)
    return ca, (luck < ca - shift).astype(float), cb, (luck < cb).astype(float)


def test_values_and_difference_are_those_of_the_public_functions():
    ca, ya, cb, yb = two_models(150)
    for named in ({}, {"clusters_a": np.arange(150) // 3, "clusters_b": np.arange(150) // 3}):
        got = paired_differences(ca, ya, cb, yb, RANKED, n_boot=20, n_permutations=20, **named)
        for name, d in got.items():
            function = getattr(metrics, name)
            assert d.value_a == pytest.approx(function(ca, ya), abs=1e-12)
            assert d.value_b == pytest.approx(function(cb, yb), abs=1e-12)
            assert d.difference == d.value_a - d.value_b
            assert d.low < d.high
            assert d.n_clusters == (50 if named else 150)


@pytest.mark.parametrize("way", ["dense", "rows", "cells"])
def test_permutation_p_value_against_all_swaps(way, monkeypatch):
    if way != "dense":
        monkeypatch.setattr(resample, "DENSE", 0)
        monkeypatch.setattr(resample, "ROWS_PER_CELL", 0 if way == "cells" else 10**9)
    ca, ya, cb, yb = two_models(8, seed=3, shift=0.4)
    got = paired_differences(ca, ya, cb, yb, RANKED, n_boot=10, n_permutations=20_000)
    for name, d in got.items():
        function = getattr(metrics, name)
        extreme = []
        for swap in itertools.product([False, True], repeat=8):
            swapped = np.array(swap)
            a = function(np.where(swapped, cb, ca), np.where(swapped, yb, ya))
            b = function(np.where(swapped, ca, cb), np.where(swapped, ya, yb))
            if not math.isnan(a - b):
                extreme.append(abs(a - b) >= abs(d.difference) - 1e-12)
        if not math.isnan(d.p_value):
            assert d.p_value == pytest.approx(np.mean(extreme), abs=0.015), name


def test_accuracy_interval_is_that_of_paired_proportions():
    n = 400
    ya = np.repeat([1.0, 1.0, 0.0, 0.0], [200, 90, 40, 70])
    yb = np.repeat([1.0, 0.0, 1.0, 0.0], [200, 90, 40, 70])
    c = np.full(n, 0.7)
    d = paired_differences(c, ya, c, yb, ["accuracy"], n_boot=8000, n_permutations=500)["accuracy"]
    half = 1.96 * math.sqrt((130 - 50**2 / n) / n**2)
    assert d.difference == pytest.approx(50 / 400)
    assert (d.low, d.high) == pytest.approx((0.125 - half, 0.125 + half), abs=0.005)
    assert d.p_value == pytest.approx(1 / 501)


def test_items_are_matched_by_label_with_any_number_of_rows():
    ca, ya, cb, yb = two_models(60)
    items_a = [f"item {i // 2}" for i in range(60)]
    items_b = [f"item {i // 3}" for i in range(60)]
    order = np.random.default_rng(0).permutation(60)
    d = paired_differences(
        ca,
        ya,
        cb[order],
        yb[order],
        ["brier"],
        clusters_a=items_a,
        clusters_b=[items_b[i] for i in order],
        n_boot=50,
        n_permutations=50,
    )["brier"]
    assert d.n_clusters == 20
    assert d.value_a == pytest.approx(metrics.brier(ca[:40], ya[:40]))
    assert d.value_b == pytest.approx(metrics.brier(cb, yb))


def test_a_shared_item_effect_cancels():
    rng = np.random.default_rng(2)
    y = (rng.random(300) < 0.6).astype(float)
    c = np.full(300, 0.7)
    d = paired_differences(c, y, c, y, ["brier", "accuracy", "ece"], n_boot=200, n_permutations=200)
    assert (d["brier"].low, d["brier"].high, d["brier"].p_value) == (0.0, 0.0, 1.0)
    # Correlation 1; what is left is that each interval is longer on one side.
    assert (d["ece"].low, d["ece"].high) == pytest.approx((0.0, 0.0), abs=0.005)


def test_swapping_the_models_mirrors_the_answer():
    ca, ya, cb, yb = two_models(200, shift=0.2)
    there = paired_differences(ca, ya, cb, yb, ["ece", "auroc"], seed=1)
    back = paired_differences(cb, yb, ca, ya, ["ece", "auroc"], seed=1)
    for name in ("ece", "auroc"):
        assert back[name].difference == -there[name].difference
        assert back[name].low == pytest.approx(-there[name].high, abs=0.01)
        assert back[name].p_value == pytest.approx(there[name].p_value, abs=0.05)


@pytest.mark.parametrize("shift", [0.0, 0.15])
def test_the_ece_difference_covers_near_zero_and_away_from_it(shift):
    rng = np.random.default_rng(8)
    big = rng.beta(5, 1.3, 1_000_000)
    theta = metrics.ece(big, np.maximum(big - shift, 0)) if shift else 0.0
    hits = 0
    for i in range(100):
        prompt = np.repeat(np.arange(100), 4)
        luck = rng.random(100)[prompt]
        ca, cb = rng.beta(5, 1.3, 400), rng.beta(5, 1.3, 400)
        own = np.where(rng.random(400) < 0.5, luck, rng.random(400))
        d = paired_differences(
            ca,
            own < ca - shift,
            cb,
            own < cb,
            ["ece"],
            clusters_a=prompt,
            clusters_b=prompt,
            n_boot=100,
            n_permutations=2,
            seed=i,
        )["ece"]
        hits += d.low <= theta <= d.high
    assert hits >= 88  # 3.3 standard errors below 95 of 100


def test_an_error_near_zero_takes_nothing_from_the_upper_end():
    rng = np.random.default_rng(0)
    ya = rng.permutation(np.repeat([1.0, 0.0], [300, 200]))
    yb = rng.permutation(np.repeat([1.0, 0.0], [335, 165]))  # 0.67 where 0.7 was said: 1.5 sd
    d = paired_differences(np.full(500, 0.9), ya, np.full(500, 0.7), yb, ["ece"])["ece"]
    alone = ece_interval(np.full(500, 0.9), ya)
    assert ece_interval(np.full(500, 0.7), yb).low == 0.0
    assert d.high == pytest.approx(alone.high, abs=0.008)
    assert d.low < alone.low - 0.03


def test_many_rows_of_distinct_confidences():
    rng = np.random.default_rng(0)
    c = rng.random((2, 3000))
    y = (rng.random((2, 3000)) < c).astype(float)
    got = paired_differences(
        c[0], y[0], c[1], y[1], ["auroc", "aurc"], n_boot=100, n_permutations=100
    )
    for name, d in got.items():
        assert d.value_a == pytest.approx(getattr(metrics, name)(c[0], y[0]), abs=1e-12)
        assert d.low < d.difference < d.high


@pytest.mark.parametrize("swapped", [True, False])
def test_adding_up_by_cells_changes_nothing(swapped, monkeypatch):
    monkeypatch.setattr(resample, "DENSE", 0)
    rng = np.random.default_rng(0)
    item = rng.integers(0, 40, (2, 300))
    samples = [
        paired._Sample(np.round(rng.random(300), 1), rng.random(300).round(), rng.random(300), k)
        for k in item
    ]
    specs = [parse_metric(name) for name in RANKED]
    counts = rng.integers(0, 2 if swapped else 4, (6, 40)).astype(np.uint8)
    answers = []
    for least in (0, 10**9):
        monkeypatch.setattr(resample, "ROWS_PER_CELL", least)
        pair = paired._Pair(*samples, 40, specs, BinRule())
        assert (pair.cells is None) == (least > 0)
        answers.append(pair._evaluate(counts, swapped=swapped))
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-11)


def test_bootstrapped_differences_of_cells_spread_as_a_loop_does(monkeypatch):
    monkeypatch.setattr(resample, "DENSE", 0)
    monkeypatch.setattr(resample, "ROWS_PER_CELL", 0)
    ca, ya, cb, yb = two_models(1200, shift=0.1)
    d = paired_differences(ca, ya, cb, yb, ["auroc", "brier"], n_boot=2000, n_permutations=2)
    rng = np.random.default_rng(1)
    for name in ("auroc", "brier"):
        function, draws = getattr(metrics, name), []
        for _ in range(1000):
            k = rng.integers(0, 1200, 1200)
            draws.append(function(ca[k], ya[k]) - function(cb[k], yb[k]))
        width = np.diff(np.quantile(draws, [0.025, 0.975]))[0]
        assert d[name].high - d[name].low == pytest.approx(width, rel=0.12)


def test_only_ratios_of_weights_matter_however_large():
    ca, ya, cb, yb = two_models(80)
    w = np.random.default_rng(1).random(80)
    w /= w.max()
    few = {"n_boot": 30, "n_permutations": 30}
    want = paired_differences(ca, ya, cb, yb, RANKED, weights_a=w, weights_b=w, **few)
    for factor in (1e308, 1e-170):
        got = paired_differences(
            ca, ya, cb, yb, RANKED, weights_a=w * factor, weights_b=w * factor, **few
        )
        for name in RANKED:
            ends = (want[name].low, want[name].high, want[name].p_value)
            assert (got[name].low, got[name].high, got[name].p_value) == pytest.approx(ends)


def test_undefined_and_alone():
    d = paired_differences([0.5, 0.6], [1, 1], [0.5, 0.6], [1, 0], ["auroc", "brier"])
    assert math.isnan(d["auroc"].difference)
    assert math.isnan(d["auroc"].p_value)
    alone = paired_differences([0.5], [1], [0.7], [1], ["brier", "ece"])
    assert math.isnan(alone["brier"].low)
    assert math.isnan(alone["ece"].high)


def test_errors():
    c, y = [0.5, 0.6], [0, 1]
    for rest, kwargs, message in (
        (([0.5], [1]), {}, "confidence_b: expected 2 values, one for each of confidence_a, got 1"),
        ((c, y), {"clusters_a": [1, 2]}, "clusters_a and clusters_b: expected both or neither"),
        (
            (c, y),
            {"clusters_a": [1, 2], "clusters_b": [3, 4]},
            "expected labels shared with clusters_a",
        ),
        ((c, y), {"clusters_a": [1], "clusters_b": [1, 2]}, "clusters_a: expected shape \\(2,\\)"),
        ((c, y), {"seed": -1}, "seed: expected a whole number >= 0, got -1"),
        ((c, y), {"level": 1 - 1e-16}, "level: expected a value further below 1, got 0.99999999"),
        ((c, y), {"n_permutations": 0}, "n_permutations: expected at least 2, got 0"),
        ((c, [0, 2]), {}, "correct_b: expected values in \\[0, 1\\], got 2.0 at index 1"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            paired_differences(c, y, *rest, ["brier"], **kwargs)
    with pytest.raises(InvalidInputError, match="metrics: expected a list of names"):
        paired_differences(c, y, c, y, "brier")
