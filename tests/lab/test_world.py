"""The paper's world, and the two facts about it that need no training."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.lab.evaluate import scores
from levelhead.lab.world import World, paper_world, token_values

PUBLISHED = 5e-5  # numbers given with four decimals


def test_the_paper_world_draws_categories_then_rates_then_outcomes() -> None:
    world = paper_world()
    rng = np.random.default_rng(2)
    category = rng.choice(20, size=(10_000,))
    rates = rng.uniform(0, 1, size=(20,))
    outcome = rng.binomial(n=1, p=rates[category])
    assert np.array_equal(world.category, category)
    assert np.array_equal(world.rates, rates)
    assert np.array_equal(world.outcome, outcome)
    assert np.allclose(world.values, np.arange(1, 100) / 100, rtol=0, atol=1e-15)


def test_certainty_about_every_category_scores_as_published_for_grpo() -> None:
    world = paper_world()
    extremes = np.where(world.empirical_rates > 0.5, 0.99, 0.01)[world.category]
    found = scores(world, extremes)
    assert found.ece == pytest.approx(0.2386, abs=PUBLISHED)
    assert found.auroc == pytest.approx(0.7501, abs=PUBLISHED)
    assert found.accuracy == pytest.approx(0.7514, abs=PUBLISHED)


def test_the_observed_rates_are_calibrated() -> None:
    world = paper_world()
    found = scores(world, world.empirical_rates[world.category])
    assert found.ece == pytest.approx(0.0, abs=1e-12)
    assert found.auroc == pytest.approx(0.8229, abs=PUBLISHED)


def test_counts_by_hand() -> None:
    world = World(token_values(2), np.array([0.5, 0.5, 0.1]), [0, 1, 1, 1], [0, 1, 1, 0])
    assert world.counts.tolist() == [[1, 0], [1, 2], [0, 0]]
    assert world.empirical_rates[:2] == pytest.approx([0.0, 2 / 3])
    assert np.isnan(world.empirical_rates[2])
    assert (world.n_questions, world.n_categories, world.n_tokens) == (4, 3, 2)


def test_another_size() -> None:
    world = paper_world(n_questions=50, n_categories=3, n_tokens=5, outcomes="independent")
    assert (world.n_questions, world.n_categories, world.n_tokens) == (50, 3, 5)
    assert world.values.tolist() == pytest.approx([0.01, 0.255, 0.5, 0.745, 0.99])
    assert world.outcomes == "independent"


VALUES, RATES, CATEGORY, OUTCOME = [0.1, 0.9], [0.5], [0, 0], [0, 1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([0.9, 0.1], RATES, CATEGORY, OUTCOME), "values: expected at least two ascending"),
        (([0.5], RATES, CATEGORY, OUTCOME), "values: expected at least two ascending"),
        ((VALUES, [1.5], CATEGORY, OUTCOME), r"rates: expected values in \[0, 1\], got 1.5"),
        ((VALUES, RATES, [0, 1], OUTCOME), "category: expected values >= 0 and below 1, got 1"),
        ((VALUES, RATES, [], []), "category: expected at least one question, got none"),
        ((VALUES, RATES, CATEGORY, [0, 2]), "outcome: expected values >= 0 and below 2, got 2"),
        ((VALUES, RATES, CATEGORY, [0]), r"outcome: expected shape \(2,\), got \(1,\)"),
        (
            (VALUES, RATES, CATEGORY, OUTCOME, "both"),
            "outcomes: expected one of shared, independent, got 'both'",
        ),
    ],
)
def test_errors(arguments: tuple[object, ...], text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        World(*arguments)  # type: ignore[arg-type]


def test_errors_of_the_makers() -> None:
    with pytest.raises(InvalidInputError, match="n_tokens: expected at least 2, got 1"):
        token_values(1)
    with pytest.raises(InvalidInputError, match="low, high: expected 0 <= low < high <= 1"):
        token_values(3, 0.5, 0.5)
    with pytest.raises(InvalidInputError, match="n_questions: expected at least 1, got 0"):
        paper_world(n_questions=0)
