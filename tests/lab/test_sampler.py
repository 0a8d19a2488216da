"""The samplers draw from the distribution that sampling every answer gives.

The oracle is enumeration: every composition of a group with its multinomial probability.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from levelhead._arrays import FloatArray, IntArray
from levelhead.advantages import TABLE as ESTIMATORS
from levelhead.advantages import EmaStd, grpo_no_std
from levelhead.lab._batches import Remembered, Whole
from levelhead.lab._inversion import GUIDE_PAYS, Symbols
from levelhead.lab.sampler import Counted, Grouped, Sums, Tally, cells_of
from levelhead.lab.world import World

EXACT = 1e-12
SE = 5.0  # standard errors that a sampled mean may be off
P_VALUE = 1e-4  # of a chi-square test of a right sampler
NEVER, ALWAYS = 1.1, -0.1  # `dense_from`: no cell, or every cell, is sampled in full

G = 3
BROAD = np.array([[0.3, 0.25, 0.25, 0.2]])
NARROW = np.array([[0.02, 0.9, 0.05, 0.03]])
CERTAIN = np.array([[0.0, 1.0, 0.0, 0.0]])
TORN = np.array([[0.4, 0.12, 0.08, 0.4]])
POLICIES = {"broad": BROAD, "narrow": NARROW, "torn": TORN}
VALUES = np.array([0.1, 0.4, 0.6, 0.9])
WEIGHTS = np.array([1.0, 10.0, 100.0, 1000.0])  # a sum of these tells the composition


def world(n: int, outcomes: str = "shared", rate: float = 0.7) -> World:
    """`n` questions of one category, all with outcome 1."""
    return World(VALUES, np.array([rate]), np.zeros(n, int), np.ones(n, int), outcomes)  # type: ignore[arg-type]


def compositions(policy: FloatArray, size: int = G) -> dict[tuple[int, ...], float]:
    """Probability of every count vector of a group."""
    out: dict[tuple[int, ...], float] = {}
    for tokens in itertools.product(range(policy.size), repeat=size):
        counts = tuple(np.bincount(tokens, minlength=policy.size).tolist())
        out[counts] = out.get(counts, 0.0) + math.prod(policy[list(tokens)])
    return out


def itself(rewards: FloatArray) -> FloatArray:
    return rewards


def fits(found: dict[tuple[int, ...], int], expected: dict[tuple[int, ...], float]) -> bool:
    """Chi-square, with everything rare in one class; what cannot happen did not."""
    total = sum(found.values())
    assert set(found) <= {k for k, p in expected.items() if p > 0.0}
    common = [k for k, p in expected.items() if p * total >= 10.0]
    seen = [found.get(k, 0) for k in common]
    mean = [expected[k] * total for k in common]
    if total - sum(mean) > 1.0:
        seen.append(total - sum(seen))
        mean.append(total - sum(mean))
    return float(stats.chisquare(seen, mean).pvalue) > P_VALUE


def drawn(
    source: Grouped | Counted | Whole, policy: FloatArray, n: int
) -> dict[tuple[int, ...], int]:
    """Compositions of one group, n times, read off the sums of its rewards."""
    out: dict[tuple[int, ...], int] = {}
    for _ in range(n):
        counts = tuple(np.rint(source.draw(policy).total[0] / WEIGHTS).astype(int).tolist())
        out[counts] = out.get(counts, 0) + 1
    return out


@pytest.mark.parametrize("dense_from", [NEVER, ALWAYS])
@pytest.mark.parametrize("size", [3, 6])
@pytest.mark.parametrize("name", POLICIES)
def test_a_group_has_the_composition_of_independent_draws(
    name: str, size: int, dense_from: float
) -> None:
    cells = cells_of(world(1), np.stack([WEIGHTS, WEIGHTS]))
    rng = np.random.default_rng(1)
    source = Grouped(cells, size, rng, itself, dense_from=dense_from)
    policy = POLICIES[name]
    assert fits(drawn(source, policy, 3000), compositions(policy[0], size))


def test_counted_and_whole_draw_the_same_compositions() -> None:
    cells = cells_of(world(1), np.stack([WEIGHTS, WEIGHTS]))
    counted = Counted(cells, G, np.random.default_rng(2), lambda _: cells.rewards)
    whole = Whole(cells, G, np.random.default_rng(3), itself)
    for source in (counted, whole):
        assert fits(drawn(source, NARROW, 3000), compositions(NARROW[0]))


def test_which_symbols_are_tabled_changes_nothing() -> None:
    """The heavy symbols are looked up now and then; here they are wrong half of the time."""
    cells = cells_of(world(1), np.stack([WEIGHTS, WEIGHTS]))
    source = Grouped(cells, G, np.random.default_rng(13), itself, dense_from=NEVER)
    found: dict[tuple[int, ...], int] = {}
    for _ in range(3000):
        source.draw(NARROW[:, ::-1])
        counts = tuple(np.rint(source.draw(NARROW).total[0] / WEIGHTS).astype(int).tolist())
        found[counts] = found.get(counts, 0) + 1
    assert fits(found, compositions(NARROW[0]))


def advantage_of(
    counts: tuple[int, ...], rewards: FloatArray, dense: Callable[..., FloatArray]
) -> Sums:
    """The sums of one group, sample by sample."""
    tokens = [k for k, n in enumerate(counts) for _ in range(n)]
    advantages = dense(np.array([[rewards[k] for k in tokens]]))[0]
    sums = np.zeros((4, rewards.size))
    for k, a in zip(tokens, advantages, strict=True):
        sums[0, k] += a
        sums[1, k] += max(a, 0.0)
        sums[2, k] += a > 0.0
        sums[3, k] += a < 0.0
    return Sums(*(row[None] for row in sums))


@pytest.mark.parametrize("dense_from", [NEVER, ALWAYS])
@pytest.mark.parametrize("estimator", ["grpo", "rloo_notebook", "top1", "rank_linear"])
def test_sums_of_a_group_are_those_of_its_samples(estimator: str, dense_from: float) -> None:
    """Whatever was drawn is one of the compositions, with all four sums of that composition."""
    dense = ESTIMATORS[estimator].dense
    rewards = np.log(VALUES)
    cells = cells_of(world(1), np.stack([rewards, rewards]))
    rng = np.random.default_rng(4)
    source = Grouped(cells, G, rng, dense, signed=True, counting=True, dense_from=dense_from)
    seen: set[tuple[int, ...]] = set()
    for _ in range(200):
        found = source.draw(BROAD)
        counts = tuple(source.counts[0].tolist())
        assert sum(counts) == G
        seen.add(counts)
        expected = advantage_of(counts, rewards, dense)
        for name in ("total", "plus", "n_plus", "n_minus"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=EXACT), counts
    assert len(seen) > 15  # of the 20 that there are


@pytest.mark.parametrize("dense_from", [NEVER, ALWAYS])
@pytest.mark.parametrize("name", POLICIES)
def test_many_groups_have_the_mean_and_covariance_of_independent_ones(
    name: str, dense_from: float
) -> None:
    policy, rewards, n, rollouts = POLICIES[name], np.log(VALUES), 40, 1500
    dense = ESTIMATORS["grpo"].dense
    rows, chances = [], []
    for counts, p in compositions(policy[0]).items():
        rows.append(advantage_of(counts, rewards, dense).total[0])
        chances.append(p)
    one, weights = np.array(rows), np.array(chances)
    mean = weights @ one
    covariance = (one - mean).T @ np.diag(weights) @ (one - mean)
    cells = cells_of(world(n), np.stack([rewards, rewards]))
    source = Grouped(cells, G, np.random.default_rng(5), dense, dense_from=dense_from)
    found = np.array([source.draw(policy).total[0] for _ in range(rollouts)])
    error = np.sqrt(n * np.diag(covariance) / rollouts)
    assert (np.abs(found.mean(axis=0) - n * mean) <= SE * error).all()
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(np.cov(found.T) / n - covariance) <= 0.25 * scale).all()


@pytest.mark.parametrize("size", [99, 1200])
def test_large_groups(size: int) -> None:
    cells = cells_of(world(20), np.stack([VALUES, VALUES]))
    rng = np.random.default_rng(15)
    source = Grouped(cells, size, rng, np.ones_like, counting=True)
    counts = source.draw(NARROW).total[0]
    assert counts.sum() == 20 * size
    assert source.counts.tolist() == [counts.tolist()]
    error = np.sqrt(20 * size * NARROW[0] * (1.0 - NARROW[0]))
    assert (np.abs(counts - 20 * size * NARROW[0]) <= SE * error).all()


@pytest.mark.parametrize("dense_from", [NEVER, ALWAYS])
def test_independent_outcomes_are_drawn_for_each_sample(dense_from: float) -> None:
    """Outcome 0 counts 1 and outcome 1 counts 10: the sums tell token and outcome apart."""
    table = np.repeat([[1.0], [10.0]], VALUES.size, axis=1)
    cells = cells_of(world(1, "independent", rate=0.7), table)
    source = Grouped(cells, G, np.random.default_rng(6), itself, dense_from=dense_from)
    found: dict[tuple[int, ...], int] = {}
    for _ in range(3000):
        tens, ones = np.divmod(np.rint(source.draw(NARROW).total[0]).astype(int), 10)
        counts = (*ones.tolist(), *tens.tolist())
        found[counts] = found.get(counts, 0) + 1
    joint = np.concatenate([0.3 * NARROW[0], 0.7 * NARROW[0]])
    assert fits(found, compositions(joint))


def test_a_certain_policy_has_nothing_to_learn_from() -> None:
    rewards = np.log(VALUES)
    cells = cells_of(world(50), np.stack([rewards, rewards]))
    centered = Grouped(cells, G, np.random.default_rng(7), ESTIMATORS["grpo"].dense)
    assert (centered.draw(CERTAIN).total == 0.0).all()
    # The notebook's leave-one-out keeps r / G in a constant group.
    kept = Grouped(cells, G, np.random.default_rng(7), ESTIMATORS["rloo_notebook"].dense)
    assert kept.draw(CERTAIN).total[0] == pytest.approx([0.0, 50 * rewards[1], 0.0, 0.0])


def test_a_policy_that_sums_to_one_in_single_precision_only() -> None:
    policy = np.array([[0.5 + 1e-7, 0.5, 1e-30, 0.0]])
    cells = cells_of(world(50), np.stack([WEIGHTS, WEIGHTS]))
    rng = np.random.default_rng(14)
    counted = Counted(cells, G, rng, lambda counts: np.ones(counts.shape))
    grouped = Grouped(cells, G, rng, np.ones_like)
    for source in (counted, grouped):
        assert source.draw(policy).total[0, :2].sum() == 50 * G


def test_cells_of_two_categories() -> None:
    table = np.array([[1.0, 2.0], [3.0, 4.0]])
    mixed = World([0.2, 0.8], [0.1, 0.5, 0.9], [0, 2, 2, 0, 2], [1, 0, 1, 1, 1])  # type: ignore[arg-type]
    cells = cells_of(mixed, table)
    assert cells.category.tolist() == [0, 2, 2]
    assert cells.questions.tolist() == [2, 1, 2]
    assert cells.rewards.tolist() == [[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]
    policy = np.array([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7]])
    assert cells.probabilities(policy).tolist() == [[0.9, 0.1], [0.3, 0.7], [0.3, 0.7]]
    assert cells.by_token(np.arange(6.0)).tolist() == [[0.0, 1.0], [0.0, 0.0], [6.0, 8.0]]
    assert cells.slots.tolist() == [0, 1, 4, 5, 4, 5]


def test_cells_of_independent_outcomes() -> None:
    table = np.array([[1.0, 2.0], [3.0, 4.0]])
    mixed = World([0.2, 0.8], [0.1, 0.25], [1, 1], [0, 1], "independent")  # type: ignore[arg-type]
    cells = cells_of(mixed, table)
    assert cells.questions.tolist() == [2]
    assert cells.rewards.tolist() == [[1.0, 2.0, 3.0, 4.0]]
    policy = np.array([[1.0, 0.0], [0.4, 0.6]])
    assert cells.probabilities(policy)[0] == pytest.approx([0.3, 0.45, 0.1, 0.15])
    assert cells.slots.tolist() == [2, 3, 2, 3]


def test_symbols_split_the_numbers_at_their_thresholds() -> None:
    symbols = Symbols(np.array([[1.0, 0.0, 1.0, 2.0], [0.0, 1.0, 0.0, 0.0]]))
    quarter = 1 << 30
    keys = np.array([0, quarter - 1, quarter, 2 * quarter - 1, 2 * quarter, 4 * quarter - 1])
    assert symbols.searched(keys).tolist() == [0, 0, 2, 2, 3, 3]
    assert symbols.searched(keys + (1 << 32)).tolist() == [5] * 6


@pytest.mark.parametrize("shape", [(1, 2), (3, 99), (40, 99), (20, 2000)])
def test_the_guide_gives_the_same_symbols_as_the_search(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(8)
    weights = rng.gamma(0.05, size=shape) * (rng.random(shape) < 0.7)
    weights[:, 0] += 1e-3
    symbols = Symbols(weights)
    keys = rng.integers(0, shape[0] << 32, 3 * GUIDE_PAYS)
    near = (symbols.edges[:-1, None] + np.arange(-2, 3)).ravel()
    keys = np.concatenate([keys, np.clip(near, 0, (shape[0] << 32) - 1)])
    assert np.array_equal(symbols.guided(keys), symbols.searched(keys))
    assert np.array_equal(symbols.at(keys), symbols.searched(keys))
    assert (weights.ravel()[symbols.at(keys)] > 0.0).all()
    keys = np.sort(keys[: 2 * (keys.size // 2)])
    cell, words = keys >> 32, (keys & 0xFFFFFFFF).astype(np.uint32)
    shift = 7 * np.arange(keys.size)
    found = symbols.spread(np.stack([words, words]), cell, shift)
    assert (found == symbols.searched(keys) + shift).all()


def spied(calls: list[FloatArray]) -> Callable[[FloatArray], FloatArray]:
    dense = ESTIMATORS["grpo_no_std"].dense

    def numerator(rewards: FloatArray) -> FloatArray:
        calls.append(np.array(rewards))
        return dense(rewards)

    return numerator


def test_remembered_scales_are_those_of_ema_std() -> None:
    """One question, visited again and again: the groups that were drawn, given to `EmaStd`."""
    rewards = np.log(VALUES)
    cells = cells_of(world(1), np.stack([rewards, rewards]))
    calls: list[FloatArray] = []
    source = Remembered(cells, G, np.random.default_rng(9), spied(calls), decay=0.8, eps=1e-3)
    ema = EmaStd(decay=0.8, eps=1e-3)
    for _ in range(100):
        calls.clear()
        total = source.draw(BROAD).total[0]
        expected = np.zeros(VALUES.size)
        for group in calls:
            advantages = ema(group[0], np.zeros(G, int))
            for r, a in zip(group[0], advantages, strict=True):
                expected[np.abs(rewards - r).argmin()] += a
        assert total == pytest.approx(expected, abs=EXACT)


def test_remembered_groups_have_the_composition_of_independent_draws() -> None:
    cells = cells_of(world(1), np.stack([WEIGHTS, WEIGHTS]))
    calls: list[FloatArray] = []
    rng = np.random.default_rng(10)
    source = Remembered(cells, G, rng, spied(calls), decay=0.5, eps=1e-3)
    found: dict[tuple[int, ...], int] = {}
    for _ in range(3000):
        calls.clear()
        source.draw(NARROW)
        group = calls[0][0] if calls else np.full(G, WEIGHTS[NARROW[0].argmax()])
        counts = tuple((group[:, None] == WEIGHTS).sum(axis=0).tolist())
        found[counts] = found.get(counts, 0) + 1
    assert fits(found, compositions(NARROW[0]))


def test_a_scale_for_the_category_is_the_mean_of_its_visits() -> None:
    rewards = np.log(VALUES)
    cells = cells_of(world(6), np.stack([rewards, rewards]))
    calls: list[FloatArray] = []
    source = Remembered(
        cells, G, np.random.default_rng(11), spied(calls), decay=0.5, eps=0.0, by_question=False
    )
    source.draw(BROAD)
    spreads = [group.std(ddof=1) for group in calls[0]]
    mean = np.mean([s for s in spreads if s > 0.0])
    assert source.scales.tolist() == pytest.approx([0.5 + 0.5 * mean])


def test_whole_shows_all_groups_to_the_estimator() -> None:
    seen: list[tuple[int, ...]] = []

    def dense(rewards: FloatArray) -> FloatArray:
        seen.append(rewards.shape)
        return grpo_no_std(rewards.ravel(), np.repeat(np.arange(7), G)).reshape(7, G)

    cells = cells_of(world(7), np.stack([np.log(VALUES), np.log(VALUES)]))
    Whole(cells, G, np.random.default_rng(12), dense).draw(BROAD)
    assert seen == [(7, G)]


def test_the_heavy_symbols_of_mixed_groups_divide_as_they_should() -> None:
    """Among the samples beside two light ones or more, many enough to notice a shift by a percent."""
    cells = cells_of(world(4000), np.stack([VALUES, VALUES]))
    policy, size = TORN[:, [0, 2, 1, 3]] * [[1.0, 1.0, 1.0, 0.5]] / 0.8, 6
    source = Grouped(cells, size, np.random.default_rng(16), np.ones_like, dense_from=NEVER)
    heavy = np.argsort(policy[0])[:-3:-1]
    found = np.zeros(2)
    add = source._add_groups

    def spied_add(tally: Tally, codes: IntArray) -> None:
        found[:] += [(codes == symbol).sum() for symbol in heavy]
        add(tally, codes)

    source._add_groups = spied_add  # type: ignore[method-assign]
    for _ in range(100):
        source.draw(policy)
    share = policy[0][heavy[1]] / policy[0][heavy].sum()
    error = math.sqrt(share * (1.0 - share) / found.sum())
    assert SE * error < 0.02 * share
    assert abs(found[1] / found.sum() - share) <= SE * error


def test_thresholds_have_32_bits() -> None:
    """A symbol of probability 1e-6 is drawn as often as that, which 16 bits would lose."""
    rare = 1e-6
    symbols = Symbols(np.array([[0.5 - rare, rare, 0.5]]))
    edges = symbols.edges / 2.0**32
    assert edges == pytest.approx([0.5 - rare, 0.5, 1.0], abs=2.0**-32)
    key = np.array([round((0.5 - rare / 2) * 2**32)])
    assert symbols.searched(key).tolist() == [1]
    assert symbols.guided(key).tolist() == [1]
