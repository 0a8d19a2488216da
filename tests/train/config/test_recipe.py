"""Rules between keys, and between a recipe and its task."""

from __future__ import annotations

import pytest

from levelhead.errors import ConfigError
from levelhead.tasks import make_task
from levelhead.train.config import check_task, load, task_problems

GAE = ("algorithm.estimator=gae", "algorithm.critic={kind: head}")
KL = "algorithm.kl.coef=0.01"


def test_the_default_is_calibrated() -> None:
    recipe = load(None)
    assert recipe.algorithm.estimator == "rloo"
    assert recipe.algorithm.aggregation == "seq-sum-constant"
    assert (recipe.algorithm.kl.coef, recipe.algorithm.entropy_coef) == (0.0, 0.0)
    assert recipe.reward.rule is None
    assert make_task(recipe.task).default_reward == "log"


def test_updates_are_counted_over_the_whole_run() -> None:
    # 10 steps of 4 mini-batches, each gone through 3 times.
    changes = ["steps=10", "algorithm.updates_per_rollout=4", "algorithm.epochs=3"]
    assert load(None, changes).updates == 120


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            ["rollout.group_size=1"],
            "rollout.group_size: expected at least 2 for the estimator rloo, which compares the "
            "completions of one prompt, got 1",
        ),
        (["rollout.group_size=1", "algorithm.estimator=ema_std"], "for the estimator ema_std"),
        (
            ["rollout.group_size=1", "rollout.prompts=1", "algorithm.estimator=rb_exact"],
            "rollout.prompts: expected at least 2 in an update (prompts / algorithm.updates_per_rollout) "
            "for the estimator rb_exact with one completion of each",
        ),
        (
            ["rollout.prompts=10", "algorithm.updates_per_rollout=4"],
            "algorithm.updates_per_rollout: expected a divisor of the 10 prompts of a step "
            "(rollout.prompts), got 4",
        ),
        (
            ["algorithm.constant=10", "algorithm.aggregation=token-mean"],
            "algorithm.constant: belongs to the aggregation seq-sum-constant, got token-mean",
        ),
        (
            ["algorithm.estimator=rb_exact", "algorithm.aggregation=seq-mean-token-mean"],
            "algorithm.aggregation: expected seq-sum-constant for the estimator rb_exact",
        ),
        (
            ["algorithm.estimator=rb_exact", KL, "algorithm.kl.place=reward"],
            "algorithm.kl.place: expected loss for the estimator rb_exact",
        ),
        (
            ["algorithm.estimator=rb_exact", "reward.rule=own.py:score"],
            "reward.floor: expected what malformed output earns for the estimator rb_exact",
        ),
        (
            ["algorithm.estimator=gae"],
            "algorithm.critic: expected a critic for the estimator gae, got none; add "
            "`critic: {kind: head}`",
        ),
        (
            ["algorithm.critic={kind: head}"],
            "algorithm.critic: belongs to the estimator gae, got rloo; remove it, or choose gae",
        ),
        (
            [KL, "algorithm.kl.estimator=k1"],
            "algorithm.kl.estimator: expected k2 or k3 in the loss, got k1, whose gradient is 0",
        ),
        (
            [KL, "algorithm.kl.reference=adapter_off"],
            "algorithm.kl.reference: expected initial for a model without adapters",
        ),
        (
            ["optimizer.warmup_steps=4", "steps=4"],
            "optimizer.warmup_steps: expected fewer than the 4 optimizer updates of the run",
        ),
        (
            ["guard.action=stop", "evaluation.every=0"],
            "guard.action: expected evaluations to stop at, got evaluation.every: 0",
        ),
        (["trackers=[wandb, wandb]"], "trackers: expected each once, got wandb, wandb"),
        (
            ["model.path=Qwen/Qwen3-4B", "model.from_scratch={layers: 1}"],
            "model.from_scratch: belongs to the path 'embedded', got the path 'Qwen/Qwen3-4B'",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_one_sentence(changes: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, changes)
    assert sentence in str(caught.value)
    assert "problems" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        [*GAE, "rollout.group_size=1"],
        ["rollout.group_size=1", "algorithm.estimator=reinforce"],
        ["rollout.group_size=1", "algorithm.estimator=reinforce_pp"],
        ["algorithm.estimator=rb_exact", "rollout.group_size=1", "rollout.prompts=2"],
        ["algorithm.estimator=rb_exact", "reward.rule=own.py:score", "reward.floor=-1"],
        [KL, "algorithm.kl.estimator=k1", "algorithm.kl.place=reward"],
        ["algorithm.kl.estimator=k1"],  # without a coefficient nothing is penalized
        [KL, "algorithm.kl.reference=adapter_off", "model.lora={}"],
        ["optimizer.warmup_steps=3", "steps=4"],
        ["model.from_scratch={layers: 1}"],
        ["algorithm.constant=10"],
    ],
)
def test_what_goes_together_passes(changes: list[str]) -> None:
    load(None, changes)


def test_all_broken_rules_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, ["rollout.group_size=1", "algorithm.updates_per_rollout=5", "steps=1"])
    assert str(caught.value).splitlines()[0] == "recipe: 2 problems:"


SMALL = ["task={kind: oracle, train: 8, evaluation: 4}", "rollout.prompts=8"]


def test_a_recipe_and_its_task() -> None:
    recipe = load(None, SMALL)
    assert task_problems(recipe, make_task(recipe.task)) == ()
    recipe = load(None, [*SMALL, "rollout.prompts=9", "reward.rule=rlcr"])
    with pytest.raises(ConfigError) as caught:
        check_task(recipe, make_task(recipe.task))
    rule, prompts = str(caught.value).splitlines()
    assert rule.startswith("reward.rule: expected a reward of a stated probability (log, brier,")
    assert prompts == (
        "rollout.prompts: expected at most the 8 prompts that the task 'oracle' has to train on, got 9"
    )


def test_an_exact_gradient_needs_answers_that_can_be_listed() -> None:
    recipe = load(
        None, ["task={kind: arithmetic, train: 40, evaluation: 4}", "algorithm.estimator=rb_exact"]
    )
    problem = task_problems(recipe, make_task(recipe.task))
    assert [str(one).split(",")[0] for one in problem] == [
        "algorithm.estimator: expected a task whose answers can be listed for rb_exact"
    ]
