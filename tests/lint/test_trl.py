"""TRL in Python, YAML and on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from levelhead.lint import Settings, check, read_text

IMPORT = "from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer\n"


def python(text: str) -> Settings:
    return read_text(IMPORT + text, "train.py")[0]


def plain(text: str, field: str) -> Any:
    return python(text).plain(field)


@pytest.mark.parametrize(
    ("scale", "advantage"),
    [
        ("", "group_std"),
        ("scale_rewards=True", "group_std"),
        ("scale_rewards='group'", "group_std"),
        ("scale_rewards='batch'", "batch_std"),
        ("scale_rewards=False", "plain"),
        ("scale_rewards='none'", "plain"),
        ("scale_rewards='none', multi_objective_aggregation='normalize_then_sum'", "double_std"),
        ("scale_rewards=args.scale", None),
        ("**kwargs", None),
    ],
)
def test_scales(scale: str, advantage: str | None) -> None:
    assert plain(f"GRPOConfig({scale})", "advantage") == advantage


def test_rloo() -> None:
    assert plain("RLOOConfig()", "advantage") == "plain"
    assert plain("RLOOConfig(normalize_advantages=True)", "advantage") == "batch_std"
    assert plain("RLOOConfig(rloo_k=4)", "group_size") == 4
    assert plain("RLOOConfig()", "kl_coef") == 0.05


def test_async_grpo_always_divides() -> None:
    text = "from trl.experimental.async_grpo import AsyncGRPOConfig\nc = AsyncGRPOConfig()\n"
    (settings,) = read_text(text, "a.py")
    assert settings.plain("advantage") == "group_std"
    assert [one.rule for one in check(settings)] == ["group-std", "token-mean"]


def test_rewards_come_from_the_trainer() -> None:
    text = "a = GRPOConfig(scale_rewards=False)\nGRPOTrainer(args=a, reward_funcs=[accuracy])\n"
    assert plain(text, "reward_kind") == "correctness"
    assert plain("GRPOTrainer(model='m', reward_funcs=['org/model'])", "reward_kind") == "model"
    assert plain("GRPOTrainer(model='m', reward_funcs=f())", "reward_kind") is None


def test_another_trainer_may_do_as_it_likes() -> None:
    text = "args = GRPOConfig(loss_type='grpo')\nMyTrainer(args=args)\n"
    settings = python(text)
    assert settings.plain("advantage") is None
    assert settings.plain("aggregation") == "sequence_mean"
    assert "MyTrainer is no trainer of TRL" in settings.unread[-1].why


def test_each_configuration_is_a_run() -> None:
    assert len(read_text(IMPORT + "GRPOConfig(beta=1)\nGRPOConfig(beta=2)\n", "t.py")) == 2


def test_a_configuration_from_elsewhere_is_not_guessed() -> None:
    text = "_, args = parser.parse()\nGRPOTrainer(args=args, reward_funcs=[accuracy_reward])\n"
    settings = python(text)
    assert settings.plain("advantage") is None
    assert settings.plain("reward_kind") == "correctness"
    assert [one.why for one in settings.unread] == ["the configuration is not made in this file"]
    assert python("GRPOTrainer('m')").plain("advantage") == "group_std"


def test_weights() -> None:
    text = "GRPOConfig(reward_weights=[0.5, 0.25])\nGRPOTrainer(reward_funcs=[accuracy, brier])\n"
    assert plain(text, "confidence_weight") == 0.5
    unknown = "GRPOConfig(reward_weights=w)\nGRPOTrainer(reward_funcs=[accuracy, brier])\n"
    assert plain(unknown, "confidence_weight") is None


def test_yaml_and_axolotl() -> None:
    (one,) = read_text("num_generations: 4\nepsilon_high: 0.28\n", "c.yaml")
    assert (one.plain("clip_low"), one.plain("clip_high")) == (0.2, 0.28)
    (two,) = read_text(
        "rl: grpo\nbase_model: x\ntrl:\n  num_generations: 4\n  scale_rewards: false\n", "a.yml"
    )
    assert two.plain("advantage") == "plain"
    (three,) = read_text("grpo:\n  num_generations: 4\n", "own.yaml")
    assert three.plain("advantage") is None


def test_command_line() -> None:
    (one,) = read_text("trl grpo --num_generations 4 --scale_rewards none", "run.sh")
    assert (one.plain("advantage"), one.plain("aggregation")) == ("plain", "token_mean")
    (two,) = read_text("accelerate launch train_grpo.py --scale_rewards=false --config c", "run.sh")
    assert (two.plain("advantage"), two.plain("aggregation")) == ("plain", None)
