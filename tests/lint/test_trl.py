"""TRL in Python, YAML and on the command line."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from levelhead.lint import Settings, check, read_text
from levelhead.lint.trl import AGGREGATIONS, GRPO, RLOO

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


def test_attributes_that_are_set_after_the_configuration_was_made() -> None:
    trainer = "t = GRPOTrainer(model='m', reward_funcs=[brier_reward], args=a)\n"
    off = python("a = GRPOConfig()\na.scale_rewards = 'none'\n" + trainer)
    assert (off.plain("advantage"), off.plain("reward_kind")) == ("plain", "scoring")
    on = python("a = GRPOConfig(scale_rewards='none')\na.scale_rewards = 'group'\n" + trainer)
    assert on.plain("advantage") == "group_std"
    maybe = python("a = GRPOConfig()\nif x:\n    a.scale_rewards = 'none'\n" + trainer)
    assert maybe.plain("advantage") is None
    parsed = "def main(a):\n    a.scale_rewards = 'none'\n    " + trainer
    assert plain(parsed, "advantage") == "plain"


def test_positional_arguments_of_a_trainer() -> None:
    text = "c = GRPOConfig(scale_rewards='none')\nd = GRPOConfig()\n"
    runs = read_text(IMPORT + text + "GRPOTrainer('m', [accuracy_reward], c)\n", "t.py")
    assert [run.plain("reward_kind") for run in runs] == ["correctness", None]
    imported = "from trl.rewards import accuracy_reward\n"
    assert plain(imported + "GRPOTrainer('m', accuracy_reward)", "reward_kind") == "correctness"


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("rlcr_reward(answer='x')", "scoring"),
        ("log_reward()", "scoring"),
        ("partial(brier_reward, x)", "scoring"),
        ("get_accuracy_rewards(args)", None),
        ("rewards_of(args)", None),
    ],
)
def test_a_reward_that_is_the_result_of_a_call(call: str, kind: str | None) -> None:
    assert plain(f"GRPOTrainer(model='m', reward_funcs={call})", "reward_kind") == kind


@pytest.mark.parametrize(
    ("argument", "advantage", "rules"),
    [
        ("", "plain", []),
        ("advantage='rloo'", "plain", []),
        ("advantage='grpo'", "group_std", ["group-std"]),
        ("advantage='rank_linear'", "ranks", ["ranks"]),
        ("advantage='m:f'", None, []),
        ("advantage=choose()", None, []),
        ("**kwargs", None, []),
    ],
)
def test_our_own_trainer(argument: str, advantage: str | None, rules: list[str]) -> None:
    head = "from levelhead.adapters.trl_trainer import CalibratedGRPOTrainer\n"
    config = "c = GRPOConfig(loss_type='dr_grpo', scale_rewards='group')\n"
    settings = python(head + config + f"CalibratedGRPOTrainer(model='m', args=c, {argument})\n")
    assert settings.plain("advantage") == advantage
    found = check(settings)
    assert [one.rule for one in found] == rules
    if found:
        name = argument.partition("'")[2].rstrip("'")
        assert (found[0].fix, found[0].probe) == ('advantage="rloo"', f"levelhead probe {name}")


def test_every_section_is_a_run_but_not_what_others_are_built_on() -> None:
    text = (
        "base: &b\n  scale_rewards: group\n  num_generations: 8\n"
        "one:\n  <<: *b\n  scale_rewards: none\ntwo:\n  <<: *b\n  scale_rewards: batch\n"
    )
    runs = read_text(text, "c.yaml")
    assert [run.plain("advantage") for run in runs] == ["plain", "batch_std"]


def test_what_the_loss_types_do() -> None:
    # From GRPOTrainer._compute_loss of TRL 1.16.
    assert AGGREGATIONS == {
        "grpo": "sequence_mean",  # mean over the tokens of a sequence, then over sequences
        "sapo": "sequence_mean",
        "bnpo": "token_mean",  # sum over all tokens, by their number in the batch
        "dapo": "token_mean",
        "cispo": "token_mean",
        "vespo": "token_mean",
        "dr_grpo": "sum",  # by a constant
        "luspo": "sum",  # by the number of sequences
    }


def test_a_template_is_not_a_default() -> None:
    (settings,) = read_text("num_generations: 8\nscale_rewards: {{ scale }}\n", "c.yaml")
    assert settings.plain("advantage") is None


def test_a_hidden_argument_takes_the_defaults_away() -> None:
    (settings,) = read_text("trl grpo --num_generations 4 $MORE", "run.sh")
    assert (settings.plain("advantage"), settings.unread[0].key) == (None, "$MORE")


def test_defaults_are_trls() -> None:
    trl = pytest.importorskip("trl")
    for config, defaults in ((trl.GRPOConfig, GRPO), (trl.RLOOConfig, RLOO)):
        fields = {one.name: one.default for one in dataclasses.fields(config)}
        assert {key: fields[key] for key in defaults} == defaults
