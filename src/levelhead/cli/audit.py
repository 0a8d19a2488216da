"""`levelhead audit`: read, summarize, show, and write the report and the JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from levelhead._write import check_writable, write_text
from levelhead.audit.collect import ModelRecords, collect
from levelhead.audit.convention import Convention
from levelhead.audit.convention import convention as named
from levelhead.audit.result import AuditResult, json_text
from levelhead.audit.summary import audit as run_audit
from levelhead.cli._console import Progress, show, still_open
from levelhead.cli._reading import read_options, reading_options, resampling_options
from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers import ReadLog, ReadOptions, resolve

__all__ = ["audit", "audit_files", "check_targets", "emit", "gather_one", "write_outputs"]

EPILOG = """\b
Examples:
  levelhead audit predictions.parquet --report report.html
  levelhead audit tuned/ --baseline base/ --by subject --json audit.json
  levelhead audit samples_mmlu.jsonl            (lm-evaluation-harness)
  levelhead audit outputs.jsonl --text completion --gold answer \\
      --pattern 'Confidence: (?P<confidence>[0-9.]+)'
"""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--baseline", multiple=True, metavar="FILES", help="What to compare with (repeatable)."
)
@click.option("--by", multiple=True, metavar="COLUMN", help="Slice by this column (repeatable).")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="HTML",
    help="Write the report to this file.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    metavar="JSON",
    help="Write the numbers to this file (- for standard output).",
)
@resampling_options
@click.option("--quiet", is_flag=True, help="Write files only; print nothing.")
@reading_options
def audit(
    files: tuple[str, ...],
    baseline: tuple[str, ...],
    by: tuple[str, ...],
    report: Path | None,
    json_path: Path | None,
    n_boot: int,
    level: float,
    seed: int,
    quiet: bool,
    convention: str,
    **given: Any,
) -> None:
    """Audit the predictions in FILES: files, folders or quoted globs.

    A folder, or the shards of one set, is one model; every other file is a model of its own.
    Parquet, JSON Lines, Arrow, and the logs of lm-evaluation-harness, Inspect, TRL, verl,
    verifiers, uqlm and OpenAI-compatible servers are recognized by themselves.
    """
    to_stdout = json_path is not None and str(json_path) == "-"
    options = read_options(by=by, convention=convention, **given)
    check_targets((report, None if to_stdout else json_path), (*files, *baseline))
    with Progress(enabled=not quiet and not to_stdout) as progress:
        result = audit_files(
            files,
            options,
            baseline=baseline,
            n_boot=n_boot,
            level=level,
            seed=seed,
            progress=progress,
        )
    with still_open():
        write_outputs(result, report, json_path)
        if not quiet and not to_stdout:
            show(result, report)


def audit_files(
    files: tuple[str, ...],
    options: ReadOptions,
    *,
    baseline: tuple[str, ...] = (),
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    progress: Progress,
) -> AuditResult:
    """Everything between the arguments and the result, for any command that audits files."""
    rules, log = named(options.convention), ReadLog()
    models = list(gather(files, options, log, rules, progress).values())
    base = gather_one(baseline, options, log, rules, progress) if baseline else None
    return run_audit(
        models,
        rules,
        baseline=base,
        n_boot=n_boot,
        level=level,
        seed=seed,
        notes=log.notes,
        warnings=log.warnings,
        on_step=progress.step,
    )


def gather(
    files: tuple[str, ...],
    options: ReadOptions,
    log: ReadLog,
    rules: Convention,
    progress: Progress,
) -> dict[str, ModelRecords]:
    """The records of every model in the files."""
    sources = resolve(files, log=log)
    progress.reading(sources)
    return collect(sources, options, log, missing=rules.missing, on_block=progress.advance)


def gather_one(
    files: tuple[str, ...],
    options: ReadOptions,
    log: ReadLog,
    rules: Convention,
    progress: Progress,
    name: str = "baseline",
) -> ModelRecords:
    """The records of one model; several in the files are an error that names them."""
    found = gather(files, options, log, rules, progress)
    if len(found) != 1:
        raise InvalidInputError(
            f"--{name}: expected the predictions of one model, got {len(found)}: {', '.join(found)}; "
            "give one file, one folder or the shards of one set"
        )
    return next(iter(found.values()))


def check_targets(targets: tuple[Path | None, ...], inputs: tuple[str, ...]) -> None:
    """Before any work: every output can be written, and none of them is an input."""
    read = {os.path.realpath(name) for name in inputs}
    for target in targets:
        if target is None:
            continue
        if os.path.realpath(target) in read:
            raise RecordError(
                "expected another file to write to, this one is an input", str(target)
            )
        check_writable(target)


def emit(path: Path, text: str) -> None:
    """Text to a file, or to standard output where the path is a dash."""
    if str(path) == "-":
        click.echo(text, nl=False)
    else:
        write_text(path, text)


def write_outputs(result: AuditResult, report: Path | None, json_path: Path | None) -> None:
    """Write what was asked for; nothing is half-written."""
    if json_path is not None:
        emit(json_path, json_text(result))
    if report is not None:
        from levelhead.audit.report import write_report

        write_report(result, report)
