"""From a file to the training runs that it configures, whichever tool it is for."""

from __future__ import annotations

import os
from pathlib import Path

from levelhead.errors import RecordError
from levelhead.lint import openrlhf, own, trl, verl
from levelhead.lint._shell import Command, commands
from levelhead.lint._yaml import Tree, parse
from levelhead.lint.settings import Settings

__all__ = ["MAX_BYTES", "MAX_FILES", "NoConfigurationError", "files_in", "read", "read_text"]

MAX_BYTES = 2_000_000
"""Larger files are no configurations."""

MAX_FILES = 2_000
"""Folders with more are no folders of configurations."""

_SUFFIXES = (".sh", ".bash", ".py", ".yaml", ".yml")
_KNOWN = "TRL, verl, OpenRLHF or levelhead"


class NoConfigurationError(RecordError):
    """A file that can be read, and configures no tool that is known."""


def read(path: str | Path) -> list[Settings]:
    """Every training run that a file configures.

    Args:
        path: a launch script (.sh), a Python file or YAML.

    Returns:
        One or more; a script may launch several runs.

    Raises:
        RecordError: the file cannot be read, is no text or too large, or configures no tool that is
            known.
    """
    name = str(path)
    try:
        if os.path.isdir(path):
            raise RecordError("expected a file, got a folder", name)
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecordError(f"cannot read this file: {error.strerror}", name) from error
    if len(content) > MAX_BYTES:
        raise RecordError(
            f"expected a configuration of at most {MAX_BYTES // 1_000_000} MB, got a larger file",
            name,
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError("expected text in UTF-8, got other bytes", name) from error
    if "\0" in text:
        raise RecordError("expected text, got a binary file", name)
    return read_text(text, name)


def read_text(text: str, file: str) -> list[Settings]:
    """The same for the content of a file.

    Args:
        text: the content.
        file: the path that findings name; its ending says what it is, where it has one.

    Returns:
        One or more.

    Raises:
        RecordError: it configures no tool that is known.
    """
    try:
        found = _read(text, file)
    except RecursionError as error:
        raise RecordError(
            "expected a configuration, got something nested too deeply to be read", file
        ) from error
    if not found:
        raise NoConfigurationError(
            f"expected a configuration of {_KNOWN}, got none that is recognized", file
        )
    return found


def _read(text: str, file: str) -> list[Settings]:
    suffix = Path(file).suffix.lower()
    if suffix == ".py":
        return trl.from_python(text, file)
    if suffix in (".yaml", ".yml", ".json"):
        return [one for tree in parse(text, file) for one in _tree(tree, file)]
    return [one for command in commands(text) for one in _command(command, file)]


def files_in(folder: str | Path) -> list[Path]:
    """The files of a folder and of the folders in it that could be configurations, by name.

    Args:
        folder: hidden folders in it are passed over.

    Returns:
        Scripts, Python files and YAML, sorted.

    Raises:
        RecordError: there are too many for a folder of configurations.
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found.extend(Path(place, name) for name in names if Path(name).suffix in _SUFFIXES)
        if len(found) > MAX_FILES:
            raise RecordError(
                f"expected a folder with at most {MAX_FILES} scripts, Python and YAML files, got more; "
                "name one inside",
                str(folder),
            )
    return sorted(found)


def _tree(tree: Tree, file: str) -> list[Settings]:
    if own.is_tree(tree):
        return [own.from_yaml(tree, file)]
    if verl.is_tree(tree):
        return [verl.from_yaml(tree, file)]
    return trl.from_yaml(tree, file) if trl.is_tree(tree) else []


def _command(command: Command, file: str) -> list[Settings]:
    for tool in (verl, openrlhf, trl):
        if tool.is_command(command):
            return [tool.from_command(command, file)]
    return []
