"""`small-batch-std`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "small-batch-std"

FIRES = [
    (
        "verl's PPO",
        "run.sh",
        ("python -m verl.trainer.main_ppo algorithm.adv_estimator=gae data.train_batch_size=16"),
        "warning",
    ),
    (
        "TRL",
        "run.yaml",
        "num_generations: 8\nscale_rewards: batch\ngeneration_batch_size: 64\n",
        "warning",
    ),
    (
        "OpenRLHF",
        "run.sh",
        "python -m openrlhf.cli.train_ppo_ray --rollout_batch_size 31",
        "warning",
    ),
    (
        "a recipe",
        "run.yaml",
        ("rollout: {group_size: 8, prompts: 4}\nalgorithm: {estimator: batch_std}\n"),
        "warning",
    ),
]

SILENT = [
    (
        "enough",
        "run.sh",
        ("python -m verl.trainer.main_ppo algorithm.adv_estimator=gae data.train_batch_size=32"),
    ),
    ("default", "run.sh", "python -m verl.trainer.main_ppo algorithm.adv_estimator=gae"),
    (
        "no batch std",
        "run.sh",
        ("python -m verl.trainer.main_ppo algorithm.adv_estimator=rloo data.train_batch_size=4"),
    ),
    (
        "std off",
        "run.sh",
        ("python -m openrlhf.cli.train_ppo_ray --rollout_batch_size 4 --no_advantage_std_norm"),
    ),
    ("TRL", "run.yaml", "num_generations: 8\nscale_rewards: batch\ngeneration_batch_size: 256\n"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
