"""Tests of the ECE family: the binning rule, golden numbers, brute force and published results."""

from __future__ import annotations

import json
import math
import time
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelhead.errors import InvalidInputError
from levelhead.metrics import binned
from levelhead.metrics.binned import (
    bin_index,
    ece,
    ece_l2_debiased,
    mce,
    over_ece,
    reliability_curve,
    under_ece,
)

ROUNDING = 1e-12
PUBLISHED = 1e-12

decimals = st.integers(0, 100).map(lambda k: k / 100)
rows = st.lists(
    st.tuples(
        st.one_of(decimals, st.floats(0.0, 1.0)),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=40,
)
options = st.fixed_dictionaries(
    {
        "n_bins": st.integers(1, 20),
        "bins": st.sampled_from(["width", "mass"]),
        "closed": st.sampled_from(["right", "left"]),
        "edges": st.sampled_from(["decimal", "float"]),
    }
)


def brute_force(
    c: list[float], y: list[float], w: list[float], index: list[int]
) -> list[tuple[float, float]]:
    """(weight, signed gap) of every bin, one sample at a time."""
    out = []
    for b in sorted(set(index)):
        inside = [i for i, k in enumerate(index) if k == b and w[i] > 0]
        mass = sum(w[i] for i in inside)
        if mass:
            conf = sum(w[i] * c[i] for i in inside) / mass
            out.append((mass, conf - sum(w[i] * y[i] for i in inside) / mass))
    return out


class TestBinIndex:
    def test_by_hand(self) -> None:
        values = [0.0, 0.05, 0.1, 0.100001, 0.3, 0.6, 0.7, 0.95, 1.0]
        assert bin_index(values).tolist() == [0, 0, 0, 1, 2, 5, 6, 9, 9]
        assert bin_index(values, closed="left").tolist() == [0, 0, 1, 1, 3, 6, 7, 9, 9]

    @pytest.mark.parametrize("n_bins", range(1, 101))
    def test_every_edge_however_it_was_computed(self, n_bins: int) -> None:
        """k/M as a decimal literal, a quotient, a product, a difference and a grid point."""
        grid, step = np.linspace(0, 1, n_bins + 1), 1 / n_bins
        for k in range(n_bins + 1):
            digits = Decimal(k) / Decimal(n_bins)
            forms = [
                float(f"{digits:.12f}"),
                float(digits),
                k / n_bins,
                min(1.0, k * step),
                max(0.0, 1.0 - (n_bins - k) / n_bins),
                float(grid[k]),
                min(1.0, math.nextafter(k / n_bins, 2.0)),
                max(0.0, math.nextafter(k / n_bins, -1.0)),
            ]
            right, left = max(k - 1, 0), min(k, n_bins - 1)
            assert set(bin_index(forms, n_bins).tolist()) == {right}
            assert set(bin_index(forms, n_bins, closed="left").tolist()) == {left}

    @pytest.mark.parametrize("n_bins", [3, 7, 10, 15, 20, 64, 100])
    def test_every_decimal_of_three_digits_is_binned_as_the_number_it_names(
        self, n_bins: int
    ) -> None:
        named = [Decimal(k) / 1000 for k in range(1001)]
        up = [int((d * n_bins).to_integral_value(ROUND_CEILING)) - 1 for d in named]
        down = [int((d * n_bins).to_integral_value(ROUND_FLOOR)) for d in named]
        values = [float(d) for d in named]
        assert bin_index(values, n_bins).tolist() == [max(k, 0) for k in up]
        expected = [min(k, n_bins - 1) for k in down]
        assert bin_index(values, n_bins, closed="left").tolist() == expected

    def test_values_beyond_the_tolerance_belong_to_their_side(self) -> None:
        assert bin_index([0.3 + 1e-9, 0.3 + 1e-11]).tolist() == [3, 2]
        assert bin_index([0.3 - 1e-9, 0.3 - 1e-11], closed="left").tolist() == [2, 3]

    @given(st.lists(st.one_of(decimals, st.floats(0.0, 1.0)), min_size=1), st.integers(1, 50))
    def test_float_edges_are_those_of_digitize(self, values: list[float], n_bins: int) -> None:
        grid = np.linspace(0, 1, n_bins + 1)
        left = np.clip(np.digitize(values, grid) - 1, 0, n_bins - 1)
        right = np.clip(np.digitize(values, grid, right=True) - 1, 0, n_bins - 1)
        mine = bin_index(values, n_bins, closed="left", edges="float")
        assert mine.tolist() == left.tolist()
        assert bin_index(values, n_bins, edges="float").tolist() == right.tolist()

    def test_where_float_edges_and_decimals_part(self) -> None:
        percent = [k / 100 for k in range(101)]
        right = bin_index(percent) != bin_index(percent, edges="float")
        assert not right.any()
        left = bin_index(percent, closed="left") != bin_index(percent, closed="left", edges="float")
        assert np.flatnonzero(left).tolist() == [30, 60, 70]

    def test_errors(self) -> None:
        with pytest.raises(InvalidInputError, match=r"got 87\.0 at index 1; percentages must be"):
            bin_index([0.5, 87.0])
        with pytest.raises(InvalidInputError, match=r"^n_bins: expected 1 to 1000000, got -3$"):
            bin_index([0.5], -3)


class TestEce:
    def test_by_hand(self) -> None:
        # Bin (.8, .9]: conf .9, acc 1/2, 2 of 4. Bin (.5, .6]: conf .55, acc 1/2, 2 of 4.
        c, y = [0.9, 0.9, 0.6, 0.5001], [1, 0, 1, 0]
        assert ece(c, y) == pytest.approx((0.8 + abs(1.1001 - 1)) / 4, abs=ROUNDING)
        assert mce(c, y) == pytest.approx(0.4, abs=ROUNDING)
        expected = math.sqrt((0.4**2 + 0.05005**2) / 2)
        assert ece(c, y, norm="l2") == pytest.approx(expected, abs=ROUNDING)
        assert ece(c, y, norm="max") == mce(c, y)

    def test_one_is_in_the_last_bin_and_zero_in_the_first(self) -> None:
        assert ece([1.0, 0.95], [0, 1]) == pytest.approx(0.475, abs=ROUNDING)
        assert ece([0.0, 0.05], [1, 0]) == pytest.approx(0.475, abs=ROUNDING)

    @given(rows, options, st.booleans())
    def test_equals_brute_force(
        self, data: list[tuple[float, float, int]], choice: dict[str, object], weighted: bool
    ) -> None:
        c, y, w = (list(map(float, v)) for v in zip(*data, strict=True))
        if weighted and not any(w):
            return
        weights = w if weighted else None
        used = w if weighted else [1.0] * len(c)
        if choice["bins"] == "mass":
            index = mass_by_hand(c, used, int(str(choice["n_bins"])))
        else:
            index = bin_index(
                c,
                int(str(choice["n_bins"])),
                closed=str(choice["closed"]),
                edges=str(choice["edges"]),
            ).tolist()
        bins = brute_force(c, y, used, index)
        total = sum(m for m, _ in bins)
        l1 = sum(m * abs(g) for m, g in bins) / total
        l2 = math.sqrt(sum(m * g * g for m, g in bins) / total)
        top = max(abs(g) for _, g in bins)
        o = dict(choice, weights=weights)
        assert ece(c, y, **o) == pytest.approx(l1, abs=ROUNDING)
        assert ece(c, y, norm="l2", **o) == pytest.approx(l2, abs=1e-8)
        assert mce(c, y, **o) == pytest.approx(top, abs=ROUNDING)
        over, under = over_ece(c, y, **o), under_ece(c, y, **o)
        assert over == pytest.approx(sum(m * max(g, 0) for m, g in bins) / total, abs=ROUNDING)
        assert over + under == pytest.approx(l1, abs=ROUNDING)
        bias = sum(a * (b - d) for a, b, d in zip(used, c, y, strict=True)) / total
        assert over - under == pytest.approx(bias, abs=ROUNDING)
        curve = reliability_curve(c, y, **o)
        gap = curve.confidence - curve.accuracy
        np.testing.assert_allclose(curve.weight, [m for m, _ in bins])
        np.testing.assert_allclose(gap, [g for _, g in bins], atol=ROUNDING)
        assert (np.diff(curve.confidence) > 0).all()
        assert (curve.low <= curve.confidence + 1e-9).all()
        assert (curve.confidence <= curve.high + 1e-9).all()

    @given(rows, options, st.randoms(use_true_random=False))
    def test_order_and_repetition_do_not_matter(
        self, data: list[tuple[float, float, int]], choice: dict[str, object], random: object
    ) -> None:
        c, y, w = (np.array(v, dtype=float) for v in zip(*data, strict=True))
        i = np.array(sorted(range(len(c)), key=lambda _: random.random()))  # type: ignore[attr-defined]
        for metric in (ece, mce, over_ece, under_ece):
            value = metric(c, y, **choice)
            assert metric(c[i], y[i], **choice) == pytest.approx(value, abs=ROUNDING)
            thrice = metric(np.repeat(c, 3), np.repeat(y, 3), **choice)
            assert thrice == pytest.approx(value, abs=ROUNDING)
            assert 0.0 <= value <= 1.0
            if w.any():
                k = np.repeat(np.arange(c.size), w.astype(int))
                repeated = metric(c[k], y[k], **choice)
                assert metric(c, y, weights=w, **choice) == pytest.approx(repeated, abs=ROUNDING)

    def test_inputs_stay_as_they_are(self) -> None:
        c, y, w = np.array([0.2, 0.9]), np.array([1.0, 0.0]), np.array([1.0, 2.0])
        for a in (c, y, w):
            a.setflags(write=False)
        for metric in (ece, mce, over_ece, under_ece, ece_l2_debiased):
            metric(c, y, weights=w)
            metric(c, y, weights=w, bins="mass")

    def test_min_weight_bars_thin_bins(self) -> None:
        c, y = [0.95] * 10 + [0.05], [1] * 10 + [1]
        assert mce(c, y) == pytest.approx(0.95)
        assert mce(c, y, min_weight=10) == pytest.approx(0.05)
        assert math.isnan(mce(c, y, min_weight=11))

    def test_errors(self) -> None:
        with pytest.raises(
            InvalidInputError, match=r"^confidence: expected at least one value, got"
        ):
            ece([], [])
        with pytest.raises(
            InvalidInputError, match=r"^norm: expected one of l1, l2, max, got 'L1'"
        ):
            ece([0.5], [1], norm="L1")
        with pytest.raises(
            InvalidInputError, match=r"^bins: expected one of mass, width, got 'mas'"
        ):
            ece([0.5], [1], bins="mas")
        with pytest.raises(InvalidInputError, match=r"^closed: expected one of left, right"):
            ece([0.5], [1], closed="both")
        with pytest.raises(InvalidInputError, match=r"^confidence: expected numbers, got list"):
            ece(["high"], [1])
        with pytest.raises(InvalidInputError, match=r"^weights: expected at least one value above"):
            ece([0.5], [1], weights=[0.0])


def mass_by_hand(c: list[float], w: list[float], n_bins: int) -> list[int]:
    """Mid-rank of every sample in exact arithmetic, straight from the definition."""
    total = Fraction(sum(map(Fraction, w)))
    out = []
    for v in c:
        below = sum(Fraction(b) for a, b in zip(c, w, strict=True) if a < v)
        upto = sum(Fraction(b) for a, b in zip(c, w, strict=True) if a <= v)
        out.append(max(0, math.ceil(n_bins * (below + upto) / (2 * total)) - 1))
    return out


class TestDebiased:
    def test_by_hand(self) -> None:
        # Two bins of four: gaps .9 - .75 and .3 - .5; chance .75 * .25 / 3 and .5 * .5 / 3.
        c, y = [0.9] * 4 + [0.3] * 4, [1, 1, 1, 0, 1, 1, 0, 0]
        square = ((0.15**2 - 0.1875 / 3) + (0.2**2 - 0.25 / 3)) / 2
        assert square < 0
        assert ece_l2_debiased(c, y) == 0.0
        c = [1.0] * 4 + [0.0] * 4
        square = ((0.25**2 - 0.1875 / 3) + (0.5**2 - 0.25 / 3)) / 2
        assert ece_l2_debiased(c, y) == pytest.approx(math.sqrt(square), abs=ROUNDING)

    def test_the_square_has_no_bias(self) -> None:
        """The mean over all 2^8 outcomes of the squared estimate, kept signed by a wide gap."""
        c = np.repeat([0.95, 0.05], 4)
        p = np.repeat([0.4, 0.55], 4)
        mean = 0.0
        for bits in range(256):
            y = np.array([bits >> i & 1 for i in range(8)], dtype=float)
            chance = float(np.prod(np.where(y == 1, p, 1 - p)))
            signed = sum(
                0.5 * ((c[b].mean() - y[b].mean()) ** 2 - y[b].mean() * (1 - y[b].mean()) / 3)
                for b in (slice(0, 4), slice(4, 8))
            )
            mean += chance * signed
            assert ece_l2_debiased(c, y) == pytest.approx(math.sqrt(max(0.0, signed)), abs=1e-9)
        assert mean == pytest.approx((0.55**2 + 0.5**2) / 2, abs=ROUNDING)

    def test_single_samples_count_nothing(self) -> None:
        assert ece_l2_debiased([0.95], [0]) == 0.0
        two = ece_l2_debiased([0.95, 0.95, 0.15], [0, 0, 1])
        assert two == pytest.approx(math.sqrt(2 / 3) * 0.95, abs=ROUNDING)

    def test_equal_weights_change_nothing(self) -> None:
        rng = np.random.default_rng(0)
        c = rng.random(100)
        y = rng.random(100) < 0.5
        for bins in ("width", "mass"):
            weighted = ece_l2_debiased(c, y, bins=bins, weights=np.full(100, 7.0))
            assert weighted == pytest.approx(ece_l2_debiased(c, y, bins=bins), abs=1e-9)


class TestReliabilityCurve:
    @pytest.mark.parametrize("n_bins", [5, 10, 15])
    def test_equals_scikit_learn_off_the_edges(self, n_bins: int) -> None:
        calibration = pytest.importorskip("sklearn.calibration")
        rng = np.random.default_rng(n_bins)
        c = rng.random(500)
        y = (rng.random(500) < c).astype(int)
        accuracy, confidence = calibration.calibration_curve(y, c, n_bins=n_bins)
        curve = reliability_curve(c, y, n_bins=n_bins)
        np.testing.assert_allclose(curve.accuracy, accuracy, atol=ROUNDING)
        np.testing.assert_allclose(curve.confidence, confidence, atol=ROUNDING)
        assert curve.weight.sum() == 500

    def test_edges(self) -> None:
        curve = reliability_curve([0.05, 0.95, 0.2], [0, 1, 1], n_bins=4)
        assert curve.low.tolist() == [0.0, 0.75]
        assert curve.high.tolist() == [0.25, 1.0]
        mass = reliability_curve([0.3, 0.1, 0.1, 0.7], [0, 1, 1, 0], n_bins=2, bins="mass")
        assert (mass.low.tolist(), mass.high.tolist()) == ([0.1, 0.3], [0.1, 0.7])


def test_the_table_names_its_functions() -> None:
    for row in binned.TABLE:
        assert getattr(binned, row.name) is row.function
        value = row.function([0.9, 0.2, 0.9], [1, 0, 0], weights=[1, 2, 3])
        assert row.low <= value <= row.high


class TestPublished:
    @staticmethod
    def digitized_ece(correct: np.ndarray, confidence: np.ndarray) -> float:
        """RLCR's definition: left-closed bins on the floats of linspace, the ends open."""
        grid = np.linspace(0, 1, 11)
        place = np.digitize(confidence, [-np.inf, *grid[1:-1], np.inf]) - 1
        total = 0.0
        for b in np.unique(place):
            here = place == b
            total += here.mean() * abs(confidence[here].mean() - correct[here].mean())
        return total

    @given(st.lists(st.tuples(decimals, st.booleans()), min_size=1))
    def test_float_edges_reproduce_digitize_on_every_percentage(
        self, data: list[tuple[float, bool]]
    ) -> None:
        c, y = (np.array(v, dtype=float) for v in zip(*data, strict=True))
        mine = ece(c, y, closed="left", edges="float")
        assert mine == pytest.approx(self.digitized_ece(y, c), abs=PUBLISHED)

    def test_decimal_edges_would_not_reproduce_it(self) -> None:
        # 0.3 and 0.2 share a bin of linspace's floats, where their gaps cancel.
        c, y = np.array([0.3, 0.2]), np.array([0.0, 0.5])
        assert ece(c, y, closed="left", edges="float") == pytest.approx(0.0, abs=ROUNDING)
        assert self.digitized_ece(y, c) == pytest.approx(0.0, abs=ROUNDING)
        assert ece(c, y, closed="left") == pytest.approx(0.3)

    def test_rlcr_evaluation(self, shared_data: Path) -> None:
        folder = shared_data / "rlcr" / "commonsenseqa"
        with pa.memory_map(str(folder / "data-00000-of-00001.arrow")) as source:
            table = pa.ipc.open_stream(source).read_all()
        metrics = json.loads((folder / "metrics.json").read_text())
        assert len(metrics) == 5
        for arm, published in metrics.items():
            c = table[f"{arm}-confidence_levels"].combine_chunks().flatten().to_numpy()
            y = table[f"{arm}-evals"].combine_chunks().flatten().to_numpy()
            mine = ece(c, y, closed="left", edges="float")
            assert mine == pytest.approx(published["ece"], abs=PUBLISHED)
        base = table["Base-confidence_levels"].combine_chunks().flatten().to_numpy()
        y = table["Base-evals"].combine_chunks().flatten().to_numpy()
        assert round(ece(base, y, closed="left", edges="float"), 4) == 0.0037
        assert round(ece(base, y), 4) == 0.0252
        assert round(ece(base, y, closed="left", edges="float", n_bins=15), 4) == 0.0252

    @pytest.mark.parametrize(
        ("model", "n", "expected"),
        [("final_grpo", 5607, 0.292213), ("final_grpo_no_std", 5608, 0.035806)],
    )
    def test_uncalibrated_reasoning(
        self, shared_data: Path, model: str, n: int, expected: float
    ) -> None:
        confidence, outcome = [], []
        for path in sorted((shared_data / "crispr" / "predictions" / model).glob("*.pq")):
            table = pq.read_table(path, columns=["answer", "hit"])
            for answer, hit in zip(*(table[k].to_pylist() for k in ("answer", "hit")), strict=True):
                try:
                    percent = float(answer)
                except (TypeError, ValueError):
                    continue
                confidence.append(min(max(percent, 1.0), 99.0) / 100)
                outcome.append(float(hit))
        assert len(confidence) == n
        for edges in ("decimal", "float"):
            assert round(ece(confidence, outcome, edges=edges), 6) == expected


def test_a_million_pairs_in_a_fraction_of_a_second() -> None:
    """A coarse alarm; the benchmark against a compiled pass is where the target is measured."""
    rng = np.random.default_rng(0)
    c, y = rng.random(1_000_000), np.ones(1_000_000)
    ece(c, y)
    cost = []
    for _ in range(5):
        start = time.process_time()
        ece(c, y)
        cost.append(time.process_time() - start)
    assert min(cost) < 0.05
