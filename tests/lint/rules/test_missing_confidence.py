"""`missing-confidence`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "missing-confidence"

FIRES = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo custom_reward_function.path=r.py "
            "+custom_reward_function.reward_kwargs.missing_confidence=0.0"
        ),
        "error",
    ),
]

SILENT = [
    (
        "certain",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo custom_reward_function.path=r.py "
            "+custom_reward_function.reward_kwargs.missing_confidence=0.99"
        ),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
