"""The options that say how prediction files are read; `audit` and `gate` share them."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from levelhead.cli._options import path_option, seed_option
from levelhead.elicitation import TABLE as FORMATS
from levelhead.errors import InvalidInputError
from levelhead.readers import ENDINGS, TABLE, ReadLog, ReadOptions, load, resolve
from levelhead.records import Predictions

__all__ = [
    "check_ending",
    "load_one",
    "read_options",
    "reading_options",
    "resampling_options",
]

ALL = "all"
"""What `--keep` calls every column of a file."""

EVERYTHING = "*"
"""What `ReadOptions.evidence` calls them."""

MAX_LISTED = 20
"""Models that an error lists."""

_OPTIONS = (
    click.option("--confidence", metavar="COLUMN", help="Column of the stated confidence."),
    click.option("--correct", metavar="COLUMN", help="Column of correctness; records are answers."),
    click.option(
        "--outcome", metavar="COLUMN", help="Column of what happened; records are events."
    ),
    click.option("--prompt-id", metavar="COLUMN", help="Column that names the prompt."),
    click.option("--weight", metavar="COLUMN", help="Column of weights."),
    click.option("--text", metavar="COLUMN", help="Column of raw model output, to be parsed."),
    click.option("--answer", metavar="COLUMN", help="Column of the given answer."),
    click.option("--gold", metavar="COLUMN", help="Column of the right answer."),
    click.option("--model-column", metavar="COLUMN", help="Column that names the model."),
    click.option(
        "--elicitation",
        metavar="NAME",
        help=f"Format of the confidence in the text: {', '.join(FORMATS)}.",
    ),
    click.option("--pattern", metavar="REGEX", help="Own format: (?P<confidence>...)."),
    click.option("--percent/--fraction", default=None, help="Unit of the confidences."),
    click.option(
        "--format",
        "format_name",
        metavar="NAME",
        help=f"Reader, instead of the detected one: {', '.join(r.name for r in TABLE)}.",
    ),
    click.option("--only", metavar="NAME", help="Read this model alone, where FILES hold several."),
    click.option("--pool", is_flag=True, help="Read FILES together as one model."),
    click.option("--scorer", metavar="NAME", help="Which scorer or metric of a log to use."),
    path_option("--labels", metavar="FILE", help="Correctness for logs that hold none."),
    click.option(
        "--allow-pickle", is_flag=True, help="Open files that can run code (lm-polygraph)."
    ),
    click.option(
        "--convention",
        default="levelhead",
        show_default=True,
        metavar="NAME",
        help="levelhead, paper_compat or rlcr: binning and missing values.",
    ),
)


_RESAMPLING = (
    click.option(
        "--n-boot",
        default=1000,
        show_default=True,
        type=click.IntRange(100, 1_000_000),
        help="Bootstrap replicates.",
    ),
    click.option(
        "--level",
        default=0.95,
        show_default=True,
        type=click.FloatRange(0.5, 0.9999),
        help="Level of the intervals.",
    ),
    seed_option(),
)


def resampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--n-boot`, `--level` and `--seed` to a command."""
    for option in reversed(_RESAMPLING):
        command = option(command)
    return command


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the reading options to a command; they arrive as keyword arguments for `read_options`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_options(
    *,
    by: tuple[str, ...] = (),
    keep: tuple[str, ...] = (),
    asked: str | None = None,
    evidence: tuple[str, ...] = (),
    model_column: str | None,
    format_name: str | None,
    **given: Any,
) -> ReadOptions:
    """The options of the command line as `ReadOptions`.

    Args:
        by: columns to slice by, or to keep together.
        keep: columns to keep besides, or `all`.
        asked: the option that asks for `by`, for errors; `--by` unless given.
        evidence: columns to keep where a file has them.
        model_column: column that names the model.
        format_name: which reader.
        given: the other options by their names.
    """
    named = tuple(name for name in keep if name != ALL)
    return ReadOptions(
        by=tuple(dict.fromkeys((*by, *named))),
        evidence=(*evidence, EVERYTHING) if ALL in keep else evidence,
        asked=(*((name, "--keep") for name in named), *((name, asked) for name in by if asked)),
        model=model_column,
        format=format_name,
        **given,
    )


def check_ending(out: Path) -> None:
    """Before any work: predictions can be written to a file of this name.

    Args:
        out: what `--out` names.

    Raises:
        InvalidInputError: they cannot.
    """
    if out.suffix.lower() not in ENDINGS:
        raise InvalidInputError(
            f"--out: expected a file that ends with {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, got "
            f"{str(out)!r}"
        )


def load_one(files: tuple[str, ...], options: ReadOptions) -> tuple[Predictions, list[str]]:
    """The predictions of the one model in some files, and what the readers noted.

    Args:
        files: files, folders and globs; those whose model column names the same model are pooled.
        options: how to read them.

    Raises:
        InvalidInputError: they hold several models.
    """
    log = ReadLog()
    found = load(files, dataclasses.replace(options, pool=options.pool or None), log)
    if len(found) == 1:
        return next(iter(found.values())), [*log.notes, *log.warnings]
    names = list(found)
    listed = ", ".join(names[:MAX_LISTED]) + (", ..." if len(names) > MAX_LISTED else "")
    pool = "" if len(resolve(files)) < len(names) else ", or read them as one model with --pool"
    raise InvalidInputError(
        f"FILES: expected the predictions of one model, got {len(names)}: {listed}; choose one with "
        f"--only {shlex.quote(names[0])}{pool}"
    )
