"""Verdicts in worlds whose truth is known, and how often they are false alarms."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from levelhead.diagnose.sharpening import (
    Samples,
    SharpeningResult,
    auc_log_k,
    diagnose_sharpening,
    pass_at_k_curve,
)
from levelhead.diagnose.sharpening._interval import interval
from levelhead.errors import InvalidInputError


def of_counts(base: np.ndarray, tuned: np.ndarray, n: int, **given: float) -> SharpeningResult:
    place = np.arange(n)
    return diagnose_sharpening(
        Samples.from_matrix(place < base[:, None], name="base"),
        Samples.from_matrix(place < tuned[:, None], name="tuned"),
        **given,  # type: ignore[arg-type]
    )


def beta(rng: np.random.Generator, problems: int) -> tuple[np.ndarray, np.ndarray]:
    rates = rng.beta(0.35, 1.4, problems)
    return rates, np.where(rates > 0.05, rates**0.35, 0.0)


def test_a_model_that_lost_the_rare_and_raised_the_rest_is_sharpened() -> None:
    rng = np.random.default_rng(0)
    n = 256
    base, tuned = (rng.binomial(n, rates) for rates in beta(rng, 400))
    found = of_counts(base, tuned, n)
    assert found.verdict == "SHARPEN"
    assert found.crossing is not None
    assert found.crossing_low is not None
    assert found.crossing_high is not None
    assert found.crossing_low <= found.crossing <= found.crossing_high
    assert 10 <= found.crossing_low <= 14 <= found.crossing_high <= 18  # 14 in the population
    assert found.crossing_share == 1.0
    np.testing.assert_allclose(found.base, pass_at_k_curve(np.full(400, n), base))
    assert found.first.value == pytest.approx((tuned.mean() - base.mean()) / n)
    assert found.last.value == pytest.approx(np.mean(tuned > 0) - np.mean(base > 0))
    assert found.first.low < 0.382 - 0.205 < found.first.high
    assert found.cover[0.5].base == pytest.approx(0.147, abs=0.06)
    assert found.cover[0.5].tuned == pytest.approx(0.438, abs=0.08)
    assert found.auc.base == pytest.approx(auc_log_k(found.k, found.base))
    assert found.auc.value == pytest.approx(auc_log_k(found.k, found.tuned) - found.auc.base)
    assert np.all(found.bands[0] <= found.base)
    assert np.all(found.base <= found.bands[1])


def test_problems_out_of_reach_that_are_solved_are_expansion() -> None:
    base = np.repeat([0, 20], [60, 60])
    tuned = np.repeat([9, 0, 20], [12, 48, 60])
    found = of_counts(base, tuned, 32)
    assert found.verdict == "EXPAND"
    assert found.table.tolist() == [[48, 12], [0, 60]]
    # nine right ones all in one half of 64: C(32, 9) / C(64, 9), twelve times
    assert found.expected_new == pytest.approx(12 * math.comb(32, 9) / math.comb(64, 9))
    assert found.p_unlucky == pytest.approx(2.0**-12)


def test_guesses_are_no_expansion_where_the_guess_rate_is_known() -> None:
    base = np.repeat([0, 20], [60, 60])
    tuned = np.repeat([2, 0, 20], [12, 48, 60])  # 12 of 60 by guessing 1 in 100 of 32 samples: 16.5
    assert of_counts(base, tuned, 32).verdict == "EXPAND"
    found = of_counts(base, tuned, 32, guess_rate=0.01)
    assert found.verdict == "INCONCLUSIVE"
    assert found.guessed_new == pytest.approx(60 * (1 - 0.99**32))
    assert found.p_guessed > 0.5


def test_a_base_model_that_was_unlucky_is_no_expansion() -> None:
    base = np.repeat([0, 1, 2], [12, 14, 14])
    tuned = np.full(40, 8)
    found = of_counts(base, tuned, 8)
    assert found.p_new < 1e-6  # it is no longer the same model
    assert found.verdict == "INCONCLUSIVE"


def test_raising_some_and_leaving_the_rare_is_no_expansion() -> None:
    """Four fifths of the problems stay at a rate of 1/32, the others go from 3/32 to 0.9."""
    n, p = 16, np.repeat([1 / 32, 3 / 32], [800, 200])
    seen = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        base, tuned = rng.binomial(n, p), rng.binomial(n, np.where(p < 0.05, p, 0.9))
        found = of_counts(base, tuned, n, n_boot=100)
        seen.append(found.verdict)
        assert found.p_new < 0.025  # it is no longer the same model
    assert seen.count("EXPAND") <= binom.ppf(0.999, 12, 0.025)


def test_copies_of_samples_are_no_expansion() -> None:
    """Rates of 0.2 rise to 0.9, in copies of four: no right one of 32 is as common as of eight."""
    rng = np.random.default_rng(0)
    base, tuned = (np.repeat(rng.random((100, 8)) < q, 4, axis=1) for q in (0.2, 0.9))
    found = diagnose_sharpening(Samples.from_matrix(base), Samples.from_matrix(tuned), n_boot=100)
    new, lost = int(found.table[0, 1]), int(found.table[1, 0])
    assert new > 6
    assert found.expected_new == (new + lost) / 2
    assert found.p_new == pytest.approx(binom.sf(new - 1, new + lost, 0.5))
    assert (found.p_unlucky, found.verdict) == (1.0, "INCONCLUSIVE")
    assert any("neighboring samples of a problem are alike" in one for one in found.warnings)


def test_problems_chosen_by_these_samples_are_warned_of() -> None:
    base, tuned = np.repeat([4, 1], [60, 60]), np.repeat([7, 0], [60, 60])
    (warning,) = of_counts(base, tuned, 8).warnings
    assert warning.startswith("base solves each problem in some samples and none in all: if")
    none = np.zeros(60, int)
    (warning,) = of_counts(none, none + 8, 8).warnings
    assert warning.startswith("base solves no problem: if the problems were chosen by these")
    assert of_counts(none, none, 8).warnings == ()
    for count in (0, 8):
        found = of_counts(np.append(base, count), np.append(tuned, count), 8)
        assert (found.verdict, found.warnings) == ("SHARPEN", ())


def test_losses_do_not_hide_what_is_new() -> None:
    """A third of the rare problems is solved for good, the rest of them is lost."""
    base = np.repeat([0, 1, 2, 20], [30, 20, 20, 60])
    tuned = np.concatenate([np.tile([16, 0, 0], 10), np.tile([16, 0, 0, 0], 10), np.full(60, 20)])
    found = of_counts(base, tuned, 32)
    assert found.table.tolist() == [[20, 10], [30, 70]]
    # ten are new, five are solved once and still solved: P(10 or more of 15 heads)
    assert found.p_unlucky == pytest.approx(sum(math.comb(15, j) for j in range(10, 16)) / 2**15)


def test_a_high_level_needs_more_swaps_and_can_still_be_met() -> None:
    base, tuned = np.repeat([4, 1], [60, 60]), np.repeat([8, 0], [60, 60])
    found = of_counts(base, tuned, 8, level=0.9999)
    assert found.first.p_up < 5e-5
    assert found.verdict == "SHARPEN"


def test_five_losses_are_not_enough() -> None:
    base = np.repeat([8, 1], [55, 5])
    tuned = np.repeat([16, 0], [55, 5])
    found = of_counts(base, tuned, 16)
    assert found.last.high > 0.0
    assert found.last.p_down == pytest.approx(2.0**-5)
    assert found.verdict == "INCONCLUSIVE"
    other = of_counts(base, tuned, 16, level=0.9)
    assert other.last.high < 0.0
    assert other.verdict == "SHARPEN"


def test_five_gains_are_not_enough_either() -> None:
    base = np.repeat([1, 1, 8], [5, 6, 30])
    tuned = np.repeat([8, 0, 8], [5, 6, 30])
    found = of_counts(base, tuned, 8)
    assert found.last.high < 0.0
    assert found.last.p_down == pytest.approx(2.0**-6)
    assert found.first.low < 0.0
    assert found.first.p_up == pytest.approx(2.0**-5, abs=0.01)  # all five must be gains
    assert found.verdict == "INCONCLUSIVE"


def test_five_new_ones_are_not_enough_either() -> None:
    base, tuned = np.repeat([0, 7], [5, 55]), np.full(60, 7)
    found = of_counts(base, tuned, 8)
    assert found.p_unlucky == pytest.approx(2.0**-5)
    assert found.p_new < 1e-6
    assert found.verdict == "INCONCLUSIVE"
    assert of_counts(base, tuned, 8, level=0.9).verdict == "EXPAND"


def test_the_interval_of_pass_n_and_the_exact_test_are_one() -> None:
    """P(Gamma(lost) <= Gamma(new + 1)) is the chance of so many heads: both are McNemar's test."""
    for lost, new in ((9, 2), (10, 2), (10, 3), (6, 0), (5, 0)):
        base = np.repeat([1, 0, 4], [lost, new, 80])
        found = of_counts(base, np.where(base == 4, 4, 1 - base), 8, n_boot=100)
        tail = sum(math.comb(lost + new, j) for j in range(lost, lost + new + 1)) / 2 ** (
            lost + new
        )
        assert found.last.p_down == pytest.approx(tail)
        assert (found.last.high < 0.0) == (tail < 0.025)


def test_what_an_unchanged_model_shows_is_no_expansion() -> None:
    """Eight are new and none was solved once and kept; but thirty single hits were lost."""
    base, tuned = np.repeat([1, 0, 8], [30, 8, 22]), np.repeat([0, 2, 8], [30, 8, 22])
    found = of_counts(base, tuned, 8)
    assert found.p_unlucky == pytest.approx(2.0**-8)
    assert found.p_new > 0.5
    assert found.verdict == "INCONCLUSIVE"


def test_a_crossing_at_the_last_k_is_one() -> None:
    found = of_counts(np.full(40, 1), np.repeat([2, 0], 20), 2)  # 50% both, then 100% and 50%
    assert (found.crossing, found.crossing_share) == (2, 1.0)
    assert (found.crossing_low, found.crossing_high) == (1, 2)


def test_how_answers_vary_is_of_the_problems_that_have_some() -> None:
    right = [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    base = Samples.from_matrix(right, [["4", "4", "5", "5"], ["1", "2", "2", "2"], [None] * 4])
    tuned = Samples.from_matrix(right, [["4"] * 4, ["1", "1", "2", "2"], ["9"] * 4])
    found = diagnose_sharpening(base, tuned)
    assert found.answered == 2
    assert found.entropy is not None
    assert found.max_share is not None
    assert (found.max_share.base, found.max_share.tuned) == (0.625, 0.75)
    quarter = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found.entropy.base == pytest.approx((math.log(2) + quarter) / 2)
    assert found.entropy.tuned == pytest.approx(math.log(2) / 2)
    changes = np.array([-math.log(2), math.log(2) - quarter])
    ends = interval(changes, 0.95)
    assert (found.entropy.low, found.entropy.high) == pytest.approx(ends, abs=1e-6)


def test_an_unchanged_sample_is_no_finding() -> None:
    base = np.array([0, 3, 8, 5] * 10)
    found = of_counts(base, base, 8)
    assert found.verdict == "INCONCLUSIVE"
    assert found.crossing is None
    assert found.crossing_low is None
    assert found.crossing_share == 0.0
    assert found.auc.value == 0.0
    assert (found.cover[1.0].base, found.cover[0.5].base) == (0.25, 0.5)  # 8 of 8; and 5 of 8


def test_one_sample_of_each_problem_knows_no_curve() -> None:
    found = of_counts(np.zeros(40, int), np.ones(40, int), 1)
    assert found.k.tolist() == [1]
    assert math.isnan(found.auc.value)
    assert found.first.value == 1.0


def test_many_samples_are_looked_at_on_a_grid_and_cross_where_every_k_says() -> None:
    n = 3000
    rng = np.random.default_rng(0)
    base, tuned = (rng.binomial(n, rates) for rates in beta(rng, 100))
    found = of_counts(base, tuned, n)
    assert found.k.size <= 1024
    assert (found.k[0], found.k[-1]) == (1, n)
    every = [pass_at_k_curve(np.full(100, n), c) for c in (base, tuned)]
    np.testing.assert_allclose(found.tuned, every[1][found.k - 1], atol=1e-12)
    assert found.crossing == int((every[0] > every[1]).argmax()) + 1
    # two right ones everywhere against half of the problems: 1 - (1 - k/n)(1 - k/(n - 1)) > 1/2
    k = next(k for k in range(1, n) if 2 * (n - k) * (n - 1 - k) < n * (n - 1))
    assert k not in found.k
    assert of_counts(np.full(40, 2), np.repeat([n, 0], 20), n, n_boot=100).crossing == k


@pytest.mark.parametrize(
    ("world", "wrong"),
    [
        (lambda rng: (rng.choice([0.0, 0.1, 0.6], 60),) * 2, ("SHARPEN", "EXPAND")),
        (lambda rng: (np.full(60, 1 / 9), np.full(60, 0.9)), ("EXPAND",)),
        (lambda rng: tuple(q * (rng.random(60) < 0.7) for q in (0.5, 0.9)), ("SHARPEN",)),
    ],
)
def test_false_alarms_keep_their_level(
    world: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]], wrong: tuple[str, ...]
) -> None:
    repeats = 60
    seen = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        base, tuned = (rng.binomial(8, rates) for rates in world(rng))
        seen.append(of_counts(base, tuned, 8, n_boot=100, seed=seed).verdict)
    for verdict in wrong:
        assert seen.count(verdict) <= binom.ppf(0.999, repeats, 0.025)


def test_false_alarms_keep_their_level_where_one_problem_in_a_hundred_decides() -> None:
    """One problem in a hundred falls to 0, and the others rise so much that pass@1 stays on average.

    One in five is solved once of 64 times and then never, so pass@64 falls. Only which problems there
    are is random, so the count of those that fell to 0 decides: each is tried, with its chance.
    """
    problems, wrong = 500, 0.0
    for fallen in range(12):
        kind = np.repeat([0, 1, 2], [problems - 100 - fallen, fallen, 100])
        base, tuned = np.array([320, 640, 10])[kind], np.array([328, 0, 0])[kind]
        if of_counts(base, tuned, 640, n_boot=100).verdict == "SHARPEN":
            wrong += binom.pmf(fallen, problems, 0.01)
    assert 0.0 < wrong <= 0.025


def test_no_change_of_pass_n_is_no_certainty() -> None:
    """60 problems without a loss leave room for 1 - 0.025^(1/60) of all."""
    found = of_counts(np.full(60, 4), np.full(60, 6), 8)
    assert found.last.value == 0.0
    assert (-found.last.low, found.last.high) == pytest.approx(
        [1 - 0.025 ** (1 / 60)] * 2, abs=1e-5
    )
    assert (found.cover[0.8].low, found.cover[0.8].high) == (found.last.low, found.last.high)
    assert found.auc.low > 0.0


def test_a_rise_on_a_few_problems_is_seen() -> None:
    """An interval that reckoned with an unseen problem that falls from 1 to 0 would hide it."""
    base, tuned = np.repeat([16, 1], [20, 10]), np.repeat([26, 0], [20, 10])
    found = of_counts(base, tuned, 64)
    assert found.first.low > 0.0
    assert found.verdict == "SHARPEN"


def test_the_seed_decides() -> None:
    rng = np.random.default_rng(0)
    base, tuned = (rng.binomial(16, rates) for rates in beta(rng, 40))
    first, again, other = (of_counts(base, tuned, 16, seed=seed) for seed in (1, 1, 2))
    assert first.first == again.first
    assert first.bands.tolist() == again.bands.tolist()
    assert first.bands.tolist() != other.bands.tolist()
    assert (first.first.low, first.first.high) == (other.first.low, other.first.high)
    assert first.base.tolist() == other.base.tolist()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"guess_rate": 1.0}, r"guess_rate: expected a chance in \[0, 1\), got 1.0"),
        ({"level": 95}, r"level: expected a value in \[0.5, 0.9999\], got 95"),
        ({"n_boot": 5}, "n_boot: expected at least 100 resamples, got 5"),
        ({"n_boot": 150.5}, "n_boot: expected at least 100 resamples, got 150.5"),
        (
            {"n_boot": 10**8},
            "n_boot: expected at most 16,777,216 resamples of curves with 2 points",
        ),
        ({"samples": 0}, "samples: expected at least 1, got 0"),
        ({"samples": "2"}, "samples: expected at least 1, got '2'"),
        ({"seed": -1}, "seed: expected a whole number >= 0, got -1"),
        ({"seed": 0.5}, "seed: expected a whole number >= 0, got 0.5"),
    ],
)
def test_options_out_of_range(given: dict[str, float], text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        of_counts(np.array([1]), np.array([1]), 2, **given)
