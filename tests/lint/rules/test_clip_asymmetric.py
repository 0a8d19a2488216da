"""`clip-asymmetric`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "clip-asymmetric"

FIRES = [
    (
        "verl",
        "run.sh",
        ("python -m verl.trainer.main_ppo actor_rollout_ref.actor.clip_ratio_high=0.28"),
        "note",
    ),
    ("TRL", "run.yaml", "num_generations: 8\nepsilon_high: 0.28\n", "note"),
    (
        "OpenRLHF",
        "run.sh",
        "python -m openrlhf.cli.train_ppo_ray --eps_clip_low_high 0.2 0.27",
        "note",
    ),
]

SILENT = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "actor_rollout_ref.actor.clip_ratio_low=0.1 "
            "actor_rollout_ref.actor.clip_ratio_high=0.1"
        ),
    ),
    (
        "another loss",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "actor_rollout_ref.actor.clip_ratio_high=0.28 "
            "actor_rollout_ref.actor.policy_loss.loss_mode=cispo"
        ),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
