"""What a mutant is, and how one is run.

A mutant is a short, plausible, wrong version of one source file. The tests that it names must
notice it. It runs in a process of its own against a copy of the package in a temporary folder that
comes first on the path; the mutated module leaves a mark when it has been executed, so that tests
which never reach it cannot pass for tests which killed it.
"""

from __future__ import annotations

import atexit
import compileall
import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

__all__ = ["Mutant", "Outcome", "baseline", "run"]

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "levelhead"
TIMEOUT_S, BASELINE_TIMEOUT_S = 120.0, 600.0
TAIL = 2000
TRAINER = {
    "tests": ("tests/losses", "tests/tasks", "tests/train", "tests/diagnose/updates"),
    "packages": (
        "torch",
        "transformers.models.gemma2.modeling_gemma2",
        "transformers.models.llama.modeling_llama",
        "transformers.models.qwen3.modeling_qwen3",
        "peft",
        "pydantic",
    ),
}
"""What such tests import, six seconds of it, for the server to import once."""

TESTS_FAILED, TESTS_PASSED = 1, 0  # exit statuses of pytest; everything above says it could not run


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One wrong version of a source file.

    Attributes:
        target: the module to change, e.g. `levelhead.metrics.binned`.
        old: a piece of its source that occurs exactly once.
        new: what to put in its place.
        why: what the mistake is and why somebody would make it.
        tests: paths or node ids below the root that must notice it, the quickest first.
    """

    target: str
    old: str
    new: str
    why: str
    tests: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a mutant: `killed` is good, `survived` and `broken` fail the build."""

    verdict: Literal["killed", "survived", "broken"]
    detail: str


def run(mutant: Mutant, source: Path = SOURCE, timeout: float = TIMEOUT_S) -> Outcome:
    """Run the tests that a mutant names against the package with that one change."""
    path = _file_of(mutant.target, source)
    if path is None:
        return Outcome("broken", f"no module {mutant.target} below {source.name}")
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        return Outcome("broken", f"`old` occurs {text.count(mutant.old)} times, expected once")
    if mutant.old == mutant.new:
        return Outcome("broken", "`old` and `new` are the same")
    if not mutant.tests:
        return Outcome("broken", "names no tests")
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = _copy(source, Path(folder))
        mark = Path(folder) / "executed"
        changed = copy / path.relative_to(source)
        changed.unlink()  # it is the template's file as well
        changed.write_text(
            text.replace(mutant.old, mutant.new)
            + f"\nwith open({str(mark)!r}, 'w') as _mark:\n    _mark.write(__file__)\n",
            encoding="utf-8",
        )
        status, tail = _pytest(mutant.tests, copy.parent, timeout)
        executed = mark.exists() and Path(mark.read_text()).resolve() == changed.resolve()
    if status == -1:
        return Outcome("broken", f"still running after {timeout:g} s\n{tail}")
    if status not in (TESTS_FAILED, TESTS_PASSED):
        return Outcome(
            "broken", f"pytest ended with status {status}, not with failing tests\n{tail}"
        )
    if not executed:
        return Outcome("broken", f"the tests never executed the changed {mutant.target}\n{tail}")
    if status == TESTS_PASSED:
        return Outcome("survived", f"all tests stay green: {', '.join(mutant.tests)}")
    return Outcome("killed", tail)


def baseline(tests: Iterable[str], source: Path = SOURCE) -> Outcome:
    """Run tests against an unchanged copy: `survived` is what is wanted here.

    Tests that are red in a copy would seem to kill every mutant. Of each file the first few are run:
    what a copy lacks is seen by those, and whether the others are green is for the suite to say.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        first = _copy(source, Path(folder)).parent
        status, tail = _pytest(sorted(set(tests)), first, BASELINE_TIMEOUT_S, quick=True)
    return Outcome("survived" if status == TESTS_PASSED else "broken", tail)


def _file_of(target: str, source: Path) -> Path | None:
    package, *rest = target.split(".")
    if package != source.name:
        return None
    stem = source.joinpath(*rest)
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def _copy(source: Path, folder: Path) -> Path:
    """Links to the template's files: to change one, unlink it first."""
    return Path(
        shutil.copytree(
            Path(_template(source).name) / source.name,
            folder / "src" / source.name,
            copy_function=os.link,
        )
    )


@functools.cache
def _template(source: Path) -> tempfile.TemporaryDirectory[str]:
    """A compiled copy; what is compiled stays valid for every file but the changed one."""
    folder = tempfile.TemporaryDirectory(prefix="mutant-template-")
    copy = shutil.copytree(source, Path(folder.name) / source.name)
    compileall.compile_dir(copy, quiet=2)  # quiet=2: what does not compile fails its tests
    return folder


def _pytest(
    tests: Sequence[str], first: Path, timeout: float, *, quick: bool = False
) -> tuple[int, str]:
    """Exit status and the end of the output of pytest, with `first` first on the path."""
    environment = {
        "PYTHONPATH": os.pathsep.join([str(first), str(Path(__file__).parent)]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # pytest would compile every plugin in each run
    }
    if quick:
        environment |= {"MUTANT_EXAMPLES": "5", "MUTANT_TESTS_OF_A_FILE": "1"}
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "--no-header"]
    arguments += ["-p", "_hypothesis_pytestplugin", "-p", "mutant_plugin"]
    arguments += ["--tb=line", "-o", "addopts=--import-mode=importlib"]
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # what was imported before
    arguments += ["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), *tests]
    out = first / "output"
    trains = any(test.startswith(TRAINER["tests"]) for test in tests)
    job: dict[str, object] = {"packages": TRAINER["packages"] if trains else ()}
    job |= {"first": str(first), "environment": environment, "arguments": arguments}
    job |= {"out": str(out), "timeout": timeout}
    server = _server()
    if server.stdin is None or server.stdout is None:
        raise RuntimeError("the server has no pipes")
    server.stdin.write(json.dumps(job) + "\n")
    server.stdin.flush()
    status = int(json.loads(server.stdout.readline()))
    return status, out.read_text(encoding="utf-8", errors="replace")[-TAIL:]


_servers = threading.local()


def _server() -> subprocess.Popen[str]:
    """The server of this thread."""
    if not hasattr(_servers, "process"):
        environment = dict(os.environ)
        environment.update(
            OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1"
        )
        environment.pop("PYTEST_ADDOPTS", None)
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("mutant_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        atexit.register(_end, process)
        _servers.process = process
    return _servers.process


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None and process.stdout is not None:
        process.stdin.close()
        process.wait()
        process.stdout.close()
