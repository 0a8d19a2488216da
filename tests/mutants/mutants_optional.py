"""Wrong versions of `levelhead._optional`."""

from __future__ import annotations

from mutant import Mutant

MUTANTS = [
    Mutant(
        target="levelhead._optional",
        old='if error.name not in {".".join(wanted[: i + 1]) for i in range(len(wanted))}:',
        new="if error.name is None:",
        why="a package that is installed but broken is called missing",
        tests=["tests/test_optional.py"],
    ),
    Mutant(
        target="levelhead._optional",
        old='if error.name not in {".".join(wanted[: i + 1]) for i in range(len(wanted))}:',
        new="if error.name != module:",
        why="a missing package is not recognized when a part of it is wanted",
        tests=["tests/test_optional.py"],
    ),
]
