"""`dead-clip`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "dead-clip"

FIRES = [
    (
        "verl",
        "run.sh",
        ("python -m verl.trainer.main_ppo actor_rollout_ref.actor.clip_ratio=0.1"),
        "note",
    ),
]

SILENT = [
    (
        "the same",
        "run.sh",
        ("python -m verl.trainer.main_ppo actor_rollout_ref.actor.clip_ratio=0.2"),
    ),
    (
        "read",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "actor_rollout_ref.actor.clip_ratio=0.1 "
            "actor_rollout_ref.actor.clip_ratio_low=0.1"
        ),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
