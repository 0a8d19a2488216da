"""Wrong versions of `levelhead.errors`."""

from __future__ import annotations

from mutant import Mutant

TESTS = ["tests/test_errors.py"]

MUTANTS = [
    Mutant(
        target="levelhead.errors",
        old="return type(self), (self.problem, self.path, self.line)",
        new="return type(self), (str(self),)",
        why="pickling by the message loses the path and the line",
        tests=TESTS,
    ),
    Mutant(
        target="levelhead.errors",
        old="names = sorted(choices)",
        new="names = list(choices)",
        why="the choices come in the order of a dict or a set, different from run to run",
        tests=TESTS,
    ),
    Mutant(
        target="levelhead.errors",
        old="class ConfigError(LevelheadError, ValueError):",
        new="class ConfigError(LevelheadError):",
        why="`except ValueError` no longer catches it",
        tests=TESTS,
    ),
]
