"""`levelhead calibrate` fits a calibrator on predictions; `levelhead apply` puts others through it."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levelhead._write import plain
from levelhead.cli._options import (
    json_option,
    on_stdout,
    out_option,
    quiet_option,
    seed_option,
    target,
)
from levelhead.cli._output import check_targets, clean, console, emit, still_open
from levelhead.cli._progress import Bar
from levelhead.cli._reading import read_options, reading_options
from levelhead.errors import InvalidInputError, unknown_name

if TYPE_CHECKING:
    from levelhead.calibrators import About, Choice
    from levelhead.readers import ReadOptions
    from levelhead.recalibration import FitRows
    from levelhead.records import Predictions

__all__ = ["apply", "calibrate", "load_one"]

EPILOG = """\b
Examples:
  levelhead calibrate validation.parquet -o calibrator.json
  levelhead calibrate runs/ --split-by subject --method platt -o platt.json
  levelhead calibrate mmlu_logits.parquet --method matrix -o matrix.json
Then, on other predictions:
  levelhead audit test.parquet --calibrator calibrator.json
"""

APPLY_EPILOG = """\b
Example:
  levelhead apply calibrator.json test.parquet -o calibrated.parquet
"""

N_FOLDS = 5


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FIT...")
@out_option("JSON", "Write the calibrator to this file.", required=True)
@click.option(
    "--method",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto, identity, temperature, platt, beta, histogram, isotonic, venn_abers; on class "
    "scores temperature, vector, matrix, dirichlet.",
)
@click.option(
    "--input",
    "kind",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "confidence", "classes"]),
    help="Calibrate the confidence, or the scores of all classes (auto: where there are some).",
)
@click.option(
    "--split-by", metavar="COLUMN", help="Cross-validation never splits its values (else prompts)."
)
@click.option(
    "--score",
    default="log",
    show_default=True,
    type=click.Choice(["log", "brier"]),
    help="The proper score that decides.",
)
@seed_option("Of the folds.")
@json_option("what was compared")
@quiet_option()
@reading_options
def calibrate(
    files: tuple[str, ...],
    out: Path,
    method: str,
    kind: str,
    split_by: str | None,
    score: str,
    seed: int,
    json_path: Path | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Fit a calibrator on the predictions in FIT: what a stated confidence is really worth.

    Methods are compared by cross-validation on a proper score; auto takes the simplest one within
    one standard error of the best. Judge it on predictions that it was not fitted on.
    """
    from levelhead.calibrators import TABLE, About, choose, save
    from levelhead.recalibration import fit_rows, fit_sketch

    check_targets((out, target(json_path)), files)
    if method not in ("auto", *TABLE):
        raise unknown_name("--method", method, ("auto", *TABLE))
    by = () if split_by is None else (split_by,)
    predictions, notes = load_one(files, read_options(by=by, **given))
    rows = fit_rows(predictions, kind, split_by=split_by)  # type: ignore[arg-type]
    with Bar("comparing methods") as bar:
        choice = choose(
            rows.X,
            rows.y,
            methods=None if method == "auto" else (method,),
            sample_weight=rows.weights,
            groups=rows.groups,
            n_folds=N_FOLDS,
            score=score,  # type: ignore[arg-type]
            seed=seed,
            on_step=bar.say,
        )
    about = About(
        kind="classes" if rows.input == "classes" else predictions.kind,
        n=len(rows.rows),
        model=predictions.model,
        fit_keys=fit_sketch(predictions, rows.rows),
        split_by=split_by,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=choice.reason,
        candidates=choice.candidates,
    )
    save(out, choice.calibrator, about)
    with still_open():
        if json_path is not None:
            emit(json_path, _json(choice, about))
        if not quiet and not on_stdout(json_path):
            _show(choice, about, rows, predictions, [*notes, *_not_fitted(predictions, rows)], out)


@click.command(epilog=APPLY_EPILOG)
@click.argument("calibrator", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True)
@out_option(
    "FILE",
    "Write the calibrated predictions to this file (.parquet or .jsonl).",
    required=True,
)
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="Keep this column as well (repeatable)."
)
@quiet_option("Print nothing.")
@reading_options
def apply(
    calibrator: Path,
    files: tuple[str, ...],
    out: Path,
    keep: tuple[str, ...],
    quiet: bool,
    **given: Any,
) -> None:
    """Put the predictions in FILES through CALIBRATOR, a file that `levelhead calibrate` wrote.

    The stated confidence stays in the column stated_confidence. A record without a confidence
    stays as it is.
    """
    from levelhead.calibrators import load
    from levelhead.readers import write
    from levelhead.recalibration import calibrated, overlap

    check_targets((out,), (str(calibrator), *files))
    fitted, about = load(calibrator)
    kind = "answer" if about.kind == "classes" else about.kind
    options = dataclasses.replace(read_options(by=keep, **given), unlabelled=kind)
    predictions, notes = load_one(files, options)
    result = calibrated(predictions, fitted, about)
    write(out, result)
    if quiet:
        return
    with still_open():
        screen = console()
        for note in notes:
            screen.print(clean(f"· {note}"), style="dim", markup=False)
        ok = result.status == 0
        screen.print(
            f"{len(result):,} records, {int(ok.sum()):,} with a confidence: "
            f"{predictions.confidence[ok].mean():.3f} on average before, "
            f"{result.confidence[ok].mean():.3f} after"
            if ok.any()
            else f"{len(result):,} records, none with a confidence; nothing was changed",
            markup=False,
        )
        seen = overlap(predictions, about.fit_keys)
        if seen.rows > 0:
            screen.print(seen_sentence(seen.rows, "rows"), style="bold red", markup=False)
        screen.print(f"written: {out}", markup=False)


def load_one(files: tuple[str, ...], options: ReadOptions) -> tuple[Predictions, list[str]]:
    """The predictions of the one model in some files, and what the readers noted."""
    from levelhead.readers import ReadLog, load

    log = ReadLog()
    found = load(files, options, log)
    if len(found) != 1:
        raise InvalidInputError(
            f"FILES: expected the predictions of one model, got {len(found)}: "
            f"{', '.join(found)}; give one file, one folder or the shards of one set"
        )
    return next(iter(found.values())), [*log.notes, *log.warnings]


def seen_sentence(share: float, what: str) -> str:
    """What to say of predictions that a calibrator was fitted on."""
    amount = "these" if share > 0.995 else f"about {share:.0%} of these"
    return (
        f"Not a test: the calibrator was fitted on {amount} {what}; judge it on predictions that it "
        "has not seen."
    )


def _not_fitted(predictions: Predictions, rows: FitRows) -> list[str]:
    left = len(predictions) - len(rows.rows)
    if not left:
        return []
    what = "confidence" if rows.input == "confidence" else "class scores"
    return [
        f"{left:,} of {len(predictions):,} records have no truth or no {what}, and were not fitted on"
    ]


def _show(
    choice: Choice,
    about: About,
    rows: FitRows,
    predictions: Predictions,
    notes: list[str],
    out: Path,
) -> None:
    from rich.table import Table
    from rich.text import Text

    screen = console()
    for note in notes:
        screen.print(Text(clean(f"· {note}"), style="dim"))
    what = "confidence" if rows.input == "confidence" else f"scores of {rows.X.shape[1]} classes"
    screen.print(Text(clean(f"{predictions.model}: {about.n:,} records, {what}"), style="bold"))
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    table.add_column("method", no_wrap=True)
    table.add_column("held-out loss", justify="right", no_wrap=True)
    table.add_column("above the best", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for one in choice.candidates:
        mark = "chosen" if one.method == choice.method else ""
        table.add_row(
            one.method,
            _number(one.loss),
            "" if not one.difference else f"{_number(one.difference)} ± {one.difference_se:.4f}",
            Text("; ".join(filter(None, [mark, one.note]))),
            style="bold" if mark else "",
        )
    screen.print(table)
    screen.print(Text(choice.reason))
    report = choice.calibrator.fit_
    for note in filter(None, [report.fallback, *report.notes]):
        screen.print(Text(f"! {note}", style="yellow"))
    screen.print(Text(f"written: {out}"))
    screen.print(Text(f"next: levelhead audit OTHER_FILES --calibrator {out}", style="dim"))


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "infinite" if value > 0 else "undefined"


def _json(choice: Choice, about: About) -> str:
    content = {
        "method": choice.method,
        "reason": choice.reason,
        "n": about.n,
        "candidates": [dataclasses.asdict(one) for one in choice.candidates],
        "fit": dataclasses.asdict(choice.calibrator.fit_),
    }
    return json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
