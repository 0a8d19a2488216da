"""Wrong versions of the loader of a user's function."""

from __future__ import annotations

from mutant import Mutant

TARGET = "levelhead._registry"
TESTS = ["tests/test_registry.py"]

MUTANTS = [
    Mutant(
        target=TARGET,
        old='name = f"{PREFIX}{path.stem}_{hashlib',
        new='name = path.stem or f"{hashlib',
        why="the file takes its plain name in sys.modules, and with it the place of a real module",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old='tops = {n.partition(".")[0] for n in new} - self.before',
        new="tops = set[str]()",
        why="a second file gets the modules beside the first one",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="            sys.path.append(str(self.folder))",
        new="            pass",
        why="an import inside of a function finds nothing once the file is loaded",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="            del sys.modules[name]\n            raise",
        new="            raise",
        why="a half-made module stays behind after a failed import",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="code = loader.source_to_code(loader.get_data(str(path)), str(path))",
        new="code = loader.get_code(name)",
        why="an edit within the same second is answered from the cached file",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="not isinstance(error, Exception | SystemExit)",
        new="not isinstance(error, Exception)",
        why="a script that ends in sys.exit ends the whole command",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="(own or frames)[-1:]",
        new="frames[-1:]",
        why="the line of a library in which the user's mistake surfaced",
        tests=TESTS,
    ),
]
