"""Scoring rules against closed forms, brute-force optima and the constants they imply."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

from levelhead import scoring
from levelhead.errors import InvalidInputError
from levelhead.scoring import (
    TABLE,
    ScoringRule,
    brier_loss,
    class_weighted_loss,
    linear_loss,
    log_loss,
    spherical_loss,
    trust_loss,
    weighted_loss,
)

EXACT = 1e-12
QUADRATURE = 1e-9
GRID = np.arange(1001) / 1000

unit = st.one_of(st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99, 1.0]), st.floats(0, 1))


def pointwise(function, q, y, **options) -> float:
    return float(function([q], [y], **options)[0])


def expected(function, p, q, **options):
    """Expected loss of the predictions q (M,) where outcome 1 has probability p."""
    q = np.asarray(q, dtype=float)
    one, zero = function(q, np.ones_like(q), **options), function(q, np.zeros_like(q), **options)
    return p * one + (1 - p) * zero


# -- each rule against its formula, written out for one prediction ---------------------------------


def test_golden_values():
    assert log_loss([0.3, 0.3, 0.001, 1.0], [1, 0, 1, 0]) == pytest.approx(
        [-math.log(0.3), -math.log(0.7), -math.log(0.01), -math.log(0.01)], abs=EXACT
    )
    assert brier_loss([0.3, 0.3], [1, 0]) == pytest.approx([0.49, 0.09], abs=EXACT)
    # 3-4-5: q / r = 3/5 and (1 - q) / r = 4/5 at q = 3/7
    assert spherical_loss([3 / 7, 3 / 7], [1, 0]) == pytest.approx([0.4, 0.2], abs=EXACT)
    assert linear_loss([0.3, 0.3], [1, 0]) == pytest.approx([0.7, 0.3], abs=EXACT)
    assert trust_loss([0.3, 0.3], [1, 0]) == pytest.approx(
        [-0.3, -(0.3 + math.log(0.7))], abs=EXACT
    )


@pytest.mark.parametrize("t0", [0.0, 0.5, 0.75, 0.9])
def test_trust_at_general_stakes(t0):
    for c in [0.0, 0.4, t0, 0.6, 0.95, 0.99, 1.0]:
        for y in (0, 1):
            capped = min(c, 0.99)
            value = 0.0
            if capped > t0:
                value = capped - t0 + (1 - y) * math.log((1 - capped) / (1 - t0))
            assert pointwise(trust_loss, c, y, t0=t0) == pytest.approx(-value / (1 - t0), abs=EXACT)


def test_trust_loss_gives_the_published_utilities():
    """A is right 80% of the time and knows when; B is right 95% of the time and always certain."""
    for t0, a, b, b_calibrated in [
        (0.5, 0.784, 0.589, 0.670),
        (0.0, 0.792, 0.760, 0.800),
        (0.75, 0.768, 0.316, 0.478),
        (0.9, 0.720, -0.251, 0.153),
    ]:
        utility = -0.8 * trust_loss([1.0], [1], t0=t0)[0] - 0.2 * trust_loss([0.0], [0], t0=t0)[0]
        assert utility == pytest.approx(a, abs=5e-4)
        assert -expected(trust_loss, 0.95, [1.0], t0=t0)[0] == pytest.approx(b, abs=5e-4)
        assert -expected(trust_loss, 0.95, [0.95], t0=t0)[0] == pytest.approx(
            b_calibrated, abs=5e-4
        )


def test_trust_loss_is_the_utility_averaged_over_stakes():
    for t0 in (0.0, 0.5):
        for c in (0.3, 0.7, 0.95):
            for y in (0.0, 1.0):
                utility, _ = integrate.quad(
                    lambda t, y=y: y - (1 - y) * t / (1 - t), t0, max(c, t0)
                )
                assert pointwise(trust_loss, c, y, t0=t0) == pytest.approx(
                    -utility / (1 - t0), abs=QUADRATURE
                )


def test_without_a_clip_a_certain_failure_costs_infinity_and_a_success_nothing():
    assert log_loss([0.0, 0.0, 1.0, 1.0], [0, 1, 0, 1], eta=0.0).tolist() == [0, np.inf, np.inf, 0]
    assert trust_loss([1.0, 1.0], [1, 0], eps=0.0).tolist() == [-1.0, np.inf]


@settings(deadline=None)
@given(unit, unit)
def test_a_fractional_outcome_is_the_expected_loss(q, y):
    for rule in TABLE:
        one, zero = pointwise(rule.function, q, 1), pointwise(rule.function, q, 0)
        assert pointwise(rule.function, q, y) == pytest.approx(y * one + (1 - y) * zero, abs=EXACT)


# -- where the optimum lies ------------------------------------------------------------------------


def is_flat(rule: ScoringRule, p: float) -> bool:
    return any(low <= p <= high for low, high in rule.flat)


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)
def test_the_optimum_lies_where_the_rule_declares(rule):
    """Nothing on the grid beats the declared optimum; outside the flat parts all else is worse."""
    one = rule.function(GRID, np.ones_like(GRID))
    zero = rule.function(GRID, np.zeros_like(GRID))
    for p in np.arange(0, 1001, 5) / 1000:
        costs = p * one + (1 - p) * zero
        best = float(rule.optimum(np.array([p]))[0])
        at_best = expected(rule.function, p, [best])[0]
        assert costs.min() >= at_best - EXACT
        if is_flat(rule, p):
            assert (costs <= at_best + EXACT).sum() >= 2
        else:
            assert (costs[np.abs(GRID - best) > 1e-9] > at_best).all()


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)
def test_a_rule_is_proper_exactly_if_it_declares_so(rule):
    p = np.arange(1, 100) / 100
    regret = [
        expected(rule.function, x, [x])[0] - expected(rule.function, x, GRID).min() for x in p
    ]
    assert bool(max(regret) <= EXACT) == rule.proper


@pytest.mark.parametrize("t0", [0.5, 0.75])
def test_trust_is_proper_at_any_stakes_and_strictly_above_them(t0):
    for p in np.arange(101) / 100:
        costs = expected(trust_loss, p, GRID, t0=t0)
        truth = expected(trust_loss, p, [p], t0=t0)[0]
        assert costs.min() >= truth - EXACT
        if t0 < p < 0.99:
            assert (costs[np.abs(GRID - p) > 1e-9] > truth).all()


def test_class_weights_move_the_optimum():
    """kappa = 4 at p = 0.7: the best prediction is 0.7 / (0.7 + 4 * 0.3) = 0.368."""
    for loss in (log_loss, brier_loss, spherical_loss):
        best = optimize.minimize_scalar(
            lambda q, loss=loss: expected(class_weighted_loss, 0.7, [q], kappa=4.0, loss=loss)[0],
            bounds=(0.02, 0.98),
            method="bounded",
            options={"xatol": 1e-9},
        ).x
        assert best == pytest.approx(0.7 / 1.9, abs=1e-5)
        assert round(best, 3) == 0.368


def test_a_class_weight_of_one_changes_nothing():
    q, y = np.repeat(GRID, 2), np.tile([0.0, 1.0], GRID.size)
    np.testing.assert_allclose(class_weighted_loss(q, y, kappa=1.0), log_loss(q, y), atol=EXACT)


def test_table_names_are_unique_and_complete():
    assert [rule.name for rule in TABLE] == [
        "log",
        "brier",
        "spherical",
        "trust",
        "linear",
        "class_weighted",
    ]
    listed = {rule.function.__name__ for rule in TABLE}
    assert listed | {"weighted_loss"} == {
        name for name in scoring.__all__ if name.endswith("_loss")
    }


# -- constants that follow from the rules ----------------------------------------------------------


def largest_weight_that_keeps_accuracy_first(loss) -> float:
    """With reward y - lambda * loss, V(p) = p + lambda Phi(p), where Phi(p) = -E loss at q = p.

    By the envelope theorem Phi'(p) = loss(p, 0) - loss(p, 1), so V never falls if and only if
    lambda <= 1 / max(loss(p, 1) - loss(p, 0)).
    """
    p = np.linspace(0, 1, 100_001)
    return 1.0 / np.max(loss(p, np.ones_like(p)) - loss(p, np.zeros_like(p)))


def test_largest_calibration_weight_that_keeps_accuracy_first():
    assert largest_weight_that_keeps_accuracy_first(brier_loss) == pytest.approx(1.0, abs=EXACT)
    assert largest_weight_that_keeps_accuracy_first(spherical_loss) == pytest.approx(1.0, abs=EXACT)
    log_weight = largest_weight_that_keeps_accuracy_first(log_loss)
    assert log_weight == pytest.approx(1 / math.log(99), abs=EXACT)
    assert round(log_weight, 5) == 0.21762


def test_trust_needs_no_correctness_term():
    """Its value at the optimum rises with p, so being right more often always pays."""
    p = np.linspace(0, 0.99, 991)
    values = np.array([-expected(trust_loss, x, [x])[0] for x in p])
    assert (np.diff(values) > 0).all()
    assert values[-2] == pytest.approx(p[-2] + (1 - p[-2]) * math.log(1 - p[-2]), abs=EXACT)


def test_unscaled_log_reward_prefers_surely_wrong_answers():
    """V(p) = p - H(p) is least at 1 / (1 + e) = 0.2689, and V(0) = 0 beats every p < 0.648."""

    def value(p: float) -> float:
        return p - expected(log_loss, p, [p], eta=0.0)[0]

    lowest = optimize.minimize_scalar(value, bounds=(0.05, 0.6), method="bounded")
    assert lowest.x == pytest.approx(1 / (1 + math.e), abs=1e-4)
    assert round(1 / (1 + math.e), 4) == 0.2689
    assert lowest.fun == pytest.approx(-0.3133, abs=5e-5)
    assert optimize.brentq(value, 0.4, 0.99) == pytest.approx(0.648, abs=5e-4)


def test_five_times_brier_is_bounded_and_still_fails():
    """V(0.4) = 0.4 - 5 * 0.24 = -0.8."""
    assert 0.4 - 5 * expected(brier_loss, 0.4, [0.4])[0] == pytest.approx(-0.8, abs=EXACT)


def test_brier_reward_at_weight_one_has_value_p_squared():
    p = np.linspace(0, 1, 101)
    value = [x - expected(brier_loss, x, [x])[0] for x in p]
    np.testing.assert_allclose(value, p**2, atol=EXACT)


def test_a_floor_on_the_reward_is_improper_where_a_clip_of_the_prediction_is_not():
    """min(loss, -ln 0.01) makes q = 0 better than the truth for every p below 0.0268."""
    floor = -math.log(0.01)

    def floored(q, y):
        return np.minimum(log_loss(q, y, eta=0.0), floor)

    def advantage_of_zero(p: float) -> float:
        return expected(floored, p, [p])[0] - expected(floored, p, [0.0])[0]

    threshold = optimize.brentq(advantage_of_zero, 0.011, 0.2)
    assert threshold == pytest.approx(0.0268, abs=5e-5)
    assert GRID[expected(floored, 0.025, GRID).argmin()] == 0.0
    assert GRID[expected(log_loss, 0.025, GRID).argmin()] == pytest.approx(0.025, abs=EXACT)


def test_the_brier_reward_is_the_utility_averaged_over_uniform_stakes():
    """2qy - q^2 = int_0^1 2 [t <= q] ((1 - t) y - t (1 - y)) dt, and equals y - (q - y)^2."""
    t = (np.arange(2_000_000) + 0.5) / 2_000_000
    for q in (0.0, 0.3, 0.7, 1.0):
        for y in (0.0, 1.0):
            integral = np.mean(2 * (t <= q) * ((1 - t) * y - t * (1 - y)))
            assert integral == pytest.approx(2 * q * y - q * q, abs=1e-6)
            assert y - pointwise(brier_loss, q, y) == pytest.approx(integral, abs=1e-6)


# -- the rule from a weight function ---------------------------------------------------------------

INSIDE = np.concatenate([GRID[1:-1], [1e-6, 1e-9, 1 - 1e-6], np.arange(1, 64) / 64])


def both_outcomes(q):
    return np.repeat(q, 2), np.tile([0.0, 1.0], q.size)


def test_weight_two_is_brier():
    q, y = both_outcomes(np.concatenate([INSIDE, [0.0, 1.0]]))
    np.testing.assert_allclose(
        weighted_loss(q, y, weight=lambda t: 2.0), brier_loss(q, y), atol=QUADRATURE
    )


def test_the_log_weight_is_log():
    q, y = both_outcomes(INSIDE)
    ours = weighted_loss(q, y, weight=lambda t: 1 / (t * (1 - t)))
    np.testing.assert_allclose(ours, log_loss(q, y, eta=0.0), rtol=QUADRATURE, atol=QUADRATURE)


def test_the_spherical_weight_is_spherical():
    """w(q) = -dL(q, 1)/dq / (1 - q) = (q^2 + (1 - q)^2)^(-3/2)."""
    q, y = both_outcomes(INSIDE)
    ours = weighted_loss(q, y, weight=lambda t: (t**2 + (1 - t) ** 2) ** -1.5)
    np.testing.assert_allclose(ours, spherical_loss(q, y), atol=QUADRATURE)


@pytest.mark.parametrize("t0", [0.0, 0.5, 0.9])
def test_the_trust_weight_is_trust_up_to_a_constant_for_each_outcome(t0):
    q = INSIDE[INSIDE <= 0.99]
    for y in (0.0, 1.0):
        ours = weighted_loss(
            q,
            np.full(q.size, y),
            weight=lambda t: (t > t0) / (1 - t) / (1 - t0),
            breaks=(t0,) if t0 else (),
        )
        theirs = trust_loss(q, np.full(q.size, y), t0=t0)
        np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], atol=QUADRATURE)


def test_certain_predictions_get_the_limit():
    log_weight = weighted_loss([0.0, 0.0, 1.0, 1.0], [0, 1, 0, 1], weight=lambda t: 1 / t / (1 - t))
    assert log_weight.tolist() == [0.0, np.inf, np.inf, 0.0]
    # w = t^-1/2 (1-t)^-1/2: L(0, 1) = int (1-t)^1/2 t^-1/2 = B(1/2, 3/2) = pi/2, and so is L(1, 0)
    arcsine = weighted_loss([0.0, 1.0], [1, 0], weight=lambda t: (t * (1 - t)) ** -0.5)
    assert arcsine == pytest.approx([math.pi / 2] * 2, abs=1e-6)


def test_a_weight_that_vanishes_above_a_break():
    ours = weighted_loss([0.2, 0.8], [1, 1], weight=lambda t: 2.0 * (t < 0.37), breaks=[0.37])
    assert ours == pytest.approx([0.8**2 - 0.63**2, 0.0], abs=QUADRATURE)


@settings(deadline=None)
@given(st.floats(0.01, 0.99), st.floats(-0.9, 0.9), st.floats(-0.9, 0.9))
def test_any_beta_weight_matches_adaptive_quadrature_and_is_proper(p, a, b):
    def weight(t):
        return t**a * (1 - t) ** b

    one, _ = integrate.quad(lambda t: (1 - t) * weight(t), p, 1)
    zero, _ = integrate.quad(lambda t: t * weight(t), 0, p)
    ours = weighted_loss([p, p], [1, 0], weight=weight)
    assert ours == pytest.approx([one, zero], rel=1e-6, abs=1e-7)
    costs = p * weighted_loss(GRID, np.ones_like(GRID), weight=weight) + (1 - p) * weighted_loss(
        GRID, np.zeros_like(GRID), weight=weight
    )
    assert abs(GRID[costs.argmin()] - p) <= 0.001


def test_more_confidences_than_one_chunk():
    q = np.linspace(0, 1, scoring.CHUNK + 7)
    y = (np.arange(q.size) % 3 == 0).astype(float)
    np.testing.assert_allclose(
        weighted_loss(q, y, weight=lambda t: 2 * np.ones_like(t)), brier_loss(q, y), atol=QUADRATURE
    )


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_loss([0.5], [1], eta=0.5), "eta: expected a number in [0, 0.5), got 0.5"),
        (lambda: log_loss([0.5], [1], eta=math.nan), "eta: expected a number in [0, 0.5), got nan"),
        (lambda: trust_loss([0.5], [1], t0=1.0), "t0: expected a number in [0, 1), got 1.0"),
        (
            lambda: trust_loss([0.5], [1], t0=0.9, eps=0.2),
            "eps: expected a number in [0, 1 - t0), got 0.2 with t0=0.9",
        ),
        (
            lambda: class_weighted_loss([0.5], [1], kappa=0),
            "kappa: expected a finite number above 0, got 0",
        ),
        (
            lambda: weighted_loss([0.5], [1], weight=lambda t: t, breaks=[1.0]),
            "breaks: expected points in [1e-9, 1 - 1e-9], got 1.0",
        ),
        (
            lambda: weighted_loss([0.5], [1], weight=lambda t: -1.0),
            "weight: expected finite values >= 0, got -1.0 at t = ",
        ),
        (
            lambda: weighted_loss([0.5], [1], weight=lambda t: (1 - t) ** -2),
            "weight: expected (1 - t) w(t) to be integrable at t = 1, got a weight that grows",
        ),
        (
            lambda: weighted_loss([0.5], [1], weight=lambda t: t**-2),
            "weight: expected t w(t) to be integrable at t = 0, got a weight that grows",
        ),
    ],
)
def test_options_are_checked(call, message):
    with pytest.raises(InvalidInputError) as raised:
        call()
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)
def test_inputs_are_checked_and_left_alone(rule):
    for confidence, outcome, message in [
        ([], [], "confidence: expected at least one value, got none"),
        ([87.0], [1], "confidence: expected values in [0, 1], got 87.0 at index 0"),
        ([0.5], [2], "outcome: expected values in [0, 1], got 2.0 at index 0"),
        ([0.5], [1, 0], "outcome: expected 1 values, one for each of confidence, got 2"),
    ]:
        with pytest.raises(InvalidInputError) as raised:
            rule.function(confidence, outcome)
        assert str(raised.value).startswith(message)
    q, y = np.array([0.0, 0.3, 1.0]), np.array([1.0, 0.0, 0.5])
    out = rule.function(q, y)
    assert (q.tolist(), y.tolist()) == ([0.0, 0.3, 1.0], [1.0, 0.0, 0.5])
    assert (out.dtype, out.shape) == (np.float64, (3,))
