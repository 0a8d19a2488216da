"""`entropy-bonus`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from levelhead.lint import check, read_text

RULE = "entropy-bonus"

FIRES = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo custom_reward_function.path=r.py "
            "actor_rollout_ref.actor.entropy_coeff=0.05"
        ),
        "note",
    ),
    ("a recipe", "run.yaml", "rollout: {group_size: 8}\nalgorithm: {entropy_coef: 0.02}\n", "note"),
]

TRL = "num_generations: 8\nmax_completion_length: 2048\nloss_type: {0}\nentropy_coef: {1}\n"

SILENT = [
    ("TRL, dapo", "run.yaml", TRL.format("dapo", 0.01)),
    ("TRL, far too small", "run.yaml", TRL.format("dr_grpo", 0.001)),
    ("TRL, a sum beside a mean", "run.yaml", TRL.format("luspo", 0.05)),
    (
        "small",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo custom_reward_function.path=r.py "
            "actor_rollout_ref.actor.entropy_coeff=0.001"
        ),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)


@pytest.mark.parametrize(
    ("weight", "length", "told"),
    [
        (0.01, "2048", "20.48 / mean length: 0.02 and more for completions of up to 1024 tokens"),
        (0.05, "2048", "102.4 / mean length: 0.02 and more for completions of up to 2048 tokens"),
    ],
)
def test_dr_grpo_divides_the_loss_and_not_the_bonus(weight: float, length: str, told: str) -> None:
    # Per token the loss has weight 1 / (B L_max), the bonus coef / (B mean length): their quotient is
    # coef L_max / mean length, 0.01 * 2048 / 1024 = 0.02.
    (settings,) = read_text(TRL.format("dr_grpo", weight), "run.yaml")
    (found,) = [one for one in check(settings) if one.rule == RULE]
    assert f"max_completion_length={length}" in found.message
    assert found.message.endswith(told)
