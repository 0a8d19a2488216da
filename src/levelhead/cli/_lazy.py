"""A group whose commands are imported when they are invoked, so that `--help` stays fast."""

from __future__ import annotations

import importlib
from typing import Any

import click

from levelhead.errors import unknown_name

__all__ = ["LazyGroup"]


class LazyGroup(click.Group):
    """A group of commands that are named and described, but not yet imported.

    Args:
        entries: by the command's name, `module:attribute` and its line of help.
        args, kwargs: of `click.Group`.
    """

    def __init__(self, *args: Any, entries: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which they were given."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None where there is none of this name."""
        if cmd_name not in self.entries:
            return None
        module, attribute = self.entries[cmd_name][0].split(":")
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of `--help`, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.entries.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; a misspelled one names the nearest."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.entries:
            raise click.UsageError(str(unknown_name("command", name, self.entries)))
        return super().resolve_command(ctx, args)
