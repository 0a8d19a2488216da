"""`softmax-scores`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "softmax-scores"

FIRES = [
    (
        "a recipe",
        "run.yaml",
        "rollout: {group_size: 8}\nalgorithm: {estimator: pl_softmax}\n",
        "warning",
    ),
]

SILENT = [
    ("a recipe", "run.yaml", "rollout: {group_size: 8}\nalgorithm: {estimator: rloo}\n"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
