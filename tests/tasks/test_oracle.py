"""The oracle: its truth is the one that it states, and its words are all that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from levelhead.tasks import OracleOptions, make_task
from levelhead.tasks.oracle import FACTORS


def test_the_truth_is_a_logit_of_equally_spaced_effects() -> None:
    task = make_task(OracleOptions(factors=1, train=400, evaluation=0, scale=3.0))
    found = {p.columns["sky"]: p.columns["probability"] for p in task.train}
    # One factor of four words: effects -1, -1/3, 1/3, 1, in an order that the seed decides.
    expected = [1 / (1 + math.exp(-3.0 * effect)) for effect in (-1, -1 / 3, 1 / 3, 1)]
    assert sorted(found.values()) == pytest.approx(expected, abs=1e-12)


def test_factors_share_the_scale() -> None:
    task = make_task(OracleOptions(factors=4, train=20_000, evaluation=0, scale=2.0, seed=3))
    logits = [math.log(p / (1 - p)) for p in (q.columns["probability"] for q in task.train)]
    # The variance of a factor of n equally spaced effects is (n + 1) / (3 (n - 1)).
    sizes = [len(words) for _, words in list(FACTORS.values())[:4]]
    variance = 2.0**2 * sum((n + 1) / (3 * (n - 1)) for n in sizes) / 4
    assert np.var(logits) == pytest.approx(variance, rel=0.05)


def test_outcomes_happen_as_often_as_is_said() -> None:
    task = make_task(OracleOptions(train=20_000, evaluation=0, seed=1))
    p = np.array([q.columns["probability"] for q in task.train])
    y = np.array([q.outcome for q in task.train])
    for low in (0.0, 0.25, 0.5, 0.75):
        bin_ = (p >= low) & (p < low + 0.25)
        if bin_.any():
            sd = math.sqrt((p[bin_] * (1 - p[bin_])).sum())
            assert abs((y[bin_] - p[bin_]).sum()) < 4 * sd


def test_equal_words_are_of_equal_probability_and_all_words_are_told() -> None:
    task = make_task(OracleOptions(factors=6, train=300, evaluation=20))
    assert (len(task.train), len(task.evaluation)) == (300, 20)
    for prompt in task.train:
        text = prompt.messages[0]["content"]
        assert all(str(prompt.columns[name]) in text for name in FACTORS)
        assert "probability" not in text
    ids = [p.prompt_id for p in (*task.train, *task.evaluation)]
    assert len(set(ids)) == 320


def test_a_seed_is_a_world() -> None:
    one, two = make_task(OracleOptions(seed=1)), make_task(OracleOptions(seed=2))
    assert one == make_task(OracleOptions(seed=1))
    assert one != two
    fair = make_task(OracleOptions(scale=0.0))
    assert {p.columns["probability"] for p in fair.train} == {0.5}


def test_options_outside_their_range_are_refused() -> None:
    for wrong in ({"factors": 0}, {"factors": 7}, {"scale": -1.0}, {"train": 0}, {"seed": -1}):
        with pytest.raises(ValidationError):
            OracleOptions(**wrong)
