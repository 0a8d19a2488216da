"""L2 logistic regression on standardized hidden states, for several penalties on the same rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import optimize, special

from levelhead._arrays import ArrayLike, FloatArray, flags
from levelhead.errors import InvalidInputError

__all__ = ["LogisticProbe", "Path", "fit_probe", "layer_states"]

TOLERANCE = 1e-9  # of the gradient's largest entry, as a share of the rows
CONSTANT = 1e-9  # a feature whose spread is below this share of its size says nothing


@dataclasses.dataclass(frozen=True)
class LogisticProbe:
    """P(true | h) = sigmoid(intercept + weights (h - center) / scale).

    Attributes:
        center: (d,) means of the training rows.
        scale: (d,) standard deviations (ddof 0) of the training rows; 1 where there is none.
        weights: (d,) log-odds per standard deviation.
        intercept: log-odds of an average row.
        converged: whether the fit reached its tolerance.
    """

    center: FloatArray
    scale: FloatArray
    weights: FloatArray
    intercept: float
    converged: bool

    def predict(self, hidden: ArrayLike) -> FloatArray:
        """The probability of true.

        Args:
            hidden: (N, d) hidden states of the layer that it was fitted on.

        Returns:
            (N,) in (0, 1).
        """
        x = (np.asarray(hidden, dtype=np.float64) - self.center) / self.scale
        return np.asarray(special.expit(self.intercept + x @ self.weights), dtype=np.float64)


def fit_probe(hidden: ArrayLike, label: ArrayLike, *, c: float = 1e-2) -> LogisticProbe:
    """L2 logistic regression on standardized hidden states.

    min sum_i log(1 + exp(-s_i (b + x_i w))) + |w|^2 / (2 C), x standardized, s = 2 label - 1

    Args:
        hidden: (N, d) finite.
        label: (N,) 0 or 1, both kinds.
        c: inverse penalty, above 0.

    Returns:
        The fitted probe.

    Raises:
        InvalidInputError: the shapes differ, a value is not finite, or one kind is missing.

    Edge cases: a feature without spread has weight 0.
    Properties: the minimum is unique; the intercept is not penalized.
    Reference: Alain & Bengio 2016 (arXiv:1610.01644).

    Example:
        >>> probe = fit_probe([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1], c=1.0)
        >>> (probe.predict([[0.0], [3.0]]) > 0.5).tolist()
        [False, True]
    """
    if not c > 0.0:
        raise InvalidInputError(f"c: expected a number above 0, got {c}")
    x = layer_states(hidden, "hidden")
    y = flags("label", label, len(x)).astype(np.float64)
    if y.min() == y.max():
        raise InvalidInputError("label: expected both 0 and 1, got one of them only")
    return Path(x).fit(y, (c,))[c]


class Path:
    """Fits for several penalties on the same rows, in as many dimensions as the rows span."""

    def __init__(self, x: FloatArray) -> None:
        self._center = x.mean(axis=0)
        spread = x.std(axis=0)
        size = np.abs(x).max(axis=0, initial=0.0)
        varies = spread > CONSTANT * size
        self._scale = np.where(varies, spread, 1.0)
        z = np.where(varies, (x - self._center) / self._scale, 0.0)
        # The penalty does not see a rotation: with fewer rows than features, work among the rows.
        if z.shape[0] < z.shape[1]:
            values, vectors = np.linalg.eigh(z @ z.T)
            kept = values > max(float(values.max(initial=0.0)) * 1e-12, 0.0)
            roots = np.sqrt(values[kept])
            self._features = vectors[:, kept] * roots
            self._back = z.T @ (vectors[:, kept] / roots)
        else:
            self._features, self._back = z, None

    def fit(
        self, y: FloatArray, costs: Sequence[float], tolerance: float = TOLERANCE
    ) -> dict[float, LogisticProbe]:
        """One probe for each C, each started at the one before it, strongest penalty first."""
        features = self._features
        n, width = features.shape
        start = np.zeros(width + 1)
        start[0] = special.logit(y.mean())
        found: dict[float, LogisticProbe] = {}
        for c in sorted(costs):

            def loss(beta: FloatArray, c: float = c) -> tuple[float, FloatArray]:
                score = beta[0] + features @ beta[1:]
                value = np.logaddexp(0.0, score).sum() - y @ score + beta[1:] @ beta[1:] / (2.0 * c)
                off = special.expit(score) - y
                slope = np.concatenate(([off.sum()], features.T @ off + beta[1:] / c))
                return float(value) / n, slope / n

            done = optimize.minimize(
                loss,
                start,
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": 2000, "gtol": tolerance, "ftol": 1e-15, "maxcor": 20},
            )
            start = np.asarray(done.x, dtype=np.float64)
            weights = start[1:] if self._back is None else self._back @ start[1:]
            small = float(np.abs(loss(start)[1]).max()) < 1e-5
            found[c] = LogisticProbe(self._center, self._scale, weights, float(start[0]), small)
        return found


def layer_states(values: Any, name: str, copy: bool = True) -> Any:
    """(N, d) finite numbers, as float64 where they are copied."""
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise InvalidInputError(f"{name}: expected shape (N, d), got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise InvalidInputError(
            f"{name}: expected real numbers, got dtype {array.dtype}; convert to float32 first"
        )
    if not np.isfinite(array).all():
        i = int((~np.isfinite(array)).any(axis=1).argmax())
        raise InvalidInputError(f"{name}: expected finite numbers, got some others in row {i}")
    return array.astype(np.float64) if copy else array
