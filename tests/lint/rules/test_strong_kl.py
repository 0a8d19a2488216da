"""`strong-kl`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.lint import check, read_text

RULE = "strong-kl"

FIRES = [
    ("TRL", "run.yaml", "num_generations: 8\nbeta: 0.04\n", "note"),
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo custom_reward_function.path=r.py "
            "actor_rollout_ref.actor.use_kl_loss=True "
            "actor_rollout_ref.actor.kl_loss_coef=0.04"
        ),
        "note",
    ),
    (
        "in the reward",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo custom_reward_function.path=r.py "
            "algorithm.use_kl_in_reward=True algorithm.kl_ctrl.kl_coef=0.1"
        ),
        "note",
    ),
]

SILENT = [
    (
        "off",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo custom_reward_function.path=r.py "
            "actor_rollout_ref.actor.kl_loss_coef=0.04"
        ),
    ),
    ("small", "run.yaml", "num_generations: 8\nbeta: 0.001\n"),
    (
        "correctness",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "actor_rollout_ref.actor.use_kl_loss=True "
            "actor_rollout_ref.actor.kl_loss_coef=0.04"
        ),
    ),
]


@pytest.mark.parametrize("case", FIRES, ids=[row[0] for row in FIRES])
def test_fires(case: tuple[str, str, str, str]) -> None:
    _, file, text, severity = case
    found = [one for one in check(read_text(text, file)[0]) if one.rule == RULE]
    assert [one.severity for one in found] == [severity]
    assert found[0].message
    assert found[0].fix


@pytest.mark.parametrize("case", SILENT, ids=[row[0] for row in SILENT])
def test_is_silent(case: tuple[str, str, str]) -> None:
    _, file, text = case
    assert RULE not in {one.rule for one in check(read_text(text, file)[0])}


@pytest.mark.parametrize(("beta", "spread"), [(0.001, 0.0224), (0.04, 0.1414)])
def test_the_spread_that_is_claimed(beta: float, spread: float) -> None:
    # The optimum of E[Brier score] - beta KL(policy || uniform) is exp(-(q - p)^2 / beta), normalized.
    q = np.linspace(0.0, 1.0, 4001)
    policy = np.exp(-((q - 0.5) ** 2) / beta)
    policy /= policy.sum()
    assert np.sqrt(policy @ (q - 0.5) ** 2) == pytest.approx(spread, abs=1e-3)
