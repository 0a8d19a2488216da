"""From scored rows to an `Evaluation`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead._text import plural
from levelhead.guard._guard import N_HISTOGRAM, Guard, Scored, flagged, histogram
from levelhead.guard._rows import REFUSAL, one_of
from levelhead.guard._steps import warned
from levelhead.guard.drift import CusumResult, ErrorCusum
from levelhead.guard.evaluation import (
    Evaluation,
    Outcome,
    Overstated,
    Quality,
    curve_of,
    outcome_of,
    quality_of,
    slice_results,
    verdict_of,
)
from levelhead.guard.policy import ABSTAIN, ANSWER, DECISIONS, Policy
from levelhead.guard.ranking import rank_within
from levelhead.guard.threshold import slice_labels
from levelhead.metrics import RiskCoverageCurve
from levelhead.records import Predictions

MAX_OVERSTATED = 50


@dataclasses.dataclass(frozen=True)
class Judged:
    """What `evaluate` has found out before anything is measured."""

    guard: Guard
    predictions: Predictions
    found: Scored
    picked: IntArray  # one row for each prompt
    decision: npt.NDArray[np.int8] | None  # (N,)
    confidence: FloatArray  # (N,) verified, in the kind's own reading
    by: str | None
    slices: list[Any] | None
    left_out: int
    on_fit_rows: bool
    sentence: str
    collides: str  # what is said of ids that are known where the rows are not; else ""


def evaluated(judged: Judged, seed: int) -> Evaluation:
    """Every number of an evaluation."""
    guard, rows, picked = judged.guard, judged.found.rows, judged.picked
    policy = guard.policy
    method, max_error, delta = _promised(policy)
    silent = np.full(len(judged.predictions), ABSTAIN, dtype=np.int8)
    decision = (silent if judged.decision is None else judged.decision)[picked]
    correct = rows.correct[picked]
    score = judged.found.score[picked]
    outcome = outcome_of(decision, correct)
    verdict = verdict_of(outcome, method, max_error)
    stated, verified = _qualities(judged, seed)
    labels = slice_labels(judged.slices, rows.claim.size) if judged.slices is not None else None
    slices = ()
    if labels is not None and judged.by is not None:
        at = [labels[i] for i in picked.tolist()]
        slices = slice_results(policy, judged.by, at, decision, correct, method, max_error)
    flags = flagged(guard, judged.found)
    counts = _counts(judged, flags, labels)
    return Evaluation(
        kind=guard.kind,
        model=judged.predictions.model,
        unit=guard.unit,
        select=guard.select,
        rows=judged.sentence,
        on_fit_rows=judged.on_fit_rows,
        n_rows=len(judged.predictions),
        n_prompts=len(rows.prompts),
        n_units=len(rows.units),
        outcome=outcome,
        method=method,
        max_error=max_error,
        delta=delta,
        promise="" if policy is None else policy.promise,
        verdict=verdict,
        sentence=_sentence(outcome, verdict, method, max_error),
        stated=stated,
        verified=verified,
        curve=curve_of(score, correct, ~np.isnan(score)),
        stated_curve=_stated_curve(judged),
        drift=guard.reference.check(score) if score.size else None,
        score_edges=tuple((np.arange(N_HISTOGRAM + 1) / N_HISTOGRAM).tolist()),
        score_shares=_shares(histogram(score)),
        reference_shares=_shares(guard.histogram),
        alarm=_alarm(decision, correct, method, max_error),
        by=judged.by,
        slices=slices,
        counts=counts,
        overstated=_overstated(judged, flags),
        notes=_notes(judged, counts),
        warnings=warned(judged.collides, rows, guard.unit, guard.per_unit or policy is None),
    )


def _promised(policy: Policy | None) -> tuple[str | None, float | None, float | None]:
    if policy is None:
        return None, None, None
    kept = list(policy.thresholds.values())
    delta = None if kept[0].delta is None else sum(one.delta or 0.0 for one in kept)
    return kept[0].method, kept[0].max_error, delta


def _qualities(judged: Judged, seed: int) -> tuple[Quality | None, Quality | None]:
    """The stated and the verified confidence on the rows that have both, and a truth."""
    rows, p = judged.found.rows, judged.predictions
    both = rows.claim & ~np.isnan(rows.stated) & ~np.isnan(rows.correct)
    if not both.any():
        return None, None
    weights = None if p.weight is None else p.weight[both]
    if weights is not None and not weights.any():
        return None, None

    def quality(name: str, own: FloatArray, claimed: FloatArray) -> Quality:
        return quality_of(
            name,
            own[both],
            p.label[both],
            claimed=claimed[both],
            right=rows.correct[both],
            kind=p.kind,
            clusters=rows.unit[both],
            weights=weights,
            seed=seed,
        )

    return (
        quality("stated", p.confidence, rows.stated),
        quality("verified", judged.confidence, judged.found.score),
    )


def _stated_curve(judged: Judged) -> RiskCoverageCurve | None:
    """Risk over coverage if the stated confidence chose the answer and ordered the prompts."""
    guard, rows = judged.guard, judged.found.rows
    said = rows.claim & ~np.isnan(rows.stated)
    if not said.any():
        return None
    at = np.flatnonzero(said)
    if guard.select == "top":
        at = at[rank_within(rows.stated[at], rows.prompt[at]) == 1]
    chosen = one_of(at, rows.prompt, rows.prompts, rows.stated, guard.seed, "row")
    every = np.ones(chosen.size, np.bool_)
    return curve_of(rows.stated[chosen], rows.correct[chosen], every)


def _shares(counts: tuple[int, ...]) -> tuple[float, ...]:
    total = sum(counts)
    return tuple(count / total if total else 0.0 for count in counts)


def _alarm(
    decision: npt.NDArray[np.int8],
    correct: FloatArray,
    method: str | None,
    max_error: float | None,
) -> CusumResult | None:
    known = (decision == ANSWER) & ~np.isnan(correct)
    if method != "ltt" or max_error is None or not known.any():
        return None
    return ErrorCusum(max_error).run(1.0 - correct[known])


def _counts(judged: Judged, flags: BoolArray, labels: list[str] | None) -> dict[str, int]:
    rows, p, policy = judged.found.rows, judged.predictions, judged.guard.policy
    unseen = 0
    if policy is not None and policy.by is not None and policy.by == judged.by and labels:
        unseen = sum(policy.unseen(labels).values())
    refused = p.status == REFUSAL
    return {
        "missing": int((np.isnan(rows.stated) & ~refused).sum()),
        "refusals": int(refused.sum()),
        "without_answer": int(rows.silent.sum()),
        "overconfident": int(flags.sum()),
        "unseen_slices": unseen,
        "without_truth": int((np.isnan(p.label) & ~refused).sum()),
        "without_prompt": len(p) if p.prompt_id is None else p.n_without_prompt,
        "left_out": judged.left_out,
    }


def _overstated(judged: Judged, flags: BoolArray) -> tuple[Overstated, ...]:
    rows, score = judged.found.rows, judged.found.score
    at = np.flatnonzero(flags)
    gap = rows.stated[at] - score[at]
    order = at[np.argsort(-gap, kind="stable")][:MAX_OVERSTATED]
    decision = judged.decision
    return tuple(
        Overstated(
            stated=float(rows.stated[i]),
            verified=float(score[i]),
            correct=float(rows.correct[i]),
            decision="" if decision is None else DECISIONS[decision[i]],
            record=judged.predictions.row(i),
        )
        for i in order.tolist()
    )


def _notes(judged: Judged, counts: Mapping[str, int]) -> tuple[str, ...]:
    guard = judged.guard
    notes = [guard.threshold_rows] if guard.threshold_rows else []
    said = {
        "without_truth": "without a known truth, which count for coverage only",
        "refusals": "that refuse, which are never answered",
        "without_answer": "without an answer, which are never answered",
        "missing": "without a stated confidence",
    }
    notes += [
        f"{plural(counts[name], 'row')} {what}" for name, what in said.items() if counts[name]
    ]
    if guard.per_unit:
        notes.append(
            f"coverage and errors count one prompt of each {guard.unit}, drawn at random, as the "
            "threshold did: prompts of one are not independent"
        )
    policy = guard.policy
    if judged.by is not None and policy is not None and policy.by != judged.by:
        over = "all prompts" if policy.by is None else f"each {policy.by}"
        notes.append(f"the promise is for {over}, not for each {judged.by}")
    if judged.predictions.weight is not None:
        notes.append("weights count for the quality of the confidences, not for the promise")
    return tuple(notes)


def _sentence(outcome: Outcome, verdict: str, method: str | None, max_error: float | None) -> str:
    if method is None or max_error is None:
        return "no threshold is set: nothing is promised and nothing is answered"
    if outcome.n_judged == 0 and outcome.n_answered:
        said = f"{outcome.n_answered:,} of {plural(outcome.n_prompts, 'prompt')} are answered"
        return f"{said}, and the truth of none of these is known"
    if outcome.n_judged == 0:
        return f"none of {plural(outcome.n_prompts, 'prompt')} is answered"
    known = outcome.n_judged == outcome.n_answered
    whose = "the answers" if known else f"the {outcome.n_judged:,} answers with a known truth"
    found = (
        f"{outcome.n_answered:,} of {plural(outcome.n_prompts, 'prompt')} are answered "
        f"({outcome.coverage:.1%}), and "
    )
    if method == "crc":
        low, high = outcome.interval_per_prompt
        limit = f"{max_error:.3g} errors per prompt"
        found += (
            f"there are {outcome.errors_per_prompt:.3g} errors per prompt (95% interval {low:.3g} to "
            f"{high:.3g}; {outcome.error_rate:.1%} of {whose} are wrong)"
        )
    else:
        limit = f"{max_error:.1%}"
        found += (
            f"{outcome.error_rate:.1%} of {whose} are wrong (95% interval {outcome.low:.1%} to "
            f"{outcome.high:.1%})"
        )
    said = {
        "kept": f"within the promised {limit}",
        "within chance": f"above the promised {limit}, though no more than chance allows",
        "broken": f"more than the promised {limit}, and more than chance allows",
    }
    return f"{found}: {said[verdict]}"


__all__ = ["Judged", "evaluated"]
