"""The formats of a run in words, numbers, a picture and a table."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead._text import percent, plural
from levelhead.diagnose._formats_compare import Homogeneity
from levelhead.diagnose._formats_drift import DriftTest
from levelhead.diagnose._formats_measures import COLLAPSED
from levelhead.diagnose._formats_rules import MAX_OTHER, OTHER
from levelhead.diagnose.charts import Curve, bar_chart, line_chart
from levelhead.diagnose.section import Chart, Measure, Section, Table, Tone

__all__ = ["FormatsResult", "build"]

TONES: dict[str, Tone] = {
    "COLLAPSE BEYOND DRIFT": "bad",
    "COLLAPSE BEYOND NOISE": "bad",
    "WITHIN DRIFT": "open",
    "NO COLLAPSE": "good",
    "INCONCLUSIVE": "open",
}

ENOUGH = 6
"""Independent changes below which a steady rise is often not told from drift."""

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
        warnings=_warnings(r),
        notes=[
            f"{plural(int(r.counts.sum()), 'sample')} at {plural(len(r.counts), 'point')}; "
            f"seed {r.seed}",
            *_drift_notes(r),
        ],
        data=_data(r),
    )


def _headline(r: FormatsResult) -> str:
    first, last = float(r.number[0]), float(r.number[-1])
    return (
        f"The effective number of formats went from {first:.2f} to {last:.2f}; at the end {r.winner} "
        f"has {percent(_share(r, -1))}. {r.why}"
    )


def _sentences(r: FormatsResult) -> list[str]:
    told: list[str] = []
    alarm = f"Equal formats would be called a collapse in at most {percent(r.level)} of cases."
    if r.drift is not None and not math.isnan(r.drift.p):
        told += _drift_sentences(r, r.drift, alarm)
    if r.homogeneity is not None:
        told.append(
            f"Shuffling {plural(r.homogeneity.clusters, 'prompt')} between the sets shows as large "
            f"a difference of formats with p {_p(r.homogeneity.p_any)}, and as large a fall of "
            f"their number with p {_p(r.homogeneity.p_number)}. {alarm}"
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
    told.append(f"At the start {r.winner} was {' and '.join(by)}.")
    told.append("Formats are surface forms: they tell nothing of how varied the reasoning is.")
    return told


def _drift_sentences(r: FormatsResult, drift: DriftTest, alarm: str) -> list[str]:
    low, middle, high = drift.number
    shows = f"would show {middle:.2f} formats at the end, in 95% of runs {low:.2f} to {high:.2f}"
    if not drift.calibrated:
        return [f"Neutral drift of the given rate {shows} (p {_p(drift.p)}). {alarm}"]
    told = [
        f"Neutral drift turns back as often as it goes on. {r.winner} rose with a steadiness of "
        f"{drift.steady:.2f}, its net change relative to the root of its squared changes; with drift "
        f"alone, whatever its rate, 95% of runs stay below {drift.steady_null:.2f} (p {_p(drift.p)}). "
        + alarm,
        f"Drift as rough as these shares {shows}.",
    ]
    if r.verdict == "WITHIN DRIFT" and drift.changes < ENOUGH:
        told.append(
            f"But {r.winner} rose within {drift.changes:.1f} independent changes of the noise (it lasts "
            "under momentum), and a real selection is often missed where these are fewer than "
            f"{ENOUGH}: log more often, or give --drift-rate, or --momentum 0 if there was none."
        )
    return told


def _measures(r: FormatsResult) -> list[Measure]:
    drift, test = r.drift, r.homogeneity
    known = drift is not None and not math.isnan(drift.p)
    start = float(r.number[0])
    found = [
        Measure("effective number, start", start, note="of formats of equal share, as varied as these"),
        Measure(
            "effective number, end",
            float(r.number[-1]),
            null=float(drift.number[1]) if known and drift is not None else start,
            note="null: the median under drift" if known else "null: as at the start",
        ),
        Measure(
            "diversity retained", _none(r.retained), _none(r.retained_low), _none(r.retained_high),
            percent=True, note="(N_eff - 1) at the end relative to the start",
        ),
        Measure("dominant share, start", float(r.counts[0].max() / r.counts[0].sum()), percent=True),
        Measure("dominant share, end", _share(r, -1), percent=True),
        Measure("entropy, end (nats)", float(r.entropy[-1])),
        Measure("Jensen-Shannon from start", float(r.divergence[-1]), note="nats, at most 0.693"),
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
    if r.drift is None:
        svg = bar_chart(
            [r.names[f] for f in top],
            [("base", list(shares[0, top])), ("tuned", list(shares[-1, top]))],
            label="shares of formats in both sets",
            prefix="formats-1",
            percent=True,
        )
        return Chart("Shares of formats", "The most frequent formats in both sets.", svg)
    curves = [Curve(r.names[f], r.steps.astype(float), shares[:, f]) for f in top]
    text = "Shares of the most frequent formats over the steps."
    if np.isfinite(r.drift.low).all():
        f = r.names.index(r.winner)
        low, high = r.drift.low[:, f], r.drift.high[:, f]
        curves.append(
            Curve("drift of " + r.winner, r.points.astype(float), (low + high) / 2.0, low, high)
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
    rows = [
        (name, float(shares[0, f]), float(shares[-1, f]), _none(float(r.accuracy[f])))
        for f, name in enumerate(r.names)
    ]
    return Table(
        "Formats", ("format", "share, start", "share, end", "accuracy, start"), rows,
        "accuracy: of the first samples, where five or more are labelled",
    )  # fmt: skip


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


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
