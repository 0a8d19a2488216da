"""`levelhead guard`: fit a second-pass judge of confidences, promise an error rate, keep it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levelhead.cli._options import (
    json_option,
    on_stdout,
    out_option,
    quiet_option,
    seed_option,
    target,
)
from levelhead.cli._output import check_targets, emit, still_open
from levelhead.cli._progress import Bar
from levelhead.cli._reading import check_ending, load_one, read_options, reading_options
from levelhead.errors import InvalidInputError, RecordError, unknown_name

if TYPE_CHECKING:
    from levelhead.guard.guard import Evaluation, Guard
    from levelhead.records import Predictions

__all__ = ["guard"]

EPILOG = """\b
Example, from labelled predictions to answers with a promise:
  levelhead guard fit labelled.parquet -o guard.json
  levelhead guard threshold guard.json labelled.parquet --max-error 0.05
  levelhead guard report guard.json labelled.parquet -o report.html
  levelhead guard apply guard.json new.parquet -o decided.parquet
"""

FIT_EPILOG = """\b
Examples:
  levelhead guard fit labelled.parquet -o guard.json
  levelhead guard fit runs/ --split-by gene --model boosting -o guard.json
  levelhead guard fit answers.jsonl --features stated,agreement -o guard.json
"""

THRESHOLD_EPILOG = """\b
Examples:
  levelhead guard threshold guard.json labelled.parquet --max-error 0.05
  levelhead guard threshold guard.json labelled.parquet --max-error 0.1 \\
      --delta 0.1 --by subject --escalate-above 0.5 -o by_subject.json
"""

APPLY_EPILOG = """\b
Example:
  levelhead guard apply guard.json new.parquet -o decided.parquet
"""

REPORT_EPILOG = """\b
Examples:
  levelhead guard report guard.json held_out.parquet -o report.html
  levelhead guard report guard.json held_out.parquet --json - --quiet
"""

UNIT = "the guard never splits a value of its --split-by"
BY = "the guard has a threshold for each value of its --by"
"""Who asks for a column that the guard itself needs."""

_guard_argument = click.argument("guard_path", metavar="GUARD", type=click.Path(path_type=Path))
_files_argument = click.argument("files", nargs=-1, required=True)
_fresh_option = click.option(
    "--fresh",
    is_flag=True,
    help="The ids of FILES number other prompts than those of the fit: use all rows.",
)


class _InOrder(click.Group):
    """A group that lists its commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            raise click.UsageError(str(unknown_name("command", args[0], self.commands)))
        return super().resolve_command(ctx, args)


@click.group(epilog=EPILOG, cls=_InOrder)
def guard() -> None:
    """Judge each confidence a second time; answer only where errors stay rare.

    `fit` trains the judge on predictions with known truth, `threshold` decides from which verified
    confidence on to answer, `report` checks the promise, `apply` decides on new predictions.
    """


@guard.command(epilog=FIT_EPILOG, short_help="Fit a guard on predictions whose truth is known.")
@_files_argument
@out_option("GUARD", "Write the guard to this JSON file.", required=True)
@click.option("--split-by", metavar="COLUMN", help="Never split its values (else prompts).")
@click.option(
    "--features",
    "names",
    metavar="NAMES",
    help="Evidence to use, separated by commas (else all that the files carry).",
)
@click.option(
    "--evidence",
    multiple=True,
    metavar="COLUMN",
    help="Use this column of numbers as evidence too (repeatable); new files need it.",
)
@click.option(
    "--model",
    default="logistic",
    show_default=True,
    type=click.Choice(["logistic", "boosting"]),
    help="The verifier; boosting needs scikit-learn to be fitted.",
)
@click.option(
    "--select",
    default="top",
    show_default=True,
    type=click.Choice(["top", "each"]),
    help="Answer with the best-ranked sample of a prompt, or decide on each row.",
)
@seed_option("Of the split.")
@json_option()
@quiet_option()
@reading_options
def fit(
    files: tuple[str, ...],
    out: Path,
    split_by: str | None,
    names: str | None,
    evidence: tuple[str, ...],
    model: str,
    select: str,
    seed: int,
    json_path: Path | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Fit a guard on the predictions in FILES, whose truth is known.

    Half of the prompts train the verifier and a fifth calibrates it. A threshold is set on 15%,
    and the last 15% are kept for the report: give the same files to each command.
    """
    from levelhead.cli import _guard_text as said
    from levelhead.cli._guard_columns import unused
    from levelhead.guard.guard import fit_guard, save

    check_targets((out, target(json_path)), files)
    with Bar("reading") as bar:
        own = {f"--evidence {name}": name for name in evidence}
        predictions, notes = _load(files, {"--split-by": split_by, **own}, given)
        idle = unused(files, given, (*evidence, split_by))
        bar.say("fitting")
        bar.set(0.4)
        with warnings.catch_warnings(record=True) as odd:
            warnings.simplefilter("always", UserWarning)
            fitted = fit_guard(
                predictions,
                unit=split_by,
                features=None if names is None else _listed(names),
                evidence=evidence,
                model=model,  # type: ignore[arg-type]
                select=select,  # type: ignore[arg-type]
                seed=seed,
            )
        notes += [str(one.message) for one in odd]
        bar.say("judging")
        bar.set(0.7)
        held_out = _held_out(fitted, predictions)
    save(out, fitted)
    with still_open():
        if json_path is not None:
            emit(json_path, said.json_text(said.fit_content(fitted, held_out)))
        if not quiet and not on_stdout(json_path):
            said.show_fit(fitted, held_out, predictions, [*notes, idle], out)


@guard.command(
    epilog=THRESHOLD_EPILOG, short_help="Promise an error rate: from which score on to answer."
)
@_guard_argument
@_files_argument
@click.option(
    "--max-error",
    required=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="The share of errors among the answered to stay below.",
)
@click.option(
    "--delta",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="In how many cases the promise may fail.",
)
@click.option(
    "--by",
    metavar="COLUMN",
    help="A threshold for each of its values, with --method ltt only. A value that is new later is "
    "never answered; it escalates as others do.",
)
@click.option(
    "--method",
    default="ltt",
    show_default=True,
    type=click.Choice(["ltt", "crc"]),
    help="Bound the errors among the answered (Learn-then-Test), or the mean number of errors per "
    "prompt (conformal risk control; without --by).",
)
@click.option(
    "--escalate-above",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Hand on what is not answered from this verified confidence on.",
)
@click.option(
    "--per-unit/--all-prompts",
    default=None,
    help="Count one prompt of each value of fit's --split-by, as prompts of one depend on one "
    "another, or all of them.  [default: one where a value holds several]",
)
@_fresh_option
@out_option("GUARD", "Write the guard with its threshold here.  [default: in place]")
@json_option()
@quiet_option()
@reading_options
def threshold(
    guard_path: Path,
    files: tuple[str, ...],
    max_error: float,
    delta: float,
    by: str | None,
    method: str,
    escalate_above: float | None,
    per_unit: bool | None,
    fresh: bool,
    out: Path | None,
    json_path: Path | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Decide from which verified confidence on GUARD answers, and promise how often it errs.

    Of the files of the fit, only the prompts kept for this are used; of other files, all.
    """
    from levelhead.cli import _guard_text as said
    from levelhead.guard.guard import load, save, set_threshold

    if by is not None and method == "crc":
        raise InvalidInputError(
            f"--by: expected no slices with --method crc, got {by!r}; use --method ltt"
        )
    out = guard_path if out is None else out
    check_targets((out, target(json_path)), files)
    check_targets((target(json_path),), (str(guard_path), str(out)))
    fitted = load(guard_path)
    with Bar("reading") as bar:
        columns = {UNIT: fitted.unit, "--by": by, **_own(fitted)}
        predictions, notes = _load(files, columns, given)
        bar.say("testing thresholds")
        bar.set(0.5)
        ready = set_threshold(
            fitted,
            predictions,
            max_error=max_error,
            delta=delta,
            by=by,
            method=method,  # type: ignore[arg-type]
            escalate_above=escalate_above,
            per_unit=per_unit,
            fresh=fresh,
        )
    save(out, ready)
    with still_open():
        if json_path is not None:
            emit(json_path, said.json_text(said.threshold_content(ready)))
        if not quiet and not on_stdout(json_path):
            said.show_threshold(ready, notes, out)


@guard.command(
    epilog=REPORT_EPILOG, short_help="Check the promise on predictions whose truth is known."
)
@_guard_argument
@_files_argument
@out_option("HTML", "Write the report with its pictures to this file.")
@click.option("--by", metavar="COLUMN", help="Slice by this column (else as the thresholds do).")
@click.option(
    "--on-fit-rows",
    is_flag=True,
    help="Judge all rows, also those that the guard was fitted on: no fair test.",
)
@_fresh_option
@json_option()
@quiet_option()
@reading_options
def report(
    guard_path: Path,
    files: tuple[str, ...],
    out: Path | None,
    by: str | None,
    on_fit_rows: bool,
    fresh: bool,
    json_path: Path | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Is the promise of GUARD kept on the predictions in FILES, whose truth is known?

    Of the files of the fit, only the prompts kept for this are judged; of other files, all.
    """
    from levelhead.cli import _guard_text as said
    from levelhead.guard.guard import evaluate, load

    check_targets((out, target(json_path)), (str(guard_path), *files))
    ready = load(guard_path)
    slices = None if ready.policy is None else ready.policy.by
    with Bar("reading") as bar:
        columns = {UNIT: ready.unit, BY: slices, "--by": by, **_own(ready)}
        predictions, notes = _load(files, columns, given)
        bar.say("judging")
        bar.set(0.4)
        found = evaluate(ready, predictions, on_fit_rows=on_fit_rows, by=by, fresh=fresh)
        bar.say("drawing")
        bar.set(0.9)
        if out is not None:
            from levelhead.guard.report import write_report

            write_report(found, ready, out)
    with still_open():
        if json_path is not None:
            emit(json_path, said.json_text(said.report_content(found)))
        if not quiet and not on_stdout(json_path):
            said.show_report(found, ready, notes, guard_path, out)


@guard.command(
    epilog=APPLY_EPILOG, short_help="Decide on new predictions: answer, escalate or abstain."
)
@_guard_argument
@_files_argument
@out_option(
    "FILE",
    "Write the predictions with their decisions to this file (.parquet or .jsonl).",
    required=True,
)
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="Keep this column as well (repeatable; all keeps every one).",
)
@json_option()
@quiet_option()
@reading_options
def apply(
    guard_path: Path,
    files: tuple[str, ...],
    out: Path,
    keep: tuple[str, ...],
    json_path: Path | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Verify the predictions in FILES and decide: answer, escalate or abstain.

    Adds the columns verified, shown (the lower of stated and verified), overconfident, rank and
    decision. In the output, confidence is the verified one; the stated one is in the column
    stated_confidence. Refusals and empty answers are never answered. The truth is neither needed
    nor looked at.
    """
    from levelhead.cli import _guard_text as said
    from levelhead.guard.guard import apply_guard, load
    from levelhead.readers import write

    check_targets((out, target(json_path)), (str(guard_path), *files))
    check_ending(out)
    ready = load(guard_path)
    if ready.policy is None:
        raise InvalidInputError(
            f"{guard_path}: expected a guard with a threshold, got one without; set it with: "
            f"levelhead guard threshold {guard_path} FILES --max-error 0.05"
        )
    with Bar("reading") as bar:
        predictions, notes = _load(
            files,
            {BY: ready.policy.by, **_own(ready)},
            {**given, "unlabelled": ready.kind, "keep": keep},
        )
        bar.say("deciding")
        bar.set(0.5)
        decided = apply_guard(ready, predictions)
        bar.say("writing")
        bar.set(0.9)
        write(out, decided)
    content = said.apply_content(ready, predictions, decided)
    with still_open():
        if json_path is not None:
            emit(json_path, said.json_text(content))
        if not quiet and not on_stdout(json_path):
            said.show_apply(content, notes, out)


def _load(
    files: tuple[str, ...], columns: dict[str, str | None], given: dict[str, Any]
) -> tuple[Predictions, list[str]]:
    """The predictions of one model with all evidence there is, and what the readers noted.

    `columns` are needed besides, each by who asks for it: readers know of `--by` only.
    """
    from levelhead.guard.evidence import NAMES

    by = tuple(dict.fromkeys(name for name in columns.values() if name))
    try:
        return load_one(files, read_options(by=by, evidence=NAMES, **given))
    except RecordError as error:
        for who, name in columns.items():
            if name and error.problem.startswith(f"--by: expected a column named {name!r}"):
                problem = who + error.problem.removeprefix("--by")
                raise RecordError(problem, error.path, error.line) from error
        raise


def _own(guard: Guard) -> dict[str, str | None]:
    """The columns of the user's own that a guard needs, each by who asks for it."""
    return {f"the guard was fitted with --evidence {name}": name for name in guard.evidence}


def _held_out(fitted: Guard, predictions: Predictions) -> Evaluation | None:
    """How the fit does on the part that is kept for the report; None where that part is empty."""
    from levelhead.guard.guard import evaluate

    return evaluate(fitted, predictions) if fitted.counts["test"]["rows"] else None


def _listed(names: str) -> list[str]:
    found = [name.strip() for name in names.split(",")]
    if not all(found):
        raise InvalidInputError(
            f"--features: expected names separated by commas, got {names!r}; such as stated,agreement"
        )
    return found
