"""The guard: how often it alarms in vain, what it notices, and what it says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from levelhead.errors import DataWarning, InvalidInputError
from levelhead.records import Predictions
from levelhead.train.calibration_guard import CalibrationGuard

PROMPTS, SAMPLES = 120, 2
FALSE_ALARMS = 2
"""More runs out of 8 than these have a chance below 0.6% at a level of 5%."""


def world(rng: np.random.Generator, n: int = PROMPTS) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities, tenths apart, and one outcome for each."""
    truth = rng.choice([0.1, 0.3, 0.5, 0.7, 0.9], n, p=[0.3, 0.3, 0.2, 0.1, 0.1])
    return truth, (rng.random(n) < truth).astype(float)


def stated(confidence: np.ndarray, outcome: np.ndarray) -> Predictions:
    """`SAMPLES` statements for each prompt, which share its outcome."""
    ids = np.repeat([f"p{i}" for i in range(outcome.size)], SAMPLES)
    return Predictions.from_arrays(
        "event", confidence.ravel(), np.repeat(outcome, SAMPLES), prompt_id=ids.tolist()
    )


def honest(rng: np.random.Generator, truth: np.ndarray, sharp: float) -> np.ndarray:
    """Calibrated statements: the truth with this probability, and the base rate (0.38) otherwise."""
    knows = rng.random((truth.size, SAMPLES)) < sharp
    return np.where(knows, truth[:, None], 0.38)


def test_honest_runs_are_left_alone() -> None:
    """From a constant statement to the truth itself the plug-in ECE rises, and the true one does not."""
    runs, looks, rises = 8, 4, 0
    alarmed = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        truth, outcome = world(rng)
        start = stated(honest(rng, truth, 0.0), outcome)
        guard = CalibrationGuard("warn", 0.05, start, looks=looks)
        naive = abs(0.38 - outcome.mean())
        for look in range(1, looks + 1):
            now = stated(honest(rng, truth, look / looks), outcome)
            guard.check(look, now)
        gaps = [abs((now.confidence - now.label)[now.confidence == v].sum()) for v in set(truth)]
        rises += sum(gaps) / len(now) > naive
        alarmed += guard.first_alarm is not None
    assert rises > runs / 2  # a bare comparison would have cried wolf
    assert alarmed <= FALSE_ALARMS


def test_overconfidence_is_noticed() -> None:
    noticed = 0
    for seed in range(5):
        rng = np.random.default_rng(100 + seed)
        truth, outcome = world(rng, 500)
        guard = CalibrationGuard("stop", 0.05)
        assert guard.check(0, stated(honest(rng, truth, 0.5), outcome)) is None  # the baseline
        extreme = np.repeat(np.where(truth < 0.5, 0.01, 0.99)[:, None], SAMPLES, axis=1)
        alarm = guard.check(10, stated(extreme, outcome))
        noticed += alarm is not None and alarm.stop and alarm.low > 0.0
    assert noticed == 5
    assert alarm is not None
    assert alarm.sentence.startswith("step 10: the calibration error has risen from 0.")
    assert "on 500 prompts (by at least 0." in alarm.sentence
    assert "below 5%), mean confidence minus accuracy from " in alarm.sentence
    assert alarm.sentence.endswith("the run stops here")
    assert guard.first_alarm == 10


def test_a_format_that_breaks_down_is_an_alarm() -> None:
    rng = np.random.default_rng(0)
    truth, outcome = world(rng)
    good = honest(rng, truth, 0.5)
    guard = CalibrationGuard("warn", 0.05, stated(good, outcome))
    assert guard.check(1, stated(good, outcome)) is None
    broken = np.where(rng.random(good.shape) < 0.6, np.nan, good)
    assert guard.check(2, stated(broken, outcome)) is not None


def test_the_shares_of_all_looks_add_up_to_the_level() -> None:
    for looks in (1, 3, 20):
        guard = CalibrationGuard("warn", 0.1, looks=looks)
        shares = [guard._share(k) for k in range(1, looks * 1023 + 1)]  # ten blocks
        assert shares[0] == shares[looks - 1] == pytest.approx(0.05 / looks)
        assert shares[looks] == pytest.approx(0.025 / (2 * looks))
        assert sum(shares) == pytest.approx(0.1 * (1 - 2.0**-10), rel=1e-9)
        assert all(b <= a for a, b in itertools.pairwise(shares))


def test_a_resumed_guard_goes_on() -> None:
    rng = np.random.default_rng(5)
    truth, outcome = world(rng)
    looks = [stated(honest(rng, truth, s), outcome) for s in (0.2, 0.5)]
    looks.append(stated(np.repeat((truth > 0.5)[:, None] * 1.0, SAMPLES, axis=1), outcome))
    whole, first = CalibrationGuard(), CalibrationGuard()
    for step, look in enumerate(looks[:2]):
        assert whole.check(step, look) == first.check(step, look)
    resumed = CalibrationGuard()
    resumed.restore(first.state())
    alarm = whole.check(2, looks[2])
    assert alarm is not None
    assert alarm == resumed.check(2, looks[2])
    assert alarm.look == 2


def test_what_it_cannot_compare() -> None:
    rng = np.random.default_rng(1)
    truth, outcome = world(rng)
    some = stated(honest(rng, truth, 0.5), outcome)
    off = CalibrationGuard("off", baseline=some)
    assert off.check(1, some) is None
    assert off.looks_done == 0
    few = some.take(np.arange(58))
    guard = CalibrationGuard(baseline=few)
    with pytest.warns(DataWarning, match="29 prompts in common with its baseline and needs 30"):
        assert guard.check(1, some) is None
    assert guard.check(2, some) is None  # said once
    others = Predictions.from_arrays("event", [0.5], [1], prompt_id=["x"])
    with pytest.raises(InvalidInputError, match=r"such as 'x'\), got others \(such as 'p0'\)"):
        guard.check(3, others)
    answers = Predictions.from_arrays("answer", [0.5], [1], prompt_id=["x"])
    with pytest.raises(InvalidInputError, match="expected answer predictions, .* got event"):
        guard.check(3, answers)
    with pytest.raises(InvalidInputError, match="guard baseline: expected a prompt id in every"):
        CalibrationGuard(baseline=Predictions.from_arrays("event", [0.5], [1]))
    with pytest.raises(InvalidInputError, match="expected records with a truth, got none among 1"):
        CalibrationGuard(baseline=Predictions.from_arrays("event", [0.5], [None], prompt_id=["x"]))
    with pytest.raises(InvalidInputError, match="guard.action: expected one of off, stop, warn"):
        CalibrationGuard("stopp")
    with pytest.raises(InvalidInputError, match=r"guard.level: expected a number in \(0, 0.5\]"):
        CalibrationGuard(level=0.0)
    with pytest.raises(InvalidInputError, match="looks: expected at least 1, got 0"):
        CalibrationGuard(looks=0)
