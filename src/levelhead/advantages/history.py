"""Advantages that divide by what earlier visits of a prompt have shown."""

from __future__ import annotations

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, real
from levelhead.advantages._groups import (
    EPS,
    LARGEST_ID,
    centered,
    constant,
    ddof_or_error,
    eps_or_error,
    grouped,
    spread,
)
from levelhead.advantages._table import Estimator
from levelhead.errors import InvalidInputError

__all__ = ["EmaStd"]


class EmaStd:
    """A reward minus the mean of its group, divided by the prompt's standard deviation of the past.

    A_i = (r_i - mean_g r) / (s_g + eps), and only then s_g <- decay s_g + (1 - decay) std_g r

    The scale s_g is a running mean over the *earlier* visits of the prompt, so an outcome that is drawn
    anew at every visit does not enter it, and the gradient is only rescaled. The first visit has no
    past: s_g is `initial`.

    Where a prompt keeps its outcome from visit to visit, as in several epochs over one data set, its
    past holds that outcome, and the scale is biased as the group's own is. Give all prompts of a kind
    one group id there, or take `batch_std`.

    A visit updates s_g only where it has a spread: at least two rewards that count, not equal up to a
    float32's rounding. Else a policy that rarely varies would bring s_g to 0, and the next reward that
    differs would get an advantage without bound.

    Args:
        decay: in [0, 1), the weight of the past; 0 takes the last visit alone.
        eps: >= 0, in the unit of the rewards.
        ddof: 1 divides the squares by G - 1, 0 by G.
        initial: > 0, the scale before the first visit, in the unit of the rewards.

    Raises:
        InvalidInputError: an option outside its range.

    Edge cases: groups with fewer than two rewards that count and constant groups get 0, as does what
        cannot be scored.
    Properties: per group and its history; centered; proportional, prompt by prompt, where
        outcomes are drawn anew; not to be shared between runs. Pickles; `state` can be saved and
        restored.
    Reference: this package; the condition that the scale must not depend on the realized outcome
        follows from Bereket and Leskovec 2025 (arXiv:2508.11800).

    Example:
        >>> ema = EmaStd(decay=0.5, eps=0.0)
        >>> ema([1.0, 0.0, 1.0, 0.0], [7, 7, 7, 7])
        array([ 0.5, -0.5,  0.5, -0.5])
        >>> round(ema.state["scales"][7], 4)
        0.7887
        >>> ema([1.0, 0.0, 1.0, 0.0], [7, 7, 7, 7]).round(4)
        array([ 0.634, -0.634,  0.634, -0.634])
    """

    def __init__(
        self, *, decay: float = 0.9, eps: float = EPS, ddof: int = 1, initial: float = 1.0
    ) -> None:
        if not 0.0 <= real("decay", decay) < 1.0:
            raise InvalidInputError(f"decay: expected a number in [0, 1), got {decay}")
        if not 0.0 < real("initial", initial) < np.inf:
            raise InvalidInputError(f"initial: expected a finite number above 0, got {initial}")
        self.decay, self.initial = float(decay), float(initial)
        self.eps, self.ddof = eps_or_error(eps), ddof_or_error(ddof)
        self._ids: IntArray = np.empty(0, np.int64)  # sorted
        self._scales: FloatArray = np.empty(0)

    def __call__(
        self, rewards: ArrayLike, groups: ArrayLike, *, valid: ArrayLike | None = None
    ) -> FloatArray:
        """Advantages of one visit of each group in a batch; the scales move on afterwards."""
        layout = grouped(rewards, groups, valid, integer=True)
        labels = np.asarray(groups).astype(np.int64, copy=False)
        parts: list[FloatArray] = []
        ids: list[IntArray] = []
        visits: list[FloatArray] = []
        start = 0
        for block in layout.dense():
            rows = labels[layout.first[start : start + block.shape[0]]]
            start += block.shape[0]
            if block.shape[1] < 2:
                parts.append(np.zeros_like(block))
                continue
            deviations = centered(block)
            parts.append(deviations / self._divisors(rows))
            varied = ~constant(block)
            ids.append(rows[varied])
            visits.append(spread(deviations[varied], self.ddof))
        if ids:
            self._update(np.concatenate(ids), np.concatenate(visits))
        return layout.scattered(parts)

    def dense(self, rewards: FloatArray, rows: IntArray) -> FloatArray:
        """Advantages of complete groups without checks, (B, G) with G >= 2 and the prompts' ids (B,).

        The same as a call with every id repeated G times, but an id may occur in several rows: they
        are visits at the same time, which see the same scale and then count with their mean.
        """
        deviations = centered(rewards)
        out = deviations / self._divisors(rows)
        varied = ~constant(rewards)
        if varied.all():
            self._update(rows, spread(deviations, self.ddof))
        else:
            self._update(rows[varied], spread(deviations[varied], self.ddof))
        return out

    def scales(self, rows: IntArray) -> FloatArray:
        """The current scales s of prompts (B,), `initial` for those without a past."""
        if np.array_equal(rows, self._ids):
            return self._scales.copy()
        if self._ids.size == 0:
            return np.full(rows.size, self.initial)
        place = np.minimum(np.searchsorted(self._ids, rows), self._ids.size - 1)
        return np.where(self._ids[place] == rows, self._scales[place], self.initial)

    def _divisors(self, rows: IntArray) -> FloatArray:
        """(B, 1) scale plus eps; nothing is left of an advantage where both are 0."""
        divisors = self.scales(rows) + self.eps
        return np.where(divisors > 0.0, divisors, np.inf)[:, None]

    def _update(self, rows: IntArray, visits: FloatArray) -> None:
        if not (visits > 0.0).all():  # squares of less than 1e-160 vanish
            rows, visits = rows[visits > 0.0], visits[visits > 0.0]
        if rows.size == 0:
            return
        if (rows[1:] > rows[:-1]).all():
            ids, means = rows, visits
        else:
            ids, place = np.unique(rows, return_inverse=True)
            means = np.bincount(place, weights=visits) / np.bincount(place)
        moved = self.decay * self.scales(ids) + (1.0 - self.decay) * means
        if not np.array_equal(ids, self._ids):
            known = np.union1d(self._ids, ids)
            every = self.scales(known)
            every[np.searchsorted(known, ids)] = moved
            ids, moved = known, every
        self._ids, self._scales = ids.copy(), moved

    @property
    def state(self) -> dict[str, dict[int, float]]:
        """The scales by prompt id, as plain Python numbers; assign it to go on from there."""
        pairs = zip(self._ids.tolist(), self._scales.tolist(), strict=True)
        return {"scales": dict(pairs)}

    @state.setter
    def state(self, state: dict[str, dict[int, float]]) -> None:
        try:
            scales = {int(key): float(value) for key, value in state["scales"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InvalidInputError(
                "state: expected {'scales': {prompt id: scale}} as `state` gives it"
            ) from error
        bad = [key for key, value in scales.items() if not 0.0 < value < np.inf]
        if bad:
            raise InvalidInputError(
                f"state: expected finite scales above 0, got {scales[bad[0]]} for prompt {bad[0]}"
            )
        far = [key for key in scales if not -LARGEST_ID - 1 <= key <= LARGEST_ID]
        if far:
            raise InvalidInputError(
                f"state: expected prompt ids within 2**63 of 0, as 64 bits hold, got {far[0]}"
            )
        ids = sorted(scales)
        self._ids = np.array(ids, dtype=np.int64)
        self._scales = np.array([scales[i] for i in ids], dtype=np.float64)


def _first_visit(
    rewards: ArrayLike, groups: ArrayLike, *, valid: ArrayLike | None = None
) -> FloatArray:
    """What a new `EmaStd` gives: every call is the first visit of every group."""
    return grouped(rewards, groups, valid).apply(_first_dense)


def _first_dense(block: FloatArray) -> FloatArray:
    return centered(block) / (1.0 + EPS)


def _first_factor(group_size: int) -> float:
    return (group_size - 1) / group_size / (1.0 + EPS)


EMA_STD = Estimator(
    name="ema_std",
    function=_first_visit,
    dense=_first_dense,
    scope="history",
    gradient="proportional",
    factor=_first_factor,
    centered=True,
    fixed_point="truth",
    reference="this package",
    new=EmaStd,
)
