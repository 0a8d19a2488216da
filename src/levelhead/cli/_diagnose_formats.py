"""`levelhead diagnose formats`: did one way of answering take over, more than drift would?"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levelhead.cli._options import json_option, path_option, quiet_option, seed_option, target
from levelhead.cli._output import check_targets
from levelhead.cli._progress import Bar
from levelhead.cli._reading import load_one, read_options, reading_options
from levelhead.errors import InvalidInputError

if TYPE_CHECKING:
    from levelhead.diagnose.formats import FormatsResult, Rule
    from levelhead.records import Predictions

__all__ = ["compare_texts", "formats"]

EPILOG = """\b
Examples, a run over its steps, and one model against another:
  levelhead diagnose formats completions/ -o formats.html
  levelhead diagnose formats rollouts/ --batch-size 256 --learning-rate 0.5
  levelhead diagnose formats tuned.jsonl --baseline base.jsonl \\
      --rule 'table=^\\|.*\\|$'
"""

UNRELATED = "texts states a confidence"
"""Of a reader's notes on confidences, which nothing here needs."""

OFTEN = 500
"""Texts between two moves of the progress bar."""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True)
@click.option("--baseline", metavar="BASE", help="Compare with these texts, instead of over steps.")
@click.option(
    "--rule",
    "own",
    multiple=True,
    metavar="NAME=REGEX",
    help="A format of your own, asked before all others (repeatable).",
)
@click.option("--column", default="text", show_default=True, help="Column of the texts.")
@click.option("--step-column", default="step", show_default=True, help="Column of the step.")
@click.option(
    "--drift-rate",
    type=click.FloatRange(min=0),
    metavar="RATE",
    help="Logit noise of a step.  [default: bounded from the shares]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=2),
    metavar="N",
    help="Samples of an update, for the drift rate; with --learning-rate.",
)
@click.option(
    "--group-size",
    type=click.IntRange(min=2),
    default=8,
    show_default=True,
    help="Samples that share a baseline.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0),
    metavar="ETA",
    help="Of the formats' logits, as in a tabular run; not that of the weights.",
)
@click.option(
    "--false-alarms",
    type=click.FloatRange(0.02, 0.5, min_open=True),
    default=0.05,
    show_default=True,
    metavar="SHARE",
    help="How often a run without selection may be called a collapse.",
)
@seed_option()
@path_option("-o", "--report", metavar="HTML", help="Write the report to this file.")
@json_option()
@quiet_option()
@reading_options
def formats(
    files: tuple[str, ...],
    baseline: str | None,
    own: tuple[str, ...],
    column: str,
    step_column: str,
    drift_rate: float | None,
    batch_size: int | None,
    group_size: int,
    learning_rate: float | None,
    false_alarms: float,
    seed: int,
    report: Path | None,
    json_path: Path | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Did one format take over in the texts of FILES, more than neutral drift would?

    FILES are the rollouts of a run with their step (TRL completions, verl rollouts), or with
    --baseline the texts of two models. Formats are code, code+NL, latex/NL, boxed-only, tagged and
    other, by rules that --rule extends.
    """
    from levelhead.cli._diagnose import finish
    from levelhead.diagnose.formats import own_rules, section

    rate = _rate(drift_rate, batch_size, group_size, learning_rate, baseline)
    rules = own_rules(own, where="--rule")
    inputs = (*files, baseline) if baseline is not None else files
    check_targets((report, target(json_path)), inputs)
    steps = () if baseline is not None else (step_column,)
    options = read_options(evidence=(column, *steps), **given)
    with Bar("reading") as bar:
        read, notes = load_one(files, _pooled(options, files))
        base = None
        if baseline is not None:
            base, more = load_one((baseline,), options)
            notes += [note for note in more if note not in notes]
        notes = [note for note in notes if UNRELATED not in note]
        bar.say("classifying")
        bar.set(0.2)
        if base is None:
            result = _over_steps(
                read, rules, column, step_column, bar, rate=rate, level=false_alarms, seed=seed
            )
        else:
            result = compare_texts(
                base, read, column, rules, level=false_alarms, seed=seed, bar=bar
            )
        bar.say("drawing")
        bar.set(0.95)
        found = section(result)
    found = dataclasses.replace(found, notes=[*notes, *found.notes])
    finish([found], report, json_path, quiet)


def _pooled(options: Any, files: tuple[str, ...]) -> Any:
    """Several files are the steps of one run."""
    return dataclasses.replace(options, pool=True) if len(files) > 1 else options


def _rate(
    drift_rate: float | None,
    batch_size: int | None,
    group_size: int,
    learning_rate: float | None,
    baseline: str | None,
) -> float | None:
    from levelhead.diagnose.formats import drift_rate as computed

    if (batch_size is None) != (learning_rate is None):
        there, lacks = ("--batch-size", "--learning-rate")
        if batch_size is None:
            there, lacks = lacks, there
        raise InvalidInputError(f"{there}: expected {lacks} beside it, got none; give both")
    if drift_rate is not None and batch_size is not None:
        raise InvalidInputError(
            "--drift-rate: expected no --batch-size beside it; give one of them"
        )
    if baseline is not None and (drift_rate is not None or batch_size is not None):
        raise InvalidInputError(
            "--baseline: expected no drift rate beside it, as two sets have no steps; leave it out"
        )
    if batch_size is None or learning_rate is None:
        return drift_rate
    return computed(batch_size=batch_size, group_size=group_size, learning_rate=learning_rate)


def _column(read: Predictions, name: str, option: str) -> list[Any]:
    there = read.columns.column_names
    if name not in there or read.columns[name].null_count == len(read):
        raise InvalidInputError(
            f"{option}: expected a column {name!r} in {read.model}, got {', '.join(there) or 'none'}"
        )
    return read.columns[name].to_pylist()


def _classified(
    read: Predictions, rules: tuple[Rule, ...], column: str, moved: Callable[[float], None]
) -> list[str]:
    from levelhead.diagnose.formats import classify

    texts = _column(read, column, "--column")
    found: list[str] = []
    for i, text in enumerate(texts):
        if i % OFTEN == 0:
            moved(i / len(texts))
        found.append(classify(None if text is None else str(text), rules))
    return found


def _prompts(read: Predictions) -> list[str | None] | None:
    return None if read.prompt_id is None else read.prompt_id.to_pylist()


def _over_steps(
    read: Predictions,
    rules: tuple[Rule, ...],
    column: str,
    step_column: str,
    bar: Bar,
    **settings: Any,
) -> FormatsResult:
    from levelhead.diagnose._formats_drift import MAX_POINTS
    from levelhead.diagnose.formats import diagnose_formats

    steps = [_step(value, step_column) for value in _column(read, step_column, "--step-column")]
    found = _classified(read, rules, column, lambda part: bar.set(0.2 + 0.4 * part))
    bar.say("drifting")
    done = [0]

    def tick(count: int) -> None:
        done[0] += count
        bar.set(0.6 + 0.35 * min(done[0] / min(len(set(steps)), MAX_POINTS), 1.0))

    return diagnose_formats(
        found, steps, prompts=_prompts(read), correct=read.label, tick=tick, **settings
    )


def _step(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"--step-column: expected a number in {name!r} for every sample, got {value!r}"
        ) from error


def compare_texts(
    base: Predictions,
    tuned: Predictions,
    column: str,
    rules: tuple[Rule, ...] | None = None,
    *,
    level: float,
    seed: int,
    bar: Bar | None = None,
) -> FormatsResult:
    """The formats of two models' texts.

    Args:
        base: of the base model.
        tuned: of the tuned model.
        column: which column holds the texts.
        rules: of the formats; the built-in ones unless given.
        level: how often a collapse may be found where there is none.
        seed: of the permutations.
        bar: shows how far it is.

    Returns:
        What they are, and whether they differ by more than chance.
    """
    from levelhead.diagnose.formats import RULES, compare_formats

    rules = RULES if rules is None else rules

    def moved(start: float, part: float) -> None:
        if bar is not None:
            bar.set(start + 0.3 * part)

    return compare_formats(
        _classified(base, rules, column, functools.partial(moved, 0.2)),
        _classified(tuned, rules, column, functools.partial(moved, 0.5)),
        base_prompts=_prompts(base),
        tuned_prompts=_prompts(tuned),
        correct=base.label if base.kind == "answer" else None,
        level=level,
        seed=seed,
    )
