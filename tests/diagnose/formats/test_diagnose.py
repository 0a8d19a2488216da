"""The diagnosis of formats: verdicts, what they rest on, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from levelhead.diagnose.formats import (
    FormatsResult,
    compare_formats,
    diagnose_formats,
    section,
)
from levelhead.errors import InvalidInputError

NAMES = np.array(["code", "latex/NL", "tagged"])


def a_run(
    pull: float = 0.0, *, steps: int = 30, n: int = 128, seed: int = 0, to: int = 1
) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    formats: list[str] = []
    for t in range(steps):
        logit = np.log([0.5, 0.3, 0.2])
        logit[to] += pull * t
        p = np.exp(logit)
        formats += list(NAMES[rng.choice(3, n, p=p / p.sum())])
    return formats, np.repeat(np.arange(steps) * 10, n)


@pytest.fixture(scope="module")
def collapsed() -> FormatsResult:
    formats, steps = a_run(0.25, steps=40)
    right = np.where(np.array(formats) == "latex/NL", 1.0, 0.0)
    return diagnose_formats(formats, steps, correct=right, runs=400)


def test_steady_selection_is_beyond_drift(collapsed: FormatsResult) -> None:
    r = collapsed
    assert r.verdict == "COLLAPSE BEYOND DRIFT"
    assert r.winner == "latex/NL"
    assert (r.winner_share_rank, r.winner_accuracy_rank) == (2, 1)
    assert r.names[0] == "code"
    assert r.counts.sum() == 40 * 128
    assert r.drift is not None
    assert r.drift.p <= 0.05
    # drift is about as often above 2 as a normal number, whatever its rate
    assert 1.5 < r.drift.steady_null < r.drift.steady
    # 0.3 e^(0.25 t) against 0.7: a tenth of the diversity is left near a share of 0.977, t = 18
    assert r.collapsed_at is not None
    assert 160 <= r.collapsed_at <= 240


def test_the_same_with_strong_drift_is_within_it() -> None:
    formats, steps = a_run(0.25, steps=40)
    assert diagnose_formats(formats, steps, rate=2.0, runs=400).verdict == "WITHIN DRIFT"


def test_steady_shares_are_no_collapse() -> None:
    r = diagnose_formats(*a_run(seed=1), rate=0.0, runs=400)
    assert r.verdict == "NO COLLAPSE"
    assert r.collapsed_at is None
    assert r.retained_low < 1.0 < r.retained_high


def test_few_steps_are_inconclusive_without_a_rate() -> None:
    formats, steps = a_run(3.0, steps=4)
    assert diagnose_formats(formats, steps).verdict == "INCONCLUSIVE"
    found = diagnose_formats(formats, steps, rate=0.0, runs=400)
    assert found.verdict == "COLLAPSE BEYOND DRIFT"


def test_one_format_from_the_start_has_nothing_to_lose() -> None:
    r = diagnose_formats(["code"] * 400, np.repeat(np.arange(10), 40), runs=400)
    assert (r.verdict, r.other) == ("INCONCLUSIVE", 0.0)
    assert math.isnan(r.retained)
    assert "already has one format" in r.why


def test_like_prompts_widen_the_noise() -> None:
    formats = [f for f in a_run(n=32)[0] for _ in range(4)]
    steps = np.repeat(np.arange(30), 128)
    prompts = [str(i // 4) for i in range(len(formats))]
    assert diagnose_formats(formats, steps, prompts=prompts, runs=400).design_effect > 3.9
    same = [str(i // 4 % 32) for i in range(len(formats))]
    assert diagnose_formats(formats, steps, prompts=same, runs=400).design_effect == 1.0


def test_few_consecutive_steps_cannot_beat_momentum() -> None:
    """29 steps under momentum 0.9 hold 29 / 19 independent changes of the noise."""
    formats, steps = a_run(0.25)
    found = diagnose_formats(formats, steps / 10, runs=400)
    assert found.verdict == "WITHIN DRIFT"
    assert found.drift is not None
    assert 0.2 < found.drift.changes < 29 / 19
    told = [s for s in section(found).sentences if s.startswith("But latex/NL rose within ")]
    assert "fewer than 6." in told[0]
    # the rise is too short, however many of its steps are logged
    assert "--drift-rate" in section(found).next_steps[0]
    assert "--momentum 0" in section(found).next_steps[0]
    plain = diagnose_formats(formats, steps / 10, runs=400, momentum=0.0)
    assert plain.verdict == "COLLAPSE BEYOND DRIFT"


def test_two_prompts_do_not_tell_that_nothing_collapsed() -> None:
    base, prompts = ["code", "tagged"] * 40, [str(i // 40) for i in range(80)]
    r = compare_formats(base, base, base_prompts=prompts, tuned_prompts=prompts)
    assert r.verdict == "INCONCLUSIVE"
    assert math.isnan(r.retained_low)


def test_half_that_may_be_left_is_no_verdict() -> None:
    r = compare_formats(["code", "tagged"] * 20, ["code"] * 34 + ["tagged"] * 6)
    assert r.retained_low < 0.5 < r.retained < r.retained_high
    assert (r.verdict, r.why[:22]) == ("INCONCLUSIVE", "Too few samples tell w")


def test_the_interval_of_a_run_is_one_of_95_percent() -> None:
    """d N_eff = N_eff ln(.7 / .3) d p with d p = sqrt(.21 / 400) at both ends."""
    formats = (["code"] * 28 + ["tagged"] * 12) * 20
    r = diagnose_formats(formats, np.repeat(np.arange(20), 40), runs=400, least=400)
    number = math.exp(-0.7 * math.log(0.7) - 0.3 * math.log(0.3))
    one = number * math.log(0.7 / 0.3) * math.sqrt(0.21 / 400) / (number - 1)
    assert r.retained_high - r.retained_low == pytest.approx(3.92 * one * math.sqrt(2), rel=0.15)


def test_the_first_tenth_of_the_steps_tells_the_accuracy() -> None:
    """Of 21 steps the first three: 6 samples of each format, 2 of them right."""
    steps = np.repeat(np.arange(21), 4)
    r = diagnose_formats(["code", "tagged"] * 42, steps, correct=steps == 2, runs=400)
    assert r.accuracy == pytest.approx([1 / 3, 1 / 3])


def test_a_third_of_the_prompts_in_common_makes_no_pairs() -> None:
    base, tuned = ["code", "tagged", "code"], ["code", "tagged", "tagged"]
    r = compare_formats(base, tuned, base_prompts=["a", "b", "c"], tuned_prompts=["a", "d", "e"])
    assert r.homogeneity is not None
    assert not r.homogeneity.paired


def test_two_sets() -> None:
    base, tuned = ["code"] * 100 + ["tagged"] * 100, ["tagged"] * 195 + ["code"] * 5
    prompts = [str(i) for i in range(200)]
    r = compare_formats(base, tuned, base_prompts=prompts, tuned_prompts=prompts)
    assert r.verdict == "COLLAPSE BEYOND NOISE"
    assert r.homogeneity is not None
    assert r.homogeneity.paired
    assert r.counts.tolist() == [[100, 100], [5, 195]]
    assert compare_formats(base, base[::-1]).verdict == "NO COLLAPSE"
    assert compare_formats(base[95:110], tuned[:15]).verdict == "INCONCLUSIVE"


def test_prompts_of_one_set_alone_count_in_the_shares_and_not_in_the_test() -> None:
    base, tuned = ["code", "tagged", "code"], ["code", "tagged", "tagged"]
    r = compare_formats(base, tuned, base_prompts=["a", "b", "c"], tuned_prompts=["a", "b", "d"])
    assert r.homogeneity is not None
    assert r.homogeneity.paired
    assert r.homogeneity.clusters == 2
    assert r.counts.tolist() == [[2, 1], [1, 2]]


def test_unknown_texts_are_a_warning() -> None:
    few = compare_formats(["code"] * 90 + ["other"] * 10, ["code"] * 100)
    many = compare_formats(["code"] * 60 + ["other"] * 40, ["code"] * 100)
    assert section(few).warnings == []
    assert section(many).warnings[0].startswith("20% of the texts are in no known format")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: diagnose_formats(["a"], [0, 1]), r"steps: expected 1 values, got 2"),
        (lambda: diagnose_formats(["a"], [np.nan]), r"steps: expected a training step for every"),
        (
            lambda: diagnose_formats(["a"] * 2, [0, 0.05]),
            r"steps: expected whole numbers below 2\^53, got 0.05; give training steps, not epochs",
        ),
        (
            lambda: diagnose_formats(["a"] * 2, [0, 1e30]),
            r"steps: expected whole numbers .* 1e\+30",
        ),
        (
            lambda: diagnose_formats(["a"] * 2, [0, 1], momentum=1),
            r"momentum: expected a number in \[0, 1\), got 1",
        ),
        (
            lambda: diagnose_formats(["a"], [0]),
            r"steps: expected at least two different steps, got",
        ),
        (
            lambda: diagnose_formats(["a"] * 2, [0, 1], runs=9),
            r"runs: expected at least 400, got 9",
        ),
        (lambda: diagnose_formats(["a"] * 2, [0, 1], level=0.001), r"level: expected a number in"),
        (
            lambda: compare_formats(["a", None], ["a"]),  # type: ignore[list-item]
            r"formats: expected the name of a format for every sample, got None; leave out",
        ),
        (lambda: compare_formats([], ["a"]), r"base: expected at least one text in each set"),
        (lambda: compare_formats(["a"], ["a"], level=2), r"level: expected a number in \(0, 1\)"),
        (
            lambda: compare_formats(["a"], ["a"], base_prompts=["x", "y"]),
            r"prompts: expected 1 values, got 2",
        ),
        (
            lambda: compare_formats(["a"], ["a"], correct=[1, 0]),
            r"correct: expected 1 values, got 2",
        ),
        (
            lambda: diagnose_formats(["a", "b"], [0, 1], prompts=["x"]),
            r"prompts: expected 2 values, got 1",
        ),
    ],
)
def test_wrong_input_is_named(call: object, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        call()  # type: ignore[operator]
