"""`strong-kl`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from levelhead.lint import check, read_text
from levelhead.lint.rules._rule import spread

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

VERL = "python -m verl.trainer.main_ppo custom_reward_function.path=r.py "
IN_LOSS = VERL + (
    "actor_rollout_ref.actor.use_kl_loss=True actor_rollout_ref.actor.kl_loss_coef={0} "
    "actor_rollout_ref.actor.kl_loss_type={1}"
)
RATIO = "num_generations: 8\nbeta: 0.04\nuse_bias_correction_kl: {0}\n"

SPREADS = [
    ("k3", "run.sh", IN_LOSS.format(0.04, "low_var_kl"), ["0.17"]),
    ("k2", "run.sh", IN_LOSS.format(0.04, "k2"), ["0.14"]),
    ("k3+", "run.sh", IN_LOSS.format(0.04, "k3+"), ["0.14"]),
    ("k1 has no gradient there", "run.sh", IN_LOSS.format(0.04, "kl"), []),
    ("TRL's ratio", "run.yaml", RATIO.format("true"), ["0.14"]),
    (
        "a sequence's ratio",
        "run.yaml",
        RATIO.format("true") + "importance_sampling_level: sequence\n",
        [],
    ),
    ("no ratio", "run.yaml", RATIO.format("false"), ["0.17"]),
    ("k3, smaller", "run.sh", IN_LOSS.format(0.015, "k3"), ["0.11"]),
    ("small", "run.sh", IN_LOSS.format(0.01, "k3"), []),
    ("RLOO", "run.py", "from trl import RLOOConfig\nRLOOConfig(beta=0.04)\n", ["0.14"]),
    (
        "both",
        "run.sh",
        IN_LOSS.format(0.001, "k3")
        + " algorithm.use_kl_in_reward=True algorithm.kl_ctrl.kl_coef=0.1",
        ["0.22"],
    ),
    (
        "of a program that is not known",
        "run.sh",
        "python x.py algorithm.adv_estimator=rloo actor_rollout_ref.actor.use_kl_loss=True "
        "actor_rollout_ref.actor.kl_loss_coef=0.04",
        ["0.14 or 0.17, by the estimator"],
    ),
    (
        "OpenRLHF, k3 in the loss",
        "run.sh",
        "python -m openrlhf.cli.train_ppo_ray --init_kl_coef 0.04 --use_kl_loss --kl_estimator k3",
        ["0.17"],
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


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)


@pytest.mark.parametrize(("beta", "spread"), [(0.001, 0.0224), (0.04, 0.1414)])
def test_the_spread_that_is_claimed(beta: float, spread: float) -> None:
    # The optimum of E[Brier score] - beta KL(policy || uniform) is exp(-(q - p)^2 / beta), normalized.
    q = np.linspace(0.0, 1.0, 4001)
    policy = np.exp(-((q - 0.5) ** 2) / beta)
    policy /= policy.sum()
    assert np.sqrt(policy @ (q - 0.5) ** 2) == pytest.approx(spread, abs=1e-3)


@pytest.mark.parametrize("case", SPREADS, ids=[row[0] for row in SPREADS])
def test_the_spread_depends_on_the_estimator_and_its_place(
    case: tuple[str, str, str, list[str]],
) -> None:
    _, file, text, spreads = case
    found = [one for one in check(read_text(text, file)[0]) if one.rule == RULE]
    assert [one.message.partition("a spread of ")[2] for one in found] == spreads


GRID = np.linspace(0.005, 0.995, 100)


def optimum(truth: float, beta: float, reference: np.ndarray) -> np.ndarray:
    """beta ref / (c - r), c by bisection."""
    reward = -((GRID - truth) ** 2)
    low, high = reward.max() + 1e-12, reward.max() + 10.0
    for _ in range(200):
        c = (low + high) / 2
        low, high = (c, high) if (beta * reference / (c - reward)).sum() > 1 else (low, c)
    return beta * reference / (high - reward)


def test_without_the_ratio_k3_has_the_gradient_of_the_other_divergence() -> None:
    # A softmax over logits; E over samples of d k3 / d logits, k3 = x - log x - 1 with x = ref / pi.
    rng = np.random.default_rng(0)
    policy, reference = rng.dirichlet(np.ones(5), 2)
    slope = np.eye(5) - policy  # d log pi_k / d logit_j
    k3 = reference / policy - np.log(reference / policy) - 1
    bare = (policy * (1 - reference / policy)) @ slope
    weighted = bare + (policy * k3) @ slope
    np.testing.assert_allclose(bare, policy - reference, atol=1e-12)  # of KL(ref || pi)
    whole = (policy * np.log(policy / reference)) @ slope  # of KL(pi || ref)
    np.testing.assert_allclose(weighted, whole, atol=1e-12)


@pytest.mark.parametrize(
    ("beta", "truth", "mean", "deviation"),
    [(0.001, 0.5, 0.5, 0.03), (0.04, 0.5, 0.5, 0.17), (0.04, 0.9, 0.82, 0.16)],
)
def test_the_optimum_of_the_other_divergence(
    beta: float, truth: float, mean: float, deviation: float
) -> None:
    reference = np.full(GRID.size, 1 / GRID.size)
    policy = optimum(truth, beta, reference)
    # Stationary: r + beta ref / pi is the same for every statement.
    force = -((GRID - truth) ** 2) + beta * reference / policy
    np.testing.assert_allclose(force, force[0], atol=1e-9)
    center = policy @ GRID
    assert center == pytest.approx(mean, abs=0.005)
    assert np.sqrt(policy @ (GRID - center) ** 2) == pytest.approx(deviation, abs=0.005)
    if truth == 0.5:
        assert spread(beta, "reverse") == pytest.approx(deviation, abs=0.005)
