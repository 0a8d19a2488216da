"""Options that mean the same in every command: what is written where, and the seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "json_option",
    "on_stdout",
    "out_option",
    "path_option",
    "quiet_option",
    "seed_option",
    "target",
]

Command = TypeVar("Command", bound=Callable[..., Any])


def path_option(
    *names: str, metavar: str, help: str, required: bool = False
) -> Callable[[Command], Command]:
    """An option that takes a file or a folder."""
    return click.option(
        *names,
        type=click.Path(path_type=Path),
        metavar=metavar,
        help=help,
        required=required,
    )


def out_option(metavar: str, help: str, *, required: bool = False) -> Callable[[Command], Command]:
    """`-o`, `--out`: the file that a command is run for; it arrives as `out`."""
    return path_option("-o", "--out", metavar=metavar, help=help, required=required)


def json_option(
    what: str = "the numbers", *, metavar: str = "JSON"
) -> Callable[[Command], Command]:
    """`--json`: a file, or a dash for standard output; it arrives as `json_path`."""
    help = f"Write {what} to this file (- for standard output)."
    return path_option("--json", "json_path", metavar=metavar, help=help)


def quiet_option(
    help: str = "Write files only; print nothing.",
) -> Callable[[Command], Command]:
    """`--quiet`; it arrives as `quiet`."""
    return click.option("--quiet", is_flag=True, help=help)


def seed_option(help: str = "Of every random number.") -> Callable[[Command], Command]:
    """`--seed`: 0 or more; it arrives as `seed`."""
    return click.option(
        "--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help=help
    )


def on_stdout(path: Path | None) -> bool:
    """Whether standard output is asked for, so that no words may be printed there."""
    return path is not None and str(path) == "-"


def target(path: Path | None) -> Path | None:
    """The path where it is a file that will be written, not a dash or nothing."""
    return None if on_stdout(path) else path
