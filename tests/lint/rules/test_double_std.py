"""`double-std`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "double-std"

FIRES = [
    ("verl", "run.sh", "python -m verl.trainer.main_ppo algorithm.adv_estimator=gdpo", "error"),
    (
        "TRL",
        "run.yaml",
        (
            "num_generations: 8\nscale_rewards: none\nmulti_objective_aggregation: "
            "normalize_then_sum\n"
        ),
        "error",
    ),
]

SILENT = [
    ("verl", "run.sh", "python -m verl.trainer.main_ppo algorithm.adv_estimator=rloo"),
    ("TRL", "run.yaml", "num_generations: 8\nmulti_objective_aggregation: sum_then_normalize\n"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
