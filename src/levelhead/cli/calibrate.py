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
from levelhead.cli._reading import check_ending, load_one, read_options, reading_options
from levelhead.errors import InvalidInputError, unknown_name

if TYPE_CHECKING:
    from levelhead.calibrators import About, Candidate, Choice
    from levelhead.recalibration import FitRows
    from levelhead.records import Predictions

__all__ = ["apply", "calibrate"]

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

FEW, FEW_OF_A_KIND = 30, 10
"""Below so many rows, or right or wrong ones, a calibrator is written with a loud note."""

TOO_FEW, TOO_FEW_OF_A_KIND = 10, 3
"""Below so many none is written."""


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
    from levelhead.recalibration import fit_rows, fit_sketch, missing_share

    check_targets((out, target(json_path)), files)
    if method not in ("auto", *TABLE):
        raise unknown_name("--method", method, ("auto", *TABLE))
    by = () if split_by is None else (split_by,)
    predictions, notes = load_one(files, read_options(by=by, asked="--split-by", **given))
    rows = fit_rows(predictions, kind, split_by=split_by)  # type: ignore[arg-type]
    alarms = _few(rows, predictions)
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
        model=_stated_name(predictions, files),
        fit_keys=fit_sketch(predictions, rows.rows),
        split_by=split_by,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=choice.reason,
        candidates=choice.candidates,
        missing=missing_share(predictions),
    )
    save(out, choice.calibrator, about)
    with still_open():
        if json_path is not None:
            emit(json_path, _json(choice, about))
        if not quiet and not on_stdout(json_path):
            told = [*notes, *_not_fitted(predictions, rows, about)]
            _show(choice, about, rows, predictions, told, alarms, out)


@click.command(epilog=APPLY_EPILOG)
@click.argument("calibrator", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True)
@out_option(
    "FILE",
    "Write the calibrated predictions to this file (.parquet or .jsonl).",
    required=True,
)
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="Keep this column as well (repeatable; all keeps every one).",
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

    In the output, confidence is the calibrated one; the stated one is in the column
    stated_confidence. A record without a usable confidence gets the share of such records that
    were right in the fit; a refusal stays as it is.
    """
    from levelhead.calibrators import load
    from levelhead.readers import write
    from levelhead.recalibration import calibrated, overlap

    check_targets((out,), (str(calibrator), *files))
    check_ending(out)
    fitted, about = load(calibrator)
    kind = "answer" if about.kind == "classes" else about.kind
    options = dataclasses.replace(read_options(keep=keep, **given), unlabelled=kind)
    predictions, notes = load_one(files, options)
    result = calibrated(predictions, fitted, about)
    write(out, result)
    if quiet:
        return
    with still_open():
        screen = console()
        for note in notes:
            screen.print(clean(f"· {note}"), style="dim", markup=False)
        for alarm in misuse(about, predictions, _stated_name(predictions, files)):
            screen.print(clean(f"! {alarm}"), style="yellow", markup=False)
        ok = predictions.status == 0
        screen.print(
            f"{len(result):,} records, {int(ok.sum()):,} with a confidence: "
            f"{predictions.confidence[ok].mean():.3f} on average before, "
            f"{result.confidence[ok].mean():.3f} after"
            if ok.any()
            else f"{len(result):,} records, none with a confidence",
            markup=False,
        )
        if (unstated := _unstated(predictions, about)) is not None:
            screen.print(unstated, markup=False)
        seen = overlap(predictions, about.fit_keys)
        if seen.rows > 0:
            screen.print(seen_sentence(seen.rows, "rows"), style="bold red", markup=False)
        screen.print(f"written: {out}", markup=False)


def seen_sentence(share: float, what: str) -> str:
    """What to say of predictions that a calibrator was fitted on."""
    amount = "these" if share > 0.995 else f"about {share:.0%} of these"
    return (
        f"Not a test: the calibrator was fitted on {amount} {what}; judge it on predictions that it "
        "has not seen."
    )


def misuse(about: About, predictions: Predictions, model: str | None) -> list[str]:
    """What speaks against putting these predictions through a calibrator, in sentences.

    Args:
        about: what the calibrator was fitted on.
        predictions: what it is applied to.
        model: whose predictions these are, where the records say it.
    """
    from levelhead.recalibration.through import STATED
    from levelhead.records import PROVENANCES

    found: list[str] = []
    computed = (predictions.provenance == PROVENANCES.index("computed")).any()
    if STATED in predictions.columns.column_names and computed:
        found.append(
            f"calibrated twice: these confidences were calibrated before (the stated ones are in "
            f"{STATED}); use the file that they came from"
        )
    if about.model is not None and model is not None and about.model != model:
        found.append(
            f"the calibrator was fitted on the confidences of {about.model!r}, and these are of "
            f"{model!r}: what one model's confidence is worth says nothing of another's"
        )
    return found


def _stated_name(predictions: Predictions, files: tuple[str, ...]) -> str | None:
    """Whose predictions these are where the records say it, and not only the name of a file."""
    from levelhead.readers import resolve
    from levelhead.readers.sources import pooled

    name, sources = predictions.model, resolve(files)
    sources.append(pooled(sources))
    for source in sources:
        name = name.removeprefix(f"{source.name}/")
    paths = [file for source in sources for file in source.files]
    unsaid = {"model", "", *(s.name for s in sources), *(p.stem for p in paths)}
    return None if name in unsaid else name


def _few(rows: FitRows, predictions: Predictions) -> list[str]:
    """What to say of rows that are few for a fit; of too few, an error."""
    n = len(rows.rows)
    records = f"{n:,} record{'s' if n > 1 else ''}"
    if rows.input == "confidence":
        kinds = [int((rows.y == one).sum()) for one in (1.0, 0.0)]
        names = ("right", "wrong")
        if predictions.kind == "event":
            names = ("that happened", "that did not")
        least = f"a confidence and a truth, and {TOO_FEW_OF_A_KIND} of each of the two kinds"
        got = f"{records}, {kinds[0]:,} {names[0]} and {kinds[1]:,} {names[1]}"
    else:
        kinds, least, got = [n, n], "class scores and a truth", records
    if n < TOO_FEW or min(kinds) < TOO_FEW_OF_A_KIND:
        raise InvalidInputError(
            f"FIT: expected at least {TOO_FEW} records to fit on, with {least}, got {got}; collect more, "
            f"at least {FEW} for a calibrator that can be trusted"
        )
    if n < FEW or min(kinds) < FEW_OF_A_KIND:
        return [
            f"only {got}: too few to trust this calibrator; another draw of them would give quite "
            "another one"
        ]
    return []


def _not_fitted(predictions: Predictions, rows: FitRows, about: About) -> list[str]:
    found: list[str] = []
    left = len(predictions) - len(rows.rows)
    if left:
        what = "confidence" if rows.input == "confidence" else "class scores"
        found.append(
            f"{left:,} of {len(predictions):,} records have no truth or no {what}, and were not fitted "
            "on"
        )
    unstated = _unstated(predictions, about)
    return [*found, unstated] if unstated is not None and about.missing is not None else found


def _unstated(predictions: Predictions, about: About) -> str | None:
    """What becomes of the records without a usable confidence, in a sentence; None without any."""
    from levelhead.records import STATUSES

    refusal = STATUSES.index("refusal")
    n = int(((predictions.status != 0) & (predictions.status != refusal)).sum())
    if not n:
        return None
    them = f"{n:,} record{' states' if n == 1 else 's state'} no usable confidence"
    if about.missing is None:
        return f"{them} and stay{'s' if n == 1 else ''} so: the fit had none such with a truth"
    what = "that were right" if about.kind != "event" else "of which the event came true"
    each = "it gets" if n == 1 else "each gets"
    return f"{them}: {each} {about.missing:.3f}, the share of such records {what} in the fit"


def _show(
    choice: Choice,
    about: About,
    rows: FitRows,
    predictions: Predictions,
    notes: list[str],
    alarms: list[str],
    out: Path,
) -> None:
    from rich.table import Table
    from rich.text import Text

    screen = console()
    for note in notes:
        screen.print(Text(clean(f"· {note}"), style="dim"))
    for alarm in alarms:
        screen.print(Text(clean(f"! {alarm}"), style="bold red"))
    what = "confidence" if rows.input == "confidence" else f"scores of {rows.X.shape[1]} classes"
    screen.print(Text(clean(f"{predictions.model}: {about.n:,} records, {what}"), style="bold"))
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    table.add_column("method", no_wrap=True)
    table.add_column("held-out loss", justify="right", no_wrap=True)
    table.add_column("above the best", justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for one in choice.candidates:
        mark = "chosen" if one.method == choice.method else ""
        table.add_row(
            plain_name(one.method),
            _number(one.loss),
            _above(one),
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


def plain_name(method: str) -> str:
    """A method's name as `--method` takes it: `temperature`, also for class scores."""
    return method.removeprefix("class_")


def _above(one: Candidate) -> str:
    """How far a candidate's loss is above the best one's."""
    if not one.difference:
        return ""
    if not math.isfinite(one.difference):
        return _number(one.difference)
    return f"{one.difference:.4f} ± {one.difference_se:.4f}"


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
