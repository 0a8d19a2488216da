"""Contract checks of advantage estimators."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, get_args

import numpy as np

from levelhead._arrays import FloatArray, IntArray, integers, vector
from levelhead.advantages import AdvantageFunction
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.testing._contract import FAILURES, TOLERANCE, ContractError, name_of
from levelhead.testing._gradient import Difference, World, difference, worlds

__all__ = ["Batch", "batches", "check_advantage", "gradient_angle"]

BIAS_DEGREES = 0.01
"""A gradient that is nowhere further off than this counts as proportional."""

SHIFTS = (3.0, -2.5, 0.75)

Scope = Literal["sample", "group", "batch", "history"]
Gradient = Literal["unbiased", "proportional", "biased", "other"]


@dataclasses.dataclass(frozen=True)
class Batch:
    """One input of an advantage estimator.

    Attributes:
        rewards: (N,) finite.
        groups: (N,) integers >= 0, in any order.
    """

    rewards: FloatArray
    groups: IntArray

    def __post_init__(self) -> None:
        integers("groups", self.groups, self.rewards.size)
        if not np.isfinite(vector("rewards", self.rewards)).all():
            raise InvalidInputError("rewards: expected finite numbers, got NaN or an infinity")

    def __str__(self) -> str:
        pairs = zip(self.rewards[:8], self.groups[:8], strict=True)
        rows = ", ".join(f"({reward:.6g}, {group})" for reward, group in pairs)
        more = f", ... {self.rewards.size} in all" if self.rewards.size > 8 else ""
        return f"(reward, group) = {rows}{more}"


def batches(seed: int = 0) -> list[Batch]:
    """Inputs on which wrong estimators go wrong: ties, unequal and mixed groups, constants, one sample.

    Args:
        seed: of the random ones among them.

    Returns:
        The batches, small ones first.

    Example:
        >>> batches()[1]
        Batch(rewards=array([1., 0.]), groups=array([4, 4]))
    """
    draw = np.random.default_rng(seed)
    mixed = draw.permutation(np.repeat([11, 3, 7, 5, 2], [5, 4, 3, 2, 1]))
    equal = np.repeat([4, 1, 9], 4)
    binary = (draw.uniform(size=equal.size) < 0.4).astype(np.float64)
    constant = np.where(mixed == 5, 0.1, np.where(mixed == 3, 0.7, draw.normal(size=mixed.size)))
    found = [
        ([0.3], [0]),
        ([1.0, 0.0], [4, 4]),
        ([0.0, 0.0, 1.0, 1.0, 0.25], [6, 6, 6, 6, 6]),
        (binary, equal),
        (draw.integers(0, 3, mixed.size) / 2.0, mixed),
        (constant, mixed),
        (draw.normal(size=mixed.size), mixed),
        (draw.normal(size=equal.size) * 40.0 - 100.0, equal),
    ]
    return [Batch(np.array(r, dtype=np.float64), np.array(g)) for r, g in found]


def check_advantage(
    estimator: AdvantageFunction,
    *,
    gradient: Gradient = "unbiased",
    factor: Callable[[int], float] | None = None,
    scope: Scope = "group",
    centered: bool = True,
    tolerance: float = TOLERANCE,
    inputs: Iterable[Batch] | None = None,
    name: str | None = None,
) -> None:
    """Check that an estimator `(rewards, groups) -> advantages` keeps its contracts.

    One finite float64 for each reward; the inputs are not written to; neither the order of the
    samples nor the labels of the groups matter; a NaN reward (it could not be scored) is left out of
    everything and gets 0; no reward matters outside of the declared scope. If centered: advantages sum
    to 0 in each group, do not change when all its rewards are shifted, and are 0 where a group has one
    reward or equal ones.

    The expected policy gradient is enumerated on a policy over four stated probabilities, under the
    log score with an outcome that each group shares, for groups of 2 to 4, and over two of them for
    groups of 8, and must be what is declared. A "batch" estimator gets all cases as one batch, which
    is the limit of many groups; a "history" estimator is tried on first and on second visits.

    Args:
        estimator: `(rewards (N,), groups (N,)) -> (N,)`. If it has a memory, `copy.deepcopy` must copy
            it: every trial starts from the state that it comes in.
        gradient: `unbiased` if the expected gradient is the exact one, `proportional` if it is a
            positive multiple, `biased` or `other` (another objective) if it has another direction;
            an estimator declared so that has the right direction fails.
        factor: G -> the multiple, for `proportional`; None if it is not known in advance, as where
            it depends on the rewards. For "history" that of a first visit.
        scope: what an advantage may depend on: its own "sample", its "group", the whole "batch", or
            its group and earlier calls ("history").
        centered: whether the advantages of a group sum to 0.
        tolerance: how far apart, absolutely and relatively, two equal values may be.
        inputs: what to try it on; `batches()` unless given.
        name: what to call it in the message; the function's name unless given.

    Raises:
        ContractError: a contract is broken.
        InvalidInputError: a declaration that does not exist, or a factor where there can be none.

    Example:
        >>> from levelhead.advantages import grpo, rloo
        >>> check_advantage(rloo)
        >>> check_advantage(grpo, gradient="biased")
        >>> check_advantage(grpo)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        levelhead.testing.ContractError: grpo: expected 1 times the exact gradient, got ...
    """
    for kind, value, choices in (
        ("gradient", gradient, get_args(Gradient)),
        ("scope", scope, get_args(Scope)),
    ):
        if value not in choices:
            raise unknown_name(kind, value, choices)
    if factor is not None and gradient != "proportional":
        raise InvalidInputError(f"factor: expected None for a gradient that is {gradient}, got one")
    label = name or name_of(estimator)
    tried = batches() if inputs is None else inputs
    cases = [_Case(estimator, label, scope, tolerance, batch) for batch in tried]
    checks = [_finite, _untouched, _any_order, _any_label, _unscorable, _nothing_outside]
    for check in [*checks, *([_sums_to_zero, _shifted, _constant] if centered else [])]:
        for case in cases:
            check(case)
    _check_gradient(estimator, label, gradient, factor, scope, tolerance)


def gradient_angle(estimator: AdvantageFunction, *, scope: Scope = "group") -> float:
    """The largest angle between the expected and the exact policy gradient.

    Over the enumerated cases of `check_advantage`.

    Args:
        estimator: `(rewards (N,), groups (N,)) -> (N,)`.
        scope: as in `check_advantage`.

    Returns:
        Degrees in [0, 180]; 0 up to rounding for one that is unbiased or proportional.

    Raises:
        ContractError: the estimator raises, or what it returns is not one finite number per reward.

    Example:
        >>> from levelhead.advantages import grpo, rloo
        >>> gradient_angle(rloo) < 1e-6, gradient_angle(grpo) > 30
        (True, True)
    """
    label = name_of(estimator)
    return max(found.angle for _, found in _differences(estimator, label, None, scope))


@dataclasses.dataclass(frozen=True)
class _Case:
    estimator: AdvantageFunction
    name: str
    scope: Scope
    tolerance: float
    batch: Batch

    def advantages(self, rewards: FloatArray, groups: IntArray) -> FloatArray:
        try:
            out = copy.deepcopy(self.estimator)(rewards, groups)
        except FAILURES as error:
            missing = int(np.isnan(rewards).sum())
            what = f"{rewards.size} rewards" + (f", {missing} of them NaN" if missing else "")
            kind = type(error).__name__
            raise ContractError(
                f"{self.name}: expected advantages for {what}, got {kind}: {error}; for {self.batch}"
            ) from error
        array, kind = np.asarray(out), type(out).__name__
        found = (kind, array.shape, array.dtype)
        if found != ("ndarray", rewards.shape, np.dtype(np.float64)):
            got = f"{kind} of {array.dtype} and shape {array.shape}"
            self.fail(f"expected a float64 array of shape {rewards.shape}, got {got}")
        return array

    @property
    def plain(self) -> FloatArray:
        return self.advantages(self.batch.rewards.copy(), self.batch.groups.copy())

    def members(self) -> Iterator[tuple[int, IntArray]]:
        for group in np.unique(self.batch.groups).tolist():
            yield group, np.flatnonzero(self.batch.groups == group)

    def expect(self, contract: str, wanted: FloatArray | float, got: FloatArray) -> None:
        target = np.broadcast_to(np.asarray(wanted, dtype=np.float64), got.shape)
        close = np.isclose(got, target, rtol=self.tolerance, atol=self.tolerance)
        if not close.all():
            i = int((~close).argmax())
            self.fail(f"{contract}: expected {float(target[i])!r}, got {float(got[i])!r}")

    def fail(self, problem: str) -> None:
        raise ContractError(f"{self.name}: {problem}; for {self.batch}")


def _finite(case: _Case) -> None:
    out = case.plain
    if not np.isfinite(out).all():
        i = int((~np.isfinite(out)).argmax())
        case.fail(f"expected finite advantages, got {out[i]} at index {i}")


def _untouched(case: _Case) -> None:
    rewards, groups = case.batch.rewards.copy(), case.batch.groups.copy()
    case.advantages(rewards, groups)
    for what, given, before in (
        ("rewards", rewards, case.batch.rewards),
        ("groups", groups, case.batch.groups),
    ):
        if not np.array_equal(given, before):
            case.fail(f"the inputs are not written to: {what} has changed")


def _any_order(case: _Case) -> None:
    r, g, plain = case.batch.rewards, case.batch.groups, case.plain
    orders = [np.arange(r.size)[::-1], np.random.default_rng(1).permutation(r.size)]
    for order in [*orders, np.argsort(g, kind="stable")]:
        got = case.advantages(r[order], g[order])
        case.expect("the order of samples does not matter", plain[order], got)


def _any_label(case: _Case) -> None:
    r, g = case.batch.rewards, case.batch.groups
    for labels in (3 * (g.max() - g) + 5, g + 1_000_000_000_000):
        got = case.advantages(r, labels)
        case.expect("the labels of groups do not matter", case.plain, got)


def _unscorable(case: _Case) -> None:
    r, g, plain = case.batch.rewards, case.batch.groups, case.plain
    beside = np.concatenate([g[:1], g, g, [int(g.max()) + 1]])
    missing = np.full(beside.size, np.nan)
    missing[1 : r.size + 1] = r
    got = case.advantages(missing, beside)
    counts = ~np.isnan(missing)
    case.expect("a reward that is NaN gets 0", 0.0, got[~counts])
    case.expect("a reward that is NaN is left out of everything", plain, got[counts])


def _nothing_outside(case: _Case) -> None:
    r, g, plain = case.batch.rewards, case.batch.groups, case.plain
    if case.scope == "batch":
        return
    if case.scope == "sample":
        alone = [case.advantages(r[i : i + 1], g[i : i + 1]) for i in range(r.size)]
        case.expect("nothing but the own sample matters", plain, np.concatenate(alone))
    draw = np.random.default_rng(2)
    for group, members in case.members():
        anything = draw.normal(size=r.size) * 10.0 ** draw.integers(-3, 4, r.size)
        for changed in (10.0 * r[::-1] + 3.0, 1e-3 * r, -1e3 * r, anything, np.zeros_like(r)):
            got = case.advantages(np.where(g == group, r, changed), g)[members]
            case.expect("rewards of other groups do not matter", plain[members], got)
        got = case.advantages(r[members], g[members])
        case.expect("a group alone gets what it gets in a batch", plain[members], got)


def _sums_to_zero(case: _Case) -> None:
    plain = case.plain
    totals = [plain[members].sum() for _, members in case.members()]
    case.expect("the advantages of a group sum to 0", 0.0, np.array(totals))


def _shifted(case: _Case) -> None:
    """Group by group; all at once where the whole batch may matter."""
    r, g, plain = case.batch.rewards, case.batch.groups, case.plain
    if case.scope == "batch":
        case.expect("a shift of all rewards changes nothing", plain, case.advantages(r + 3.0, g))
        return
    for shift, (_, members) in zip(SHIFTS, case.members(), strict=False):
        moved = r.copy()
        moved[members] += shift
        got = case.advantages(moved, g)
        case.expect("a shift of a group's rewards changes nothing", plain, got)


def _constant(case: _Case) -> None:
    for value in (0.0, 1.0, 0.1, float(np.float32(0.1)), -1e6 / 3.0):
        for group, members in case.members():
            rewards = np.where(case.batch.groups == group, value, case.batch.rewards)
            got = case.advantages(rewards, case.batch.groups)[members]
            case.expect(f"a group whose rewards are all {value:g} gets 0", 0.0, got)
    for _, members in case.members():
        rewards = np.full(case.batch.rewards.size, np.nan)
        rewards[members[0]] = case.batch.rewards[members[0]]
        got = case.advantages(rewards, case.batch.groups)
        case.expect("a group with one reward that counts gets 0", 0.0, got)


# ---- the expected gradient


def _differences(
    estimator: AdvantageFunction,
    label: str,
    factor: Callable[[int], float] | None,
    scope: Scope,
) -> Iterator[tuple[World, Difference]]:
    whole = scope == "batch"
    for world in worlds(whole=whole):
        for visits in (0, 1) if scope == "history" else (0,):
            got = world.gradient(estimator, label, whole=whole, visits=visits)
            declared = None if factor is None or visits else factor(world.size)
            yield world, difference(got, world.exact, declared)


def _check_gradient(
    estimator: AdvantageFunction,
    label: str,
    gradient: Gradient,
    factor: Callable[[int], float] | None,
    scope: Scope,
    tolerance: float,
) -> None:
    declared = _one if gradient == "unbiased" else factor
    largest = 0.0
    for world, found in _differences(estimator, label, declared, scope):
        largest = max(largest, found.angle)
        if gradient in ("biased", "other"):
            continue
        if declared is not None and not math.isnan(found.gap):
            if not found.gap <= tolerance:
                raise ContractError(
                    f"{label}: expected {declared(world.size):.6g} times the exact gradient, got "
                    f"{found.factor:.6g} times it, {found.angle:.3g} degrees off, for {world}"
                )
        elif not math.radians(found.angle) <= tolerance * 10.0:
            raise ContractError(
                f"{label}: expected a positive multiple of the exact gradient, got one that is "
                f"{found.angle:.3g} degrees off, for {world}"
            )
    if gradient in ("biased", "other") and not largest > BIAS_DEGREES:
        raise ContractError(
            f"{label}: expected a gradient in another direction, as it is declared {gradient}, got "
            f"one that is nowhere more than {largest:.3g} degrees off"
        )


def _one(group_size: int) -> float:
    return 1.0
