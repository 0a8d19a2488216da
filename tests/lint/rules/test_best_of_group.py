"""`best-of-group`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "best-of-group"

FIRES = [
    (
        "verl",
        "run.sh",
        "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo_passk",
        "error",
    ),
    (
        "a recipe",
        "run.yaml",
        "rollout: {group_size: 8}\nalgorithm: {estimator: max_at_k}\n",
        "error",
    ),
]

SILENT = [
    ("verl", "run.sh", "python -m verl.trainer.main_ppo algorithm.adv_estimator=rloo"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
