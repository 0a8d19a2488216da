"""`std-switch-ignored`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "std-switch-ignored"

FIRES = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "algorithm.adv_estimator=grpo_vectorized "
            "algorithm.norm_adv_by_std_in_grpo=False"
        ),
        "error",
    ),
    (
        "gdpo",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=gdpo "
            "algorithm.norm_adv_by_std_in_grpo=false"
        ),
        "error",
    ),
    (
        "OpenRLHF",
        "run.sh",
        (
            "python -m openrlhf.cli.train_ppo_ray --algo.advantage.estimator "
            "group_norm --algo.advantage.no_std_norm"
        ),
        "error",
    ),
]

SILENT = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo "
            "algorithm.norm_adv_by_std_in_grpo=False "
            "actor_rollout_ref.rollout.n=8 "
        ),
    ),
    (
        "OpenRLHF",
        "run.sh",
        (
            "python -m openrlhf.cli.train_ppo_ray --advantage_estimator "
            "reinforce_baseline --no_advantage_std_norm"
        ),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
