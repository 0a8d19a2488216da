"""Smooth ECE against the integral written out, closed forms and the reference package."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from levelhead.errors import InvalidInputError
from levelhead.metrics import smooth
from levelhead.metrics.smooth import smooth_curve, smooth_ece

DECLARED = 1e-5  # the accuracy that the docstring promises
CLOSE = 1e-7


def kernel(t, c, sigma):
    """Gaussian around each c, folded back into [0, 1] at both ends: (len(t), len(c))."""
    folds = math.ceil(9 * sigma / 2) + 1
    total = np.zeros((len(t), len(c)))
    for k in range(-folds, folds + 1):
        for image in (c + 2 * k, -c + 2 * k):
            total += np.exp(-0.5 * ((t[:, None] - image[None, :]) / sigma) ** 2)
    return total / (sigma * math.sqrt(2 * math.pi))


def direct(c, y, sigma, w=None, cells=4000):
    """The defining integral: every sample at every point of a midpoint grid."""
    c, y = np.asarray(c, float), np.asarray(y, float)
    w = np.ones(c.size) if w is None else np.asarray(w, float)
    t = (np.arange(cells) + 0.5) / cells
    return float(np.abs(kernel(t, c, sigma) @ (w * (c - y))).mean() / w.sum())


def distance_from_fixed_point(value, c, y):
    """At least |value - fixed point|, since the error falls as the bandwidth rises."""
    return abs(direct(c, y, value) - value)


def sample(n, seed, power=1.3, decimals=None):
    rng = np.random.default_rng(seed)
    c = rng.beta(4, 1.5, n)
    if decimals is not None:
        c = np.round(c, decimals)
    return c, (rng.random(n) < c**power).astype(float)


# -- the value -----------------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [None, 1, 2, 3])
@pytest.mark.parametrize("n", [20, 300])
def test_fixed_point_matches_the_direct_integral(n, decimals):
    for seed in range(3):
        c, y = sample(n, seed, decimals=decimals)
        assert distance_from_fixed_point(smooth_ece(c, y), c, y) <= DECLARED


@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.1, 0.4, 1.5])
def test_a_given_bandwidth_matches_the_direct_integral(sigma):
    c, y = sample(200, 1, power=1.0)
    c[:2], y[:2] = (0.0, 1.0), (1.0, 0.0)
    weights = np.random.default_rng(0).random(200)
    for w in (None, weights):
        ours = smooth_ece(c, y, bandwidth=sigma, weights=w)
        assert ours == pytest.approx(direct(c, y, sigma, w), abs=DECLARED)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("sigma", [0.003, 0.05, 0.3])
def test_a_cosine_residual_decays_as_its_frequency_says(k, sigma):
    """cos(k pi t) is an eigenfunction of the reflected kernel: exp(-(pi k sigma)^2 / 2)."""
    c = (np.arange(4000) + 0.5) / 4000
    y = c + 0.2 * np.cos(k * np.pi * c)
    expected = 0.2 * 2 / np.pi * math.exp(-((math.pi * k * sigma) ** 2) / 2)
    assert smooth_ece(c, y, bandwidth=sigma) == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("amplitude", [0.2, 0.05, 0.01, 0.001])
def test_fixed_point_of_a_cosine_residual(amplitude):
    """Solves a 2 / pi exp(-(pi sigma)^2 / 2) = sigma; the smallest ones need the finer grids."""
    c = (np.arange(30_000) + 0.5) / 30_000
    y = np.clip(c + amplitude * np.cos(np.pi * c), 0, 1)
    expected = optimize.brentq(
        lambda s: amplitude * 2 / math.pi * math.exp(-((math.pi * s) ** 2) / 2) - s,
        0,
        1,
        xtol=1e-12,
    )
    assert smooth_ece(c, y) == pytest.approx(expected, abs=CLOSE)


def test_errors_that_cancel_within_two_cells_of_the_coarsest_grid():
    """Residuals +, -, -, + at three points 1e-4 apart: the fixed point lies near 1e-3."""
    middle = 4800.5 / 16_000
    c = middle + np.array([-1e-4, 0.0, 0.0, 1e-4])
    y = c - np.array([0.25, -0.25, -0.25, 0.25])
    value = smooth_ece(c, y)
    assert 5e-4 < value < 2e-3
    error = direct(c, y, value, cells=200_000)
    assert value == pytest.approx(error, abs=DECLARED / 2)


def test_reference_package():
    """relplot 1.0.3 gives 0.0749290646 with the bandwidth 0.076171875: it searches multiples of
    1/1024 and averages over 200 points. With 20,001 points it gives 0.0747193395 at that bandwidth.
    """
    i = np.arange(5000)
    c = np.sqrt((i + 0.5) / 5000)
    y = ((i * 0.618033988749895) % 1 < c + 0.15 * np.cos(3 * np.pi * c)).astype(float)
    assert smooth_ece(c, y) == pytest.approx(0.0749290646, abs=5e-4)
    assert smooth_ece(c, y, bandwidth=0.076171875) == pytest.approx(0.0747193395, abs=1e-4)


# -- degenerate inputs ---------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.0, 0.3, 0.5, 0.90001, 1.0])
@pytest.mark.parametrize("accuracy", [0.0, 0.908, 1.0])
def test_equal_confidences_give_the_plain_gap(confidence, accuracy):
    """The residual does not change sign, so smoothing keeps its integral, |confidence - accuracy|.

    In particular 0.092 for an accuracy of 0.908 stated with certainty, never 0.
    """
    correct = np.arange(1000) < 1000 * accuracy
    gap = abs(confidence - accuracy)
    assert smooth_ece(np.full(1000, confidence), correct) == pytest.approx(gap, abs=CLOSE)
    assert smooth_ece(np.full(1000, confidence), correct, bandwidth=0.2) == pytest.approx(
        gap, abs=CLOSE
    )


def test_one_sample():
    assert smooth_ece([0.7], [1]) == pytest.approx(0.3, abs=CLOSE)
    assert smooth_ece([1.0], [0]) == pytest.approx(1.0, abs=CLOSE)
    assert smooth_ece([1.0], [1]) == 0.0


def test_perfect_calibration_in_the_sample_gives_0():
    assert smooth_ece([0.0, 1.0, 1.0], [0, 1, 1]) == 0.0
    assert smooth_ece([0.25] * 4 + [0.1] * 10, [1, 0, 0, 0] + [1] + [0] * 9) == pytest.approx(
        0.0, abs=DECLARED
    )


def test_opposite_errors_at_both_ends():
    """Residuals -1 at 0 and 1 at 1, in equal parts."""
    c, y = np.repeat([0.0, 1.0], 50), np.repeat([1.0, 0.0], 50)
    assert distance_from_fixed_point(smooth_ece(c, y), c, y) <= DECLARED


def test_a_fixed_point_that_the_grids_cannot_resolve_is_right_to_the_declared_1e_4():
    c = np.array([0.5, 0.5 + 1e-9])
    assert 0 <= smooth_ece(c, c + np.array([0.4, -0.4])) <= 1e-4


# -- properties ----------------------------------------------------------------------------------

pairs = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]), st.floats(0, 1)),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
).filter(lambda rows: any(row[2] for row in rows))


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_properties(rows):
    c, y, w = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    value = smooth_ece(c, y, weights=w)
    repeated = w.astype(int)
    assert value == pytest.approx(smooth_ece(c.repeat(repeated), y.repeat(repeated)), abs=2e-6)
    assert value == pytest.approx(smooth_ece(c[::-1], y[::-1], weights=3 * w[::-1]), abs=2e-6)
    split = smooth_ece(
        np.tile(c, 2), np.repeat([1.0, 0.0], c.size), weights=np.concatenate([w * y, w * (1 - y)])
    )
    assert value == pytest.approx(split, abs=2e-6)
    gap = abs(np.average(c - y, weights=w))
    assert gap - 1e-4 <= value <= np.average(np.abs(c - y), weights=w) + 1e-9


def test_falls_as_the_bandwidth_rises():
    c, y = sample(300, 4, power=1.0)
    values = [smooth_ece(c, y, bandwidth=s) for s in np.geomspace(2e-4, 2, 40)]
    assert (np.diff(values) <= CLOSE).all()


def test_more_samples_than_one_chunk():
    c, y = sample(smooth.CHUNK + 11, 5, decimals=2)
    cells, code = np.unique(c, return_inverse=True)
    weight, hits = np.bincount(code), np.bincount(code, y)
    merged = smooth_ece(cells, hits / weight, weights=weight)
    assert smooth_ece(c, y) == pytest.approx(merged, abs=CLOSE)


def test_inputs_are_left_alone():
    c, y, w = np.array([0.2, 0.8]), np.array([1.0, 0.0]), np.array([1.0, 2.0])
    smooth_ece(c, y, weights=w)
    smooth_curve(c, y, weights=w)
    assert (c.tolist(), y.tolist(), w.tolist()) == ([0.2, 0.8], [1.0, 0.0], [1.0, 2.0])


# -- the curve -----------------------------------------------------------------------------------


def test_curve_matches_the_direct_formula():
    c, y = sample(80, 2)
    w = np.random.default_rng(1).integers(1, 4, 80).astype(float)
    curve = smooth_curve(c, y, weights=w, points=21)
    k = kernel(np.linspace(0, 1, 21), c, curve.bandwidth)
    density = k @ w / w.sum()
    expected = np.linspace(0, 1, 21) + (k @ (w * (y - c))) / (k @ w)
    np.testing.assert_allclose(curve.confidence, np.linspace(0, 1, 21))
    np.testing.assert_allclose(curve.density, density, atol=1e-3)
    near = density > 1e-3
    np.testing.assert_allclose(curve.accuracy[near], expected[near], atol=1e-3)


def test_distance_of_the_curve_to_the_diagonal_is_the_smooth_ece():
    c, y = sample(400, 3)
    for bandwidth in (None, 0.05):
        curve = smooth_curve(c, y, bandwidth=bandwidth, points=4001)
        gap = np.where(np.isnan(curve.accuracy), 0, np.abs(curve.accuracy - curve.confidence))
        assert np.trapezoid(curve.density, curve.confidence) == pytest.approx(1, abs=1e-5)
        distance = np.trapezoid(gap * curve.density, curve.confidence)
        assert distance == pytest.approx(curve.smooth_ece, abs=DECLARED)
        assert curve.smooth_ece == smooth_ece(c, y, bandwidth=bandwidth)
    assert curve.bandwidth == 0.05


def test_curve_is_undefined_far_from_the_data():
    curve = smooth_curve([0.9] * 20, [1.0] * 19 + [0.0], bandwidth=0.02, points=11)
    assert np.isnan(curve.accuracy[:7]).all()
    assert curve.accuracy[9] == pytest.approx(0.95, abs=CLOSE)
    assert (curve.density >= 0).all()


def test_curve_of_a_perfect_model_is_drawn_at_the_narrowest_bandwidth():
    curve = smooth_curve([1.0, 0.0], [1, 0], points=3)
    assert (curve.bandwidth, curve.smooth_ece) == (1e-4, 0.0)
    assert curve.accuracy[[0, 2]].tolist() == [0.0, 1.0]


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smooth_ece([], []), "confidence: expected at least one value, got none"),
        (
            lambda: smooth_ece([0.5], [1], bandwidth=0.0),
            "bandwidth: expected a finite number of at least 0.0001, got 0.0",
        ),
        (
            lambda: smooth_curve([0.5], [1], bandwidth=math.nan),
            "bandwidth: expected a finite number of at least 0.0001, got nan",
        ),
        (lambda: smooth_curve([0.5], [1], points=1), "points: expected at least 2, got 1"),
        (
            lambda: smooth_ece([0.5], [1], weights=[0.0]),
            "weights: expected at least one value above 0, got only zeros",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(InvalidInputError) as raised:
        call()
    assert str(raised.value) == message
