"""`gae-lambda`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "gae-lambda"

FIRES = [
    (
        "verl",
        "run.sh",
        ("python -m verl.trainer.main_ppo algorithm.adv_estimator=gae algorithm.lam=0.95"),
        "note",
    ),
    ("OpenRLHF", "run.sh", "python -m openrlhf.cli.train_ppo_ray --lambd 0.95", "note"),
]

SILENT = [
    (
        "not read",
        "run.sh",
        ("python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo algorithm.lam=0.95"),
    ),
    (
        "one",
        "run.sh",
        ("python -m verl.trainer.main_ppo algorithm.adv_estimator=gae algorithm.lam=1.0"),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
