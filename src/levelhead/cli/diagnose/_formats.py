"""`levelhead diagnose formats`: did one way of answering take over, more than drift would?"""

# pyarrow ships no type information.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from levelhead.cli._options import json_option, path_option, quiet_option, seed_option, target
from levelhead.cli._output import check_targets
from levelhead.cli._progress import Bar
from levelhead.cli._reading import read_options, reading_options
from levelhead.cli.diagnose._samples import load_samples, models_option, second_path, two_models
from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers import ReadLog, ReadOptions, resolve, sniff
from levelhead.readers._files import reading
from levelhead.readers._sniff import container_of
from levelhead.readers._tables import open_table
from levelhead.records import Predictions, concat

if TYPE_CHECKING:
    from levelhead.diagnose.formats import FormatsResult, Rule

__all__ = ["compare_texts", "formats"]

EPILOG = """\b
Examples, a run over its steps, and one model against another:
  levelhead diagnose formats completions/ -o formats.html
  levelhead diagnose formats rollouts/ --batch-size 256 --learning-rate 0.5
  levelhead diagnose formats tuned.jsonl --baseline base.jsonl \\
      --rule 'table=^\\|.*\\|$'
  levelhead diagnose formats both.parquet --models base tuned
"""

UNRELATED = "texts states a confidence"
"""Of a reader's notes on confidences, which nothing here needs."""

OFTEN = 500
"""Texts between two moves of the progress bar."""

MAX_LISTED = 20
"""Columns and models that an error lists."""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True)
@click.option("--baseline", metavar="BASE", help="Compare with these texts, instead of over steps.")
@models_option
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
    help="Logit noise of a step.  [default: any]",
)
@click.option(
    "--momentum",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.9,
    show_default=True,
    metavar="BETA",
    help="Of the optimizer, per step; 0 for one without.",
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
    type=click.FloatRange(0.005, 0.5),
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
    models: tuple[str, str] | None,
    own: tuple[str, ...],
    column: str,
    step_column: str,
    drift_rate: float | None,
    momentum: float,
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

    FILES are the rollouts of a run with their step (TRL completions, verl rollouts, or any table of
    texts and steps), or with --baseline or --models the texts of two models. Neither confidences nor
    correctness are needed. Formats are code, code+NL, latex/NL, boxed-only, tagged and other, by
    rules that --rule extends.
    """
    from levelhead.cli.diagnose._finish import finish
    from levelhead.diagnose.formats import own_rules, section

    two = "--baseline" if baseline is not None else None if models is None else "--models"
    rate = _rate(drift_rate, batch_size, group_size, learning_rate, two)
    rules = own_rules(own, where="--rule")
    tuned, *others = files
    if two is not None and others:
        right = "give a folder or a quoted glob"
        if baseline is None and len(files) == 2:
            right = f"the base has an option of its own: {others[0]} --baseline {tuned}"
        raise InvalidInputError(f"FILES: expected one path beside {two}, got {len(files)}; {right}")
    if two is not None:
        baseline = second_path(tuned, baseline, models, role="--baseline")
    inputs = (*files, baseline) if baseline is not None else files
    check_targets((report, target(json_path)), inputs)
    options, log = read_options(**given), ReadLog()
    try:
        with Bar("reading") as bar:
            if baseline is not None:
                pair = _two((baseline, tuned), models, column, options, log)
                bar.say("classifying")
                result = compare_texts(*pair, column, rules, level=false_alarms, seed=seed, bar=bar)
            else:
                read = _run(files, column, step_column, options, log)
                bar.say("classifying")
                bar.set(0.2)
                result = _over_steps(
                    read, rules, column, step_column, bar,
                    rate=rate, momentum=momentum, level=false_alarms, seed=seed,
                )  # fmt: skip
            bar.say("drawing")
            bar.set(0.95)
            found = section(result)
    except KeyboardInterrupt:
        if report is not None or json_path is not None:
            click.echo("nothing was written", err=True)
        raise
    log.notes[:] = [note for note in log.notes if UNRELATED not in note]
    log.warnings[:] = [note for note in log.warnings if UNRELATED not in note]
    finish([found], report, json_path, quiet, log=log)


def _two(
    paths: tuple[str, str],
    models: tuple[str, str] | None,
    column: str,
    options: ReadOptions,
    log: ReadLog,
) -> tuple[Predictions, Predictions]:
    """The texts of both models."""
    roles = ("--baseline", "FILES")
    pair = two_models(
        paths, options, log, models=models, roles=roles, evidence=(column,), labelled=None
    )
    for path, read in zip(paths, pair, strict=True):
        _need(read, column, "--column", path)
        _told(read, column, log)
    base, tuned = pair
    log.note(f"base: {base.model} ({paths[0]}); tuned: {tuned.model} ({paths[1]})")
    return pair


def _run(
    files: tuple[str, ...], column: str, step_column: str, options: ReadOptions, log: ReadLog
) -> Predictions:
    """The texts of one model; several files are the steps of one run."""
    parts: list[Predictions] = []
    said: set[str] = set()
    for file in files:
        own = ReadLog(warnings=log.warnings)
        found = load_samples(file, options, own, evidence=(column, step_column), labelled=None)
        for note in own.notes:  # what holds for every file of a run is said of the first
            if (words := note.replace(file, "")) not in said:
                log.note(note)
            said.add(words)
        if len(found) > 1 and not (options.pool or len(files) > 1):
            listed = ", ".join(list(found)[:MAX_LISTED])
            raise InvalidInputError(
                f"FILES: expected the texts of one model, got {len(found)}: {listed}; choose one with "
                "--only NAME, read them as one with --pool, or compare two: --models BASE TUNED"
            )
        parts += found.values()
    read = dataclasses.replace(concat(parts), model=parts[0].model)
    if len(files) == 2 and not _holds(read, step_column):
        base, tuned = files
        raise InvalidInputError(
            f"FILES: expected texts with their training step in a column {step_column!r} "
            f"(--step-column), got none in {base} and {tuned}; to compare two models: levelhead "
            f"diagnose formats {tuned} --baseline {base}"
        )
    _need(read, column, "--column", files[0])
    more = "; or compare two models: --baseline BASE, or --models BASE TUNED"
    _need(read, step_column, "--step-column", files[0], more)
    _told(read, column, log)
    return _with_texts(read, column)


def _holds(read: Predictions, name: str) -> bool:
    return name in read.columns.column_names and read.columns[name].null_count < len(read)


def _need(read: Predictions, name: str, option: str, file: str, more: str = "") -> None:
    """Whether a column is there, with the columns that are."""
    if _holds(read, name):
        return
    path = resolve((file,))[0].files[0]
    try:
        with reading(path):
            there = sniff(path).columns or tuple(open_table(path, container_of(path)).schema)
    except RecordError:  # a log that is no table
        there = tuple(read.columns.column_names)
    listed = ", ".join(there[:MAX_LISTED]) + (", ..." if len(there) > MAX_LISTED else "")
    raise InvalidInputError(
        f"{option}: expected a column {name!r} with values in {file}, the columns are "
        f"{listed or 'none'}; name one with {option}{more}"
    )


def _told(read: Predictions, column: str, log: ReadLog) -> None:
    left = read.columns[column].null_count
    if left:
        log.warn(f"{left:,} of {len(read):,} samples have no text and are left out")


def _with_texts(read: Predictions, column: str) -> Predictions:
    """Those samples that have a text; an empty one is a text."""
    texts = read.columns[column]
    return read.take(np.asarray(texts.is_valid())) if texts.null_count else read


def _rate(
    drift_rate: float | None,
    batch_size: int | None,
    group_size: int,
    learning_rate: float | None,
    two: str | None,
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
    if two is not None and (drift_rate is not None or batch_size is not None):
        raise InvalidInputError(
            f"{two}: expected no drift rate beside it, as two sets have no steps; leave it out"
        )
    if batch_size is None or learning_rate is None:
        return drift_rate
    return computed(batch_size=batch_size, group_size=group_size, learning_rate=learning_rate)


def _classified(
    read: Predictions, rules: tuple[Rule, ...], column: str, moved: Callable[[float], None]
) -> list[str]:
    from levelhead.diagnose.formats import classify

    texts = read.columns[column].to_pylist()
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
    from levelhead.diagnose.formats import diagnose_formats
    from levelhead.diagnose.formats._drift import MAX_POINTS

    steps = [_step(value, step_column) for value in read.columns[step_column].to_pylist()]
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
        step = float(value)
    except (TypeError, ValueError, OverflowError):
        step = math.nan
    if not step.is_integer():
        raise InvalidInputError(
            f"--step-column: expected a whole number in {name!r} for every sample, got {value!r}; name "
            "the column of the training step"
        )
    return step


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
    base, tuned = (_with_texts(one, column) for one in (base, tuned))

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
        models=(base.model, tuned.model),
    )
