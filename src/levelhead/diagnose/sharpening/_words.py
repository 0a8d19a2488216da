"""The sharpening of a model in words, numbers, pictures and tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from levelhead._arrays import FloatArray, IntArray
from levelhead._text import p_value, percent, plural, points, signed
from levelhead.diagnose.charts import Curve, bar_chart, line_chart
from levelhead.diagnose.section import Chart, Measure, Section, Table, Tone
from levelhead.diagnose.sharpening._phrases import moved, share, span
from levelhead.diagnose.sharpening._result import (
    Difference,
    SharpeningResult,
    expands,
    fell,
    rose,
)
from levelhead.diagnose.sharpening._steps import OVERTAKEN, next_steps

__all__ = ["build"]

TONES: dict[str, Tone] = {"SHARPEN": "bad", "EXPAND": "good", "INCONCLUSIVE": "open"}

LIKELY_GUESSED = 0.5
"""Share of unsolved problems that guessing would solve, from which pass@n says little."""


def build(result: SharpeningResult) -> Section:
    """The section of a result; see `levelhead.diagnose.sharpening.section`."""
    shown = _shown(result.k)
    return Section(
        name="sharpening",
        title="Sharpened or expanded?",
        verdict=result.verdict,
        tone=TONES[result.verdict],
        headline=_headline(result),
        sentences=_sentences(result),
        measures=_measures(result),
        charts=_charts(result),
        tables=_tables(result, shown),
        next_steps=next_steps(result),
        warnings=[*result.warnings, *_guess_warning(result)],
        notes=[
            *result.notes,
            f"{plural(result.problems, 'problem')} of both models, {plural(result.n, 'sample')} each",
            f"{percent(result.level)} intervals over problems; seed {result.seed}",
        ],
        data=_data(result),
    )


def _headline(r: SharpeningResult) -> str:
    base, tuned = r.names
    tail = _tail(r)
    if r.verdict == "SHARPEN":
        cross = "" if r.crossing is None else f"; {base} first solves more at k = {r.crossing:,}"
        return (
            f"{tuned} is sharpened: pass@1 rose {span(r.first)} and pass@{r.n} fell "
            f"{span(r.last)}{cross}."
        )
    if r.verdict == "EXPAND":
        return (
            f"{tuned} solves {r.solved_again:,} of {plural(r.problems, 'problem')} more than once "
            f"that {base} never solves in {plural(r.n, 'sample')}; luck would show at most "
            f"{_number(r.unlucky_new)}."
        )
    moves = [moved("pass@1", r.first, tail)]
    if r.n > 1:
        moves.append(moved(f"pass@{r.n}", r.last, tail))
    new, lost = int(r.table[0, 1]), int(r.table[1, 0])
    if new or lost:
        moves.append(
            f"{plural(lost, 'problem')} lost and {new:,} newly solved, chance shows "
            f"{_number(r.expected_new)} of each"
        )
    if fell(r.first, tail):
        return f"{tuned} became worse, neither sharpened nor expanded: {'; '.join(moves)}."
    return f"{tuned} against {base}: {'; '.join(moves)}."


def _tail(r: SharpeningResult) -> float:
    return (1.0 - r.level) / 2.0


def _sentences(r: SharpeningResult) -> list[str]:
    new, lost = int(r.table[0, 1]), int(r.table[1, 0])
    tail = _tail(r)
    out = [*_missing_sentences(r), *_luck_sentences(r)]
    if r.verdict == "EXPAND" and fell(r.first, tail):
        out.append(f"But {moved('pass@1', r.first, tail)}.")
    if r.verdict == "EXPAND" and r.p_lost <= tail:
        out.append(f"But {lost:,} problems are lost as well, more than chance: solved are others.")
    if r.verdict == "SHARPEN" and expands(r.p_new, r.p_unlucky, r.p_guessed, tail):
        out.append(f"But {new:,} problems are newly solved as well, more than luck explains.")
    out.append(_crossing_sentence(r))
    out.append(
        f"Solved in at least half of the samples, where a lucky guess is not enough: "
        f"{moved('', r.cover[0.5], tail)}."
    )
    if r.entropy is not None and r.max_share is not None:
        out.append(
            f"How much the answers to a problem vary, over {plural(r.answered, 'problem')}: "
            f"{moved('entropy in nats (0: all are the same)', r.entropy, tail, _nats)}; "
            f"{moved('share of the most frequent answer', r.max_share, tail)}."
        )
    if r.verdict != "SHARPEN" and r.first.value > 0.0 and r.n < OVERTAKEN[0]:
        out.append(
            f"Few samples hide sharpening: in published comparisons the base model overtook between "
            f"k = {OVERTAKEN[0]} and {OVERTAKEN[1]:,} (arXiv:2504.13837), and here k ends at {r.n}."
        )
    out.append(
        f"The data cannot tell what happens beyond k = {r.n:,}: a problem that no sample solves may "
        "be out of reach, or solved by the next one. Nor do they tell whether a right answer was "
        "reached by right steps."
    )
    return out


def _missing_sentences(r: SharpeningResult) -> list[str]:
    """What is missing for a verdict where something is beyond chance."""
    tail = _tail(r)
    if r.verdict != "INCONCLUSIVE" or not rose(r.first, tail) or r.n == 1:
        return []
    text = (
        f"SHARPEN needs a fall of pass@{r.n} beyond chance as well: an interval below 0 and p at most "
        f"{100.0 * tail:.3g}%"
    )
    if r.last.value < 0.0:
        text += (
            f"; here it is {points(r.last.value)} points, {points(r.last.low)} to "
            f"{points(r.last.high)}, {p_value(r.last.p_down, tail)}"
        )
    text += ". EXPAND needs more newly solved problems than luck explains."
    if r.p_lost <= tail:
        text += (
            f" More are lost than an unchanged model loses ({p_value(r.p_lost, tail)}), but pass@{r.n} "
            "sets those newly solved against them."
        )
    return [text]


def _luck_sentences(r: SharpeningResult) -> list[str]:
    """What each kind of luck would show, and how often the verdict is wrong by it."""
    base, tuned = r.names
    new, lost = int(r.table[0, 1]), int(r.table[1, 0])
    tail = f"{100.0 * _tail(r):.3g}%"
    out = [
        f"Noise alone would show {_number(r.expected_new)} newly solved "
        f"{'problem' if r.expected_new == 1 else 'problems'} and as many no longer solved: so often "
        f"an unchanged model misses with one set of samples and hits with the other. Seen were "
        f"{new:,} ({p_value(r.p_new, _tail(r))}) and {lost:,} ({p_value(r.p_lost, _tail(r))}).",
        f"By luck alone this rule says SHARPEN in at most {tail} of such comparisons, and EXPAND in as "
        "many.",
    ]
    if new and math.isnan(r.unlucky_new):
        out.append(
            f"An unlucky {base} makes problems look new as well, how many, nothing tells: samples of a "
            f"problem are alike. {tuned} solves {r.solved_again:,} more than once that {base} never does."
        )
    elif new:
        guesses = " and guesses" if r.guess_rate else ""
        out.append(
            f"An unlucky {base} makes problems look new as well: those that it would solve once in "
            f"{r.n + 1:,} samples, but missed. By bad luck{guesses} {tuned} would solve at most "
            f"{_number(r.unlucky_new)} of these more than once; it solves {r.solved_again:,} "
            f"({p_value(r.p_unlucky, _tail(r))})."
        )
    if r.guess_rate:
        out.append(
            f"Guessing right {percent(r.guess_rate)} of the time would newly solve "
            f"{_number(r.guessed_new)} of the {int(r.table[0].sum()):,} problems unsolved by {base} "
            f"({p_value(r.p_guessed, _tail(r))})."
        )
    return out


def _crossing_sentence(r: SharpeningResult) -> str:
    base = r.names[0]
    if r.crossing is None:
        return f"{base} does not solve more at any k up to {r.n:,}."
    low = f"{r.crossing_low:,}" if r.crossing_low is not None else f"beyond {r.n:,}"
    high = f"{r.crossing_high:,}" if r.crossing_high is not None else f"beyond {r.n:,}"
    text = f"{base} first solves more at k = {r.crossing:,} (interval {low} to {high})."
    if r.verdict != "SHARPEN" and not fell(r.first, _tail(r)):
        text += " Curves of equal models cross somewhere too, so this is no finding."
    return text


def _measures(r: SharpeningResult) -> list[Measure]:
    base, tuned = r.names
    out: list[Measure] = []
    curves = (("pass@1", r.first, 0), (f"pass@{r.n}", r.last, -1))
    for name, d, i in curves[: min(r.n, 2)]:
        bands = r.bands[:, i].tolist()
        out += [
            Measure(f"{name}, {base}", d.base, bands[0], bands[1], percent=True),
            Measure(f"{name}, {tuned}", d.tuned, bands[2], bands[3], percent=True),
        ]
    out.append(
        Measure(
            f"first k at which {base} solves more",
            r.crossing,
            r.crossing_low,
            r.crossing_high,
            note=_crossing_note(r),
        )
    )
    out += [
        Measure(
            "newly solved",
            int(r.table[0, 1]) / r.problems,
            null=max(r.expected_new, r.guessed_new) / r.problems,
            note="the null is what an unchanged model or guesses show",
            percent=True,
        ),
        Measure(
            "newly solved more than once",
            r.solved_again / r.problems,
            null="unknown" if math.isnan(r.unlucky_new) else r.unlucky_new / r.problems,
            note="the null is the most that an unlucky base model shows",
            percent=True,
        ),
        Measure(
            "no longer solved",
            int(r.table[1, 0]) / r.problems,
            null=r.expected_new / r.problems,
            percent=True,
        ),
    ]
    return out


def _crossing_note(r: SharpeningResult) -> str:
    if r.crossing is None or r.crossing_high is not None:
        return f"up to k = {r.n:,}"
    low = f"{r.crossing_low:,}" if r.crossing_low is not None else f"beyond {r.n:,}"
    return f"up to k = {r.n:,}; its interval is {low} to beyond {r.n:,}"


def _charts(r: SharpeningResult) -> list[Chart]:
    base, tuned = r.names
    k = r.k.astype(np.float64)
    mark = None
    if r.crossing is not None and r.verdict == "SHARPEN":
        mark = (float(r.crossing), f"k = {r.crossing:,}")
    curves = [Curve(base, k, r.base, *r.bands[:2]), Curve(tuned, k, r.tuned, *r.bands[2:])]
    taus = list(r.cover)
    charts = [
        Chart(
            "Share of the problems of which one of k samples is right",
            "A sharpened model starts higher and ends lower. The bands are intervals over problems, "
            "point by point.",
            line_chart(
                curves,
                x_label="k, samples of a problem",
                label=f"pass@k of {base} and {tuned} up to k = {r.n}",
                prefix="sharpening-1",
                y_label="pass@k",
                log_x=True,
                percent=True,
                mark=mark,
                y_range=(0.0, min(1.0, 1.1 * float(max(r.bands.max(), 0.05)))),
            ),
        ),
        Chart(
            "Share of the problems solved at least so often",
            "Cover@tau: at small tau a lucky guess is enough, at large tau a problem is mastered.",
            bar_chart(
                [f"at least {percent(tau)}" for tau in taus],
                [
                    (base, [r.cover[tau].base for tau in taus]),
                    (tuned, [r.cover[tau].tuned for tau in taus]),
                ],
                label=f"Cover@tau of {base} and {tuned}",
                prefix="sharpening-2",
                percent=True,
            ),
        ),
    ]
    return charts if r.n > 1 else charts[1:]


def _tables(r: SharpeningResult, shown: IntArray) -> list[Table]:
    base, tuned = r.names
    rows = [
        [f"{int(r.k[i]):,}", share(float(r.base[i])), share(float(r.tuned[i])),
         points(float(r.tuned[i] - r.base[i]))]
        for i in shown
    ]  # fmt: skip
    counts = r.table.tolist()
    return [
        _changes(r),
        Table(
            "pass@k",
            ("k", base, tuned, "points"),
            rows,
            "Unbiased, on the samples that are there.",
        ),
        Table(
            f"Problems solved at least once in {plural(r.n, 'sample')}",
            ("", f"unsolved by {tuned}", f"solved by {tuned}"),
            [[f"unsolved by {base}", *counts[0]], [f"solved by {base}", *counts[1]]],
        ),
        Table(
            "Cover@tau: problems of which at least this share of the samples is right",
            ("tau", base, tuned, "points", "interval"),
            [
                [percent(t), share(d.base), share(d.tuned), points(d.value),
                 f"{points(d.low)} to {points(d.high)}"]
                for t, d in r.cover.items()
            ],
            f"Up to tau = 1/{r.n:,} it is pass@{r.n}.",
        ),
    ]  # fmt: skip


def _changes(r: SharpeningResult) -> Table:
    """Every change with its interval and with how often chance shows as much."""
    base, tuned = r.names
    shares = [("pass@1", r.first)]
    if r.n > 1:
        shares += [(f"pass@{r.n}", r.last), ("mean pass@k over log k", r.auc)]
    tail = _tail(r)
    rows = [_change(name, d, tail, points, "points") for name, d in shares]
    if r.entropy is not None and r.max_share is not None:
        rows += [
            _change("answer entropy", r.entropy, tail, lambda nats: signed(nats, 2), "nats"),
            _change("share of the top answer", r.max_share, tail, points, "points"),
        ]
    return Table(
        f"What changed from {base} to {tuned}",
        ("", "change", "interval", "by chance"),
        rows,
        f"Points are differences of percentages. A change is beyond chance where its interval leaves "
        f"out 0 and chance shows as much in its direction in at most {100.0 * tail:.3g}% of cases. "
        "The mean over log k counts every doubling of k alike.",
    )


def _change(
    name: str, d: Difference, tail: float, show: Callable[[float], str], unit: str
) -> list[str]:
    p = d.p_down if d.value < 0.0 else d.p_up
    return [name, f"{show(d.value)} {unit}", f"{show(d.low)} to {show(d.high)}", p_value(p, tail)]


def _guess_warning(r: SharpeningResult) -> list[str]:
    if not r.guess_rate or -math.expm1(r.n * math.log1p(-r.guess_rate)) < LIKELY_GUESSED:
        return []
    return [
        f"guessing alone solves most problems in {plural(r.n, 'sample')}: newly solved ones can "
        "hardly be beyond it; use fewer samples, and read Cover@tau"
    ]


def _shown(k: IntArray) -> IntArray:
    """Places of the powers of two, or of the next k that is there, and of the last."""
    powers = 2 ** np.arange(int(np.log2(k[-1])) + 1)
    return np.unique(np.append(np.searchsorted(k, powers), k.size - 1))


def _data(r: SharpeningResult) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for field in dataclasses.fields(r):
        value = getattr(r, field.name)
        if field.name not in ("cover", "warnings", "notes"):
            data[field.name] = _plain(value)
    data["cover"] = [{"tau": tau, **_plain(d)} for tau, d in r.cover.items()]
    return data


def _plain(value: Any) -> Any:
    """As JSON can hold it; what is undefined is None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        array: FloatArray = value
        return [_plain(one) for one in array.tolist()]
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]  # type: ignore[misc]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _nats(value: float) -> str:
    return f"{value:.2f}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100.0 else f"{value:.2g}"
