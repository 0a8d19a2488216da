"""Temperature, Platt and beta by hand, against scipy and scikit-learn, and at the ends of the scale."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from levelhead.calibrators import _binary, scaling
from levelhead.calibrators._base import CalibrationWarning
from levelhead.calibrators.scaling import BetaCalibration, PlattScaling, TemperatureScaling
from levelhead.errors import InvalidInputError

EXACT = 1e-12
RIDGE = 1e-7  # what the pull towards the identity moves, at most, where the data decide
THEIRS = 1e-5  # scipy's and scikit-learn's tolerances
LAST_STEP = 1e-9
RIDGES = 2e-6  # two methods' ridges may let go of different things
CLASSES = (TemperatureScaling, PlattScaling, BetaCalibration)
EVERY = pytest.mark.parametrize("cls", CLASSES)

samples = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.7, 0.95, 1.0]), st.floats(0, 1)),
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


def overconfident(n=2000, seed=0):
    """Rows whose log-odds are stated 2.5 times too large and 0.4 too high."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0.5, 1.5, n)
    return expit(2.5 * z + 0.4), (rng.random(n) < expit(z)).astype(float)


def loss(p, y, w=None):
    return np.average(-(y * np.log(p) + (1 - y) * np.log1p(-p)), weights=w)


# -- by hand -------------------------------------------------------------------------------------


def test_a_temperature_by_hand():
    """logit(0.9) = 2 ln 3, and three of four right is logit ln 3: T = 2; 1/4 at 0.1 is the mirror."""
    c, y = [0.9] * 4 + [0.1] * 4, [1, 1, 1, 0, 0, 0, 0, 1]
    fitted = TemperatureScaling().fit(c, y)
    assert fitted.temperature_ == pytest.approx(2.0, abs=RIDGE)
    assert fitted.predict([0.1, 0.5, 0.9]) == pytest.approx([0.25, 0.5, 0.75], abs=RIDGE)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert fitted.fit_.loss == pytest.approx(entropy, abs=EXACT)
    assert fitted.fit_.converged
    assert fitted.fit_.notes == ()


def test_two_parameters_go_through_two_accuracies():
    """2/10 at 0.5 and 9/10 at 0.8 = logit ln 4: b = -ln 4, and a ln 4 - ln 4 = ln 9."""
    c = np.repeat([0.5, 0.8], 10)
    y = np.tile(np.arange(10), 2) < np.repeat([2, 9], 10)
    fitted = PlattScaling().fit(c, y)
    assert fitted.intercept_ == pytest.approx(-math.log(4), abs=RIDGE)
    assert fitted.slope_ == pytest.approx(1 + math.log(9) / math.log(4), abs=RIDGE)
    assert fitted.predict([0.5, 0.8]) == pytest.approx([0.2, 0.9], abs=RIDGE)


def test_three_parameters_go_through_three_accuracies():
    c = np.repeat([0.2, 0.5, 0.8], 10)
    y = np.tile(np.arange(10), 3) < np.repeat([1, 4, 7], 10)
    fitted = BetaCalibration().fit(c, y)
    assert fitted.predict([0.2, 0.5, 0.8]) == pytest.approx([0.1, 0.4, 0.7], abs=RIDGE)
    # ln(1/9), ln(2/3) and ln(7/3) are a ln c - b ln(1 - c) + d: two differences give a and b
    rise, fall = math.log(0.5 / 0.2), math.log(0.8 / 0.5)
    expected = np.linalg.solve([[rise, fall], [fall, rise]], [math.log(6.0), math.log(3.5)])
    assert [fitted.a_, fitted.b_] == pytest.approx(expected, abs=1e-6)


def test_platts_targets():
    """Three right and one wrong: 4/5 for right and 1/3 for wrong rows."""
    c, y = np.array([0.2, 0.4, 0.6, 0.9]), np.array([0, 1, 1, 1])
    fitted = PlattScaling(prior_smoothing=True).fit(c, y)
    plain = PlattScaling().fit(c, np.where(y == 1, 4 / 5, 1 / 3))
    assert fitted.slope_ == pytest.approx(plain.slope_, abs=LAST_STEP)
    assert fitted.intercept_ == pytest.approx(plain.intercept_, abs=LAST_STEP)
    assert fitted.predict(c).mean() == pytest.approx((3 * 4 / 5 + 1 / 3) / 4, abs=RIDGE)
    twice = PlattScaling(prior_smoothing=True).fit(np.tile(c, 2), np.tile(y, 2))
    double = PlattScaling(prior_smoothing=True).fit(c, y, [2, 2, 2, 2])
    assert double.slope_ == pytest.approx(twice.slope_, abs=LAST_STEP)
    assert abs(double.slope_ - fitted.slope_) > 0.1  # the targets know how many rows there are


# -- other implementations -----------------------------------------------------------------------


def test_a_temperature_matches_scipy():
    c, y = overconfident()
    w = np.random.default_rng(1).random(c.size)
    z = logit(np.clip(c, 1e-6, 1 - 1e-6))
    theirs = minimize_scalar(
        lambda s: np.average(np.logaddexp(0, s * z) - y * s * z, weights=w),
        bounds=(0.01, 10),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert 1.0 / TemperatureScaling().fit(c, y, w).temperature_ == pytest.approx(
        theirs.x, abs=THEIRS
    )


@pytest.mark.parametrize("seed", range(3))
def test_platt_and_beta_match_sklearn(seed):
    c, y = overconfident(seed=seed)
    w = np.random.default_rng(seed).random(c.size)
    clipped = np.clip(c, 1e-6, 1 - 1e-6)
    for fitted, features in (
        (PlattScaling().fit(c, y, w), [logit(clipped)]),
        (BetaCalibration().fit(c, y, w), [np.log(clipped), -np.log1p(-clipped)]),
    ):
        theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
            np.column_stack(features), y, sample_weight=w
        )
        assert all(theirs.coef_[0] > 0)
        p = theirs.predict_proba(np.column_stack(features))[:, 1]
        np.testing.assert_allclose(fitted.predict(c), p, atol=THEIRS)


@settings(deadline=None, max_examples=60)
@given(samples)
def test_nothing_allowed_is_better(rows):
    """Against a bounded quasi-Newton search, and against 200 random parameters with right signs."""
    c, y, w = columns(rows)
    eps = PlattScaling().fit(c, y, w).eps_
    clipped = np.clip(c, eps, 1 - eps)
    parts = [np.log(clipped), -np.log1p(-clipped), np.ones(c.size)]
    designs = {
        PlattScaling: (np.stack([parts[0] + parts[1], parts[2]]), [(0, 50), (-50, 50)]),
        BetaCalibration: (np.stack(parts), [(0, 50), (0, 50), (-50, 50)]),
    }
    for cls, (design, bounds) in designs.items():

        def objective(t, design=design):
            e = t @ design
            return (
                np.average(np.logaddexp(0, e) - y * e, weights=w),
                design @ ((expit(e) - y) * w) / w.sum(),
            )

        fitted = cls().fit(c, y, w)
        assert fitted.fit_.converged
        found = minimize(objective, np.ones(len(bounds)), jac=True, bounds=bounds).fun
        tries = np.random.default_rng(0).uniform(*np.array(bounds).T, (200, len(bounds)))
        tries[::3, 0] = 0.0
        best = min(found, *(objective(t)[0] for t in tries))
        assert fitted.fit_.loss <= best + 1e-6  # the ridge lets 50 ** 2 * 1e-9 / 2 go


@settings(deadline=None)
@given(samples)
def test_each_method_contains_the_one_before(rows):
    c, y, w = columns(rows)
    eps = PlattScaling().fit(c, y, w).eps_
    clipped = np.clip(c, eps, 1 - eps)
    at_most = loss(clipped, y, w)
    for cls in CLASSES:
        fitted = cls().fit(c, y, w)
        assert fitted.eps_ == eps
        found = fitted.fit_.loss
        assert found <= loss(clipped, y, w) + EXACT
        if any("separates right from wrong" in note for note in fitted.fit_.notes):
            return  # there is no optimum then, and each ridge ends the way there elsewhere
        assert found <= at_most + RIDGES
        at_most = found


# -- rows ----------------------------------------------------------------------------------------


@EVERY
@settings(deadline=None)
@given(rows=samples, seed=st.integers(0, 99))
def test_rows_of_any_kind_and_order(cls, rows, seed):
    """Weight k is k rows, a fraction is part of each outcome, order and weight 0 do not matter."""
    c, y, w = columns(rows)
    grid = np.linspace(0, 1, 101)
    fitted = cls().fit(c, y, w)
    p = fitted.predict(grid)
    assert ((p > 0) & (p < 1)).all()
    assert (np.diff(p) >= 0).all()
    times = w.astype(int)
    repeated = cls().fit(np.repeat(c, times), np.repeat(y, times))
    np.testing.assert_allclose(repeated.predict(grid), p, atol=1e-6)
    split = cls().fit(
        np.tile(c, 2), np.repeat([1.0, 0.0], c.size), np.concatenate([w * y, w * (1 - y)])
    )
    np.testing.assert_allclose(split.predict(grid), p, atol=1e-6)
    order = np.random.default_rng(seed).permutation(c.size)
    np.testing.assert_allclose(cls().fit(c[order], y[order], w[order]).predict(grid), p, atol=1e-6)


@EVERY
def test_ones_are_no_weights_bit_for_bit(cls):
    c, y = overconfident()
    fitted = cls().fit(np.round(c, 2), y)
    assert fitted.state() == cls().fit(np.round(c, 2), y, np.ones(c.size)).state()
    order = np.argsort(y, kind="stable")
    assert fitted.state() == cls().fit(np.round(c, 2)[order], y[order]).state()


# -- the ends of the scale -----------------------------------------------------------------------


@EVERY
def test_zero_and_one_are_clipped(cls):
    c, y = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]), np.array([0, 0, 1, 1, 1, 0])
    for eps in (1e-12, 1e-6, 0.1):
        fitted = cls(eps=eps).fit(c, y)
        assert fitted.predict([0.0, 1.0]) == pytest.approx([1 / 3, 2 / 3], abs=RIDGE)
        assert fitted.predict([eps / 2]) == fitted.predict([0.0])
    T = TemperatureScaling(eps=0.1).fit(c, y).temperature_
    assert pytest.approx(logit(0.9) / math.log(2), abs=RIDGE) == T


@EVERY
@pytest.mark.parametrize(
    ("c", "eps"),
    [
        ([0.0, 0.5, 0.99], 0.005),
        ([0.01, 0.5, 1.0], 0.005),
        ([0.004, 0.5, 0.9], 0.002),
        ([0.004, 0.5, 0.9998, 1.0], 0.0001),
        ([0.05, 0.5, 0.95, 1.0], 0.01),
        ([0.5], 0.01),
        ([0.0, 1e-5, 1.0], 5e-6),
        ([0.3, 1 - 1e-9, 1.0], 1e-6),
        ([1e-300, 1.0], 1e-6),
        ([0.0, 1.0], 0.005),
        ([1.0], 0.005),
    ],
)
def test_where_it_clips_by_hand(cls, c, eps):
    """Half of the way to the nearest confidence that is neither 0 nor 1, in [1e-6, 0.01]."""
    X, y = np.tile(c, 2), np.repeat([0, 1], len(c))
    fitted = cls().fit(X, y)
    assert fitted.eps_ == pytest.approx(eps, rel=1e-9)
    ignored = cls().fit(np.append(X, [1e-4, 0.9]), np.append(y, [1, 0]), [1] * X.size + [0, 1])
    assert ignored.eps_ == cls().fit(np.append(X, 0.9), np.append(y, 0)).eps_
    assert cls(eps=0.2).fit(X, y).eps_ == 0.2


def test_a_stated_certainty_by_hand():
    """2/10 at 0.5 and 9/10 at 1, which counts as 0.99 = logit ln 99: a ln 99 - ln 4 = ln 9."""
    c = np.repeat([0.5, 1.0], 10)
    y = np.tile(np.arange(10), 2) < np.repeat([2, 9], 10)
    fitted = PlattScaling().fit(c, y)
    assert fitted.slope_ == pytest.approx(math.log(36) / math.log(99), abs=RIDGE)
    assert fitted.predict([0.99, 0.995, 1.0]) == pytest.approx([0.9] * 3, abs=RIDGE)


@EVERY
def test_confidences_of_the_fit_stay_apart(cls):
    rng = np.random.default_rng(0)
    hundredths = np.arange(101) / 100
    tokens = np.append(1 - 10 ** -np.linspace(0.1, 5.9, 200), 1.0)  # the next is nearer than 1e-6
    for c in (hundredths, hundredths[::5], tokens):
        y = rng.random((c.size, 20)) < 0.1 + 0.8 * c[:, np.newaxis]
        fitted = cls().fit(np.repeat(c, 20), y.ravel())
        assert (np.diff(fitted.predict(c)) > 0).all()


def stated(kind, n, seed):
    """Overconfident and noisy, in steps of 5% with 0% and 100%, or sharp as token probabilities."""
    rng = np.random.default_rng(seed)
    z = rng.normal(1.0, 1.6, n)
    y = (rng.random(n) < expit(z)).astype(float)
    if kind == "tokens":
        return expit(3.0 * z + 3.0 + rng.normal(0, 1.5, n)), y
    return np.round(20 * expit(1.8 * z + 0.8 + rng.normal(0, 1, n))) / 20, y


@EVERY
@pytest.mark.parametrize(("kind", "wrong"), [("steps", 1e-6), ("tokens", 0.005)])
def test_neither_scale_is_fitted_as_the_other(cls, kind, wrong):
    """A fixed place to clip loses held-out log loss where the scale is another one."""
    c, y = stated(kind, 4000, 0)
    new, outcome = stated(kind, 20_000, 1)
    auto, fixed = (cls(eps=eps).fit(c, y).score(new, outcome) for eps in ("auto", wrong))
    assert auto > fixed + 0.005


@EVERY
def test_where_it_clips_is_kept(cls):
    c, y = np.array([0.003, 0.4, 0.7, 1.0]), np.array([0, 1, 0, 1])
    for fitted in (cls().fit(c, y), cls(eps=1 / 3e5).fit(c, y)):
        params, state = fitted.get_params(), fitted.state()
        assert state["eps"] == fitted.eps_
        back = cls.from_state(*json.loads(json.dumps([params, state])))
        assert back.eps_ == fitted.eps_
        grid = np.linspace(0, 1, 1001)
        assert np.array_equal(back.predict(grid), fitted.predict(grid))
        for eps in (0.011, 1e-7, None):
            with pytest.raises(InvalidInputError, match=r"^state: expected a .* as 'eps' of"):
                cls.from_state(params, {**state, "eps": eps})
        del state["eps"]
        with pytest.raises(InvalidInputError, match="^state: expected an entry 'eps' for"):
            cls.from_state(params, state)


@EVERY
def test_separated_rows_end_somewhere(cls):
    c, y = np.array([0.2, 0.4, 0.6, 0.8]), np.array([0, 0, 1, 1])
    fitted = cls().fit(c, y)
    assert fitted.fit_.converged
    assert fitted.fit_.loss < 1e-4
    assert "separates right from wrong" in fitted.fit_.notes[0]
    p = fitted.predict([0.0, 0.5, 1.0])
    assert p[0] > 0
    assert p[2] < 1
    assert p[1] == pytest.approx(0.5, abs=1e-3)
    half = cls().fit([0.2, 0.5, 0.5, 0.8], [0, 0, 1, 1])  # they share one confidence
    assert half.predict([0.5]) == pytest.approx([0.5], abs=1e-3)
    assert "separates" in half.fit_.notes[0]
    near = cls().fit([0.5 - 1e-9, 0.5 + 1e-9], [0, 1])
    assert near.fit_.converged
    assert np.isfinite(list(near._state().values())).all()


def test_two_separated_rows_converge():
    """The loss falls to 1e-7, far below the log-odds that it is made of."""
    fitted = PlattScaling(eps=1e-6).fit([0.0, 0.3], [0, 1])
    assert fitted.fit_.converged
    assert 0 < fitted.fit_.loss < 1e-6
    flat = PlattScaling(eps=1e-6).fit([0.0, 0.3], [1, 0], [3, 1])
    assert flat.predict([0.0, 0.3]) == pytest.approx([0.75, 0.75], abs=RIDGE)
    assert flat.fit_.converged


def test_a_flat_bottom_is_an_end():
    """One right row among 33: the free fit bends around it, to parameters in the thousands."""
    c = np.append(np.linspace(0.03, 0.98, 32), 0.66)
    fitted = BetaCalibration().fit(c, np.arange(33) == 32)
    assert fitted.fit_.converged
    assert fitted.fit_.iterations < 100


@pytest.mark.parametrize("cls", [PlattScaling, BetaCalibration])
def test_equal_confidences_become_the_accuracy(cls):
    for value in (0.0, 0.3, 0.5, 1.0):
        fitted = cls().fit([value] * 4, [1, 1, 1, 0])
        assert fitted.predict([value]) == pytest.approx([0.75], abs=1e-6)
        assert fitted.fit_.notes[0].startswith("all confidences are equal")


def test_a_temperature_cannot_move_a_half():
    fitted = TemperatureScaling().fit([0.5] * 4, [1, 1, 1, 0])
    assert fitted.temperature_ == 1.0
    assert fitted.predict([0.5, 0.9]) == pytest.approx([0.5, 0.9], abs=EXACT)


def test_confidences_that_point_the_wrong_way():
    c, y = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9, 0.9]), np.array([1, 1, 0, 1, 0, 0, 0])
    cold = TemperatureScaling().fit(c, y)
    assert cold.temperature_ == 1e4
    assert cold.predict(c) == pytest.approx(np.full(7, 0.5), abs=1e-3)
    assert "at its limit of 10000" in cold.fit_.notes[0]
    for cls in (PlattScaling, BetaCalibration):
        flat = cls().fit(c, y)
        assert flat.predict(c) == pytest.approx(np.full(7, 3 / 7), abs=1e-6)
        assert flat.fit_.notes
    assert PlattScaling().fit(c, y).slope_ == 0.0


@pytest.mark.parametrize(("sign", "kept"), [(1, 1), (-1, 0)])
def test_a_beta_parameter_with_the_wrong_sign_is_left_out(sign, kept):
    """Accuracy falls below 1/2 and rises above it, or the mirror image: one of a, b is negative."""
    c = np.repeat([0.05, 0.3, 0.5, 0.7, 0.95], 100)
    accuracy = np.array([0.4, 0.2, 0.2, 0.5, 0.95])
    y = np.tile(np.arange(100), 5) < np.repeat(100 * accuracy, 100)
    if sign < 0:
        c, y = 1 - c, ~y
    features = np.column_stack([np.log(c), -np.log1p(-c)])
    free = LogisticRegression(C=np.inf, tol=1e-10).fit(features, y)
    assert free.coef_[0, 1 - kept] < 0 < free.coef_[0, kept]
    fitted = BetaCalibration().fit(c, y)
    again = LogisticRegression(C=np.inf, tol=1e-10).fit(features[:, [kept]], y)
    assert (fitted.a_, fitted.b_)[1 - kept] == 0.0
    assert (fitted.a_, fitted.b_)[kept] == pytest.approx(again.coef_[0, 0], abs=1e-4)
    assert fitted.d_ == pytest.approx(again.intercept_[0], abs=1e-4)
    assert f"{'ab'[1 - kept]} would have been negative" in fitted.fit_.notes[0]


@EVERY
def test_extreme_weights(cls):
    c, y = np.array([0.2, 0.4, 0.4, 0.7, 0.9]), np.array([0, 1, 0, 1, 0])
    w = np.array([1.0, 2.0, 3.0, 2.0, 1.0])
    expected = cls().fit(c, y, w).predict(c)
    for scale in (1e-300, 1e-8, 1e300):
        np.testing.assert_allclose(cls().fit(c, y, w * scale).predict(c), expected, atol=1e-9)


@EVERY
def test_it_repairs_what_was_overstated(cls):
    c, y = overconfident(20_000)
    fitted = cls().fit(c[:10_000], y[:10_000])
    raw = -loss(np.clip(c[10_000:], 1e-6, 1 - 1e-6), y[10_000:])
    assert fitted.score(c[10_000:], y[10_000:]) > raw + 0.05
    if cls is PlattScaling:  # the truth is sigmoid((logit c - 0.4) / 2.5)
        assert fitted.slope_ == pytest.approx(1 / 2.5, abs=0.03)
        assert fitted.intercept_ == pytest.approx(-0.4 / 2.5, abs=0.08)


@EVERY
@pytest.mark.parametrize("eps", [0.0, 0.5, -1.0, float("nan")])
def test_eps_out_of_range(cls, eps):
    with pytest.raises(
        InvalidInputError,
        match=rf"^eps: expected \"auto\" or a number in \[1e-15, 0.5\), got {eps}",
    ):
        cls(eps=eps).fit([0.1, 0.9], [1, 0])
    with pytest.raises(
        InvalidInputError, match=r"^eps: expected \"auto\" or a number in \[1e-15, 0.5\), got 'aut'"
    ):
        cls(eps="aut").fit([0.1, 0.9], [1, 0])


@EVERY
def test_a_fit_that_does_not_converge_says_so(cls, monkeypatch):
    monkeypatch.setattr(_binary, "STEPS", 1)
    c, y = overconfident(100)
    with pytest.warns(CalibrationWarning, match=f"{cls.__name__}: the fit did not converge in"):
        fitted = cls().fit(c, y)
    assert not fitted.fit_.converged
    assert scaling.__all__ == sorted(found.__name__ for found in CLASSES)
