"""What every rule that sets a threshold must keep, whatever the scores and the errors are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead.guard.threshold import Threshold, conformal_threshold, risk_threshold

Rule = Callable[..., Threshold]


def ltt(score: np.ndarray, error: np.ndarray, limit: float, delta: float) -> Threshold:
    return risk_threshold(score, error, max_error=limit, delta=delta, n_min=N_MIN)


def crc(score: np.ndarray, error: np.ndarray, limit: float, delta: float) -> Threshold:
    return conformal_threshold(score, error, max_loss=limit)


RULES: dict[str, Rule] = {"ltt": ltt, "crc": crc}
N_MIN = 60
"""Above the least number that can pass at every limit and delta below, so that it stays the same."""
LIMITS, DELTAS = (0.1, 0.15, 0.2, 0.4, 0.6), (0.05, 0.1, 0.3)

SAMPLES = st.builds(
    lambda seed, n, digits, slope: sample(seed, n, digits, slope),
    st.integers(0, 10_000),
    st.integers(1, 500),
    st.sampled_from([1, 2, 15]),
    st.sampled_from([-3.0, 0.0, 3.0, 8.0]),
)


def sample(seed: int, n: int, digits: int, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, 2% of them missing, that rank well, not at all, or backwards."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.random(n), digits)
    error = (rng.random(n) > 1 / (1 + np.exp(-slope * (score - 0.3)))).astype(float)
    score[rng.random(n) < 0.02] = np.nan
    return score, error


def answered(threshold: Threshold, score: np.ndarray) -> int:
    return int(threshold.answers(score).sum())


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=40, deadline=None)
@given(data=SAMPLES, seed=st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter(
    rule: Rule, data: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    score, error = data
    order = np.random.default_rng(seed).permutation(score.size)
    assert rule(score[order], error[order], 0.3, 0.1) == rule(score, error, 0.3, 0.1)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=40, deadline=None)
@given(data=SAMPLES, limits=st.lists(st.sampled_from(LIMITS), min_size=2, max_size=2))
def test_a_larger_limit_never_answers_less(
    rule: Rule, data: tuple[np.ndarray, np.ndarray], limits: list[float]
) -> None:
    score, error = data
    strict, lax = (answered(rule(score, error, one, 0.1), score) for one in sorted(limits))
    assert strict <= lax


@settings(max_examples=40, deadline=None)
@given(data=SAMPLES, deltas=st.lists(st.sampled_from(DELTAS), min_size=2, max_size=2))
def test_a_larger_delta_never_answers_less(
    data: tuple[np.ndarray, np.ndarray], deltas: list[float]
) -> None:
    score, error = data
    strict, lax = (answered(ltt(score, error, 0.2, one), score) for one in sorted(deltas))
    assert strict <= lax


@settings(max_examples=40, deadline=None)
@given(data=SAMPLES)
def test_which_cells_may_be_tested_is_a_matter_of_the_scores_alone(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    score, error = data
    eligible = [
        t for t in (round(0.02 * k, 2) for k in range(49, -1, -1)) if (score >= t).sum() >= N_MIN
    ]
    for labels in (error, 1 - error, np.zeros_like(error), np.ones_like(error)):
        tested = [cell.value for cell in ltt(score, labels, 0.2, 0.1).path]
        assert tested == eligible[: len(tested)]
        assert bool(tested) == bool(eligible)
    assert [c.value for c in ltt(score, np.zeros_like(error), 0.2, 0.1).path] == eligible


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=40, deadline=None)
@given(data=SAMPLES)
def test_equal_scores_share_their_fate_and_the_counts_are_those_of_the_sample(
    rule: Rule, data: tuple[np.ndarray, np.ndarray]
) -> None:
    score, error = data
    found = rule(score, error, 0.3, 0.1)
    mask = found.answers(score)
    assert not mask[np.isnan(score)].any()
    for value in np.unique(score[~np.isnan(score)]):
        assert len(set(mask[score == value].tolist())) == 1
    if mask.any() and not mask.all():
        assert score[mask].min() > np.nanmax(np.where(mask, np.nan, score), initial=-1.0)
    assert found.n == score.size
    assert found.n_answered == mask.sum()
    assert found.n_errors == pytest.approx(error[mask].sum())


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=40, deadline=None)
@given(data=SAMPLES, row=st.integers(0, 499))
def test_one_more_right_answer_in_place_of_a_wrong_one_never_answers_less(
    rule: Rule, data: tuple[np.ndarray, np.ndarray], row: int
) -> None:
    score, error = data
    better = error.copy()
    better[row % error.size] = 0.0
    assert answered(rule(score, error, 0.3, 0.1), score) <= answered(
        rule(score, better, 0.3, 0.1), score
    )


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=30, deadline=None)
@given(data=SAMPLES, times=st.integers(2, 4))
def test_the_same_rows_several_times_answer_no_less_where_they_answered(
    rule: Rule, data: tuple[np.ndarray, np.ndarray], times: int
) -> None:
    """More rows of the same error rate say the same with more weight, once the start is the same."""
    score, error = data
    once = rule(score, error, 0.3, 0.1)
    again = rule(np.repeat(score, times), np.repeat(error, times), 0.3, 0.1)
    if rule is crc and once.value is not None:
        assert again.value is not None
        assert again.value <= once.value
    first = once.path[0].value if once.path else None
    if rule is ltt and first is not None and again.path:
        assert again.path[0].value >= first
    assert again.n == times * once.n


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=30, deadline=None)
@given(data=SAMPLES)
def test_inputs_are_not_written_to_and_types_do_not_matter(
    rule: Rule, data: tuple[np.ndarray, np.ndarray]
) -> None:
    score, error = data
    before = score.copy(), error.copy()
    found = rule(score, error, 0.3, 0.1)
    np.testing.assert_array_equal(score, before[0])
    np.testing.assert_array_equal(error, before[1])
    assert rule(score.tolist(), error.astype(bool), 0.3, 0.1) == found
    assert Threshold.from_state(found.state()) == found
