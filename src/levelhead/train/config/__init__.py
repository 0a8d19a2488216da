"""Recipes: everything that decides a training run, in one file that is checked before anything runs.

    >>> from levelhead.train.config import load
    >>> recipe = load(None, ["algorithm.estimator=grpo", "steps=10"])
    >>> recipe.algorithm.estimator, recipe.steps, recipe.rollout.group_size
    ('grpo', 10, 8)

`load` reads a recipe and reports every problem at once, `schema` is the JSON schema for editors.
"""

from __future__ import annotations

from levelhead.train.config.reading import BuiltIn, built_in, load, schema
from levelhead.train.config.recipe import Recipe, Trackers, check_task, task_problems
from levelhead.train.config.sections import (
    Algorithm,
    Checkpoint,
    Compute,
    Critic,
    Evaluation,
    FromScratch,
    Guard,
    Kl,
    Lora,
    Model,
    Optimizer,
    Reward,
    Rollout,
)

__all__ = [
    "Algorithm",
    "BuiltIn",
    "Checkpoint",
    "Compute",
    "Critic",
    "Evaluation",
    "FromScratch",
    "Guard",
    "Kl",
    "Lora",
    "Model",
    "Optimizer",
    "Recipe",
    "Reward",
    "Rollout",
    "Trackers",
    "built_in",
    "check_task",
    "load",
    "schema",
    "task_problems",
]
