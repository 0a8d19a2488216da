"""What a reward is, by its name."""

from __future__ import annotations

import pytest

from levelhead.lint._rewards import calibration_rule, kind_of, kinds

NAMES = [
    ("accuracy", "correctness"),
    ("accuracy_reward", "correctness"),
    ("think_accuracy", "correctness"),
    ("cf_code", "correctness"),
    ("code_format", "format"),
    ("tag_count", "format"),
    ("soft_overlong_punishment", "format"),
    ("brier", "scoring"),
    ("BrierReward", "scoring"),
    ("rlcr_reward", "scoring"),
    ("log_score", "scoring"),
    ("log_reward", "scoring"),
    ("log_rewards_to_wandb", "unknown"),
    ("confidence_weighted_accuracy_reward", "unknown"),
    ("uncertainty_correctness", "unknown"),
    ("mean_confidence", "improper"),
    ("reward_len", "format"),
    ("episode_reward_func", "unknown"),
    ("protein_coding_gene", "unknown"),
]


@pytest.mark.parametrize(("name", "kind"), NAMES)
def test_names(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_sums() -> None:
    assert kinds(["accuracy", "format"], None) == "correctness"
    assert kinds(["accuracy", "brier"], None) == "scoring"
    assert kinds(["accuracy", "brier"], [1.0, 0.001]) == "correctness"
    assert kinds(["accuracy", "mine"], None) is None
    assert kinds(["format"], None) is None
    assert kinds(["brier", "mean_confidence"], [1.0, 0.5]) == "improper"


def test_rules() -> None:
    assert [calibration_rule(name) for name in ("rlcr_reward", "log_score", "accuracy")] == [
        *("brier", "log", None)
    ]
