"""Where output goes: a console of 80 columns, files that are written whole, pipes that may close."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from levelhead._text import without_secrets
from levelhead._write import check_writable, write_text
from levelhead.errors import RecordError

__all__ = ["COLORS", "check_targets", "clean", "console", "emit", "still_open"]

COLORS = {
    "overconfident": "bold red",
    "underconfident": "bold blue",
    "miscalibrated": "bold yellow",
    "calibrated": "bold green",
    "inconclusive": "bold",
}
"""How a verdict is printed."""


def console(*, stderr: bool = False) -> Console:
    """A console at most 80 columns wide; plain when it is not a terminal."""
    probe = Console(stderr=stderr)
    width = min(probe.width, 80) if probe.is_terminal else 80
    screen = Console(stderr=stderr, width=width, highlight=False)
    screen.on_broken_pipe = _gone  # rich would exit with 1, which a gate uses
    return screen


def _gone() -> None:
    """A reader that has gone is for `still_open`."""
    raise BrokenPipeError


@contextmanager
def still_open() -> Iterator[None]:
    """Print inside; where the reader of our output has gone (head, less), the rest goes nowhere."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def clean(text: str) -> str:
    """Text from a file without control characters, which a terminal would obey; on one line."""
    return without_secrets("".join(c if c.isprintable() else " " for c in text))


def check_targets(targets: tuple[Path | None, ...], inputs: tuple[str, ...]) -> None:
    """Before any work: every output can be written, none is an input, and no two are one file."""
    taken = list(inputs)
    for target in targets:
        if target is None:
            continue
        for name in taken:
            if _same(target, name):
                what = "is an input" if name in inputs else "is another output as well"
                raise RecordError(
                    f"expected another file to write to, this one {what}", str(target)
                )
        check_writable(target)
        taken.append(str(target))


def _same(target: Path, name: str) -> bool:
    """Whether two names are one file, by whatever link; a device may take several outputs."""
    if target.exists() and not target.is_file():
        return False
    there = target.exists() and os.path.exists(name) and os.path.samefile(target, name)
    return there or os.path.realpath(target) == os.path.realpath(name)


def emit(path: Path, text: str) -> None:
    """Text to a file, or to standard output where the path is a dash."""
    if str(path) == "-":
        click.echo(text, nl=False)
    else:
        write_text(path, text)
