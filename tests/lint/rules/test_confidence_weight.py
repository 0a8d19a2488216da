"""`confidence-weight`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

RULE = "confidence-weight"

FIRES = [
    (
        "Brier",
        "run.yaml",
        ("num_generations: 8\nreward_funcs: [accuracy, brier]\nreward_weights: [0.5, 1.0]\n"),
        "error",
    ),
    (
        "log",
        "run.yaml",
        ("num_generations: 8\nreward_funcs: [accuracy, log_score]\nreward_weights: [1.0, 0.25]\n"),
        "error",
    ),
    (
        "a recipe",
        "run.yaml",
        "rollout: {group_size: 8}\nreward: {rule: rlcr, weight: 1.5}\n",
        "error",
    ),
]

SILENT = [
    (
        "Brier at its bound",
        "run.yaml",
        ("num_generations: 8\nreward_funcs: [accuracy, brier]\nreward_weights: [0.5, 0.5]\n"),
    ),
    (
        "log",
        "run.yaml",
        (
            "num_generations: 8\nreward_funcs: [accuracy, "
            "log_score]\nreward_weights: [1.0, 0.2176]\n"
        ),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)


def test_the_bounds_that_are_stated() -> None:
    # A wrong answer at confidence 0 saves S(0, 0) - S(0, 1): ln 0.99 - ln 0.01 for the clipped log score.
    assert 1 / (math.log(0.99) - math.log(0.01)) == pytest.approx(0.2176, abs=5e-5)
