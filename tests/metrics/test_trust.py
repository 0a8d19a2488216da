"""Trustworthiness: the published table, the integral over stakes counted out, propriety, parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelhead.errors import InvalidInputError
from levelhead.metrics.overconfidence import accuracy
from levelhead.metrics.selective import aurc
from levelhead.metrics.trust import (
    TABLE,
    trust,
    trust_curve,
    trust_decomposition,
    trust_score,
)

THREE_DECIMALS = 5.001e-4
TOLERANCE = 1e-12

# (confidence, correct, weights): A is right on 80% and knows its 20%; B is right on 95%.
A = ([1.0, 0.0], [1.0, 0.0], [16_000, 4_000])
B_CERTAIN = ([1.0, 1.0], [1.0, 0.0], [19_000, 1_000])
B_AT_95 = ([0.95, 0.95], [1.0, 0.0], [19_000, 1_000])
MODELS = {"A": A, "B certain": B_CERTAIN, "B at .95": B_AT_95}

ROWS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.3, 0.5, 0.75, 0.9, 0.99, 0.995, 1.0]) | st.floats(0, 1),
        st.sampled_from([0.0, 1.0, 0.5, 0.3]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=20,
).filter(lambda rows: any(w for *_, w in rows))
FLOORS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9, 0.95])


def columns(rows: list[tuple[float, ...]]) -> list[np.ndarray]:
    return [np.array(x, dtype=float) for x in zip(*rows, strict=True)]


def utility(c: float, y: float, t: float, eps: float) -> float:
    """To a user with stakes t: 1 if right, -t / (1 - t) if wrong, 0 where c does not reach t."""
    if min(c, 1 - eps) < t:
        return 0.0
    return y - (1 - y) * t / (1 - t)


def by_the_formula(c: float, y: float, t0: float, eps: float) -> float:
    c = min(c, 1 - eps)
    if c <= t0:
        return 0.0
    return ((c - t0) + (1 - y) * math.log((1 - c) / (1 - t0))) / (1 - t0)


@pytest.mark.parametrize(
    ("t0", "a", "b", "b95"),
    [
        (0.5, 0.784, 0.589, 0.670),
        (0.0, 0.792, 0.760, 0.800),
        (0.75, 0.768, 0.316, 0.478),
        (0.9, 0.720, -0.251, 0.153),
    ],
)
def test_the_table(t0: float, a: float, b: float, b95: float) -> None:
    for (c, y, w), expected in zip((A, B_CERTAIN, B_AT_95), (a, b, b95), strict=True):
        got = trust(c, y, t0=t0, weights=w)
        assert got == pytest.approx(expected, abs=THREE_DECIMALS)
        curve = trust_curve(c, y, t0s=[t0], weights=w)
        assert curve.trust[0] == pytest.approx(got, abs=TOLERANCE)
        name = {0.5: "trust", 0.0: "trust_at_0", 0.75: "trust_at_75", 0.9: "trust_at_90"}[t0]
        row = next(row for row in TABLE if row.name == name)
        assert row.function(c, y, weights=w) == got


def test_the_table_as_eps_vanishes() -> None:
    for eps in (1e-6, 1e-12, 0.0):
        c, y, w = A
        assert trust(c, y, eps=eps, weights=w) == pytest.approx(0.8, abs=THREE_DECIMALS)
        c, y, w = B_AT_95
        assert trust(c, y, eps=eps, weights=w) == pytest.approx(trust(c, y, weights=w), abs=1e-15)
    c, y, w = B_CERTAIN
    values = [trust(c, y, eps=eps, weights=w) for eps in (1e-2, 1e-4, 1e-8, 1e-16, 1e-300)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < -60
    assert trust(c, y, eps=0.0, weights=w) == -math.inf


@pytest.mark.parametrize(
    ("model", "brier_loss", "area", "right", "rlcr"),
    [
        ("A", 0.0, 0.0215, 0.80, 0.80),
        ("B certain", 0.05, 0.05, 0.95, 0.90),
        ("B at .95", 0.0475, 0.05, 0.95, 0.9025),
    ],
)
def test_the_other_scores_of_the_table(
    model: str, brier_loss: float, area: float, right: float, rlcr: float
) -> None:
    from levelhead.metrics.unbinned import brier

    c, y, w = MODELS[model]
    assert brier(c, y, weights=w) == pytest.approx(brier_loss, abs=TOLERANCE)
    assert aurc(c, y, weights=w) == pytest.approx(area, abs=5e-5)
    assert accuracy(c, y, weights=w) == pytest.approx(right, abs=TOLERANCE)
    reward = accuracy(c, y, weights=w) - brier(c, y, weights=w)  # mean of y - (y - c)^2
    assert reward == pytest.approx(rlcr, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("zones", "t0", "expected"),
    [
        ((0.97, 0.12), 0.5, 0.617),
        ((0.97, 0.12), 0.0, 0.693),
        ((0.95, 0.2), 0.5, 0.536),
        ((0.95, 0.2), 0.75, 0.382),
    ],
)
def test_the_honest_limits(zones: tuple[float, float], t0: float, expected: float) -> None:
    # Says the accuracy of its zone: the first on 80%, the second on 20%.
    got = trust(zones, zones, t0=t0, weights=[0.8, 0.2])
    assert got == pytest.approx(expected, abs=THREE_DECIMALS)


def test_the_honest_limits_decide_as_published() -> None:
    def a(zones: tuple[float, float], t0: float) -> float:
        return trust(zones, zones, t0=t0, weights=[0.8, 0.2])

    def b(t0: float) -> float:
        c, y, w = B_CERTAIN
        return trust(c, y, t0=t0, weights=w)

    assert a((0.97, 0.12), 0.5) > b(0.5)
    assert a((0.97, 0.12), 0.0) < b(0.0)
    assert a((0.95, 0.2), 0.5) < b(0.5)
    assert a((0.95, 0.2), 0.75) > b(0.75)
    c, y, w = A
    assert trust([0.95], [0.95], t0=0.0) > trust(c, y, t0=0.0, weights=w)


@pytest.mark.parametrize("t0", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("eps", [0.01, 0.1])
@pytest.mark.parametrize("y", [0.0, 1.0, 0.3])
def test_it_is_the_mean_utility_over_stakes(t0: float, eps: float, y: float) -> None:
    steps = 40_000
    stakes = t0 + (1 - t0) * (np.arange(steps) + 0.5) / steps
    for c in (0.0, 0.3, 0.5, 0.7, 0.95, 1.0):
        expected = np.mean([utility(c, y, t, eps) for t in stakes])
        got = trust_score([c], [y], t0=t0, eps=eps)[0]
        assert got == pytest.approx(expected, abs=2e-3 / (1 - t0))


@given(ROWS, FLOORS, st.sampled_from([0.01, 0.1, 1e-9]))
def test_against_a_loop(rows: list[tuple[float, float, int]], t0: float, eps: float) -> None:
    c, y, w = columns(rows)
    scores = [by_the_formula(a, b, t0, eps) for a, b, _ in rows]
    tolerance = 1e-6 if eps < 1e-6 else TOLERANCE  # the loop's 1 - c has lost digits there
    assert trust_score(c, y, t0=t0, eps=eps) == pytest.approx(scores, rel=tolerance, abs=tolerance)
    expected = sum(s * k for s, (*_, k) in zip(scores, rows, strict=True)) / w.sum()
    got = trust(c, y, t0=t0, eps=eps, weights=w)
    assert got == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_scores_by_hand() -> None:
    # (.25 + ln(.25/.5)) / .5
    assert trust_score([0.75], [0])[0] == pytest.approx(0.5 - 2 * math.log(2), abs=TOLERANCE)
    assert trust_score([1.0], [1])[0] == pytest.approx(0.98, abs=TOLERANCE)
    assert trust_score([0.5, 0.2, 0.0], [0, 1, 0]).tolist() == [0.0, 0.0, 0.0]
    assert trust_score([1.0], [0])[0] == pytest.approx(0.98 + 2 * math.log(0.02), abs=TOLERANCE)


def test_the_score_is_continuous_at_the_floor() -> None:
    near = trust_score([0.9, 0.3 * 3, 0.9 + 1e-9], [0, 0, 0], t0=0.9)
    # The slope for a wrong answer above the floor: (1 - 1 / (1 - c)) / (1 - t0) = -90.
    assert near == pytest.approx([0.0, 0.0, -9e-8], rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_honesty_is_optimal(p: float) -> None:
    grid = np.round(np.linspace(0, 1, 1001), 3)
    expected = trust_score(grid, np.full(grid.size, p), t0=0.0)
    assert grid[expected.argmax()] == p
    assert (expected == expected.max()).sum() == 1 or p == 0.99  # all above 0.99 are capped there


def test_honesty_is_optimal_above_the_floor_and_harmless_below() -> None:
    grid = np.round(np.linspace(0, 1, 1001), 3)
    for p in (0.6, 0.75, 0.9):
        assert grid[trust_score(grid, np.full(grid.size, p)).argmax()] == p
    below = trust_score(grid, np.full(grid.size, 0.4))
    assert below.max() == 0.0
    assert grid[below == 0.0].max() == 0.5


def test_utility_increases_with_the_probability_so_accuracy_needs_no_term_of_its_own() -> None:
    p = np.linspace(0, 0.99, 500)
    for t0 in (0.0, 0.5, 0.9):
        assert (np.diff(trust_score(p, p, t0=t0)) >= 0).all()


# Declining to answer


def test_silence_scores_zero_and_a_certain_fool_less() -> None:
    assert trust([0.9, 1.0], [0, 0], answered=[False, False]) == 0.0
    assert trust([1.0, 1.0], [0, 0]) < 0.0


def test_an_unanswered_record_is_not_read_but_counts() -> None:
    got = trust([1.0, math.nan], [1, math.nan], answered=[True, False])
    assert got == pytest.approx(0.98 / 2)
    assert trust_score([1.0, math.nan], [1, math.nan], answered=[1, 0]).tolist() == [
        pytest.approx(0.98),
        0.0,
    ]
    weighted = trust([1.0, 0.2], [1, 0], answered=[True, False], weights=[1, 3])
    assert weighted == pytest.approx(0.98 / 4)


@given(ROWS, FLOORS, st.data())
def test_unanswered_equals_a_confidence_of_zero(
    rows: list[tuple[float, float, int]], t0: float, data: st.DataObject
) -> None:
    c, y, w = columns(rows)
    size = c.size
    answered = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    silent = np.where(answered, c, 0.0)
    options = {"t0": t0, "weights": w}
    expected = trust(silent, y, **options)
    assert trust(c, y, answered=answered, **options) == pytest.approx(expected, abs=TOLERANCE)
    parts = trust_decomposition(c, y, answered=answered, **options)
    assert parts.trust == pytest.approx(expected, abs=TOLERANCE)
    assert parts.resolution - parts.miscalibration == pytest.approx(expected, abs=TOLERANCE)
    curve = trust_curve(c, y, t0s=[t0], answered=answered, weights=w)
    assert curve.trust[0] == pytest.approx(expected, abs=TOLERANCE)


# Decomposition


def test_decomposition_by_hand() -> None:
    # Says .9 at an accuracy of .75: Phi(.75) = .5 + .25 * 2 ln(.5), stated: .8 + .25 * 2 ln(.2).
    parts = trust_decomposition([0.9] * 4, [1, 1, 1, 0])
    assert parts.trust == pytest.approx(0.8 + 0.5 * math.log(0.2), abs=TOLERANCE)
    assert parts.resolution == pytest.approx(0.5 + 0.5 * math.log(0.5), abs=TOLERANCE)
    assert parts.miscalibration == pytest.approx(parts.resolution - parts.trust, abs=TOLERANCE)


@given(ROWS, FLOORS, st.sampled_from([0.01, 0.1]))
def test_decomposition_is_exact(
    rows: list[tuple[float, float, int]], t0: float, eps: float
) -> None:
    c, y, w = columns(rows)
    parts = trust_decomposition(c, y, t0=t0, eps=eps, weights=w)
    assert parts.trust == pytest.approx(trust(c, y, t0=t0, eps=eps, weights=w), abs=TOLERANCE)
    assert parts.resolution - parts.miscalibration == pytest.approx(parts.trust, abs=TOLERANCE)
    assert parts.resolution >= 0.0
    assert parts.miscalibration >= 0.0
    # By its definition: the score that the accuracy at each distinct confidence would have got.
    recalibrated = np.array([np.average(y[c == v], weights=w[c == v] + 1e-300) for v in c])
    honest = trust(np.clip(recalibrated, 0, 1), y, t0=t0, eps=eps, weights=w)
    assert parts.resolution == pytest.approx(honest, abs=1e-9)


def test_a_calibrated_model_has_nothing_to_lose() -> None:
    c = np.repeat([0.2, 0.6, 0.9], 10)
    y = np.concatenate([np.arange(10) < k for k in (2, 6, 9)]).astype(float)
    parts = trust_decomposition(c, y)
    assert parts.miscalibration == pytest.approx(0.0, abs=TOLERANCE)
    assert parts.resolution == pytest.approx(trust(c, y), abs=TOLERANCE)


def test_above_the_cap_nobody_is_miscalibrated_who_is_right() -> None:
    assert trust_decomposition([1.0, 1.0], [1, 1]).miscalibration == 0.0


def test_decomposition_of_silence_and_without_a_cap() -> None:
    parts = trust_decomposition([0.9], [0], answered=[False])
    assert (parts.trust, parts.resolution, parts.miscalibration) == (0.0, 0.0, 0.0)
    parts = trust_decomposition([1.0, 1.0], [1, 0], eps=0.0)
    assert parts.trust == -math.inf
    assert parts.miscalibration == math.inf
    assert parts.resolution == 0.0


# The curve


@given(ROWS, st.lists(st.floats(0, 0.98), min_size=1, max_size=12))
def test_the_curve_is_trust_at_each_floor(
    rows: list[tuple[float, float, int]], floors: list[float]
) -> None:
    c, y, w = columns(rows)
    curve = trust_curve(c, y, t0s=floors, weights=w)
    assert curve.t0.tolist() == floors
    expected = [trust(c, y, t0=t0, weights=w) for t0 in floors]
    assert curve.trust == pytest.approx(expected, abs=1e-11)
    unweighted = [trust(c, y, t0=t0) for t0 in floors]
    assert trust_curve(c, y, t0s=floors).trust == pytest.approx(unweighted, abs=1e-11)


def test_the_default_curve() -> None:
    c, y, w = B_CERTAIN
    curve = trust_curve(c, y, weights=w)
    assert curve.t0[[0, 50, 95]].tolist() == [0.0, 0.5, 0.95]
    assert curve.trust[[0, 50, 75, 90]] == pytest.approx(
        [0.760, 0.589, 0.316, -0.251], abs=THREE_DECIMALS
    )


def test_floors_on_a_confidence_and_beyond_the_cap() -> None:
    c, y = [0.5, 0.9, 1.0], [0, 0, 0]
    floors = [0.99, 0.9, 0.5, 0.995]
    expected = [trust(c, y, t0=t0) for t0 in floors]
    assert trust_curve(c, y, t0s=floors).trust == pytest.approx(expected, abs=1e-11)
    assert expected[3] == 0.0
    endless = trust_curve([1.0, 0.6], [0, 1], t0s=[0.0, 0.7], eps=0.0).trust
    assert endless.tolist() == [-math.inf, -math.inf]


def test_a_curve_over_many_records_is_one_pass() -> None:
    rng = np.random.default_rng(3)
    c = rng.random(200_000)
    y = (rng.random(c.size) < c).astype(float)
    curve = trust_curve(c, y)
    for k in (0, 40, 95):
        assert curve.trust[k] == pytest.approx(trust(c, y, t0=curve.t0[k]), abs=1e-10)


# All of them


@given(ROWS)
def test_whole_weights_are_copies_and_fractions_are_mixtures(
    rows: list[tuple[float, float, int]],
) -> None:
    c, y, w = columns(rows)
    copies = np.repeat(np.arange(c.size), w.astype(int))
    split = np.concatenate([c, c]), np.repeat([1.0, 0.0], c.size)
    for row in TABLE:
        got = row.function(c, y, weights=w)
        assert got == pytest.approx(row.function(c[copies], y[copies]), abs=TOLERANCE)
        mixture = row.function(*split, weights=np.concatenate([w * y, w * (1 - y)]))
        assert got == pytest.approx(mixture, abs=TOLERANCE)
        assert row.low - TOLERANCE <= got <= row.high + TOLERANCE


def test_the_range_of_the_headline() -> None:
    row = TABLE[0]
    assert row.name == "trust"
    assert row.low == pytest.approx((0.49 + math.log(0.02)) / 0.5, abs=TOLERANCE)
    assert row.high == pytest.approx(0.98, abs=TOLERANCE)


def test_inputs_are_untouched() -> None:
    c, y, floors = np.array([1.0, 0.3]), np.array([0.0, 1.0]), np.array([0.9, 0.1])
    trust(c, y, answered=np.array([True, False]), weights=np.array([0.0, 1.0]))
    curve = trust_curve(c, y, t0s=floors)
    curve.t0[0] = 0.0
    assert (c.tolist(), y.tolist(), floors.tolist()) == ([1.0, 0.3], [0.0, 1.0], [0.9, 0.1])


@pytest.mark.parametrize("function", [trust, trust_score, trust_decomposition])
def test_errors_say_what_is_wrong(function) -> None:
    with pytest.raises(
        InvalidInputError, match=r"^confidence: expected values in \[0, 1\], got 90.0"
    ):
        function([90.0], [1])
    with pytest.raises(
        InvalidInputError, match=r"confidence: expected at least one value, got none"
    ):
        function([], [])
    with pytest.raises(InvalidInputError, match=r"correct: expected 2 values, one for each"):
        function([0.1, 0.2], [1])
    with pytest.raises(InvalidInputError, match=r"correct: expected 2 values, one for each"):
        function([0.1, 0.2], [1], answered=[True, True])
    with pytest.raises(InvalidInputError, match=r"^t0: expected values in \[0, 1\), got 1.0"):
        function([0.5], [1], t0=1.0)
    with pytest.raises(InvalidInputError, match=r"^t0: expected values in \[0, 1\], got -0.1"):
        function([0.5], [1], t0=-0.1)
    with pytest.raises(InvalidInputError, match=r"^eps: expected a value in \[0, 1\), got 1.0"):
        function([0.5], [1], eps=1.0)
    with pytest.raises(InvalidInputError, match=r"^answered: expected 1 values, one per sample"):
        function([0.5], [1], answered=[True, False])
    with pytest.raises(InvalidInputError, match=r"^answered: expected only True and False"):
        function([0.5], [1], answered=["yes"])
    with pytest.raises(InvalidInputError, match=r"^confidence: expected values in"):
        function([math.nan], [1], answered=[True])


def test_errors_of_the_curve() -> None:
    with pytest.raises(InvalidInputError, match=r"^t0s: expected values in \[0, 1\), got 1.0"):
        trust_curve([0.5], [1], t0s=[0.5, 1.0])
    with pytest.raises(InvalidInputError, match=r"^t0s: expected at least one value, got none"):
        trust_curve([0.5], [1], t0s=[])
    with pytest.raises(InvalidInputError, match=r"^weights: expected 1 values"):
        trust_curve([0.5], [1], weights=[1, 2])
