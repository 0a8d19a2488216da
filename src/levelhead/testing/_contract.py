"""What all contract checks share: the error, and wrong inputs that must be refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from levelhead._arrays import ArrayLike
from levelhead.errors import InvalidInputError, LevelheadError

__all__ = [
    "FAILURES",
    "TOLERANCE",
    "ContractError",
    "Refusal",
    "bad_pairs",
    "bad_weights",
    "name_of",
    "refuses",
]

TOLERANCE = 1e-9
"""How far two ways to the same number may be apart; sums of a few hundred float64 stay inside."""


class ContractError(LevelheadError, AssertionError):
    """A function breaks a contract; the message names the function, the contract and a sample."""

    __module__ = "levelhead.testing"


FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What somebody's function may raise instead of answering; an interrupt or an exit is not for us."""

Refusal = tuple[str, str | None, tuple[ArrayLike, ...], dict[str, ArrayLike]]


def bad_pairs(label: str | None) -> Iterator[Refusal]:
    """Wrong inputs: what is wrong, the argument to be named (if known), and the arguments."""
    good, y = [0.2, 0.7, 0.7], [0, 1, 0]
    first = "confidence"
    bad = {"NaN": math.nan, "infinity": math.inf, "a percentage": 87.0, "a negative value": -0.1}
    for what, value in bad.items():
        yield f"{what} in confidence", first, ([0.2, value, 0.7], y), {}
        yield f"{what} in correct", label, (good, [0, value, 1]), {}
    yield "no samples", first, ([], []), {}
    yield "lengths that differ", label, (good, [0, 1]), {}
    yield "lengths that differ", label, (good, [1]), {}
    yield "two dimensions", first, ([good, good], [y, y]), {}
    yield "a text", first, (["high", "low", "low"], y), {}


def bad_weights() -> Iterator[Refusal]:
    good, y = [0.2, 0.7, 0.7], [0, 1, 0]
    for what, weights in {
        "a negative weight": [1, -1, 1],
        "a NaN weight": [1, math.nan, 1],
        "an infinite weight": [1, math.inf, 1],
        "weights of another length": [1, 1],
        "weights that are all 0": [0, 0, 0],
    }.items():
        yield what, "weights", (good, y), {"weights": weights}


def refuses(function: Callable[..., object], label: str, inputs: Iterable[Refusal]) -> None:
    for what, argument, positional, named in inputs:
        try:
            got = function(*positional, **named)
        except InvalidInputError as error:
            if argument is not None and argument not in str(error):
                raise ContractError(
                    f"{label}: expected the error about {what} to name {argument}, got: {error}"
                ) from error
            continue
        except FAILURES as error:
            kind = type(error).__name__
            raise ContractError(
                f"{label}: expected InvalidInputError for {what}, got {kind}: {error}"
            ) from error
        raise ContractError(f"{label}: expected InvalidInputError for {what}, got {got!r}")


def name_of(function: Callable[..., object]) -> str:
    inner = getattr(function, "func", function)  # functools.partial has no name of its own
    return str(getattr(inner, "__name__", type(inner).__name__))
