"""`levelhead diagnose sharpening`: several samples of each prompt from two models, read and compared."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levelhead.cli._options import json_option, path_option, quiet_option, target
from levelhead.cli._output import check_targets
from levelhead.cli._progress import Bar
from levelhead.cli._reading import read_options, reading_options, resampling_options
from levelhead.cli.diagnose._samples import models_option, second_path, two_models
from levelhead.errors import InvalidInputError
from levelhead.readers import ReadLog

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
  levelhead diagnose sharpening both.parquet --models base tuned
\b
A file has a line for each sample, several with the same prompt_id:
  {"prompt_id": "q1", "answer": "42", "correct": true}
"""


def _no_baseline(context: click.Context, _: click.Parameter, value: str | None) -> None:
    """Other commands have such an option; here the first argument is the baseline."""
    if value is not None and not context.resilient_parsing:
        raise InvalidInputError(
            "--baseline: expected the base model as the first argument, got an option; write: levelhead "
            f"diagnose sharpening {value} TUNED"
        )


@click.command(epilog=EPILOG)
@click.argument("base")
@click.argument("tuned", required=False)
@click.option(
    "--baseline",
    is_flag=False,
    flag_value="BASE",
    hidden=True,
    is_eager=True,
    expose_value=False,
    callback=_no_baseline,
)
@models_option
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
    tuned: str | None,
    models: tuple[str, str] | None,
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
    would show, and INCONCLUSIVE otherwise. One file that holds both models is given once, with --models.
    """
    options = read_options(**given)
    tuned = second_path(base, tuned, models)
    check_targets((report, target(json_path)), (base, tuned))
    from levelhead.cli.diagnose._finish import finish

    log = ReadLog()
    try:
        with Bar("reading") as bar:
            from levelhead.diagnose.sharpening import diagnose_sharpening, section

            both = two_models((base, tuned), options, log, models=models, evidence=("answer",))
            _check(both, (base, tuned), log)
            bar.set(STEPS["counting"])
            result = diagnose_sharpening(
                *as_samples(*both),
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


def _check(both: tuple[Predictions, Predictions], paths: tuple[str, str], log: ReadLog) -> None:
    """Answers, both; weights are of no use."""
    if both[0].kind != "answer":
        raise InvalidInputError(
            "BASE and TUNED: expected answers that are right or wrong, got chances of events; name the "
            "column of correctness with --correct"
        )
    for one, path in zip(both, paths, strict=True):
        if one.weight is not None:
            log.warn(f"{path}: its weights are not used; every sample counts alike")


def as_samples(base: Predictions, tuned: Predictions) -> tuple[Samples, Samples]:
    """The samples of both models.

    Args:
        base: of the base model.
        tuned: of the tuned model, under another name.

    Returns:
        Both.
    """
    from levelhead.diagnose.sharpening import Samples

    first, second = (
        Samples(
            one.prompt_id,
            one.label,
            one.columns["answer"] if "answer" in one.columns.column_names else None,
            one.model,
        )
        for one in (base, tuned)
    )
    return first, second
