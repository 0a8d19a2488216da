"""The world in which an estimator is measured, and where it drives policies there, exactly.

The world is tabular: a policy puts probabilities on K tokens that state `values`, an outcome of
probability p decides their rewards. The estimator sees rewards and groups and nothing else.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from levelhead._arrays import FloatArray
from levelhead.lab.exact import AdvantageTable, true_advantage
from levelhead.lab.expectation import NAMES, ExpectedFunction, expectation
from levelhead.lab.meanfield import fixed_points
from levelhead.lab.policy import beta_policy
from levelhead.probe.blackbox import BlackBox
from levelhead.probe.reading import Bias
from levelhead.rewards import reward_table

__all__ = ["GRIDS", "Ends", "Setting", "biases_at", "exact", "policies", "pull"]

GRIDS: tuple[tuple[float, ...], ...] = (
    (0.01, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.99),
    (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99),
    (0.01, 0.25, 0.5, 0.75, 0.99),
    (0.01, 0.25, 0.75, 0.99),
)
"""Tokens of the measured policies, the finest first; the inner values are the true probabilities."""

ALONE = (0.25, 0.75)
"""True probabilities that, for groups larger still, have worlds of their own with three tokens: the
truth and the ends."""

ENDS = (0.01, 0.99)

MAX_GROUPS = 80_000
"""Multisets that a table may have."""

SHARPNESS = 20.0
"""alpha + beta of the Beta density that a concentrated policy follows; its sd is about 0.1."""

NEAR = (0.25, 0.5, 0.75)
"""Where policies are concentrated when the bias is measured, beside the uniform one and the truth."""

BATCHED = ("batch_std", "reinforce_pp", "ema_std")
CLOSED = frozenset(NAMES) - {*BATCHED, "pl_zscore"}
"""Estimators of ours that look at one group at a time and whose expectation has a closed form."""

FURTHER, STILL = 100, 0.01
"""More mean-field updates, and how little they move the mean statement of what has settled."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """The world that an estimator is measured in.

    Attributes:
        reward: name of the reward.
        outcomes: `shared` by a group, or `independent` for every sample.
        group_size: samples per group.
        values: (K,) what the tokens state, ascending.
        rewards: (2, K) reward of each token under both outcomes.
    """

    reward: str
    outcomes: str
    group_size: int
    values: FloatArray
    rewards: FloatArray

    @classmethod
    def of(cls, reward: str, outcomes: str, group_size: int, values: tuple[float, ...]) -> Setting:
        """The world with these tokens.

        Args:
            reward: a name in `levelhead.rewards.TABLE`.
            outcomes: `shared` or `independent`.
            group_size: samples per group, >= 2.
            values: what the tokens state.

        Returns:
            The setting.
        """
        v = np.array(values)
        return cls(reward, outcomes, group_size, v, reward_table(reward, v))

    @property
    def truths(self) -> FloatArray:
        """(P,) the true probabilities: the values without the ends."""
        return self.values[1:-1]

    @property
    def uniform(self) -> FloatArray:
        """(P, K) the policy that every ascent starts from."""
        return np.full((self.truths.size, self.values.size), 1.0 / self.values.size)

    def near(self, mean: float) -> FloatArray:
        """(K,) a policy concentrated at a probability."""
        return beta_policy(self.values, SHARPNESS * mean, SHARPNESS * (1.0 - mean))

    def n_groups(self) -> int:
        """How many multisets a table of this setting has."""
        rows = [np.unique(row.round(12)) for row in self.rewards]
        if self.outcomes == "independent":
            rows = [np.unique(self.rewards.round(12))]
        elif np.array_equal(rows[0], rows[1]):
            rows = rows[:1]
        return sum(math.comb(row.size + self.group_size - 1, self.group_size) for row in rows)


@dataclasses.dataclass(frozen=True)
class Ends:
    """Where policies ended, one per true probability of the setting.

    Attributes:
        policy: (P, K) the last policies.
        error: (P,) standard errors of their means from sampling.
        settled: (P,) whether they had stopped moving.
        steps: how many updates there were.
        calls: batches per update; 0 where nothing was sampled.
        start: (P, K) the policies at the start; uniform where it is None.
    """

    policy: FloatArray
    error: FloatArray
    settled: np.ndarray
    steps: int
    calls: int
    start: FloatArray | None = None


Found = tuple[Setting, Ends, list[Bias]]


def exact(box: BlackBox, reward: str, outcomes: str, group_size: int, *, seed: int) -> Found | None:
    """Exact expectations and mean-field ends of an estimator that looks at one group at a time.

    By a table of all groups; where they are too many, by the closed form if the estimator is one of
    ours, else with fewer tokens.

    Args:
        box: the estimator.
        reward: name of the reward.
        outcomes: `shared` or `independent`.
        group_size: samples per group.
        seed: of the order within the groups.

    Returns:
        The world, the ends and the biases; None where groups are too large for a table, or the
        order within a group turns out to matter.
    """
    finest = Setting.of(reward, outcomes, group_size, GRIDS[0])
    if finest.n_groups() > MAX_GROUPS and box.known in CLOSED:
        return _follow(
            finest, expectation(box.known, finest.rewards, group_size, outcomes=outcomes)
        )
    for values in GRIDS:
        setting = Setting.of(reward, outcomes, group_size, values)
        if setting.n_groups() <= MAX_GROUPS:
            return _follow(setting, _tabulated(box, setting, seed))
    alone = [Setting.of(reward, outcomes, group_size, (ENDS[0], truth, ENDS[1])) for truth in ALONE]
    if max(setting.n_groups() for setting in alone) > MAX_GROUPS:
        return None
    whole = Setting.of(reward, outcomes, group_size, (ENDS[0], *ALONE, ENDS[1]))
    return _beside(whole, [_follow(one, _tabulated(box, one, seed)) for one in alone])


def _tabulated(box: BlackBox, setting: Setting, seed: int) -> ExpectedFunction:
    return AdvantageTable.build(
        box.fresh().in_chunks,
        setting.rewards,
        setting.group_size,
        outcomes=setting.outcomes,
        seed=seed,
    ).expected


def _follow(setting: Setting, expectations: ExpectedFunction) -> Found:
    """The ends and biases of an estimator whose expectation is a function of policy and truth."""
    p, v = setting.truths, setting.values
    found = fixed_points(expectations, p, v)
    later = fixed_points(expectations, p, v, start=found.policy, steps=FURTHER)
    settled = found.converged | (np.abs(later.mean - found.mean) < STILL)
    biases = []
    for name, policy in policies(setting):
        expected = expectations(policy, p)
        biases += biases_at(setting, name, policy, expected, np.zeros_like(expected))
    ends = Ends(later.policy, np.zeros(p.size), settled, int(found.steps.max()), 0)
    return setting, ends, biases


def _beside(whole: Setting, found: list[Found]) -> Found:
    """Worlds with a truth each as rows of one whose tokens are those of all."""
    policy, start = np.zeros((2, len(found), whole.values.size))
    biases: list[Bias] = []
    for row, (setting, ends, some) in enumerate(found):
        columns = np.searchsorted(whole.values, setting.values)
        policy[row, columns], start[row, columns] = ends.policy[0], setting.uniform[0]
        for bias in some:
            wide = {}
            for what in ("expected", "exact", "error", "probability"):
                line = np.full(whole.values.size, 0.0 if what == "probability" else np.nan)
                line[columns] = getattr(bias, what)
                wide[what] = tuple(line.tolist())
            biases.append(dataclasses.replace(bias, **wide))
    settled = np.array([ends.settled[0] for _, ends, _ in found])
    steps = max(ends.steps for _, ends, _ in found)
    return whole, Ends(policy, np.zeros(len(found)), settled, steps, 0, start), biases


def policies(setting: Setting) -> list[tuple[str, FloatArray]]:
    """The policies at which the bias is measured: name and (P, K) probabilities."""
    rows = setting.truths.size
    honest = np.stack([setting.near(float(p)) for p in setting.truths])
    fixed = [(f"near {m:g}", np.tile(setting.near(m), (rows, 1))) for m in NEAR]
    return [("uniform", setting.uniform), ("near the truth", honest), *fixed]


def biases_at(
    setting: Setting, name: str, policy: FloatArray, expected: FloatArray, error: FloatArray
) -> list[Bias]:
    exact_advantage = true_advantage(policy, setting.truths, setting.rewards)
    rows = []
    for p, pi, got, wanted, se in zip(
        setting.truths, policy, expected, exact_advantage, error, strict=True
    ):
        got = got - pi @ got
        both, mine, theirs = pi @ (got * wanted), pi @ got**2, pi @ wanted**2
        rows.append(
            Bias(
                policy=name,
                p=float(p),
                cosine=_over(both, np.sqrt(mine * theirs)),
                factor=_over(both, theirs),
                pull=pull(setting.values, pi, got),
                exact_pull=pull(setting.values, pi, wanted),
                expected=tuple(got.tolist()),
                exact=tuple(wanted.tolist()),
                error=tuple(se.tolist()),
                probability=tuple(pi.tolist()),
            )
        )
    return rows


def pull(values: FloatArray, pi: FloatArray, advantage: FloatArray) -> float:
    v, a = values - pi @ values, advantage - pi @ advantage
    size = np.sqrt((pi @ v**2) * (pi @ a**2))
    return float(pi @ (v * a) / size) if size > 1e-12 else 0.0


def _over(above: float, below: float) -> float:
    return float(above / below) if below > 1e-12 else float("nan")
