"""`levelhead diagnose BASE TUNED`: every question that the data can answer, as one report."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import numpy as np

from levelhead.cli._console import Progress
from levelhead.cli._diagnose_samples import TRACES, one_model
from levelhead.cli._options import json_option, on_stdout, path_option, quiet_option, target
from levelhead.cli._output import check_targets
from levelhead.cli._reading import read_options, reading_options, resampling_options
from levelhead.errors import InvalidInputError
from levelhead.readers import ReadLog, ReadOptions
from levelhead.readers._remote import is_remote

if TYPE_CHECKING:
    from levelhead.audit.result import AuditResult
    from levelhead.diagnose.section import Section

__all__ = ["audit_section", "everything"]

EPILOG = """\b
Examples:
  levelhead diagnose base/ tuned/ -o report.html
  levelhead diagnose base.parquet tuned.parquet --weights base-model/ tuned-model/
  levelhead diagnose base-model/ tuned-model/
"""

FEW = 2
"""Samples of a prompt from which its pass rate can be told."""

TITLES = {
    "audit": "Overconfidence",
    "sharpening": "Sharpening",
    "formats": "Formats",
    "difficulty": "Difficulty and shortcuts",
    "updates": "Updates of the weights",
    "truth": "Indifference to truth",
}

NEEDED = (
    "ece",
    "mean_confidence",
    "accuracy",
    "overconfidence",
    "errors_at_90",
    "brier",
    "auroc",
    "trust",
)
"""The metrics of the audit that are shown; `levelhead audit` has them all."""


@click.command("all", epilog=EPILOG)
@click.argument("base")
@click.argument("tuned")
@click.option(
    "--weights",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="BASE TUNED",
    help="Folders of safetensors, where BASE and TUNED are predictions.",
)
@click.option(
    "--estimator",
    default="grpo",
    show_default=True,
    metavar="SPEC",
    help="The advantage estimator of the training.",
)
@click.option(
    "--group-size",
    default=8,
    show_default=True,
    type=click.IntRange(2, 1024),
    help="Completions per prompt in the training.",
)
@click.option("--column", metavar="COLUMN", help="Column of the texts.  [default: text]")
@resampling_options
@path_option("-o", "--report", metavar="HTML", help="Write the report to this file.")
@json_option()
@quiet_option()
@reading_options
def everything(
    base: str,
    tuned: str,
    weights: tuple[Path, Path] | None,
    estimator: str,
    group_size: int,
    column: str | None,
    n_boot: int,
    level: float,
    seed: int,
    report: Path | None,
    json_path: Path | None,
    quiet: bool,
    convention: str,
    **given: Any,
) -> None:
    """Diagnose what training changed from BASE to TUNED: everything that they hold data for.

    Both are predictions (files, folders, quoted globs) or both are folders of safetensors. What
    cannot be told from them is listed with what it would need.
    """
    from levelhead.cli._diagnose import finish

    check_targets((report, target(json_path)), (base, tuned, *map(str, weights or ())))
    found: list[Section] = []
    silent = quiet or on_stdout(json_path)
    with Progress(enabled=not silent) as progress:
        if _holds_weights(base) or _holds_weights(tuned):
            if weights is not None:
                raise InvalidInputError(
                    "--weights: expected BASE and TUNED to be predictions beside it"
                )
            _both_weights(base, tuned)
            weights = Path(base), Path(tuned)
        else:
            options = read_options(convention=convention, **given)
            settings = _Settings(column or "text", estimator, group_size, n_boot, level, seed)
            read = _Read(base, tuned, options, settings, progress)
            for name, make in STEPS.items():
                progress.step(TITLES[name].lower())
                found.append(_tried(name, functools.partial(make, read)))
        found.append(_tried("updates", functools.partial(_updates, weights, seed, progress)))
        needs = "claims and beliefs: levelhead diagnose truth FILE --claim COLUMN --belief COLUMN"
        found.append(_missing("truth", needs))
    told = [one for one in found if one.verdict != NOT_DIAGNOSED]
    left = [one for one in found if one.verdict == NOT_DIAGNOSED]
    finish([*told, *left], report, json_path, quiet, title=f"{base} and {tuned}")


NOT_DIAGNOSED = "NOT DIAGNOSED"


class _NotHere(Exception):
    """The data do not hold what a diagnosis needs; the message says what that is."""


def _missing(name: str, needs: str) -> Section:
    from levelhead.diagnose.section import Section

    return Section(name, TITLES[name], NOT_DIAGNOSED, "open", f"This needs {needs}.")


def _tried(name: str, make: Callable[[], Section]) -> Section:
    try:
        return make()
    except _NotHere as reason:
        return _missing(name, str(reason))


@dataclasses.dataclass(frozen=True)
class _Settings:
    column: str
    estimator: str
    group_size: int
    n_boot: int
    level: float
    seed: int


class _Read:
    """The predictions of both models, read once, and what can be told from them."""

    def __init__(
        self, base: str, tuned: str, options: ReadOptions, settings: _Settings, progress: Progress
    ) -> None:
        self.paths, self.options, self.settings = (base, tuned), options, settings
        self.progress, self.column = progress, settings.column
        self.log = ReadLog()
        progress.step("reading")
        self.base, self.tuned = (
            one_model(path, role, options, self.log, evidence=(*TRACES, settings.column))
            for path, role in ((base, "BASE"), (tuned, "TUNED"))
        )
        if self.base.kind != self.tuned.kind:
            raise InvalidInputError(
                f"TUNED: expected {self.base.kind} predictions like those of BASE, got "
                f"{self.tuned.kind} predictions"
            )
        if self.base.model == self.tuned.model:
            self.base = dataclasses.replace(self.base, model="base")
            self.tuned = dataclasses.replace(self.tuned, model="tuned")

    def need_answers(self) -> None:
        if self.base.kind != "answer":
            raise _NotHere("answers that are right or wrong; these are chances of events")

    def need_samples(self) -> None:
        for one in (self.base, self.tuned):
            if one.clusters is None or np.bincount(one.clusters).max() < FEW:
                raise _NotHere(
                    f"several samples of each prompt, with the same prompt_id; {one.model} has one"
                )

    def need_texts(self) -> None:
        for one in (self.base, self.tuned):
            there = one.columns.column_names
            if self.column not in there or one.columns[self.column].null_count == len(one):
                raise _NotHere(f"texts of both models in a column {self.column!r} (--column)")


def _audit(read: _Read) -> Section:
    from levelhead.cli.audit import audit_files

    if all((one.status != 0).all() for one in (read.base, read.tuned)):
        raise _NotHere("confidences; these samples state none")
    result = audit_files(
        (read.paths[1],),
        read.options,
        baseline=(read.paths[0],),
        n_boot=read.settings.n_boot,
        level=read.settings.level,
        seed=read.settings.seed,
        progress=read.progress,
    )
    return audit_section(result)


def audit_section(result: AuditResult) -> Section:
    """The audit of a model against its base as a section.

    Args:
        result: of one model with one baseline.

    Returns:
        What changed, the calibration error of both with its null, and their reliability.
    """
    from levelhead.audit import charts
    from levelhead.diagnose.section import Chart, Measure, Section, Table

    (comparison,) = result.comparisons
    models = {one.name: one for one in result.models}
    tuned, base = models[comparison.model], models[comparison.baseline]
    changes = {row.name: row for row in comparison.rows}
    worse = changes["ece"].worse
    measures = [
        Measure(f"ECE of {one.name}", one.metric("ece").value, one.metric("ece").low,
                one.metric("ece").high, None if one.null is None else one.null.expected,
                "what a calibrated model would show by chance stands on the right")
        for one in (base, tuned)
    ]  # fmt: skip
    rows = [
        (row.label, row.baseline_value, row.model_value, row.difference,
         "" if row.low is None or row.high is None else f"{row.low:+.3f} to {row.high:+.3f}")
        for name in NEEDED if (row := changes.get(name)) is not None
    ]  # fmt: skip
    drawn = charts.reliability_diagram({one.name: one.reliability for one in (base, tuned)})
    svg = charts.to_svg(
        cast(Any, drawn.figure), prefix="audit-1", label="reliability of both models"
    )
    return Section(
        name="audit",
        title=TITLES["audit"],
        verdict=tuned.verdict.label.upper(),
        tone="bad" if worse else "good" if worse is False else "open",
        headline=comparison.sentence,
        sentences=[tuned.verdict.headline, *tuned.verdict.sentences],
        measures=measures,
        charts=[Chart("Reliability", "Below the diagonal a model is surer than it is right.", svg)],
        tables=[Table("Changes", ("metric", base.name, tuned.name, "change", "interval"), rows)],
        warnings=[*result.warnings, *(w for one in (base, tuned) for w in one.warnings)],
        notes=[f"seed {result.seed}; levelhead audit shows more of this", *result.notes],
        data={"changes": [dataclasses.asdict(row) for row in comparison.rows]},
    )


def _sharpening(read: _Read) -> Section:
    from levelhead.cli._diagnose_sharpening import as_samples
    from levelhead.diagnose.sharpening import diagnose_sharpening, section

    read.need_answers()
    read.need_samples()
    both = as_samples(read.base, read.tuned)
    said = read.settings
    return section(diagnose_sharpening(*both, n_boot=said.n_boot, level=said.level, seed=said.seed))


def _formats(read: _Read) -> Section:
    from levelhead.cli._diagnose_formats import compare_texts
    from levelhead.diagnose.formats import section

    read.need_texts()
    said = read.settings
    found = compare_texts(
        read.base, read.tuned, read.column, level=1.0 - said.level, seed=said.seed
    )
    return section(found)


def _difficulty(read: _Read) -> Section:
    from levelhead.diagnose.difficulty import diagnose_difficulty, section

    read.need_answers()
    read.need_samples()
    read.need_texts()
    found = diagnose_difficulty(
        read.tuned,
        read.base,
        estimator=read.settings.estimator,
        group_size=read.settings.group_size,
        text=(read.column,),
        alpha=1.0 - read.settings.level,
        seed=read.settings.seed,
    )
    return section(found)


STEPS: dict[str, Callable[[_Read], Section]] = {
    "audit": _audit,
    "sharpening": _sharpening,
    "formats": _formats,
    "difficulty": _difficulty,
}


def _holds_weights(argument: str) -> bool:
    path = Path(argument)
    if is_remote(argument):
        return False
    return path.suffix == ".safetensors" or any(path.glob("*.safetensors"))


def _both_weights(base: str, tuned: str) -> None:
    for name, one in (("BASE", base), ("TUNED", tuned)):
        if not _holds_weights(one):
            raise InvalidInputError(
                f"{name}: expected weights like the other, got predictions or nothing; give two "
                "folders of safetensors, or predictions with --weights BASE TUNED"
            )


def _updates(weights: tuple[Path, Path] | None, seed: int, progress: Progress) -> Section:
    from levelhead.diagnose.updates import diagnose_updates, section

    if weights is None:
        raise _NotHere("the weights of both models: --weights BASE TUNED")
    return section(
        diagnose_updates(
            *weights,
            seed=seed,
            on_start=lambda total: progress.counting(total, "weights"),
            on_read=progress.advance,
        )
    )
