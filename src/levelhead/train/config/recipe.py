"""A whole recipe, and the rules that hold between its sections."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from levelhead import advantages
from levelhead.errors import ConfigError
from levelhead.tasks import SurveyOptions, Task, TaskOptions
from levelhead.train.config._yaml import dump
from levelhead.train.config.sections import (
    Algorithm,
    Checkpoint,
    Compute,
    Evaluation,
    Guard,
    Model,
    Optimizer,
    Reward,
    Rollout,
    Section,
)

__all__ = [
    "RULES",
    "BrokenRulesError",
    "Problem",
    "Recipe",
    "Trackers",
    "check_task",
    "task_problems",
]

Trackers = tuple[Literal["tensorboard", "wandb", "trackio"], ...]
"""Where curves go beside `metrics.jsonl`."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is wrong with a recipe.

    Attributes:
        key: the dotted key to change.
        text: what was expected there, what was got, what to do.
        others: dotted keys that have a part in it.
    """

    key: str
    text: str
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


class BrokenRulesError(ValueError):
    """Rules between sections do not hold; for pydantic, which wraps it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


class Recipe(Section):
    """Everything that decides a training run; every key has a default."""

    name: Annotated[str, Field(min_length=1)] = "levelhead"
    """What reports and trackers call the run."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the order of prompts, the samples, and new weights."""
    steps: Annotated[int, Field(ge=1)] = 200
    """Steps; each samples completions once and trains on them."""
    task: TaskOptions = Field(default_factory=SurveyOptions)
    """What is asked and how answers are judged; `kind` decides which other keys there are."""
    model: Model = Field(default_factory=Model)
    """The language model that is trained."""
    rollout: Rollout = Field(default_factory=Rollout)
    """How completions are sampled."""
    algorithm: Algorithm = Field(default_factory=Algorithm)
    """From rewards to a loss."""
    reward: Reward = Field(default_factory=Reward)
    """What a completion earns."""
    optimizer: Optimizer = Field(default_factory=Optimizer)
    """AdamW."""
    evaluation: Evaluation = Field(default_factory=Evaluation)
    """Predictions on held-out prompts."""
    checkpoint: Checkpoint = Field(default_factory=Checkpoint)
    """What is needed to go on after an interruption."""
    guard: Guard = Field(default_factory=Guard)
    """Watches whether training makes the model overconfident."""
    compute: Compute = Field(default_factory=Compute)
    """How the work is cut up."""
    trackers: Trackers = ()
    """Where curves go beside `metrics.jsonl`: tensorboard, wandb, trackio."""

    @property
    def updates(self) -> int:
        """Optimizer updates of the whole run."""
        return self.steps * self.algorithm.updates_per_rollout * self.algorithm.epochs

    def to_yaml(self) -> str:
        """The recipe as a file that `load` reads back to an equal one, with every key.

        Returns:
            YAML text.
        """
        return dump(self.model_dump(mode="json"))

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        problems = tuple(problem for rule in RULES for problem in rule(self))
        if problems:
            raise BrokenRulesError(problems)
        return self


def _embedded_sizes(recipe: Recipe) -> Iterator[Problem]:
    if recipe.model.from_scratch is not None and recipe.model.path != "embedded":
        yield Problem(
            "model.from_scratch",
            f"belongs to the path 'embedded', got the path {recipe.model.path!r}; remove one of the two",
            ("model.path",),
        )


def _groups(recipe: Recipe) -> Iterator[Problem]:
    name, size = recipe.algorithm.estimator, recipe.rollout.group_size
    row = advantages.TABLE.get(name)
    compares = row is not None and (row.scope == "group" or row.centered)
    if size < 2 and compares:
        yield Problem(
            "rollout.group_size",
            f"expected at least 2 for the estimator {name}, which compares the completions of one "
            f"prompt, got {size}",
            ("algorithm.estimator",),
        )


def _mini_batches(recipe: Recipe) -> Iterator[Problem]:
    prompts, parts = recipe.rollout.prompts, recipe.algorithm.updates_per_rollout
    if prompts % parts:
        yield Problem(
            "algorithm.updates_per_rollout",
            f"expected a divisor of the {prompts} prompts of a step (rollout.prompts), got {parts}",
            ("rollout.prompts",),
        )


def _normalizer(recipe: Recipe) -> Iterator[Problem]:
    algorithm = recipe.algorithm
    if algorithm.constant is not None and algorithm.aggregation != "seq-sum-constant":
        yield Problem(
            "algorithm.constant",
            f"belongs to the aggregation seq-sum-constant, got {algorithm.aggregation}; remove it",
            ("algorithm.aggregation",),
        )


def _rao_blackwell(recipe: Recipe) -> Iterator[Problem]:
    algorithm = recipe.algorithm
    if algorithm.estimator != "rb_exact":
        return
    if algorithm.aggregation != "seq-sum-constant":
        yield Problem(
            "algorithm.aggregation",
            "expected seq-sum-constant for the estimator rb_exact, whose two terms need one "
            f"normalizer that no sample decides, got {algorithm.aggregation}",
            ("algorithm.estimator",),
        )
    if algorithm.kl.coef > 0 and algorithm.kl.place == "reward":
        yield Problem(
            "algorithm.kl.place",
            "expected loss for the estimator rb_exact, which sums over answers that were not "
            "sampled, got reward",
            ("algorithm.estimator", "algorithm.kl.coef"),
        )
    rollout, rule = recipe.rollout, recipe.reward.rule
    batch = rollout.prompts // algorithm.updates_per_rollout
    if rollout.group_size * batch < 2:
        yield Problem(
            "rollout.prompts",
            "expected at least 2 in an update (prompts / algorithm.updates_per_rollout) for the "
            "estimator rb_exact with one completion of each, which compares the prompts of an "
            f"update, got {batch}",
            ("rollout.group_size", "algorithm.estimator"),
        )
    if rule is not None and ":" in rule and recipe.reward.floor is None:
        yield Problem(
            "reward.floor",
            "expected what malformed output earns for the estimator rb_exact, which sums over what was "
            "not sampled and cannot ask a function of your own about it, got null; set a number",
            ("reward.rule", "algorithm.estimator"),
        )


def _critic(recipe: Recipe) -> Iterator[Problem]:
    estimator, critic = recipe.algorithm.estimator, recipe.algorithm.critic
    if estimator == "gae" and critic is None:
        yield Problem(
            "algorithm.critic",
            "expected a critic for the estimator gae, got none; add `critic: {kind: head}`",
            ("algorithm.estimator",),
        )
    if estimator != "gae" and critic is not None:
        yield Problem(
            "algorithm.critic",
            f"belongs to the estimator gae, got {estimator}; remove it, or choose gae",
            ("algorithm.estimator",),
        )


def _penalty(recipe: Recipe) -> Iterator[Problem]:
    kl = recipe.algorithm.kl
    if kl.coef == 0:
        return
    if kl.estimator == "k1" and kl.place == "loss":
        yield Problem(
            "algorithm.kl.estimator",
            "expected k2 or k3 in the loss, got k1, whose gradient is 0 on average there; k1 is "
            "for `place: reward`",
            ("algorithm.kl.place", "algorithm.kl.coef"),
        )
    if kl.reference == "adapter_off" and recipe.model.lora is None:
        yield Problem(
            "algorithm.kl.reference",
            "expected initial for a model without adapters, got adapter_off; set model.lora, or "
            "keep a copy of the weights",
            ("model.lora", "algorithm.kl.coef"),
        )


def _warm_up(recipe: Recipe) -> Iterator[Problem]:
    if recipe.optimizer.warmup_steps >= recipe.updates:
        yield Problem(
            "optimizer.warmup_steps",
            f"expected fewer than the {recipe.updates} optimizer updates of the run (steps x "
            f"updates_per_rollout x epochs), got {recipe.optimizer.warmup_steps}; fit it to the run, "
            "e.g. `--set optimizer.warmup_steps=0`",
            ("steps", "algorithm.updates_per_rollout", "algorithm.epochs"),
        )


def _guarded(recipe: Recipe) -> Iterator[Problem]:
    guard, evaluation = recipe.guard, recipe.evaluation
    if guard.action == "stop" and evaluation.every == 0:
        yield Problem(
            "guard.action",
            "expected evaluations to stop at, got evaluation.every: 0; set it, or use `action: warn`",
            ("evaluation.every",),
        )


def _trackers(recipe: Recipe) -> Iterator[Problem]:
    if len(set(recipe.trackers)) < len(recipe.trackers):
        yield Problem(
            "trackers", f"expected each once, got {', '.join(recipe.trackers)}; remove one"
        )


Rule = Callable[[Recipe], Iterator[Problem]]

RULES: tuple[Rule, ...] = (
    _embedded_sizes,
    _groups,
    _mini_batches,
    _normalizer,
    _rao_blackwell,
    _critic,
    _penalty,
    _warm_up,
    _guarded,
    _trackers,
)
"""What must hold between the keys of a valid recipe."""


def task_problems(recipe: Recipe, task: Task) -> tuple[Problem, ...]:
    """What in a recipe does not go with its task, once the task's data are read.

    Args:
        recipe: a valid recipe.
        task: what `recipe.task` builds.

    Returns:
        The problems; none where all is well.
    """
    found: list[Problem] = []
    if recipe.algorithm.estimator == "rb_exact" and not task.answers:
        found.append(
            Problem(
                "algorithm.estimator",
                "expected a task whose answers can be listed for rb_exact, got the task "
                f"{task.name!r}, whose answers are free; use rloo",
            )
        )
    rule = recipe.reward.rule or task.default_reward
    if task.kind == "event" and rule in ("rlcr", "correctness"):
        found.append(
            Problem(
                "reward.rule",
                f"expected a reward of a stated probability (log, brier, spherical, trust) for the task "
                f"{task.name!r}, which asks for the probability of an event, got {rule}",
            )
        )
    wanted = min(recipe.rollout.prompts, len(task.train) + 1)
    if wanted > len(task.train):
        found.append(
            Problem(
                "rollout.prompts",
                f"expected at most the {len(task.train)} prompts that the task {task.name!r} has to "
                f"train on, got {recipe.rollout.prompts}",
            )
        )
    return tuple(found)


def check_task(recipe: Recipe, task: Task) -> None:
    """Raise where a recipe does not go with its task.

    Args:
        recipe: a valid recipe.
        task: what `recipe.task` builds.

    Raises:
        ConfigError: every problem at once.
    """
    problems = task_problems(recipe, task)
    if problems:
        raise ConfigError("\n".join(map(str, problems)))
