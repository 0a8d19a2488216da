"""What the probe found out about one estimator."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from levelhead._write import plain
from levelhead.probe.questions import Traits

__all__ = ["Bias", "End", "LengthReading", "LengthVerdict", "Reading", "Verdict"]

Verdict = Literal[
    "calibrated",
    "overconfident",
    "underconfident",
    "lottery",
    "backwards",
    "mixed",
    "not settled",
    "not measured",
]

LengthVerdict = Literal["even", "favors long wrong answers", "favors short wrong answers", "none"]


@dataclasses.dataclass(frozen=True)
class End:
    """Where a policy ends that starts uniform, for one true probability.

    Attributes:
        p: true probability of the outcome.
        mean: mean stated probability in the end.
        sd: standard deviation of single samples.
        low: share of single samples that state at most 0.1.
        high: share that state at least 0.9.
        error: standard error of `mean` from sampling, at least what other samples, and the mirrored
            truth, say; 0 where nothing was sampled.
        settled: whether it had stopped moving and, where it was sampled, other samples end there
            too.
        label: what that is called.
    """

    p: float
    mean: float
    sd: float
    low: float
    high: float
    error: float
    settled: bool
    label: str


@dataclasses.dataclass(frozen=True)
class Bias:
    """The expected advantage against the exact one, for one policy and one true probability.

    Attributes:
        policy: `uniform`, or `near M` for a policy concentrated at M.
        p: true probability of the outcome.
        cosine: between the expected and the exact advantage, weighted by the policy and centered:
            1 is the right direction; NaN where one of the two vanishes.
        factor: what the exact advantage must be multiplied by to come closest.
        pull: correlation of the stated probability with the expected advantage under the policy,
            in [-1, 1]: > 0 drives the statements up.
        exact_pull: the same for the exact advantage.
        expected: (K,) expected advantage of each token, centered.
        exact: (K,) exact advantage.
        error: (K,) standard errors of `expected` from sampling; 0 where nothing was sampled.
        probability: (K,) the policy.
    """

    policy: str
    p: float
    cosine: float
    factor: float
    pull: float
    exact_pull: float
    expected: tuple[float, ...]
    exact: tuple[float, ...]
    error: tuple[float, ...]
    probability: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Reading:
    """What the probe found out about one estimator.

    Attributes:
        name: of the estimator, as it was asked for.
        version: of the package that it comes from; empty for a user's function.
        how: whether installed code ran, or a published formula.
        note: what must be known about how it was driven.
        reward: name of the reward.
        groups: `shared` or `independent` outcomes within a group.
        group_size: samples per group.
        seed: of everything random.
        values: (K,) what the tokens of the measured policies state.
        method: `exact` expectations, or `sampled` ones.
        ends: where policies end, one per true probability.
        biases: the expected advantage against the exact one.
        traits: how it works, from questions; None where it could not be asked.
        samples_needed: samples for a step of the same accuracy, in multiples of what (reward minus
            group mean) needs; NaN where there is no such step.
        offsets: mean advantage of a prompt's samples by true probability, in standard deviations
            of the advantage, under policies that say the truth.
        two_prompts_end: where the policy for p = 0.75 ends in batches of two prompts, where other
            prompts matter; NaN elsewhere.
        unequal_positions: how far apart the factors of two positions in a group are, as the mean
            ratio of the largest to the smallest; 1 where position does not matter.
        prompts: prompts in a batch of the sampled measurement.
        steps: updates to the end.
        seconds: what the measurement took.
        verdict: in one word.
        headline: the verdict in a sentence with numbers.
        mechanism: what the estimator does and what that does to the policy, sentence by sentence.
        notes: what else was noticed (types, failures, assumptions).
        failure: why it could not be measured; empty otherwise.
    """

    name: str
    version: str
    how: str
    note: str
    reward: str
    groups: str
    group_size: int
    seed: int
    values: tuple[float, ...] = ()
    method: Literal["exact", "sampled", "none"] = "none"
    ends: tuple[End, ...] = ()
    biases: tuple[Bias, ...] = ()
    traits: Traits | None = None
    samples_needed: float = float("nan")
    offsets: tuple[float, ...] = ()
    two_prompts_end: float = float("nan")
    unequal_positions: float = 1.0
    prompts: int = 0
    steps: int = 0
    seconds: float = 0.0
    verdict: Verdict = "not measured"
    headline: str = ""
    mechanism: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str = ""

    def __str__(self) -> str:
        """Name and headline in a line, then how it works, a sentence a line."""
        return "\n".join([f"{self.name}: {self.headline}", *self.mechanism])

    @property
    def pull(self) -> float:
        """Pull at the policy near 0.75 where 0.75 is the truth; NaN where it was not measured."""
        bias = self.bias("near 0.75", 0.75)
        return float("nan") if bias is None else bias.pull

    def end(self, p: float) -> End | None:
        """Where the policy for this true probability ends, if it was measured."""
        return next((end for end in self.ends if np.isclose(end.p, p)), None)

    def bias(self, policy: str, p: float) -> Bias | None:
        """The expected advantage at a policy for this true probability, if it was measured."""
        return next((b for b in self.biases if b.policy == policy and np.isclose(b.p, p)), None)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types for JSON; what is not finite becomes None."""
        return {"kind": "advantage", **plain(dataclasses.asdict(self)), "pull": plain(self.pull)}


@dataclasses.dataclass(frozen=True)
class LengthReading:
    """What the probe found out about one way to add up the losses of tokens.

    Attributes:
        name: of the aggregation, as it was asked for.
        version: of the package that it comes from.
        how: whether installed code ran, or a published formula.
        note: what must be known about how it was driven.
        ratio: P(wrong and long) / P(wrong and short) when P(correct) has reached 0.9, after an even
            start; 1 where length does not matter.
        ratio_large: the same for batches of 32 sequences instead of 8.
        verdict: in one word.
        headline: the verdict in a sentence with numbers.
        seconds: what the measurement took.
        failure: why it could not be measured; empty otherwise.
    """

    name: str
    version: str
    how: str
    note: str
    ratio: float = float("nan")
    ratio_large: float = float("nan")
    verdict: LengthVerdict = "none"
    headline: str = ""
    seconds: float = 0.0
    failure: str = ""

    def __str__(self) -> str:
        """Name and headline in a line."""
        return f"{self.name}: {self.headline}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types for JSON; what is not finite becomes None."""
        return {"kind": "loss", **plain(dataclasses.asdict(self))}
