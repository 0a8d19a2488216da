"""The drift alarms against enumeration, slow loops, exact chains and simulation."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from levelhead.errors import InvalidInputError
from levelhead.guard.drift import ErrorCusum, ScoreReference, psi

REPEATS = 500

# ---- the index


def test_psi_by_hand() -> None:
    # (0.6 - 0.5) ln(0.6 / 0.5) + (0.4 - 0.5) ln(0.4 / 0.5) = 0.1 ln 1.2 - 0.1 ln 0.8 = 0.1 ln 1.5
    assert psi([50, 50], [60, 40]) == pytest.approx(0.1 * math.log(1.5), rel=1e-12)
    assert psi([0.5, 0.5], [0.6, 0.4]) == pytest.approx(0.1 * math.log(1.5), rel=1e-12)
    # (1 + 0.5) / (2 + 1) = 1/2 and 2.5 / 3 = 5/6
    assert psi([1, 1], [2, 0], added=0.5) == pytest.approx(math.log(5) / 3, rel=1e-12)


def test_psi_is_the_sum_of_both_divergences() -> None:
    e, a = np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.6, 0.3])
    assert psi(e, a) == pytest.approx(stats.entropy(e, a) + stats.entropy(a, e), rel=1e-12)
    assert psi(e, a) == psi(a, e)


def test_empty_bins() -> None:
    assert psi([1, 0, 1], [1, 0, 1]) == 0.0
    assert psi([1, 0], [1, 1]) == math.inf
    assert psi([1, 1], [1, 0]) == math.inf


# ---- the bins


def test_bins_are_nearly_equal_and_split_no_ties() -> None:
    reference = ScoreReference.of(np.arange(100) / 100, n_bins=4)
    assert reference.counts == (25, 25, 25, 25)
    assert reference.edges == pytest.approx((0.245, 0.495, 0.745))
    tied = ScoreReference.of([0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9], n_bins=2)
    assert tied.counts == (5, 5)
    assert tied.edges == pytest.approx((0.7,))


def test_a_few_stated_values_have_a_bin_each() -> None:
    reference = ScoreReference.of(np.repeat([0.5, 0.9, 0.95], [10, 20, 70]))
    assert reference.counts == (0, 10, 0, 20, 0, 70, 0)
    # The same values in single precision are the same values.
    same = np.repeat(np.array([0.5, 0.9, 0.95], np.float32), [10, 20, 70])
    assert reference.check(same).psi == 0.0
    # 0.93 was never stated before; a score between two known ones is no rounding of either.
    assert reference.check([0.93] * 100).alarm


def test_a_constant_score_that_becomes_another_is_drift() -> None:
    assert ScoreReference.of([0.9] * 50).check([0.5] * 50).alarm
    check = ScoreReference.of([0.9] * 50).check([0.9] * 50)
    assert (check.psi, check.p_value, check.alarm) == (0.0, 1.0, False)


def test_missing_scores_are_a_bin() -> None:
    score = np.linspace(0, 1, 200)
    reference = ScoreReference.of(np.where(np.arange(200) < 20, np.nan, score))
    assert (reference.n, reference.missing) == (200, 20)
    assert sum(reference.shares) == pytest.approx(0.9)
    more = np.where(np.arange(200) % 2 == 0, np.nan, score)
    assert reference.check(more).alarm
    assert not reference.check(np.where(np.arange(200) % 10 == 0, np.nan, score)).alarm
    assert ScoreReference.of([np.nan] * 20).check([0.5] * 20).alarm


# ---- the null


def test_the_p_value_is_that_of_all_divisions() -> None:
    """6 + 5 rows in three bins: every division of the pooled rows, each as likely as any other."""
    reference = ScoreReference((0.3, 0.6), (3, 2, 1))
    new = [0.1, 0.5, 0.7, 0.7, 0.7]
    pooled, m = np.array([4, 3, 4]), 5
    total, extreme = 0, 0
    observed = psi([3, 2, 1], [1, 1, 3], added=0.5)
    for i in range(5):
        for j in range(4):
            k = m - i - j
            if 0 <= k <= 4:
                ways = math.comb(4, i) * math.comb(3, j) * math.comb(4, k)
                total += ways
                division = np.array([i, j, k])
                extreme += ways * (psi(pooled - division, division, added=0.5) >= observed - 1e-9)
    assert total == math.comb(11, 5)
    found = reference.check(new, 0.01, n_draws=20_000)
    assert found.psi == pytest.approx(observed, rel=1e-12)
    exact = extreme / total
    assert found.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))


WORLDS = {
    "continuous": lambda rng, n: rng.beta(5, 2, n),
    "five values": lambda rng, n: rng.choice(
        [0.5, 0.7, 0.8, 0.9, 0.95], n, p=[0.02, 0.03, 0.05, 0.2, 0.7]
    ),
    "half certain": lambda rng, n: np.where(rng.random(n) < 0.5, 1.0, rng.beta(5, 2, n)),
    "some missing": lambda rng, n: np.where(rng.random(n) < 0.1, np.nan, rng.random(n)),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("n", "m"), [(60, 40), (200, 1000), (2000, 100)])
def test_false_alarms_are_as_rare_as_stated(world: str, n: int, m: int) -> None:
    rng = np.random.default_rng([n, m])
    draw, level = WORLDS[world], 0.05
    checks = [
        ScoreReference.of(draw(rng, n)).check(draw(rng, m), level, n_draws=199, seed=i)
        for i in range(REPEATS)
    ]
    rate = float(np.mean([check.alarm for check in checks]))
    assert rate <= level + 3 * math.sqrt(level * (1 - level) / REPEATS)
    if min(n, m) >= 100:
        assert rate >= level - 3 * math.sqrt(level * (1 - level) / REPEATS)


def test_well_filled_bins_follow_the_chi_square() -> None:
    rng = np.random.default_rng(0)
    n, m = 3000, 2000
    values, shares = [], []
    for i in range(REPEATS):
        check = ScoreReference.of(rng.random(n)).check(rng.random(m), 0.05, n_draws=299, seed=i)
        values.append(check.psi / (1 / n + 1 / m))
        shares.append(check.p_value)
    assert np.mean(values) == pytest.approx(9, abs=3 * math.sqrt(18 / REPEATS))
    assert check.by_chance == pytest.approx(9 * (1 / n + 1 / m), rel=0.1)
    assert stats.kstest(stats.chi2.sf(values, 9), "uniform").pvalue > 0.001
    assert np.mean(np.array(shares) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_the_usual_limits_cry_wolf_at_a_hundred_rows() -> None:
    rng = np.random.default_rng(4)
    over, alarms = 0, 0
    for i in range(REPEATS):
        check = ScoreReference.of(rng.random(1000)).check(
            rng.random(100), 0.01, n_draws=199, seed=i
        )
        over += check.psi >= 0.1
        alarms += check.alarm
    assert over / REPEATS > 0.3
    assert alarms / REPEATS <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / REPEATS)


def test_a_shift_is_found() -> None:
    rng = np.random.default_rng(5)
    found = sum(
        ScoreReference.of(rng.beta(5, 2, 500)).check(rng.beta(4, 3, 200)).alarm for _ in range(50)
    )
    assert found >= 48


def test_the_sentences() -> None:
    reference = ScoreReference.of(np.linspace(0, 1, 500))
    quiet = reference.check(np.linspace(0, 1, 200))
    assert quiet.sentence.startswith("No sign that the scores have changed: PSI ")
    assert "is usual by chance for 200 new and 500 old prompts (p = " in quiet.sentence
    assert quiet.sentence.endswith("; the alarm is at p <= 0.001)")
    loud = reference.check(np.linspace(0.5, 1, 200))
    assert loud.sentence.startswith("The scores have changed: PSI ")
    assert loud.sentence.endswith("a large shift, so check the promised error rate on new labels")
    assert (loud.n, loud.n_reference, loud.level) == (200, 500, 0.001)
    assert loud.p_value == 1e-4


def test_between_no_sign_and_an_alarm_nothing_is_denied() -> None:
    reference = ScoreReference.of(np.linspace(0, 1, 500))
    found = [reference.check(np.linspace(low, 1, 200)) for low in np.linspace(0.0, 0.3, 31)]
    doubtful = [one for one in found if 0.001 < one.p_value <= 0.05]
    assert doubtful
    for one in doubtful:
        assert not one.alarm
        assert one.sentence.startswith("The scores may have changed: PSI ")
    strict = reference.check(np.linspace(0.5, 1, 200), level=0.02)
    assert "the alarm is at p <= 0.02" in strict.sentence


def test_order_of_rows_and_seed() -> None:
    rng = np.random.default_rng(6)
    old, new = rng.random(300), rng.random(100)
    check = ScoreReference.of(old).check(new)
    assert ScoreReference.of(old[::-1]).check(new[::-1]) == check
    other = ScoreReference.of(old).check(new, seed=1)
    assert other.psi == check.psi
    assert other.p_value == pytest.approx(check.p_value, abs=0.03)


@pytest.mark.parametrize(
    "reference",
    [
        ScoreReference.of(np.random.default_rng(7).random(100)),
        ScoreReference.of([0.9] * 50),
        ScoreReference.of([np.nan] * 5),
    ],
)
def test_the_reference_survives_json_exactly(reference: ScoreReference) -> None:
    text = json.dumps(reference.state(), allow_nan=False)
    assert ScoreReference.from_state(json.loads(text)) == reference


@pytest.mark.parametrize(
    "change",
    [
        {"edges": [0.5, 0.5]},
        {"edges": [0.1]},
        {"edges": ["a", "b"]},
        {"counts": [1, 2]},
        {"counts": [1, -2, 3]},
        {"counts": [0, 0, 0], "missing": 0},
        {"missing": None},
        {"edges": [0.5, float("nan")]},
    ],
)
def test_a_tampered_reference_is_refused(change: dict[str, Any]) -> None:
    state = ScoreReference((0.3, 0.6), (3, 2, 1)).state()
    with pytest.raises(
        InvalidInputError, match=r"^score reference: expected ascending edges and on"
    ):
        ScoreReference.from_state({**state, **change})
    with pytest.raises(
        InvalidInputError, match=r"^score reference: expected the entries edges, co"
    ):
        ScoreReference.from_state({"edges": []})


# ---- errors


def test_the_statistic_equals_the_slow_loop() -> None:
    rng = np.random.default_rng(8)
    watch = ErrorCusum(0.1, 0.25)
    errors = (rng.random(3000) < 0.12).astype(float)
    s, slow = 0.7, []
    for x in errors:
        ratio = 0.25 / 0.1 if x else 0.75 / 0.9
        s = max(0.0, s + math.log(ratio))
        slow.append(s)
    found = watch.run(errors, start=0.7)
    np.testing.assert_allclose(found.statistic, slow, atol=1e-9)
    over = [i for i, value in enumerate(slow) if value >= watch.limit]
    assert over
    assert found.alarm_at == (over[0] if over else None)


def test_batches_continue_one_another() -> None:
    rng = np.random.default_rng(9)
    errors = (rng.random(500) < 0.2).astype(float)
    watch = ErrorCusum(0.1)
    whole = watch.run(errors).statistic
    parts, state = [], 0.0
    for batch in np.split(errors, [1, 7, 200, 200, 450]):
        found = watch.run(batch, start=state)
        state = float(found.statistic[-1]) if found.statistic.size else state
        parts.append(found.statistic)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-9)


def run_length(steps: tuple[int, int], limit: int, rate: float) -> float:
    """Exact mean run length of a CUSUM on whole numbers: the linear system of its Markov chain."""
    down, up = steps
    matrix = np.eye(limit)
    for s in range(limit):
        matrix[s, max(0, s - down)] -= 1.0 - rate
        if s + up < limit:
            matrix[s, s + up] -= rate
    return float(np.linalg.solve(matrix, np.ones(limit))[0])


def lattice(watch: ErrorCusum, parts: int, side: str) -> tuple[tuple[int, int], int]:
    """The chain on multiples of a fraction of the lower step; side "above" alarms sooner."""
    down, up = watch.steps
    unit = -down / parts
    whole = math.ceil if side == "above" else math.floor
    limit = math.ceil(watch.limit / unit) if side == "above" else math.ceil(watch.limit / unit) + 1
    return (parts, whole(up / unit)), limit


@pytest.mark.parametrize(
    ("max_error", "shifted", "after"),
    [(0.1, None, 10_000), (0.05, 0.1, 1000), (0.25, None, 2000), (0.5, 0.75, 500), (0.1, 0.5, 200)],
)
def test_false_alarms_come_later_than_stated_by_the_exact_chain(
    max_error: float, shifted: float | None, after: float
) -> None:
    watch = ErrorCusum(max_error, shifted, after)
    # Errors that add a little more than they do: this chain alarms sooner, and still late enough.
    fine = int(800 * -watch.steps[0] / watch.limit)
    steps, limit = lattice(watch, fine, "above")
    assert run_length(steps, limit, max_error) >= after
    assert run_length(steps, limit, max_error / 2) >= after
    assert watch.limit <= math.log(after)  # which would be enough in any case


@pytest.mark.parametrize(("max_error", "after"), [(0.1, 10_000), (0.05, 1000), (0.3, 500)])
def test_the_limit_is_not_much_higher_than_it_must_be(max_error: float, after: float) -> None:
    watch = ErrorCusum(max_error, None, after)
    lower = dataclasses.replace(watch, false_alarm_after=after / 3)
    assert lower.limit < watch.limit
    steps, limit = lattice(lower, 8, "below")  # alarms later than the real one, and yet too soon
    assert run_length(steps, limit, max_error) < 3 * after
    plain = ErrorCusum(max_error, None, 1e10)
    assert plain.limit == math.log(1e10)  # beyond what a chain can show


def test_mean_run_lengths_by_simulation() -> None:
    watch = ErrorCusum(0.2, 0.4, 150)
    rng = np.random.default_rng(11)
    waits = [watch.run(rng.random(4000) < 0.2).alarm_at for _ in range(1500)]
    lengths = np.array([4000 if w is None else w + 1 for w in waits], float)
    assert lengths.mean() >= 150 - 3 * lengths.std() / math.sqrt(1500)
    assert lengths.mean() <= 300


@pytest.mark.parametrize(("max_error", "shifted", "after"), [(0.1, None, 10_000), (0.25, 0.4, 500)])
def test_a_raised_rate_is_found_within_the_stated_delay(
    max_error: float, shifted: float | None, after: float
) -> None:
    watch = ErrorCusum(max_error, shifted, after)
    steps, limit = lattice(watch, 8, "below")  # alarms later than the real one
    slowest = run_length(steps, limit, watch.target)
    assert slowest <= watch.mean_delay * 1.05
    rng = np.random.default_rng(10)
    waits = [watch.run(rng.random(5000) < watch.target).alarm_at for _ in range(REPEATS)]
    mean = float(np.mean([np.inf if w is None else w + 1 for w in waits]))
    assert mean <= watch.mean_delay
    assert mean >= 0.5 * watch.mean_delay


def test_the_delay_by_hand() -> None:
    # At such rare false alarms the limit is ln 1e10:
    # (ln 1e10 + ln 2) / (0.2 ln 2 + 0.8 ln(8/9)) = 23.7190 / 0.0444031
    watch = ErrorCusum(0.1, None, 1e10)
    assert watch.mean_delay == pytest.approx(23.7190 / 0.0444031, rel=1e-4)


def test_the_default_shift() -> None:
    assert ErrorCusum(0.1).target == 0.2
    assert ErrorCusum(0.6).target == 0.8
    assert ErrorCusum(0.1, 0.5).target == 0.5


def test_the_alarm_in_words() -> None:
    watch = ErrorCusum(0.5, 0.75, 2.5)
    # One error, ln 1.5 = 0.405, comes after 2 answers on average, too soon; two in a row after 6.
    assert 0.4055 < watch.limit < 0.8109
    found = watch.run([1, 1, 1, 0])
    assert found.alarm_at == 1
    assert found.statistic == pytest.approx([0.4055, 0.8109, 1.2164, 0.5232], abs=1e-4)
    assert found.sentence == (
        "Alarm at answer 2: more than 50% of the answers are now wrong, so the promise no longer "
        "holds (by chance this happens once in 2.5 answers or less often); set the threshold again"
    )
    assert watch.run([0, 0]).sentence == ("No alarm after 2 answers: no sign of a rate above 50%")
    nothing = watch.run([])
    assert (nothing.statistic.size, nothing.alarm_at) == (0, None)


# ---- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: psi([1, 2], [1]), "actual: expected 2 values, one for each of expected, got 1"),
        (
            lambda: psi([1, -2], [1, 1]),
            "expected: expected finite values >= 0, got -2.0 at index 1",
        ),
        (lambda: psi([0, 0], [1, 1]), "expected: expected at least one value above 0, got none"),
        (lambda: psi([1], [1], added=-1), "added: expected a finite value >= 0, got -1"),
        (lambda: ScoreReference.of([]), "scores: expected at least one value, got none"),
        (
            lambda: ScoreReference.of([1, np.inf]),
            "scores: expected finite numbers or NaN, got inf at index 1",
        ),
        (lambda: ScoreReference.of([1], 1), "n_bins: expected a whole number >= 2, got 1"),
        (
            lambda: ScoreReference.of([1]).check([1], 1e-5),
            "level: expected a value in [0.0001, 1), which 9999 draws can show, got 1e-05",
        ),
        (lambda: ErrorCusum(1.0), "max_error: expected a value in (0, 1), got 1.0"),
        (
            lambda: ErrorCusum(0.2, 0.1),
            "shifted: expected a value in (0.2, 1), above max_error, got 0.1",
        ),
        (
            lambda: ErrorCusum(0.2, None, 1),
            "false_alarm_after: expected a number of answers > 1, got 1",
        ),
        (lambda: ErrorCusum(0.2).run([0, 0.5]), "errors: expected 0 or 1, got 0.5 at index 1"),
        (
            lambda: ErrorCusum(0.2).run([0], start=-1),
            "start: expected a finite value >= 0, got -1",
        ),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        call()
    assert str(caught.value) == message
