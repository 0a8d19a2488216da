"""`ranks`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "ranks"

FIRES = [
    (
        "rank_linear",
        "run.yaml",
        "rollout: {group_size: 8}\nalgorithm: {estimator: rank_linear}\n",
        "error",
    ),
    ("top1", "run.yaml", "rollout: {group_size: 8}\nalgorithm: {estimator: top1}\n", "error"),
    (
        "pl_zscore",
        "run.yaml",
        "rollout: {group_size: 8}\nalgorithm: {estimator: pl_zscore}\n",
        "error",
    ),
]

SILENT = [
    ("softmax", "run.yaml", "rollout: {group_size: 8}\nalgorithm: {estimator: pl_softmax}\n"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
