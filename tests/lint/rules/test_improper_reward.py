"""`improper-reward`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "improper-reward"

FIRES = [
    ("TRL", "run.yaml", "num_generations: 8\nreward_funcs: [accuracy, mean_confidence]\n", "error"),
    (
        "a recipe",
        "run.yaml",
        ("rollout: {group_size: 8}\nreward: {rule: 'mine.py:linear_confidence'}\n"),
        "error",
    ),
]

SILENT = [
    (
        "negligible",
        "run.yaml",
        (
            "num_generations: 8\nreward_funcs: [accuracy, brier, "
            "mean_confidence]\nreward_weights: [0.5, 0.5, 0.000001]\n"
        ),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
