"""`levelhead diagnose`: what RL changed beyond accuracy, one command for each question."""

from __future__ import annotations

from pathlib import Path

import click

from levelhead.cli._lazy import LazyGroup
from levelhead.errors import unknown_name

__all__ = ["diagnose"]

COMMANDS = {
    "all": (
        "levelhead.cli.diagnose._all:everything",
        "All that BASE and TUNED hold data for, as one report (the default).",
    ),
    "sharpening": (
        "levelhead.cli.diagnose._sharpening:sharpening",
        "Did it learn new solutions, or only favor those it had?",
    ),
    "formats": (
        "levelhead.cli.diagnose._formats:formats",
        "Did one way of answering take over, more than drift would?",
    ),
    "difficulty": (
        "levelhead.cli.diagnose._difficulty:difficulty",
        "Did samples that are too hard teach it shortcuts?",
    ),
    "updates": (
        "levelhead.cli.diagnose._updates:updates",
        "Which weights moved, and is that more than rounding?",
    ),
    "truth": (
        "levelhead.cli.diagnose._truth:truth",
        "Does what it claims still follow what it believes?",
    ),
}

EPILOG = """\b
Examples:
  levelhead diagnose base/ tuned/ -o report.html
  levelhead diagnose sharpening base.parquet tuned.parquet
  levelhead diagnose updates base-model/ tuned-model/
"""


class _Group(LazyGroup):
    """What is none of its commands is for `all`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in COMMANDS and args[0] not in ("-h", "--help"):
            if len(args) == 1 and not args[0].startswith("-") and not Path(args[0]).exists():
                raise click.UsageError(str(unknown_name("command", args[0], COMMANDS)))
            args = ["all", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Group, entries=COMMANDS, epilog=EPILOG)
def diagnose() -> None:
    """What did training change beyond accuracy? Each measure stands beside its null."""
