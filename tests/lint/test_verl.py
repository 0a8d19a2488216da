"""verl: overrides, arrays, YAML, and its defaults against the installed package's files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from levelhead.adapters.verl_estimators import estimators
from levelhead.lint import Settings, check, read_text
from levelhead.lint._yaml import flat, parse
from levelhead.lint.settings import Value, misspelled
from levelhead.lint.verl import DEFAULTS, ESTIMATORS, KEYS

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


# What each estimator does with a reward at its defaults, from core_algos.py of verl 0.9.1.
KINDS = {
    "plain": "rloo rloo_vectorized opo gpg remax optimal_token_baseline tir_optimal_token_baseline",
    "batch_std": "gae reinforce_plus_plus reinforce_plus_plus_baseline",
    "group_std": "grpo grpo_vectorized",
    "double_std": "gdpo",
    "best_of_group": "grpo_passk",
}


@pytest.mark.parametrize("kind", KINDS)
def test_estimators(kind: str) -> None:
    own = {name for name, one in ESTIMATORS.items() if one == kind}
    assert {name for name in own if not name.startswith("levelhead_")} == set(KINDS[kind].split())
    for name in KINDS[kind].split():
        words = f"algorithm.adv_estimator={name} actor_rollout_ref.rollout.n=4"
        assert plain(words, "advantage") == kind


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


def test_the_plug_ins_estimators_have_its_fix_and_our_probe() -> None:
    words = "algorithm.adv_estimator=levelhead_grpo actor_rollout_ref.rollout.n=4"
    (found,) = [one for one in check(read(words)) if one.rule == "group-std"]
    assert found.fix == "algorithm.adv_estimator=levelhead_rloo"
    assert found.probe == "levelhead probe grpo"


def test_a_hidden_argument_takes_the_defaults_away() -> None:
    text = (
        "A=(algorithm.adv_estimator=grpo)\n"
        "if [ $X ]; then A+=(algorithm.norm_adv_by_std_in_grpo=False); fi\n"
        + MAIN
        + '"${A[@]}" actor_rollout_ref.rollout.n=8\n'
    )
    (settings,) = read_text(text, "run.sh")
    assert settings.plain("group_size") == 8
    assert settings.plain("advantage") is settings.plain("reward_kind") is None
    assert settings.unread[0].why == "$A grows in a branch, and may set anything"


def test_sapo_has_an_aggregation_of_its_own() -> None:
    words = "actor_rollout_ref.actor.loss_agg_mode=token-mean "
    assert plain(words, "aggregation") == "token_mean"
    sapo = "actor_rollout_ref.actor.policy_loss.loss_mode=sapo"
    assert plain(words + sapo, "aggregation") == "sequence_mean"


def test_a_key_that_is_misspelled_is_named() -> None:
    (blank,) = read("actor_rollout_ref.rolout.n=8").unread
    assert blank.why == "verl 0.9.1 has no such key; did you mean actor_rollout_ref.rollout.n?"


def verls_keys() -> dict[str, Any]:
    """Every key of the configuration of the verl that is installed, without importing it."""
    found = importlib.util.find_spec("verl")
    if found is None or found.origin is None:
        pytest.skip("verl is not installed")
    folder = Path(found.origin).parent / "trainer" / "config"
    text = (folder / "_generated_ppo_trainer.yaml").read_text(encoding="utf-8")
    (tree,) = parse(text, "verl.yaml")
    return flat(tree)


def test_defaults_and_keys_are_those_of_verls_files() -> None:
    keys = verls_keys()
    for key, value in DEFAULTS.items():
        told = keys[key]
        assert isinstance(told, Value), key
        assert told.value == value, key
    for key in keys:
        assert key in KEYS or not misspelled(key, KEYS), key
