"""`levelhead audit`: read, summarize, show, and write the report and the JSON."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from levelhead.audit.collect import MAX_ROWS, collect
from levelhead.audit.convention import Convention
from levelhead.audit.convention import convention as named
from levelhead.audit.model_records import ModelRecords
from levelhead.audit.recalibrated import recalibrated
from levelhead.audit.result import AuditResult, json_text
from levelhead.audit.summary import audit as run_audit
from levelhead.cli._console import Progress, show
from levelhead.cli._options import json_option, on_stdout, path_option, quiet_option, target
from levelhead.cli._output import check_targets, emit, still_open
from levelhead.cli._reading import read_options, reading_options, resampling_options
from levelhead.errors import InvalidInputError
from levelhead.readers import ReadLog, ReadOptions, resolve
from levelhead.readers.sources import chosen, pooled
from levelhead.records import Predictions

__all__ = ["audit", "audit_files", "gather_one", "write_outputs"]

Engine = Literal["local", "ray"]
ENGINES = ("local", "ray")

EPILOG = """\b
Examples:
  levelhead audit predictions.parquet --report report.html
  levelhead audit tuned/ --baseline base/ --by subject --json audit.json
  levelhead audit samples_mmlu.jsonl            (lm-evaluation-harness)
  levelhead audit --engine ray 's3://bucket/run/*.parquet'
  levelhead audit outputs.jsonl --text completion --gold answer \\
      --pattern 'Confidence: (?P<confidence>[0-9.]+)'
"""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--baseline", multiple=True, metavar="FILES", help="What to compare with (repeatable)."
)
@click.option("--by", multiple=True, metavar="COLUMN", help="Slice by this column (repeatable).")
@path_option("--report", metavar="HTML", help="Write the report to this file.")
@json_option()
@path_option("--calibrator", metavar="JSON", help="Show each model also through this calibrator.")
@click.option(
    "--cross-calibrate",
    metavar="METHOD",
    help="Show each model also cross-calibrated: auto, platt, matrix, ...",
)
@click.option(
    "--split-by", metavar="COLUMN", help="Cross-calibration never splits its values (else prompts)."
)
@resampling_options
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    show_default=True,
    help="Where FILES are read: in this process, or by the workers of a Ray cluster.",
)
@click.option(
    "--ray-address",
    metavar="ADDRESS",
    help="The cluster's, such as auto or host:port; else RAY_ADDRESS, or this machine.",
)
@quiet_option()
@reading_options
def audit(
    files: tuple[str, ...],
    baseline: tuple[str, ...],
    by: tuple[str, ...],
    report: Path | None,
    json_path: Path | None,
    calibrator: Path | None,
    cross_calibrate: str | None,
    split_by: str | None,
    n_boot: int,
    level: float,
    seed: int,
    engine: Engine,
    ray_address: str | None,
    quiet: bool,
    convention: str,
    **given: Any,
) -> None:
    """Audit the predictions in FILES: files, folders, quoted globs, or addresses such as s3://.

    A folder, or the shards of one set, is one model; every other file is a model of its own.
    Parquet, JSON Lines, CSV, Arrow, and the logs of lm-evaluation-harness, Inspect, TRL, verl,
    verifiers, uqlm and OpenAI-compatible servers are recognized by themselves.
    """
    if calibrator is not None and cross_calibrate is not None:
        raise click.UsageError("give --calibrator or --cross-calibrate, not both")
    if split_by is not None and cross_calibrate is None:
        raise click.UsageError("--split-by belongs to --cross-calibrate")
    if ray_address is not None and engine != "ray":
        raise click.UsageError("--ray-address belongs to --engine ray")
    options = read_options(by=by, convention=convention, **given)
    fitted = () if calibrator is None else (str(calibrator),)
    check_targets((report, target(json_path)), (*files, *baseline, *fitted))
    silent = quiet or on_stdout(json_path)
    with Progress(enabled=not silent) as progress:
        result = audit_files(
            files,
            options,
            baseline=baseline,
            calibrator=calibrator,
            cross_calibrate=cross_calibrate,
            split_by=split_by,
            n_boot=n_boot,
            level=level,
            seed=seed,
            engine=engine,
            ray_address=ray_address,
            progress=progress,
        )
    with still_open():
        write_outputs(result, report, json_path)
        if not silent:
            show(result, report)


def audit_files(
    files: tuple[str, ...],
    options: ReadOptions,
    *,
    baseline: tuple[str, ...] = (),
    calibrator: Path | None = None,
    cross_calibrate: str | None = None,
    split_by: str | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    engine: Engine = "local",
    ray_address: str | None = None,
    progress: Progress,
) -> AuditResult:
    """Everything between the arguments and the result, for any command that audits files."""
    rules, log = named(options.convention), ReadLog()
    kept = options
    if split_by is not None:
        kept = dataclasses.replace(options, evidence=(split_by,), asked=((split_by, "--split-by"),))
    read = functools.partial(gather, engine=engine, ray_address=ray_address)
    models = list(read(files, kept, log, rules, progress).values())
    base = gather_one(baseline, kept, log, rules, progress, read=read) if baseline else None
    pairs, alarms = None, []
    if calibrator is not None or cross_calibrate is not None:
        progress.step("calibrating")
        everyone = [*([base] if base is not None else []), *models]
        if calibrator is not None:
            through, suffix, alarms = _through(calibrator, everyone, log)
        else:
            through, suffix = _across(str(cross_calibrate), split_by, seed)
            log.note(f"{suffix.strip()}: cross-fitted, each prompt calibrated by a fit without it")
        both = recalibrated(everyone, through, suffix, MAX_ROWS)
        models, base, pairs = both.models, None, both.pairs
    return run_audit(
        models,
        rules,
        baseline=base,
        pairs=pairs,
        alarms=alarms,
        n_boot=n_boot,
        level=level,
        seed=seed,
        notes=log.notes,
        warnings=log.warnings,
        on_step=progress.step,
    )


def _through(
    path: Path, models: Sequence[ModelRecords], log: ReadLog
) -> tuple[Callable[[Predictions], Predictions], str, list[str]]:
    """Predictions through a fitted calibrator, what to call them, and what is wrong with that."""
    from levelhead.calibrators import load
    from levelhead.cli.calibrate import misuse, plain_name, seen_sentence
    from levelhead.recalibration import calibrated, overlap

    calibrator, about = load(path)
    alarms: list[str] = []
    for records in models:
        if records.streamed:
            continue  # refused with a sentence of its own
        model = records.predictions.model
        unsaid = {"model", "", *(n for f in records.files for n in (Path(f).stem, Path(f).name))}
        for sentence in misuse(about, records.predictions, None if model in unsaid else model):
            log.warn(f"{records.name}: {sentence}")
        seen = overlap(records.predictions, about.fit_keys)
        if seen.rows > 0.0:
            alarms.append(f"{records.name}: {seen_sentence(seen.rows, 'records')}")
        elif seen.prompts > 0.0:
            log.warn(
                f"{records.name}: about {seen.prompts:.0%} of its prompt ids were among those that the "
                "calibrator was fitted on; unless ids only number the rows of a file, split by prompt"
            )
    return (
        (lambda p: calibrated(p, calibrator, about)),
        f" + {plain_name(calibrator.method)}",
        alarms,
    )


def _across(
    method: str, split_by: str | None, seed: int
) -> tuple[Callable[[Predictions], Predictions], str]:
    """Predictions of which each is calibrated by a fit without it, and what to call them."""
    from levelhead.recalibration import cross_calibrated

    def through(predictions: Predictions) -> Predictions:
        return cross_calibrated(predictions, method, split_by=split_by, seed=seed)

    return through, f" + {method}"


def gather(
    files: tuple[str, ...],
    options: ReadOptions,
    log: ReadLog,
    rules: Convention,
    progress: Progress,
    *,
    engine: Engine = "local",
    ray_address: str | None = None,
) -> dict[str, ModelRecords]:
    """The records of every model in the files."""
    sources = resolve(files, log=log)
    if options.pool:
        sources = [pooled(sources)]
    if engine == "ray":
        from levelhead.audit.on_ray import collect_on_ray

        progress.counting(sum(len(source.files) for source in sources), "files")
        found = collect_on_ray(
            sources,
            options,
            log,
            missing=rules.missing,
            address=ray_address,
            on_part=progress.advance,
        )
        return chosen(found, options.only)
    progress.reading(sources)
    found = collect(sources, options, log, missing=rules.missing, on_block=progress.advance)
    return chosen(found, options.only)


def gather_one(
    files: tuple[str, ...],
    options: ReadOptions,
    log: ReadLog,
    rules: Convention,
    progress: Progress,
    name: str = "baseline",
    *,
    read: Callable[..., dict[str, ModelRecords]] = gather,
) -> ModelRecords:
    """The records of one model; several in the files are an error that names them.

    `--only` chooses among several; the one model of a file needs no choice.
    """
    found = read(files, dataclasses.replace(options, only=None), log, rules, progress)
    found = chosen(found, options.only) if len(found) > 1 else found
    if len(found) != 1:
        raise InvalidInputError(
            f"--{name}: expected the predictions of one model, got {len(found)}: {', '.join(found)}; "
            "choose one with --only NAME, or give one file, one folder or the shards of one set"
        )
    return next(iter(found.values()))


def write_outputs(result: AuditResult, report: Path | None, json_path: Path | None) -> None:
    """Write what was asked for; nothing is half-written."""
    if json_path is not None:
        emit(json_path, json_text(result))
    if report is not None:
        from levelhead.audit.report import write_report

        write_report(result, report)
