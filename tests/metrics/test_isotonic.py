"""Isotonic fit and CORP decomposition against scikit-learn, scipy and hand computation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression
from sklearn.isotonic import IsotonicRegression

from levelhead.errors import InvalidInputError
from levelhead.metrics.isotonic import by_confidence, corp_decomposition, isotonic_fit

EXACT = 1e-12

rows = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0]), st.floats(0, 1)),
        st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.5, 0.25]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=30,
).filter(lambda rows: any(row[2] for row in rows))


def columns(rows):
    return (np.array(column, dtype=float) for column in zip(*rows, strict=True))


def at_samples(fit, c):
    """The fitted value at each confidence of the sample."""
    return fit.accuracy[np.searchsorted(fit.low, c, side="right") - 1]


def score(c, y, w):
    return np.average(y * (1 - c) ** 2 + (1 - y) * c**2, weights=w)


# -- the fit -------------------------------------------------------------------------------------


def test_by_hand():
    """Means at .1 .2 .3 .4 are 0, 1, 1/2, 1: the middle two are out of order, with mean 2/3."""
    fit = isotonic_fit([0.4, 0.1, 0.2, 0.3, 0.3], [1, 0, 1, 1, 0])
    assert fit.low.tolist() == [0.1, 0.2, 0.4]
    assert fit.high.tolist() == [0.1, 0.3, 0.4]
    assert fit.weight.tolist() == [1, 3, 1]
    assert fit.accuracy == pytest.approx([0, 2 / 3, 1], abs=EXACT)
    assert fit.confidence == pytest.approx([0.1, 0.8 / 3, 0.4], abs=EXACT)


@settings(deadline=None)
@given(rows)
def test_matches_sklearn_and_scipy(rows):
    c, y, w = columns(rows)
    fit = isotonic_fit(c, y, weights=w)
    counts = w > 0
    c, y, w = c[counts], y[counts], w[counts]
    ours = at_samples(fit, c)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(c, y, sample_weight=w).predict(c)
    # sklearn takes confidences that differ by less than float32 resolution for equal
    if c.size == 1 or np.diff(np.unique(c), prepend=-1).min() > 1e-6:
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    values, code = np.unique(c, return_inverse=True)
    mass = np.bincount(code, w)
    means = np.bincount(code, w * y) / mass
    np.testing.assert_allclose(
        at_samples(fit, values), isotonic_regression(means, weights=mass).x, atol=1e-9
    )


@pytest.mark.parametrize("shape", ["random", "cascade", "waves", "falling", "rising"])
def test_large_inputs_match_scipy(shape):
    n = 20_000
    c = (np.arange(n) + 0.5) / n
    rng = np.random.default_rng(0)
    y = {
        "random": (rng.random(n) < c).astype(float),
        "cascade": np.append(c[:-1], 0.0),  # the last value pools its way down one by one
        "waves": np.clip(c + 0.3 * np.sin(60 * c), 0, 1),
        "falling": 1 - c,
        "rising": c,
    }[shape]
    w = rng.integers(1, 5, n).astype(float)
    order = rng.permutation(n)
    fit = isotonic_fit(c[order], y[order], weights=w[order])
    np.testing.assert_allclose(at_samples(fit, c), isotonic_regression(y, weights=w).x, atol=1e-9)
    assert (np.diff(fit.accuracy) > 0).all()
    assert fit.weight.sum() == w.sum()


@settings(deadline=None)
@given(rows)
def test_steps_partition_the_sample(rows):
    c, y, w = columns(rows)
    fit = isotonic_fit(c, y, weights=w)
    assert (fit.low <= fit.high).all()
    assert (fit.high[:-1] < fit.low[1:]).all()
    for i in range(fit.low.size):
        inside = (c >= fit.low[i]) & (c <= fit.high[i])
        assert fit.weight[i] == w[inside].sum()
        assert fit.accuracy[i] == pytest.approx(np.average(y[inside], weights=w[inside]), abs=EXACT)
        assert fit.confidence[i] == pytest.approx(
            np.average(c[inside], weights=w[inside]), abs=EXACT
        )


def test_by_confidence_groups_ties_and_drops_weight_0():
    values, mass, hits = by_confidence(
        np.array([0.5, 0.2, 0.5, 0.9]), np.array([1.0, 0.5, 0.0, 1.0]), np.array([2.0, 1.0, 1.0, 0])
    )
    assert (values.tolist(), mass.tolist(), hits.tolist()) == ([0.2, 0.5], [1, 3], [0.5, 2])


# -- the decomposition ---------------------------------------------------------------------------


def test_decomposition_by_hand():
    """Confidences .2 and .8, accuracies 1/2 and 1/2: all is pooled, so nothing is discriminated.

    score = (.04 + .64 + .64 + .04) / 4 = .34 and uncertainty = .25
    """
    parts = corp_decomposition([0.2, 0.2, 0.8, 0.8], [0, 1, 0, 1])
    assert parts.score == pytest.approx(0.34, abs=EXACT)
    assert parts.uncertainty == pytest.approx(0.25, abs=EXACT)
    assert parts.discrimination == pytest.approx(0.0, abs=EXACT)
    assert parts.miscalibration == pytest.approx(0.09, abs=EXACT)


def test_discrimination_by_hand():
    """Accuracies 0 and 2/3 at .5 and .9 (3 samples each): DSC = mean (a - 1/3)^2 = 1/9."""
    parts = corp_decomposition([0.5] * 3 + [0.9] * 3, [0, 0, 0, 1, 1, 0])
    assert parts.discrimination == pytest.approx(1 / 9, abs=EXACT)
    assert parts.uncertainty == pytest.approx(2 / 9, abs=EXACT)
    assert parts.score == pytest.approx((3 * 0.25 + 2 * 0.01 + 0.81) / 6, abs=EXACT)


@settings(deadline=None)
@given(rows)
def test_decomposition_is_exact_and_matches_its_definition(rows):
    c, y, w = columns(rows)
    parts = corp_decomposition(c, y, weights=w)
    counts = w > 0
    c, y, w = c[counts], y[counts], w[counts]
    mean = np.average(y, weights=w)
    code = np.unique(c, return_inverse=True)[1]
    mass = np.bincount(code, w)
    recalibrated = isotonic_regression(np.bincount(code, w * y) / mass, weights=mass).x[code]
    assert parts.score == pytest.approx(score(c, y, w), abs=EXACT)
    assert parts.uncertainty == pytest.approx(mean * (1 - mean), abs=EXACT)
    assert parts.miscalibration == pytest.approx(
        score(c, y, w) - score(recalibrated, y, w), abs=1e-9
    )
    assert parts.discrimination == pytest.approx(
        score(np.full(c.size, mean), y, w) - score(recalibrated, y, w), abs=1e-9
    )
    assert parts.score == pytest.approx(
        parts.miscalibration - parts.discrimination + parts.uncertainty, abs=EXACT
    )
    assert min(parts.miscalibration, parts.discrimination, parts.uncertainty) >= 0


@settings(deadline=None)
@given(rows)
def test_weights_repeat_fractions_mix_and_only_the_order_discriminates(rows):
    c, y, w = columns(rows)
    parts = corp_decomposition(c, y, weights=w)
    times = w.astype(int)
    for other in (
        corp_decomposition(c.repeat(times), y.repeat(times)),
        corp_decomposition(c[::-1], y[::-1], weights=w[::-1] / 8),
        corp_decomposition(
            np.tile(c, 2),
            np.repeat([1.0, 0.0], c.size),
            weights=np.concatenate([w * y, w * (1 - y)]),
        ),
    ):
        for name in ("miscalibration", "discrimination", "uncertainty", "score"):
            assert getattr(other, name) == pytest.approx(getattr(parts, name), abs=1e-9)
    ranks = np.unique(c, return_inverse=True)[1] / c.size
    assert corp_decomposition(ranks, y, weights=w).discrimination == pytest.approx(
        parts.discrimination, abs=1e-9
    )


def test_one_class():
    parts = corp_decomposition([0.5, 0.9], [1, 1])
    assert (parts.uncertainty, parts.discrimination) == (0.0, 0.0)
    assert parts.miscalibration == parts.score == pytest.approx(0.13, abs=EXACT)


def test_calibrated_in_the_sample_has_no_miscalibration():
    c = np.repeat([0.25, 0.75], 4)
    y = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    assert corp_decomposition(c, y).miscalibration == pytest.approx(0.0, abs=EXACT)
    assert corp_decomposition(c[::-1], y).miscalibration > 0.1


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [isotonic_fit, corp_decomposition])
def test_errors(function):
    for confidence, correct, weights, message in [
        ([], [], None, "confidence: expected at least one value, got none"),
        ([0.5], [1, 0], None, "correct: expected 1 values, one for each of confidence, got 2"),
        ([0.5], [1], [-1.0], "weights: expected finite values >= 0, got -1.0 at index 0"),
    ]:
        with pytest.raises(InvalidInputError) as raised:
            function(confidence, correct, weights=weights)
        assert str(raised.value) == message
