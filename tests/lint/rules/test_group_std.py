"""`group-std`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import pytest

from levelhead.lint import check, read_text

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
