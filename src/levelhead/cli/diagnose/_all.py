"""`levelhead diagnose BASE TUNED`: every question that the data can answer, as one report."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from levelhead.cli._console import Progress
from levelhead.cli._options import json_option, on_stdout, path_option, quiet_option, target
from levelhead.cli._output import check_targets
from levelhead.cli._reading import read_options, reading_options, resampling_options
from levelhead.cli.diagnose._samples import TRACES, models_option, second_path, two_models
from levelhead.cli.diagnose._updates import files_of
from levelhead.errors import InvalidInputError, LevelheadError
from levelhead.readers import ReadLog, ReadOptions
from levelhead.readers._remote import is_remote

if TYPE_CHECKING:
    from levelhead.diagnose.section import Section
    from levelhead.records import Predictions

__all__ = ["everything"]

EPILOG = """\b
Examples:
  levelhead diagnose base/ tuned/ -o report.html
  levelhead diagnose base.parquet tuned.parquet --weights base-model/ tuned-model/
  levelhead diagnose both.parquet --models base tuned
  levelhead diagnose base-model/ tuned-model/
"""

FEW = 2
"""Samples of a prompt from which its pass rate can be told."""

TITLES = {
    "audit": "Overconfidence",
    "sharpening": "Sharpened or expanded?",
    "formats": "Formats of the answers",
    "difficulty": "Difficulty and shortcuts",
    "updates": "Which weights changed",
    "truth": "Truth: do claims follow beliefs?",
}


@click.command("all", epilog=EPILOG)
@click.argument("base")
@click.argument("tuned", required=False)
@models_option
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
    tuned: str | None,
    models: tuple[str, str] | None,
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

    Both are predictions (files, folders, quoted globs) or both are folders of safetensors; one file
    that holds both models is given once, with --models. What cannot be told from them is listed with
    what it would need.
    """
    from levelhead.cli.diagnose._finish import finish, with_log
    from levelhead.diagnose.difficulty import count_advantages

    tuned = second_path(base, tuned, models)
    only_weights = _holds_weights(base) or _holds_weights(tuned)
    if only_weights and models is not None:
        raise InvalidInputError(
            "--models: expected predictions of two models, got weights; give the folders of both"
        )
    if only_weights:
        weights = _both_weights(base, tuned, weights)
    count_advantages(estimator, group_size)  # what is wrong with it is said before anything is read
    folders = [Path(one) for one in (base, tuned, *(weights or ())) if not is_remote(str(one))]
    check_targets((report, target(json_path)), (base, tuned, *files_of(folders)))
    found: list[Section] = []
    log = ReadLog()
    with Progress(enabled=not (quiet or on_stdout(json_path))) as progress:
        if not only_weights:
            options = read_options(convention=convention, **given)
            settings = _Settings(column or "text", estimator, group_size, n_boot, level, seed)
            progress.step("reading")
            kept = (*TRACES, settings.column)
            pair = two_models(
                (base, tuned), options, log, models=models, evidence=kept, labelled=False
            )
            read = _Read(*pair, options, settings, progress)
            for name, make in STEPS.items():
                progress.step(TITLES[name].lower())
                found.append(_tried(name, functools.partial(make, read)))
        found.append(_tried("updates", functools.partial(_updates, weights, seed, progress)))
        needs = "claims and beliefs: levelhead diagnose truth FILE --claim COLUMN --belief COLUMN"
        found.append(_missing("truth", needs))
    told = [one for one in found if one.verdict != NOT_DIAGNOSED]
    left = [one for one in found if one.verdict == NOT_DIAGNOSED]
    first, *rest = [*told, *left]
    finish([with_log(first, log), *rest], report, json_path, quiet, title=f"{base} and {tuned}")


NOT_DIAGNOSED = "NOT DIAGNOSED"


class _NotHere(Exception):
    """The data do not hold what a diagnosis needs; the message says what that is."""


def _missing(name: str, needs: str) -> Section:
    from levelhead.diagnose.section import Section

    return Section(name, TITLES[name], NOT_DIAGNOSED, "open", f"This needs {needs}.")


def _tried(name: str, make: Callable[[], Section]) -> Section:
    from levelhead.diagnose.section import Section

    try:
        return make()
    except _NotHere as reason:
        return _missing(name, str(reason))
    except LevelheadError as error:  # one question that the data cannot answer leaves the others
        return Section(
            name, TITLES[name], NOT_DIAGNOSED, "open", f"This was not possible: {error}."
        )


@dataclasses.dataclass(frozen=True)
class _Settings:
    column: str
    estimator: str
    group_size: int
    n_boot: int
    level: float
    seed: int


class _Read:
    """The predictions of both models, and what can be told from them."""

    def __init__(
        self,
        base: Predictions,
        tuned: Predictions,
        options: ReadOptions,
        settings: _Settings,
        progress: Progress,
    ) -> None:
        self.base, self.tuned = base, tuned
        self.options, self.settings, self.progress = options, settings, progress

    def need_truth(self) -> None:
        for one in (self.base, self.tuned):
            if np.isnan(one.label).all():
                raise _NotHere(
                    f"what was right or what happened; {one.model} does not say (--correct)"
                )

    def need_answers(self) -> None:
        if self.base.kind != "answer":
            raise _NotHere("answers that are right or wrong; these are chances of events")
        self.need_truth()

    def need_samples(self) -> None:
        for one in (self.base, self.tuned):
            if one.clusters is None or np.bincount(one.clusters).max() < FEW:
                raise _NotHere(
                    f"several samples of each prompt, with the same prompt_id; {one.model} has one"
                )

    def need_texts(self) -> None:
        column = self.settings.column
        for one in (self.base, self.tuned):
            there = one.columns.column_names
            if column not in there or one.columns[column].null_count == len(one):
                raise _NotHere(f"texts of both models in a column {column!r} (--column)")


def _audit(read: _Read) -> Section:
    from levelhead.cli.diagnose._audit import audit_section, audited

    read.need_truth()
    bare = [one.model for one in (read.base, read.tuned) if (one.status != 0).all()]
    if bare:
        verb = "states" if len(bare) == 1 else "state"
        raise _NotHere(f"confidences of both models; {' and '.join(bare)} {verb} none")
    said = read.settings
    result = audited(
        read.base,
        read.tuned,
        read.options.convention,
        n_boot=said.n_boot,
        level=said.level,
        seed=said.seed,
        on_step=read.progress.step,
    )
    return audit_section(result)


def _sharpening(read: _Read) -> Section:
    from levelhead.cli.diagnose._sharpening import as_samples
    from levelhead.diagnose.sharpening import diagnose_sharpening, section

    read.need_answers()
    read.need_samples()
    both = as_samples(read.base, read.tuned)
    said = read.settings
    return section(diagnose_sharpening(*both, n_boot=said.n_boot, level=said.level, seed=said.seed))


def _formats(read: _Read) -> Section:
    from levelhead.cli.diagnose._formats import compare_texts
    from levelhead.diagnose.formats import section

    read.need_texts()
    said = read.settings
    found = compare_texts(
        read.base, read.tuned, said.column, level=1.0 - said.level, seed=said.seed
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
        text=(read.settings.column,),
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


def _both_weights(base: str, tuned: str, weights: tuple[Path, Path] | None) -> tuple[Path, Path]:
    if weights is not None:
        raise InvalidInputError("--weights: expected BASE and TUNED to be predictions beside it")
    for name, one in (("BASE", base), ("TUNED", tuned)):
        if not _holds_weights(one):
            raise InvalidInputError(
                f"{name}: expected weights like the other, got predictions or nothing; give two "
                "folders of safetensors, or predictions with --weights BASE TUNED"
            )
    return Path(base), Path(tuned)


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
