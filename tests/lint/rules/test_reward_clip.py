"""`reward-clip`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "reward-clip"

FIRES = [
    ("TRL", "run.yaml", "num_generations: 8\nreward_clip_range: [-2.0, 2.0]\n", "warning"),
    (
        "OpenRLHF",
        "run.sh",
        "python -m openrlhf.cli.train_ppo_ray --reward_clip_range -1 1",
        "warning",
    ),
]

SILENT = [
    ("wide", "run.sh", "python -m openrlhf.cli.train_ppo_ray --reward.clip_range -10 10"),
    (
        "Brier",
        "run.yaml",
        ("num_generations: 8\nreward_clip_range: [-1.0, 1.0]\nreward_funcs: [brier]\n"),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
