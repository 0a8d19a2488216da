"""Synthetic predictions whose true chance of being right is known."""

from __future__ import annotations

import dataclasses

import numpy as np

from levelhead.records import Predictions

EASY, HARD = 0.95, 0.35
"""Chance of a right answer to a question of each sort."""


@dataclasses.dataclass(frozen=True)
class World:
    """Predictions, and what nobody gets to see."""

    predictions: Predictions
    chance: np.ndarray  # (N,) that each row's claim is right
    hard: np.ndarray  # (N,) the sort of each question


def answers(
    n: int = 1000, *, samples: int = 1, seed: int = 0, hard: float = 0.4, start: int = 0
) -> World:
    """Questions of two sorts, stated alike with about 90%; `p_true` tells them apart, with noise."""
    rng = np.random.default_rng(seed)
    sort = np.repeat(rng.random(n) < hard, samples)
    size = n * samples
    chance = np.where(sort, HARD, EASY)
    p_true = np.clip(np.where(sort, 0.35, 0.7) + rng.normal(0.0, 0.15, size), 0.0, 1.0)
    stated = np.clip(rng.normal(0.9, 0.05, size), 0.0, 1.0).round(2)
    correct = (rng.random(size) < chance).astype(float)
    ids = np.repeat([f"q{start + i}" for i in range(n)], samples).tolist()
    columns = {
        "p_true": p_true,
        "domain": np.where(np.arange(size) // samples % 2, "law", "art").tolist(),
        "answer": [f"a{i}" for i in range(size)],
    }
    predictions = Predictions.from_arrays(
        "answer", stated, correct, model="bold", prompt_id=ids, columns=columns
    )
    return World(predictions, chance, sort)


def events(n: int = 1000, *, seed: int = 0) -> World:
    """Events stated far more surely than they are known."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.2, 0.8, n)
    happened = (rng.random(n) < truth).astype(float)
    stated = np.clip((truth - 0.5) * 1.6 + 0.5, 0.02, 0.98).round(2)
    claims = np.where(stated >= 0.5, truth, 1.0 - truth)
    predictions = Predictions.from_arrays(
        "event", stated, happened, model="bold", prompt_id=[f"e{i}" for i in range(n)]
    )
    return World(predictions, claims, np.zeros(n, np.bool_))
