"""Contract checks of scoring rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, vector
from levelhead.errors import InvalidInputError
from levelhead.testing._contract import TOLERANCE, ContractError, bad_pairs, name_of, refuses

__all__ = ["check_scoring_rule"]

OPTIMUM_MARGIN = 5e-4
"""A prediction this close to the best one is not told apart from it."""

LossFunction = Callable[[ArrayLike, ArrayLike], FloatArray]


def check_scoring_rule(
    loss: LossFunction,
    *,
    proper: bool = True,
    optimum: Callable[[FloatArray], FloatArray] | None = None,
    flat: Sequence[tuple[float, float]] = (),
    tolerance: float = TOLERANCE,
    name: str | None = None,
) -> None:
    """Check that a scoring rule `(confidence, outcome) -> losses` keeps its contracts.

    Each loss depends on its own prediction and outcome alone; a fractional outcome is an expected
    one; the inputs are not written to; wrong inputs raise `InvalidInputError`; and over a grid of
    true probabilities the expected loss has its only minimum at the truth, or where an improper
    rule says.

    Args:
        loss: the rule, lower is better.
        proper: whether the truth is the best prediction.
        optimum: maps true probabilities (M,) to the best prediction (M,); needed where improper.
        flat: closed intervals of true probabilities for which other predictions may be as good.
        tolerance: how far apart, absolutely and relatively, two equal values may be.
        name: what to call it in the message; the function's name unless given.

    Raises:
        ContractError: a contract is broken.
        InvalidInputError: an improper rule comes without its optimum.

    Example:
        >>> from levelhead.scoring import brier_loss, linear_loss
        >>> check_scoring_rule(brier_loss)
        >>> check_scoring_rule(linear_loss)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        levelhead.testing.ContractError: linear_loss: expected the best prediction ...
    """
    if optimum is None:
        if not proper:
            raise InvalidInputError(
                "optimum: expected a function, as the rule is improper, got None"
            )
        optimum = _identity
    label = name or name_of(loss)
    _check_losses(loss, label, tolerance)
    refuses(loss, label, bad_pairs(None))
    truths = np.arange(1, 100) / 100.0
    best = vector("optimum", optimum(truths))
    gain = 0.0
    for truth, target in zip(truths.tolist(), best.tolist(), strict=True):
        strict = not any(low <= truth <= high for low, high in flat)
        _check_optimum(loss, label, truth, target, strict)
        at_truth, at_target = _expected(loss, truth, np.array([truth, target]))
        gain = max(gain, float(at_truth - at_target))
    if not proper and gain <= TOLERANCE:
        raise ContractError(f"{label}: expected an improper rule, but the truth is always best")


def _check_optimum(
    loss: LossFunction, label: str, truth: float, target: float, strict: bool
) -> None:
    grid = np.union1d(np.linspace(0.0, 1.0, 1001), [target])
    cost = _expected(loss, truth, grid)
    (lowest,) = _expected(loss, truth, np.array([target]))
    best = float(grid[cost.argmin()])
    if cost.min() < lowest - TOLERANCE:
        raise ContractError(
            f"{label}: expected the best prediction for a truth of {truth:.6g} to be {target:.6g}, "
            f"got {best:.6g}"
        )
    away = np.abs(grid - target) > OPTIMUM_MARGIN
    rival = int(np.where(away, cost, np.inf).argmin())
    if strict and cost[rival] <= lowest:
        raise ContractError(
            f"{label}: expected no prediction as good as {target:.6g} for a truth of {truth:.6g}, "
            f"got {grid[rival]:.6g}"
        )


def _expected(loss: LossFunction, truth: float, predictions: FloatArray) -> FloatArray:
    ones, zeros = np.ones_like(predictions), np.zeros_like(predictions)
    return truth * loss(predictions, ones) + (1.0 - truth) * loss(predictions, zeros)


def _check_losses(loss: LossFunction, label: str, tolerance: float) -> None:
    draw = np.random.default_rng(0)
    q = np.concatenate([np.arange(1, 100) / 100.0, draw.uniform(0.01, 0.99, 50)])
    y = np.where(draw.uniform(size=q.size) < q, 1.0, 0.0)
    given = q.copy(), y.copy()
    whole = loss(*given)
    if not (np.array_equal(given[0], q) and np.array_equal(given[1], y)):
        raise ContractError(f"{label}: the inputs are not written to: one of them has changed")
    got = f"{type(whole).__name__} of {np.asarray(whole).dtype}, shape {np.shape(whole)}"
    if got != f"ndarray of float64, shape {q.shape}":
        raise ContractError(f"{label}: expected {q.size} float64 losses, got {got}")
    ends = loss(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0]))
    every = np.concatenate([whole, ends])
    if np.isnan(every).any() or (every == -np.inf).any():
        raise ContractError(f"{label}: expected losses that are numbers or +inf, got NaN or -inf")
    alone = np.concatenate([loss(q[i : i + 1], y[i : i + 1]) for i in range(q.size)])
    if not np.allclose(alone, whole, rtol=tolerance, atol=tolerance):
        raise ContractError(f"{label}: expected each loss to depend on its own prediction alone")
    share = draw.uniform(size=q.size)
    mixed = share * loss(q, np.ones_like(q)) + (1.0 - share) * loss(q, np.zeros_like(q))
    if not np.allclose(loss(q, share), mixed, rtol=tolerance, atol=tolerance):
        raise ContractError(f"{label}: expected a fractional outcome to be an expected outcome")


def _identity(p: FloatArray) -> FloatArray:
    return p
