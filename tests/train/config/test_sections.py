"""Single keys: their types and bounds, and the sentences about them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pydantic import ValidationError

import levelhead.train.config as config
from levelhead import advantages, rewards
from levelhead.errors import ConfigError
from levelhead.train.config import Algorithm, FromScratch, load

TRAIN = Path(config.__file__).resolve().parents[1]


def said(*changes: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(None, changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("steps=0", "steps: expected at least 1, got 0"),
        ("steps='3'", "steps: expected a whole number, got '3'"),
        ("steps=1.5", "steps: expected a whole number, got 1.5"),
        ("steps=true", "steps: expected a whole number, got true"),
        ("seed=4294967296", "seed: expected a number below 4.29497e+09, got 4294967296"),
        ("name=''", "name: expected text that is not empty, got ''"),
        ("optimizer.lr=0", "optimizer.lr: expected a number above 0, got 0"),
        ("optimizer.lr=.nan", "optimizer.lr: expected a finite number, got nan"),
        ("optimizer.betas=[0.9, 1.0]", "optimizer.betas.1: expected a number below 1, got 1.0"),
        ("rollout.temperature=0", "rollout.temperature: expected a number above 0, got 0"),
        ("rollout.top_p=1.1", "rollout.top_p: expected at most 1, got 1.1"),
        ("model.lora=true", "model.lora: expected a section (keys and values), got true"),
        ("model.lora={rank: 8, alpa: 1}", "unknown key; did you mean 'model.lora.alpha'?"),
        ("trackers=wandb", "trackers: expected a list, got 'wandb'"),
        (
            "rollout.backend=vlm",
            "expected one of native, transformers, vllm, got 'vlm'; did you mean 'vllm'?",
        ),
        ("algorithm.estimator=grop", "got 'grop'; did you mean 'grpo'?"),
        ("reward.rule=briar", "got 'briar'; did you mean 'brier'?"),
        (
            "algorithm.estimator_options.tau=2",
            "algorithm.estimator_options: expected options of rloo (none), got tau",
        ),
        (
            "model.from_scratch={hidden: 66, heads: 4}",
            "model.from_scratch: expected hidden / heads to be an even number, got 66 / 4",
        ),
        (
            "model.from_scratch={heads: 4, kv_heads: 3}",
            "model.from_scratch: expected kv_heads to divide heads, got 3 and 4",
        ),
        ("model.from_scratch.vocabulary=10", "expected at least 400, got 10"),
    ],
)
def test_a_wrong_value_is_one_sentence(change: str, sentence: str) -> None:
    assert sentence in said(change)


def test_bounds_belong_to_what_is_allowed() -> None:
    edges = ["algorithm.clip_low=1", "rollout.top_p=1.0", "evaluation.temperature=0", "seed=0"]
    recipe = load(None, [*edges, "evaluation.every=0", "optimizer.lr=1", "reward.floor=-9"])
    assert (recipe.algorithm.clip_low, recipe.optimizer.lr, recipe.reward.floor) == (1, 1, -9)


@pytest.mark.parametrize("name", [*advantages.TABLE, "my.module:estimator", "../mine.py:f"])
def test_every_estimator_and_any_function_may_be_named(name: str) -> None:
    assert Algorithm(estimator=name, estimator_options={}).estimator == name


@pytest.mark.parametrize(
    ("estimator", "options"),
    [
        ("grpo", {"eps": 1e-4, "ddof": 0}),
        ("ema_std", {"decay": 0.5}),  # of the estimator that `new` makes
        ("pl_softmax", {"tau": 2.0}),
        ("my.module:estimator", {"anything": 1}),
    ],
)
def test_options_of_an_estimator_are_its_own(estimator: str, options: dict[str, object]) -> None:
    assert Algorithm(estimator=estimator, estimator_options=options).estimator_options == options
    if ":" not in estimator:
        with pytest.raises(ValidationError, match=f"expected options of {estimator}"):
            Algorithm(estimator=estimator, estimator_options={"valid": None})


@pytest.mark.parametrize("name", [*rewards.TABLE, "correctness", "a.py:b", None])
def test_every_reward_may_be_named(name: str | None) -> None:
    assert config.Reward(rule=name).rule == name


def test_nothing_changes_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(None).optimizer.lr = 1.0  # type: ignore[misc]


def test_the_embedded_model_has_the_same_sizes_here_and_where_it_is_built() -> None:
    tree = ast.parse((TRAIN / "embedded.py").read_text(encoding="utf-8"))
    build = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "build")
    pairs = zip(build.args.kwonlyargs, build.args.kw_defaults, strict=True)
    there = {arg.arg: ast.literal_eval(value) for arg, value in pairs if value is not None}
    here = FromScratch().model_dump()
    assert here == {name: there[name] for name in here}
