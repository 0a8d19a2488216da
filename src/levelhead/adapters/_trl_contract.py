"""What levelhead's trainer relies on inside of TRL's, and whether it still holds.

TRL computes advantages in the middle of one method and has no hook for them. So a trainer that replaces
them relies on internals: which methods there are, what they take, and what they read. That is checked
when a trainer is made, and the numbers are checked at every step.
"""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead.errors import ConfigError

__all__ = ["check_methods", "check_numbers", "moved"]

TESTED = "1.16.0"
"""The version of TRL that this was written against."""

PARAMETERS = {
    "_calculate_rewards": ("self", "inputs", "prompts", "completions", "completion_ids_list"),
    "_generate_and_score_completions": ("self", "inputs"),
    "_compute_loss": ("self", "model", "inputs"),
}
"""What each method must take."""

READS: dict[str, tuple[str, ...]] = {
    "_prepare_inputs": ("_generate_and_score_completions",),
    "_generate_and_score_completions": ("_calculate_rewards", "num_generations", "advantages"),
    "_compute_loss": ("advantages",),
}
"""Attributes and keys that each method must mention."""

TOLERANCE = 0.01
"""How far TRL's advantages may be from a multiple of the rewards' deviations, as a share."""

ROUNDING = 4e-7 / 1e-4
"""What float32 leaves of equal rewards, as a share of them, after TRL has divided by at least 1e-4."""


def check_methods(trainer: type) -> None:
    """Every method is there, takes what it took, and mentions what it mentioned."""
    for name in dict.fromkeys((*PARAMETERS, *READS)):
        method = getattr(trainer, name, None)
        if not callable(method):
            raise moved(f"GRPOTrainer has no method {name}")
        plain: Any = inspect.unwrap(method)
        wanted, found = PARAMETERS.get(name), tuple(inspect.signature(plain).parameters)
        if wanted is not None and found != wanted:
            raise moved(f"GRPOTrainer.{name} takes ({', '.join(found)}), not ({', '.join(wanted)})")
        code = getattr(plain, "__code__", None)
        said = set(_mentioned(code)) if code is not None else set(READS.get(name, ()))
        for word in READS.get(name, ()):
            if word not in said:
                raise moved(f"GRPOTrainer.{name} no longer reads {word}")


def check_numbers(
    rewards: FloatArray, groups: IntArray, advantages: FloatArray, first: int
) -> None:
    """TRL's own advantages of samples first, first + 1, ... belong to the rewards that were seen.

    In every group they must be one multiple >= 0 of the deviations from the group's mean, whatever TRL
    divides by; else rewards are in another order or in other groups than we believe.
    """
    scored = ~np.isnan(rewards)
    sums = np.bincount(groups, np.where(scored, rewards, 0.0))
    means = sums / np.maximum(np.bincount(groups, scored), 1)
    deviations = np.where(scored, rewards - means[groups], 0.0)
    mine = slice(first, first + advantages.size)
    d, g = deviations[mine], groups[mine]
    if d.size != advantages.size:
        raise moved(f"{advantages.size} advantages from {first} on do not fit {d.size} rewards")
    squares = np.bincount(g, d * d)
    factor = np.bincount(g, advantages * d) / np.where(squares > 0.0, squares, 1.0)
    off = np.abs(advantages - np.maximum(factor, 0.0)[g] * d)
    allowed = TOLERANCE * max(1.0, float(np.abs(advantages).max(initial=0.0)))
    allowed += ROUNDING * float(np.abs(rewards[scored]).max(initial=0.0))
    if off.max(initial=0.0) > allowed:
        raise moved("the advantages of GRPOTrainer do not follow the rewards of their groups")


def moved(problem: str) -> ConfigError:
    """The one sentence about a TRL that works otherwise."""
    try:
        version = importlib.metadata.version("trl")
    except importlib.metadata.PackageNotFoundError:  # a checkout on the path
        version = "of an unknown version"
    return ConfigError(
        f"CalibratedGRPOTrainer cannot put its advantages into trl {version}: {problem}; install "
        f"trl=={TESTED}, with which it was tested, or a newer levelhead"
    )


def _mentioned(code: CodeType) -> Iterator[str]:
    """Names and texts in a function, also in the functions and constants inside of it."""
    yield from code.co_names
    stack: list[object] = list(code.co_consts)
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, tuple | frozenset):
            stack.extend(one)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(one, CodeType):
            yield from _mentioned(one)
