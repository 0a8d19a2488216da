"""`earlier-std`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "earlier-std"

FIRES = [
    ("a recipe", "run.yaml", "rollout: {group_size: 8}\nalgorithm: {estimator: ema_std}\n", "note"),
]

SILENT = [
    ("a recipe", "run.yaml", "rollout: {group_size: 8}\nalgorithm: {estimator: batch_std}\n"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
