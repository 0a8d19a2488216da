"""Policies over tokens as tables of logits, and the optimizer that moves them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import ArrayLike, FloatArray, probabilities
from levelhead.errors import InvalidInputError

__all__ = ["AdamW", "beta_policy", "moments", "softmax"]


def softmax(logits: ArrayLike) -> FloatArray:
    """Probabilities from logits, along the last axis.

    pi_k = exp(z_k) / sum_j exp(z_j)

    Args:
        logits: (..., K) finite numbers, or -inf for a token that cannot be chosen.

    Returns:
        (..., K) float64, each row sums to 1.

    Edge cases: a row of -inf has no probabilities and gives NaN.
    Properties: unchanged when a constant is added to a row.

    Example:
        >>> softmax([0.0, np.log(3.0)])
        array([0.25, 0.75])
    """
    z = np.asarray(logits, dtype=np.float64)
    z = np.exp(z - z.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)


def beta_policy(values: ArrayLike, alpha: float, beta: float) -> FloatArray:
    """A policy in the shape of a Beta density: the density at the values, normalized.

    pi_k proportional to v_k^(alpha - 1) (1 - v_k)^(beta - 1)

    Args:
        values: (K,) probabilities strictly between 0 and 1.
        alpha: first parameter of the Beta distribution, > 0.
        beta: second parameter, > 0.

    Returns:
        (K,) probabilities.

    Raises:
        InvalidInputError: a value of 0 or 1, or a parameter that is not positive.

    Edge cases: alpha = beta = 1 is the uniform policy.
    Reference: the policies of figures 3 to 5 of arXiv:2508.11800.

    Example:
        >>> beta_policy([0.25, 0.5, 0.75], 2.0, 1.0).round(4)
        array([0.1667, 0.3333, 0.5   ])
    """
    v = probabilities("values", values)
    if not ((v > 0.0) & (v < 1.0)).all():
        raise InvalidInputError("values: expected values strictly between 0 and 1, got an end")
    for name, number in (("alpha", alpha), ("beta", beta)):
        if not (np.isfinite(number) and number > 0.0):
            raise InvalidInputError(f"{name}: expected a positive number, got {number}")
    return softmax((alpha - 1.0) * np.log(v) + (beta - 1.0) * np.log1p(-v))


def moments(policy: ArrayLike, values: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the probability that a policy states.

    mean = sum_k pi_k v_k,  sd = sqrt(sum_k pi_k (v_k - mean)^2)

    Args:
        policy: (..., K) probabilities.
        values: (K,) what the tokens state.

    Returns:
        Two arrays of the shape (...).

    Edge cases: a policy that always says the same has sd 0.

    Example:
        >>> moments([0.5, 0.5], [0.25, 0.75])
        (np.float64(0.5), np.float64(0.25))
    """
    pi, v = np.asarray(policy, dtype=np.float64), np.asarray(values, dtype=np.float64)
    mean = pi @ v
    return mean, np.sqrt((pi * (v - mean[..., None]) ** 2).sum(axis=-1))


class AdamW:
    """Adam with decoupled weight decay, step for step as torch does it.

    m_t = b1 m_{t-1} + (1 - b1) g,  v_t = b2 v_{t-1} + (1 - b2) g^2
    x_t = (1 - lr wd) x_{t-1} - lr (m_t / (1 - b1^t)) / (sqrt(v_t / (1 - b2^t)) + eps)

    Args:
        shape: of the parameters; whole stacks of policies step together.
        lr: learning rate.
        betas: decay of the two moments, each in [0, 1).
        eps: added to the denominator.
        weight_decay: share of a parameter, times `lr`, that each step takes away; torch's default.
        dtype: of the parameters and of the moments.

    Raises:
        InvalidInputError: a rate that is negative or not finite, or a decay outside [0, 1).

    Edge cases: a gradient that is always 0 leaves weight decay alone at work.
    Properties: minimizes; the size of a step does not depend on the scale of the gradient.
    Reference: Loshchilov and Hutter 2019 (arXiv:1711.05101).

    Example:
        >>> optimizer = AdamW((2,), lr=0.1, weight_decay=0.0)
        >>> optimizer.step(np.zeros(2), np.array([3.0, -0.5])).round(6)
        array([-0.1,  0.1])
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        dtype: npt.DTypeLike = np.float64,
    ) -> None:
        for name, number in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if not (np.isfinite(number) and number >= 0.0):
                raise InvalidInputError(f"{name}: expected a finite number >= 0, got {number}")
        if not all(0.0 <= b < 1.0 for b in betas):
            raise InvalidInputError(f"betas: expected numbers in [0, 1), got {betas}")
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.steps = 0
        # Kept divided by (1 - b1) and (1 - b2): two passes less over the stack at every step.
        self._first: npt.NDArray[Any] = np.zeros(shape, dtype)
        self._second: npt.NDArray[Any] = np.zeros(shape, dtype)
        self._buffer: npt.NDArray[Any] = np.empty(shape, dtype)

    def step(
        self, params: npt.NDArray[Any], gradient: npt.NDArray[Any], *, scale: float = 1.0
    ) -> npt.NDArray[Any]:
        """New parameters after one step against the gradient; neither argument is changed.

        Args:
            params: parameters of the optimizer's shape.
            gradient: of the loss, of the same shape.
            scale: what the learning rate is multiplied by in this step (a schedule).

        Returns:
            The new parameters.
        """
        new = params.astype(self._first.dtype)
        self.step_in_place(new, gradient.astype(self._first.dtype), scale=scale)
        return new

    def step_in_place(
        self, params: npt.NDArray[Any], gradient: npt.NDArray[Any], *, scale: float = 1.0
    ) -> None:
        """One step on arrays of the optimizer's own dtype; `gradient` is used up as a buffer.

        Args:
            params: parameters, written to.
            gradient: of the loss, overwritten.
            scale: what the learning rate is multiplied by in this step.
        """
        self.steps += 1
        b1, b2 = self.betas
        lr = self.lr * scale
        spread = ((1.0 - b2) / (1.0 - b2**self.steps)) ** 0.5
        size = lr * (1.0 - b1) / (1.0 - b1**self.steps) / spread
        first, second, buffer = self._first, self._second, self._buffer
        first *= b1
        first += gradient
        np.multiply(gradient, gradient, out=gradient)
        second *= b2
        second += gradient
        np.sqrt(second, out=buffer)
        buffer += self.eps / spread
        np.divide(first, buffer, out=buffer)
        buffer *= size
        if self.weight_decay:
            params *= 1.0 - lr * self.weight_decay
        params -= buffer
