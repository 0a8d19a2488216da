"""What an estimator does, found out by changing its input and looking at what changes.

Every question is an exact transformation of a batch of random rewards (add 2 to one group, multiply
another by 3, exchange two samples, ...) and a comparison of the advantages before and after. None
looks into the estimator.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead.probe.blackbox import BlackBox, EstimatorError

__all__ = ["Leak", "Traits", "ask"]

SAME = 2e-3
"""Advantages that differ by less than this share of the largest are the same: an eps of 1e-4 or
float32 arithmetic moves them by less, what a question asks about by far more."""

GROUPS = 6
"""Groups in the batch that the questions are asked with."""

SEEDS = 2
"""Batches; an invariance must hold in all of them, a dependence show in one."""

SHIFT, SCALE = 2.0, 4.0
"""What is added to rewards, and what they are multiplied by."""

FAR, FARTHER = 300.0, 3000.0
"""Multiples of the rewards at which a bounded estimator has reached its bound."""


@dataclasses.dataclass(frozen=True)
class Leak:
    """How other groups' rewards change the advantages of a group.

    Attributes:
        any: whether they do.
        shift: they add something to my advantages (a baseline that mixes prompts).
        scale: they multiply my advantages (a spread that mixes prompts).
        by_position: only the i-th samples of the other groups change my i-th advantage.
        constant_only: only whether another group's rewards are all equal matters.
        some_groups: only some of the other groups are affected.
    """

    any: bool = False
    shift: bool = False
    scale: bool = False
    by_position: bool = False
    constant_only: bool = False
    some_groups: bool = False


@dataclasses.dataclass(frozen=True)
class Traits:
    """What the questions found.

    Attributes:
        random: two instances give different answers to one call.
        stateful: the same call twice on one instance differs.
        history: what the past does to the advantages.
        leak: what other groups do to them.
        ordered: the order of the samples in a group matters.
        same_position: it matters only through samples at the same position in other groups.
        labels: the ids of the groups matter.
        adjacent: the samples of a group must be next to one another.
        own_baseline: what remains of a constant added to a group's rewards: 0 with a complete
            baseline, 1 without one; NaN if no such number exists.
        all_baseline: the same for a constant added to all rewards.
        degree: power of a group's scale that its advantages follow: 1 proportional, 0 divided by
            the group's spread; NaN if they follow none.
        batch_degree: the same for the scale of all rewards.
        ranks: only the order of the rewards within the group matters.
        affine: within a group, advantages are a multiple of the rewards plus a constant.
        asymmetric: rewards of the other sign do not get advantages of the other sign.
        no_negative: no sample gets a negative advantage.
        winner: all samples but the best of a group get the same.
        centered: the advantages of a group sum to 0.
        direction: 1 where better rewards get larger advantages, -1 where smaller, 0 where all are 0.
        bound: largest advantage in size however far the rewards are apart; infinity if none.
        clipped: several samples sit at the bound.
        constant_group: what a group of equal rewards gets; `unequal` are different numbers.
        singleton: what a group of one gets.
        one_group: empty, or what happens to a batch of one group.
        unequal: empty, or what happens to groups of unequal size.
        nan_reward: where a reward that is NaN leaves NaN.
    """

    random: bool = False
    stateful: bool = False
    history: Literal["none", "scale", "shift", "other"] = "none"
    leak: Leak = Leak()
    ordered: bool = False
    same_position: bool = False
    labels: bool = False
    adjacent: bool = False
    own_baseline: float = 0.0
    all_baseline: float = 0.0
    degree: float = 1.0
    batch_degree: float = 1.0
    ranks: bool = False
    affine: bool = True
    asymmetric: bool = False
    no_negative: bool = False
    winner: bool = False
    centered: bool = True
    direction: int = 1
    bound: float = np.inf
    clipped: bool = False
    constant_group: Literal["zero", "reward", "nan", "unequal", "other", "raises"] = "zero"
    singleton: Literal["zero", "reward", "nan", "other", "raises"] = "zero"
    one_group: str = ""
    unequal: str = ""
    nan_reward: Literal["nowhere", "itself", "its group", "the batch", "raises"] = "its group"

    @property
    def tabulable(self) -> bool:
        """Whether the advantage of a sample follows from its group's rewards alone."""
        return not (self.random or self.stateful or self.leak.any or self.ordered or self.labels)


def ask(box: BlackBox, group_size: int, *, seed: int = 0) -> Traits:
    """Ask a black box every question.

    Args:
        box: the estimator.
        group_size: samples per group, >= 2.
        seed: of the batches.

    Returns:
        The traits that all batches agree on.

    Raises:
        EstimatorError: it cannot handle an ordinary batch.
    """
    questions = [_Questions(box, group_size, seed + i) for i in range(SEEDS)]
    random = any(q.is_random() for q in questions)
    if random:
        return Traits(random=True)
    stateful = any(q.is_stateful() for q in questions)
    for q in questions:
        q.warm = stateful
    found = [q.traits(stateful) for q in questions]
    leaks = [q.leak() for q in questions]
    return dataclasses.replace(
        found[0],
        leak=Leak(
            any=any(x.any for x in leaks),
            shift=any(x.shift for x in leaks),
            scale=any(x.scale for x in leaks),
            by_position=all(x.by_position for x in leaks),
            constant_only=all(x.constant_only for x in leaks),
            some_groups=all(x.some_groups for x in leaks),
        ),
        ordered=any(x.ordered for x in found),
        same_position=all(x.same_position for x in found),
        labels=any(x.labels for x in found),
        ranks=all(x.ranks for x in found),
        affine=all(x.affine for x in found),
        asymmetric=any(x.asymmetric for x in found),
        no_negative=all(x.no_negative for x in found),
        winner=all(x.winner for x in found),
        centered=all(x.centered for x in found),
    )


class _Questions:
    """The questions about one random batch: `GROUPS` groups, one after the other."""

    def __init__(self, box: BlackBox, group_size: int, seed: int) -> None:
        rng = np.random.default_rng([seed, 7])
        self.box, self.size, self.warm = box, group_size, False
        self.groups: IntArray = np.repeat(np.arange(GROUPS), group_size)
        level = rng.normal(size=GROUPS)[self.groups]
        self.rewards: FloatArray = level + rng.normal(size=self.groups.size)
        self.past: FloatArray = rng.normal(size=self.groups.size)
        self.rng = rng

    def answer(
        self,
        rewards: FloatArray,
        groups: IntArray | None = None,
        given: str = "",
        past: FloatArray | None = None,
    ) -> FloatArray:
        """Advantages of a fresh instance, or of one with a past where it keeps state."""
        instance = self.box.fresh()
        given = given or f"{rewards.size} rewards in groups of {self.size}"
        if self.warm:
            instance(self.past if past is None else past, self.groups, given)
        return instance.raw(rewards, self.groups if groups is None else groups, given)

    def is_random(self) -> bool:
        """Whether two fresh instances disagree; also the check that an ordinary batch works."""
        first, second = self.answer(self.rewards), self.answer(self.rewards)
        if not np.isfinite(first).all():
            i = int((~np.isfinite(first)).argmax())
            raise EstimatorError(
                f"{self.box.name} returns {first[i]} for sample {i} of {first.size} ordinary "
                f"rewards in groups of {self.size}; expected finite numbers"
            )
        return not _same(first, second)

    def is_stateful(self) -> bool:
        instance = self.box.fresh()
        first = instance(self.rewards, self.groups)
        instance(self.past, self.groups)
        return not _same(first, instance(self.rewards, self.groups))

    def traits(self, stateful: bool) -> Traits:
        base = self.answer(self.rewards)
        mine = self.groups == 1
        shifted = self.answer(self.rewards + SHIFT * mine)
        scaled = self.answer(np.where(mine, SCALE * self.rewards, self.rewards))
        bound, clipped = self.bound()
        ordered, same_position = self.order(base)
        direction = self.direction(base)
        return Traits(
            stateful=stateful,
            history=self.history(base) if stateful else "none",
            ordered=ordered,
            same_position=same_position,
            labels=self.labels(base),
            adjacent=self.adjacent(base),
            own_baseline=_constant(shifted[mine] - base[mine], base) / SHIFT,
            all_baseline=_constant(self.answer(self.rewards + SHIFT) - base, base) / SHIFT,
            degree=_degree(base[mine], scaled[mine]),
            batch_degree=_degree(base, self.answer(SCALE * self.rewards)),
            ranks=direction != 0 and self.by_rank(base),
            affine=_affine(self.rewards[mine], base[mine]) is not None or self.size == 2,
            asymmetric=not stateful and self.asymmetric(),
            no_negative=direction != 0 and float(base.min()) >= -SAME * _size(base),
            winner=direction != 0 and self.winner_only(base),
            centered=bool(np.all(np.abs(_rows(base, self.size).sum(1)) <= SAME * _size(base))),
            direction=direction,
            bound=bound,
            clipped=clipped,
            constant_group=self.constant_group(),
            singleton=self.singleton(),
            one_group=self.failure(self.rewards[mine], np.zeros(self.size, np.int64), "one group"),
            unequal=self.failure(self.rewards[1:], self.groups[1:], "groups of unequal size"),
            nan_reward=self.nan_reward(),
        )

    def history(self, base: FloatArray) -> Literal["none", "scale", "shift", "other"]:
        """What earlier rewards of other size, or of another level, do to my advantages."""
        wider = self.answer(self.rewards, past=SCALE * (self.past - _means(self.past, self.size)))
        pairs = list(zip(_rows(base, self.size), _rows(wider, self.size), strict=True))
        ratios = [_ratio(*pair) for pair in pairs]
        if any(not _same(a, b) for a, b in pairs) and all(ratio <= 1 + SAME for ratio in ratios):
            return "scale"  # wider rewards before, smaller advantages now
        higher = self.answer(self.rewards, past=self.past + SHIFT)
        steps = _rows(higher - base, self.size)
        if all(np.isfinite(_constant(row, base)) for row in steps) and not _same(base, higher):
            return "shift"
        return "other"

    def leak(self) -> Leak:
        base = self.answer(self.rewards)
        theirs = self.groups == GROUPS - 2
        r, mean = self.rewards, self.rewards[theirs].mean()
        changed = {
            "shift": r + SHIFT * theirs,
            "scale": np.where(theirs, mean + SCALE * (r - mean), r),
            "redraw": np.where(theirs, self.rng.permutation(self.past), r),
            "constant": np.where(theirs, mean, r),
        }
        seen = {what: self.effect(base, theirs, new) for what, new in changed.items()}
        touched = {what: one for what, one in seen.items() if one.any}
        if not touched:
            return Leak()
        return Leak(
            any=True,
            shift=any(one.shift for one in touched.values()),
            scale=any(one.scale for one in touched.values()),
            by_position=self.by_position(base, theirs),
            constant_only=set(touched) == {"constant"},
            some_groups=all(one.some_groups for one in touched.values()),
        )

    def effect(self, base: FloatArray, theirs: BoolArray, rewards: FloatArray) -> Leak:
        """How a change of their rewards shows in the others' advantages: a factor, a summand."""
        new = self.answer(rewards)
        moved = (np.abs(new - base) > SAME * max(_size(base), _size(new[~theirs]))) & ~theirs
        if not moved.any():
            return Leak()
        touched = np.unique(self.groups[moved])
        rows = np.isin(self.groups, touched)
        position = np.arange(base.size) % self.size
        fits = [_affine(base[rows], new[rows])]
        if fits[0] is None:
            fits = [
                _affine(base[rows & (position == i)], new[rows & (position == i)])
                for i in range(self.size)
            ]
        known = [fit for fit in fits if fit is not None]
        tolerance = 2 * SAME
        return Leak(
            any=True,
            scale=any(abs(slope - 1) > tolerance for slope, _ in known),
            shift=any(abs(step) > tolerance * _size(base) for _, step in known) or not known,
            some_groups=touched.size < GROUPS - 1,
        )

    def by_position(self, base: FloatArray, theirs: BoolArray) -> bool:
        """Whether one sample of theirs reaches only the samples at its own position."""
        i = int(np.flatnonzero(theirs)[self.size // 2])
        new = self.rewards.copy()
        new[i] += SHIFT
        moved = (np.abs(self.answer(new) - base) > SAME * _size(base)) & ~theirs
        return bool(moved.any()) and bool(
            np.all(np.flatnonzero(moved) % self.size == i % self.size)
        )

    def order(self, base: FloatArray) -> tuple[bool, bool]:
        """Whether exchanging samples within the groups does more than exchange their advantages."""
        first = np.arange(base.size).reshape(GROUPS, self.size)
        apart = self.rng.permuted(first, axis=1).ravel()
        ordered = not _same(self.answer(self.rewards[apart]), base[apart])
        together = first[:, self.rng.permutation(self.size)].ravel()
        same = ordered and _same(self.answer(self.rewards[together]), base[together])
        return ordered, same

    def labels(self, base: FloatArray) -> bool:
        """Whether other ids, with the groups in the same order, change anything."""
        if self.warm:
            return False  # a new id has no past, which is as it should be
        names = np.array([3, 41, 17, 5, 29, 11])
        try:
            return not _same(self.answer(self.rewards, names[self.groups]), base)
        except EstimatorError:
            return True

    def adjacent(self, base: FloatArray) -> bool:
        """Whether an interleaved batch gets other advantages."""
        mixed = np.arange(base.size).reshape(GROUPS, self.size).T.ravel()
        try:
            got = self.answer(self.rewards[mixed], self.groups[mixed])
        except EstimatorError:
            return True
        return not _same(got, base[mixed])

    def by_rank(self, base: FloatArray) -> bool:
        """Whether stretching the rewards without changing their order changes nothing."""
        bent = [np.exp(1.5 * self.rewards), np.sign(self.rewards) * np.abs(self.rewards) ** 3]
        return all(_same(self.answer(new), base) for new in bent)

    def asymmetric(self) -> bool:
        """Whether the mirror image of the rewards gets other advantages than mirrored ones."""
        far = 10.0 * (self.rewards - _means(self.rewards, self.size))
        return any(not _same(self.answer(-r), -self.answer(r)) for r in (self.rewards, far))

    def winner_only(self, base: FloatArray) -> bool:
        others = np.sort(_rows(self.rewards, self.size).argsort(1)[:, :-1], axis=1)
        rest = np.take_along_axis(_rows(base, self.size), others, axis=1)
        return self.size > 2 and bool(np.all(np.ptp(rest, axis=1) <= SAME * _size(base)))

    def direction(self, base: FloatArray) -> int:
        """Sign of the covariance of reward and advantage within the groups."""
        if _size(base) == 0.0:
            return 0
        within = self.rewards - _means(self.rewards, self.size)
        return int(np.sign(np.sum(within * base)))

    def bound(self) -> tuple[float, bool]:
        """The largest advantage where rewards are far apart, and whether several sit there."""
        spread = self.rewards - _means(self.rewards, self.size)
        near, far, farther = (self.answer(s * spread) for s in (1e-2, FAR, FARTHER))
        grows = _size(far) > 3 * _size(near)
        if not grows or abs(_size(farther) - _size(far)) > SAME * _size(far):
            return np.inf, False
        rows = _rows(farther, self.size)
        top = np.isclose(rows, _size(farther), rtol=SAME).sum(1)
        low = np.isclose(rows, -_size(farther), rtol=SAME).sum(1)
        return _size(farther), bool(np.any(top > 1) and np.any(low > 1))

    def constant_group(self) -> Literal["zero", "reward", "nan", "unequal", "other", "raises"]:
        mine = self.groups == 1
        rewards = np.where(mine, -0.7, self.rewards)
        try:
            got = self.answer(rewards, given="a group whose rewards are all equal")[mine]
        except EstimatorError:
            return "raises"
        size = _size(self.answer(self.rewards))
        if np.isfinite(got).all() and np.ptp(got) > SAME * size:
            return "unequal"
        return _what(got, -0.7, size)

    def singleton(self) -> Literal["zero", "reward", "nan", "other", "raises"]:
        keep = (self.groups != GROUPS - 1) | (np.arange(self.groups.size) % self.size == 0)
        rewards = self.rewards[keep].copy()
        rewards[-1] = -0.7
        try:
            got = self.answer(rewards, self.groups[keep], "a group of one")[-1:]
        except EstimatorError:
            return "raises"
        return _what(got, -0.7, _size(self.answer(self.rewards)))

    def failure(self, rewards: FloatArray, groups: IntArray, given: str) -> str:
        """The sentence about a failure, or nothing."""
        try:
            self.answer(rewards, groups, given)
        except EstimatorError as error:
            return str(error)
        return ""

    def nan_reward(self) -> Literal["nowhere", "itself", "its group", "the batch", "raises"]:
        rewards = self.rewards.copy()
        rewards[self.size] = np.nan
        try:
            bad = ~np.isfinite(self.answer(rewards, given="a reward that is NaN"))
        except EstimatorError:
            return "raises"
        if bad[self.groups != 1].any():
            return "the batch"
        return "its group" if bad.sum() > 1 else "itself" if bad.any() else "nowhere"


def _size(values: FloatArray) -> float:
    return float(np.abs(values).max(initial=0.0))


def _same(first: FloatArray, second: FloatArray) -> bool:
    largest = max(_size(first), _size(second))
    return bool(np.all(np.abs(first - second) <= SAME * largest))


def _rows(values: FloatArray, size: int) -> FloatArray:
    return values.reshape(-1, size)


def _means(values: FloatArray, size: int) -> FloatArray:
    return np.repeat(_rows(values, size).mean(axis=1), size)


def _constant(values: FloatArray, beside: FloatArray) -> float:
    """The common value, 0 where it is too small to tell, NaN where there is none."""
    if np.ptp(values) > 2 * SAME * max(_size(beside), _size(values)):
        return float("nan")
    mean = float(values.mean())
    return mean if abs(mean) > SAME * _size(beside) else 0.0


def _ratio(base: FloatArray, new: FloatArray) -> float:
    """The factor between two sets of advantages; NaN where they are not proportional."""
    square = float(base @ base)
    factor = float(base @ new) / square if square > 0 else float("nan")
    return factor if _same(new, factor * base) else float("nan")


def _degree(base: FloatArray, scaled: FloatArray) -> float:
    factor = _ratio(base, scaled)
    if not factor > 0:
        return float("nan")
    degree = float(np.log(factor) / np.log(SCALE))
    return round(degree) if abs(degree - round(degree)) < 10 * SAME else degree


def _affine(base: FloatArray, new: FloatArray) -> tuple[float, float] | None:
    """Slope and summand of the line through all points; None where they are on no line.

    Two points are on many: they tell a factor from a summand only where one of the two fits alone.
    """
    if base.size < 3:
        factor = _ratio(base, new) if base.size == 2 else float("nan")
        return (factor, 0.0) if np.isfinite(factor) else None
    design = np.stack([base, np.ones_like(base)], axis=1)
    slope, step = np.linalg.lstsq(design, new, rcond=None)[0]
    return (float(slope), float(step)) if _same(new, slope * base + step) else None


def _what(got: FloatArray, reward: float, size: float) -> Literal["zero", "reward", "nan", "other"]:
    if not np.isfinite(got).all():
        return "nan"
    if _size(got) <= SAME * size:
        return "zero"
    return "reward" if _same(got, np.full(got.size, reward)) else "other"
