"""Sampling predictions from a policy, scoring them, and handing them to the audit."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.lab.evaluate import mean_prediction, predict, scores, to_predictions
from levelhead.lab.world import World, paper_world

VALUES = np.array([0.1, 0.4, 0.8])
WORLD = World(VALUES, np.array([0.5, 0.5]), np.arange(4000) % 2, np.arange(4000) // 2 % 2)
POLICY = np.array([[0.2, 0.5, 0.3], [0.7, 0.0, 0.3]])
SE = 5.0  # standard errors that a sampled number may be off


def test_mean_prediction_by_hand() -> None:
    assert mean_prediction(POLICY, VALUES) == pytest.approx([0.46, 0.31])


def test_single_samples_follow_the_policy() -> None:
    single = predict(WORLD, POLICY, rng=np.random.default_rng(0)).single
    for c in (0, 1):
        mine = single[WORLD.category == c]
        for value, p in zip(VALUES, POLICY[c], strict=True):
            share = np.mean(mine == value)
            assert abs(share - p) <= SE * np.sqrt(p * (1 - p) / mine.size)


def test_means_have_the_moments_of_n_samples() -> None:
    n = 7
    mean = predict(WORLD, POLICY, n=n, rng=np.random.default_rng(1)).mean
    for c in (0, 1):
        mine = mean[WORLD.category == c]
        expected = POLICY[c] @ VALUES
        variance = (POLICY[c] @ VALUES**2 - expected**2) / n
        assert abs(mine.mean() - expected) <= SE * np.sqrt(variance / mine.size)
        assert mine.var() == pytest.approx(variance, rel=SE * np.sqrt(2 / mine.size) + 0.02)


def test_the_single_sample_is_one_of_those_in_the_mean() -> None:
    found = predict(WORLD, POLICY, n=1, rng=np.random.default_rng(2))
    assert np.allclose(found.mean, found.single, rtol=0, atol=1e-12)
    pair = predict(WORLD, POLICY, n=2, rng=np.random.default_rng(3))
    other = 2.0 * pair.mean - pair.single
    assert np.abs(other[:, None] - VALUES).min(axis=1).max() < 1e-9


def test_scores_by_hand() -> None:
    world = World(VALUES, np.array([0.5]), [0] * 4, [0, 1, 1, 0])
    found = scores(world, [0.2, 0.8, 0.8, 0.8])
    assert found.ece == pytest.approx(0.25 * 0.2 + 0.75 * (0.8 - 2 / 3))
    assert (found.auroc, found.accuracy) == (0.75, 0.75)


def test_one_half_is_not_above_one_half() -> None:
    world = World(VALUES, np.array([0.5]), [0] * 4, [0, 1, 1, 1])
    assert scores(world, [0.5] * 4).accuracy == 0.25


def test_bins_are_closed_on_the_right() -> None:
    world = World(VALUES, np.array([0.5]), [0, 0], [1, 0])
    # 0.1 and 0.05 share the first bin: |0.075 - 0.5|.
    assert scores(world, [0.1, 0.05]).ece == pytest.approx(0.425)


def test_predictions_are_events_with_the_question_as_prompt() -> None:
    world = World(VALUES, np.array([0.5, 0.5]), [1, 0], [0, 1])
    found = to_predictions(world, [[0.1, 0.8], [0.4, 0.4]], model="mine", columns={"row": [7, 8]})
    assert (found.kind, found.model) == ("event", "mine")
    assert found.confidence.tolist() == [0.1, 0.8, 0.4, 0.4]
    assert found.label.tolist() == [0.0, 0.0, 1.0, 1.0]
    assert found.prompt_id is not None
    assert found.prompt_id.to_pylist() == ["0", "0", "1", "1"]
    assert found.columns["category"].to_pylist() == [1, 1, 0, 0]
    assert found.columns["row"].to_pylist() == [7, 7, 8, 8]
    assert found.clusters is not None


def test_one_prediction_each() -> None:
    world = paper_world(n_questions=5)
    found = to_predictions(world, np.full(5, 0.25), model="mine")
    assert len(found) == 5
    assert found.clusters is None


def test_errors() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidInputError, match=r"policy: expected shape \(2, 3\).*got \(3, 2\)"):
        predict(WORLD, POLICY.T, rng=rng)
    with pytest.raises(InvalidInputError, match="n: expected at least 1, got 0"):
        predict(WORLD, POLICY, n=0, rng=rng)
    with pytest.raises(InvalidInputError, match="prediction: expected 4000 rows"):
        to_predictions(WORLD, [0.5], model="mine")
    with pytest.raises(InvalidInputError, match=r"prediction: expected values in \[0, 1\], got 2"):
        scores(WORLD, [2.0])
