"""`binary-reward`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

RULE = "binary-reward"

FIRES = [
    (
        "verl's own",
        "run.sh",
        "python -m verl.trainer.main_ppo algorithm.adv_estimator=rloo",
        "warning",
    ),
    ("TRL", "run.yaml", "num_generations: 8\nreward_funcs: [accuracy, format]\n", "warning"),
    (
        "negligible",
        "run.yaml",
        ("num_generations: 8\nreward_funcs: [accuracy, brier]\nreward_weights: [0.5, 0.000001]\n"),
        "warning",
    ),
    (
        "OpenRLHF",
        "run.sh",
        "python -m openrlhf.cli.train_ppo_ray --reward.remote_url /x/accuracy_reward.py",
        "warning",
    ),
    ("a recipe", "run.yaml", "rollout: {group_size: 8}\nreward: {rule: correctness}\n", "warning"),
]

SILENT = [
    ("verl", "run.sh", "python -m verl.trainer.main_ppo custom_reward_function.path=r.py"),
    ("TRL", "run.yaml", "num_generations: 8\nreward_funcs: [accuracy, brier]\n"),
    (
        "a manager of one's own",
        "run.sh",
        "python -m verl.trainer.main_ppo reward.reward_manager.source=importlib "
        "reward.reward_manager.module.path=brier_manager.py",
    ),
    ("named after it", "run.yaml", "num_generations: 8\nreward_funcs: [confidence_accuracy]\n"),
    (
        "OpenRLHF",
        "run.sh",
        "python -m openrlhf.cli.train_ppo_ray --remote_rm_url /x/reward_func.py",
    ),
    (
        "a server",
        "run.sh",
        "python -m openrlhf.cli.train_ppo_ray --remote_rm_url http://accuracy:80/x",
    ),
    ("not known", "run.yaml", "num_generations: 8\nreward_funcs: [accuracy, mine]\n"),
]


def test_fires(fires: Callable[[str], None]) -> None:
    fires(RULE)


def test_is_silent(is_silent: Callable[[str], None]) -> None:
    is_silent(RULE)
