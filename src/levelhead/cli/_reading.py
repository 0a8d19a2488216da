"""The options that say how prediction files are read; `audit` and `gate` share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from levelhead.cli._options import path_option, seed_option
from levelhead.elicitation import TABLE as FORMATS
from levelhead.readers import TABLE, ReadOptions

__all__ = ["read_options", "reading_options", "resampling_options"]

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
    *, by: tuple[str, ...] = (), model_column: str | None, format_name: str | None, **given: Any
) -> ReadOptions:
    """The options of the command line as `ReadOptions`."""
    return ReadOptions(by=by, model=model_column, format=format_name, **given)
