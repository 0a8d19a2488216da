"""Isotonic, histogram and Venn-Abers by hand, against slow loops and scikit-learn."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from levelhead import metrics
from levelhead.calibrators.stepwise import HistogramBinning, IsotonicCalibration, VennAbers
from levelhead.errors import InvalidInputError

EXACT = 1e-12
ROUNDED = 1e-9
LIMIT = 1e-12

GRID = [k / 20 for k in range(21)]
samples = st.lists(
    st.tuples(
        st.sampled_from(GRID),
        st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.5, 0.25]),
        st.integers(0, 3),
    ),
    min_size=2,
    max_size=30,
)


def columns(rows):
    c, y, w = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assume((w * y).any() and (w * (1 - y)).any())
    return c, y, w


# -- isotonic ------------------------------------------------------------------------------------


def test_isotonic_by_hand():
    """Accuracies 0, 1, 1/2, 1 at .1 .2 .3 .4: the middle two pool to 2/3."""
    c, y = [0.1, 0.2, 0.3, 0.3, 0.4], [0, 1, 1, 0, 1]
    at = [0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.375, 0.4, 1.0]
    plain = IsotonicCalibration(prior=0, tie_break=0).fit(c, y)
    low, high = LIMIT, 1 - LIMIT
    linear = [low, low, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3 + 0.75 / 3, high, high]
    assert plain.predict(at) == pytest.approx(linear, abs=ROUNDED)
    step = IsotonicCalibration(interpolation="step", prior=0, tie_break=0).fit(c, y)
    held = [low, low, low, 2 / 3, 2 / 3, 2 / 3, 2 / 3, high, high]
    assert step.predict(at) == pytest.approx(held, abs=EXACT)
    assert plain.predict([0.1])[0] == LIMIT


def test_the_prior_by_hand():
    """Two wrong rows at the bottom get 1 / (2 + 1), three right ones at the top 3 / (3 + 1)."""
    c, y = [0.1, 0.2, 0.7, 0.8, 0.9], [0, 0, 1, 1, 1]
    fitted = IsotonicCalibration(tie_break=0).fit(c, y)
    assert fitted.predict([0.0, 0.2, 0.7, 1.0]) == pytest.approx([1 / 3, 1 / 3, 3 / 4, 3 / 4])
    assert fitted.predict([0.45]) == pytest.approx([(1 / 3 + 3 / 4) / 2])
    weak = IsotonicCalibration(prior=0.1, tie_break=0).fit(c, y)
    assert weak.predict([0.1, 0.9]) == pytest.approx([0.1 / 2.1, 3 / 3.1])
    one = IsotonicCalibration(prior=2, tie_break=0).fit([0.6] * 3, [1, 1, 0])
    assert one.predict([0.0, 0.6, 1.0]) == pytest.approx([4 / 7] * 3)


@settings(deadline=None)
@given(samples, st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_isotonic_matches_sklearn(rows, prior):
    c, y, w = columns(rows)
    fitted = IsotonicCalibration(prior=prior, tie_break=0).fit(c, y, w)
    used = c[w > 0]
    theirs = IsotonicRegression(out_of_bounds="clip").fit(
        np.append(c, [used.min(), used.max()]),
        np.append(y, [1.0, 0.0]),
        sample_weight=np.append(w, [prior, prior]),
    )
    grid = np.linspace(0, 1, 201)
    np.testing.assert_allclose(fitted.predict(grid), theirs.predict(grid), atol=ROUNDED)
    assert (np.diff(fitted.predict(grid)) >= 0).all()
    step = IsotonicCalibration(prior=prior, interpolation="step", tie_break=0).fit(c, y, w)
    np.testing.assert_allclose(step.predict(used), theirs.predict(used), atol=ROUNDED)
    assert np.isin(step.predict(grid), step.value_).all()


@pytest.mark.parametrize("prior", [-1, math.inf, math.nan, 1e7])
@pytest.mark.parametrize("cls", [IsotonicCalibration, HistogramBinning])
def test_a_prior_out_of_range(cls, prior):
    with pytest.raises(
        InvalidInputError, match=r"^prior: expected a number of rows in \[0, 1e6\], got"
    ):
        cls(prior=prior).fit([0.1, 0.9], [0, 1])


def test_steps_that_all_but_touch():
    gap = 5e-324
    fitted = IsotonicCalibration(prior=0, tie_break=0).fit([0.0, gap, 0.5, 0.5], [0, 1, 1, 1])
    assert fitted.predict([0.0, gap, 0.4]) == pytest.approx([LIMIT, 1, 1], abs=EXACT)
    wide = IsotonicCalibration(prior=0, tie_break=0)
    wide.fit([0.1, 0.5, np.nextafter(0.5, 1)], [0, 0, 1])
    assert wide.predict([0.0, 0.1, 0.5, 0.6]) == pytest.approx([0, 0, 0, 1], abs=EXACT)


def test_an_unknown_interpolation():
    with pytest.raises(
        InvalidInputError,
        match="^interpolation: expected one of linear, step, got 'liner'; did you mean 'linear'",
    ):
        IsotonicCalibration(interpolation="liner").fit([0.1, 0.9], [0, 1])


@pytest.mark.parametrize(
    "fitted",
    [IsotonicCalibration(tie_break=0), HistogramBinning(), HistogramBinning(bins="width")],
)
def test_held_out_loss_is_finite(fitted):
    """Few rows, none of the low ones right: plain steps say never, and then it happens."""
    rng = np.random.default_rng(0)
    c = rng.random(60)
    fitted.fit(c, c > 0.4)
    held = rng.random(4000)
    y = (rng.random(4000) < held).astype(float)
    plain = type(fitted)(**{**fitted.get_params(), "prior": 0}).fit(c, c > 0.4)
    assert -fitted.score(held, y) < 1.0
    assert -plain.score(held, y) > 3.0


# -- histogram -----------------------------------------------------------------------------------


def test_bins_of_equal_width_by_hand():
    """Quarters; (1/4, 1/2] and (1/2, 3/4] are empty and lie on the line between 1/4 and 3/4 + ..."""
    c, y = [0.0, 0.25, 0.9, 1.0, 0.8], [0, 0, 1, 1, 1]
    fitted = HistogramBinning(n_bins=4, bins="width").fit(c, y)
    first, last = 1 / 4, 4 / 5
    expected = [first, first, first + (last - first) / 3, last - (last - first) / 3, last]
    assert fitted.predict([0.0, 0.25, 0.5, 0.75, 1.0]) == pytest.approx(expected, abs=EXACT)
    assert fitted.fit_.notes == ("2 of 4 bins have no rows and take their neighbors' line",)
    plain = HistogramBinning(n_bins=4, bins="width", prior=0).fit(c, y)
    assert plain.predict([0.1, 0.99]).tolist() == [LIMIT, 1 - LIMIT]
    inner = HistogramBinning(n_bins=10, bins="width", prior=0).fit([0.45, 0.48], [0, 1])
    assert inner.predict([0.0, 0.5, 1.0]).tolist() == [0.5, 0.5, 0.5]  # constant beyond them


def test_decimal_edges_belong_to_the_bin_that_they_close():
    c = np.array([0.3, 0.31, 0.6, 0.61, 0.7, 0.71])
    y = np.array([1, 0, 1, 0, 1, 0])
    fitted = HistogramBinning(bins="width", prior=0).fit(c, y)
    assert fitted.predict([0.1 + 0.2, 0.3, 0.35]).tolist() == [1 - LIMIT, 1 - LIMIT, LIMIT]


def test_bins_of_equal_mass_by_hand():
    """Three rows a bin; the border lies halfway between 0.3 and 0.5, and belongs below."""
    c, y = [0.1, 0.2, 0.3, 0.5, 0.6, 0.9], [0, 0, 1, 1, 1, 1]
    fitted = HistogramBinning(n_bins=2).fit(c, y)
    assert fitted.edges_.tolist() == [0.4]
    assert fitted.predict([0.0, 0.4, 0.41, 1.0]) == pytest.approx([2 / 5, 2 / 5, 4 / 5, 4 / 5])


def test_ties_are_never_split():
    c, y = [0.5] * 8 + [0.9], [0, 1] * 4 + [1]
    fitted = HistogramBinning(n_bins=4, prior=0).fit(c, y)
    assert fitted.predict([0.5, 0.9]) == pytest.approx([0.5, 1.0], abs=EXACT)
    assert fitted.fit_.notes == ("equal confidences leave 2 of 4 bins of equal mass",)


def slow_mass(c, y, w, n_bins, prior):
    """Accuracy of the mid-rank bin of each row, in a loop over rows."""
    total = w.sum()
    bins = []
    for value in c:
        below, upto = w[c < value].sum(), w[c <= value].sum()
        bins.append(math.ceil(n_bins * (below + upto) / (2 * total) - 1e-9))
    bins = np.array(bins)
    found = []
    for b in bins:
        inside = bins == b
        hits = (w * y)[inside].sum()
        found.append((hits + prior) / (w[inside].sum() + 2 * prior))
    return np.array(found)


def slow_width(c, y, w, n_bins, prior):
    bins = np.array([max(math.ceil(round(value * n_bins, 6)), 1) for value in c])
    found = []
    for b in bins:
        inside = bins == b
        found.append(((w * y)[inside].sum() + prior) / (w[inside].sum() + 2 * prior))
    return np.array(found)


@settings(deadline=None)
@given(samples, st.integers(1, 12), st.sampled_from([0.0, 1.0, 2.5]))
def test_histograms_match_a_loop(rows, n_bins, prior):
    c, y, w = columns(rows)
    used = w > 0
    for bins, slow in (("mass", slow_mass), ("width", slow_width)):
        fitted = HistogramBinning(n_bins=n_bins, bins=bins, prior=prior).fit(c, y, w)
        expected = slow(c[used], y[used], w[used], n_bins, prior)
        np.testing.assert_allclose(
            fitted.predict(c[used]), np.clip(expected, LIMIT, 1 - LIMIT), atol=ROUNDED
        )


@pytest.mark.parametrize("n_bins", [0, -1, 2.5, True, 10**7, None])
def test_a_wrong_number_of_bins(n_bins):
    with pytest.raises(
        InvalidInputError, match="^n_bins: expected a whole number from 1 to 1000000"
    ):
        HistogramBinning(n_bins=n_bins).fit([0.1, 0.9], [0, 1])


def test_unknown_bins():
    with pytest.raises(InvalidInputError, match="^bins: expected one of mass, width, got 'mas'"):
        HistogramBinning(bins="mas").fit([0.1, 0.9], [0, 1])


# -- Venn-Abers ----------------------------------------------------------------------------------


def slow_interval(c, y, w, at):
    """Refit with the new row as wrong, and as right."""
    found = []
    for label in (0.0, 1.0):
        fit = IsotonicRegression().fit(
            np.append(c, at), np.append(y, label), sample_weight=np.append(w, 1.0)
        )
        found.append(fit.predict([at])[0])
    return found


def test_venn_abers_by_hand():
    """Right above wrong; a new row between the two is alone: 0 if wrong, 1 if right."""
    fitted = VennAbers(tie_break=0).fit([0.3, 0.6], [0, 1])
    low, high = fitted.interval([0.1, 0.3, 0.45, 0.6, 0.9])
    assert low == pytest.approx([0, 0, 0, 1 / 2, 1 / 2], abs=EXACT)
    assert high == pytest.approx([1 / 2, 1 / 2, 1, 1, 1], abs=EXACT)
    expected = [1 / 3, 1 / 3, 1 / 2, 2 / 3, 2 / 3]  # p1 / (1 - p0 + p1)
    assert fitted.predict([0.1, 0.3, 0.45, 0.6, 0.9]) == pytest.approx(expected, abs=EXACT)
    apart = VennAbers(tie_break=0.1).fit([0.3, 0.6], [0, 1])
    # a tenth is the point of the interval at c: 0.1 of [0, 1/2], 0.45 of [0, 1], 0.9 of [1/2, 1]
    expected = [0.3 + 0.005, 0.3 + 0.015, 0.45 + 0.045, 0.6 + 0.08, 0.6 + 0.095]
    assert apart.predict([0.1, 0.3, 0.45, 0.6, 0.9]) == pytest.approx(expected, abs=EXACT)
    assert np.array_equal(apart.interval([0.1, 0.3, 0.45, 0.6, 0.9]), [low, high])


@settings(deadline=None, max_examples=40)
@given(samples, st.integers(0, 3))
def test_venn_abers_matches_refits(rows, first):
    c, y, w = columns(rows)
    at = (np.arange(41) / 40)[first::4]
    low, high = VennAbers().fit(c, y, w).interval(at)
    used = w > 0
    slow = np.array([slow_interval(c[used], y[used], w[used], value) for value in at])
    np.testing.assert_allclose(low, slow[:, 0], atol=ROUNDED)
    np.testing.assert_allclose(high, slow[:, 1], atol=ROUNDED)


@pytest.mark.parametrize("weighted", [False, True])
def test_venn_abers_matches_refits_on_many_rows(weighted):
    rng = np.random.default_rng(0)
    c = rng.random(400)
    y = (rng.random(400) < 0.2 + 0.5 * c).astype(float)
    w = rng.exponential(1, 400) if weighted else np.ones(400)
    at = np.concatenate([rng.random(20), c[:10], [0, 1]])
    low, high = VennAbers().fit(c, y, w).interval(at)
    slow = np.array([slow_interval(c, y, w, value) for value in at])
    np.testing.assert_allclose(low, slow[:, 0], atol=1e-6)  # sklearn thins its knots
    np.testing.assert_allclose(high, slow[:, 1], atol=1e-6)


def test_the_right_one_of_the_two_is_calibrated():
    """Each of n + 1 rows in turn is the new one: the fit is always the same, so its mean is theirs."""
    c = np.array([0.1, 0.2, 0.2, 0.5, 0.6, 0.9])
    for y in itertools.product([0, 1], repeat=6):
        y = np.array(y)
        if not 1 < y.sum() < 5:
            continue
        true = []
        for i in range(6):
            rest = np.arange(6) != i
            true.append(VennAbers().fit(c[rest], y[rest]).interval(c[[i]])[y[i]][0])
        assert np.mean(true) == pytest.approx(y.mean(), abs=EXACT)


@settings(deadline=None)
@given(samples)
def test_venn_abers_is_an_interval_that_rises(rows):
    c, y, w = columns(rows)
    fitted = VennAbers().fit(c, y, w)
    grid = np.linspace(0, 1, 201)
    low, high = fitted.interval(grid)
    p = fitted.predict(grid[:, np.newaxis])
    assert (low <= p).all()
    assert (p <= high).all()
    assert ((p > 0) & (p < 1)).all()
    assert all((np.diff(one) >= 0).all() for one in (low, high, p))
    assert fitted.confidence_.size <= np.unique(c).size


def test_the_interval_narrows():
    rng = np.random.default_rng(0)
    c = rng.random(20_000)
    y = (rng.random(c.size) < c**2).astype(float)
    widths = []
    for n in (200, 20_000):
        low, high = VennAbers().fit(c[:n], y[:n]).interval(np.linspace(0.1, 0.9, 9))
        widths.append(np.mean(high - low))
    assert widths[1] < widths[0] / 5
    assert VennAbers().fit(c, y).predict([0.5]) == pytest.approx([0.25], abs=0.05)


# -- ties ----------------------------------------------------------------------------------------

TIE_BREAKERS = [
    IsotonicCalibration,
    lambda **named: IsotonicCalibration(interpolation="step", **named),
    lambda **named: IsotonicCalibration(prior=0, **named),
    VennAbers,
]


def test_a_tie_break_by_hand():
    """Steps 1/3 up to 0.2 and 3/4 from 0.7; a tenth is the confidence."""
    c, y = [0.1, 0.2, 0.7, 0.8, 0.9], [0, 0, 1, 1, 1]
    fitted = IsotonicCalibration(tie_break=0.1).fit(c, y)
    expected = [0.3, 0.3 + 0.02, 0.675 + 0.07, 0.675 + 0.1]
    assert fitted.predict([0.0, 0.2, 0.7, 1.0]) == pytest.approx(expected, abs=EXACT)
    assert IsotonicCalibration().fit(c, y).predict([0.2]) == pytest.approx(0.333 + 0.0002)
    sure = IsotonicCalibration(prior=0).fit(c, y)
    assert sure.predict([0.0, 1.0]).tolist() == [LIMIT, 1 - LIMIT]


@pytest.mark.parametrize("make", TIE_BREAKERS)
@settings(deadline=None, max_examples=40)
@given(rows=samples, share=st.sampled_from([1e-3, 0.1]))
def test_the_order_stays_and_little_else_changes(make, rows, share):
    c, y, w = columns(rows)
    grid = np.linspace(0, 1, 201)
    q = make(tie_break=share).fit(c, y, w).predict(grid)
    m = make(tie_break=0).fit(c, y, w).predict(grid)
    assert (np.diff(q) > 0).all()
    assert (np.abs(q - m) <= share).all()


@pytest.mark.parametrize("make", TIE_BREAKERS)
@pytest.mark.parametrize("digits", [2, 6])
def test_no_ordering_is_lost_on_held_out_rows(make, digits):
    """The fit has too few rows to tell neighbors apart, and the order among them still informs."""
    rng = np.random.default_rng(0)
    c = np.round(rng.beta(4.0, 2.0, 4200), digits)
    y = (rng.random(c.size) < 0.2 + 0.4 * c).astype(float)
    fit, held = np.arange(200), np.arange(200, c.size)
    stated = metrics.auroc(c[held], y[held])
    kept = make().fit(c[fit], y[fit]).predict(c[held])
    assert metrics.auroc(kept, y[held]) == stated
    tied = make(tie_break=0).fit(c[fit], y[fit]).predict(c[held])
    assert metrics.auroc(tied, y[held]) < stated - 5e-4


@pytest.mark.parametrize("cls", [IsotonicCalibration, VennAbers])
@pytest.mark.parametrize("share", [-1e-9, 0.11, math.nan])
def test_a_tie_break_out_of_range(cls, share):
    with pytest.raises(
        InvalidInputError, match=rf"^tie_break: expected a share in \[0, 0.1\], got {share}"
    ):
        cls(tie_break=share).fit([0.1, 0.9], [0, 1])


# -- all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        IsotonicCalibration,
        lambda: IsotonicCalibration(interpolation="step"),
        HistogramBinning,
        lambda: HistogramBinning(bins="width"),
        VennAbers,
    ],
)
@settings(deadline=None, max_examples=40)
@given(rows=samples, seed=st.integers(0, 99))
def test_rows_of_any_kind_and_order(make, rows, seed):
    """Weight k is k rows, a fraction is part of each outcome, order and weight 0 do not matter."""
    c, y, w = columns(rows)
    grid = np.linspace(0, 1, 101)
    fitted = make().fit(c, y, w)
    p = fitted.predict(grid)
    times = w.astype(int)
    order = np.random.default_rng(seed).permutation(c.size)
    halves = np.concatenate([w * y, w * (1 - y)])
    for other in (
        make().fit(np.repeat(c, times), np.repeat(y, times)),
        make().fit(c[order], y[order], w[order]),
        make().fit(np.tile(c, 2), np.repeat([1.0, 0.0], c.size), halves),
    ):
        np.testing.assert_allclose(other.predict(grid), p, atol=ROUNDED)
    back = type(fitted).from_state(
        *json.loads(json.dumps([fitted.get_params(), fitted.state()], allow_nan=False))
    )
    assert np.array_equal(back.predict(grid), p)


@pytest.mark.parametrize(
    ("cls", "change"),
    [
        (IsotonicCalibration, {"value": [0.9, 0.1]}),
        (IsotonicCalibration, {"value": [0.1, 1.0]}),
        (IsotonicCalibration, {"low": [0.8, 0.2]}),
        (IsotonicCalibration, {"high": [0.7, 0.8]}),
        (IsotonicCalibration, {"high": [0.1, 0.8]}),
        (HistogramBinning, {"value": [0.1, 0.2, 0.3]}),
        (HistogramBinning, {"edges": [2.0]}),
        (VennAbers, {"low": [0.5, 0.4, 0.3, 0.2, 0.1]}),
        (VennAbers, {"high": [0.0, 0.0, 0.0, 0.0, 0.0]}),
        (VennAbers, {"low": [0.0, 0.1], "high": [0.5, 0.6]}),
        (VennAbers, {"confidence": [0.8, 0.2]}),
    ],
)
def test_a_state_that_cannot_be(cls, change):
    fitted = cls(**({"n_bins": 2} if cls is HistogramBinning else {})).fit(
        [0.2, 0.3, 0.7, 0.8], [0, 0, 1, 1]
    )
    assert cls.from_state(fitted.get_params(), fitted.state()).predict([0.3]) == fitted.predict(
        [0.3]
    )
    with pytest.raises(InvalidInputError, match=r"^state: expected .* of \w+, got .*fit it again$"):
        cls.from_state(fitted.get_params(), {**fitted.state(), **change})
