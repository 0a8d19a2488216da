"""How a guard did on rows that it had never seen: what it answered, what was wrong, what it promised.

Everything here is a function of scores and labels; which rows may be judged is `guard.evaluate`'s
business.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import special

from levelhead import metrics
from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead.errors import InvalidInputError
from levelhead.guard.drift import CusumResult, DriftCheck
from levelhead.guard.policy import ANSWER, ESCALATE, Policy
from levelhead.guard.threshold import slice_labels
from levelhead.metrics import ReliabilityCurve, RiskCoverageCurve
from levelhead.records import Kind, Prediction

__all__ = [
    "VERDICTS",
    "Evaluation",
    "Outcome",
    "Overstated",
    "Quality",
    "SliceResult",
    "error_interval",
    "outcome_of",
    "quality_of",
    "slice_results",
    "verdict_of",
]

VERDICTS = ("kept", "within chance", "broken", "nothing answered", "no threshold")
"""What became of the promise, see `Evaluation.verdict`."""

LEVEL = 0.95
N_CURVE = 500
"""Points of a risk-coverage curve that is kept for a picture."""


@dataclasses.dataclass(frozen=True)
class Quality:
    """One confidence, stated or verified, against what was right.

    Attributes:
        name: `stated` or `verified`.
        n: rows, the same ones for both.
        accuracy: share of right claims.
        mean_confidence: mean confidence in the claim.
        ece: expected calibration error in the kind's own reading (P(event) for events).
        ece_expected: what it would be on average if the confidence were right, by chance alone.
        ece_p_value: chance of an `ece` this large if the confidence were right; prompts of one unit
            are drawn together.
        brier: mean squared error in the kind's own reading.
        nll: log loss in nats in the kind's own reading.
        auroc: chance that a right one has the higher confidence, in the kind's own reading; NaN with
            one class.
        trust: utility averaged over stakes from 0.5 up; for events of the likelier side.
        reliability: points of the reliability diagram in the kind's own reading.
    """

    name: str
    n: int
    accuracy: float
    mean_confidence: float
    ece: float
    ece_expected: float
    ece_p_value: float
    brier: float
    nll: float
    auroc: float
    trust: float
    reliability: ReliabilityCurve

    @property
    def overconfidence(self) -> float:
        """Mean confidence in the claim minus the share that is right."""
        return self.mean_confidence - self.accuracy


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was done with some prompts and how it went.

    Attributes:
        n_prompts: prompts, one decision each.
        n_answered: how many were answered.
        n_escalated: how many were handed on.
        n_judged: answered ones whose truth is known.
        n_errors: wrong ones among these.
        low: lower end of the exact (Clopper-Pearson) 95% interval of the error rate; NaN where
            nothing was judged.
        high: upper end of it.
    """

    n_prompts: int
    n_answered: int
    n_escalated: int
    n_judged: int
    n_errors: int
    low: float
    high: float

    @property
    def n_abstained(self) -> int:
        """Prompts that were neither answered nor handed on."""
        return self.n_prompts - self.n_answered - self.n_escalated

    @property
    def coverage(self) -> float:
        """Share of the prompts that was answered; NaN without prompts."""
        return self.n_answered / self.n_prompts if self.n_prompts else float("nan")

    @property
    def error_rate(self) -> float:
        """Share of wrong ones among the answered whose truth is known; NaN where there are none."""
        return self.n_errors / self.n_judged if self.n_judged else float("nan")

    @property
    def n_per_prompt(self) -> int:
        """Prompts whose errors are known: those that were not answered have none."""
        return self.n_prompts - self.n_answered + self.n_judged

    @property
    def errors_per_prompt(self) -> float:
        """Wrong answers per prompt, answered or not, which `crc` promises; NaN where none is known."""
        return self.n_errors / self.n_per_prompt if self.n_per_prompt else float("nan")

    @property
    def interval_per_prompt(self) -> tuple[float, float]:
        """The exact 95% interval of `errors_per_prompt`."""
        return error_interval(self.n_errors, self.n_per_prompt)


@dataclasses.dataclass(frozen=True)
class SliceResult:
    """One slice of the prompts.

    Attributes:
        value: the slice; "" where a row has none.
        threshold: the score from which it is answered; None answers nothing.
        seen: whether a threshold was set for it.
        outcome: what was done with its prompts.
        verdict: one of `VERDICTS`.
    """

    value: str
    threshold: float | None
    seen: bool
    outcome: Outcome
    verdict: str


@dataclasses.dataclass(frozen=True)
class Overstated:
    """A row that states more than was verified.

    Attributes:
        stated: stated confidence in the claim.
        verified: verified confidence in the claim.
        correct: whether the claim was right, 0 or 1; NaN where unknown.
        decision: one of `DECISIONS`, or "" without a threshold.
        record: the row.
    """

    stated: float
    verified: float
    correct: float
    decision: str
    record: Prediction


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a guard did on rows that it had not seen, beside what it promised.

    Attributes:
        kind: `answer` or `event`.
        model: whose predictions these are.
        unit: what is never split, or None for the prompt.
        select: `top` (each prompt's best answer) or `each` (one row per prompt, at random).
        rows: which rows were judged and why, in a sentence.
        on_fit_rows: whether the guard has seen them: then nothing below is a fair test.
        n_rows: rows judged.
        n_prompts: prompts judged.
        n_units: units judged.
        outcome: coverage and errors over the prompts.
        method: how the threshold was set, `ltt` or `crc`; None without one.
        max_error: the promised limit, or None.
        delta: in how many samples the promise may fail, or None.
        promise: the promise in words; "" without one.
        verdict: `kept` (the measured rate is within the promise), `within chance` (above it, but the
            interval reaches down to it), `broken` (the whole interval is above it), `nothing
            answered`, `no threshold`.
        sentence: the verdict in words.
        stated: quality of the stated confidence, on the rows that state one and have a truth; None
            where there are none.
        verified: quality of the verified confidence on the same rows.
        curve: risk over coverage of the prompts by verified confidence; None where no truth is known.
        stated_curve: the same where the stated confidence chooses and orders; None without one.
        drift: whether the scores are spread as they were when the threshold was set; None where
            there are none.
        score_edges: (B + 1,) bins of the scores.
        score_shares: (B,) share of the prompts in each now.
        reference_shares: (B,) share when the threshold was set.
        alarm: the running sum of the errors among the answered, in the order of the rows; None
            without a promise on them.
        by: the column of the slices, or None.
        slices: one entry per slice that occurs or has a threshold.
        counts: `missing` confidences, `refusals`, rows `without_answer` where one was expected,
            `overconfident` rows, rows of `unseen_slices`, rows `without_truth`, rows `without_prompt`,
            and `left_out` rows that the guard had seen.
        overstated: the rows that state most above what was verified.
        notes: what must be known about these rows, one sentence each.
        warnings: what takes ground from under the result, one sentence each.
    """

    kind: Kind
    model: str
    unit: str | None
    select: str
    rows: str
    on_fit_rows: bool
    n_rows: int
    n_prompts: int
    n_units: int
    outcome: Outcome
    method: str | None
    max_error: float | None
    delta: float | None
    promise: str
    verdict: str
    sentence: str
    stated: Quality | None
    verified: Quality | None
    curve: RiskCoverageCurve | None
    stated_curve: RiskCoverageCurve | None
    drift: DriftCheck | None
    score_edges: tuple[float, ...]
    score_shares: tuple[float, ...]
    reference_shares: tuple[float, ...]
    alarm: CusumResult | None
    by: str | None
    slices: tuple[SliceResult, ...]
    counts: Mapping[str, int]
    overstated: tuple[Overstated, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        o = self.outcome
        found = f"{o.n_answered:,} of {o.n_prompts:,} prompts answered, {o.n_errors:,} wrong"
        return f"Evaluation({self.kind}s of {self.model!r}, {found}, verdict {self.verdict!r})"

    @property
    def changed(self) -> bool:
        """Whether an alarm says that the promise need not hold here."""
        drifted = self.drift is not None and self.drift.alarm
        return drifted or (self.alarm is not None and self.alarm.alarm_at is not None)


def error_interval(n_errors: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of an error rate: the rates under which so many errors are no surprise.

    low: P(Binomial(n, low) >= e) = (1 - level) / 2;  high: P(Binomial(n, high) <= e) = (1 - level) / 2

    Args:
        n_errors: errors, 0 to n.
        n: trials, >= 0.
        level: in (0, 1).

    Returns:
        Both ends in [0, 1]; NaN where n is 0.

    Raises:
        InvalidInputError: more errors than trials, or a level outside (0, 1).

    Edge cases: no errors have the lower end 0, only errors the upper end 1.
    Properties: covers the true rate with at least the stated probability, whatever it is.
    Reference: Clopper and Pearson 1934.

    Example:
        >>> low, high = error_interval(0, 10)
        >>> low, round(high, 4)
        (0.0, 0.3085)
    """
    if not 0 <= n_errors <= n:
        raise InvalidInputError(f"n_errors: expected 0 to {n}, got {n_errors}")
    if not 0.0 < level < 1.0:
        raise InvalidInputError(f"level: expected a number in (0, 1), got {level}")
    if n == 0:
        return float("nan"), float("nan")
    tail = (1.0 - level) / 2.0
    low = 0.0 if n_errors == 0 else float(special.betaincinv(n_errors, n - n_errors + 1, tail))
    high = 1.0
    if n_errors < n:
        high = float(special.betaincinv(n_errors + 1, n - n_errors, 1.0 - tail))
    return low, high


def outcome_of(decision: npt.NDArray[np.int8], correct: FloatArray) -> Outcome:
    """Counts of one decision per prompt.

    Args:
        decision: (P,) codes into `DECISIONS`.
        correct: (P,) whether the claim was right, 0 or 1; NaN where unknown.

    Returns:
        The counts and the interval.
    """
    answered = decision == ANSWER
    judged = answered & ~np.isnan(correct)
    n, errors = int(judged.sum()), int((correct[judged] < 0.5).sum())
    low, high = error_interval(errors, n)
    return Outcome(
        n_prompts=decision.size,
        n_answered=int(answered.sum()),
        n_escalated=int((decision == ESCALATE).sum()),
        n_judged=n,
        n_errors=errors,
        low=low,
        high=high,
    )


def verdict_of(outcome: Outcome, method: str | None, max_error: float | None) -> str:
    """What the prompts at hand say of the promise.

    Args:
        outcome: their counts.
        method: `ltt`: the promise is about the answered; `crc`: about all prompts; None: there is
            none.
        max_error: the limit.

    Returns:
        One of `VERDICTS`. For `crc`, errors are counted per prompt with an answer or a known silence.
    """
    if method is None or max_error is None:
        return VERDICTS[4]
    if outcome.n_judged == 0:
        return VERDICTS[3]
    rate, low = outcome.error_rate, outcome.low
    if method == "crc":
        rate, low = outcome.errors_per_prompt, outcome.interval_per_prompt[0]
    return VERDICTS[0] if rate <= max_error else VERDICTS[1] if low <= max_error else VERDICTS[2]


def slice_results(
    policy: Policy | None,
    by: str,
    labels: list[str],
    decision: npt.NDArray[np.int8],
    correct: FloatArray,
    method: str | None,
    max_error: float | None,
) -> tuple[SliceResult, ...]:
    """One entry per slice that occurs among the prompts or that a threshold was set for.

    Args:
        policy: its thresholds, or None.
        by: the column of the slices.
        labels: (P,) the slice of each prompt.
        decision: (P,) codes into `DECISIONS`.
        correct: (P,) 0, 1 or NaN.
        method: as `verdict_of`.
        max_error: as `verdict_of`.

    Returns:
        Entries in the order of their names. Where the thresholds belong to another column, a slice has
        none of its own and counts as seen.
    """
    own = policy is not None and policy.by == by
    thresholds = policy.thresholds if policy is not None and own else {}
    whole = policy.thresholds[""] if policy is not None and policy.by is None else None
    array = np.array(slice_labels(labels, len(labels)), dtype=object)
    found: list[SliceResult] = []
    for value in sorted(set(array.tolist()) | set(thresholds)):
        rows = array == value
        outcome = outcome_of(decision[rows], correct[rows])
        threshold = whole if whole is not None else thresholds.get(value)
        found.append(
            SliceResult(
                value=value,
                threshold=None if threshold is None else threshold.value,
                seen=threshold is not None or not own,
                outcome=outcome,
                verdict=verdict_of(outcome, method, max_error),
            )
        )
    return tuple(found)


def quality_of(
    name: str,
    confidence: FloatArray,
    label: FloatArray,
    *,
    claimed: FloatArray,
    right: FloatArray,
    kind: Kind,
    clusters: IntArray,
    weights: FloatArray | None,
    seed: int,
) -> Quality:
    """Every number that compares a stated with a verified confidence.

    Args:
        name: `stated` or `verified`.
        confidence: (N,) in the kind's own reading, in [0, 1].
        label: (N,) `correct` or `outcome`, 0 or 1.
        claimed: (N,) confidence in the claim, in [0, 1].
        right: (N,) whether the claim was right, 0 or 1.
        kind: `answer` or `event`.
        clusters: (N,) unit of each row.
        weights: (N,) or None.
        seed: of the null distribution.

    Returns:
        The numbers.
    """
    test = metrics.ece_excess_test(
        confidence, label, weights=weights, clusters=clusters, n_draws=1000, seed=seed
    )
    sure, came = (confidence, label)
    if kind == "event":
        sure, came = metrics.top_label(confidence, label)
    return Quality(
        name=name,
        n=confidence.size,
        accuracy=metrics.accuracy(claimed, right, weights=weights),
        mean_confidence=metrics.mean_confidence(claimed, right, weights=weights),
        ece=test.ece,
        ece_expected=test.expected,
        ece_p_value=test.p_value,
        brier=metrics.brier(confidence, label, weights=weights),
        nll=metrics.nll(confidence, label, weights=weights),
        auroc=metrics.auroc(confidence, label, weights=weights),
        trust=metrics.trust(sure, came, t0=0.5, weights=weights),
        reliability=metrics.reliability_curve(confidence, label, weights=weights),
    )


def curve_of(score: FloatArray, correct: FloatArray, among: BoolArray) -> RiskCoverageCurve | None:
    """Risk over coverage of the prompts that have a truth; None where none has.

    Args:
        score: (P,) in [0, 1] where `among`.
        correct: (P,) 0, 1 or NaN.
        among: (P,) which prompts have something to answer.

    Returns:
        At most about `N_CURVE` points.
    """
    known = among & ~np.isnan(correct)
    if not known.any():
        return None
    curve = metrics.risk_coverage_curve(score[known], correct[known])
    n = curve.coverage.size
    if n <= N_CURVE:
        return curve
    keep = np.unique(np.linspace(0, n - 1, N_CURVE).round().astype(np.int64))
    return RiskCoverageCurve(curve.coverage[keep], curve.risk[keep], curve.threshold[keep])
