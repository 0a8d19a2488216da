"""Arithmetic of known difficulty: sums, differences and products of numbers of so many digits."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from levelhead.errors import ConfigError
from levelhead.tasks._base import Options, Prompt, Task, TaskKind, user_message
from levelhead.tasks._verify import Verifier

__all__ = ["KIND", "ArithmeticOptions", "Operation", "build", "problems"]

Operation = Literal["add", "subtract", "multiply"]

SIGNS: dict[str, str] = {"add": "+", "subtract": "-", "multiply": "*"}
INSTRUCTION = (
    "Give the result in <answer></answer> tags, and after it how likely it is to be right, as a "
    "number from 0 to 1, in <confidence></confidence> tags."
)


class ArithmeticOptions(Options):
    """Options of the arithmetic task."""

    kind: Literal["arithmetic"] = "arithmetic"
    """Which kind of task this is."""
    operations: tuple[Operation, ...] = Field(default=("add", "subtract", "multiply"), min_length=1)
    """Which operations are asked for, equally often."""
    digits: tuple[int, ...] = Field(default=(1, 2, 3, 4), min_length=1)
    """How many digits both numbers have, from 1 to 12: the difficulties, equally often."""
    train: int = Field(default=4000, ge=1)
    """Problems to train on."""
    evaluation: int = Field(default=1000, ge=0)
    """Problems to evaluate on; none of them is trained on."""
    seed: int = Field(default=0, ge=0)
    """Seed of the problems."""


def build(options: ArithmeticOptions) -> Task:
    """The task.

    Args:
        options: operations, difficulties and sizes.

    Returns:
        An answer task. `columns` of a prompt hold `operation` and `digits`.

    Raises:
        ConfigError: a number of digits outside [1, 12], or fewer different problems than asked for.
    """
    prompts: list[Prompt] = []
    for i, (operation, digits, a, b) in enumerate(problems(options)):
        text = f"What is {a} {SIGNS[operation]} {b}? {INSTRUCTION}"
        result = a + b if operation == "add" else a - b if operation == "subtract" else a * b
        columns = {"operation": operation, "digits": digits}
        prompts.append(
            Prompt(f"arithmetic-{i + 1:05d}", user_message(text), None, (str(result),), columns)
        )
    return Task(
        name="arithmetic",
        kind="answer",
        elicitation="answer_confidence_tags",
        train=tuple(prompts[: options.train]),
        evaluation=tuple(prompts[options.train :]),
        verify=Verifier("number"),
    )


def problems(options: ArithmeticOptions) -> list[tuple[str, int, int, int]]:
    """Different problems, the difficulties and the operations in turn, then shuffled.

    Args:
        options: as for `build`.

    Returns:
        (operation, digits, first number, second number), train + evaluation of them, all different.

    Raises:
        ConfigError: a number of digits outside [1, 12], or fewer different problems than asked for.

    Edge cases: a cell whose problems are all used up is passed over, so a single digit, of which
        there are only 100 problems an operation, is rarer than its share in a large task.
    """
    wrong = [d for d in options.digits if not 1 <= d <= 12]
    if wrong:
        raise ConfigError(f"task.digits: expected numbers of digits in [1, 12], got {wrong[0]}")
    cells = [
        (o, d) for d in dict.fromkeys(options.digits) for o in dict.fromkeys(options.operations)
    ]
    room = {cell: _numbers(cell[1]) ** 2 for cell in cells}
    wanted = options.train + options.evaluation
    if wanted > sum(room.values()):
        raise ConfigError(
            f"task.digits: expected at least {wanted} different problems (train + evaluation), got "
            f"{sum(room.values())}; add digits or operations, or ask for fewer problems"
        )
    taken = dict.fromkeys(cells, 0)
    left = wanted
    while left:
        for cell in cells:
            if left and taken[cell] < room[cell]:
                taken[cell] += 1
                left -= 1
    generator = np.random.default_rng(options.seed)
    found = [
        (operation, digits, *_pair(code, digits))
        for (operation, digits), count in taken.items()
        for code in _different(generator, room[operation, digits], count)
    ]
    return [found[i] for i in generator.permutation(len(found))]


def _numbers(digits: int) -> int:
    """How many numbers have so many digits; 0 is one of a single digit."""
    return 10 if digits == 1 else 9 * 10 ** (digits - 1)


def _pair(code: int, digits: int) -> tuple[int, int]:
    low, size = (0 if digits == 1 else 10 ** (digits - 1)), _numbers(digits)
    return low + code // size, low + code % size


def _different(generator: np.random.Generator, room: int, count: int) -> list[int]:
    """`count` different numbers below `room`, which may be far beyond 2^63."""
    if 2 * count > room:
        return [int(i) for i in generator.permutation(room)[:count]]
    found: dict[int, None] = {}
    while len(found) < count:
        high, low = (int(v) for v in generator.integers(2**62, size=2))
        found.setdefault(((high << 62) | low) % room)
    return list(found)


KIND = TaskKind(
    "arithmetic", ArithmeticOptions, build, "sums, differences and products of so many digits"
)
