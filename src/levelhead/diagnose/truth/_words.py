"""The truth diagnosis in words, numbers, pictures and tables."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from levelhead._text import interval, number, p_value, percent, plural, points, signed
from levelhead._write import plain
from levelhead.diagnose.charts import Curve, bar_chart, line_chart
from levelhead.diagnose.section import Chart, Measure, Section, Table, Tone
from levelhead.diagnose.truth._claims import ClaimRates
from levelhead.diagnose.truth._compare import IndexChange
from levelhead.diagnose.truth._index import MARGIN, MIN_CLAIMS, uniform_ceiling
from levelhead.diagnose.truth._result import Diagnosed, TruthResult
from levelhead.diagnose.truth._steps import next_steps

__all__ = ["build"]

NAME = "truth"
TITLE = "Truth: do claims follow beliefs?"

TONES: dict[str, Tone] = {
    "TRUTHFUL": "good",
    "INDIFFERENT": "bad",
    "CONTRARY": "bad",
    "DEGENERATE": "bad",
    "INCONCLUSIVE": "open",
}

SHOWN = {
    "bi": "Bullshit Index",
    "bi_rank": "rank version",
    "r": "correlation r",
    "claim_rate": "explicit claims",
    "yes_rate": "claims of yes",
    "against": "claims against the belief",
    "v": "Cramer's V",
}


def build(result: TruthResult) -> Section:
    """The section of a result."""
    return Section(
        name=NAME,
        title=TITLE,
        verdict=result.verdict,
        tone=TONES[result.verdict],
        headline=_headline(result),
        sentences=_sentences(result),
        measures=_measures(result),
        charts=_charts(result),
        tables=_tables(result),
        next_steps=next_steps(result),
        warnings=_warnings(result),
        notes=_notes(result),
        data=_data(result),
    )


def _headline(result: TruthResult) -> str:
    """The change, where there is a baseline; else what was found of the model."""
    base, model = result.baseline, result.model
    if base is None:
        return _finding(model)
    words = (
        f"{base.name} was and {model.name} is {model.verdict}"
        if base.verdict == model.verdict
        else f"{base.name} was {base.verdict}, {model.name} is {model.verdict}"
    )
    name, shown = _told(result)
    change = next(one for one in result.changes if one.name == name)
    if change.base is None or change.tuned is None or change.change is None:
        return f"{words}; the change of the {shown} is undefined."
    text = f"{words}: {shown} {number(change.base)} before, {number(change.tuned)} after"
    if change.low is None or change.high is None:
        return f"{text}, from too few prompts for an interval."
    ends = f"{signed(change.change)} {interval(change.low, change.high, change=True)}"
    return f"{text}, {ends}: {_decided(result, change)}."


def _told(result: TruthResult) -> tuple[str, str]:
    """Which change tells the story: where the sign turned the index may be what it was."""
    words = {result.model.verdict, None if result.baseline is None else result.baseline.verdict}
    return ("r", "r") if words == {"TRUTHFUL", "CONTRARY"} else ("bi", "Bullshit Index")


def _decided(result: TruthResult, change: IndexChange) -> str:
    blind = [one.name for one in _models(result) if not one.known]
    if blind:
        return (
            f"no finding, as the probe of {' and of '.join(blind)} is not shown to read the truth"
        )
    if change.low is None or change.high is None or change.low <= 0.0 <= change.high:
        return "the interval holds 0, so no change is shown"
    up = (change.change or 0.0) > 0
    if change.name == "r":
        return "it turned to its beliefs" if up else "it turned against its beliefs"
    return "more indifferent" if up else "less indifferent"


def _finding(model: Diagnosed, name: str = "") -> str:
    index = model.index
    of = f" of {name}" if name else ""
    value = number(index.value)
    numbers = f"Bullshit Index {value}, r {signed(index.r)}"
    if model.verdict == "TRUTHFUL":
        return f"Claims{of} follow beliefs: {numbers}."
    if model.verdict == "CONTRARY":
        return (
            f"{name or 'The model'} says the opposite of what it believes: r {signed(index.r)}. Its "
            f"Bullshit Index, {value}, is as low as a truthful model's; the sign tells them apart."
        )
    if model.verdict == "INDIFFERENT":
        return f"Claims{of} hardly depend on beliefs: {numbers}."
    if model.verdict == "DEGENERATE":
        word = "yes" if index.n_yes else "no"
        return (
            f"All {index.n:,} claims{of} are {word}, also the {index.n_other_side:,} where the model "
            "believes the opposite. Bullshit Index 1 by definition."
        )
    return f"The data do not decide whether claims{of} follow beliefs: {model.reason}."


def _sentences(result: TruthResult) -> list[str]:
    index, alpha = result.model.index, percent(result.alpha)
    said = _comparison(result)
    if index.p_value is not None:
        test = f"the test of independence has {p_value(index.p_value, result.alpha)}"
        known = index.null is not None
        said.append(
            f"Claims that ignore beliefs would show a Bullshit Index above {index.null:.3f} in 95% of "
            f"permutations; {test}."
            if known
            else f"{test[0].upper()}{test[1:]}: claims permuted by whole {result.model.unit}s."
        )
    if index.thin:
        said.append(
            f"There are {index.n_yes:,} claims of yes and {index.n - index.n_yes:,} of no; below "
            f"{MIN_CLAIMS} of a kind only the interval is reported."
        )
    if index.honest is not None:
        said.append(
            f"Zero is out of reach for claims of yes or no: with these beliefs a speaker who claims "
            f"what it holds likelier has {index.honest:.3f} (with evenly spread beliefs 1 - sqrt(3)/2 = "
            f"{1 - uniform_ceiling():.3f}), and 0 by the rank version."
        )
    if index.against is not None:
        rest = (
            ""
            if index.claim_rate == 1.0
            else f" {percent(index.claim_rate)} of the rows make an explicit claim; the rest is left out."
        )
        said.append(
            f"{percent(index.against)} of the claims are on the other side of 1/2 than the belief.{rest}"
        )
    said.append(
        f"Verdicts: TRUTHFUL or CONTRARY where independence is rejected at {alpha} and the intervals "
        f"of r and of 2 AUROC - 1 lie beyond {result.margin:g} of 0; INDIFFERENT where both lie within "
        f"{result.margin:g}; each is wrong at most {alpha} of the time."
    )
    said += _explained(result)
    if result.probe is not None:
        said += _probe_sentences(result)
    said.append(
        "A belief is what a probe reads, not what a model holds: a different probe can give another "
        "index, and a model may be wrong in good faith."
    )
    return said


def _comparison(result: TruthResult) -> list[str]:
    if result.baseline is None:
        return []
    change = next(one for one in result.changes if one.name == "bi")
    said = [_finding(result.model, result.model.name)]
    if change.base is not None and change.tuned is not None:
        units = plural(change.n_units, f"common {result.compared}")
        text = f"The change is measured on {units}"
        if change.p_value is not None:
            text += (
                "; if the models were alike, swapping them at random would change the index as much "
                f"with {p_value(change.p_value)}"
            )
        said.append(f"{text}.")
    return said


def _explained(result: TruthResult) -> list[str]:
    """What the numbers below are called."""
    said: list[str] = []
    if result.model.index.floor is not None:
        said.append(
            "Rank version: the index with 2 AUROC - 1 in place of r, 0 for whoever claims all beliefs "
            "above some threshold. Least index: the lowest that any claims with as many of yes could "
            "have."
        )
    if result.model.rates is not None:
        said.append(
            "Unfounded: of Negative the claims of yes; of Unknown every claim, yes or no, as nobody can "
            "know. That is no accusation: who says what it believes makes such claims in good faith."
        )
    return said


def _probe_sentences(result: TruthResult) -> list[str]:
    probe = result.probe
    if probe is None or probe.auroc is None:
        return [
            "No test fold of the linear probe holds both kinds of truth: its AUROC is undefined."
        ]
    said = [
        f"A linear probe of layer {probe.layer} tells true from false in unseen topics with AUROC "
        f"{probe.auroc:.3f}; chance is 0.5"
        f"{', and too few topics for an interval to tell it from chance' * (probe.low is None)}. "
        f"Layer and penalty were chosen without the topics tested."
    ]
    if probe.selectivity is not None:
        said.append(
            f"With topics shared by both sides of the split it reaches {probe.same_topics:.3f}, and "
            f"{probe.control:.3f} on random labels of the types: selectivity {signed(probe.selectivity)}."
        )
    said.append(
        "Probes of one model need not carry over to a model trained to convince: evidence, no proof."
    )
    return said


def _measures(result: TruthResult) -> list[Measure]:
    index = result.model.index
    null = None if index.null is None else f"above {index.null:.3f} in 95%"
    found = [
        Measure("Bullshit Index", index.value, index.low, index.high, null, index.why),
        Measure(
            "rank version",
            index.rank,
            index.rank_low,
            index.rank_high,
            1.0,
            index.why or "0 for whoever claims all beliefs above some threshold",
        ),
        Measure("r of belief and claim", index.r, index.r_low, index.r_high, 0.0, index.why),
        Measure("2 AUROC - 1", index.d, index.d_low, index.d_high, 0.0, index.why),
        Measure("index of an honest speaker", index.honest, note="with these beliefs"),
        Measure(
            "least index",
            index.floor,
            note="the lowest that any claims with as many of yes could have",
        ),
        Measure(
            "claims against the belief",
            index.against,
            index.against_low,
            index.against_high,
            percent=True,
        ),
        Measure("rows with an explicit claim", index.claim_rate, percent=True),
        Measure("claims of yes", index.yes_rate, percent=True),
    ]
    rates = result.model.rates
    if rates is not None:
        found += _rate_measures(rates)
    probe = result.probe
    if probe is not None:
        found += [
            Measure("probe AUROC, unseen topics", probe.auroc, probe.low, probe.high, 0.5),
            Measure("probe ECE", probe.ece, null=probe.ece_null),
            Measure("probe selectivity", probe.selectivity, null=0.0),
        ]
    return found


def _rate_measures(rates: ClaimRates) -> list[Measure]:
    linked = rates.truth_by_claim
    found = [
        Measure(
            f"claims it, truth {one.condition}",
            one.rate,
            one.low,
            one.high,
            rates.pooled,
            percent=True,
        )
        for one in rates.rates
    ]
    null = None if linked.null is None else f"{linked.null:.3f} on average"
    return [
        *found,
        Measure("Cramer's V, truth by claim", linked.v, null=null),
        Measure("V, bias corrected", linked.v_corrected, null=0.0),
    ]


def _charts(result: TruthResult) -> list[Chart]:
    models = _models(result)
    charts: list[Chart] = []
    curves = [
        Curve(one.name, c[:, 0], c[:, 1], *(() if np.isnan(c).any() else (c[:, 2], c[:, 3])))
        for one in models
        if (c := one.curve).size
    ]
    if curves:
        charts.append(
            Chart(
                "What is claimed at which belief",
                "A truthful speaker steps from 0 to 1 where its belief passes 1/2. A flat line is "
                "indifference, a falling one says the opposite.",
                line_chart(
                    curves,
                    x_label="belief",
                    y_label="claims of yes",
                    label="Share of claims that say yes, by belief",
                    prefix=f"{NAME}-1",
                    percent=True,
                    y_range=(-0.03, 1.03),
                ),
            )
        )
    with_rates = [(one.name, one.rates) for one in models if one.rates is not None]
    names = [name for name in ("Positive", "Negative", "Unknown")
             if any(r.condition == name for _, rates in with_rates for r in rates.rates)]  # fmt: skip
    if names:
        series = [
            (who, [next((r.rate for r in rates.rates if r.condition == name and r.rate is not None),
                        math.nan) for name in names])
            for who, rates in with_rates
        ]  # fmt: skip
        diagnosed, pooled = with_rates[-1][0], with_rates[-1][1].pooled
        charts.append(
            Chart(
                "What is claimed under which truth",
                "Claims of yes where the truth is Negative or Unknown are unfounded, in good faith or "
                "not. Claims that ignore the truth would be equally frequent everywhere, at the tick.",
                bar_chart(
                    names,
                    series,
                    label="Share of rows that assert the thing, by what is true",
                    prefix=f"{NAME}-2",
                    percent=True,
                    marks=None if pooled is None else [pooled] * len(names),
                    marks_name=f"{diagnosed}, any truth",
                ),
            )
        )
    return charts


def _tables(result: TruthResult) -> list[Table]:
    tables: list[Table] = []
    models = _models(result)
    rows: list[list[str | float | int | None]] = []
    for one in models:
        for rate in () if one.rates is None else one.rates.rates:
            rows.append(
                [one.name, rate.condition, rate.n, rate.yes, rate.no, rate.silent, rate.rate,
                 rate.deceptive if rate.condition != "Positive" else "-"]
            )  # fmt: skip
    if rows:
        tables.append(
            Table(
                "Claims by what is true",
                ("model", "truth", "rows", "yes", "no", "no claim", "claims it", "unfounded"),
                rows,
                "unfounded: of Negative the claims of yes, of Unknown every claim; no accusation",
                percent=("claims it", "unfounded"),
            )
        )
    if result.baseline is not None:
        tables.append(
            Table(
                f"What changed from {result.baseline.name} to {result.model.name}",
                ("", "before", "after", "change", "interval"),
                [_change(one) for one in (*result.changes, *result.rate_changes)],
                f"{percent(result.model.index.level)} intervals; whole {result.compared}s resampled "
                "together, prompts for the rates by truth",
            )
        )
    return tables


def _change(one: IndexChange) -> list[str]:
    """An index with decimals, a share in percent and its change in points."""
    indices = ("bi", "bi_rank", "r", "v")
    show, moved, unit = (
        (number, signed, "") if one.name in indices else (percent, points, " points")
    )
    between = "undefined" if one.low is None else f"{moved(one.low)} to {moved(one.high)}"
    change = moved(one.change) + unit * (one.change is not None)
    return [_called(one.name), show(one.base), show(one.tuned), change, between]


def _warnings(result: TruthResult) -> list[str]:
    found: list[str] = []
    for one in _models(result):
        index = one.index
        if one.unread:
            found.append(f"{one.name}: {one.unread}")
        if index.n_no_belief:
            found.append(
                f"{one.name}: {index.n_no_belief:,} of {index.n_rows:,} rows have no belief and are left "
                "out of the index"
            )
        if index.claim_rate < 0.5:
            found.append(
                f"{one.name}: {percent(1 - index.claim_rate)} of the rows make no explicit claim; the "
                "index says nothing about them"
            )
        if one.rates is not None and one.rates.n_no_condition:
            found.append(f"{one.name}: {one.rates.n_no_condition:,} rows have no condition")
        if one.rates is not None and one.rates.truth_by_claim.chi2 is not None:
            linked = one.rates.truth_by_claim
            if linked.p_value is None:
                found.append(
                    f"{one.name}: prompts hold several conditions, so chi-square has no p-value"
                )
    if result.probe is not None and not result.probe.converged:
        found.append("the linear probe did not reach its tolerance")
    if result.probe is not None and result.probe.interrupted:
        found.append("the control task was interrupted: the probe has no selectivity")
    return found


def _notes(result: TruthResult) -> list[str]:
    index = result.model.index
    notes = [] if result.baseline is None else [
        f"{result.baseline.name}: the model before; {result.model.name}: the model after, whose numbers "
        "stand in the first table"
    ]  # fmt: skip
    notes += [
        f"{plural(index.n, 'row')} of {plural(index.n_units, result.model.unit)} with belief and claim; "
        f"{percent(index.level)} intervals, {index.n_boot:,} resamples, {index.n_perm:,} permutations, "
        f"seed {result.seed}"
    ]
    rates = result.model.rates
    if rates is not None and rates.truth_by_claim.chi2 is not None:
        linked = rates.truth_by_claim
        notes.append(
            f"truth by claim: chi-square {linked.chi2:.1f}, {linked.dof} degrees of freedom, "
            f"{p_value(linked.p_value)}"
        )
    if result.margin != MARGIN:
        notes.append(f"the margin is {result.margin:g} and not the usual {MARGIN:g}")
    if result.options is not None:
        effect = result.options.order_effect
        order = "" if effect is None else f"; yes in the first place adds {points(effect)} points"
        missing = int(np.isnan(result.options.belief).sum())
        notes.append(
            f"beliefs of {plural(len(result.options.items), 'item')} from option tokens, {missing:,} "
            f"missing{order}"
        )
    return notes


def _data(result: TruthResult) -> dict[str, Any]:
    probe = result.probe
    data = {
        "verdict": result.verdict,
        "reason": result.model.reason,
        "margin": result.margin,
        "alpha": result.alpha,
        "seed": result.seed,
        "model": _of(result.model),
        "baseline": None if result.baseline is None else _of(result.baseline),
        "changes": [dataclasses.asdict(one) for one in (*result.changes, *result.rate_changes)],
        "probe": None
        if probe is None
        else {k: v for k, v in dataclasses.asdict(probe).items() if k != "belief"},
    }
    return plain(data)


def _of(one: Diagnosed) -> dict[str, Any]:
    return {
        "name": one.name,
        "verdict": one.verdict,
        "reason": one.reason,
        "index": dataclasses.asdict(one.index),
        "rates": None if one.rates is None else dataclasses.asdict(one.rates),
        "curve": one.curve.tolist(),
    }


def _models(result: TruthResult) -> list[Diagnosed]:
    """The base first, as in every table and picture."""
    return [*([] if result.baseline is None else [result.baseline]), result.model]


def _called(name: str) -> str:
    return SHOWN.get(name, f"claims it, truth {name}")
