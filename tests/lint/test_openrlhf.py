"""OpenRLHF: both spellings, pairs, switches."""

from __future__ import annotations

from typing import Any

import pytest

from levelhead.lint import check, read_text
from levelhead.lint.openrlhf import DEFAULTS, ESTIMATORS, SPELLINGS

MAIN = "python3 -m openrlhf.cli.train_ppo_ray "


def plain(words: str, field: str) -> Any:
    return read_text(MAIN + words, "run.sh")[0].plain(field)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_both_spellings(estimator: str) -> None:
    kinds = [
        plain(f"--{name} {estimator}", "advantage")
        for name in ("advantage_estimator", "algo.advantage.estimator")
    ]
    assert kinds == [ESTIMATORS[estimator]] * 2
    assert plain(f"--advantage_estimator={estimator}", "estimator") == estimator


def test_the_last_argument_wins() -> None:
    assert plain("--advantage_estimator gae --advantage_estimator rloo", "estimator") == "rloo"
    assert plain("--advantage_estimator rloo --algo.advantage.estimator gae", "estimator") == "gae"


def test_the_switch_is_read_where_openrlhf_reads_it() -> None:
    assert plain("--no_advantage_std_norm", "advantage") == "plain"
    assert (
        plain("--advantage_estimator group_norm --no_advantage_std_norm", "advantage")
        == "group_std"
    )


def test_pairs() -> None:
    assert plain("--eps_clip_low_high 0.2 0.27", "clip_high") == 0.27
    assert plain("--reward_clip_range -1 1", "reward_low") == -1.0


def test_defaults_belong_to_its_own_program() -> None:
    assert plain("--pretrain x", "estimator") == "gae"
    other = read_text("python mine.py --advantage_estimator rloo", "run.sh")[0]
    assert other.plain("group_size") is None


def test_rewards() -> None:
    assert plain("--reward_pretrain m", "reward_kind") == "model"
    assert (
        plain("--reward.model_name_or_path m --train.agent_func_path a.py", "reward_kind") is None
    )


def test_new_names_are_dotted() -> None:
    assert all("." in new and "." not in old for old, new in SPELLINGS.items())


def test_what_each_estimator_does() -> None:
    # From experience_maker.py of OpenRLHF 0.11: rloo and dr_grpo only subtract, group_norm divides by
    # the group's std, and the others are normalized over the batch.
    assert ESTIMATORS == {
        "gae": "batch_std",
        "reinforce": "batch_std",
        "reinforce_baseline": "batch_std",
        "rloo": "plain",
        "dr_grpo": "plain",
        "group_norm": "group_std",
        "grpo": "group_std",
    }


def test_defaults_are_those_of_its_arguments() -> None:
    # From train_ppo_ray.py of OpenRLHF 0.11.2.
    assert DEFAULTS == {
        "algo.advantage.estimator": "gae",
        "algo.advantage.no_std_norm": False,
        "algo.advantage.lambd": 1.0,
        "algo.kl.init_coef": 0.01,
        "algo.kl.use_loss": False,
        "algo.kl.estimator": "k1",
        "algo.dynamic_filtering_enable": False,
        "actor.eps_clip": 0.2,
        "rollout.n_samples_per_prompt": 1,
        "rollout.batch_size": 1024,
        "rollout.temperature": 1.0,
    }
    assert plain("--pretrain x", "kl_coef") == 0.01


def test_rewards_by_the_name_of_their_file() -> None:
    assert plain("--remote_rm_url /x/accuracy_reward.py", "reward_kind") == "correctness"
    assert plain("--reward.remote_url /x/brier.py", "reward_rule") == "brier"
    for url in ("/x/reward_func.py", "http://brier:5000/get_reward"):
        (settings,) = read_text(f"{MAIN}--reward.remote_url {url}", "run.sh")
        assert settings.plain("reward_kind") is None
        assert "does not tell what it rewards" in settings.unread[0].why


@pytest.mark.parametrize("flag", ["--algo.dynamic_filtering_enable", "--dynamic_filtering"])
def test_filters_are_judged_where_a_confidence_is_scored(flag: str) -> None:
    def rules(url: str) -> list[str]:
        words = f"{MAIN}--advantage_estimator rloo --n_samples_per_prompt 8 {flag} --remote_rm_url {url}"
        return [one.rule for one in check(read_text(words, "run.sh")[0])]

    assert rules("/x/brier.py") == ["outcome-filter"]
    assert rules("/x/accuracy.py") == ["binary-reward"]
    assert rules("/x/mine.py") == []


def test_an_unknown_argument_does_not_hide_the_one_before() -> None:
    (settings,) = read_text(MAIN + "--advantage_estimator rloo $MORE", "run.sh")
    assert (settings.plain("estimator"), settings.plain("kl_coef")) == ("rloo", None)
    assert settings.unread[0].key == "$MORE"
