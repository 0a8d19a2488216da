"""Exact expected advantages of the package's own estimators at any number of tokens and group size.

`AdvantageTable` enumerates groups, which ends near 9 tokens and groups of 8. What is here does not:

* ranks, the best and the maximum are order statistics, with closed forms that respect ties;
* a softmax over the group is one integral, since 1 / W = int_0^inf e^(-s W) ds and e^(-s W) is a
  product over the members;
* a standard deviation is two integrals (`StdExpectation`), since 1 / (s + eps) is a mixture of
  e^(-t^2 s^2), and that is a Gaussian mixture over a center c of products over the members.

Both kinds of integral are trapezoids in the logarithm of s or t (and in c), where the integrand is
analytic and decays at both ends, so the error falls exponentially with the spacing: about
e^(-pi^2 / h) for a softmax, e^(-pi^2 / (2 h)) for a deviation, and e^(-2 pi^2 (sigma / step)^2) in c
for a Gaussian of standard deviation sigma. The spacings below put each near 1e-11.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, real
from levelhead.advantages import pl_zscore
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.lab._laws import (
    Outcomes,
    RewardLaw,
    chance,
    policies,
    regime,
    reward_laws,
    reward_rows,
    same_values,
    truths,
    whole_group,
)
from levelhead.lab._quadrature import Quadrature, power
from levelhead.lab.exact import AdvantageTable, true_advantage

__all__ = [
    "NAMES",
    "ExpectedFunction",
    "StdExpectation",
    "expectation",
    "expected_advantage",
    "expected_group_std",
    "group_std_given",
]

ExpectedFunction = Callable[[ArrayLike, ArrayLike], FloatArray]
"""(policy (P, K), p (P,)) -> (P, K) expected advantages: what an estimator is to a policy."""

EPS = 1e-6
SOFTMAX_STEP = 0.3  # of log s
SOFTMAX_LOW, SOFTMAX_HIGH = -32.0, 3.8  # log of s w: s w is 1e-14 at the one, e^(-s w) 1e-19 above
FLAT = 1e-12  # chance of a group that is not constant, below which its deviation is not known


class StdExpectation:
    """Exact expected advantage of group standardization (GRPO), for any number of tokens.

    E[(r_i - mean r) / (std r + eps) | own token k], by the two integrals of the module's docstring.
    The nodes and kernels depend on the rewards and the group size alone, so that a policy costs two
    matrix products: build it once, call `expected` at every step.

    Args:
        rewards: (2, K) finite, row a for outcome a.
        group_size: G >= 2.
        eps: >= 0, in the unit of `rewards`.
        ddof: 1 divides the squares by G - 1, 0 by G.
        outcomes: "shared" or "independent".
        leave_out: mean and deviation of the others instead of the whole group (`loo_std`, which
            leaves the difference undivided where the others are equal).
        refine: divides all spacings; the change from 1 to 2 bounds the error.

    Raises:
        InvalidInputError: an argument outside its range.

    Edge cases: equal rewards get 0, also where eps is 0.
    Properties: errors near 1e-10 at any K and G; rewards within 1e-12 of the largest are equal.
    Reference: derived here.

    Example:
        >>> std = StdExpectation([[0.0, -4.0], [-4.0, 0.0]], 2, eps=0.0)
        >>> std.expected([0.5, 0.5], 0.75).round(6)
        array([[-0.176777,  0.176777]])
    """

    def __init__(
        self,
        rewards: ArrayLike,
        group_size: int,
        *,
        eps: float = EPS,
        ddof: int = 1,
        outcomes: str = "shared",
        leave_out: bool = False,
        refine: int = 1,
    ) -> None:
        self.rewards = reward_rows(rewards)
        self.group_size = whole_group(group_size)
        if not 0.0 <= real("eps", eps) < math.inf:
            raise InvalidInputError(f"eps: expected a finite number >= 0, got {eps}")
        if ddof not in (0, 1):
            raise InvalidInputError(f"ddof: expected 0 or 1, got {ddof}")
        self.ddof, self.leave_out = ddof, leave_out
        self.laws = reward_laws(self.rewards, regime(outcomes))
        n = self.group_size - 1 if leave_out else self.group_size
        self.quadratures: list[Quadrature | None] = []
        for law in self.laws:
            known = next(
                (
                    q
                    for q in self.quadratures
                    if q is not None and same_values(q.values, law.values)
                ),
                None,
            )
            if known is None and law.values.size > 1 and n > 1:
                known = Quadrature(law.values, n, eps, ddof, refine)
            self.quadratures.append(known)

    def expected_given(self, policy: ArrayLike, p: ArrayLike) -> FloatArray:
        """(2, P, K) expected advantage given one's own token and outcome, row a for outcome a."""
        truth, pi = truths(p, policies(policy))
        reward_rows(self.rewards, pi.shape[1])
        out = np.empty((2, *pi.shape))
        for law, quadrature in zip(self.laws, self.quadratures, strict=True):
            q = law.weights(pi, truth)
            law.per_token(self._of_symbols(law, quadrature, q), out)
        return out

    def _of_symbols(
        self, law: RewardLaw, quadrature: Quadrature | None, q: FloatArray
    ) -> FloatArray:
        if quadrature is None:  # one reward only, or one other member: nothing to divide by
            mean = (q @ law.values)[:, None]
            return law.values - mean if self.leave_out else np.zeros_like(q)
        if self.leave_out:
            return quadrature.apart(q) + quadrature.from_equal(q)
        return quadrature.within(q)

    def expected(self, policy: ArrayLike, p: ArrayLike) -> FloatArray:
        """(P, K) expected advantage given one's own token, for policies (P, K) and truths (P,)."""
        zero, one = self.expected_given(policy, p)
        truth = np.atleast_1d(np.asarray(p, dtype=np.float64))[:, None]
        return zero + truth * (one - zero)

    def std_given(self, policy: ArrayLike, p: ArrayLike) -> FloatArray:
        """(laws, P) expected standard deviation of a group under each law, where eps is 0.

        E[s] = E[s^2 / s] = G / (G - ddof) E[x_i (x_i - mean) / s]: no integral of its own.
        """
        truth, pi = truths(p, policies(policy))
        out = np.zeros((len(self.laws), truth.size))
        for row, (law, quadrature) in enumerate(zip(self.laws, self.quadratures, strict=True)):
            if quadrature is not None:
                q = law.weights(pi, truth)
                apart = law.values - (q @ law.values)[:, None]
                out[row] = np.sum(q * apart * quadrature.within(q), axis=1)
        return out * (self.group_size / (self.group_size - self.ddof))


def group_std_given(
    policy: ArrayLike, rewards: ArrayLike, group_size: int, *, ddof: int = 1
) -> FloatArray:
    """Expected standard deviation of a group's rewards, given the outcome that it shares.

    sigma_a = E[std(r_1 .. r_G) | a],  r_i = R[a, k_i],  k_i drawn from the policy

    Args:
        policy: (P, K) probabilities, or (K,).
        rewards: (2, K) finite, row a for outcome a.
        group_size: G >= 2.
        ddof: 1 divides the squares by G - 1, 0 by G.

    Returns:
        (2, P) in the unit of `rewards`, row a for outcome a.

    Edge cases: a policy with one reward gets 0.
    Properties: exact; below the standard deviation of the policy's rewards, which it tends to.
    Reference: appendix A.2 of arXiv:2508.11800 estimates it from 100,000 groups.

    Example:
        >>> group_std_given([0.5, 0.5], [[0.0, -4.0], [-2.0, 0.0]], 2).round(6)
        array([[1.414214],
               [0.707107]])
    """
    std = StdExpectation(rewards, group_size, eps=0.0, ddof=ddof)
    return std.std_given(policy, np.full(len(policies(policy)), 0.5))


def expected_group_std(
    policy: ArrayLike,
    p: ArrayLike,
    rewards: ArrayLike,
    group_size: int,
    *,
    outcomes: str = "shared",
    ddof: int = 1,
) -> FloatArray:
    """Expected standard deviation of a group's rewards over its members and outcomes.

    p sigma_1 + (1 - p) sigma_0 for a shared outcome; for independent ones E[std] over both

    Args:
        policy: (P, K) probabilities, or (K,).
        p: (P,) true probabilities of outcome 1, or one.
        rewards: (2, K) finite, row a for outcome a.
        group_size: G >= 2.
        outcomes: "shared" or "independent".
        ddof: 1 divides the squares by G - 1, 0 by G.

    Returns:
        (P,) in the unit of `rewards`.

    Edge cases: a policy with one reward gets 0.
    Properties: exact.
    Reference: appendix A.2 of arXiv:2508.11800.

    Example:
        >>> expected_group_std([0.5, 0.5], 0.5, [[0.0, -4.0], [-2.0, 0.0]], 2).round(6)
        array([1.06066])
    """
    truth, pi = truths(p, policies(policy))
    std = StdExpectation(rewards, group_size, eps=0.0, ddof=ddof, outcomes=outcomes)
    given = std.std_given(pi, truth)
    if len(given) == 1:
        return given[0]
    return truth * given[1] + (1.0 - truth) * given[0]


def _rank_linear(values: FloatArray, q: FloatArray, size: int) -> FloatArray:
    """2 [P(X < x) - P(X > x)]: a rank counts pairs, so no group size enters."""
    cdf = np.cumsum(q, axis=1)
    return 2.0 * (2.0 * cdf - q - cdf[:, -1:])


def _top1(values: FloatArray, q: FloatArray, size: int) -> FloatArray:
    """(F^G - F_-^G) / (G q) - 1 / G: the mean of 1 / #ties where nobody is above."""
    cdf = np.minimum(np.cumsum(q, axis=1), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.minimum(np.where(cdf > 0.0, q / cdf, 0.0), 1.0)
        tie = -np.expm1(size * np.log1p(-share)) / (size * share)
    return cdf ** (size - 1) * np.where(share > 0.0, tie, 1.0) - 1.0 / size


def _max_at_k(values: FloatArray, q: FloatArray, size: int) -> FloatArray:
    """E[(x - max of the others)^+] = int_{-inf}^x F(y)^(G - 1) dy; ties add nothing."""
    steps = np.minimum(np.cumsum(q, axis=1), 1.0)[:, :-1] ** (size - 1) * np.diff(values)
    return np.concatenate([np.zeros((len(q), 1)), np.cumsum(steps, axis=1)], axis=1)


def _pl_softmax(values: FloatArray, q: FloatArray, size: int, tau: float) -> FloatArray:
    """int_0^inf w_k e^(-s w_k) [sum_j q_j e^(-s w_j)]^(G - 1) ds - 1 / G, a trapezoid in log s."""
    log_w = (values - values[-1]) / tau
    log_s = np.arange(SOFTMAX_LOW, SOFTMAX_HIGH - log_w[0] + SOFTMAX_STEP, SOFTMAX_STEP)
    out = np.zeros_like(q)
    for some in np.array_split(log_s, 1 + log_s.size * values.size // 10_000_000):
        exponent = np.minimum(some[:, None] + log_w, 50.0)  # e^(-e^50) is 0 already
        survival = np.exp(-np.exp(exponent))
        out += power(q @ survival.T, size - 1) @ np.exp(exponent - np.exp(exponent))
    return SOFTMAX_STEP * out - 1.0 / size


def expectation(
    name: str,
    rewards: ArrayLike,
    group_size: int,
    *,
    outcomes: str = "shared",
    eps: float = EPS,
    ddof: int = 1,
    tau: float = 1.0,
) -> ExpectedFunction:
    """An estimator of the package as the function (policy, p) -> exact expected advantages.

    Whatever does not depend on the policy is computed here, so that a dynamics which calls the
    function at every step pays for it once. Estimators that look beyond the group are taken in their
    limits: `batch_std` and `reinforce_pp` for a batch of very many groups of the same prompt,
    `ema_std` for a memory so long that it holds the mean deviation of groups that are not constant.

    Args:
        name: one of `NAMES`, as in `levelhead.advantages.TABLE`.
        rewards: (2, K) finite, row a for outcome a.
        group_size: G >= 2.
        outcomes: "shared" by a group or "independent" for every member.
        eps: >= 0, in the unit of `rewards`, where there is a deviation.
        ddof: 1 divides the squares by G - 1, 0 by G, where there is a deviation.
        tau: > 0, temperature of `pl_softmax`.

    Returns:
        A function of (policy (P, K), p (P,)) that returns (P, K) expected advantages.

    Raises:
        InvalidInputError: the name or an option is wrong, or `pl_zscore`, for which no closed form is
            known, is asked for with too many tokens to enumerate.

    Edge cases: tokens of probability 0 have an expected advantage too: what they would get.
    Properties: exact to 1e-8 or better; prompts do not influence one another.
    Reference: derived here; the estimators are those of `levelhead.advantages`.

    Example:
        >>> f = expectation("rank_linear", [[0.0, -4.0], [-4.0, 0.0]], 8)
        >>> f([0.5, 0.5], 0.75)
        array([[-0.5,  0.5]])
    """
    table = reward_rows(rewards)
    size, kind = whole_group(group_size), regime(outcomes)
    if not 0.0 < real("tau", tau) < math.inf:
        raise InvalidInputError(f"tau: expected a finite number above 0, got {tau}")
    if name in _MOMENTS:
        return functools.partial(_MOMENTS[name], table, size)
    if name in ("batch_std", "reinforce_pp"):
        own_mean = name == "batch_std"
        return functools.partial(_batch_limit, table, size if own_mean else 0, eps)
    if name in ("grpo", "loo_std"):
        leave_out = name == "loo_std"
        return StdExpectation(
            table, size, eps=eps, ddof=ddof, outcomes=kind, leave_out=leave_out
        ).expected
    if name == "ema_std":
        std = StdExpectation(table, size, eps=0.0, ddof=ddof, outcomes=kind)
        return functools.partial(_memory_limit, std, eps)
    if name == "pl_softmax":
        return functools.partial(
            _by_law, table, kind, size, functools.partial(_pl_softmax, tau=tau)
        )
    if name in _ORDERED:
        return functools.partial(_by_law, table, kind, size, _ORDERED[name])
    if name == "pl_zscore":
        return _enumerated(table, size, kind, eps, ddof)
    raise unknown_name("estimator", name, NAMES)


def expected_advantage(
    name: str,
    policy: ArrayLike,
    p: ArrayLike,
    rewards: ArrayLike,
    group_size: int,
    *,
    outcomes: str = "shared",
    eps: float = EPS,
    ddof: int = 1,
    tau: float = 1.0,
) -> FloatArray:
    """Exact expected advantage of every token under one of the package's estimators.

    E[A_hat_i | k_i = k] over the outcome, the other members of the group and, if independent, theirs

    Args:
        name: one of `NAMES`, as in `levelhead.advantages.TABLE`.
        policy: (P, K) probabilities, or (K,).
        p: (P,) true probabilities of outcome 1, or one.
        rewards: (2, K) finite, row a for outcome a.
        group_size: G >= 2.
        outcomes: "shared" by a group or "independent" for every member.
        eps: >= 0, in the unit of `rewards`, where there is a deviation.
        ddof: 1 divides the squares by G - 1, 0 by G, where there is a deviation.
        tau: > 0, temperature of `pl_softmax`.

    Returns:
        (P, K) expected advantages.

    Raises:
        InvalidInputError: as `expectation`, which is the one to call for many policies.

    Edge cases: tokens of probability 0 have an expected advantage too: what they would get.
        Rewards that differ by less than 1e-12 of the largest are one. Those that differ by more, but
        by no more than 2**-22 of the largest, are outside of the domain: here they are told apart,
        while an estimator that divides by a deviation takes a group of them for constant.
    Properties: exact to 1e-8 or better.
    Reference: derived here; the estimators are those of `levelhead.advantages`.

    Example:
        >>> expected_advantage("grpo_no_std", [0.5, 0.5], 0.75, [[0.0, -4.0], [-4.0, 0.0]], 4)
        array([[-0.75,  0.75]])
    """
    function = expectation(
        name, rewards, group_size, outcomes=outcomes, eps=eps, ddof=ddof, tau=tau
    )
    return function(policy, p)


def _reward(table: FloatArray, p: FloatArray) -> FloatArray:
    """(P, K) expected reward of each token."""
    return p[:, None] * table[1] + (1.0 - p[:, None]) * table[0]


def _reinforce(table: FloatArray, size: int, policy: ArrayLike, p: ArrayLike) -> FloatArray:
    truth, pi = truths(p, policies(policy))
    return _reward(reward_rows(table, pi.shape[1]), truth)


def _rloo(table: FloatArray, size: int, policy: ArrayLike, p: ArrayLike) -> FloatArray:
    return true_advantage(policy, p, table)


def _grpo_no_std(table: FloatArray, size: int, policy: ArrayLike, p: ArrayLike) -> FloatArray:
    return true_advantage(policy, p, table) * ((size - 1.0) / size)


def _rloo_notebook(table: FloatArray, size: int, policy: ArrayLike, p: ArrayLike) -> FloatArray:
    """A + V / G: the baseline leaves the own reward out of the sum, but divides by G."""
    return true_advantage(policy, p, table) + _value(table, policy, p)[:, None] / size


def _value(table: FloatArray, policy: ArrayLike, p: ArrayLike) -> FloatArray:
    truth, pi = truths(p, policies(policy))
    return np.sum(pi * _reward(table, truth), axis=1)


def _batch_limit(
    table: FloatArray, size: int, eps: float, policy: ArrayLike, p: ArrayLike
) -> FloatArray:
    """Divided by the deviation of all rewards; a group's mean as baseline where size > 0."""
    advantage = true_advantage(policy, p, table)
    if size:
        advantage *= (size - 1.0) / size
    truth, pi = truths(p, policies(policy))
    apart = (table[:, None, :] - _value(table, pi, truth)[:, None]) ** 2  # (2, P, K)
    both = np.sum(pi * apart, axis=2)
    scale = np.sqrt(truth * both[1] + (1.0 - truth) * both[0])[:, None] + eps
    return advantage / np.where(scale > 0.0, scale, np.inf)


def _memory_limit(std: StdExpectation, eps: float, policy: ArrayLike, p: ArrayLike) -> FloatArray:
    """Divided by E[std | not constant]; by 1, where a memory starts, if groups never vary."""
    truth, pi = truths(p, policies(policy))
    advantage = _grpo_no_std(std.rewards, std.group_size, pi, truth)
    total, vary = np.zeros(truth.size), np.zeros(truth.size)
    for law, one in zip(std.laws, std.std_given(pi, truth), strict=True):
        outcomes = list(law.index)
        share = np.ones(truth.size) if len(outcomes) == 2 else chance(truth, outcomes[0])
        total += share * one
        vary += share * (1.0 - np.sum(law.weights(pi, truth) ** std.group_size, axis=1))
    known = vary > FLAT
    scale = np.where(known, total / np.where(known, vary, 1.0), 1.0)
    return advantage / (scale + eps)[:, None]


def _by_law(
    table: FloatArray,
    kind: Outcomes,
    size: int,
    of_symbols: Callable[[FloatArray, FloatArray, int], FloatArray],
    policy: ArrayLike,
    p: ArrayLike,
) -> FloatArray:
    """Averages what is known per reward over the outcomes of each token."""
    truth, pi = truths(p, policies(policy))
    reward_rows(table, pi.shape[1])
    out = np.empty((2, *pi.shape))
    for law in reward_laws(table, kind):
        law.per_token(of_symbols(law.values, law.weights(pi, truth), size), out)
    return out[0] + truth[:, None] * (out[1] - out[0])


def _enumerated(
    table: FloatArray, size: int, kind: Outcomes, eps: float, ddof: int
) -> ExpectedFunction:
    estimator = functools.partial(pl_zscore, eps=eps, ddof=ddof)
    try:
        return AdvantageTable.build(estimator, table, size, outcomes=kind).expected
    except InvalidInputError as error:
        raise InvalidInputError(
            f"estimator: no closed form is known for 'pl_zscore', and enumeration refuses: {error}"
        ) from error


_MOMENTS: dict[str, Callable[[FloatArray, int, ArrayLike, ArrayLike], FloatArray]] = {
    "reinforce": _reinforce,
    "rloo": _rloo,
    "grpo_no_std": _grpo_no_std,
    "rloo_notebook": _rloo_notebook,
}
_ORDERED: dict[str, Callable[[FloatArray, FloatArray, int], FloatArray]] = {
    "rank_linear": _rank_linear,
    "top1": _top1,
    "max_at_k": _max_at_k,
}
NAMES = (
    *_MOMENTS,
    "batch_std",
    "reinforce_pp",
    "ema_std",
    "grpo",
    "loo_std",
    "rank_linear",
    "top1",
    "pl_softmax",
    "pl_zscore",
    "max_at_k",
)
"""The estimators whose expectation is known, in the order of `levelhead.advantages.TABLE`."""
