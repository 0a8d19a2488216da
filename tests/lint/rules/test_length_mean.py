"""`length-mean`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "length-mean"

FIRES = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean"
        ),
        "warning",
    ),
    ("TRL", "run.yaml", "num_generations: 8\nloss_type: grpo\n", "warning"),
    (
        "a recipe",
        "run.yaml",
        ("rollout: {group_size: 8}\nalgorithm: {aggregation: seq-mean-token-mean}\n"),
        "warning",
    ),
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
    ("TRL", "run.yaml", "num_generations: 8\nloss_type: dr_grpo\n"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
