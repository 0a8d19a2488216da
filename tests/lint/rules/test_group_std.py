"""`group-std`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "group-std"

FIRES = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo "
            "actor_rollout_ref.rollout.n=8 custom_reward_function.path=r.py"
        ),
        "error",
    ),
    (
        "verl, no switch",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo "
            "algorithm.adv_estimator=grpo_vectorized "
            "actor_rollout_ref.rollout.n=8 custom_reward_function.path=r.py"
        ),
        "error",
    ),
    (
        "correctness only",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo "
            "actor_rollout_ref.rollout.n=8"
        ),
        "warning",
    ),
    ("TRL's default", "run.yaml", "num_generations: 8\nreward_funcs: [brier]\n", "error"),
    ("TRL, dr_grpo keeps it", "run.yaml", "num_generations: 8\nloss_type: dr_grpo\n", "error"),
    (
        "OpenRLHF",
        "run.sh",
        (
            "python -m openrlhf.cli.train_ppo_ray --advantage_estimator "
            "group_norm --n_samples_per_prompt 8"
        ),
        "error",
    ),
    ("a recipe", "run.yaml", "rollout: {group_size: 8}\nalgorithm: {estimator: grpo}\n", "error"),
]

SILENT = [
    (
        "verl",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo "
            "algorithm.norm_adv_by_std_in_grpo=False "
            "actor_rollout_ref.rollout.n=8 "
        ),
    ),
    (
        "verl, groups of one",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo "
            "actor_rollout_ref.rollout.n=1"
        ),
    ),
    ("TRL", "run.yaml", "num_generations: 8\nscale_rewards: none\n"),
    ("TRL, false", "run.yaml", "num_generations: 8\nscale_rewards: false\n"),
    ("TRL, batch", "run.yaml", "num_generations: 8\nscale_rewards: batch\n"),
    (
        "not known",
        "run.sh",
        (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=$ADV "
            "actor_rollout_ref.rollout.n=8"
        ),
    ),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
