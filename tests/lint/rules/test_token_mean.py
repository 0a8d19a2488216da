"""`token-mean`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "token-mean"

FIRES = [
    (
        "verl's default",
        "run.sh",
        "python -m verl.trainer.main_ppo algorithm.adv_estimator=rloo",
        "note",
    ),
    ("TRL's default", "run.yaml", "num_generations: 8\n", "note"),
]

SILENT = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum-norm"
        ),
    ),
    ("other defaults", "run.sh", "python my.py algorithm.adv_estimator=rloo"),
    ("a recipe", "run.yaml", "rollout: {group_size: 8}\n"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
