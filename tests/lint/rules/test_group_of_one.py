"""`group-of-one`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "group-of-one"

FIRES = [
    (
        "verl's default",
        "run.sh",
        "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo",
        "warning",
    ),
    (
        "OpenRLHF",
        "run.sh",
        (
            "python -m openrlhf.cli.train_ppo_ray --advantage_estimator rloo "
            "--n_samples_per_prompt 1"
        ),
        "warning",
    ),
]

SILENT = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo "
            "actor_rollout_ref.rollout.n=4"
        ),
    ),
    ("PPO", "run.sh", "python -m verl.trainer.main_ppo algorithm.adv_estimator=gae"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
