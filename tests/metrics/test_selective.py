"""Selective prediction: pairs and permutations counted out, scikit-learn, closed forms, ties."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from levelhead.errors import InvalidInputError
from levelhead.metrics.selective import (
    TABLE,
    accuracy_at_coverage,
    augrc,
    aurc,
    auroc,
    coverage_at_risk,
    e_aurc,
    risk_coverage_curve,
)

TOLERANCE = 1e-12

CONFIDENCES = st.sampled_from([0.0, 0.1, 0.3, 0.1 * 3, 0.5, 0.9, 1.0])
BINARY = st.lists(st.tuples(CONFIDENCES, st.integers(0, 1)), min_size=1, max_size=14)
SMALL = st.lists(st.tuples(CONFIDENCES, st.sampled_from([0.0, 1.0, 0.5])), min_size=1, max_size=5)
WEIGHTED = st.lists(
    st.tuples(CONFIDENCES, st.sampled_from([0.0, 1.0, 0.5, 0.2]), st.integers(0, 4)),
    min_size=1,
    max_size=12,
).filter(lambda rows: any(w for *_, w in rows))
REAL_WEIGHTS = st.lists(
    st.tuples(CONFIDENCES, st.sampled_from([0.0, 1.0, 0.3]), st.floats(0.01, 20.0)),
    min_size=1,
    max_size=10,
)


def columns(rows: list[tuple[float, ...]]) -> list[np.ndarray]:
    return [np.array(x, dtype=float) for x in zip(*rows, strict=True)]


def pairs_won(c: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    won = total = 0.0
    for i, j in itertools.product(range(c.size), repeat=2):
        weight = w[i] * y[i] * w[j] * (1 - y[j])
        total += weight
        won += weight * ((c[i] > c[j]) + 0.5 * (c[i] == c[j]))
    return won / total if total else math.nan


def orders(c: np.ndarray) -> list[tuple[int, ...]]:
    """Every order that has the confidences descending."""
    return [
        order
        for order in itertools.permutations(range(c.size))
        if all(c[a] >= c[b] for a, b in itertools.pairwise(order))
    ]


def aurc_of_order(errors: list[float]) -> float:
    return float(np.mean([sum(errors[:k]) / k for k in range(1, len(errors) + 1)]))


def aurc_of_blocks(c: np.ndarray, e: np.ndarray) -> float:
    """The definition in two loops: errors averaged over ties, then the mean of the running risk."""
    order = sorted(range(c.size), key=lambda i: -c[i])
    averaged = [float(np.mean(e[c == c[i]])) for i in order]
    return aurc_of_order(averaged)


# AUROC


def test_auroc_by_hand() -> None:
    # Right at .9 and .8, wrong at .8 and .3: 3 pairs won, 1 tied.
    assert auroc([0.9, 0.8, 0.8, 0.3], [1, 1, 0, 0]) == 3.5 / 4
    assert auroc([0.1, 0.9], [1, 0]) == 0.0
    assert auroc([0.9, 0.1], [1, 0]) == 1.0
    assert auroc([0.7] * 5, [1, 0, 1, 0, 0]) == 0.5


@given(BINARY)
def test_auroc_is_the_correctly_rounded_share_of_pairs(rows: list[tuple[float, int]]) -> None:
    c, y = columns(rows)
    rights, wrongs = int(y.sum()), int((1 - y).sum())
    if not rights or not wrongs:
        assert math.isnan(auroc(c, y))
        return
    won = sum(
        Fraction(int(a > b) * 2 + int(a == b), 2) for a in c[y == 1] for b in c[y == 0]
    )  # fmt: skip
    assert auroc(c, y) == float(won / (rights * wrongs))


@given(WEIGHTED)
def test_auroc_with_weights_and_fractions_counts_pairs(
    rows: list[tuple[float, float, int]],
) -> None:
    c, y, w = columns(rows)
    expected = pairs_won(c, y, w)
    assert auroc(c, y, weights=w) == pytest.approx(expected, abs=TOLERANCE, nan_ok=True)
    assert auroc(c, y, weights=w * 1e-200) == pytest.approx(expected, abs=TOLERANCE, nan_ok=True)


@pytest.mark.parametrize("decimals", [1, 2, 15])
def test_auroc_equals_sklearn(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    c = np.round(rng.random(20_000), decimals)
    y = (rng.random(c.size) < c).astype(float)
    w = rng.random(c.size)
    assert auroc(c, y) == pytest.approx(roc_auc_score(y, c), abs=TOLERANCE)
    expected = roc_auc_score(y, c, sample_weight=w)
    assert auroc(c, y, weights=w) == pytest.approx(expected, abs=TOLERANCE)


def test_auroc_of_one_class_is_undefined() -> None:
    assert math.isnan(auroc([0.2, 0.9], [1, 1]))
    assert math.isnan(auroc([0.2, 0.9], [0, 0]))
    assert math.isnan(auroc([0.2, 0.9], [1, 0], weights=[1, 0]))


def test_auroc_sees_the_last_bit_of_a_confidence() -> None:
    assert auroc([0.3, 0.1 * 3], [0, 1]) == 1.0
    assert auroc([0.0, -0.0], [0, 1]) == 0.5
    assert auroc([0.0, 5e-324], [0, 1]) == 1.0
    assert auroc([1.0 - 2**-53, 1.0], [0, 1]) == 1.0


# Risk and coverage


def test_risk_coverage_curve_by_hand() -> None:
    curve = risk_coverage_curve([0.2, 0.9, 0.6, 0.9], [0, 1, 1, 0])
    assert curve.threshold.tolist() == [0.9, 0.6, 0.2]
    assert curve.coverage.tolist() == [0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([1 / 2, 1 / 3, 1 / 2])


@given(WEIGHTED)
def test_risk_coverage_curve_by_thresholds(rows: list[tuple[float, float, int]]) -> None:
    c, y, w = columns(rows)
    curve = risk_coverage_curve(c, y, weights=w)
    thresholds = sorted({a for a, _, k in rows if k}, reverse=True)
    assert curve.threshold.tolist() == thresholds
    for t, coverage, risk in zip(thresholds, curve.coverage, curve.risk, strict=True):
        kept = c >= t
        assert coverage == pytest.approx(w[kept].sum() / w.sum(), abs=TOLERANCE)
        assert risk == pytest.approx(np.average(1 - y[kept], weights=w[kept]), abs=TOLERANCE)
    assert curve.coverage[-1] == 1.0


# AURC


def test_aurc_by_hand() -> None:
    assert aurc([0.9, 0.8, 0.7], [1, 0, 1]) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert aurc([0.9], [0]) == 1.0
    assert aurc([0.9, 0.1], [1, 1]) == 0.0
    assert aurc([0.5] * 4, [1, 0, 0, 0]) == pytest.approx(0.75, abs=TOLERANCE)


@given(SMALL)
@settings(max_examples=60)
def test_aurc_is_the_mean_over_all_orders_of_the_ties(rows: list[tuple[float, float]]) -> None:
    c, y = columns(rows)
    expected = np.mean([aurc_of_order([1 - y[i] for i in order]) for order in orders(c)])
    assert aurc(c, y) == pytest.approx(expected, abs=TOLERANCE)


@given(WEIGHTED)
def test_aurc_of_whole_weights_is_that_of_copies(rows: list[tuple[float, float, int]]) -> None:
    c, y, w = columns(rows)
    copies = np.repeat(np.arange(c.size), w.astype(int))
    expected = aurc_of_blocks(c[copies], 1 - y[copies])
    assert aurc(c, y, weights=w) == pytest.approx(expected, abs=TOLERANCE)
    assert aurc(c[copies], y[copies]) == pytest.approx(expected, abs=TOLERANCE)


def test_aurc_of_a_large_sample_in_many_blocks() -> None:
    rng = np.random.default_rng(5)
    c = np.round(rng.random(3000), 3)
    y = (rng.random(c.size) < c).astype(float)
    assert aurc(c, y) == pytest.approx(aurc_of_blocks(c, 1 - y), abs=TOLERANCE)


def test_aurc_reaches_its_closed_form() -> None:
    # Certain and right on 80%, certain of being wrong on 20%: .2 - .8 ln 1.25 for N -> infinity.
    closed = 0.2 - 0.8 * math.log(1.25)
    assert closed == pytest.approx(0.02149, abs=5e-6)
    big = aurc([1.0, 0.0], [1, 0], weights=[8e9, 2e9])
    assert big == pytest.approx(closed, abs=1e-9)
    assert aurc([1.0, 0.0], [1, 0], weights=[16_000, 4_000]) == pytest.approx(0.02149, abs=2e-5)


@given(BINARY, st.randoms(use_true_random=False))
def test_row_order_changes_nothing(rows: list[tuple[float, int]], random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    for row in TABLE:
        before, after = row.function(*columns(rows)), row.function(*columns(shuffled))
        assert before == after or (math.isnan(before) and math.isnan(after))
    one, other = (risk_coverage_curve(*columns(r)) for r in (rows, shuffled))
    np.testing.assert_array_equal(one.risk, other.risk)


def test_a_certain_model_gets_its_error_rate_wherever_its_errors_stand() -> None:
    right = np.ones(1000)
    for place in (0, 500, 900):
        correct = right.copy()
        correct[place : place + 100] = 0
        assert aurc(right, correct) == pytest.approx(0.1, abs=TOLERANCE)
        assert accuracy_at_coverage(right, correct, coverage=0.3) == pytest.approx(0.9)
        assert coverage_at_risk(right, correct, risk=0.1) == 1.0


def test_an_increasing_map_changes_no_ranking() -> None:
    rng = np.random.default_rng(0)
    c = np.round(rng.random(500), 2)
    y = (rng.random(500) < c).astype(float)
    for row in TABLE:
        assert row.function(c**3, y) == row.function(c, y)


# E-AURC


def test_e_aurc_by_hand() -> None:
    half = 0.5 + 0.5 * math.log(0.5)
    assert e_aurc([0.9, 0.8], [0, 1]) == pytest.approx(0.75 - half)
    assert e_aurc([0.9, 0.8], [0, 1], oracle="sample") == pytest.approx(0.75 - 0.25)
    # The limit's oracle is out of reach for two samples: the perfect order still has 1/4.
    assert e_aurc([0.9, 0.8], [1, 0]) == pytest.approx(0.25 - half)


@pytest.mark.parametrize("oracle", ["limit", "sample"])
def test_e_aurc_of_one_class(oracle: str) -> None:
    assert e_aurc([0.9, 0.2], [1, 1], oracle=oracle) == 0.0
    assert e_aurc([0.9, 0.2], [0, 0], oracle=oracle) == pytest.approx(0.0, abs=TOLERANCE)


@given(BINARY)
def test_e_aurc_against_the_sorted_sample(rows: list[tuple[float, int]]) -> None:
    c, y = columns(rows)
    best = aurc_of_order(sorted((1 - y).tolist()))
    expected = aurc_of_blocks(c, 1 - y) - best
    assert e_aurc(c, y, oracle="sample") == pytest.approx(expected, abs=TOLERANCE)
    perfect = np.linspace(1, 0, c.size)
    assert e_aurc(perfect, np.sort(y)[::-1], oracle="sample") == pytest.approx(0, abs=TOLERANCE)


@given(REAL_WEIGHTS)
def test_neither_oracle_can_be_beaten(rows: list[tuple[float, float, float]]) -> None:
    c, y, w = columns(rows)
    error = float(np.average(1 - y, weights=w))
    limit = error + ((1 - error) * math.log(1 - error) if error < 1 else 0.0)
    area = aurc(c, y, weights=w)
    assert area >= limit - TOLERANCE
    in_the_limit = e_aurc(c, y, weights=w)
    on_the_sample = e_aurc(c, y, oracle="sample", weights=w)
    assert in_the_limit == pytest.approx(area - limit, abs=TOLERANCE)
    # The best that can be done with this weight on each side, in one sorted sample.
    sorted_area = aurc([1.0, 0.0], [1, 0], weights=_two_sided(y, w)) if _mixed(y, w) else error
    assert on_the_sample == pytest.approx(area - sorted_area, abs=TOLERANCE)
    assert area >= sorted_area - TOLERANCE
    assert 0.0 <= on_the_sample <= in_the_limit + TOLERANCE


def _two_sided(y: np.ndarray, w: np.ndarray) -> list[float]:
    return [float((w * y).sum()), float((w * (1 - y)).sum())]


def _mixed(y: np.ndarray, w: np.ndarray) -> bool:
    return min(_two_sided(y, w)) > 0


# AUGRC


def test_augrc_by_hand() -> None:
    # Wrong first: P(wrong and answered) rises from 0 to 1/2 and stays: 1/8 + 1/4.
    assert augrc([0.9, 0.8], [0, 1]) == pytest.approx(0.375)
    assert augrc([0.9, 0.8], [1, 0]) == pytest.approx(0.125)
    assert augrc([0.9, 0.8], [1, 1]) == 0.0
    assert augrc([0.9, 0.8], [0, 0]) == pytest.approx(0.5)


@given(WEIGHTED)
def test_augrc_follows_from_auroc_and_accuracy(rows: list[tuple[float, float, int]]) -> None:
    c, y, w = columns(rows)
    a = float(np.average(y, weights=w))
    pairs = pairs_won(c, y, w)
    ranking = 0.0 if math.isnan(pairs) else (1 - pairs) * a * (1 - a)
    expected = ranking + (1 - a) ** 2 / 2
    assert augrc(c, y, weights=w) == pytest.approx(expected, abs=TOLERANCE)


# At a coverage, at a risk


def test_accuracy_at_coverage_by_hand() -> None:
    c, y = np.linspace(1.0, 0.1, 10), [1, 1, 1, 0, 1, 1, 0, 1, 0, 0]
    assert accuracy_at_coverage(c, y) == pytest.approx(6 / 8)
    assert accuracy_at_coverage(c, y, coverage=0.3) == pytest.approx(1.0)
    assert accuracy_at_coverage(c, y, coverage=1.0) == pytest.approx(0.6)
    assert accuracy_at_coverage(c, y, coverage=0.35) == pytest.approx(3 / 3.5)
    assert accuracy_at_coverage(c, y, coverage=1e-6) == pytest.approx(1.0)


@given(SMALL, st.integers(1, 5))
@settings(max_examples=60)
def test_accuracy_at_coverage_is_the_mean_over_all_orders_of_the_ties(
    rows: list[tuple[float, float]], k: int
) -> None:
    c, y = columns(rows)
    k = min(k, c.size)
    expected = np.mean([np.mean([y[i] for i in order[:k]]) for order in orders(c)])
    got = accuracy_at_coverage(c, y, coverage=k / c.size)
    assert got == pytest.approx(expected, abs=1e-9)


def test_coverage_at_risk_by_hand() -> None:
    c, y = [0.9, 0.8, 0.7, 0.6, 0.5], [1, 1, 0, 1, 0]
    assert coverage_at_risk(c, y, risk=0.0) == pytest.approx(0.4)
    assert coverage_at_risk(c, y, risk=0.25) == pytest.approx(0.8)  # 0.7 alone is at 1/3
    assert coverage_at_risk(c, y, risk=0.3) == pytest.approx(0.8)
    assert coverage_at_risk(c, y, risk=0.4) == pytest.approx(1.0)
    assert coverage_at_risk([0.9, 0.8], [0, 0], risk=0.05) == 0.0
    assert coverage_at_risk([0.9, 0.8], [1, 1], risk=0.0) == 1.0


def test_coverage_at_risk_never_splits_a_tie() -> None:
    assert coverage_at_risk([0.9, 0.9, 0.9, 0.1], [1, 1, 0, 1], risk=0.2) == 0.0
    assert coverage_at_risk([0.9, 0.9, 0.9, 0.1], [1, 1, 0, 1], risk=0.25) == 1.0


def test_coverage_at_risk_knows_decimals() -> None:
    # 2 errors in 20, each of weight 0.1: exactly 10%, and 0.10000000000000006 in floating point.
    c, y, w = [0.9] * 20, [0.0] * 2 + [1.0] * 18, [0.1] * 20
    assert risk_coverage_curve(c, y, weights=w).risk[0] > 0.1  # the trap
    assert coverage_at_risk(c, y, risk=0.1, weights=w) == 1.0
    assert coverage_at_risk(c, y, risk=0.0999, weights=w) == 0.0


@given(WEIGHTED, st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5, 1.0]))
def test_coverage_at_risk_by_thresholds(rows: list[tuple[float, float, int]], risk: float) -> None:
    c, y, w = columns(rows)
    best = 0.0
    for t in c[w > 0]:
        kept = (c >= t) & (w > 0)
        if np.average(1 - y[kept], weights=w[kept]) <= risk + 1e-9:
            best = max(best, w[kept].sum() / w.sum())
    assert coverage_at_risk(c, y, risk=risk, weights=w) == pytest.approx(best, abs=TOLERANCE)


# All of them


@given(WEIGHTED)
def test_fractional_correctness_is_a_mixture(rows: list[tuple[float, float, int]]) -> None:
    c, y, w = columns(rows)
    split = np.concatenate([c, c]), np.repeat([1.0, 0.0], c.size)
    weights = np.concatenate([w * y, w * (1 - y)])
    for row in TABLE:
        expected, got = row.function(*split, weights=weights), row.function(c, y, weights=w)
        assert got == pytest.approx(expected, abs=TOLERANCE, nan_ok=True)
        assert math.isnan(got) or row.low <= got <= row.high


@given(WEIGHTED)
def test_whole_weights_are_copies(rows: list[tuple[float, float, int]]) -> None:
    c, y, w = columns(rows)
    copies = np.repeat(np.arange(c.size), w.astype(int))
    for row in TABLE:
        expected, got = row.function(c[copies], y[copies]), row.function(c, y, weights=w)
        assert got == pytest.approx(expected, abs=TOLERANCE, nan_ok=True)
        if row.plug_in:
            tripled = row.function(c, y, weights=3 * w)
            assert tripled == pytest.approx(expected, abs=TOLERANCE, nan_ok=True)


def test_the_sample_size_matters_to_what_is_not_plug_in() -> None:
    rows = {row.name for row in TABLE if not row.plug_in}
    assert rows == {"aurc", "e_aurc"}
    assert aurc([0.9, 0.8], [1, 0]) != aurc([0.9, 0.8], [1, 0], weights=[3, 3])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_errors_say_what_is_wrong(row) -> None:
    with pytest.raises(
        InvalidInputError, match=r"^confidence: expected values in \[0, 1\], got 80.0"
    ):
        row.function([80.0], [1])
    with pytest.raises(
        InvalidInputError, match=r"confidence: expected at least one value, got none"
    ):
        row.function([], [])
    with pytest.raises(InvalidInputError, match=r"correct: expected 2 values, one for each"):
        row.function([0.1, 0.2], [1])
    with pytest.raises(InvalidInputError, match=r"weights: expected at least one value above 0"):
        row.function([0.1, 0.2], [1, 0], weights=[0, 0])


def test_errors_name_the_option() -> None:
    with pytest.raises(InvalidInputError, match=r"^coverage: expected values in \[0, 1\], got 80"):
        accuracy_at_coverage([0.5], [1], coverage=80)
    with pytest.raises(InvalidInputError, match=r"^coverage: expected a share above 0, got 0.0"):
        accuracy_at_coverage([0.5], [1], coverage=0)
    with pytest.raises(InvalidInputError, match=r"^risk: expected values in \[0, 1\], got 5"):
        coverage_at_risk([0.5], [1], risk=5)
    with pytest.raises(
        InvalidInputError, match=r"^oracle: expected one of limit, sample, got 'lim'"
    ):
        e_aurc([0.5], [1], oracle="lim")  # pyright: ignore[reportArgumentType]
