"""The contract checks catch wrong estimators, each by the contract that it breaks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from levelhead.advantages import EmaStd, grpo, grpo_no_std, reinforce, reinforce_pp, rloo
from levelhead.errors import InvalidInputError
from levelhead.testing import Batch, ContractError, batches, check_advantage, gradient_angle


def by_group(kernel: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    """An estimator that handles one group after the other, as plain as can be."""

    def estimator(rewards, groups) -> np.ndarray:
        out = np.zeros(len(rewards))
        for group in np.unique(groups):
            rows = np.flatnonzero((groups == group) & ~np.isnan(rewards))
            if rows.size > 1:
                out[rows] = kernel(rewards[rows])
        return out

    estimator.__name__ = getattr(kernel, "__name__", "estimator")
    return estimator


@by_group
def plain(r: np.ndarray) -> np.ndarray:
    return (r - r.mean()) * r.size / (r.size - 1)


@by_group
def mean_baseline(r: np.ndarray) -> np.ndarray:
    return r - r.mean()


@by_group
def standardized(r: np.ndarray) -> np.ndarray:
    return (r - r.mean()) / (r.std(ddof=1) + 1e-6)


def half(group_size: int) -> float:
    return (group_size - 1) / group_size


def test_right_estimators_pass() -> None:
    check_advantage(plain)
    check_advantage(mean_baseline, gradient="proportional", factor=half)
    check_advantage(mean_baseline, gradient="proportional")
    check_advantage(standardized, gradient="biased")
    check_advantage(standardized, gradient="other")
    check_advantage(reinforce, scope="sample", centered=False)
    check_advantage(EmaStd(), gradient="proportional", scope="history")
    check_advantage(reinforce_pp, gradient="proportional", scope="batch", centered=False)


def as_list(rewards, groups):
    return plain(rewards, groups).tolist()


def single(rewards, groups):
    return plain(rewards, groups).astype(np.float32)


def too_short(rewards, groups):
    return plain(rewards, groups)[:1]


def divides_by_nothing(rewards, groups):
    with np.errstate(all="ignore"):
        out = plain(rewards, groups)
        return out / (np.abs(out) > 0)


def overwrites(rewards, groups):
    out = plain(rewards, groups)
    rewards -= 1.0
    return out


def relabels(rewards, groups):
    out = plain(rewards, groups)
    groups[:] = np.unique(groups, return_inverse=True)[1]
    return out


@by_group
def first_of_the_tied_wins(r: np.ndarray) -> np.ndarray:
    ranks = np.argsort(np.argsort(-r, kind="stable"), kind="stable")
    return 2 - 4 * ranks / (r.size - 1)


def blocks_of_neighbors(rewards, groups):
    """Believes that groups lie side by side: each run of equal labels is one."""
    runs = np.cumsum(np.r_[0, np.diff(groups) != 0])
    return plain(rewards, runs)


def scaled_by_label(rewards, groups):
    return plain(rewards, groups) * (1.0 + 1e-3 * (np.asarray(groups) % 2))


def missing_is_zero(rewards, groups):
    return plain(np.nan_to_num(rewards), groups)


def missing_counts(rewards, groups):
    return np.where(np.isnan(rewards), 0.0, plain(np.nan_to_num(rewards), groups))


def missing_is_skipped_but_paid(rewards, groups):
    return np.where(np.isnan(rewards), -1.0, plain(rewards, groups))


def missing_raises(rewards, groups):
    if np.isnan(rewards).any():
        raise ValueError("a reward is NaN")
    return plain(rewards, groups)


def batch_mean(rewards, groups):
    out = np.asarray(rewards) - np.nanmean(rewards)
    return np.where(np.isnan(rewards), 0.0, out)


def leaks_a_little(rewards, groups):
    out = plain(rewards, groups)
    return out * (1.0 + 1e-4 * np.nanmax(np.abs(rewards)))


def singleton_keeps_its_reward(rewards, groups):
    out = plain(rewards, groups)
    for group in np.unique(groups):
        rows = np.flatnonzero((groups == group) & ~np.isnan(rewards))
        if rows.size == 1:
            out[rows] = rewards[rows]
    return out


@by_group
def relative(r: np.ndarray) -> np.ndarray:
    return (r - r.mean()) / (1.0 + abs(r.mean()))


@by_group
def wrong_way(r: np.ndarray) -> np.ndarray:
    return (r.mean() - r) * r.size / (r.size - 1)


@by_group
def own_reward_in_the_baseline(r: np.ndarray) -> np.ndarray:
    return r - r.mean()


@by_group
def median_baseline(r: np.ndarray) -> np.ndarray:
    out = r - np.median(r)
    return out - out.mean()


@by_group
def blown_up(r: np.ndarray) -> np.ndarray:
    """What rounding leaves of equal rewards, divided by itself."""
    with np.errstate(invalid="ignore"):
        out = (r - r.mean()) / r.std(ddof=1)
    return np.nan_to_num(out)


@pytest.mark.parametrize(
    ("wrong", "contract"),
    [
        (as_list, r"expected a float64 array of shape \(1,\), got list of float64"),
        (single, "expected a float64 array of shape .* got ndarray of float32"),
        (too_short, r"expected a float64 array of shape \(2,\), got ndarray of float64 and"),
        (divides_by_nothing, "expected finite advantages, got nan at index"),
        (overwrites, "the inputs are not written to: rewards has changed"),
        (relabels, "the inputs are not written to: groups has changed"),
        (first_of_the_tied_wins, "the order of samples does not matter"),
        (blocks_of_neighbors, "the order of samples does not matter"),
        (scaled_by_label, "the labels of groups do not matter"),
        (missing_is_zero, "a reward that is NaN gets 0: expected 0.0, got -0.15"),
        (missing_counts, "a reward that is NaN is left out of everything"),
        (missing_is_skipped_but_paid, "a reward that is NaN gets 0: expected 0.0, got -1.0"),
        (missing_raises, "expected advantages for 4 rewards, 3 of them NaN, got Val"),
        (batch_mean, "rewards of other groups do not matter"),
        (leaks_a_little, "rewards of other groups do not matter"),
        (singleton_keeps_its_reward, "the advantages of a group sum to 0: expected 0.0, got 0.3"),
        (relative, "a shift of a group's rewards changes nothing"),
        (blown_up, r"a group whose rewards are all \S+ gets 0|group sum to 0"),
        (wrong_way, "expected 1 times the exact gradient, got -1 times it, 180 degrees off"),
        (
            own_reward_in_the_baseline,
            "expected 1 times the exact gradient, got 0.5 times it, .*G = 2",
        ),
        (median_baseline, r"expected 1 times the exact gradient, got 0.5"),
        (standardized, "expected 1 times the exact gradient, got .* degrees off, for G = 2, p = "),
    ],
)
def test_a_wrong_estimator_is_caught(wrong: Callable[..., np.ndarray], contract: str) -> None:
    with pytest.raises(ContractError, match=f"^{wrong.__name__}: .*{contract}"):
        check_advantage(wrong)


def test_what_is_declared_biased_must_be() -> None:
    for declared in ("biased", "other"):
        with pytest.raises(ContractError, match=f"^mean_baseline: .* declared {declared}, got one"):
            check_advantage(mean_baseline, gradient=declared)


def test_a_multiple_must_be_the_declared_one_and_positive() -> None:
    with pytest.raises(
        ContractError, match="expected 0.5 times the exact gradient, got 1 times it"
    ):
        check_advantage(plain, gradient="proportional", factor=half)
    with pytest.raises(
        ContractError, match="a positive multiple of the exact gradient, got one .*180"
    ):
        check_advantage(wrong_way, gradient="proportional")
    with pytest.raises(
        ContractError, match="a positive multiple of the exact gradient, got one that"
    ):
        check_advantage(standardized, gradient="proportional")


def zero(rewards, groups) -> np.ndarray:
    return np.zeros(len(rewards))


def test_nothing_at_all_is_not_proportional() -> None:
    with pytest.raises(ContractError, match="positive multiple .* 90 degrees off"):
        check_advantage(zero, gradient="proportional")


def batch_of_groups(rewards, groups) -> np.ndarray:
    """Divides by the deviation of the group and calls itself a batch estimator."""
    return grpo(rewards, groups)


class UpdatesFirst:
    """A memory that sees the rewards at hand before it divides by them."""

    def __init__(self) -> None:
        self.scales: dict[int, float] = {}

    def __call__(self, rewards, groups) -> np.ndarray:
        out = grpo_no_std(rewards, groups)
        for group in np.unique(groups).tolist():
            r = rewards[(groups == group) & ~np.isnan(rewards)]
            new = float(r.std(ddof=1)) if r.size > 1 else 0.0
            self.scales[group] = 0.5 * self.scales.get(group, 1.0) + 0.5 * new
            out[groups == group] /= self.scales[group] + 1e-6
        return out


def test_scopes_are_held_to_the_gradient() -> None:
    with pytest.raises(ContractError, match="batch_of_groups: expected a positive multiple of"):
        check_advantage(batch_of_groups, gradient="proportional", scope="batch")
    with pytest.raises(ContractError, match="^late: expected a positive multiple of the exact"):
        check_advantage(UpdatesFirst(), gradient="proportional", scope="history", name="late")
    with pytest.raises(ContractError, match="rloo: nothing but the own sample matters"):
        check_advantage(rloo, scope="sample")
    with pytest.raises(ContractError, match="batch_mean: the advantages of a group sum to 0"):
        check_advantage(batch_mean, gradient="proportional", scope="batch")


class Forgetful:
    """Right on a first visit, and divides by the deviation at hand from the second on."""

    def __init__(self) -> None:
        self.seen = False

    def __call__(self, rewards, groups) -> np.ndarray:
        out = grpo(rewards, groups) if self.seen else grpo_no_std(rewards, groups)
        self.seen = True
        return out


def test_second_visits_count_too() -> None:
    with pytest.raises(
        ContractError, match="^Forgetful: expected a positive multiple of the exact"
    ):
        check_advantage(Forgetful(), gradient="proportional", factor=half, scope="history")


def test_the_estimator_that_is_checked_keeps_its_state() -> None:
    ema = EmaStd()
    check_advantage(ema, gradient="proportional", scope="history")
    assert ema.state == {"scales": {}}


def test_declarations_are_checked() -> None:
    with pytest.raises(
        InvalidInputError, match="^gradient: expected one of .* got 'unbiassed'; did"
    ):
        check_advantage(plain, gradient="unbiassed")  # pyright: ignore
    with pytest.raises(InvalidInputError, match="^scope: expected one of batch, group, history,"):
        check_advantage(plain, scope="token")  # pyright: ignore
    with pytest.raises(
        InvalidInputError, match="^factor: expected None for a gradient that is bias"
    ):
        check_advantage(standardized, gradient="biased", factor=half)


def test_single_precision_passes_with_its_tolerance() -> None:
    def single_inside(rewards, groups) -> np.ndarray:
        return plain(np.asarray(rewards, dtype=np.float32), groups)

    check_advantage(single_inside, tolerance=1e-4)
    with pytest.raises(ContractError, match="^single_inside: "):
        check_advantage(single_inside)


def test_the_message_shows_the_batch() -> None:
    batch = Batch(np.array([0.25, 0.5]), np.array([3, 3]))
    with pytest.raises(ContractError) as caught:
        check_advantage(singleton_keeps_its_reward, inputs=[batch], name="mine")
    text = str(caught.value)
    assert text.startswith(
        "mine: a group with one reward that counts gets 0: expected 0.0, got 0.25"
    )
    assert text.endswith("; for (reward, group) = (0.25, 3), (0.5, 3)")


def test_angles_by_hand() -> None:
    """G = 2 has angles that follow from (2p - 1)(F(k-) - (1 - F(k))) and the true advantage."""
    assert gradient_angle(plain) < 1e-9
    assert gradient_angle(wrong_way) == pytest.approx(180.0)
    assert gradient_angle(zero) == 90.0
    values = np.array([0.1, 0.3, 0.6, 0.9])
    largest = 0.0
    for policy in ([2, 2, 2, 2], [1, 1, 2, 4], [5, 1, 1, 1]):
        pi = np.array(policy) / 8
        below = np.cumsum(pi) - pi
        imbalance = below - (1 - np.cumsum(pi))
        for p in (0.25, 0.75):
            quality = (1 - p) * np.log(1 - values) + p * np.log(values)
            exact = pi * (quality - pi @ quality)
            wrong = pi * (2 * p - 1) * imbalance
            cosine = exact @ wrong / math.sqrt((exact @ exact) * (wrong @ wrong))
            largest = max(largest, math.degrees(math.acos(cosine)))

    @by_group
    def pairs(r: np.ndarray) -> np.ndarray:
        return np.sign(r - r.mean()) if r.size == 2 else plain(r, np.zeros(r.size, dtype=int))

    # an outcome as likely as not gives pairs no direction at all
    assert gradient_angle(pairs) == pytest.approx(max(largest, 90.0), abs=1e-6)


def test_batches_are_reproducible_and_hold_the_cases_that_matter() -> None:
    found, again = batches(), batches()
    assert all(np.array_equal(a.rewards, b.rewards) for a, b in zip(found, again, strict=True))
    counts = [np.unique(b.groups, return_counts=True)[1] for b in found]
    assert any(1 in c for c in counts)
    assert any(len(set(c)) > 2 for c in counts)
    assert any(len(c) > 1 and len(set(c)) == 1 for c in counts)
    assert any((np.diff(b.groups) < 0).any() for b in found)
    assert any(len(set(b.rewards)) < b.rewards.size for b in found)


def test_a_batch_is_checked() -> None:
    with pytest.raises(
        InvalidInputError, match="^rewards: expected finite numbers, got NaN or an inf"
    ):
        Batch(np.array([math.nan]), np.array([0]))
    with pytest.raises(InvalidInputError, match=r"^groups: expected shape \(1,\), got \(2,\)"):
        Batch(np.array([1.0]), np.array([0, 1]))


def standardized_when_large(rewards, groups) -> np.ndarray:
    """Right in groups of up to five."""
    scored = ~np.isnan(rewards)
    large = scored.any() and np.unique(groups[scored], return_counts=True)[1].max() > 5
    return grpo(rewards, groups) if large else plain(rewards, groups)


def test_large_groups_are_enumerated_as_well() -> None:
    small = [b for b in batches() if np.unique(b.groups, return_counts=True)[1].max() <= 5]
    with pytest.raises(
        ContractError, match="large: expected 1 times the exact gradient, .* for G = 8, p = "
    ):
        check_advantage(standardized_when_large, inputs=small)
    for p in ("proportional", "unbiased"):
        check_advantage(plain, gradient=p, inputs=small)  # pyright: ignore
        with pytest.raises(ContractError, match="G = 8"):
            check_advantage(standardized_when_large, gradient=p, inputs=small)  # pyright: ignore


@pytest.mark.parametrize(
    "kind", [RuntimeError, AssertionError, AttributeError, NotImplementedError, OSError, NameError]
)
@pytest.mark.parametrize("least", [0, 400])
def test_an_estimator_that_raises_is_reported_in_one_sentence(
    kind: type[Exception], least: int
) -> None:
    def moody(rewards, groups) -> np.ndarray:
        if len(rewards) >= least:
            raise kind("out of luck")
        return plain(rewards, groups)

    where = r"groups of \d, got" if least else "1 rewards, got"
    message = rf"^moody: expected advantages for .*{where} {kind.__name__}: out of luck; for "
    with pytest.raises(ContractError, match=message):
        check_advantage(moody)
    with pytest.raises(ContractError, match=r"^moody: expected advantages for .*groups of \d, got"):
        gradient_angle(moody)


@pytest.mark.parametrize("scope", ["group", "batch", "history"])
def test_what_comes_back_for_the_enumeration_is_checked(scope) -> None:
    def cut(rewards, groups) -> np.ndarray:
        return plain(rewards, groups)[:-1]

    def undefined(rewards, groups) -> np.ndarray:
        return np.full(len(rewards), math.nan)

    with pytest.raises(
        ContractError, match=r"^cut: expected \d+ finite advantages .* shape \(\d+,"
    ):
        gradient_angle(cut, scope=scope)
    with pytest.raises(ContractError, match=r"^undefined: expected \d+ finite .* that are not fin"):
        gradient_angle(undefined, scope=scope)


def leaks_where(condition: Callable[[np.ndarray], bool]) -> Callable[..., np.ndarray]:
    """Right, but for a group beside which all other rewards are in some way."""

    def leaky(rewards, groups) -> np.ndarray:
        out = plain(rewards, groups)
        for group in np.unique(groups):
            others = rewards[(groups != group) & ~np.isnan(rewards)]
            if others.size and condition(others):
                out[groups == group] *= 1.01
        return out

    return leaky


@pytest.mark.parametrize(
    "condition",
    [
        lambda r: bool((np.abs(r) < 0.05).all() and r.any()),
        lambda r: bool((r < -900.0).any()),
        lambda r: bool(np.abs(r).max() > 5.0 * np.median(np.abs(r)) > 0.0),
        lambda r: bool(not r.any()),
    ],
    ids=["small", "negative", "arbitrary", "zero"],
)
def test_other_groups_may_have_rewards_of_any_kind(
    condition: Callable[[np.ndarray], bool],
) -> None:
    draw = np.random.default_rng(0)
    batch = Batch(draw.uniform(1.0, 2.0, 12), np.repeat([4, 1, 9], 4))
    check_advantage(plain, inputs=[batch])
    with pytest.raises(ContractError, match="^leaky: rewards of other groups do not matter"):
        check_advantage(leaks_where(condition), inputs=[batch])


def test_half_a_degree_is_a_bias() -> None:
    """What divides a little by the deviation at hand is told from what does not."""

    def mostly_right(rewards, groups) -> np.ndarray:
        return plain(rewards, groups) + 0.005 * grpo(rewards, groups)

    assert 0.1 < gradient_angle(mostly_right) < 0.9
    check_advantage(mostly_right, gradient="biased")
