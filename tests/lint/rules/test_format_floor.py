"""`format-floor`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "format-floor"

FIRES = [
    (
        "a recipe",
        "run.yaml",
        "rollout: {group_size: 8}\nreward: {rule: brier, floor: -0.5}\n",
        "error",
    ),
    ("log", "run.yaml", "rollout: {group_size: 8}\nreward: {rule: log, floor: -1.0}\n", "error"),
    (
        "a wide clip",
        "run.yaml",
        "rollout: {group_size: 8}\nreward: {rule: log, eta: 0.1, floor: -2}\n",
        "error",
    ),
    ("rlcr", "run.yaml", "rollout: {group_size: 8}\nreward: {rule: rlcr, floor: 0.5}\n", "error"),
]

SILENT = [
    (
        "clip",
        "run.yaml",
        "rollout: {group_size: 8}\nreward: {rule: log, eta: 0.001, floor: -6.91}\n",
    ),
    (
        "rlcr",
        "run.yaml",
        "rollout: {group_size: 8}\nreward: {rule: rlcr, weight: 0.5, floor: -0.5}\n",
    ),
    ("the worst", "run.yaml", "rollout: {group_size: 8}\nreward: {rule: brier, floor: -1.0}\n"),
    ("none", "run.yaml", "rollout: {group_size: 8}\nreward: {rule: brier}\n"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
