"""`temperature-mismatch`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "temperature-mismatch"

FIRES = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "actor_rollout_ref.rollout.val_kwargs.temperature=0.6 "
            "actor_rollout_ref.rollout.val_kwargs.do_sample=True"
        ),
        "note",
    ),
    ("OpenRLHF", "run.sh", "python -m openrlhf.cli.train_ppo_ray --eval_temperature 0.6", "note"),
    ("a recipe", "run.yaml", "rollout: {group_size: 8}\nevaluation: {temperature: 0.0}\n", "note"),
]

SILENT = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "actor_rollout_ref.rollout.temperature=0.6 "
            "actor_rollout_ref.rollout.val_kwargs.temperature=0.6"
        ),
    ),
    ("default", "run.sh", "python -m verl.trainer.main_ppo actor_rollout_ref.rollout.n=4"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
