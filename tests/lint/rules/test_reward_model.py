"""`reward-model`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "reward-model"

FIRES = [
    ("verl", "run.sh", "python -m verl.trainer.main_ppo reward_model.enable=True", "note"),
    ("OpenRLHF", "run.sh", "python -m openrlhf.cli.train_ppo_ray --reward_pretrain m", "note"),
]

SILENT = [
    (
        "OpenRLHF",
        "run.sh",
        ("python -m openrlhf.cli.train_ppo_ray --reward_pretrain m --remote_rm_url r.py"),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
