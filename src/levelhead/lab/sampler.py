"""One rollout of a tabular policy, reduced to what its updates need.

The loss of a rollout depends on a sample through its category, its token and its advantage alone, so
the sums of the advantages by category and token are all that any number of updates needs. The classes
here draw these sums from exactly the distribution that sampling every answer of every question gives,
but a group whose samples all say the same is only counted, and a group with one deviating sample is
looked up: policies soon say one thing almost always.

A *cell* is a set of questions whose groups are alike: one category and one outcome where outcomes are
shared, one category where they are independent. A *symbol* is what a sample amounts to: its token, and
where outcomes are independent its outcome as well.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray, IntArray
from levelhead.lab._inversion import Symbols, draw_keys, draw_words
from levelhead.lab.world import World

__all__ = [
    "Cells",
    "Counted",
    "Dense",
    "Grouped",
    "Sums",
    "Tally",
    "cells_of",
]

Dense = Callable[[FloatArray], FloatArray]
"""Rewards (B, G) of complete groups -> their advantages (B, G)."""

DENSE = 0.6
"""Share of groups with two deviating samples or more from which all groups are drawn in full."""
REORDER = 32  # rollouts between two looks at which symbols are the likeliest
LARGE = 100  # samples in a group from which its tables would cost more than they save
FEW = 3_000  # samples below which each looks up its place, instead of all places being added up


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """What can be sampled in a world, sorted by category.

    Attributes:
        category: (X,) category of each cell, ascending.
        questions: (X,) number of questions, each > 0.
        rewards: (X, M) reward of each symbol.
        chances: (C, M // K) probability of each outcome that a symbol stands for; 1 where outcomes
            are shared.
        starts: first cell of each category that has questions.
        members: the categories that have questions.
        n_categories: C.
        n_tokens: K.
    """

    category: IntArray
    questions: IntArray
    rewards: FloatArray
    chances: FloatArray
    starts: IntArray
    members: IntArray
    n_categories: int
    n_tokens: int

    def probabilities(self, policy: FloatArray) -> FloatArray:
        """(X, M) probability of each symbol under a policy (C, K)."""
        return self.of_members(policy)[self.source]

    def of_members(self, policy: FloatArray) -> FloatArray:
        """(S, M) probability of each symbol in each category that has questions."""
        if self.chances.shape[1] == 1:
            return policy[self.members]
        joint = self.chances[self.members, :, None] * policy[self.members, None, :]
        return joint.reshape(self.members.size, -1)

    @functools.cached_property
    def source(self) -> IntArray:
        """(X,) place of each cell's category among the members."""
        return np.searchsorted(self.members, self.category).astype(np.int64)

    @functools.cached_property
    def slots(self) -> IntArray:
        """(X M,) place in (C, K) of each code x M + m."""
        token = np.arange(self.rewards.shape[1]) % self.n_tokens
        return (self.category[:, None] * self.n_tokens + token).ravel()

    def by_token(self, sums: FloatArray) -> FloatArray:
        """Sums (X M,) over codes as sums (C, K) over categories and tokens."""
        split = sums.reshape(self.category.size, -1, self.n_tokens).sum(axis=1)
        out = np.zeros((self.n_categories, self.n_tokens))
        out[self.members] = np.add.reduceat(split, self.starts, axis=0)
        return out


def cells_of(world: World, rewards: FloatArray) -> Cells:
    """The cells of a world under a table of rewards.

    Args:
        world: the questions.
        rewards: (2, K) reward of each token for either outcome.

    Returns:
        The cells that have questions.
    """
    n_categories = world.n_categories
    if world.outcomes == "shared":
        questions = world.counts.ravel()
        category = np.repeat(np.arange(n_categories), 2)
        table = np.tile(rewards, (n_categories, 1))
        chances = np.ones((n_categories, 1))
    else:
        questions = world.counts.sum(axis=1)
        category = np.arange(n_categories)
        table = np.tile(rewards.reshape(1, -1), (n_categories, 1))
        chances = np.column_stack([1.0 - world.rates, world.rates])
    keep = questions > 0
    members, starts = np.unique(category[keep], return_index=True)
    return Cells(
        category[keep],
        questions[keep],
        table[keep],
        chances,
        starts.astype(np.int64),
        members,
        n_categories,
        world.n_tokens,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Sums:
    """What a rollout comes to.

    Attributes:
        total: (C, K) sum of the advantages of the samples of a category with a token.
        plus: (C, K) sum of the positive ones, or None where nobody asked.
        n_plus: (C, K) number of positive ones, or None.
        n_minus: (C, K) number of negative ones, or None.
    """

    total: FloatArray
    plus: FloatArray | None = None
    n_plus: FloatArray | None = None
    n_minus: FloatArray | None = None


class Tally:
    """Adds up advantages by category and token, with their signs where these are wanted."""

    def __init__(self, cells: Cells, signed: bool) -> None:
        self.cells, self.signed = cells, signed
        shape = (cells.n_categories, cells.n_tokens)
        self.sums = [np.zeros(shape) for _ in range(4 if signed else 1)]

    def add_samples(
        self, codes: IntArray, advantages: FloatArray, times: npt.NDArray[Any] | None = None
    ) -> None:
        """Samples one by one, each counted `times` times."""
        cells = self.cells
        few = codes.size < FEW
        slots = cells.slots[codes] if few else codes
        size = self.sums[0].size if few else cells.rewards.size

        def add(to: FloatArray, values: FloatArray) -> None:
            weights = values if times is None else values * times
            found: FloatArray = np.bincount(slots, weights, size).astype(np.float64, copy=False)
            to += found.reshape(to.shape) if few else cells.by_token(found)

        add(self.sums[0], advantages)
        if self.signed:
            add(self.sums[1], np.maximum(advantages, 0.0))
            add(self.sums[2], (advantages > 0.0).astype(np.float64))
            add(self.sums[3], (advantages < 0.0).astype(np.float64))

    def add_kinds(self, codes: IntArray, times: IntArray, advantages: FloatArray) -> None:
        """For each code (2, X), samples of several kinds: times and advantages are (X, kinds, 2)."""
        found = [times * advantages]
        if self.signed:
            up, down = advantages > 0.0, advantages < 0.0
            found += [times * np.where(up, advantages, 0.0), times * up, times * down]
        slots = self.cells.slots[codes].ravel()
        for to, values in zip(self.sums, found, strict=True):
            weights = values.sum(axis=1).T.ravel()
            to += np.bincount(slots, weights, to.size).reshape(to.shape)

    def result(self) -> Sums:
        return Sums(*self.sums)


class Counted:
    """Rollouts whose advantages are a function of the symbol and of the counts of all symbols.

    That is REINFORCE, PPO with a value for each category, and everything standardized over the batch
    without regard to groups: how many samples came out as which symbol is then all there is to know.
    """

    def __init__(
        self,
        cells: Cells,
        group_size: int,
        rng: np.random.Generator,
        advantage: Callable[[IntArray], FloatArray],
        *,
        signed: bool = False,
    ) -> None:
        """Take `advantage`: counts (X, M) -> advantages (X, M) of one sample."""
        self.cells, self.rng, self.advantage, self.signed = cells, rng, advantage, signed
        self.samples = cells.questions * group_size
        self._drawn = 0
        self._order = np.zeros(cells.rewards.shape, np.int64)
        self._back = self._order

    def draw(self, policy: FloatArray) -> Sums:
        """One rollout under a policy (C, K)."""
        counts = self.counts(self.cells.probabilities(policy))
        tally = Tally(self.cells, self.signed)
        every = np.arange(counts.size)
        tally.add_samples(every, self.advantage(counts).ravel(), counts.ravel())
        return tally.result()

    def counts(self, probabilities: FloatArray) -> IntArray:
        """(X, M) multinomial counts, drawn from the likeliest symbol down: that ends soonest."""
        if self._drawn % REORDER == 0:
            self._order = np.argsort(-probabilities, axis=1)
            self._back = np.argsort(self._order, axis=1)
        self._drawn += 1
        ordered = np.take_along_axis(probabilities, self._order, axis=1)
        ordered /= ordered.sum(
            axis=1, keepdims=True
        )  # a policy in single precision sums to 1 + 1e-7
        counts = self.rng.multinomial(self.samples, ordered)
        return np.take_along_axis(counts, self._back, axis=1)


class Grouped:
    """Rollouts whose advantages depend on nothing outside of the group.

    Two symbols of each cell are called heavy, the likeliest ones. How many samples of a group are not
    heavy, and how the others divide between the two, has a small multinomial distribution. Groups with
    no light sample and groups with one are then taken from tables; only those with more are formed
    sample by sample. While a policy is still broad, every sample of every group is drawn. Which two
    symbols are heavy changes the cost and not the distribution.
    """

    def __init__(
        self,
        cells: Cells,
        group_size: int,
        rng: np.random.Generator,
        dense: Dense,
        *,
        signed: bool = False,
        counting: bool = False,
        dense_from: float = DENSE,
    ) -> None:
        """Take an estimator on complete groups; `counting` keeps the number of every symbol."""
        self.cells, self.rng, self.dense, self.signed = cells, rng, dense, signed
        self.group_size, self.counting, self.dense_from = group_size, counting, dense_from
        self.counts = np.zeros(cells.rewards.shape, np.int64)
        n_cells, self._n_symbols = cells.rewards.shape
        self._rows = np.arange(n_cells)
        self._tiled = np.tile(self._rows, group_size - 1)
        self._rewards = cells.rewards.ravel()
        self._n_questions = int(cells.questions.sum())
        questions = np.repeat(self._rows, cells.questions)
        self._source = cells.source[questions]
        self._shift = (questions - self._source) * self._n_symbols
        self._tabled = group_size < LARGE
        self._tables = _Tables(cells, group_size if self._tabled else 0, dense)
        n_members = cells.members.size
        self._members = np.arange(n_members)[:, None]
        self._heavy = np.zeros((n_members, 2), np.int64)
        self._heavy_codes = np.zeros((2, n_cells), np.int64)
        self._order = self._back = np.arange(3 * group_size)
        self._drawn = 0
        sizes = (group_size, group_size - 1) if self._tabled else (0, 0)
        self._choose = _binomial(sizes[0]), _binomial(sizes[1])
        second = np.arange(group_size + 1)
        self._copies = np.stack([group_size - second, second], axis=1)

    def draw(self, policy: FloatArray) -> Sums:
        """One rollout under a policy (C, K)."""
        probabilities = self.cells.of_members(policy)
        if self._drawn % REORDER == 0:
            self._heavy = np.argsort(probabilities, axis=1)[:, :-3:-1]
            heavy = self._heavy[self.cells.source]
            self._heavy_codes = heavy.T + self._n_symbols * self._rows
            if self._tabled:
                self._tables.turn(heavy)
        tally = Tally(self.cells, self.signed)
        if self.counting:
            self.counts[:] = 0
        light = probabilities.copy()
        light[self._members, self._heavy] = 0.0
        share, numbers = self._numbers(light, probabilities)
        self._drawn += 1
        g = self.group_size
        if numbers is None:
            words = draw_words(self.rng, g * self._n_questions).reshape(g, -1)
            codes = Symbols(light).spread(words, self._source, self._shift)
            self._add_groups(tally, codes)
            return tally.result()
        zero, one, more = (
            numbers[:, : g + 1],
            numbers[:, g + 1 : 2 * g + 1],
            numbers[:, 2 * g + 1 :],
        )
        cell, depth = self._layout(more)
        lone = np.repeat(np.arange(one.size), one.ravel())  # cell x G + number of the second heavy
        codes = self._deviations(light, cell, depth, lone // g)
        self._add_zero(tally, zero)
        self._add_lone(tally, lone, codes[codes.size - lone.size :])
        if cell.size:
            self._add_groups(tally, self._filled(codes, cell, depth, share))
        return tally.result()

    def _numbers(
        self, light: FloatArray, probabilities: FloatArray
    ) -> tuple[FloatArray, IntArray | None]:
        """How the heavy mass divides, and (X, 3 G) groups by kind; `light` is full where all count.

        None where every sample of every group is to be drawn.

        The kinds: no light sample and j = 0 .. G of the second heavy symbol; one light sample and
        j = 0 .. G - 1; 2 .. G light samples.
        """
        g, questions = self.group_size, self.cells.questions
        heavy = probabilities[self._members, self._heavy]
        both = heavy.sum(axis=1)
        rest = light.sum(axis=1)
        q = rest / (rest + both)
        second = np.divide(heavy[:, 1], both, out=np.zeros_like(both), where=both > 0.0)
        if self._tabled:
            by_light = _chances(q, self._choose[0])
            broad = 1.0 - by_light[:, 0] - by_light[:, 1] > self.dense_from
        else:
            by_light, broad = np.zeros((q.size, 0)), np.ones(q.size, np.bool_)
        n_broad = np.count_nonzero(broad)
        if n_broad:
            light[broad] = probabilities[broad]
        if n_broad == broad.size:
            return second, None
        chance = np.empty((q.size, 3 * g))
        np.multiply(by_light[:, :1], _chances(second, self._choose[0]), out=chance[:, : g + 1])
        np.multiply(
            by_light[:, 1:2], _chances(second, self._choose[1]), out=chance[:, g + 1 : 2 * g + 1]
        )
        chance[:, 2 * g + 1 :] = by_light[:, 2:]
        if n_broad:
            chance[broad] = 0.0
            chance[broad, -1] = 1.0
        if self._drawn % REORDER == 0:
            self._order = np.argsort(-chance.sum(axis=0))
            self._back = np.argsort(self._order)
        # From the likeliest kind down: the draw ends with the last group.
        numbers = self.rng.multinomial(questions, chance[:, self._order][self.cells.source])
        return second, numbers[:, self._back]

    def _layout(self, numbers: IntArray) -> tuple[IntArray, list[int]]:
        """Cells of the groups to form, those with most light samples first, and how many of them
        have a j-th light sample, j = 1 .. G."""
        columns = numbers[:, ::-1]  # G, G - 1, ..., 2
        cell = np.repeat(self._tiled, columns.T.ravel())
        at_least = np.cumsum(columns.sum(axis=0))[::-1].tolist()  # 2, 3, ..., G
        return cell, [cell.size, *at_least]

    def _deviations(
        self, light: FloatArray, cell: IntArray, depth: list[int], lone: IntArray
    ) -> IntArray:
        """Codes of the light samples: the first of every group, the second, ..., and the lone ones."""
        cells = np.concatenate([*(cell[:n] for n in depth), lone])
        if cells.size == 0:
            return cells
        return Symbols(light, self.cells.source).at(draw_keys(self.rng, cells))

    def _filled(
        self, codes: IntArray, cell: IntArray, depth: list[int], second: FloatArray
    ) -> IntArray:
        """(G, B) codes of the groups to form: light samples first, heavy ones after."""
        if depth[-1] == cell.size:
            return codes[: self.group_size * cell.size].reshape(self.group_size, cell.size)
        filled = np.empty((self.group_size, cell.size), np.int64)
        first, other = self._heavy_codes[:, cell]
        limit = np.rint(second * 2.0**32).astype(np.int64)[self.cells.source][cell]
        lengths = [cell.size - n for n in depth]
        words = draw_words(self.rng, sum(lengths))
        at = used = 0
        for row, n, length in zip(filled, depth, lengths, strict=True):
            row[:n] = codes[at : at + n]
            at += n
            if length:
                is_other = words[used : used + length] < limit[n:]
                row[n:] = np.where(is_other, other[n:], first[n:])
                used += length
        return filled

    def _add_groups(self, tally: Tally, codes: IntArray) -> None:
        # (B, G) with the groups along the fast axis: sums over a group become sums of long rows.
        advantages = self.dense(self._rewards[codes].T)
        flat = codes.ravel()
        tally.add_samples(flat, np.ascontiguousarray(advantages.T).ravel())
        if self.counting:
            self.counts += np.bincount(flat, minlength=self.counts.size).reshape(self.counts.shape)

    def _add_zero(self, tally: Tally, numbers: IntArray) -> None:
        """Groups of heavy samples alone."""
        times = self._copies * numbers[:, :, None]
        tally.add_kinds(self._heavy_codes, times, self._tables.zero)
        if self.counting:
            self.counts.ravel()[self._heavy_codes] += times.sum(axis=1).T

    def _add_lone(self, tally: Tally, lone: IntArray, codes: IntArray) -> None:
        """Groups with one light sample."""
        if lone.size == 0:
            return
        g, m = self.group_size, self._n_symbols
        cell = lone // g
        second = lone - cell * g
        advantages = self._tables.lone[lone * m + codes - cell * m]
        every = np.concatenate([codes, self._heavy_codes[:, cell].ravel()])
        times = np.concatenate([np.ones_like(lone), g - 1 - second, second])
        tally.add_samples(every, advantages.T.ravel(), times)
        if self.counting:
            found = np.bincount(every, times, self.counts.size).astype(np.int64)
            self.counts += found.reshape(self.counts.shape)


def _binomial(n: int) -> FloatArray:
    return np.array([math.comb(n, k) for k in range(n + 1)], np.float64)


def _chances(p: FloatArray, choose: FloatArray) -> FloatArray:
    """(S, n + 1) binomial probabilities for chances (S,)."""
    powers = np.empty((2, p.size, choose.size))
    powers[0], powers[1] = p[:, None], 1.0 - p[:, None]
    powers[:, :, 0] = 1.0
    np.multiply.accumulate(powers, axis=2, out=powers)
    return choose * powers[0] * powers[1, :, ::-1]


class _Tables:
    """Advantages in groups of two heavy symbols and at most one other."""

    def __init__(self, cells: Cells, group_size: int, dense: Dense) -> None:
        self.cells, self.dense, self.group_size = cells, dense, group_size
        n_cells, n_symbols = cells.rewards.shape
        self._heavy = np.full((n_cells, 2), -1)
        # Of a sample of either heavy symbol, by the number of samples of the second.
        self.zero = np.zeros((n_cells, group_size + 1, 2))
        # Of the light sample and of either heavy one, by number and by light symbol.
        self._lone = np.zeros((n_cells, group_size, n_symbols, 3))
        self.lone = self._lone.reshape(-1, 3)
        self._known: dict[tuple[bytes, int, int], tuple[FloatArray, FloatArray]] = {}

    def turn(self, heavy: IntArray) -> None:
        """Bring the tables up to the heavy symbols (X, 2) of each cell."""
        for x in np.flatnonzero((heavy != self._heavy).any(axis=1)).tolist():
            rewards = self.cells.rewards[x]
            key = (rewards.tobytes(), int(heavy[x, 0]), int(heavy[x, 1]))
            if key not in self._known:
                self._known[key] = self._computed(rewards, rewards[heavy[x]])
            self.zero[x], self._lone[x] = self._known[key]
        self._heavy = heavy

    def _computed(self, rewards: FloatArray, heavy: FloatArray) -> tuple[FloatArray, FloatArray]:
        g, m = self.group_size, rewards.size
        place = np.arange(g)
        # The j copies of the second symbol come last.
        zero = np.where(place < g - np.arange(g + 1)[:, None], heavy[0], heavy[1])
        lone = np.empty((g, m, g))
        lone[:] = np.where(place < g - place[:, None], heavy[0], heavy[1])[:, None, :]
        lone[:, :, 0] = rewards
        advantages = self.dense(np.concatenate([zero, lone.reshape(-1, g)]))
        a, b = advantages[: g + 1], advantages[g + 1 :].reshape(g, m, g)
        # Where a symbol does not occur, its place holds another's advantage, which counts 0 times.
        return a[:, [0, -1]], b[:, :, [0, 1, -1]]
