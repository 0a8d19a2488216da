"""Rollouts of estimators that know more than one group: an earlier visit, or the whole batch."""

from __future__ import annotations

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead.lab._inversion import Symbols, draw_keys
from levelhead.lab.sampler import Cells, Dense, Sums, Tally

__all__ = ["Remembered", "Whole"]


class Remembered:
    """Rollouts whose advantages are divided by a running scale of the question (`EmaStd`).

    Groups that are constant have no advantage and leave their question's scale alone, so only the
    others are formed; which questions they belong to is drawn along with them.
    """

    def __init__(
        self,
        cells: Cells,
        group_size: int,
        rng: np.random.Generator,
        numerator: Dense,
        *,
        decay: float,
        eps: float,
        ddof: int = 1,
        initial: float = 1.0,
        signed: bool = False,
        by_question: bool = True,
    ) -> None:
        """Take the estimator on complete groups before the division, and `EmaStd`'s options.

        The scale is each question's own, or one for the questions of a category.
        """
        self.cells, self.rng, self.numerator, self.signed = cells, rng, numerator, signed
        self.group_size, self.decay, self.eps, self.ddof = group_size, decay, eps, ddof
        self._cell = np.repeat(np.arange(cells.questions.size), cells.questions)
        self._owner = np.arange(self._cell.size) if by_question else cells.category[self._cell]
        self.scales = np.full(self._owner.max() + 1, float(initial))

    def draw(self, policy: FloatArray) -> Sums:
        """One rollout under a policy (C, K)."""
        probabilities = self.cells.probabilities(policy)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        same = probabilities.max(axis=1) ** self.group_size
        # Groups of nothing but the likeliest symbol are left out; the others are what remains.
        questions = np.flatnonzero(self.rng.random(self._cell.size) >= same[self._cell])
        tally = Tally(self.cells, self.signed)
        if questions.size:
            codes = self._varied(probabilities, self._cell[questions])
            tally.add_samples(codes.ravel(), self._visit(codes, self._owner[questions]).ravel())
        return tally.result()

    def _varied(self, probabilities: FloatArray, cell: IntArray) -> IntArray:
        """(G, B) codes of groups that are not all of their cell's likeliest symbol."""
        g = self.group_size
        symbols, usual = Symbols(probabilities), probabilities.argmax(axis=1)
        first = usual + np.arange(usual.size) * probabilities.shape[1]
        # The first sample that deviates is the j-th with probability p^j (1 - p) / (1 - p^G).
        p = probabilities.max(axis=1)[cell]
        light = probabilities.copy()
        light[np.arange(usual.size), usual] = 0.0
        with np.errstate(divide="ignore"):
            place = np.log1p(-self.rng.random(cell.size) * (1.0 - p**g)) / np.log(p)
        place = np.minimum(place.astype(np.int64), g - 1)
        codes = symbols.at(draw_keys(self.rng, np.tile(cell, g))).reshape(g, -1)
        before = np.arange(g)[:, None] < place
        codes = np.where(before, first[cell], codes)
        codes[place, np.arange(cell.size)] = Symbols(light).at(draw_keys(self.rng, cell))
        return codes

    def _visit(self, codes: IntArray, owners: IntArray) -> FloatArray:
        deviations = np.ascontiguousarray(
            self.numerator(self.cells.rewards.ravel()[codes].T).T, np.float64
        )
        advantages = deviations / (self.scales[owners] + self.eps)
        spread = np.sqrt((deviations**2).sum(axis=0) / (self.group_size - self.ddof))
        visits = np.bincount(owners[spread > 0.0], minlength=self.scales.size)
        total = np.bincount(owners, spread, self.scales.size)
        seen = visits > 0
        self.scales[seen] *= self.decay
        self.scales[seen] += (1.0 - self.decay) * total[seen] / visits[seen]
        return advantages


class Whole:
    """Rollouts of estimators that must see all groups at once.

    Nothing is saved here: every sample of every question is drawn, and the estimator gets the rewards
    of the whole batch, with the questions in the same order in every rollout.
    """

    def __init__(
        self,
        cells: Cells,
        group_size: int,
        rng: np.random.Generator,
        dense: Dense,
        *,
        signed: bool = False,
    ) -> None:
        """Take an estimator on the whole batch (N, G), which may remember earlier ones."""
        self.cells, self.rng, self.dense, self.signed = cells, rng, dense, signed
        self.group_size = group_size
        self._cell = np.repeat(np.arange(cells.questions.size), cells.questions)

    def draw(self, policy: FloatArray) -> Sums:
        """One rollout under a policy (C, K)."""
        keys = draw_keys(self.rng, np.tile(self._cell, self.group_size))
        codes = Symbols(self.cells.probabilities(policy)).at(keys)
        rewards = self.cells.rewards.ravel()[codes].reshape(self.group_size, -1)
        tally = Tally(self.cells, self.signed)
        tally.add_samples(codes, np.ascontiguousarray(self.dense(rewards.T).T).ravel())
        return tally.result()
