"""The clipped loss of many runs at once, from sums of advantages instead of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError
from levelhead.lab.sampler import Sums

__all__ = ["RatioLoss"]


class RatioLoss:
    """The loss of rollouts as a function of the policy, from their sums of advantages.

    L = -mean_i min(rho_i A_i, clip(rho_i, 1 - eps, 1 + eps) A_i),  rho_i = pi(k_i) / pi_rollout(k_i)

    All samples of a category with the same token have the same ratio, so with S+ and S- the sums of
    their positive and their negative advantages, and M samples,

    L = -sum_k (S+_k min(rho_k, 1 + eps) + S-_k max(rho_k, 1 - eps)) / M

    and with W_k = rho_k (S+_k where rho_k <= 1 + eps, plus S-_k where rho_k >= 1 - eps) the gradient on
    the logits is (pi_k sum_j W_j - W_k) / M.

    Args:
        shape: (R, C, K) runs, categories, tokens.
        clip: eps, or None for no clip.
        dtype: of everything that is kept.
    """

    def __init__(
        self, shape: tuple[int, ...], clip: float | None, dtype: npt.DTypeLike = np.float64
    ) -> None:
        self.clip = clip
        self._total: npt.NDArray[Any] = np.zeros(shape, dtype)  # S / (M pi_rollout)
        if clip is not None:
            self._plus: npt.NDArray[Any] = np.zeros(shape, dtype)
            self._minus: npt.NDArray[Any] = np.zeros(shape, dtype)
            self._share_plus: npt.NDArray[Any] = np.zeros(shape, dtype)
            self._share_minus: npt.NDArray[Any] = np.zeros(shape, dtype)
            self._high: npt.NDArray[Any] = np.ones(shape, dtype)
            self._low: npt.NDArray[Any] = np.ones(shape, dtype)

    def take(self, i: int, policy: FloatArray, sums: Sums, n_samples: int) -> None:
        """Make the loss of run `i` that of a rollout of `n_samples` under `policy` (C, K)."""

        def per_sample(array: FloatArray) -> FloatArray:
            out = np.zeros_like(policy)
            return np.divide(array, policy * n_samples, out=out, where=array != 0.0)

        self._total[i] = per_sample(sums.total)
        if self.clip is None:
            return
        if sums.plus is None or sums.n_plus is None or sums.n_minus is None:
            raise InvalidInputError("sums: expected their signs, which a clip needs, got totals")
        self._plus[i] = per_sample(sums.plus)
        self._minus[i] = per_sample(sums.total - sums.plus)
        self._share_plus[i] = sums.n_plus / n_samples
        self._share_minus[i] = sums.n_minus / n_samples
        self._high[i] = policy * (1.0 + self.clip)
        self._low[i] = policy * (1.0 - self.clip)

    def value(self, policy: npt.NDArray[Any]) -> FloatArray:
        """(R,) the loss at a policy (R, C, K)."""
        if self.clip is None:
            terms = self._total * policy
        else:
            terms = self._plus * np.minimum(policy, self._high)
            terms += self._minus * np.maximum(policy, self._low)
        return -terms.sum(axis=(1, 2), dtype=np.float64)

    def gradient(self, policy: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        """Write the gradient of the loss on the logits at a policy (R, C, K) to `out`."""
        if self.clip is None:
            np.multiply(policy, self._total, out=out)
        else:
            np.multiply(self._plus, policy <= self._high, out=out)
            out += self._minus * (policy >= self._low)
            out *= policy
        sums = out.sum(axis=-1, keepdims=True)
        np.subtract(policy * sums, out, out=out)

    def clipped(self, policy: npt.NDArray[Any]) -> FloatArray:
        """(R,) share of the samples whose clipped term is strictly smaller."""
        if self.clip is None:
            return np.zeros(policy.shape[0])
        out = self._share_plus * (policy > self._high)
        out += self._share_minus * (policy < self._low)
        return out.sum(axis=(1, 2), dtype=np.float64)
