"""The same by sampling, for estimators that look beyond one group, keep state or draw numbers."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead.lab.exact import true_advantage
from levelhead.lab.policy import AdamW, softmax
from levelhead.probe.blackbox import BlackBox, Instance
from levelhead.probe.measure import GRIDS, NEAR, Ends, Setting, biases_at, policies
from levelhead.probe.reading import Bias

__all__ = ["PROMPTS", "sampled", "samples_needed", "two_prompts_end", "unequal_positions"]

PROMPTS_PER_TRUTH = 8
"""Prompts of each true probability in a batch of the sampled measurement."""

RATE = 0.05
"""Adam's learning rate where there are `STEPS` updates."""

STEPS = 600


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is sampled. There are two plans of fixed numbers, so that the same seed gives the same
    reading, unless an estimator's cost is so near the limit between them that it falls on either side.

    Attributes:
        steps: sampled updates.
        calls: batches per update.
        few_calls: batches per update where a batch has two prompts.
        bias_calls: batches per policy for the expected advantage.
        noise_calls: batches for the noise of a step.
    """

    steps: int
    calls: int
    few_calls: int
    bias_calls: int
    noise_calls: int


USUAL = Plan(STEPS, calls=3, few_calls=4, bias_calls=60, noise_calls=40)
SLOW = Plan(200, calls=1, few_calls=1, bias_calls=20, noise_calls=10)

SLOW_S = 0.005
"""Seconds of a batch, waiting included, from which an estimator gets the short plan, which is about a
thousand batches and not ten thousand."""

COST_CALLS = 4
"""Batches that are timed, after one that may import; the quickest counts, as others may disturb."""

LONGEST = 2.0
"""How many times the learning rate may be where there are fewer steps."""

TINY = 1e-300

FORGET = 0.8
"""What a step keeps of what earlier steps know about the best control variate."""

STILL = 0.05
"""A mean statement that varies by less than this over the last quarter of the steps has settled."""

DRIVEN = 0.5
"""A pull from which the policy of a place does not stay there."""

BLOCKS = 5
"""Last twentieths of the steps over which the end of a sampled ascent is averaged."""


PROMPTS = PROMPTS_PER_TRUTH * (len(GRIDS[0]) - 2)
"""Prompts in a batch."""


def sampled(
    box: BlackBox,
    reward: str,
    outcomes: str,
    group_size: int,
    *,
    seed: int,
    mirrored: bool = True,
) -> tuple[Setting, Ends, list[Bias]]:
    """Expectations and ends by sampling batches of prompts of mixed difficulty.

    Args:
        box: the estimator.
        reward: name of the reward.
        outcomes: `shared` or `independent`.
        group_size: samples per group.
        seed: of all samples; they are the same for every estimator with the same plan.
        mirrored: whether p and 1 - p must have mirrored ends where the reward is symmetric; False
            for an estimator that treats prompts differently by their ids or places.

    Returns:
        The world, the ends with standard errors, and the biases. An end has settled where a second
        ascent with other samples comes to it, and where that of 1 - p mirrors it if the reward does.
    """
    setting = Setting.of(reward, outcomes, group_size, GRIDS[0])
    plan = _plan(box, setting, seed)
    ends = _twice(box, setting, plan, seed, mirrored)
    biases = []
    for name, policy in policies(setting):
        expected, error = _expected(box, setting, policy, plan.bias_calls, seed)
        biases += biases_at(setting, name, policy, expected, error)
    at = ends.policy @ setting.values
    driven = np.array([_driven(p, m, biases) for p, m in zip(setting.truths, at, strict=True)])
    return setting, dataclasses.replace(ends, settled=ends.settled & ~driven), biases


def _driven(p: float, at: float, biases: list[Bias]) -> bool:
    """Whether a policy near this end is still driven: one that has narrowed can hardly move.

    A policy that is right has a pull too where it is skewed, that of the exact advantage.
    """
    right = abs(at - p) < STILL
    means = {f"near {mean:g}": mean for mean in NEAR} | {"near the truth": p}
    return any(
        abs(b.pull - right * b.exact_pull) > DRIVEN and abs(means[b.policy] - at) < STILL
        for b in biases
        if b.policy in means and np.isclose(b.p, p)
    )


def _twice(box: BlackBox, setting: Setting, plan: Plan, seed: int, mirrored: bool) -> Ends:
    """The ends of one ascent, with the errors that a second one and the symmetry of truths show.

    How an end varies late in an ascent says nothing of where another one would end: a policy that
    has narrowed by chance stays where it is.
    """
    p, values = setting.truths, setting.values
    one, other = (_ascend(box, setting, p, plan.steps, plan.calls, (seed, run)) for run in range(2))
    mean, again = one.policy @ values, other.policy @ values
    gap = np.abs(mean - again)
    error = np.maximum(one.error, gap / np.sqrt(2))
    settled = one.settled & (gap < STILL)
    if mirrored and np.allclose(setting.rewards[0], setting.rewards[1, ::-1]):
        # Where p is 1/2 either of two mirrored ends is as good as the other.
        lopsided = np.where(np.abs(p - 0.5) > STILL, np.abs(mean + mean[::-1] - 1.0), 0.0)
        error = np.maximum(error, lopsided / np.sqrt(2))
        settled &= lopsided < np.maximum(STILL, 3 * np.hypot(one.error, one.error[::-1]))
    return dataclasses.replace(one, error=error, settled=settled)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Samples of prompts that cycle through the true probabilities."""

    tokens: IntArray  # (B, P, G)
    rewards: FloatArray  # (B, P, G)

    @property
    def groups(self) -> IntArray:
        prompts, size = self.rewards.shape[0] * self.rewards.shape[1], self.rewards.shape[2]
        return np.repeat(np.arange(prompts), size)


def draw(
    rng: np.random.Generator, setting: Setting, policy: FloatArray, per_truth: int, p: FloatArray
) -> Batch:
    """`per_truth` prompts of each true probability, one after the other in turn."""
    shape = (per_truth, p.size, setting.group_size)
    edges = np.cumsum(policy, axis=1)[:, :-1]
    u = rng.random(shape)
    tokens = np.zeros(shape, dtype=np.int64)
    for k in range(edges.shape[1]):
        tokens += u > edges[:, k][None, :, None]
    chance = rng.random(shape if setting.outcomes == "independent" else (*shape[:2], 1))
    happened = np.broadcast_to((chance < p[None, :, None]).astype(np.int64), shape)
    return Batch(tokens, setting.rewards[happened, tokens])


def _plan(box: BlackBox, setting: Setting, seed: int) -> Plan:
    """The usual plan, or the short one for what is slow; decided once for each black box."""
    if box.slow is None:
        instance, rng = box.fresh(), np.random.default_rng([seed, 11])
        costs: list[float] = []
        for _ in range(1 + COST_CALLS):
            batch = draw(rng, setting, setting.uniform, PROMPTS_PER_TRUTH, setting.truths)
            start = time.perf_counter()
            _call(instance, batch)
            costs.append(time.perf_counter() - start)
        box.slow = min(costs[1:]) >= SLOW_S
    return SLOW if box.slow else USUAL


def _call(instance: Instance, batch: Batch) -> FloatArray:
    """(B, P, G) advantages."""
    given = f"a batch of {batch.rewards.size} rewards in groups of {batch.rewards.shape[2]}"
    return instance(batch.rewards.ravel(), batch.groups, given).reshape(batch.rewards.shape)


def _per_token(batch: Batch, weights: FloatArray | None, n_tokens: int) -> FloatArray:
    """(P, K) sums over the samples of each true probability and token."""
    rows = np.arange(batch.tokens.shape[1])[None, :, None]
    cell = (rows * n_tokens + batch.tokens).ravel()
    flat = None if weights is None else weights.ravel()
    return (
        np.bincount(cell, flat, rows.size * n_tokens)
        .reshape(rows.size, n_tokens)
        .astype(np.float64)
    )


def _ascend(
    box: BlackBox,
    setting: Setting,
    p: FloatArray,
    steps: int,
    calls: int,
    seed: int | tuple[int, int],
    per_truth: int = PROMPTS_PER_TRUTH,
) -> Ends:
    """Stochastic ascent from the uniform policy, all true probabilities in every batch.

    What is sampled is the difference from a multiple of (reward - group mean), whose expected step is
    known exactly. The multiple comes from earlier steps: one fitted to the batch itself would hide
    how the batch's own outcomes change the advantages.
    """
    rng = np.random.default_rng([13, *((seed,) if isinstance(seed, int) else seed)])
    instance, n_tokens = box.fresh(), setting.values.size
    logits = np.zeros((p.size, n_tokens))
    # Fewer steps are longer ones, so that a slow estimator's policies come as far.
    adam = AdamW(logits.shape, lr=RATE * min(STEPS / steps, LONGEST), weight_decay=0.0)
    last = max(1, steps // 20)
    blocks = np.zeros((BLOCKS, *logits.shape))
    both, square = 0.0, 0.0
    for step in range(steps):
        policy = softmax(logits)
        slope = both / square if square > 0 else 0.0
        total, many = np.zeros_like(logits), 0
        both, square = FORGET * both, FORGET * square
        for _ in range(calls):
            batch = draw(rng, setting, policy, per_truth, p)
            got, centered = _call(instance, batch), _centered(batch)
            both += float((got * centered).sum())
            square += float((centered**2).sum())
            total += _per_token(batch, got - slope * centered, n_tokens)
            many += batch.tokens[:, 0].size
        known = true_advantage(policy, p, setting.rewards)
        total = total / many + slope * (1.0 - 1.0 / setting.group_size) * policy * known
        gradient = total - policy * total.sum(axis=1, keepdims=True)
        # Past the middle the rate falls, so that the noise of single batches averages out.
        scale = min(1.0, 2.0 * (steps - step) / steps)
        logits = adam.step(logits, -gradient, scale=scale)
        block = (steps - 1 - step) // last
        if block < BLOCKS:
            blocks[block] += policy / last
    means = blocks @ setting.values
    error = means.std(axis=0, ddof=1) / np.sqrt(BLOCKS)
    settled = np.ptp(means, axis=0) < STILL
    return Ends(blocks.mean(axis=0), error, settled, steps, calls)


def _expected(
    box: BlackBox, setting: Setting, policy: FloatArray, calls: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """(P, K) mean advantage of each token and its standard error, batch by batch.

    Reward minus group mean, whose expectation is (G - 1) / G times the exact advantage, serves as a
    control variate: what is sampled is the difference from its best multiple.
    """
    rng = np.random.default_rng([seed, 17])
    instance, n_tokens = box.fresh(), setting.values.size
    sums, known, counts = [], [], []
    both, square = np.zeros(calls), np.zeros(calls)
    for i in range(calls):
        batch = draw(rng, setting, policy, PROMPTS_PER_TRUTH, setting.truths)
        got, centered = _call(instance, batch), _centered(batch)
        both[i], square[i] = (got * centered).sum(), (centered**2).sum()
        sums.append(_per_token(batch, got, n_tokens))
        known.append(_per_token(batch, centered, n_tokens))
        counts.append(_per_token(batch, None, n_tokens))
    # Each batch is compared with a multiple that the others say, for the reason given above.
    slopes = (both.sum() - both) / np.maximum(square.sum() - square, TINY)
    rest = np.array(sums) - slopes[:, None, None] * np.array(known)
    slope = slopes.mean()
    total, number = rest.sum(axis=0), np.sum(counts, axis=0)
    seen = number > 0
    mean = np.divide(total, number, out=np.zeros_like(total), where=seen)
    residual = rest - np.array(counts) * mean
    error = np.divide(
        np.sqrt((residual**2).sum(axis=0)), number, out=np.full_like(total, np.inf), where=seen
    )
    # A token that never came up has no say in the difference.
    mean = np.where(seen, mean, (policy * mean).sum(axis=1, keepdims=True))
    share = 1.0 - 1.0 / setting.group_size
    return mean + slope * share * true_advantage(policy, setting.truths, setting.rewards), error


def _centered(batch: Batch) -> FloatArray:
    """(B, P, G) rewards minus the means of their groups."""
    return batch.rewards - batch.rewards.mean(axis=2, keepdims=True)


def samples_needed(
    box: BlackBox, reward: str, outcomes: str, group_size: int, *, seed: int
) -> tuple[float, tuple[float, ...]]:
    """How noisy the steps are beside those of (reward - group mean) on the same samples.

    The step of a group is the sum of advantage x (statement - mean statement); what is compared is
    its variance over its squared mean, at a policy concentrated at 1/2, for true probabilities 0.2 or
    more away from it.

    Args:
        box: the estimator.
        reward: name of the reward.
        outcomes: `shared` or `independent`.
        group_size: samples per group.
        seed: of the samples.

    Returns:
        The ratio (the median over the true probabilities; NaN where the mean step is within its
        noise), and the mean advantage of a prompt's samples by true probability, in standard
        deviations, under policies that say the truth.
    """
    setting = Setting.of(reward, outcomes, group_size, GRIDS[0])
    calls = _plan(box, setting, seed).noise_calls
    rng = np.random.default_rng([seed, 19])
    instance = box.fresh()
    theirs, plain = [], []
    middle = np.tile(setting.near(0.5), (setting.truths.size, 1))
    for _ in range(calls):
        batch = draw(rng, setting, middle, PROMPTS_PER_TRUTH, setting.truths)
        said = setting.values[batch.tokens] - 0.5
        centered = _centered(batch)
        theirs.append((_call(instance, batch) * said).sum(axis=2))
        plain.append((centered * said).sum(axis=2))
    decisive = np.abs(setting.truths - 0.5) >= 0.2
    ratio = _noise(np.concatenate(theirs)[:, decisive]) / _noise(np.concatenate(plain)[:, decisive])
    honest = np.stack([setting.near(float(p)) for p in setting.truths])
    found = []
    for _ in range(calls):
        found.append(_call(instance, draw(rng, setting, honest, PROMPTS_PER_TRUTH, setting.truths)))
    advantages = np.concatenate(found)
    size = advantages.std()
    offsets = advantages.mean(axis=(0, 2)) / size if size > 0 else np.zeros(setting.truths.size)
    known = ratio[np.isfinite(ratio)]
    return (
        float(np.median(known)) if known.size else float("nan"),
        tuple(offsets.tolist()),
    )


def _noise(steps: FloatArray) -> FloatArray:
    """(P,) variance over squared mean; NaN where the mean is less than three standard errors."""
    mean, variance = steps.mean(axis=0), steps.var(axis=0, ddof=1)
    clear = mean**2 > 9 * variance / len(steps)
    return np.where(clear, variance / np.where(clear, mean**2, 1.0), np.nan)


def two_prompts_end(
    box: BlackBox, reward: str, outcomes: str, group_size: int, *, seed: int
) -> float:
    """Where the policy for p = 0.75 ends in batches of two prompts, p = 0.75 and p = 0.25.

    Args:
        box: the estimator.
        reward: name of the reward.
        outcomes: `shared` or `independent`.
        group_size: samples per group.
        seed: of the samples.

    Returns:
        The mean statement in the end.
    """
    setting = Setting.of(reward, outcomes, group_size, GRIDS[0])
    p = np.array([0.75, 0.25])
    plan = _plan(box, setting, seed)
    ends = _ascend(box, setting, p, plan.steps, plan.few_calls, seed, per_truth=1)
    return float((ends.policy @ setting.values)[0])


def unequal_positions(box: BlackBox, setting: Setting, *, seed: int) -> float:
    """How unequally the positions in a group count: largest over smallest factor, on average.

    Args:
        box: the estimator.
        setting: the world to draw batches from.
        seed: of the samples.

    Returns:
        The mean over batches; 1 where every position counts the same.
    """
    rng, instance = np.random.default_rng([seed, 29]), box.fresh()
    ratios = []
    for _ in range(20):
        batch = draw(rng, setting, setting.uniform, PROMPTS_PER_TRUTH, setting.truths)
        centered = _centered(batch)
        factor = np.abs((_call(instance, batch) * centered).sum(axis=(0, 1))) / (centered**2).sum(
            axis=(0, 1)
        )
        if factor.min() > 0:
            ratios.append(factor.max() / factor.min())
    return float(np.mean(ratios)) if ratios else 1.0
