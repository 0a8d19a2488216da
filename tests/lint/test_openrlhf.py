"""OpenRLHF: both spellings, pairs, switches."""

from __future__ import annotations

from typing import Any

import pytest

from levelhead.lint import read_text
from levelhead.lint.openrlhf import ESTIMATORS, SPELLINGS

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
