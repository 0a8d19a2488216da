"""The formats of a run in words, numbers, a picture and a table."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead._text import p_value, percent, plural
from levelhead.diagnose.charts import Curve, bar_chart, line_chart
from levelhead.diagnose.formats._compare import Homogeneity
from levelhead.diagnose.formats._drift import DriftTest
from levelhead.diagnose.formats._measures import COLLAPSED
from levelhead.diagnose.formats._rules import MAX_OTHER, OTHER
from levelhead.diagnose.section import Chart, Measure, Section, Table, Tone

__all__ = [
    "AS_NOISE",
    "FEW_SAMPLES",
    "FEW_STEPS",
    "LEAST",
    "ONE_FORMAT_ALONE",
    "UNCLEAR",
    "FormatsResult",
    "build",
    "next_steps",
]

TONES: dict[str, Tone] = {
    "COLLAPSE BEYOND DRIFT": "bad",
    "COLLAPSE BEYOND NOISE": "bad",
    "WITHIN DRIFT": "open",
    "NO COLLAPSE": "good",
    "INCONCLUSIVE": "open",
}

ENOUGH = 6
"""Independent changes below which a steady rise is often not told from drift."""

LEAST = 30
"""Samples that the start and the end need."""

FEW_SAMPLES = f"The start and the end need {LEAST} samples each."
ONE_FORMAT_ALONE = "The start already has one format alone, so there was nothing left to collapse."
UNCLEAR = "Too few samples tell whether half of the diversity is left."
FEW_STEPS = "There are too few steps to tell selection from drift."
AS_NOISE = "Sampling noise alone would lose as much diversity."

DRAWN = 4
"""Formats that have a line in the picture."""


@dataclasses.dataclass(frozen=True)
class FormatsResult:
    """What became of the formats.

    Attributes:
        verdict: `COLLAPSE BEYOND DRIFT`, `WITHIN DRIFT`, `NO COLLAPSE` or `INCONCLUSIVE`; of two sets
            `COLLAPSE BEYOND NOISE` instead of the first two, as two points say nothing of drift.
        why: one sentence on how the verdict came about.
        names: (F,) formats, the most frequent at the start first.
        steps: (B,) last step of each point; 0 and 1 for two sets.
        counts: (B, F) samples.
        number: (B,) effective numbers of formats, Miller-Madow.
        entropy: (B,) nats.
        divergence: (B,) Jensen-Shannon divergence from the start.
        retained: `(N_eff - 1)` at the end relative to the start; NaN where the start had one format.
        retained_low: lower end of its interval.
        retained_high: upper end.
        collapsed_at: the first step of a complete collapse, or None.
        winner: the dominant format at the end.
        winner_share_rank: its rank by share at the start, 1 the highest.
        winner_accuracy_rank: its rank by accuracy at the start, or None where that is unknown.
        accuracy: (F,) at the start; NaN where unknown.
        other: share of texts that no rule recognizes.
        drift: the test against drift, or None for two sets.
        homogeneity: the permutation test of two sets, or None for a run.
        design_effect: by how much like samples of one prompt widen the noise.
        level: false-alarm level of the verdict.
        seed: of every random number.
        points: (B,) of the drift's band, its points.
        logged: different steps; 2 for two sets.
        models: names of the base and of the tuned model; none for a run.
    """

    verdict: str
    why: str
    names: tuple[str, ...]
    steps: IntArray
    counts: IntArray
    number: FloatArray
    entropy: FloatArray
    divergence: FloatArray
    retained: float
    retained_low: float
    retained_high: float
    collapsed_at: int | None
    winner: str
    winner_share_rank: int
    winner_accuracy_rank: int | None
    accuracy: FloatArray
    other: float
    drift: DriftTest | None
    homogeneity: Homogeneity | None
    design_effect: float
    level: float
    seed: int
    points: IntArray
    logged: int
    models: tuple[str, ...] = ()


def build(r: FormatsResult) -> Section:
    """The section of a result; see `levelhead.diagnose.formats.section`."""
    return Section(
        name="formats",
        title="Formats of the answers",
        verdict=r.verdict,
        tone=TONES[r.verdict],
        headline=_headline(r),
        sentences=_sentences(r),
        measures=_measures(r),
        charts=[_chart(r)],
        tables=[_table(r)],
        next_steps=next_steps(r),
        warnings=_warnings(r),
        notes=[_counted(r), *_drift_notes(r)],
        data=_data(r),
    )


def next_steps(r: FormatsResult) -> list[str]:
    """What to do about a verdict.

    Args:
        r: the result.

    Returns:
        One or two sentences; none where nothing is to be done.
    """
    if r.verdict == "NO COLLAPSE":
        return []
    if r.verdict == "INCONCLUSIVE":
        return [_unblock(r)]
    again = (
        f"Repeat the run with another seed: selection lets {r.winner} win again, drift may let "
        "another."
    )
    if r.verdict == "WITHIN DRIFT":
        known = r.drift is not None and not r.drift.calibrated
        return [again] if known else [_decide(r), again]
    cause = _cause(r)
    if r.verdict == "COLLAPSE BEYOND DRIFT":
        return [cause]
    return [
        "To tell selection from drift, diagnose the logged completions of the run over its steps, 8 or "
        "more: levelhead diagnose formats COMPLETIONS.",
        cause,
    ]


def _cause(r: FormatsResult) -> str:
    if r.winner_accuracy_rank is None:
        return (
            f"Whether the reward preferred {r.winner}, its accuracy tells: give samples that say which "
            "are right."
        )
    where = f"in {r.models[0]}" if r.models else "at the start"
    if r.winner_accuracy_rank > 1:
        return (
            f"{r.winner} was not the most accurate {where}: check that the reward takes right answers in "
            "the other formats."
        )
    return (
        f"{r.winner} was the most accurate {where}. If the others are to stay, a KL penalty keeps them "
        "(algorithm.kl.coef of levelhead train); levelhead.diagnose.formats.kl_optimum computes the "
        "shares that it leaves."
    )


def _decide(r: FormatsResult) -> str:
    """What would tell selection from drift where the rate is unknown."""
    rate = "a given drift rate (--drift-rate, or --batch-size with --learning-rate)"
    drift = r.drift
    if drift is None or drift.possible >= ENOUGH:
        return f"What would decide: {rate}, or more logged steps while {r.winner} rises."
    return (
        f"What would decide: {rate}; or --momentum 0, if the optimizer had none. More logged steps would "
        "not, as the rise was too short."
    )


def _unblock(r: FormatsResult) -> str:
    """What an inconclusive result lacks."""
    if r.why == FEW_SAMPLES:
        return f"Give at least {LEAST} samples {'of each model' if r.models else 'at both ends'}."
    if r.why == ONE_FORMAT_ALONE:
        return "If the texts differ in other ways, name these: --rule NAME=REGEX."
    if r.why == FEW_STEPS:
        return (
            "Log at least 8 steps, or give the drift rate (--drift-rate, or --batch-size with "
            "--learning-rate)."
        )
    if r.why == AS_NOISE:
        return "Sample more prompts: the same fall may be beyond noise then."
    if r.models and math.isnan(r.retained_low):
        return "Sample at least 5 prompts of each model; from fewer no interval can be told."
    unit = "prompts" if r.models else "samples of a step"
    return f"Take more {unit}: four times as many make the interval half as wide."


def _counted(r: FormatsResult) -> str:
    if r.models:
        each = [f"{plural(int(n), 'sample')} of {name}" for n, name in zip(
            r.counts.sum(axis=1), r.models, strict=True)]  # fmt: skip
        return f"{' and '.join(each)}; seed {r.seed}"
    words = f"{plural(int(r.counts.sum()), 'sample')} of {plural(r.logged, 'step')}"
    if len(r.counts) < r.logged:
        least = int(r.counts.sum(axis=1).min())
        words += (
            f"; steps are put together to {plural(len(r.counts), 'point')} of at least "
            f"{plural(least, 'sample')}, as shares of fewer are too noisy"
        )
        if r.drift is not None and not math.isnan(r.drift.p):
            words += f" (the test against drift sees {plural(len(r.points), 'point')})"
    return f"{words}; seed {r.seed}"


def _sides(r: FormatsResult) -> tuple[str, str]:
    return ("base", "tuned") if r.models else ("start", "end")


def _headline(r: FormatsResult) -> str:
    first, last = float(r.number[0]), float(r.number[-1])
    if r.models:
        base, tuned = r.models
        return (
            f"The effective number of formats is {first:.2f} in {base} and {last:.2f} in {tuned}, where "
            f"{r.winner} has {percent(_share(r, -1))}. {r.why}"
        )
    said = (
        f"The effective number of formats went from {first:.2f} to {last:.2f}; at the end {r.winner} "
        f"has {percent(_share(r, -1))}. {r.why}"
    )
    return f"{said} This run is too short to rule selection out." if _short(r) else said


def _short(r: FormatsResult) -> bool:
    """Whether drift was not exceeded in a run in which a real selection is often missed."""
    drift = r.drift
    return (
        r.verdict == "WITHIN DRIFT"
        and drift is not None
        and drift.calibrated
        and drift.changes < ENOUGH
    )


def _sentences(r: FormatsResult) -> list[str]:
    told: list[str] = []
    alarm = f"Equal formats would be called a collapse in at most {percent(r.level)} of cases."
    if r.drift is not None and not math.isnan(r.drift.p):
        told += _drift_sentences(r, r.drift, alarm)
    if r.homogeneity is not None:
        differ, fewer = (p_value(p, r.level) for p in (r.homogeneity.p_any, r.homogeneity.p_number))
        told.append(
            f"Shuffling {plural(r.homogeneity.clusters, 'prompt')} between the sets shows as large "
            f"a difference of formats with {differ}, and as large a fall of their number with "
            f"{fewer}. {alarm}"
        )
        told.append("Two sets cannot tell selection from drift; that needs the steps between them.")
    if r.collapsed_at is not None:
        told.append(
            f"From step {r.collapsed_at:,} on, at most {percent(COLLAPSED)} of the start's diversity "
            "is left."
        )
    by = [f"number {r.winner_share_rank} by share"]
    if r.winner_accuracy_rank is not None:
        by.append(f"number {r.winner_accuracy_rank} by accuracy")
    where = f"In {r.models[0]}" if r.models else "At the start"
    told.append(f"{where} {r.winner} was {' and '.join(by)}.")
    told.append("Formats are surface forms: they tell nothing of how varied the reasoning is.")
    return told


def _drift_sentences(r: FormatsResult, drift: DriftTest, alarm: str) -> list[str]:
    low, middle, high = drift.number
    shows = f"would show {middle:.2f} formats at the end, in 95% of runs {low:.2f} to {high:.2f}"
    if not drift.calibrated:
        return [f"Neutral drift of the given rate {shows} ({p_value(drift.p, r.level)}). {alarm}"]
    told = [
        f"Neutral drift turns back as often as it goes on. {r.winner} rose with a steadiness of "
        f"{drift.steady:.2f}, its net change relative to the root of its squared changes; with drift "
        f"alone, whatever its rate, 95% of runs stay below {drift.steady_null:.2f} "
        f"({p_value(drift.p, r.level)}). {alarm}",
        f"Drift as rough as these shares {shows}.",
    ]
    if _short(r):
        told.append(
            f"But {r.winner} rose within {drift.changes:.1f} independent changes of the noise (it lasts "
            "under momentum), and a real selection is often missed where these are fewer than "
            f"{ENOUGH}."
        )
    return told


def _measures(r: FormatsResult) -> list[Measure]:
    drift, test = r.drift, r.homogeneity
    known = drift is not None and not math.isnan(drift.p)
    start = float(r.number[0])
    before, after = _sides(r)
    found = [
        Measure(
            f"effective number, {before}", start,
            note="of formats of equal share, as varied as these",
        ),
        Measure(
            f"effective number, {after}",
            float(r.number[-1]),
            null=float(drift.number[1]) if known and drift is not None else start,
            note="null: the median under drift" if known else f"null: as in the {before}",
        ),
        Measure(
            "diversity retained", _none(r.retained), _none(r.retained_low), _none(r.retained_high),
            percent=True, note=f"(N_eff - 1), {after} relative to {before}",
        ),
        Measure(f"dominant share, {before}", float(r.counts[0].max() / r.counts[0].sum()), percent=True),
        Measure(f"dominant share, {after}", _share(r, -1), percent=True),
        Measure(f"entropy, {after} (nats)", float(r.entropy[-1])),
        Measure(f"Jensen-Shannon from {before}", float(r.divergence[-1]), note="nats, at most 0.693"),
        Measure("other", r.other, null=f"<= {percent(MAX_OTHER)}", percent=True),
    ]  # fmt: skip
    if drift is not None:
        if drift.calibrated:
            steady, null = _none(drift.steady), _none(drift.steady_null)
            note = "net rise over the root of its squared steps; null: 95% of drifting runs"
            found.append(Measure("steadiness of the winner", steady, null=null, note=note))
        found.append(Measure("p under drift", _none(drift.p)))
    if test is not None:
        found.append(Measure("p, any difference", test.p_any))
        found.append(Measure("p, fewer formats", test.p_number))
    return found


def _chart(r: FormatsResult) -> Chart:
    shares = r.counts / r.counts.sum(axis=1, keepdims=True)
    top = np.argsort(-shares.max(axis=0), kind="stable")[:DRAWN]
    if r.models:
        base, tuned = r.models
        svg = bar_chart(
            [r.names[f] for f in top],
            [(base, list(shares[0, top])), (tuned, list(shares[-1, top]))],
            label=f"shares of formats in {base} and in {tuned}",
            prefix="formats-1",
            percent=True,
        )
        return Chart("Shares of formats", "The most frequent formats of both models.", svg)
    curves = [Curve(r.names[f], r.steps.astype(float), shares[:, f]) for f in top]
    text = "Shares of the most frequent formats over the steps."
    if r.drift is not None and np.isfinite(r.drift.low).all():
        f = r.names.index(r.winner)
        low, high = r.drift.low[:, f], r.drift.high[:, f]
        curves.append(
            Curve(
                "drift of " + r.winner, r.points.astype(float), np.full_like(low, np.nan), low, high
            )
        )
        text += f" The band holds the share of {r.winner} in 95% of runs with drift alone"
        text += (
            ", as rough as here; a run of drift wanders within it, and selection goes one way."
            if r.drift.calibrated
            else "."
        )
    svg = line_chart(
        curves, x_label="step", y_label="share", label="shares of formats over steps",
        prefix="formats-1", percent=True, y_range=(0.0, 1.0),
        mark=None if r.collapsed_at is None else (float(r.collapsed_at), "collapsed"),
    )  # fmt: skip
    return Chart("Shares of formats", text, svg)


def _table(r: FormatsResult) -> Table:
    shares = r.counts / r.counts.sum(axis=1, keepdims=True)
    before, after = _sides(r)
    header = ["format", f"share, {before}", f"share, {after}"]
    rows: list[list[str | float | None]] = [
        [name, float(shares[0, f]), float(shares[-1, f])] for f, name in enumerate(r.names)
    ]
    if np.isnan(r.accuracy).all():
        return Table("Formats", header, rows, percent=header[1:])
    for row, accuracy in zip(rows, r.accuracy, strict=True):
        row.append(_none(float(accuracy)))
    whose = f"of {r.models[0]}" if r.models else "of the first samples"
    note = f"accuracy: {whose}, where five or more are labelled"
    header.append(f"accuracy, {before}")
    return Table("Formats", header, rows, note, percent=header[1:])


def _warnings(r: FormatsResult) -> list[str]:
    if r.other <= MAX_OTHER:
        return []
    return [
        f"{percent(r.other)} of the texts are in no known format ({OTHER}); extend the rules with "
        "--rule NAME=REGEX before believing the shares"
    ]


def _drift_notes(r: FormatsResult) -> list[str]:
    found: list[str] = []
    if r.design_effect >= 1.05:
        found.append(
            f"samples of one prompt are alike: noise as of {r.design_effect:.1f} times fewer samples"
        )
    if r.drift is None or math.isnan(r.drift.p):
        return found
    how = (
        "with it shares are as rough as here; p is the largest over all rates"
        if r.drift.calibrated
        else "as given"
    )
    return [*found, f"drift rate {r.drift.rate:.3g} per step: {how}"]


def _data(r: FormatsResult) -> dict[str, Any]:
    drift, test = r.drift, r.homogeneity
    return {
        "models": list(r.models),
        "formats": list(r.names),
        "steps": r.steps.tolist(),
        "counts": r.counts.tolist(),
        "effective_number": r.number.tolist(),
        "entropy": r.entropy.tolist(),
        "jensen_shannon": r.divergence.tolist(),
        "retained": _none(r.retained),
        "collapsed_at": r.collapsed_at,
        "winner": r.winner,
        "winner_share_rank": r.winner_share_rank,
        "winner_accuracy_rank": r.winner_accuracy_rank,
        "accuracy": [_none(float(a)) for a in r.accuracy],
        "other": r.other,
        "level": r.level,
        "design_effect": r.design_effect,
        "seed": r.seed,
        "drift": None
        if drift is None
        else {
            "p": _none(drift.p),
            "steadiness": _none(drift.steady),
            "steadiness_null": _none(drift.steady_null),
            "independent_changes": _none(drift.changes),
            "possible_changes": _none(drift.possible),
            "rate": _none(drift.rate),
            "calibrated": drift.calibrated,
        },
        "homogeneity": None
        if test is None
        else {
            "p_any": test.p_any,
            "p_effective_number": test.p_number,
            "paired": test.paired,
            "prompts": test.clusters,
        },
    }


def _share(r: FormatsResult, point: int) -> float:
    return float(r.counts[point].max() / r.counts[point].sum())


def _none(value: float) -> float | None:
    return value if math.isfinite(value) else None
