"""verl: overrides, arrays, YAML, and its defaults against the installed package's files."""

from __future__ import annotations

from typing import Any

import pytest

from levelhead.adapters.verl_estimators import estimators
from levelhead.lint import Settings, read_text
from levelhead.lint.verl import DEFAULTS, ESTIMATORS

MAIN = "python3 -m verl.trainer.main_ppo "


def read(words: str) -> Settings:
    return read_text(MAIN + words, "run.sh")[0]


def plain(words: str, field: str) -> Any:
    return read(words).plain(field)


def test_defaults_are_verls() -> None:
    found = read("data.train_files=x")
    assert found.plain("estimator") == "gae"
    assert found.plain("advantage") == "batch_std"
    assert found.plain("aggregation") == "token_mean"
    assert found.plain("reward_kind") == "correctness"
    estimator = found.get("estimator")
    assert estimator is not None
    assert estimator.default
    assert DEFAULTS["actor_rollout_ref.rollout.n"] == 1


@pytest.mark.parametrize("name", ["rloo", "rloo_vectorized", "opo", "gpg", "remax"])
def test_plain_estimators(name: str) -> None:
    assert plain(f"algorithm.adv_estimator={name}", "advantage") == "plain"
    assert ESTIMATORS[name] == "plain"


def test_the_plug_ins_estimators_are_known() -> None:
    assert {name for name in ESTIMATORS if name.startswith("levelhead_")} == set(estimators())
    assert ESTIMATORS["levelhead_grpo"] == "group_std"


def test_hydra_syntax() -> None:
    assert plain("+algorithm.adv_estimator='rloo'", "estimator") == "rloo"
    assert plain('++algorithm.adv_estimator="rloo"', "estimator") == "rloo"
    assert plain("algorithm.adv_estimator=rloo ~algorithm.adv_estimator", "estimator") == "gae"
    assert plain("algorithm.adv_estimator=grpo algorithm.adv_estimator=rloo", "estimator") == "rloo"
    assert (
        plain("trainer.logger='[\"console\"]' data.train_batch_size=1_024", "batch_prompts") == 1024
    )
    assert plain("custom_reward_function.path=null", "reward_kind") == "correctness"


def test_other_programs_have_other_defaults() -> None:
    own = read_text(
        "python train.py algorithm.adv_estimator=grpo actor_rollout_ref.rollout.n=4", "r.sh"
    )[0]
    assert own.plain("advantage") == "group_std"
    assert own.plain("aggregation") is None
    assert own.plain("reward_kind") is None
    for words in ("--config-name mine", "--config-name=mine", "--config mine.yaml"):
        assert plain(words + " data.x.y=1", "aggregation") is None
    assert plain("--config-name=ppo_megatron_trainer.yaml", "aggregation") == "token_mean"


def test_what_is_unknown_stays_unknown() -> None:
    found = read("algorithm.adv_estimator=$ADV actor_rollout_ref.rollout.n=${N}")
    assert found.plain("advantage") is None
    assert {one.key for one in found.unread} == {
        "algorithm.adv_estimator",
        "actor_rollout_ref.rollout.n",
    }
    mine = read("algorithm.adv_estimator=mine")
    assert mine.plain("advantage") is None
    assert mine.unread[0].why == "'mine' is no estimator of verl 0.9.1"
    half = read("algorithm.adv_estimator=grpo algorithm.norm_adv_by_std_in_grpo=$STD")
    assert half.plain("advantage") is None


def test_reward_functions_by_their_names() -> None:
    assert plain("custom_reward_function.path=my/brier_reward.py", "reward_kind") == "scoring"
    assert plain("custom_reward_function.path=my/reward.py", "reward_kind") is None
    new = "reward.custom_reward_function.path=r.py reward.custom_reward_function.name=rlcr"
    assert plain(new, "reward_rule") == "brier"
    assert plain("reward.reward_model.enable=True", "reward_kind") == "model"


def test_kl_counts_only_where_it_is_in_force() -> None:
    assert plain("actor_rollout_ref.actor.kl_loss_coef=0.5", "kl_coef") is None
    both = "actor_rollout_ref.actor.use_kl_loss=True actor_rollout_ref.actor.kl_loss_coef=0.5"
    assert plain(both, "kl_coef") == 0.5
    assert plain("algorithm.use_kl_in_reward=True", "kl_coef") == 0.001


def test_greedy_validation_has_no_temperature() -> None:
    words = "actor_rollout_ref.rollout.val_kwargs.temperature=0.6 "
    assert (
        plain(words + "actor_rollout_ref.rollout.val_kwargs.do_sample=False", "eval_temperature")
        is None
    )


def test_yaml() -> None:
    text = "algorithm: {adv_estimator: grpo}\nactor_rollout_ref: {rollout: {n: 4}}\n"
    assert read_text(text, "c.yaml")[0].plain("aggregation") is None
    whole = read_text("defaults: [ppo_trainer, _self_]\n" + text, "c.yaml")[0]
    assert whole.plain("aggregation") == "token_mean"
    advantage = whole.get("advantage")
    assert advantage is not None
    assert advantage.line == 2
