"""Importing a module does nothing else, and costs what it should.

Each check runs in a process of its own. What an import does is watched from inside that process,
at the second import, so that what numpy or matplotlib do at their own is not held against us; who
reads the environment is told from the call stack.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"

HELP_CPU_S = 0.3
AUDIT_CPU_S = 0.6
AUDIT_ROWS = 2000
REPEATS = 5

WATCH = '''
import importlib, json, os, pkgutil, random, sys, threading, warnings
import numpy as np

source, package, report = sys.argv[1:]
sys.path.insert(0, source)
folder = os.path.join(source, package) + os.sep
found = []

def ours():
    """The line of the package that is running at module level or below, if it is the cause."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(folder):
            return f"{name[len(folder):]}:{frame.f_lineno}"
        if "importlib" in name or "site-packages" in name:
            return None
        frame = frame.f_back
    return None

def watched(kind, method):
    def call(self, *args):
        where = ours()
        if where:
            found.append(f"{where} {kind} the environment")
        return method(self, *args)
    return call

modules = [package]
importlib.import_module(package)
for one in pkgutil.walk_packages([folder], package + ".", onerror=lambda name: None):
    modules.append(one.name)
for module in modules:
    importlib.import_module(module)
for module in modules:  # once more, now that what others do at their import is done
    del sys.modules[module]
random.seed(12345)
np.random.seed(12345)
os.chdir(os.path.dirname(report))

environ = type(os.environ)
for kind, names in {"reads": ["__getitem__", "__iter__"], "writes": ["__setitem__"]}.items():
    for name in names:
        setattr(environ, name, watched(kind, getattr(environ, name)))

for module in modules:
    before = random.getstate(), str(np.random.get_state()), os.getcwd(), threading.active_count()
    importlib.import_module(module)
    after = random.getstate(), str(np.random.get_state()), os.getcwd(), threading.active_count()
    for what, a, b in zip(("random", "numpy.random", "the folder", "threads"), before, after):
        if a != b:
            found.append(f"{module} changes {what}")
with open(report, "w") as file:
    json.dump({"modules": modules, "found": sorted(set(found))}, file)
'''


def watch(source: Path, package: str, report: Path) -> tuple[list[str], list[str], str]:
    """Import every module of a package: their names, what they did, and what they printed."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(source), package, str(report)],
        capture_output=True,
        text=True,
        check=False,
        cwd=report.parent,
    )
    if not report.exists():
        pytest.fail(f"the modules cannot be imported:\n{done.stderr[-3000:]}")
    seen = json.loads(report.read_text())
    return seen["modules"], seen["found"], done.stdout + done.stderr


def test_importing_any_module_does_nothing_else(tmp_path: Path) -> None:
    modules, found, printed = watch(SOURCE, "levelhead", tmp_path / "report.json")
    assert found == []
    assert printed == ""
    package = SOURCE / "levelhead"
    expected = {
        ".".join(p.relative_to(SOURCE).with_suffix("").parts) for p in package.rglob("*.py")
    }
    assert {name.removesuffix(".__init__") for name in expected} == set(modules)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os\nx = os.environ.get('HOME')\n", "a.py:2 reads the environment"),
        ("import os\nx = os.getenv('HOME')\n", "a.py:2 reads the environment"),
        ("import os\nx = 'HOME' in os.environ\n", "a.py:2 reads the environment"),
        ("from pathlib import Path\nx = Path.home()\n", "a.py:2 reads the environment"),
        ("import os\nos.environ['A'] = '1'\n", "a.py:2 writes the environment"),
        ("def f():\n    import os\n    return dict(os.environ)\nx = f()\n", "a.py:3 reads"),
        ("import random\nrandom.seed(0)\n", "planted.a changes random"),
        ("import numpy as np\nnp.random.seed(0)\n", "planted.a changes numpy.random"),
        ("import os\nos.chdir('/')\n", "planted.a changes the folder"),
    ],
)
def test_a_planted_side_effect_is_reported(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "__init__.py").touch()
    (tmp_path / "planted" / "a.py").write_text(text)
    _, found, _ = watch(tmp_path, "planted", tmp_path / "report.json")
    assert any(expected in one for one in found), found


def test_a_planted_print_is_seen_and_other_imports_are_not_blamed(tmp_path: Path) -> None:
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "__init__.py").write_text(
        "import matplotlib, webbrowser\nprint('hi')\n"
    )
    _, found, printed = watch(tmp_path, "planted", tmp_path / "report.json")
    assert found == []
    assert printed == "hi\nhi\n"


HEAVY = ("torch", "scipy", "matplotlib", "sklearn", "pandas", "pyarrow", "click", "rich")


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("levelhead", ("numpy", *HEAVY)),
        ("levelhead.metrics", HEAVY),
        ("levelhead.scoring", HEAVY),
        ("levelhead.elicitation", HEAVY),
        ("levelhead.cli", ("numpy", "torch", "scipy", "matplotlib", "pyarrow", "sklearn")),
        ("levelhead.cli.audit", ("torch", "matplotlib", "sklearn", "pandas")),
    ],
)
def test_an_import_leaves_heavy_packages_out(module: str, absent: tuple[str, ...]) -> None:
    code = f"import {module}, sys; print(*[m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


# ---- budgets in CPU time


WITHOUT_PANDAS = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            raise ImportError(name)

sys.meta_path.insert(0, Hidden())
"""


def cpu_seconds(arguments: list[str], repeats: int = REPEATS) -> float:
    """User and system time of the best of several runs of the command line, children included.

    pyarrow imports pandas wherever it is installed (0.1 s). Nothing of ours needs it; here it came
    with a package that ships the survey, so it is hidden.
    """
    code = f"{WITHOUT_PANDAS}\nfrom levelhead.cli import main\nmain()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    best = float("inf")
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = min(best, spent)
    return best


def test_help_is_quick() -> None:
    assert cpu_seconds(["--help"]) < HELP_CPU_S


def test_an_audit_to_json_is_quick(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    confidence = np.round(draw.uniform(size=AUDIT_ROWS), 2)
    correct = (draw.uniform(size=AUDIT_ROWS) < confidence).astype(float)
    file, out = tmp_path / "predictions.parquet", tmp_path / "out.json"
    pq.write_table(pa.table({"confidence": confidence, "correct": correct}), file)
    spent = cpu_seconds(["audit", str(file), "--json", str(out)])
    assert json.loads(out.read_text())["models"][0]["n_records"] == AUDIT_ROWS
    assert spent < AUDIT_CPU_S
