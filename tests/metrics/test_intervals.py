"""Public intervals: their ends against loops and closed forms, undefined cases, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from levelhead import metrics
from levelhead.errors import InvalidInputError
from levelhead.metrics.intervals import (
    bootstrap,
    ece_interval,
    metric_names,
    paired_differences,
    reliability_intervals,
    trust_curve_intervals,
)


def data(n, seed=0):
    rng = np.random.default_rng(seed)
    c = np.round(rng.beta(3, 1.5, n), 2)
    return c, (rng.random(n) < c).astype(float), rng


def test_accuracy_interval_is_that_of_the_binomial():
    y = np.repeat([1.0, 0.0], [140, 60])
    interval = bootstrap(np.full(200, 0.8), y, ["accuracy"], n_boot=20_000)["accuracy"]
    half = 1.96 * math.sqrt(0.7 * 0.3 / 200)
    assert interval.value == 0.7
    assert (interval.low, interval.high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.006)
    assert (interval.level, interval.method, interval.n_boot) == (
        0.95,
        "percentile bootstrap",
        20_000,
    )


def test_clusters_of_copies_widen_by_the_root_of_their_size():
    c, y, _ = data(250)
    one = bootstrap(c, y, ["brier", "auroc"], n_boot=4000)
    group = np.tile(np.arange(250), 4)
    four = bootstrap(np.tile(c, 4), np.tile(y, 4), ["brier", "auroc"], clusters=group, n_boot=4000)
    loose = bootstrap(np.tile(c, 4), np.tile(y, 4), ["brier", "auroc"], n_boot=4000)
    for name in ("brier", "auroc"):
        width = one[name].high - one[name].low
        assert four[name].high - four[name].low == pytest.approx(width, rel=0.08)
        assert loose[name].high - loose[name].low == pytest.approx(width / 2, rel=0.08)
    assert four["brier"].method == "cluster bootstrap"


def test_callables_take_the_slow_way_to_the_same_place():
    c, y, rng = data(80)
    w = rng.random(80)
    for clusters in (None, rng.integers(0, 30, 80)):
        both = {"fast": "brier", "slow": metrics.brier}
        got = bootstrap(c, y, both, weights=w, clusters=clusters, n_boot=1500)
        assert list(got) == ["fast", "slow"]
        assert got["fast"].value == pytest.approx(got["slow"].value, abs=1e-12)
        assert got["fast"].low == pytest.approx(got["slow"].low, abs=0.01)
        assert got["fast"].high == pytest.approx(got["slow"].high, abs=0.01)


def test_values_are_exact_where_resamples_are_in_cells():
    rng = np.random.default_rng(0)
    c = rng.random(25_000)
    y = (rng.random(25_000) < c).astype(float)
    got = bootstrap(c, y, ["auroc", "aurc", "ece"], n_boot=50)
    for name, interval in got.items():
        assert interval.value == pytest.approx(getattr(metrics, name)(c, y), abs=1e-12)
        if name != "ece":  # whose percentile interval lies above a value near zero
            assert interval.low < interval.value < interval.high


def test_the_same_seed_gives_the_same_interval_in_any_row_order():
    c, y, rng = data(120)
    order = rng.permutation(120)
    first = bootstrap(c, y, metric_names(), n_boot=50, seed=3)
    assert first == bootstrap(c[order], y[order], metric_names(), n_boot=50, seed=3)
    assert first != bootstrap(c, y, metric_names(), n_boot=50, seed=4)


def test_undefined_is_nan():
    all_right = bootstrap([0.5, 0.9, 0.8], [1, 1, 1], ["auroc", "confidence_on_errors", "accuracy"])
    assert math.isnan(all_right["auroc"].value)
    assert math.isnan(all_right["confidence_on_errors"].low)
    assert (all_right["accuracy"].low, all_right["accuracy"].high) == (1.0, 1.0)
    rare = bootstrap([0.5] * 20, [0] + [1] * 19, ["auroc"])["auroc"]  # a third has no error
    assert rare.value == 0.5
    assert math.isnan(rare.low)
    assert math.isnan(rare.high)
    one = bootstrap([0.5, 0.9], [1, 0], ["accuracy"], clusters=["a", "a"])["accuracy"]
    assert one.value == 0.5
    assert math.isnan(one.low)


def test_trust_curve_is_the_bootstrap_of_trust():
    c, y, _ = data(100)
    curve = trust_curve_intervals(c, y, [0.0, 0.5, 0.9], n_boot=100)
    alone = bootstrap(c, y, ["trust@0.0", "trust@0.5", "trust@0.9"], n_boot=100)
    assert curve == list(alone.values())
    assert curve[1].value == pytest.approx(metrics.trust(c, y), abs=1e-12)


def test_wilson_by_hand():
    # Newcombe 1998, table I: 15 of 148 has the Wilson interval 0.0624 to 0.1605.
    low, high = reliability_intervals([0.95] * 148, [1] * 15 + [0] * 133)
    assert (low[0], high[0]) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_reliability_bins_match_the_curve_and_copies_add_nothing():
    c, y, _ = data(300)
    low, high = reliability_intervals(c, y)
    curve = metrics.reliability_curve(c, y)
    assert low.shape == high.shape == curve.accuracy.shape
    assert np.all((low <= curve.accuracy) & (curve.accuracy <= high))
    copies = np.tile(np.arange(300), 3)
    many = reliability_intervals(np.tile(c, 3), np.tile(y, 3), clusters=copies)
    wide = reliability_intervals(np.tile(c, 3), np.tile(y, 3))
    used = curve.weight > 30
    np.testing.assert_allclose((many[1] - many[0])[used], (high - low)[used], rtol=0.05)
    assert np.all(wide[1] - wide[0] < high - low)
    sure = reliability_intervals([0.95] * 30, [1] * 30, clusters=np.arange(30) // 3)
    assert sure[0][0] == pytest.approx(reliability_intervals([0.95] * 10, [1] * 10)[0][0])
    heavy = reliability_intervals([0.95] * 20, [1] * 10 + [0] * 10, weights=[4.0] * 20)
    np.testing.assert_allclose(heavy, reliability_intervals([0.95] * 20, [1] * 10 + [0] * 10))


def test_reliability_clusters_by_hand():
    """The variance of a bin's accuracy from the totals of its clusters, over that of its rows."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 25, 200)
    c, w = rng.choice([0.25, 0.85], 200), rng.integers(1, 5, 200) / 2
    y = ((group % 5 < 3) == (rng.random(200) < 0.85)).astype(float)
    low, high = reliability_intervals(c, y, weights=w, clusters=group)
    for b, value in enumerate((0.25, 0.85)):
        here = np.flatnonzero(c == value)
        rate = np.average(y[here], weights=w[here])
        total = dict.fromkeys(group[here], 0.0)
        for i in here:
            total[group[i]] += w[i] * (y[i] - rate)
        between = sum(t**2 for t in total.values()) * len(total) / (len(total) - 1)
        effect = between / sum((w[i] * (y[i] - rate)) ** 2 for i in here)
        assert effect > 1.5
        n = w[here].sum() ** 2 / (w[here] ** 2).sum() / effect
        z2 = 1.959963984540054**2 / n
        half = math.sqrt(rate * (1 - rate) * z2 + z2**2 / 4)
        assert low[b] == pytest.approx((rate + z2 / 2 - half) / (1 + z2), rel=1e-9)
        assert high[b] == pytest.approx((rate + z2 / 2 + half) / (1 + z2), rel=1e-9)
    none = np.append(0.05, c), np.append(1.0, y)  # a row of no weight in a bin before them
    zero = reliability_intervals(*none, weights=np.append(0, w), clusters=np.append(0, group))
    np.testing.assert_allclose(zero, (low, high))


def test_clusters_of_one_row_are_rows():
    c, y, rng = data(100)
    names = ["ece", "auroc"]
    want = bootstrap(c, y, names, n_boot=50)
    got = bootstrap(c, y, names, clusters=rng.permutation(100), n_boot=50)
    for name in names:
        assert (got[name].low, got[name].high) == (want[name].low, want[name].high)
        assert got[name].method == "cluster bootstrap"


@pytest.mark.parametrize("clustered", [False, True])
def test_only_ratios_of_weights_matter_however_large(clustered):
    c, y, rng = data(60)
    w = rng.random(60)
    w /= w.max()
    named = {"clusters": np.arange(60) // 3} if clustered else {}
    names = [name for name in metric_names() if name not in ("aurc", "e_aurc")]
    want = bootstrap(c, y, names, weights=w, n_boot=40, **named)
    bins = reliability_intervals(c, y, weights=w, **named)
    for factor in (1e308, 1e-170):
        got = bootstrap(c, y, names, weights=w * factor, n_boot=40, **named)
        for name in names:
            ends = (want[name].value, want[name].low, want[name].high)
            assert (got[name].value, got[name].low, got[name].high) == pytest.approx(ends)
        np.testing.assert_allclose(reliability_intervals(c, y, weights=w * factor, **named), bins)


def test_whole_weights_stay_copies_in_aurc():
    c, y, rng = data(40)
    w = rng.integers(1, 5, 40).astype(float)
    got = bootstrap(c, y, ["aurc"], weights=w, n_boot=10)["aurc"]
    repeated = np.repeat(np.arange(40), w.astype(int))
    assert got.value == pytest.approx(metrics.aurc(c[repeated], y[repeated]), abs=1e-12)


def test_errors():
    c, y = [0.5, 0.6], [0, 1]
    for kwargs, message in (
        ({"level": 1.0}, "level: expected a value inside \\(0, 1\\), got 1.0"),
        ({"level": 0.9999999999999999}, "level: expected a value further below 1, got 0.99999999"),
        ({"seed": -1}, "^seed: expected a whole number >= 0, got -1$"),
        ({"seed": None}, "^seed: expected a whole number >= 0, got None$"),
        ({"n_boot": 1}, "n_boot: expected at least 2, got 1"),
        ({"n_bins": 0}, "n_bins: expected 1 to"),
        ({"closed": "both"}, "closed: expected one of left, right"),
        ({"clusters": ["a"]}, "clusters: expected shape \\(2,\\)"),
        ({"weights": [1, -1]}, "weights: expected finite values >= 0, got -1.0 at index 1"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            bootstrap(c, y, ["ece"], **kwargs)
    with pytest.raises(InvalidInputError, match="seed: expected a whole number >= 0, got -1"):
        trust_curve_intervals(c, y, [0.5], seed=-1)
    with pytest.raises(InvalidInputError, match="level: expected a value further below 1"):
        reliability_intervals(c, y, level=0.9999999999999999)
    with pytest.raises(InvalidInputError, match="metrics: expected a list of names, got the text"):
        bootstrap(c, y, "ece")
    with pytest.raises(InvalidInputError, match="metric: expected one of"):
        bootstrap(c, y, ["eec"])


def test_published_predictions(shared_data):
    parquet = pytest.importorskip("pyarrow.parquet")
    models = []
    for name in ("final_grpo", "final_grpo_no_std"):
        files = sorted((shared_data / "crispr" / "predictions" / name).glob("*.pq"))
        if not files:
            pytest.skip("the published predictions of the paper are not there")
        columns = {"answer": [], "hit": [], "prompt": []}
        for file in files:
            table = parquet.read_table(file, columns=list(columns))
            for key, values in columns.items():
                values += table[key].to_pylist()
        rows = []
        for answer, hit, prompt in zip(*columns.values(), strict=True):
            try:
                rows.append((min(max(float(answer), 1.0), 99.0) / 100, float(hit), prompt))
            except (TypeError, ValueError):
                continue
        models.append([list(column) for column in zip(*rows, strict=True)])
    (ca, ya, ga), (cb, yb, gb) = models
    a, b = ece_interval(ca, ya, clusters=ga), ece_interval(cb, yb, clusters=gb)
    assert (a.value, b.value) == pytest.approx((0.292213, 0.035806), abs=1e-6)
    assert 0.25 < a.low < a.value < a.high < 0.34
    assert b.low < b.value
    assert 0.03 < b.high < 0.07
    d = paired_differences(
        ca, ya, cb, yb, ["ece", "auroc", "accuracy"], clusters_a=ga, clusters_b=gb, n_boot=500
    )
    assert d["ece"].n_clusters == 1402
    assert d["ece"].low > 0.2
    assert d["ece"].p_value < 0.002
    assert d["accuracy"].p_value > 0.05
