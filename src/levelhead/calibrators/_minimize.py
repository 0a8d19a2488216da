"""Limited-memory BFGS whose start is a given inverse and whose memory outlives a change of penalty.

The memory holds steps and changes of the gradient of the mean loss alone. A quadratic penalty adds
its curvature times the step to the latter, so what was learned at one penalty, or on all rows,
is of use at the next penalty and on a part of the rows.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable

import numpy as np

from levelhead._arrays import FloatArray
from levelhead.calibrators._newton import Fit, Penalty

__all__ = ["Inverse", "Memory", "minimize"]

MAX_ITERATIONS = 300
MAX_HALVINGS = 25
MEMORY = 12
"""Steps that are remembered: each costs two products of vectors per iteration."""

Loss = Callable[[FloatArray], tuple[float, FloatArray]]
Inverse = Callable[[FloatArray], FloatArray]


@dataclasses.dataclass
class Memory:
    """The last steps and how the gradient of the mean loss changed over each."""

    pairs: collections.deque[tuple[FloatArray, FloatArray]] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=MEMORY)
    )


class _Directions:
    """Directions of descent under one penalty, from a memory that it goes on filling."""

    def __init__(self, memory: Memory, curvature: FloatArray, inverse: Inverse) -> None:
        self._memory, self._curvature, self._inverse = memory, curvature, inverse
        self._pairs: collections.deque[tuple[FloatArray, FloatArray, float]] = collections.deque(
            maxlen=MEMORY
        )
        self._scale = 1.0
        for step, change in memory.pairs:
            self._add(step, change)
        self._rescale()

    def learn(self, step: FloatArray, change: FloatArray) -> None:
        """Remembers a step and the change of the mean loss's gradient, if the loss curves upward."""
        if float(np.dot(step, change)) > 0.0:
            self._memory.pairs.append((step, change))
            self._add(step, change)
            self._rescale()

    def of(self, gradient: FloatArray) -> FloatArray:
        """Minus the approximate inverse Hessian times the gradient."""
        q = gradient.copy()
        alphas: list[float] = []
        for step, change, product in reversed(self._pairs):
            alphas.append(float(np.dot(step, q)) / product)
            q -= alphas[-1] * change
        q = self._scale * self._inverse(q)
        for (step, change, product), alpha in zip(self._pairs, reversed(alphas), strict=True):
            q += (alpha - float(np.dot(change, q)) / product) * step
        return -q

    def _rescale(self) -> None:
        """The given inverse is right up to a factor: the one that the last step calls for."""
        if self._pairs:
            _, change, product = self._pairs[-1]
            self._scale = product / float(np.dot(change, self._inverse(change)))

    def _add(self, step: FloatArray, change: FloatArray) -> None:
        change = change + self._curvature * step
        product = float(np.dot(step, change))
        if (
            product
            > 1e-12 * float(np.dot(change, change)) ** 0.5 * float(np.dot(step, step)) ** 0.5
        ):
            self._pairs.append((step, change, product))


def minimize(
    loss: Loss,
    theta: FloatArray,
    penalty: Penalty,
    inverse: Inverse,
    memory: Memory,
    *,
    tolerance: float,
    noise: float = 1e-14,
    max_iterations: int = MAX_ITERATIONS,
) -> Fit:
    """Minimizes a mean loss plus the penalty, from `theta`; `memory` is read and written.

    Args:
        loss: the mean loss (nats) and its gradient at a point.
        theta: (P,) the start.
        penalty: the quadratic penalty.
        inverse: applies an approximate inverse of the Hessian, penalty included, to a gradient.
        memory: steps of earlier minimizations of nearly the same function.
        tolerance: stops where a step promises to gain less than this (nats).
        noise: relative rounding error of the loss.
        max_iterations: steps at most.

    Returns:
        The end; converged if it stopped by the tolerance.
    """
    directions = _Directions(memory, penalty.curvature, inverse)
    mean, slope = loss(theta)
    gain = np.inf
    for iteration in range(max_iterations):
        gradient = slope + penalty.curvature * (theta - penalty.center)
        direction = directions.of(gradient)
        gain = -0.5 * float(np.dot(gradient, direction))
        if gain <= tolerance:
            return Fit(theta, mean, gain, iteration, gain >= 0.0)
        value = mean + penalty.value(theta)
        scale = 1.0
        for _ in range(MAX_HALVINGS):
            trial = theta + scale * direction
            new_mean, new_slope = loss(trial)
            excess = new_mean + penalty.value(trial) - value
            if excess <= -2e-4 * scale * gain + noise * (1.0 + abs(value)):
                break
            # the minimum of the parabola through the slope and the two values, kept in bounds
            scale *= min(0.5, max(0.1, scale * gain / (excess + 2.0 * scale * gain)))
        else:
            return Fit(theta, mean, gain, iteration, gain <= 1e3 * tolerance)
        directions.learn(trial - theta, new_slope - slope)
        theta, mean, slope = trial, new_mean, new_slope
    return Fit(theta, mean, gain, max_iterations, False)
