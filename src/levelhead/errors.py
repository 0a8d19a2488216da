"""The exceptions that levelhead raises, and the one sentence each of them carries.

An error names the argument, what was expected, what was got, where, and what to do next. Every class
also inherits the standard type that it refines, so `except ValueError` keeps working, and survives
pickling, so that it can cross a process boundary.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "DataWarning",
    "InvalidInputError",
    "LevelheadError",
    "MissingDependencyError",
    "RecordError",
    "unknown_name",
]


class LevelheadError(Exception):
    """The root of every exception that levelhead raises on purpose."""


class InvalidInputError(LevelheadError, ValueError):
    """An argument does not satisfy its contract."""


class ConfigError(LevelheadError, ValueError):
    """A configuration is wrong; the message lists every problem at once."""


class RecordError(LevelheadError, ValueError):
    """A file or a record in it cannot be read; the message starts with the path and the line.

    Args:
        problem: what was expected, what was got and what to do, without the place.
        path: the file, if the problem is in one.
        line: the 1-based line or row in the file, if there is one.
    """

    def __init__(self, problem: str, path: str | None = None, line: int | None = None) -> None:
        self.problem, self.path, self.line = problem, path, line
        place = "" if path is None else path if line is None else f"{path}:{line}"
        super().__init__(f"{place}: {problem}" if place else problem)

    def __reduce__(self) -> tuple[type[RecordError], tuple[str, str | None, int | None]]:
        return type(self), (self.problem, self.path, self.line)


class MissingDependencyError(LevelheadError, ImportError):
    """An optional dependency is not installed.

    Args:
        feature: what needs it, as a user would say it.
        extra: the name of levelhead's extra that installs it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        self.feature, self.extra = feature, extra
        super().__init__(
            f"{feature} needs an optional dependency; install it with: pip install 'levelhead[{extra}]'"
        )

    def __reduce__(self) -> tuple[type[MissingDependencyError], tuple[str, str]]:
        return type(self), (self.feature, self.extra)


class DataWarning(UserWarning):
    """The numbers are right but the data are thin or odd (too few per bin, one class only)."""


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> InvalidInputError:
    """The error for a name that is not in a table: lists the choices and the nearest one.

    Args:
        kind: what is being named, e.g. `"metric"`.
        name: what the user wrote.
        choices: the names that exist.

    Returns:
        The exception, ready to raise.

    Example:
        >>> str(unknown_name("scoring rule", "brir", ["brier", "log"]))
        "scoring rule: expected one of brier, log, got 'brir'; did you mean 'brier'?"
    """
    names = sorted(choices)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return InvalidInputError(f"{kind}: expected one of {', '.join(names)}, got {name!r}{hint}")
