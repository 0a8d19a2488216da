"""The settings of a run: what is refused, and with which words."""

from __future__ import annotations

from typing import Any

import pytest

from levelhead.errors import InvalidInputError
from levelhead.lab.run import ESTIMATORS, Run


def test_the_defaults_are_the_settings_of_the_paper() -> None:
    run = Run("grpo", seed=0, eps=1e-5)
    assert (run.group_size, run.n_updates, run.lr, run.weight_decay) == (10, 50_000, 3e-3, 0.01)
    assert (run.clip, run.reward, run.updates_per_rollout, run.value_lr) == (None, "log", 1, 1e-5)
    assert run.options == {"eps": 1e-5}


def test_every_estimator_makes_a_run() -> None:
    assert [Run(name, seed=0).estimator for name in ESTIMATORS] == list(ESTIMATORS)
    assert {"ppo", "rb_exact", "grpo", "ema_std"} <= set(ESTIMATORS)


def test_runs_can_be_compared_and_collected() -> None:
    assert len({Run("grpo", seed=0), Run("grpo", seed=0), Run("grpo", seed=1)}) == 2


@pytest.mark.parametrize(
    ("estimator", "settings", "text"),
    [
        ("grop", {}, "estimator: expected one of .*did you mean 'grpo'"),
        ("grpo", {"reward": "logg"}, "reward: expected one of .*did you mean 'log'"),
        ("grpo", {"seed": -1}, "seed: expected an integer >= 0, got -1"),
        ("grpo", {"n_updates": 0}, "n_updates: expected an integer >= 1, got 0"),
        ("grpo", {"group_size": 2.5}, "group_size: expected an integer >= 1, got 2.5"),
        ("grpo", {"group_size": 1}, "group_size: expected at least 2, since grpo compares"),
        ("grpo", {"lr": float("nan")}, "lr: expected a finite number >= 0, got nan"),
        ("grpo", {"clip": 1.0}, r"clip: expected a number in \(0, 1\) or None, got 1.0"),
        ("rb_exact", {"clip": 0.2}, "clip: expected None, since rb_exact draws no samples"),
        ("grpo", {"schedule": "cosine"}, "schedule: expected one of constant, linear"),
        ("ema_std", {"scale_of": "token"}, "scale_of: expected one of category, question"),
        ("grpo", {"tau": 1.0}, "tau: expected an option of grpo, which has eps, ddof"),
        ("ppo", {"eps": 1.0}, "eps: expected an option of ppo, which has none"),
        ("grpo", {"eps": -1.0}, r"eps: expected a number >= 0, got -1.0"),
        ("grpo", {"ddof": 2}, "ddof: expected a number 0 or 1, got 2"),
        ("pl_softmax", {"tau": 0.0}, "tau: expected a number > 0, got 0.0"),
        ("ema_std", {"decay": 1.0}, r"decay: expected a number in \[0, 1\), got 1.0"),
    ],
)
def test_errors(estimator: str, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        Run(estimator, **{"seed": 0, **settings})


@pytest.mark.parametrize("estimator", ["ppo", "reinforce", "reinforce_pp", "rb_exact"])
def test_one_sample_a_question_is_enough_for_some(estimator: str) -> None:
    assert Run(estimator, seed=0, group_size=1).group_size == 1
