"""`levelhead diagnose formats`: did one way of answering take over, more than drift would?"""

# pyarrow ships no type information.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pyarrow as pa

from levelhead.cli._diagnose_samples import load_samples
from levelhead.cli._options import json_option, path_option, quiet_option, seed_option, target
from levelhead.cli._output import check_targets
from levelhead.cli._progress import Bar
from levelhead.cli._reading import read_options, reading_options
from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers import AnyPath, ReadLog, ReadOptions, resolve, sniff
from levelhead.readers._files import reading, show
from levelhead.readers._logs import message_text, prompt_key
from levelhead.readers._roles import TEXT, roles
from levelhead.readers._sniff import container_of
from levelhead.readers._tables import TEXT_BATCH_ROWS, open_table
from levelhead.readers.columns import by_model
from levelhead.readers.sources import chosen
from levelhead.records import PROVENANCES, STATUSES, Predictions, as_ids, concat

if TYPE_CHECKING:
    from levelhead.diagnose.formats import FormatsResult, Rule

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

STAND_IN = "\0confidence"
"""A column of confidences that no file has."""

USUAL = "text"
"""What the column of texts is called unless told otherwise; other usual names then do as well."""

MAX_LISTED = 20
"""Columns and models that an error lists."""


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
@click.option("--column", default=USUAL, show_default=True, help="Column of the texts.")
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
    help="Of the optimizer, per step; not used with a rate.",
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
    texts and steps), or with --baseline the texts of two models. Neither confidences nor correctness
    are needed. Formats are code, code+NL, latex/NL, boxed-only, tagged and other, by rules that
    --rule extends.
    """
    from levelhead.cli._diagnose import finish
    from levelhead.diagnose.formats import own_rules, section

    rate = _rate(drift_rate, batch_size, group_size, learning_rate, baseline)
    rules = own_rules(own, where="--rule")
    inputs = (*files, baseline) if baseline is not None else files
    check_targets((report, target(json_path)), inputs)
    options, log = read_options(**given), ReadLog()
    wanted = (column,) if baseline is not None else (column, step_column)
    try:
        with Bar("reading") as bar:
            read = _read(files, "FILES", wanted, options, log)
            base = (
                None if baseline is None else _read((baseline,), "--baseline", wanted, options, log)
            )
            bar.say("classifying")
            bar.set(0.2)
            if base is None:
                result = _over_steps(
                    read, rules, column, step_column, bar,
                    rate=rate, momentum=momentum, level=false_alarms, seed=seed,
                )  # fmt: skip
            else:
                result = compare_texts(
                    base, read, column, rules, level=false_alarms, seed=seed, bar=bar
                )
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


def _read(
    files: tuple[str, ...],
    role: str,
    wanted: tuple[str, ...],
    options: ReadOptions,
    log: ReadLog,
) -> Predictions:
    """The texts of one model; several files are the steps of one run."""
    parts: list[Predictions] = []
    for file in files:
        found = _samples(file, wanted, options, log)
        if len(found) > 1 and not (options.pool or len(files) > 1):
            listed = ", ".join(list(found)[:MAX_LISTED])
            raise InvalidInputError(
                f"{role}: expected the texts of one model, got {len(found)}: {listed}; choose one with "
                "--only NAME, or read them as one with --pool"
            )
        parts += found.values()
    read = dataclasses.replace(concat(parts), model=parts[0].model)
    for name, option in zip(wanted, ("--column", "--step-column"), strict=False):
        if name not in read.columns.column_names or read.columns[name].null_count == len(read):
            with reading(Path(files[0])):
                there = sniff(resolve(files[:1])[0].files[0]).columns
            listed = ", ".join(dict.fromkeys((*read.columns.column_names, *there[:MAX_LISTED])))
            raise InvalidInputError(
                f"{option}: expected a column {name!r} with values in {read.model}, the columns are "
                f"{listed or 'none'}; name one with {option}"
            )
    there = _with_texts(read, wanted[0])
    if len(there) < len(read):
        log.warn(
            f"{len(read) - len(there):,} of {len(read):,} samples have no text and are left out"
        )
    return there


def _with_texts(read: Predictions, column: str) -> Predictions:
    """Those samples that have a text; an empty one is a text."""
    texts = read.columns[column]
    return read.take(np.asarray(texts.is_valid())) if texts.null_count else read


def _samples(
    file: str, wanted: tuple[str, ...], options: ReadOptions, log: ReadLog
) -> dict[str, Predictions]:
    """The samples of each model; where confidence or correctness are in the way, texts alone."""
    options = dataclasses.replace(options, unlabelled="answer")
    named = (
        options.confidence, options.correct, options.outcome, options.text, options.gold,
        options.elicitation, options.pattern, options.format, options.scorer, options.labels,
    )  # fmt: skip
    first, problem, found = ReadLog(), None, {}
    try:
        found = load_samples(file, options, first, evidence=wanted)
    except RecordError as error:
        if any(named):
            raise
        problem = error
    else:
        if all(wanted[0] in one.columns.column_names for one in found.values()):
            log.notes += [note for note in first.notes if note not in log.notes]
            log.warnings += [text for text in first.warnings if text not in log.warnings]
            return found
    try:
        alone = _texts_alone(file, wanted, options)
    except RecordError:
        if problem is not None:
            raise problem from None
        return found
    why = "" if problem is None else f", without correctness ({problem.problem.partition(';')[0]})"
    log.note(f"{file}: read as texts{why}")
    return alone


def _texts_alone(
    file: str, wanted: tuple[str, ...], options: ReadOptions
) -> dict[str, Predictions]:
    """Texts with the prompts and models that the file names, and nothing else."""
    blocks: dict[str, list[Predictions]] = {}
    for source in resolve((file,)):
        for path in source.files:
            with reading(path):
                for block in _blocks_of_texts(path, wanted, options):
                    name = source.name if block.model == path.stem else block.model
                    blocks.setdefault(name, []).append(block)
    return {name: concat(parts) for name, parts in chosen(blocks, options.only).items()}


def _blocks_of_texts(
    path: AnyPath, wanted: tuple[str, ...], options: ReadOptions
) -> Iterator[Predictions]:
    table = open_table(path, container_of(path))
    usual = TEXT if wanted[0] == USUAL else ()
    column = next((name for name in (wanted[0], *usual) if name in table.schema), None)
    if column is None:
        raise RecordError("expected a column of texts, got none of a usual name", show(path))
    schema = {**table.schema, STAND_IN: pa.float64()}
    found = roles(schema, dataclasses.replace(options, confidence=STAND_IN), path, ReadLog())
    prompt = found.prompt_id or found.prompt
    kept = {wanted[0]: column, **{name: name for name in wanted[1:] if name in table.schema}}
    names = [name for name in (*kept.values(), prompt, found.model) if name is not None]
    for columns, _ in table.batches(list(dict.fromkeys(names)), TEXT_BATCH_ROWS):
        size, ids = len(columns[column]), None
        if prompt is not None:
            values = columns[prompt].to_pylist() if prompt != found.prompt_id else None
            ids = as_ids(columns[prompt] if values is None else list(map(prompt_key, values)))
        nothing = np.full(size, np.nan)
        block = Predictions(
            kind="answer",
            confidence=nothing,
            label=nothing,
            status=np.full(size, STATUSES.index("missing"), np.int8),
            provenance=np.full(size, PROVENANCES.index("missing"), np.int8),
            model=path.stem,
            prompt_id=ids,
            columns=pa.table({name: columns[own] for name, own in kept.items()}),
        )
        yield from (block,) if found.model is None else by_model(block, columns[found.model])


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


def _classified(
    read: Predictions, rules: tuple[Rule, ...], column: str, moved: Callable[[float], None]
) -> list[str]:
    from levelhead.diagnose.formats import classify

    texts = read.columns[column].to_pylist()
    found: list[str] = []
    for i, text in enumerate(texts):
        if i % OFTEN == 0:
            moved(i / len(texts))
        if isinstance(text, list | dict):
            text = message_text(text, column, Path(read.model))
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
    )
