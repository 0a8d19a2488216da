"""The computations behind the lab's pictures: exact curves, and samples to lay over them.

Sampling a group of G predictions needs G draws; everything that the estimators with and without
standard deviation do to a group depends on how often each token occurs, so one multinomial draw of
K counts is enough, and 20,000 groups of 1,000 cost a second.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray, probabilities
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.lab.exact import true_advantage
from levelhead.lab.expectation import expectation, expected_advantage, group_std_given
from levelhead.lab.meanfield import FixedPoints, fixed_points
from levelhead.lab.policy import beta_policy
from levelhead.rewards import reward_table
from levelhead.scoring import brier_loss, log_loss, spherical_loss

__all__ = [
    "AdvantageCurves",
    "GroupSizeSweep",
    "PAPER_EPS",
    "POLICIES",
    "RULES",
    "SampledAdvantages",
    "TheoremPoints",
    "advantage_curves",
    "group_size_sweep",
    "mean_field",
    "paper_values",
    "reward_rows",
    "sample_advantages",
    "theorem_points",
]

POLICIES: dict[str, tuple[float, float]] = {
    "uniform": (1.0, 1.0),
    "around the truth": (5.7, 3.0),
    "overconfident": (50.0, 1.0),
}
"""Parameters of the three Beta densities whose logarithms are the logits of the paper's policies."""

RULES: dict[str, Callable[[ArrayLike, ArrayLike], FloatArray]] = {
    "log": functools.partial(log_loss, eta=0.0),
    "brier": brier_loss,
    "spherical": spherical_loss,
}
"""Losses whose negative is the reward; the log loss is not clipped, since no prediction is 0 or 1."""

PAPER_EPS = 1e-5
"""Added to the standard deviation in the paper's notebook."""

CELLS = 1 << 21
"""Counts held at a time while groups are sampled."""

NODES = 40
"""Of the Gauss-Hermite rule that stands for a narrow normal policy; exact to degree 79."""


def paper_values(n_tokens: int = 100) -> FloatArray:
    """The predictions of the paper's advantage figures.

    v_k = k / (K + 1), k = 1..K

    Args:
        n_tokens: number of tokens K.

    Returns:
        (K,) float64, evenly spaced inside (0, 1).

    Reference: the notebook behind figure 3 of arXiv:2508.11800.

    Example:
        >>> paper_values(3)
        array([0.25, 0.5 , 0.75])
    """
    return np.linspace(1.0 / (n_tokens + 1), n_tokens / (n_tokens + 1), n_tokens)


def reward_rows(rule: str, values: ArrayLike) -> FloatArray:
    """What each prediction earns under either outcome, with nothing clipped.

    R[a, k] = -L(v_k, a)

    Args:
        rule: `log`, `brier` or `spherical`.
        values: (K,) predictions in [0, 1], inside (0, 1) for the log rule to be finite.

    Returns:
        (2, K) rewards, outcome 0 first.

    Raises:
        InvalidInputError: there is no such rule, or a value outside [0, 1].

    Example:
        >>> reward_rows("brier", [0.25, 0.75])
        array([[-0.0625, -0.5625],
               [-0.5625, -0.0625]])
    """
    if rule not in RULES:
        raise unknown_name("rule", rule, RULES)
    return reward_table(RULES[rule], values)


@dataclasses.dataclass(frozen=True, slots=True)
class SampledAdvantages:
    """Averages over sampled groups.

    Attributes:
        no_std: (K,) mean advantage of a token without standard deviation; NaN where never sampled.
        std: (K,) the same with it.
        counts: (K,) how often each token was sampled.
        sigma: (2,) mean standard deviation within a group, had the outcome been 0 or 1.
    """

    no_std: FloatArray
    std: FloatArray
    counts: IntArray
    sigma: FloatArray


def sample_advantages(
    policy: ArrayLike,
    p: float,
    rewards: ArrayLike,
    group_size: int,
    n_groups: int,
    *,
    rng: np.random.Generator,
    eps: float = PAPER_EPS,
) -> SampledAdvantages:
    """Mean advantage of each token over sampled groups that share one outcome each.

    A_i = r_i - mean r, and A_i / (std r + eps) with ddof = 1, averaged over all samples of a token.

    Args:
        policy: (K,) probabilities of the tokens.
        p: probability of outcome 1, in [0, 1].
        rewards: (2, K) reward of each token under outcome 0 and 1.
        group_size: G, at least 2.
        n_groups: number of groups, at least 1.
        rng: where the randomness comes from.
        eps: added to the standard deviation.

    Returns:
        The averages and how many samples are behind each.

    Raises:
        InvalidInputError: a group of fewer than two, or no group.

    Reference: appendix A.2 of arXiv:2508.11800, with 100,000 groups of 1,000.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = sample_advantages([1.0, 0.0], 0.5, np.ones((2, 2)), 4, 10, rng=rng)
        >>> found.counts, found.std
        (array([40,  0]), array([ 0., nan]))
    """
    if group_size < 2 or n_groups < 1:
        raise InvalidInputError(
            "group_size, n_groups: expected at least 2 samples and 1 group, "
            f"got {group_size} and {n_groups}"
        )
    chances, table = np.asarray(policy, np.float64), np.asarray(rewards, np.float64)
    n_tokens = chances.size
    counts = np.zeros(n_tokens, np.int64)
    total = np.zeros((2, n_tokens))
    sigma = np.zeros(2)
    done = 0
    while done < n_groups:
        size = min(n_groups - done, max(1, CELLS // n_tokens))
        drawn = rng.multinomial(group_size, chances, size=size)
        outcome = (rng.random(size) < p).astype(np.int64)
        share = drawn / group_size
        mean = share @ table.T  # (size, 2): under either outcome, of which one came true
        spread = np.empty_like(mean)
        for a in (0, 1):
            # Centered before it is squared: E r^2 - (E r)^2 loses a narrow policy's digits.
            squares = (table[a] - mean[:, a, None]) ** 2
            spread[:, a] = np.sqrt((share * squares).sum(axis=1) * group_size / (group_size - 1))
        sigma += spread.sum(axis=0)
        rows = np.arange(size)
        scale = np.stack([np.ones(size), 1.0 / (spread[rows, outcome] + eps)])
        for a in (0, 1):
            here = outcome == a
            times = drawn[here].astype(np.float64)
            weight = scale[:, here]
            # sum_g n_gk (R_k - mean_g) s_g, without the (groups, K) advantages themselves
            total += (weight @ times) * table[a] - (weight * mean[here, a]) @ times
        counts += drawn.sum(axis=0)
        done += size
    with np.errstate(invalid="ignore"):
        no_std, std = total / counts
    return SampledAdvantages(no_std, std, counts, sigma / n_groups)


@dataclasses.dataclass(frozen=True, slots=True)
class AdvantageCurves:
    """What a policy's tokens are worth, and what two estimators say they are worth.

    Attributes:
        name: of the policy.
        beta: the two parameters of the Beta density behind it.
        values: (K,) predictions.
        policy: (K,) their probabilities.
        true: (K,) exact advantage.
        no_std: (K,) exact expectation of the estimate without standard deviation.
        std: (K,) the same with it.
        sigma: (2,) exact mean standard deviation within a group, had the outcome been 0 or 1.
        sampled: the same three from samples.
    """

    name: str
    beta: tuple[float, float]
    values: FloatArray
    policy: FloatArray
    true: FloatArray
    no_std: FloatArray
    std: FloatArray
    sigma: FloatArray
    sampled: SampledAdvantages


def advantage_curves(
    rule: str,
    *,
    p: float = 0.7,
    group_size: int = 1000,
    n_groups: int = 5000,
    n_tokens: int = 100,
    seed: int = 0,
) -> tuple[AdvantageCurves, ...]:
    """True, exact expected and sampled advantages under the paper's three policies.

    Args:
        rule: `log`, `brier` or `spherical`.
        p: true probability of outcome 1.
        group_size: G.
        n_groups: sampled groups; the paper has 100,000.
        n_tokens: number of tokens K.
        seed: of the samples.

    Returns:
        One for each of `POLICIES`, in order.

    Raises:
        InvalidInputError: there is no such rule, or a group of fewer than two.

    Reference: figures 3 to 5 and appendix A.2 of arXiv:2508.11800.
    """
    values = paper_values(n_tokens)
    rewards = reward_rows(rule, values)
    streams = np.random.default_rng(seed).spawn(len(POLICIES))
    policies = np.stack([beta_policy(values, *pair) for pair in POLICIES.values()])
    truth = np.full(len(POLICIES), p)
    no_std = expected_advantage("grpo_no_std", policies, truth, rewards, group_size)
    std = expected_advantage("grpo", policies, truth, rewards, group_size, eps=PAPER_EPS)
    true = true_advantage(policies, truth, rewards)
    sigma = group_std_given(policies, rewards, group_size)
    return tuple(
        AdvantageCurves(
            name,
            POLICIES[name],
            values,
            policies[i],
            true[i],
            no_std[i],
            std[i],
            sigma[:, i],
            sample_advantages(policies[i], p, rewards, group_size, n_groups, rng=streams[i]),
        )
        for i, name in enumerate(POLICIES)
    )


@dataclasses.dataclass(frozen=True, slots=True)
class TheoremPoints:
    """Where the standardized advantage of narrow policies aims.

    Attributes:
        rule: of the reward.
        p: (M,) true probability.
        m: (M,) where the policy stands.
        exact: (M,) the prediction that the expected advantage favors, group size to infinity.
        sampled: (M,) the same with standard deviations of sampled groups.
    """

    rule: str
    p: FloatArray
    m: FloatArray
    exact: FloatArray
    sampled: FloatArray


def theorem_points(
    rule: str,
    p: ArrayLike,
    m: ArrayLike,
    *,
    spread: float = 0.02,
    group_size: int = 64,
    n_groups: int = 2000,
    seed: int = 0,
) -> TheoremPoints:
    """Which prediction the expected standardized advantage of a narrow policy ranks highest.

    argmax_q  E_a (S(q, a) - mu_a) / sigma_a, where mu_a and sigma_a are mean and standard deviation
    of S(., a) under a policy whose logits are normal around logit m. The maximum is searched for;
    no formula for it is used.

    Args:
        rule: `log`, `brier` or `spherical`.
        p: (M,) true probabilities in (0, 1).
        m: (M,) centers of the policies in (0, 1).
        spread: standard deviation of the policies, in logits.
        group_size: of the sampled groups.
        n_groups: sampled groups for each pair.
        seed: of the samples.

    Returns:
        The favored predictions, exact and sampled.

    Raises:
        InvalidInputError: there is no such rule.

    Edge cases: exact holds for large groups; the formula that it is compared with is the limit of
        a small `spread`, and the two differ by a term in its square.

    Example:
        >>> found = theorem_points("brier", [0.7], [0.5], n_groups=10)
        >>> found.exact.round(3)
        array([0.7])
    """
    truth, center = probabilities("p", p), probabilities("m", m)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    rng = np.random.default_rng(seed)
    exact, sampled = np.empty_like(truth), np.empty_like(truth)
    for i, (one, at) in enumerate(zip(truth, center, strict=True)):
        rewards = reward_rows(rule, expit(logit(at) + spread * nodes))
        mean = rewards @ weights
        sigma = np.sqrt(((rewards - mean[:, None]) ** 2) @ weights)
        exact[i] = _favored(rule, (1.0 - one) / sigma[0], one / sigma[1])
        drawn = expit(logit(at) + spread * rng.standard_normal((n_groups, group_size)))
        outcome = rng.random(n_groups) < one
        inverse = 1.0 / _outcome_rewards(rule, drawn, outcome).std(axis=1, ddof=1)
        sampled[i] = _favored(rule, inverse[~outcome].sum(), inverse[outcome].sum())
    return TheoremPoints(rule, truth, center, exact, sampled)


def _outcome_rewards(rule: str, drawn: FloatArray, outcome: BoolArray) -> FloatArray:
    both = reward_rows(rule, drawn.ravel()).reshape(2, *drawn.shape)
    return np.where(outcome[:, None], both[1], both[0])


def _favored(rule: str, weight_0: float, weight_1: float) -> float:
    """argmax_q of weight_0 S(q, 0) + weight_1 S(q, 1), by search."""
    share = weight_1 / (weight_0 + weight_1)

    def loss(q: float) -> float:
        rewards = reward_rows(rule, np.array([q]))
        return -float((1.0 - share) * rewards[0, 0] + share * rewards[1, 0])

    found = minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-9})
    return float(found.x)


def mean_field(
    name: str,
    p: ArrayLike,
    values: ArrayLike,
    *,
    rule: str = "log",
    group_size: int = 10,
    outcomes: str = "shared",
    steps: int = 400,
    lr: float = 0.5,
) -> FixedPoints:
    """Where the expected update of one of our estimators drives a policy, without sampling.

    Args:
        name: of the estimator; `ppo` is unbiased and stands for its value model's exact update.
        p: (P,) true probabilities.
        values: (K,) predictions.
        rule: of the reward.
        group_size: G.
        outcomes: `shared` by the group, or `independent`.
        steps: most updates; a policy that has come to rest takes no more.
        lr: the first rate of the updates.

    Returns:
        Final policies and their moments.
    """
    truth, tokens = probabilities("p", p), probabilities("values", values)
    rewards = reward_rows(rule, tokens)
    estimator = {"ppo": "rloo", "rb_exact": "rloo"}.get(name, name)
    expected = expectation(estimator, rewards, group_size, outcomes=outcomes)
    return fixed_points(expected, truth, tokens, steps=steps, lr=lr)


@dataclasses.dataclass(frozen=True, slots=True)
class GroupSizeSweep:
    """Where standardized GRPO leads, by group size.

    Attributes:
        p: (P,) true probabilities.
        group_sizes: (S,) the G that were tried.
        outcomes: `shared` by the group, or `independent`.
        mean: (S, P) mean final prediction.
        at_rest: (S, P) whether the policy came to rest; where not, `mean` depends on the path.
    """

    p: FloatArray
    group_sizes: tuple[int, ...]
    outcomes: str
    mean: FloatArray
    at_rest: BoolArray


def group_size_sweep(
    p: ArrayLike,
    values: ArrayLike,
    group_sizes: Sequence[int],
    *,
    outcomes: str,
    rule: str = "log",
    steps: int = 400,
    lr: float = 0.5,
) -> GroupSizeSweep:
    """Final predictions of standardized GRPO for several group sizes, without sampling.

    Args:
        p: (P,) true probabilities.
        values: (K,) predictions.
        group_sizes: the G to try.
        outcomes: `shared` by the group, or `independent`.
        rule: of the reward.
        steps: most updates.
        lr: the first rate of the updates.

    Returns:
        Mean and state of each final policy.

    Edge cases: with independent outcomes and small groups the expected update may not come to rest
        between the truth and the ends: the narrower a policy is, the more a unanimous group weighs.
    """
    found = [
        mean_field(
            "grpo", p, values, rule=rule, group_size=size, outcomes=outcomes, steps=steps, lr=lr
        )
        for size in group_sizes
    ]
    return GroupSizeSweep(
        probabilities("p", p),
        tuple(group_sizes),
        outcomes,
        np.stack([one.mean for one in found]),
        np.stack([one.converged for one in found]),
    )
