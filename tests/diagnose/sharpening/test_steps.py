"""What is advised for each verdict, and that the number of problems is enough."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from levelhead.diagnose.sharpening import Samples, diagnose_sharpening
from levelhead.diagnose.sharpening._steps import next_steps, problems_needed


def steps(base: list[int], tuned: list[int], n: int, guess_rate: float = 0.0) -> list[str]:
    place = np.arange(n)
    return next_steps(
        diagnose_sharpening(
            Samples.from_matrix(place < np.array(base)[:, None], name="old"),
            Samples.from_matrix(place < np.array(tuned)[:, None], name="new"),
            guess_rate=guess_rate,
            n_boot=200,
        )
    )


def test_a_sharpened_model() -> None:
    choice, when = steps([4] * 20 + [1] * 20, [16] * 20 + [0] * 20, 16)
    assert "old solves more from k = 5 on; for one sample take new" in choice
    assert "levelhead diagnose sharpening BASE CHECKPOINT" in when


def test_an_expanded_model() -> None:
    base, tuned = [0] * 20 + [4] * 20, [8] * 20 + [4] * 20
    work, guesses = steps(base, tuned, 8)
    assert "levelhead diagnose difficulty TUNED --baseline BASE" in work
    assert "--guess-rate" in guesses
    assert len(steps(base, tuned, 8, guess_rate=0.01)) == 1


def test_a_worse_model() -> None:
    (when,) = steps([4] * 40, [1] * 40, 8)
    assert "earlier checkpoints" in when


def test_one_that_may_be_sharpened() -> None:
    base, tuned = [4] * 84 + [1] * 13 + [0] * 53, [8] * 84 + [0] * 10 + [1] * 6 + [0] * 50
    samples, problems = steps(base, tuned, 8)
    assert "Draw 128 samples of each prompt from both models instead of 8" in samples
    assert "levelhead predict --samples 128" in samples
    # s = 13/150, d = 7/150: N = 309.7 without and 331.2 with the correction, up to 340
    assert "fall of pass@8 by 4.7 points real, about 340 of them (here 150)" in problems
    assert len(steps(base, base[:1] * 84 + tuned[84:], 8)) == 1  # pass@1 did not rise
    assert steps([16] * 40, [32] * 40, 128) == []  # as many as are advised, and none is lost


def test_noise_wants_more_problems() -> None:
    (only,) = steps([4, 4] * 20, [8, 1] * 20, 8)
    assert only.startswith("Four times as many problems (here 40) halve the interval")


def test_one_sample_wants_more() -> None:
    (only,) = steps([1, 0] * 20, [1, 1, 0, 1] * 10, 1)
    assert "levelhead predict --samples 16" in only


def test_nothing_is_advised_where_nothing_differs() -> None:
    assert steps([4, 2] * 20, [4, 2] * 20, 8) == []


@pytest.mark.parametrize(
    ("gained", "lost", "problems"), [(3, 10, 150), (10, 20, 100), (30, 20, 500)]
)
def test_so_many_problems_find_it_in_four_of_five(gained: int, lost: int, problems: int) -> None:
    needed = math.ceil(problems_needed(gained, lost, problems, 0.025))
    shares = np.array([gained, lost, problems - gained - lost]) / problems
    drawn = np.random.default_rng(0).multinomial(needed, shares, size=20000)
    more, less = np.maximum(gained, lost) == [gained, lost]
    most = drawn[:, 0] if more else drawn[:, 1]
    assert more != less
    found = binom.sf(most - 1, drawn[:, 0] + drawn[:, 1], 0.5) <= 0.025
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_no_change_is_never_found() -> None:
    assert problems_needed(4, 4, 100, 0.025) == math.inf
