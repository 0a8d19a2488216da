"""`levelhead diagnose difficulty`: what too hard samples weigh, and whether they taught shortcuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from levelhead.cli._options import json_option, path_option, quiet_option, seed_option, target
from levelhead.cli._output import check_targets
from levelhead.cli._reading import read_options, reading_options
from levelhead.cli.diagnose._samples import models_option, one_model, second_path, two_models
from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers import ReadLog
from levelhead.records import Predictions

__all__ = ["difficulty"]

EPILOG = """\b
Examples:
  levelhead diagnose difficulty tuned.parquet --baseline base.parquet
  levelhead diagnose difficulty tuned.parquet --baseline base.parquet \\
      --estimator grpo_no_std --group-size 16 -o report.html
  levelhead diagnose difficulty both.parquet --models base tuned
"""


@click.command(epilog=EPILOG)
@click.argument("tuned")
@click.argument("further", nargs=-1, metavar="")  # refused with the form that is right
@click.option(
    "--baseline",
    metavar="BASE",
    help="The base model's samples of the same prompts; difficulty is then the base's.",
)
@models_option
@click.option(
    "--estimator",
    default="grpo",
    show_default=True,
    metavar="SPEC",
    help="The advantage estimator of the training, or module:function.",
)
@click.option(
    "--group-size",
    default=8,
    show_default=True,
    type=click.IntRange(2, 1024),
    help="Completions per prompt in the training.",
)
@click.option(
    "--trace",
    "traces",
    metavar="COLUMN",
    multiple=True,
    help="Column of the response (repeatable: thinking, then answer).  [default: text]",
)
@click.option("--code", is_flag=True, help="Responses are code: count statements.")
@path_option("--suite", metavar="FILE", help="Prompt ids that were solved before, one per line.")
@click.option(
    "--alpha",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    help="False-alarm level of the verdict.",
)
@seed_option("Of the swaps, halves and resamples.")
@path_option("-o", "--report", metavar="HTML", help="Write the report with its pictures here.")
@json_option()
@quiet_option()
@reading_options
def difficulty(
    tuned: str,
    further: tuple[str, ...],
    baseline: str | None,
    models: tuple[str, str] | None,
    estimator: str,
    group_size: int,
    traces: tuple[str, ...],
    code: bool,
    suite: Path | None,
    alpha: float,
    seed: int,
    report: Path | None,
    json_path: Path | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Did samples that are too hard teach it shortcuts?

    TUNED is a file, a folder or a quoted glob with several samples of each prompt: prompt id,
    correctness, text; no confidence is needed. Tells how much of the update hard prompts get under
    the estimator, and whether right answers repeat themselves or skip their work more often than
    those of BASE to the same prompts: SHORTCUTS, NO SHORTCUTS or INCONCLUSIVE. With --models and
    without --baseline, TUNED holds both models.
    """
    from levelhead.cli._console import Progress
    from levelhead.cli.diagnose._finish import finish
    from levelhead.diagnose.difficulty import diagnose_difficulty, section

    _refuse(tuned, further, baseline)
    if models is not None or baseline is not None:
        baseline = second_path(tuned, baseline, models, role="--baseline")
    given_paths = (tuned,) if baseline is None else (tuned, baseline)
    check_targets((report, target(json_path)), given_paths)
    options, log = read_options(**given), ReadLog()
    wanted = None if suite is None else _lines(suite)
    if wanted is not None and baseline is None:
        raise InvalidInputError(
            "--suite: expected --baseline beside it, got none; what was solved before is compared with it"
        )
    kept = ("text", *traces)
    if baseline is None:
        base, mine = None, one_model(tuned, "TUNED", options, log, evidence=kept)
    else:
        base, mine = two_models(
            (baseline, tuned), options, log,
            models=models, roles=("--baseline", "TUNED"), evidence=kept,
        )  # fmt: skip
    for one in (mine, base):
        _check_traces(one, traces)
    size = sum(int((one.label == 1.0).sum()) for one in (mine, base) if one is not None)
    with Progress(enabled=not quiet) as progress:
        progress.step("reading texts")
        progress.counting(size, "right answers")
        result = diagnose_difficulty(
            mine,
            base,
            estimator=estimator,
            group_size=group_size,
            text=traces or None,
            content="code" if code else "arithmetic",
            suite=wanted,
            alpha=alpha,
            seed=seed,
            advance=progress.advance,
        )
    finish([section(result)], report, json_path, quiet, log=log)


def _refuse(tuned: str, further: tuple[str, ...], baseline: str | None) -> None:
    """Two paths side by side, as other diagnoses take them."""
    if not further:
        return
    right = "a glob needs quotes"
    if len(further) == 1 and baseline is None:
        right = "the base has an option of its own: levelhead diagnose difficulty "
        right += f"{' '.join(further)} --baseline {tuned}"
    raise InvalidInputError(f"TUNED: expected one path, got {' '.join((tuned, *further))}; {right}")


def _check_traces(predictions: Predictions | None, traces: tuple[str, ...]) -> None:
    if predictions is None:
        return
    there = predictions.columns.column_names
    for name in traces:
        if name not in there:
            raise InvalidInputError(
                f"--trace: expected a column of {predictions.model} with texts, got {name!r}, which its "
                "file has not"
            )


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(
            f"--suite: expected a text file of prompt ids, got {error}", str(path)
        ) from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise InvalidInputError(f"--suite: expected prompt ids in {path}, one per line, got none")
    return names
