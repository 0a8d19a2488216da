"""`levelhead diagnose sharpening`: several samples of each prompt from two models, read and compared."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levelhead.cli._diagnose_samples import one_model
from levelhead.cli._options import json_option, path_option, quiet_option, target
from levelhead.cli._output import check_targets
from levelhead.cli._progress import Bar
from levelhead.cli._reading import read_options, reading_options, resampling_options
from levelhead.errors import InvalidInputError
from levelhead.readers import ReadLog, ReadOptions

if TYPE_CHECKING:
    from levelhead.diagnose.sharpening import Samples
    from levelhead.records import Predictions

__all__ = ["as_samples", "sharpening"]

STEPS = {"counting": 0.3, "resampling problems": 0.8}
"""How much is done when each step begins."""

EPILOG = """\b
Examples:
  levelhead diagnose sharpening base.jsonl tuned.jsonl
  levelhead diagnose sharpening base/ tuned/ --samples 64 -o sharpening.html
  levelhead diagnose sharpening base.parquet tuned.parquet --guess-rate 0.1
\b
A file has a line for each sample, several with the same prompt_id:
  {"prompt_id": "q1", "answer": "42", "correct": true}
"""


@click.command(epilog=EPILOG)
@click.argument("base")
@click.argument("tuned")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use so many samples of each prompt; those with fewer are left out.  "
    "[default: the fewest that a prompt has]",
)
@click.option(
    "--guess-rate",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Chance that a guess is right; solved problems must exceed it.",
)
@resampling_options
@path_option("-o", "--report", metavar="HTML", help="Write the report to this file.")
@json_option()
@quiet_option()
@reading_options
def sharpening(
    base: str,
    tuned: str,
    samples: int | None,
    guess_rate: float,
    n_boot: int,
    level: float,
    seed: int,
    report: Path | None,
    json_path: Path | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Did TUNED sharpen what BASE could do, or add what it could not?

    Both are files, folders or quoted globs with several samples of each prompt, of which each is
    right or wrong; no confidence is needed. A sample without a label counts as wrong. The verdict is
    SHARPEN where pass@1 rose and pass@n fell, EXPAND where more prompts are newly solved than chance
    would show, and INCONCLUSIVE otherwise.
    """
    options = read_options(**given)
    check_targets((report, target(json_path)), (base, tuned))
    from levelhead.cli._diagnose import finish

    log = ReadLog()
    if Path(base).resolve() == Path(tuned).resolve():
        log.warn("BASE and TUNED are the same: nothing can differ")
    try:
        with Bar("reading") as bar:
            from levelhead.diagnose.sharpening import diagnose_sharpening, section

            read: list[Predictions] = []
            for role, path in (("BASE", base), ("TUNED", tuned)):
                read.append(_one(path, role, options, log))
                bar.set(0.15 * len(read))
            result = diagnose_sharpening(
                *as_samples(*read),
                samples=samples,
                guess_rate=guess_rate,
                level=level,
                n_boot=n_boot,
                seed=seed,
                on_step=partial(_step, bar),
            )
            bar.say("drawing")
            bar.set(0.95)
            found = section(result)
    except KeyboardInterrupt:
        if report is not None or json_path is not None:
            click.echo("nothing was written", err=True)
        raise
    finish([found], report, json_path, quiet, log=log)


def _step(bar: Bar, text: str) -> None:
    bar.say(text)
    bar.set(STEPS[text])


def _one(path: str, role: str, options: ReadOptions, log: ReadLog) -> Predictions:
    """The samples of one model."""
    predictions = one_model(path, role, options, log, evidence=("answer",))
    if predictions.kind != "answer":
        raise InvalidInputError(
            f"{role}: expected answers that are right or wrong, got chances of events; name the "
            "column of correctness with --correct"
        )
    if predictions.weight is not None:
        log.warn(f"{path}: its weights are not used; every sample counts alike")
    return predictions


def as_samples(base: Predictions, tuned: Predictions) -> tuple[Samples, Samples]:
    """The samples of both models, by names that differ.

    Args:
        base: of the base model.
        tuned: of the tuned model.

    Returns:
        Both.
    """
    from levelhead.diagnose.sharpening import Samples

    names = ("base", "tuned") if base.model == tuned.model else (base.model, tuned.model)
    first, second = (
        Samples(
            one.prompt_id,
            one.label,
            one.columns["answer"] if "answer" in one.columns.column_names else None,
            name,
        )
        for one, name in zip((base, tuned), names, strict=True)
    )
    return first, second
