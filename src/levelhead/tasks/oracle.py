"""A synthetic prediction task of known truth: forecasts of rain from a few observations in words.

    logit p(x) = scale * sum_f effect_f(x_f) / sqrt(F),   outcome ~ Bernoulli(p)

The effects of a factor's words are equally spaced in [-1, 1] and shuffled by the seed, so nothing
can be known without learning. Every outcome is drawn once and stays.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from levelhead.tasks._base import Options, Prompt, Task, TaskKind, event_task, user_message

__all__ = ["KIND", "OracleOptions", "build"]

FACTORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sky": ("The sky is {}.", ("clear", "hazy", "cloudy", "overcast")),
    "wind": ("The wind is {}.", ("calm", "light", "fresh", "strong")),
    "pressure": ("The pressure is {}.", ("falling", "steady", "rising")),
    "season": ("It is {}.", ("spring", "summer", "autumn", "winter")),
    "swallows": ("The swallows fly {}.", ("low", "high")),
    "moon": ("The moon is {}.", ("new", "half", "full")),
}
QUESTION = (
    "How likely is rain tomorrow? Answer with a percentage from 1 to 99 in <answer></answer> tags."
)


class OracleOptions(Options):
    """Options of the oracle task."""

    kind: Literal["oracle"] = "oracle"
    """Which kind of task this is."""
    factors: int = Field(default=3, ge=1, le=len(FACTORS))
    """How many observations a prompt tells, each of two to four words."""
    train: int = Field(default=512, ge=1)
    """Prompts to train on."""
    evaluation: int = Field(default=256, ge=0)
    """Prompts to evaluate on."""
    scale: float = Field(default=2.5, ge=0.0, le=20.0)
    """How far the truth is from 1/2, in logits; 0 makes every event a fair coin."""
    seed: int = Field(default=0, ge=0)
    """Seed of the effects, the observations and the outcomes."""


def build(options: OracleOptions) -> Task:
    """The task.

    Args:
        options: its size and its truth.

    Returns:
        An event task. `columns` of a prompt hold its observations and `probability`, the truth.
    """
    generator = np.random.default_rng(options.seed)
    used = dict(list(FACTORS.items())[: options.factors])
    effects = {
        name: generator.permutation(np.linspace(-1.0, 1.0, len(words)))
        for name, (_, words) in used.items()
    }
    n = options.train + options.evaluation
    picks = {name: generator.integers(len(words), size=n) for name, (_, words) in used.items()}
    total = np.sum([effects[name][picks[name]] for name in used], axis=0)
    probability = 1.0 / (1.0 + np.exp(-options.scale * total / math.sqrt(options.factors)))
    outcome = generator.random(n) < probability
    prompts: list[Prompt] = []
    for i in range(n):
        words = {name: used[name][1][picks[name][i]] for name in used}
        told = " ".join(used[name][0].format(word) for name, word in words.items())
        columns = {**words, "probability": float(probability[i])}
        messages = user_message(f"{told} {QUESTION}")
        prompts.append(Prompt(f"oracle-{i + 1:05d}", messages, float(outcome[i]), (), columns))
    return event_task("oracle", prompts[: options.train], prompts[options.train :])


KIND = TaskKind(
    "oracle", OracleOptions, build, "synthetic events of known probability, for tests and studies"
)
