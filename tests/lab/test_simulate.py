"""Training runs: against slow loops, against known limits, and in their independence of one another."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError
from levelhead.lab._history import Records
from levelhead.lab.evaluate import Sampled, mean_prediction, predict, scores
from levelhead.lab.policy import AdamW, softmax
from levelhead.lab.run import ESTIMATORS
from levelhead.lab.simulate import Run, Trained, _Stack, simulate
from levelhead.lab.world import World, paper_world, token_values
from levelhead.rewards import reward_table

SE = 5.0  # standard errors that a sampled mean may be off
SINGLE = 2e-3  # what single precision may do to a probability over hundreds of updates

SMALL = World(
    token_values(4, 0.1, 0.9), np.array([0.3, 0.8]), np.arange(60) % 2, np.arange(60) // 2 % 3 > 0
)


def group_size(name: str) -> int:
    return 1 if name in ("ppo", "reinforce") else 4


def test_a_run_does_not_depend_on_its_company() -> None:
    runs = [
        Run(name, seed, group_size(name), updates, clip, n_updates=60, lr=0.1)
        for name in ESTIMATORS
        for seed, updates, clip in ((0, 1, None), (1, 3, None if name == "rb_exact" else 0.1))
    ]
    together = simulate(SMALL, runs, record=20)
    for run, trained in zip(runs, together, strict=True):
        alone = simulate(SMALL, [run])[0]
        assert np.array_equal(alone.policy, trained.policy), run
        assert (alone.value is None) == (trained.value is None)
        assert trained.run is run
        assert trained.n_updates == 60


def test_seeds_differ_and_repeat() -> None:
    first, again, other = (
        simulate(SMALL, [Run("grpo", seed, n_updates=20, lr=0.1)])[0].policy for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def by_loop(world: World, run: Run, rng: np.random.Generator) -> FloatArray:
    """The whole algorithm with every sample explicit, for GRPO without and with the std."""
    rewards = reward_table(run.reward, world.values)
    shape = (world.n_categories, world.n_tokens)
    logits, adam = np.zeros(shape), AdamW(shape, lr=run.lr, weight_decay=run.weight_decay)
    samples = world.n_questions * run.group_size
    for _ in range(run.n_updates // run.updates_per_rollout):
        old = softmax(logits)
        drawn = []
        for c, outcome in zip(world.category, world.outcome, strict=True):
            tokens = rng.choice(world.n_tokens, size=run.group_size, p=old[c])
            r = rewards[outcome, tokens]
            advantages = r - r.mean()
            if run.estimator == "grpo":
                advantages = advantages / (r.std(ddof=1) + 1e-6)
            drawn.append((c, tokens, advantages))
        for _ in range(run.updates_per_rollout):
            pi, gradient = softmax(logits), np.zeros(shape)
            for c, tokens, advantages in drawn:
                for k, a in zip(tokens, advantages, strict=True):
                    ratio = pi[c, k] / old[c, k]
                    limited = ratio
                    if run.clip is not None:
                        limited = min(max(ratio, 1.0 - run.clip), 1.0 + run.clip)
                    if limited * a < ratio * a:
                        continue
                    gradient[c] += ratio * a * pi[c] / samples
                    gradient[c, k] -= ratio * a / samples
            logits = adam.step(logits, gradient)
    return softmax(logits)


@pytest.mark.parametrize(
    ("estimator", "updates", "clip"),
    [("grpo", 1, None), ("grpo_no_std", 2, None), ("grpo", 4, 0.05)],
)
def test_training_has_the_distribution_of_the_loop(
    estimator: str, updates: int, clip: float | None
) -> None:
    runs = [Run(estimator, s, 3, updates, clip, n_updates=12, lr=0.15) for s in range(400)]
    ours = np.array([t.policy for t in simulate(SMALL, runs)])
    rng = np.random.default_rng(99)
    loop = np.array([by_loop(SMALL, runs[0], rng) for _ in range(25)])
    error = np.sqrt(ours.var(axis=0) * (1 / len(ours) + 1 / len(loop)))
    assert (np.abs(ours.mean(axis=0) - loop.mean(axis=0)) <= SE * error + SINGLE / 10).all()


@pytest.mark.parametrize("updates", [1, 10])
def test_the_exact_gradient_follows_its_formula(updates: int) -> None:
    run = Run("rb_exact", 0, updates_per_rollout=updates, n_updates=300, lr=0.05)
    table = reward_table("log", SMALL.values)
    share = SMALL.counts / SMALL.n_questions
    logits, adam = np.zeros((2, 4)), AdamW((2, 4), lr=0.05)
    for _ in range(300):
        pi = softmax(logits)
        advantage = share @ table
        advantage = advantage - (pi * advantage).sum(axis=1, keepdims=True)
        logits = adam.step(logits, -pi * advantage)
    assert simulate(SMALL, [run])[0].policy == pytest.approx(softmax(logits), abs=SINGLE)


def test_independent_outcomes_follow_the_true_rates() -> None:
    """The outcomes on file say 2/3; the samples are drawn from 0.3 and 0.8."""
    world = World(
        token_values(9, 0.1, 0.9), SMALL.rates, SMALL.category, SMALL.outcome, "independent"
    )
    runs = [
        Run(name, 0, n_updates=600, lr=0.05, schedule="linear")
        for name in ("rb_exact", "rloo", "grpo_no_std", "reinforce_pp")
    ]
    for trained in simulate(world, runs):
        mean = mean_prediction(trained.policy, world.values)
        assert mean == pytest.approx(world.rates, abs=0.05), trained.run.estimator


def test_the_value_model_learns_the_mean_reward() -> None:
    run = Run("ppo", 0, 1, n_updates=1500, lr=0.0, weight_decay=0.0, value_lr=0.01)
    value = simulate(SMALL, [run])[0].value
    uniform = reward_table("log", SMALL.values).mean(axis=1)
    expected = SMALL.counts @ uniform / SMALL.counts.sum(axis=1)
    assert value == pytest.approx(expected, abs=0.05)


def test_the_value_model_moves_after_the_advantages() -> None:
    """The first rollout's advantages are the rewards: PPO starts like REINFORCE, draw for draw."""
    ppo, reinforce = simulate(
        SMALL, [Run(name, 3, 1, n_updates=1, lr=0.1) for name in ("ppo", "reinforce")]
    )
    assert np.array_equal(ppo.policy, reinforce.policy)
    # The first step of Adam is lr against the sign of the error; rewards are negative.
    assert ppo.value == pytest.approx([-1e-5, -1e-5])


def test_a_clip_that_acts_changes_the_run_and_is_counted() -> None:
    settings = {"seed": 0, "n_updates": 200, "lr": 0.05}
    free, wide, tight = simulate(
        SMALL,
        [Run("grpo", updates_per_rollout=10, clip=c, **settings) for c in (None, 0.2, 0.001)],
        record=100,
    )
    assert free.history is not None
    assert wide.history is not None
    assert tight.history is not None
    assert np.isnan(free.history.clipped).all()
    assert not np.array_equal(free.policy, wide.policy)
    assert 0.0 < wide.history.clipped[1] < tight.history.clipped[1] <= 1.0
    on_policy = simulate(SMALL, [Run("grpo", clip=0.001, **settings)], record=100)[0]
    assert on_policy.history is not None
    assert (on_policy.history.clipped[1:] == 0.0).all()
    assert np.array_equal(on_policy.policy, simulate(SMALL, [Run("grpo", **settings)])[0].policy)


def test_options_reach_the_estimator() -> None:
    def trained(**options: float) -> FloatArray:
        return simulate(SMALL, [Run("grpo", 0, n_updates=30, lr=0.1, **options)])[0].policy  # type: ignore[arg-type]

    assert np.array_equal(trained(), trained(eps=1e-6, ddof=1))
    assert not np.array_equal(trained(), trained(eps=1.0))
    soft = [Run("pl_softmax", 0, n_updates=30, lr=0.1, tau=tau) for tau in (1.0, 0.1)]
    assert not np.array_equal(*(t.policy for t in simulate(SMALL, soft)))


def test_the_history_begins_with_the_uniform_policy() -> None:
    run = Run("rb_exact", 0, n_updates=10, group_size=3, lr=0.1)
    history = simulate(SMALL, [run], record=4)[0].history
    assert history is not None
    assert history.updates.tolist() == [0, 4, 8, 10]
    rewards = reward_table("log", SMALL.values)
    assert history.reward[0] == pytest.approx(SMALL.counts.sum(axis=0) @ rewards.mean(axis=1) / 60)
    assert history.entropy[0] == pytest.approx(np.log(4.0))
    assert history.mean[0] == pytest.approx([0.5, 0.5])
    assert history.ece[0] == pytest.approx(abs(0.5 - SMALL.outcome.mean()))
    assert history.constant[0] == pytest.approx(4 * 0.25**3)
    assert (np.diff(history.reward) > 0.0).all()


def test_the_share_of_constant_groups_knows_equal_rewards() -> None:
    """Under Brier, 0.1 with outcome 0 and 0.9 with outcome 1 earn the same."""
    world = World([0.1, 0.9], np.array([0.5]), [0], [1], "independent")  # type: ignore[arg-type]
    run = Run("grpo", 0, n_updates=1, group_size=2, reward="brier", lr=0.0)
    history = simulate(world, [run], record=1)[0].history
    assert history is not None
    assert history.constant[0] == pytest.approx(0.5)


def test_progress_is_told_and_a_run_can_be_stopped() -> None:
    told: list[float] = []
    runs = [Run("grpo", 0, n_updates=400), Run("grpo", 0, n_updates=100)]
    simulate(SMALL, runs, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 50
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 3

    first, second = simulate(SMALL, runs, should_stop=stop)
    assert 0 < first.n_updates < 400
    assert second.n_updates == 0
    assert second.policy == pytest.approx(np.full((2, 4), 0.25))


def test_no_runs_and_errors() -> None:
    assert simulate(SMALL, []) == []
    with pytest.raises(InvalidInputError, match="record: expected an integer >= 0, got -1"):
        simulate(SMALL, [], record=-1)


def test_a_category_without_questions_stays_uniform() -> None:
    world = World(SMALL.values, [0.1, 0.5, 0.9], [0, 2, 2], [0, 1, 1])  # type: ignore[arg-type]
    for name in ("grpo", "ppo", "rb_exact"):
        run = Run(name, 0, group_size(name), n_updates=50, lr=0.1, weight_decay=0.0)
        policy = simulate(world, [run])[0].policy
        assert policy[1] == pytest.approx(np.full(4, 0.25))
        assert abs(policy[0] - 0.25).max() > 0.1


CALIBRATED = ("rloo", "grpo_no_std", "rloo_notebook", "batch_std", "pl_softmax", "reinforce_pp")
LEARNING = {"n_updates": 900, "lr": 0.03, "schedule": "linear"}


@functools.cache
def trained(name: str) -> tuple[Trained, Sampled]:
    world = paper_world()
    run = Run(name, seed=0, **LEARNING)  # type: ignore[arg-type]
    found = simulate(world, [run])[0]
    return found, predict(world, found.policy, rng=np.random.default_rng(9))


def test_the_exact_gradient_is_calibrated() -> None:
    found = scores(paper_world(), trained("rb_exact")[1].mean)
    assert found.ece <= 0.005
    assert found.auroc == pytest.approx(0.823, abs=0.001)


@pytest.mark.parametrize("name", CALIBRATED)
def test_unbiased_estimators_are_calibrated(name: str) -> None:
    found = scores(paper_world(), trained(name)[1].mean)
    assert found.ece <= 0.02
    assert found.auroc == pytest.approx(0.823, abs=0.001)


def test_linear_ranks_end_at_the_extremes() -> None:
    found = scores(paper_world(), trained("rank_linear")[1].mean)
    assert found.ece == pytest.approx(0.239, abs=0.003)


def test_grpo_overstates_every_category() -> None:
    world = paper_world()
    run, sampled = trained("grpo")
    assert scores(world, sampled.mean).ece >= 0.15
    mean = mean_prediction(run.policy, world.values)
    assert (np.abs(mean - 0.5) > np.abs(world.empirical_rates - 0.5)).all()


def test_top1_looks_calibrated_in_the_mean_alone() -> None:
    sampled = trained("top1")[1]
    world = paper_world()
    assert scores(world, sampled.single).ece - scores(world, sampled.mean).ece > 0.2


def test_ema_std_depends_on_whose_scale_it_is() -> None:
    """Questions keep their outcome: a question's own scale knows it, the category's does not."""
    world = paper_world()
    runs = [
        Run("ema_std", 0, scale_of=whose, **LEARNING)  # type: ignore[arg-type]
        for whose in ("question", "category")
    ]
    own, shared = (
        scores(world, mean_prediction(t.policy, world.values)[world.category]).ece
        for t in simulate(world, runs)
    )
    assert own > 0.1
    assert shared <= 0.02


def test_the_entropy_of_a_history_is_a_mean_over_questions() -> None:
    """Nine questions with a settled answer and one without: their categories do not count alike."""
    world = World([0.1, 0.9], [0.0, 1.0], [0] * 9 + [1], [0] * 9 + [1])  # type: ignore[arg-type]
    records = Records(world, [Run("grpo", 0)], 1, None)
    records.take(0, np.array([[[1.0, 0.0], [0.5, 0.5]]]))
    assert records.history(0).entropy[0] == pytest.approx(0.1 * np.log(2.0))


def test_nothing_is_clipped_or_not_before_the_first_update() -> None:
    run = Run("grpo", 0, updates_per_rollout=10, clip=0.001, n_updates=40, lr=0.05)
    history = simulate(SMALL, [run], record=20)[0].history
    assert history is not None
    assert np.isnan(history.clipped[0])
    assert (history.clipped[1:] > 0.0).all()


def test_the_value_model_decays_like_the_policy() -> None:
    """AdamW from torch's formula: with a step of 0.5 a decay of 0.01 takes half a percent each time."""
    run = Run("ppo", 3, 1, n_updates=2, lr=0.0, value_lr=0.5)
    assert run.weight_decay == 0.01
    values = [
        simulate(SMALL, [dataclasses.replace(run, weight_decay=decay)])[0].value
        for decay in (0.01, 0.0)
    ]
    assert values[0] is not None
    assert values[1] is not None
    # The first step is 0.5 down for both; the second decays what the first has left: -0.5.
    assert values[0] - values[1] == pytest.approx([0.5 * 0.5 * 0.01] * 2, rel=1e-3)


def test_a_category_that_nothing_is_learned_about_does_not_move() -> None:
    """What keeps moments out of the denormal numbers is a step of 1e-9 lr at most."""
    world = World(SMALL.values, [0.1, 0.5], [0, 0], [0, 1])  # type: ignore[arg-type]
    run = Run("rloo", 0, n_updates=1, lr=1.0, weight_decay=0.0)
    stack = _Stack(world, [run], 0)
    stack.rollout()
    stack.update(1.0)
    assert np.abs(stack.logits[0, 1]).max() <= 2e-9
    assert np.abs(stack.logits[0, 0]).max() > 0.5
