"""The diagnosis of difficulty in words, numbers and pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from levelhead._text import p_value, percent, plural, points
from levelhead._write import plain
from levelhead.diagnose.charts import Curve, bar_chart, line_chart
from levelhead.diagnose.difficulty._amplify import (
    RARE,
    amplification,
    count_advantages,
    update_by_rate,
)
from levelhead.diagnose.difficulty._bands import BANDS, EASY, HARD, MASS
from levelhead.diagnose.difficulty._shortcuts import FEWEST, ShortcutTest, share_interval
from levelhead.diagnose.difficulty._steps import next_steps
from levelhead.diagnose.difficulty._view import BandRow, DifficultyResult
from levelhead.diagnose.section import Chart, Measure, Section, Table, Tone

__all__ = ["evidence_cell", "section_of"]

TONES: dict[str, Tone] = {"SHORTCUTS": "bad", "NO SHORTCUTS": "good", "INCONCLUSIVE": "open"}


def section_of(result: DifficultyResult) -> Section:
    """The section of a result.

    Args:
        result: what was found.

    Returns:
        Words, measures, charts, tables and the data.
    """
    return Section(
        name="difficulty",
        title="Difficulty and shortcuts",
        verdict=result.verdict,
        tone=TONES[result.verdict],
        headline=_headline(result),
        sentences=[*_about_test(result), *_about_update(result), *_about_suite(result)],
        measures=_measures(result),
        charts=_charts(result),
        tables=_tables(result),
        next_steps=next_steps(result),
        warnings=list(result.warnings),
        notes=[
            f"TUNED: {result.tuned}; difficulty is that for {result.base or 'itself'}: up to "
            f"{percent(HARD)} hard, above {percent(EASY)} easy, by a Beta posterior with "
            f"{percent(MASS)} of its mass in the band",
            "in the table of bands: rate, the share of right samples; update, the share of the whole "
            "update that a band gets; flags, the share of right answers that show a shortcut",
            *_about_examples(result),
            f"estimator {result.by_count.name} in groups of {result.by_count.group_size} "
            f"({_scope(result)}); seed {result.seed}",
        ],
        data=_data(result),
    )


def _about_examples(result: DifficultyResult) -> list[str]:
    if not result.examples:
        return []
    return [
        "flagged answers: one to a prompt, at most three with the same evidence; samples are counted "
        "from 1 within their prompt, as they were read; evidence is what repeats and how often, or "
        "which work is missing; the JSON has all of it with its places"
    ]


def _scope(result: DifficultyResult) -> str:
    return {
        "group": "a group alone decides",
        "batch": "in a batch with the pass rates of these prompts",
        "first visit": "without a memory of earlier visits",
    }[result.by_count.scope]


def _headline(result: DifficultyResult) -> str:
    test = result.test
    if test is None:
        return f"Nothing can be said of shortcuts: {_why_no_test(result)}."
    if test.difference is None:
        return (
            "Nothing can be said of shortcuts: no prompt that the base rarely solves was solved by "
            "both models."
        )
    shares = (
        f"{percent(test.base)} of {result.base}'s right answers to prompts that it rarely solves show "
        f"a shortcut, {percent(test.tuned)} of {result.tuned}'s"
    )
    if test.verdict == "SHORTCUTS":
        return f"{shares}: more than chance would."
    if test.verdict == "NO SHORTCUTS":
        return f"{shares}: no excess of {percent(test.margin)} or more."
    return f"{shares}; that settles nothing."


def _why_no_test(result: DifficultyResult) -> str:
    if not result.has_texts:
        return "the files hold no texts"
    if result.base is None:
        return "there is no base to compare with"
    return "no answer to the base's prompts is right, or one of the files holds no texts"


def _about_test(result: DifficultyResult) -> list[str]:
    test = result.test
    if test is None:
        return []
    said: list[str] = []
    if test.n_prompts:
        said.append(
            f"The comparison is within {plural(test.n_prompts, 'prompt')} that the base solves in at "
            f"most {percent(HARD)} of its samples and that both models solved: "
            f"{plural(test.n_tuned, 'right answer')} of the tuned model, {test.n_base:,} of the base. "
            f"{_null(test)}"
        )
    if 0 < test.n_prompts < FEWEST:
        said.append(f"A verdict needs {FEWEST} such prompts; sample the base more often.")
    if result.never is not None:
        share, answers, prompts = result.never
        said.append(
            f"Of {plural(answers, 'right answer')} to {plural(prompts, 'prompt')} that the base never "
            f"solved, {percent(share)} show a shortcut. The base has no right answer there, so no null "
            "exists, and the verdict leaves them out."
        )
    said.append(
        "A flag is a sign in the text, not proof: short answers that are right for good reasons are "
        "flagged as well, in both models."
    )
    return said


def _null(test: ShortcutTest) -> str:
    if test.p_value is None or test.null_high is None:
        return (
            "Swapping the models' names changes nothing, as no answer or every answer is flagged."
        )
    return (
        "With the models' names swapped at random, among the answers to a prompt or for whole prompts, "
        f"the difference exceeds {points(test.null_high)} points in {percent(test.alpha)} of cases; "
        f"it is {points(test.difference)} (one-sided {p_value(test.p_value, test.alpha)}). The verdict "
        f"SHORTCUTS is a false alarm in at most {percent(test.alpha)} of runs that learned none."
    )


def _about_update(result: DifficultyResult) -> list[str]:
    name, size = result.by_count.name, result.by_count.group_size
    hard = _summed(result, "update"), _summed(result, "gradient")
    said: list[str] = []
    if hard[0] is not None and hard[1] is not None:
        said.append(
            f"Under {name} in groups of {size}, hard and impossible prompts get {percent(hard[0])} of "
            f"the update; the gradient of the pass rate itself would give them {percent(hard[1])}."
        )
    elif any(row.prompts for row in result.rows if row.name == "uncertain"):
        said.append(
            "No prompt is told to be hard, so that nothing is said of their share of the update: one "
            "right answer of 8 leaves it open, of 16 it does not."
        )
    if result.flip is not None and result.true_flip is not None:
        said.append(
            "In a model case, where guessing is right 3% of the time on hard prompts and reasoning "
            f"never is, training turns toward guessing from {percent(result.flip)} of hard prompts on "
            f"under {name}, and from {percent(result.true_flip)} on under the true gradient."
        )
    return said


def _summed(result: DifficultyResult, field: str) -> float | None:
    """Of hard and impossible prompts; None where none can be told to be hard, as by 8 samples."""
    if not any(row.prompts for row in result.rows if row.name == "hard"):
        return None
    values = [getattr(row, field) for row in result.rows if row.name in ("impossible", "hard")]
    return None if None in values else float(sum(values))


def _about_suite(result: DifficultyResult) -> list[str]:
    if result.suite is None:
        return []
    change = result.suite.change
    return [
        f"On {plural(len(result.suite.prompts), 'prompt')} that the base had solved before, pass@1 goes "
        f"from {percent(change.value_b)} to {percent(change.value_a)} ({p_value(change.p_value)}, by "
        "swapping models); the base is counted on samples that did not choose the prompts, so a "
        "model that did not change does not seem to lose."
    ]


def _update_measures(result: DifficultyResult) -> list[Measure]:
    name = result.by_count.name
    return [
        Measure(
            "update of hard prompts",
            _summed(result, "update"),
            note=f"Share of {name}'s expected update on hard and impossible prompts.",
            percent=True,
        ),
        Measure(
            "update of hard prompts, true gradient",
            _summed(result, "gradient"),
            note="What the gradient of the pass rate would give them.",
            percent=True,
        ),
        Measure(
            f"amplification at {percent(RARE)}",
            amplification(result.by_count),
            note="Update at this pass rate relative to that at 50%, against the same ratio under the "
            "gradient of the pass rate: 1 is neither too much nor too little.",
        ),
        Measure(
            "hard share at the flip",
            result.flip,
            note=f"From this share of hard prompts on, the model case drifts to guessing under {name}.",
            percent=True,
        ),
        Measure(
            "hard share at the flip, true gradient",
            result.true_flip,
            note="The same under the gradient of the pass rate.",
            percent=True,
        ),
    ]


def _test_measures(result: DifficultyResult) -> list[Measure]:
    test = result.test
    if test is None:
        return []
    return [
        Measure(
            "flagged, base",
            test.base,
            percent=True,
            note=f"Of {result.base}'s right answers to prompts that it rarely solves.",
        ),
        Measure(
            "flagged, tuned",
            test.tuned,
            percent=True,
            note=f"Of {result.tuned}'s right answers to the same prompts.",
        ),
        Measure(
            "excess of flagged",
            test.difference,
            test.low,
            test.high,
            f"below {points(test.null_high)}" if test.null_high is not None else None,
            "Tuned minus base; swaps of the models' names stay below the null.",
            percent=True,
            change=True,
        ),
    ]


def _measures(result: DifficultyResult) -> list[Measure]:
    found = _test_measures(result)
    if result.never is not None:
        share, _, prompts = result.never
        low, high = share_interval(share, float(prompts))
        found.append(
            Measure("flagged, never solved", share, low, high, percent=True,
                    note="Right answers to prompts that the base never solved; they have no null.")
        )  # fmt: skip
    if result.suite is not None:
        change = result.suite.change
        found.append(
            Measure("pass@1 on solved", _number(change.difference), _number(change.low),
                    _number(change.high), 0.0, "Change on what the base had solved before.",
                    percent=True, change=True)
        )  # fmt: skip
    return [*found, *_update_measures(result)]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _charts(result: DifficultyResult) -> list[Chart]:
    rate = np.linspace(0.0, 1.0, 101)
    own = result.by_count
    curves: list[Curve] = []
    for by_count in (own, count_advantages("grpo_no_std", own.group_size)):
        update = update_by_rate(by_count, rate)
        if update[50] > 0.0:
            curves.append(Curve(by_count.name, rate, update / update[50]))
    found: list[Chart] = []
    if curves:
        svg = line_chart(
            curves[:1] if own.name == "grpo_no_std" else curves,
            x_label="pass rate of the prompt",
            y_label="update, 1 at even odds",
            label=f"Expected update of {own.name} by pass rate, groups of {own.group_size}.",
            prefix="difficulty-0",
        )
        text = (
            "Expected sum of |advantage| over a group, relative to a prompt at 50%. Above the line of "
            "grpo_no_std, lone successes and lone failures weigh more than their gradient."
        )
        found.append(Chart("What a prompt weighs", text, svg))
    rows = [row for row in result.rows if row.prompts]
    if any(row.update is not None for row in rows):
        svg = bar_chart(
            [row.name for row in rows],
            [
                ("update", [_or_nan(row.update) for row in rows]),
                ("prompts", [row.prompts / len(result.bands.counts.prompts) for row in rows]),
            ],
            label="Share of the update and of the prompts by band of difficulty.",
            prefix="difficulty-1",
            percent=True,
            marks=[_or_nan(row.gradient) for row in rows],
            marks_name="true gradient",
        )
        text = f"Share of the whole update of {own.name} that each band gets, beside its prompts."
        found.append(Chart("Who gets the update", text, svg))
    return [*_flagged_chart(result), *found]


def _flagged_chart(result: DifficultyResult) -> list[Chart]:
    """The finding by band, the base first."""
    rows = [row for row in result.rows if row.flagged is not None or row.flagged_base is not None]
    if result.base is None or not rows:
        return []
    svg = bar_chart(
        [row.name for row in rows],
        [
            (result.base, [_or_nan(row.flagged_base) for row in rows]),
            (result.tuned, [_or_nan(row.flagged) for row in rows]),
        ],
        label="Share of right answers that show a shortcut, by band of difficulty and model.",
        prefix="difficulty-2",
        percent=True,
    )
    text = (
        "Share of right answers that show a shortcut, by how hard the prompt is for the base. Where the "
        "base solved nothing it has no bar; the verdict compares rarely solved prompts only."
    )
    return [Chart("Where shortcuts show", text, svg)]


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _tables(result: DifficultyResult) -> list[Table]:
    rows = [row for row in result.rows if row.prompts]
    note = (
        "rate: share of right samples; update: share of the whole; flags: share of right answers that "
        "show a shortcut. Bands were chosen on these samples of the base, so its rates are a little too "
        "extreme and the tuned model's move toward the middle by themselves."
    )
    if result.base is None:
        header = ["band", "prompts", "rate", "update", "flags"]
        cells = [[r.name, r.prompts, r.rate, r.update, r.flagged] for r in rows]
    else:
        header = (
            "band",
            "prompts",
            "rate, base",
            "rate, tuned",
            "update",
            "flags, base",
            "flags, tuned",
        )
        cells = [
            [r.name, r.prompts, r.rate, r.rate_after, r.update, r.flagged_base, r.flagged]
            for r in rows
        ]
    found = [Table("Bands", header, cells, note, percent=header[2:])]
    if result.examples:
        found.append(
            Table(
                f"Flagged right answers of {result.tuned}",
                ["prompt", "sample", "band", "evidence", "text"],
                [
                    [
                        e.prompt,
                        f"{e.sample} of {e.samples}",
                        e.band,
                        evidence_cell(e.reasons),
                        e.excerpt,
                    ]
                    for e in result.examples
                ],
                "Of as many kinds as there are. text: some words from where a repetition begins, or "
                "those that lead to an answer without its work.",
            )
        )
    return found


SHORTER = (
    (re.compile("^the same (answer|four)"), r"\1"),
    (re.compile(r"^(\d+) operations where (\S+) are usual$"), r"\1 of \2 operations"),
    (re.compile("^answered after 0% of the text$"), "answered at once"),
    (re.compile(" of its length$| of the text$"), ""),
)
"""The words of a detector as they stand in a table."""

CELL = 40
"""Characters of a cell that a terminal shows."""


def evidence_cell(reasons: Sequence[str]) -> str:
    """As many reasons as a cell holds, and how many more there are.

    Args:
        reasons: what the detectors say.

    Returns:
        Text, with `; +2` where two are left out.
    """
    short: list[str] = []
    for reason in reasons:
        for long, less in SHORTER:
            reason = long.sub(less, reason)
        short.append(reason)
    for shown in range(len(short), 1, -1):
        said = "; ".join(short[:shown]) + _further(len(short) - shown)
        if len(said) <= CELL:
            return said
    return "".join(short[:1]) + _further(len(short) - 1)


def _further(count: int) -> str:
    return f"; +{count}" if count > 0 else ""


def _data(result: DifficultyResult) -> dict[str, Any]:
    counts, test = result.bands.counts, result.test
    suite = result.suite
    return plain(
        {
            "tuned": result.tuned,
            "base": result.base,
            "verdict": result.verdict,
            "estimator": result.by_count.name,
            "group_size": result.by_count.group_size,
            "bands": [_row(row) for row in result.rows],
            "prompts": [
                {"prompt": p, "passed": int(c), "samples": int(n), "band": BANDS[b]}
                for p, c, n, b in zip(
                    counts.prompts, counts.passed, counts.samples, result.bands.band, strict=True
                )
            ],
            "update_by_count": result.by_count.update.tolist(),
            "amplification": amplification(result.by_count),
            "flip": result.flip,
            "flip_true_gradient": result.true_flip,
            "test": None if test is None else {**vars(test), "verdict": test.verdict},
            "never_solved": None
            if result.never is None
            else dict(zip(("flagged", "answers", "prompts"), result.never, strict=True)),
            "suite": None
            if suite is None
            else {"prompts": list(suite.prompts), "pass_at_1": vars(suite.change)},
            "examples": [
                {
                    "prompt": e.prompt,
                    "sample": e.sample,
                    "samples": e.samples,
                    "band": e.band,
                    "text": e.excerpt,
                    "spans": [vars(s) for s in e.spans],
                }
                for e in result.examples
            ],
            "seed": result.seed,
        }
    )  # fmt: skip


def _row(row: BandRow) -> dict[str, Any]:
    return dict(vars(row))
