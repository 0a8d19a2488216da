"""Rewards against formulas written out, the definition of the weight's bound, and brute-force optima."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from levelhead.errors import InvalidInputError
from levelhead.rewards import (
    TABLE,
    Reward,
    brier_reward,
    log_reward,
    max_calibration_weight,
    reward_table,
    rlcr_reward,
    spherical_reward,
    sycophantic_reward,
    trust_reward,
    with_format_floor,
)
from levelhead.scoring import brier_loss, class_weighted_loss, linear_loss, log_loss, weighted_loss

EXACT = 1e-12
PRINTED = 5e-4
"""Half a unit of the third decimal, in which the constants are quoted."""

GRID = np.arange(1001) / 1000
NAMES = [reward.name for reward in TABLE.values()]
SCORES = [name for name in NAMES if name != "rlcr"]

unit = st.one_of(st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99, 1.0]), st.floats(0, 1))


def entropy(p: float) -> float:
    return -sum(x * math.log(x) for x in (p, 1 - p) if x > 0)


def expected(reward, p, q, **options):
    """Expected reward of the statements q (M,) where outcome 1 has probability p."""
    q = np.asarray(q, dtype=float)
    one, zero = reward(q, np.ones_like(q), **options), reward(q, np.zeros_like(q), **options)
    return p * one + (1 - p) * zero


# -- the formulas ----------------------------------------------------------------------------------


def test_golden_values():
    assert log_reward([0.3, 0.3, 0.001, 1.0], [1, 0, 1, 0]) == pytest.approx(
        [math.log(0.3), math.log(0.7), math.log(0.01), math.log(0.01)], abs=EXACT
    )
    assert brier_reward([0.3, 0.3], [1, 0]) == pytest.approx([-0.49, -0.09], abs=EXACT)
    # 3-4-5: q / n = 3/5 and (1 - q) / n = 4/5 at q = 3/7
    assert spherical_reward([3 / 7, 3 / 7], [1, 0]) == pytest.approx([-0.4, -0.2], abs=EXACT)
    assert trust_reward([0.3, 0.3], [1, 0]) == pytest.approx([0.3, 0.3 + math.log(0.7)], abs=EXACT)


@given(unit, st.sampled_from([0, 1]))
def test_rlcr_is_2qy_minus_q_squared(q, y):
    assert rlcr_reward([q], [y])[0] == pytest.approx(2 * q * y - q * q, abs=EXACT)


def test_rlcr_adds_the_weighted_score_of_any_rule():
    q = np.array([0.2, 0.2, 0.999])
    y = np.array([1, 0, 0])
    for rule, weight, score in [
        ("log", 0.2, [math.log(0.2), math.log(0.8), math.log(0.01)]),
        ("brier", 0.5, [-0.64, -0.04, -(0.999**2)]),
        ("trust", 3.0, [0.2, 0.2 + math.log(0.8), 0.99 + math.log(0.01)]),
    ]:
        want = y + weight * np.array(score)
        assert rlcr_reward(q, y, rule=rule, weight=weight) == pytest.approx(want, abs=EXACT)
    assert rlcr_reward(q, y, weight=0.0).tolist() == [1.0, 0.0, 0.0]


def test_rlcr_of_an_expected_correctness_is_the_expected_reward():
    got = rlcr_reward([0.7], [0.25])[0]
    assert got == pytest.approx(0.25 * (1.4 - 0.49) + 0.75 * -0.49, abs=EXACT)


def test_a_perfect_statement_is_a_plain_zero():
    """A negated 0 would print as -0."""
    for value in (brier_reward([1.0], [1])[0], spherical_reward([1.0], [1])[0]):
        assert math.copysign(1.0, value) == 1.0


# -- what the table declares -----------------------------------------------------------------------


def test_the_table_is_keyed_by_name():
    assert list(TABLE) == NAMES == ["log", "brier", "spherical", "trust", "rlcr"]


@pytest.mark.parametrize("reward", TABLE.values(), ids=NAMES)
def test_a_reward_stays_within_its_declared_range_and_reaches_both_ends(reward: Reward):
    values = np.concatenate([reward.function(GRID, np.full(GRID.size, y)) for y in (0.0, 1.0)])
    assert values.min() == pytest.approx(reward.low, abs=EXACT)
    assert values.max() == pytest.approx(reward.high, abs=EXACT)


@pytest.mark.parametrize("reward", TABLE.values(), ids=NAMES)
def test_the_truth_is_a_best_statement(reward: Reward):
    assert reward.proper
    for p in np.arange(0, 1001, 25) / 1000:
        values = expected(reward.function, p, GRID)
        assert values.max() <= expected(reward.function, p, [p])[0] + EXACT
        if 0.01 < p < 0.99:
            assert GRID[values.argmax()] == pytest.approx(p, abs=EXACT)


@pytest.mark.parametrize("name", SCORES)
def test_the_bound_in_the_table_is_the_computed_one(name):
    assert TABLE[name].max_weight == pytest.approx(max_calibration_weight(name), rel=EXACT)


# -- how much a confidence may weigh ---------------------------------------------------------------


def bound_by_definition(phi) -> float:
    """1 / sup(-phi'), the slope by differences of 1e-6 on a fine grid; nothing of it is ours."""
    p = np.linspace(0, 1, 100_001)
    step = 1e-6
    left, right = np.maximum(p - step, 0), np.minimum(p + step, 1)
    slopes = (np.vectorize(phi)(left) - np.vectorize(phi)(right)) / (right - left)
    return 1 / slopes.max()


def phi_clipped_log(p: float) -> float:
    q = min(max(p, 0.01), 0.99)
    return p * math.log(q) + (1 - p) * math.log(1 - q)


@pytest.mark.parametrize(
    ("rule", "phi", "quoted"),
    [
        ("brier", lambda p: -p * (1 - p), 1.0),
        ("spherical", lambda p: math.hypot(p, 1 - p), 1.0),
        ("log", phi_clipped_log, 0.21762),
    ],
)
def test_the_bound_is_one_over_the_steepest_fall_of_the_expected_score(rule, phi, quoted):
    bound = max_calibration_weight(rule)
    assert bound == pytest.approx(bound_by_definition(phi), rel=1e-5)
    assert bound == pytest.approx(quoted, abs=5e-6)


def test_the_bound_of_the_log_rule_follows_its_clip():
    assert max_calibration_weight("log", eta=0.05) == pytest.approx(1 / math.log(19), rel=EXACT)
    assert max_calibration_weight("log", eta=0.0) == 0.0
    assert max_calibration_weight("trust") == math.inf


def test_the_bound_of_a_rule_that_is_given_as_a_loss():
    """5 x Brier; w(t) = 2 is Brier; w(t) = 6 t gives L(0, 1) = int (1 - t) 6 t = 1 as well."""
    assert max_calibration_weight(lambda q, y: 5 * brier_loss(q, y)) == pytest.approx(
        0.2, rel=EXACT
    )
    for weight, bound in [(lambda t: 2.0, 1.0), (lambda t: 6 * t, 1.0), (lambda t: 12 * t, 0.5)]:
        got = max_calibration_weight(lambda q, y, w=weight: weighted_loss(q, y, weight=w))
        assert got == pytest.approx(bound, rel=1e-8)


def value(p, weight, phi):
    return p + weight * phi(p)


@pytest.mark.parametrize("rule", ["brier", "spherical", "log", "trust"])
def test_at_the_bound_the_likeliest_answer_is_the_best_one_and_past_it_not(rule):
    """V(p): what an answer that is right with probability p is worth with its best confidence."""
    bound = min(max_calibration_weight(rule), 50.0)

    def best_values(weight):
        def reward(q, y):
            return rlcr_reward(q, y, rule=rule, weight=weight, force=True)

        return np.array([expected(reward, p, GRID).max() for p in GRID[::5]])

    assert np.diff(best_values(bound)).min() >= -1e-9
    if rule != "trust":
        assert np.diff(best_values(1.05 * bound)).min() < -1e-6


def test_log_with_weight_one_pays_for_a_surely_wrong_answer():
    """V(p) = p - H(p) has its minimum at 1 / (1 + e), and V(0) = 0 beats everything below 0.648."""
    found = optimize.minimize_scalar(lambda p: p - entropy(p), bounds=(0, 1), method="bounded")
    assert found.x == pytest.approx(1 / (1 + math.e), abs=1e-5)
    assert found.x == pytest.approx(0.2689, abs=5e-5)
    assert found.fun == pytest.approx(-0.3133, abs=5e-5)
    until = optimize.brentq(lambda p: p - entropy(p), 0.4, 0.99)
    assert until == pytest.approx(0.648, abs=PRINTED)

    def reward(q, y):
        return rlcr_reward(q, y, rule="log", weight=1.0, eta=0.0, force=True)

    inside = GRID[1:-1]
    worth = np.array([expected(reward, p, [p])[0] for p in inside])
    assert inside[worth.argmin()] == pytest.approx(found.x, abs=1e-3)
    assert worth.min() == pytest.approx(found.fun, abs=1e-5)
    assert reward([0.0], [0])[0] == 0.0
    assert ((worth < 0.0) == (inside < until)).all()


def test_a_weight_past_the_bound_is_refused_with_the_reason():
    with pytest.raises(InvalidInputError) as caught:
        rlcr_reward([0.5], [1], rule="log", weight=1.0, eta=0.0)
    assert str(caught.value) == (
        "weight: expected at most 0 for the rule log, got 1; a surely wrong answer with confidence 0 "
        "would be worth 0, more than any honest answer whose chance of being right is below 0.648 "
        "(at 0.269 it is worth -0.313); lower the weight, or pass force=True"
    )
    # with the clip V(0) = ln 0.99: p - H(p) = ln 0.99 at 0.642
    clipped = optimize.brentq(lambda p: p - entropy(p) - math.log(0.99), 0.4, 0.99)
    assert f"{clipped:.3f}" == "0.642"
    with pytest.raises(
        InvalidInputError, match=r"at most 0\.2176 .* would be worth -0\.0101, .*642"
    ):
        rlcr_reward([0.5], [1], rule="log")


def test_a_bounded_rule_can_weigh_too_much_as_well():
    """V(p) = p - 5 p (1 - p): -0.8 at 0.4, and below V(0) = 0 up to 0.8."""
    with pytest.raises(
        InvalidInputError,
        match=r"at most 1 .*got 5; .* worth 0, .* below 0\.8 \(at 0\.4 it is worth -0\.8\)",
    ):
        rlcr_reward([0.5], [1], weight=5.0)
    five = rlcr_reward([0.4, 0.4], [1, 0], weight=5.0, force=True)
    assert 0.4 * five[0] + 0.6 * five[1] == pytest.approx(-0.8, abs=EXACT)


def test_a_weight_at_the_bound_passes_and_one_just_past_it_does_not():
    for rule in ("brier", "spherical", "log"):
        bound = max_calibration_weight(rule)
        rlcr_reward([0.5], [1], rule=rule, weight=bound)
        with pytest.raises(InvalidInputError, match="expected at most"):
            rlcr_reward([0.5], [1], rule=rule, weight=1.0001 * bound)
    rlcr_reward([0.5], [1], rule="trust", weight=1e6)


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_a_weight_that_is_none_is_refused_even_with_force(weight):
    with pytest.raises(InvalidInputError, match="weight: expected a finite number >= 0, got"):
        rlcr_reward([0.5], [1], weight=weight, force=True)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("linear", "got linear, whose best statement at probability 0.7 is 1"),
        # 0.7 / (0.7 + 4 * 0.3) = 0.368
        ("class_weighted", "got class_weighted, whose best statement at probability 0.7 is 0.368"),
        (linear_loss, "got linear_loss, whose best statement at probability"),
        (lambda q, y: class_weighted_loss(q, y, kappa=1.5), "got <lambda>, whose best statement"),
        (brier_reward, "got brier_reward, whose best statement at probability"),
        # capped and not clipped: the hole at 0 below 0.0268 has a twin at 1
        (lambda q, y: np.minimum(log_loss(q, y, eta=0.0), -np.log(0.01)), "0.99 is 1"),
    ],
)
def test_an_improper_rule_is_refused(rule, message):
    for function in (max_calibration_weight, lambda r: rlcr_reward([0.5], [1], rule=r, force=True)):
        with pytest.raises(InvalidInputError) as caught:
            function(rule)
        assert "rule: expected a proper loss (lower is better), got" in str(caught.value)
        assert message in str(caught.value)


def test_unknown_names_are_told_what_there_is():
    with pytest.raises(InvalidInputError) as caught:
        rlcr_reward([0.5], [1], rule="brir")
    assert str(caught.value) == (
        "rule: expected one of brier, log, spherical, trust, got 'brir'; did you mean 'brier'?"
    )
    with pytest.raises(InvalidInputError, match="reward: expected one of brier, log, rlcr, spher"):
        reward_table("lgo", [0.5])
    with pytest.raises(InvalidInputError, match="rule: expected a loss, got NaN from <lambda>"):
        max_calibration_weight(lambda q, y: q * np.nan)


# -- clips and floors ------------------------------------------------------------------------------


def test_a_floored_reward_would_make_zero_the_best_statement_for_rare_events():
    """max(ln q, ln 0.01): at q = 0 a miss costs no more than ln 0.01, and a hit is free."""
    until = optimize.brentq(lambda p: p * math.log(0.01) + entropy(p), 0.011, 0.2)
    assert until == pytest.approx(0.0268, abs=5e-5)
    fine = np.arange(10_001) / 10_000

    def floored(q, y):
        with np.errstate(divide="ignore"):
            return np.maximum(np.where(y == 1, np.log(q), np.log1p(-q)), math.log(0.01))

    for p in (0.012, 0.02, 0.0265):
        assert fine[expected(floored, p, fine).argmax()] == 0.0
    assert fine[expected(floored, 0.0275, fine).argmax()] == pytest.approx(0.0275, abs=EXACT)


@pytest.mark.parametrize("p", [0.012, 0.02, 0.0265, 0.0275, 0.3])
def test_the_log_reward_clips_the_prediction_and_has_no_such_hole(p):
    fine = np.arange(10_001) / 10_000
    assert fine[expected(log_reward, p, fine).argmax()] == pytest.approx(p, abs=EXACT)
    assert expected(log_reward, p, [0.0])[0] == pytest.approx(
        p * math.log(0.01) + (1 - p) * math.log(0.99), abs=EXACT
    )


def test_malformed_output_gets_the_lowest_valid_reward():
    rewards = [-0.25, 7.0, np.inf, np.nan, np.nan]
    parsed = [True, False, False, False, True]
    got = with_format_floor(rewards, parsed, lowest=-1.0)
    np.testing.assert_array_equal(got, [-0.25, -1.0, -1.0, np.nan, np.nan])
    assert with_format_floor([0.0], [0], lowest=-1, floor=-3)[0] == -3.0
    assert with_format_floor([0.0], [0], lowest="log")[0] == pytest.approx(math.log(0.01))
    assert with_format_floor([], [], lowest=0.0).size == 0


@settings(max_examples=50)
@given(st.sampled_from(NAMES), unit, st.sampled_from([0.0, 1.0]))
def test_no_valid_answer_falls_below_the_floor(name, q, y):
    valid = TABLE[name].function([q], [y])
    both = with_format_floor([valid[0], 0.0], [True, False], lowest=name)
    assert both[0] == valid[0] >= both[1] - EXACT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"lowest": -1.0, "floor": -0.9},
            "floor: expected a finite number of at most -1, the smallest reward of a valid answer, got "
            "-0.9; above it malformed output beats an honest answer",
        ),
        ({"lowest": -1.0, "floor": -math.inf}, "floor: expected a finite number of at most -1"),
        ({"lowest": -1.0, "floor": math.nan}, "floor: expected a finite number of at most -1"),
        (
            {"lowest": -math.inf},
            "lowest: expected a finite reward, got -inf; an unbounded reward has",
        ),
        ({"lowest": math.nan}, "lowest: expected a finite reward, got nan"),
        ({"lowest": "brir"}, "reward: expected one of brier, log"),
        (
            {"lowest": -0.2},
            "rewards: expected values of at least -0.2 (lowest), got -0.25 at index 1",
        ),
    ],
)
def test_a_floor_that_pays_for_breaking_the_format_is_refused(arguments, message):
    with pytest.raises(InvalidInputError) as caught:
        with_format_floor([0.0, -0.25, 0.0], [True, True, False], **arguments)
    assert str(caught.value).startswith(message)


def test_masks_are_checked():
    with pytest.raises(
        InvalidInputError, match=r"parsed: expected True or False, got 2 at index 1"
    ):
        with_format_floor([0.0, 0.0], [1, 2], lowest=0.0)
    with pytest.raises(InvalidInputError, match=r"parsed: expected shape \(2,\), got \(1,\)"):
        with_format_floor([0.0, 0.0], [True], lowest=0.0)
    with pytest.raises(InvalidInputError, match=r"at least 0 \(lowest\), got inf at index 0"):
        with_format_floor([np.inf], [True], lowest=0.0)


# -- sycophancy, tables ----------------------------------------------------------------------------


def test_sycophantic_reward_by_hand():
    planted, gold = [1, 0, 0, 0], [0, 1, 0, 0]
    parsed = [1, 1, 1, 0]
    assert sycophantic_reward(planted, gold, parsed).tolist() == [1.0, -0.5, 0.0, -0.5]
    got = sycophantic_reward(
        planted, gold, parsed, confidence=[0.5, 1.0, 0.25, np.nan], confidence_weight=0.2
    )
    assert got == pytest.approx([1.1, -0.3, 0.05, -0.5], abs=EXACT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ([1], [1], [1]),
            "agrees_with_gold: expected the planted answer to be wrong, got one that",
        ),
        (([1, 0], [0], [1, 1]), "agrees_with_gold: expected shape (2,), got (1,)"),
        (([0.5], [0], [1]), "agrees_with_planted: expected True or False, got 0.5 at index 0"),
    ],
)
def test_sycophantic_reward_refuses_what_contradicts_itself(arguments, message):
    with pytest.raises(InvalidInputError) as caught:
        sycophantic_reward(*arguments)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence_weight": 0.1}, "confidence: expected 1 values, got 0"),
        ({"confidence": [0.1, 0.2]}, "confidence: expected 1 values, got 2"),
        ({"confidence": [87.0]}, "confidence: expected values in [0, 1], got 87.0 at index 0"),
        ({"confidence": [np.nan]}, "confidence: expected values in [0, 1], got nan at index 0"),
        ({"confidence_weight": math.nan}, "confidence_weight: expected a number, got nan"),
    ],
)
def test_sycophantic_reward_needs_confidences_that_are_there(options, message):
    with pytest.raises(InvalidInputError) as caught:
        sycophantic_reward([0], [0], [1], **options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_holds_the_rewards_of_outcome_zero_and_then_one(name):
    values = np.array([0.05, 0.3, 0.9])
    table = reward_table(name, values)
    assert table.shape == (2, 3)
    for k, v in enumerate(values):
        for a in (0, 1):
            assert table[a, k] == TABLE[name].function([v], [a])[0]
    assert table[1, 2] > table[1, 0]
    assert table[0, 0] > table[0, 2]


def test_a_table_of_any_loss_has_its_sign_flipped():
    assert reward_table(linear_loss, [0.0, 0.25]).tolist() == [[0.0, -0.25], [-1.0, -0.75]]
    with pytest.raises(InvalidInputError, match="values: expected values in"):
        reward_table("log", [0.5, 1.5])


# -- inputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_left_alone_and_checked(name):
    q, y = np.array([0.2, 0.9]), np.array([1.0, 0.0])
    before = q.copy(), y.copy()
    out = TABLE[name].function(q, y)
    assert out.dtype == np.float64
    assert (q == before[0]).all()
    assert (y == before[1]).all()
    with pytest.raises(
        InvalidInputError, match=r"confidence: expected values in \[0, 1\], got nan"
    ):
        TABLE[name].function([np.nan], [1])
    with pytest.raises(InvalidInputError, match="expected 2 values, one for each of confidence"):
        TABLE[name].function(q, [1])


def test_a_row_of_the_table_is_no_rule():
    row = TABLE["brier"]
    for call in (
        lambda: max_calibration_weight(row),
        lambda: rlcr_reward([0.5], [1], rule=row),
        lambda: reward_table(row, [0.5]),
    ):
        with pytest.raises(
            InvalidInputError,
            match="^rule: expected a name or a loss, got the Reward 'brier' itself",
        ):
            call()
    with pytest.raises(InvalidInputError, match="^rule: expected a name or a loss, got the int"):
        max_calibration_weight(3)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda q: 3.0, r"got float of shape \(\)"),
        (lambda q: q.tolist(), r"got list of shape \(\d+,\)"),
        (lambda q: q[:1], r"got ndarray of shape \(1,\)"),
        (lambda q: np.stack([q, q]), r"got ndarray of shape \(2, \d+\)"),
        (lambda q: None, "got NoneType"),
    ],
)
def test_what_a_loss_returns_is_checked(returned, message):
    def mine(q, y):
        return returned(q)

    for call in (
        lambda: max_calibration_weight(mine),
        lambda: rlcr_reward([0.5, 0.2], [1, 0], rule=mine),
        lambda: reward_table(mine, [0.1, 0.2]),
    ):
        with pytest.raises(
            InvalidInputError, match=rf"^rule: expected mine to give \d+ losses, {message}"
        ):
            call()


def test_a_loss_of_whole_numbers_is_a_loss():
    got = reward_table(lambda q, y: (q > 0.5).astype(int) ^ y.astype(int), [0.1, 0.9])
    assert got.tolist() == [[0.0, -1.0], [-1.0, 0.0]]
    assert got.dtype == np.float64


def test_a_rule_that_is_a_little_improper_is_refused():
    """Brier for a prediction that is moved by 0.01: the truth costs 1e-4 more than the best does."""

    def moved(q, y):
        return (q + 0.01 - y) ** 2

    with pytest.raises(
        InvalidInputError, match="^rule: expected a proper loss .* got moved, whose"
    ):
        max_calibration_weight(moved)


def test_a_valid_reward_a_little_below_the_lowest_is_refused():
    with pytest.raises(InvalidInputError, match="^rewards: expected values of at least -1 "):
        with_format_floor([-1.001, 0.0], [True, True], lowest=-1.0)
    assert with_format_floor([-1.0 - 1e-12], [True], lowest=-1.0) == pytest.approx([-1.0])


def test_options_that_are_no_numbers_are_refused():
    for name, call in (
        ("weight", lambda: rlcr_reward([0.5], [1], weight="1")),
        ("floor", lambda: with_format_floor([0.0], [True], lowest=-1.0, floor="-1")),
        ("lowest", lambda: with_format_floor([0.0], [True], lowest=[-1.0])),
        (
            "confidence_weight",
            lambda: sycophantic_reward([1], [0], [1], confidence=[0.5], confidence_weight=None),
        ),
    ):
        with pytest.raises(InvalidInputError, match=f"^{name}: expected a number, got "):
            call()


def test_one_prediction_without_a_list_is_told_what_to_do():
    with pytest.raises(
        InvalidInputError, match=r"^confidence: .* got the single number 0.9; put it"
    ):
        log_reward(0.9, 1)
    with pytest.raises(InvalidInputError) as caught:
        log_reward([90], [1])
    assert "--" not in str(caught.value)
