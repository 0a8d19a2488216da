"""The import rules and the size alarms, each with violations planted to prove that it fires.

Everything is read from the syntax trees, so imports inside functions and under TYPE_CHECKING count
as well. A rule is a function from a `Tree` to one sentence per violation; `PLANTED` holds small
trees and what a rule must say about them, and small trees about which it must say nothing.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "levelhead"
TESTS = ROOT / "tests"

ROWS: dict[str, float] = {
    **dict.fromkeys(
        ("errors", "_arrays", "_optional", "_pages", "_palette", "_processes", "_registry"), 0
    ),
    **dict.fromkeys(("_drawing", "_sealed", "_sketch", "_text", "_write"), 0),
    **dict.fromkeys(("elicitation", "records", "readers"), 0),
    **dict.fromkeys(("scoring", "rewards", "advantages", "ranking", "metrics", "calibrators"), 1),
    "losses": 1.5,
    **dict.fromkeys(("tasks", "recalibration"), 2),
    **dict.fromkeys(("lab", "train", "audit", "diagnose", "guard", "lint"), 3),
    **dict.fromkeys(("adapters", "predict"), 3.5),
    **dict.fromkeys(("testing", "probe"), 4),
    **dict.fromkeys(("cli", "__main__"), 5),
}
"""The row of each module or folder directly below the package; a new one must be entered here."""

THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "numpy": tuple(ROWS),
    "pyarrow": (
        *("records", "readers", "tasks", "recalibration"),
        *("lab", "train", "audit", "diagnose", "guard", "adapters.verl_data", "predict", "cli"),
    ),
    "zstandard": ("readers",),
    "scipy": ("calibrators", "ranking", "lab", "audit", "diagnose", "guard"),
    "matplotlib": ("_drawing", "lab", "train", "audit", "diagnose", "guard", "probe"),
    "jinja2": ("_pages", "train.model"),  # chat templates are written in it
    "markupsafe": ("_pages", "audit", "guard", "diagnose"),  # comes with jinja2
    "click": ("cli",),
    "rich": ("cli",),
    "torch": ("losses", "train", "adapters", "diagnose.updates"),
    "transformers": ("train",),
    "tokenizers": ("train",),  # comes with transformers
    "safetensors": ("train",),  # likewise
    "pydantic": ("tasks", "train", "cli"),
    "yaml": ("train", "lint", "cli"),
}
"""Who may import what; row 1 has numpy and nothing else, so that a metric costs no other import."""

OPTIONAL: dict[str, tuple[str, ...]] = {
    "torch": ("readers.lm_polygraph", "predict.local", "diagnose"),
    "verl": (
        "adapters.verl",
        "adapters.verl_engine",
        "adapters.verl_estimators",
        "adapters.verl_plugin",
    ),
    "ray": ("audit.on_ray",),
    "numba": ("diagnose.updates._loops",),
    "hydra": ("adapters.verl_engine",),
    "omegaconf": ("adapters.verl_engine",),
    "trl": (
        "adapters.trl",
        "adapters.trl_callback",
        "adapters.trl_recipes",
        "adapters.trl_trainer",
    ),
    "transformers": (
        "adapters.trl",
        "adapters.trl_callback",
        "adapters.trl_recipes",
        "predict.local",
    ),
    "datasets": ("adapters.trl", "adapters.trl_recipes"),
    "tokenizers": ("adapters.trl",),
    "sklearn": ("guard.verifier", "guard._trees"),
    "httpx": ("predict",),
    "tenacity": ("predict",),
    "peft": ("train",),
    "statsmodels": ("tasks",),
    "math_verify": ("tasks",),
    "vllm": ("train",),
    "wandb": ("train",),
    "trackio": ("train",),
}
"""Who else may, but through `optional_import` only."""

DYNAMIC_IMPORTS = ("", "_optional", "_registry", "cli")
"""Where a module name may be computed: lazy submodules, extras, plug-ins, lazy commands."""

LOCAL_IMPORTS = ("cli",)
"""Where a function may import: a command that runs pays for its imports, `--help` does not."""

FILE_LINES, FUNCTION_LINES = 500, 60
TOO_LONG: frozenset[str] = frozenset()
"""Violations of the size alarms that are let through, word for word. Keep it empty."""

CROSS_CUTTING = {
    "test_architecture.py",
    "test_imports.py",
    "test_docstrings.py",
    "test_examples.py",
    "test_signatures.py",
    "adapters/test_trl_gradient.py",
    "metrics/test_published.py",
    "audit/test_report_browser.py",
    "calibrators/test_repair_real_data.py",
    "readers/test_hostile.py",
    "train/test_crispr.py",
}
CROSS_CUTTING_FOLDERS = {"contracts", "mutants", "oracles"}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


@dataclasses.dataclass(frozen=True)
class Import:
    place: str
    module: str  # importing module without the package name; "" is the package itself
    target: str  # dotted name; starts with "levelhead" for our own
    local: bool
    optional: bool = False


@dataclasses.dataclass(frozen=True)
class Tree:
    """A package's parsed files, by module name without the package's own."""

    package: Path
    files: Mapping[str, tuple[Path, ast.Module]]

    @classmethod
    def read(cls, package: Path) -> Tree:
        files: dict[str, tuple[Path, ast.Module]] = {}
        for path in sorted(package.rglob("*.py")):
            parts = list(path.relative_to(package).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            files[".".join(parts)] = (path, ast.parse(path.read_text(encoding="utf-8")))
        return cls(package, files)

    def place(self, module: str, node: ast.AST) -> str:
        path = self.files[module][0].relative_to(self.package)
        return f"{path.as_posix()}:{getattr(node, 'lineno', 1)}"

    @functools.cached_property
    def nodes(self) -> Mapping[str, list[tuple[ast.AST, bool]]]:
        """Every node of a module, and whether it is inside a function."""
        return {module: list(_walk(tree)) for module, (_, tree) in self.files.items()}

    def imports(self) -> Iterator[Import]:
        yield from self._imports

    @functools.cached_property
    def _imports(self) -> list[Import]:
        return list(self._found())

    def _found(self) -> Iterator[Import]:
        for module, (path, _) in self.files.items():
            base = module if path.name == "__init__.py" else module.rpartition(".")[0]
            for node, local in self.nodes[module]:
                place = self.place(module, node)
                optional = isinstance(node, ast.Call) and _called(node) == "optional_import"
                for target in self._targets(node, base):
                    yield Import(place, module, target, local, optional)

    def _targets(self, node: ast.AST, base: str) -> Iterator[str]:
        name = self.package.name
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                above = base.split(".") if base else []
                above = above[: len(above) - node.level + 1]
                source = ".".join([name, *above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}".removeprefix(f"{name}.")
                whole = source.partition(".")[0] == name and inner in self.files
                yield f"{name}.{inner}" if whole else source
        elif isinstance(node, ast.Call) and _called(node) in {
            "optional_import",
            "import_module",
            "__import__",
        }:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value

    def own(self) -> Iterator[tuple[Import, str]]:
        """Imports of our own modules, with the target without the package's name."""
        name = self.package.name
        for one in self.imports():
            if one.target == name or one.target.startswith(f"{name}."):
                yield one, one.target[len(name) + 1 :]


def _walk(tree: ast.AST, local: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, and whether it is inside a function."""
    for node in ast.iter_child_nodes(tree):
        yield node, local
        inside = local or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(node, inside)


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _reraises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _top(module: str) -> str:
    return module.partition(".")[0]


def _within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == p or (p and module.startswith(f"{p}.")) for p in places)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


# ---- the rules


def every_module_has_a_row(tree: Tree) -> list[str]:
    return [
        f"{tree.place(module, ast.Pass())}: {_top(module)} is in no row"
        for module in tree.files
        if module and _top(module) not in ROWS
    ]


def a_row_imports_only_rows_below(tree: Tree) -> list[str]:
    found = []
    for one, target in tree.own():
        here, there = _top(one.module), _top(target)
        if not target or here == there or here not in ROWS or there not in ROWS:
            if not here and there:
                found.append(f"{one.place}: the package itself imports {target}")
            continue
        allowed = ROWS[there] < ROWS[here] or (ROWS[there] == ROWS[here] and ROWS[here] in (0, 1))
        if not allowed:
            found.append(
                f"{one.place}: {here} (row {ROWS[here]:g}) imports {there} (row {ROWS[there]:g})"
            )
    return found


def adapters_do_not_import_each_other(tree: Tree) -> list[str]:
    found = []
    for one, target in tree.own():
        here, there = one.module.split("."), target.split(".")
        both = len(here) > 1 and len(there) > 1 and here[0] == there[0] == "adapters"
        peers = [name.lstrip("_").partition("_")[0] for name in (*here[1:2], *there[1:2])]
        if both and len(set(peers)) > 1 and not there[1].startswith("_"):
            found.append(f"{one.place}: {one.module} imports {target}")
    return found


def there_is_no_cycle(tree: Tree) -> list[str]:
    edges: dict[str, set[str]] = {module: set() for module in tree.files}
    for one, target in tree.own():
        if target in edges and target != one.module:
            edges[one.module].add(target)
    found: list[str] = []
    state: dict[str, int] = {}

    def visit(module: str, path: list[str]) -> None:
        state[module] = 1
        for target in sorted(edges[module]):
            if state.get(target) == 1:
                loop = [*path[path.index(target) :], target]
                found.append(" -> ".join(name or tree.package.name for name in loop))
            elif target not in state:
                visit(target, [*path, target])
        state[module] = 2

    for module in sorted(edges):
        if module not in state:
            visit(module, [module])
    return found


def third_parties_stay_in_their_place(tree: Tree) -> list[str]:
    found = []
    for one in tree.imports():
        name = _top(one.target)
        if name == tree.package.name or name in sys.stdlib_module_names:
            continue
        if name not in THIRD_PARTY | OPTIONAL:
            found.append(f"{one.place}: {name} is no dependency that this test knows")
        elif one.optional and _within(one.module, OPTIONAL.get(name, ())):
            continue
        elif not _within(one.module, THIRD_PARTY.get(name, ())):
            found.append(f"{one.place}: {one.module} may not import {name}")
    return found


def functions_import_nothing(tree: Tree) -> list[str]:
    return [
        f"{one.place}: {one.target} is imported inside a function"
        for one in tree.imports()
        if one.local and not one.optional and not _within(one.module, LOCAL_IMPORTS)
    ]


def module_names_are_not_computed(tree: Tree) -> list[str]:
    return [
        f"{tree.place(module, node)}: {_called(node)} outside of the modules that may"
        for module in tree.files
        for node, _ in tree.nodes[module]
        if isinstance(node, ast.Call)
        and _called(node) in {"import_module", "__import__"}
        and not _within(module, DYNAMIC_IMPORTS)
    ]


def inputs_are_not_checked_by_assert(tree: Tree) -> list[str]:
    """An assert is gone under -O; one that mentions a parameter is an input check."""
    found = []
    for module, (_, parsed) in tree.files.items():
        for function in _functions(parsed):
            a = function.args
            every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
            names = {arg.arg for arg in every} - {"self", "cls"}
            for node in ast.walk(function):
                if isinstance(node, ast.Assert):
                    used = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)} & names
                    if used:
                        which = ", ".join(sorted(used))
                        found.append(f"{tree.place(module, node)}: assert checks {which}")
    return found


def no_except_is_broad(tree: Tree) -> list[str]:
    """A handler that ends in a bare `raise` cleans up and swallows nothing."""
    found = []
    for module, (_, parsed) in tree.files.items():
        for node in ast.walk(parsed):
            if isinstance(node, ast.ExceptHandler) and not _reraises(node):
                kind = node.type
                caught = kind.elts if isinstance(kind, ast.Tuple) else [kind]
                names = {ast.unparse(one) if one else "everything" for one in caught}
                for name in sorted(names & {"everything", "Exception", "BaseException"}):
                    found.append(f"{tree.place(module, node)}: except catches {name}")
    return found


def nothing_is_too_long(tree: Tree) -> list[str]:
    """Docstrings do not count towards a function: its body is what has to be understood at once."""
    found = []
    for module, (path, parsed) in tree.files.items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            found.append(f"{path.relative_to(tree.package).as_posix()}: {lines} lines")
        for function in _functions(parsed):
            size = (function.end_lineno or 0) - function.lineno + 1
            first = function.body[0]
            if ast.get_docstring(function) is not None:
                size -= (first.end_lineno or 0) - first.lineno + 1
            if size > FUNCTION_LINES:
                found.append(f"{tree.place(module, function)}: {function.name} has {size} lines")
    return [one for one in found if one not in TOO_LONG]


def names_say_what_a_file_holds(tree: Tree) -> list[str]:
    return [
        f"{path.relative_to(tree.package).as_posix()}: {path.stem} says nothing"
        for path, _ in tree.files.values()
        if path.stem.lstrip("_") in VAGUE_NAMES
    ]


Rule = Callable[[Tree], list[str]]
RULES: list[Rule] = [
    every_module_has_a_row,
    a_row_imports_only_rows_below,
    adapters_do_not_import_each_other,
    there_is_no_cycle,
    third_parties_stay_in_their_place,
    functions_import_nothing,
    module_names_are_not_computed,
    inputs_are_not_checked_by_assert,
    no_except_is_broad,
    nothing_is_too_long,
    names_say_what_a_file_holds,
]

LONG_BODY = "def f():\n" + "    x = 1\n" * 60
LONG_DOCSTRING = 'def f():\n    """One\n' + "    more\n" * 80 + '    """\n    return 1\n'

PLANTED: list[tuple[Rule, dict[str, str], list[str]]] = [
    (every_module_has_a_row, {"extra/thing.py": ""}, ["extra/thing.py:1: extra is in no row"]),
    (
        a_row_imports_only_rows_below,
        {"records.py": "from levelhead.metrics import ece\n", "metrics/__init__.py": "ece = 1\n"},
        ["records.py:1: records (row 0) imports metrics (row 1)"],
    ),
    (
        a_row_imports_only_rows_below,
        {"metrics/binned.py": "def f():\n    from levelhead.audit import x\n"},
        ["metrics/binned.py:2: metrics (row 1) imports audit (row 3)"],
    ),
    (
        a_row_imports_only_rows_below,
        {"audit/a.py": "import levelhead.guard.b\n", "guard/b.py": ""},
        ["audit/a.py:1: audit (row 3) imports guard (row 3)"],
    ),
    (
        a_row_imports_only_rows_below,
        {"metrics/a.py": "from .. import losses\n", "losses.py": ""},
        ["metrics/a.py:1: metrics (row 1) imports losses (row 1.5)"],
    ),
    (
        a_row_imports_only_rows_below,
        {"metrics/__init__.py": "from ..audit import x\n"},
        ["metrics/__init__.py:1: metrics (row 1) imports audit (row 3)"],
    ),
    (
        a_row_imports_only_rows_below,
        {"rewards.py": "import importlib\nx = importlib.import_module('levelhead.cli')\n"},
        ["rewards.py:2: rewards (row 1) imports cli (row 5)"],
    ),
    (
        a_row_imports_only_rows_below,
        {
            "rewards.py": "if TYPE_CHECKING:\n    from levelhead import audit\n",
            "audit/x.py": "",
            "audit/__init__.py": "",
        },
        ["rewards.py:2: rewards (row 1) imports audit (row 3)"],
    ),
    (
        a_row_imports_only_rows_below,
        {"__init__.py": "from levelhead import errors\n", "errors.py": ""},
        ["__init__.py:1: the package itself imports errors"],
    ),
    (
        a_row_imports_only_rows_below,
        {
            "rewards.py": "from levelhead.scoring import x\nfrom levelhead import __version__\n",
            "audit/a.py": "from .b import y\nfrom levelhead.metrics import ece\n",
            "cli/a.py": "from levelhead.audit import a\n",
        },
        [],
    ),
    (
        adapters_do_not_import_each_other,
        {"adapters/trl.py": "from levelhead.adapters import verl\n", "adapters/verl.py": ""},
        ["adapters/trl.py:1: adapters.trl imports adapters.verl"],
    ),
    (
        adapters_do_not_import_each_other,
        {"adapters/trl.py": "from levelhead.adapters._base import x\n", "adapters/_base.py": ""},
        [],
    ),
    (
        there_is_no_cycle,
        {
            "records.py": "def f():\n    import levelhead.readers\n",
            "readers/__init__.py": "from levelhead.readers.a import x\n",
            "readers/a.py": "from levelhead.records import y\n",
        },
        ["readers -> readers.a -> records -> readers"],
    ),
    (
        there_is_no_cycle,
        {
            "metrics/__init__.py": "from levelhead.metrics.binned import ece\n",
            "metrics/binned.py": "from levelhead.metrics import brier\n",
        },
        ["metrics -> metrics.binned -> metrics"],
    ),
    (
        there_is_no_cycle,
        {
            "metrics/__init__.py": "from levelhead.metrics.a import x\n",
            "metrics/a.py": "from . import _table\nfrom levelhead.errors import E\n",
            "metrics/_table.py": "",
            "errors.py": "",
        },
        [],
    ),
    (
        third_parties_stay_in_their_place,
        {
            "metrics/a.py": "import numpy as np\nimport scipy.stats\n",
            "audit/b.py": "def f():\n    import torch\n",
            "diagnose/other.py": "from torch import nn\n",
            "readers/c.py": "x = optional_import('torch', 'reading', 'polygraph')\n",
            "readers/lm_polygraph.py": "import torch\n",
            "records.py": "import pandas\n",
        },
        [
            "audit/b.py:2: audit.b may not import torch",
            "diagnose/other.py:1: diagnose.other may not import torch",
            "metrics/a.py:2: metrics.a may not import scipy",
            "readers/c.py:1: readers.c may not import torch",
            "readers/lm_polygraph.py:1: readers.lm_polygraph may not import torch",
            "records.py:1: pandas is no dependency that this test knows",
        ],
    ),
    (
        third_parties_stay_in_their_place,
        {
            "losses.py": "import torch\n",
            "diagnose/updates.py": "import torch\n",
            "readers/lm_polygraph.py": "x = optional_import('torch', 'reading', 'polygraph')\n",
            "train/a.py": "import transformers\n",
            "audit/a.py": "import matplotlib.pyplot\nimport json\n",
            "adapters/verl.py": "x = optional_import('verl.trainer', 'the probe', 'verl')\n",
        },
        [],
    ),
    (
        functions_import_nothing,
        {"audit/a.py": "class A:\n    def f(self):\n        if 1:\n            import json\n"},
        ["audit/a.py:4: json is imported inside a function"],
    ),
    (
        functions_import_nothing,
        {
            "cli/a.py": "def f():\n    import json\n",
            "readers/a.py": "def f():\n    return optional_import('torch', 'a', 'b')\n",
            "records.py": "if True:\n    import json\n",
        },
        [],
    ),
    (
        module_names_are_not_computed,
        {
            "metrics/a.py": "import importlib\nimportlib.import_module(name)\n__import__('a')\n",
            "cli/__init__.py": "x = import_module(name)\n",
            "__init__.py": "x = import_module(name)\n",
        },
        [
            "metrics/a.py:2: import_module outside of the modules that may",
            "metrics/a.py:3: __import__ outside of the modules that may",
        ],
    ),
    (
        inputs_are_not_checked_by_assert,
        {
            "scoring.py": "def f(self, a, *, b=1):\n    c = 2\n    assert c, self\n"
            "    assert b > 0, a\n    assert len(a)\n"
        },
        ["scoring.py:4: assert checks b", "scoring.py:5: assert checks a"],
    ),
    (
        no_except_is_broad,
        {
            "records.py": "try:\n    pass\nexcept (OSError, Exception):\n    pass\n"
            "try:\n    pass\nexcept:\n    pass\ntry:\n    pass\nexcept OSError:\n    pass\n"
        },
        ["records.py:3: except catches Exception", "records.py:7: except catches everything"],
    ),
    (
        no_except_is_broad,
        {"records.py": "try:\n    pass\nexcept BaseException:\n    clean()\n    raise\n"},
        [],
    ),
    (nothing_is_too_long, {"records.py": LONG_BODY}, ["records.py:1: f has 61 lines"]),
    (nothing_is_too_long, {"records.py": "\n" * 501}, ["records.py: 501 lines"]),
    (nothing_is_too_long, {"records.py": LONG_DOCSTRING, "errors.py": "\n" * 500}, []),
    (
        names_say_what_a_file_holds,
        {"audit/_utils.py": ""},
        ["audit/_utils.py: _utils says nothing"],
    ),
]


def plant(folder: Path, files: Mapping[str, str]) -> Tree:
    package = folder / "levelhead"
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Tree.read(package)


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree.read(PACKAGE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Rule, tree: Tree) -> None:
    found = rule(tree)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(("rule", "files", "expected"), PLANTED)
def test_a_planted_violation_is_reported(
    rule: Rule, files: dict[str, str], expected: list[str], tmp_path: Path
) -> None:
    assert rule(plant(tmp_path, files)) == expected


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, expected in PLANTED if expected} == set(RULES)


def test_the_checker_sees_the_whole_package(tree: Tree) -> None:
    """A listing that is not recursive, or an import form that is not understood, checks nothing."""
    assert {path for path, _ in tree.files.values()} == set(PACKAGE.rglob("*.py"))
    seen = {(one.module, target) for one, target in tree.own()}
    assert {("_arrays", "errors"), ("records", "_arrays")} <= seen
    assert any(one.target.startswith("numpy") for one in tree.imports())


# ---- one test file per source file


def missing_tests(tree: Tree, tests: Path) -> list[str]:
    """Files with a function or method in them and without a test file.

    A folder's internal files (with an underscore) are tested through the files that use them.
    """
    found = []
    for path, parsed in tree.files.values():
        inner = path.relative_to(tree.package)
        expected = tests / inner.parent / f"test_{inner.stem.strip('_')}.py"
        internal = path.stem.startswith("_") and path.parent != tree.package
        if not internal and any(_functions(parsed)) and not expected.is_file():
            found.append(f"{inner.as_posix()} has no {expected.relative_to(tests).as_posix()}")
    return found


def stray_tests(tree: Tree, tests: Path) -> list[str]:
    stems = {
        (p.relative_to(tree.package).parent, p.stem.strip("_")) for p, _ in tree.files.values()
    }
    found = []
    for path in sorted(tests.rglob("test_*.py")):
        inner = path.relative_to(tests)
        if inner.parts[0] in CROSS_CUTTING_FOLDERS or inner.as_posix() in CROSS_CUTTING:
            continue
        stem = inner.stem.removeprefix("test_")
        package = (inner.parent, "init") in stems and stem in ("init", inner.parent.name)
        if (inner.parent, stem) not in stems and not package:
            found.append(f"{inner.as_posix()} is the test of no source file")
    return found


def test_every_source_file_has_its_test_file(tree: Tree) -> None:
    found = missing_tests(tree, TESTS) + stray_tests(tree, TESTS)
    assert not found, "\n" + "\n".join(found)


def test_a_missing_and_a_stray_test_file_are_reported(tmp_path: Path) -> None:
    source = plant(
        tmp_path,
        {
            "_a.py": "def f(): ...\n",
            "audit/b.py": "class B:\n    def f(self): ...\n",
            "audit/c.py": "X = 1\n",
            "audit/__init__.py": "def f(): ...\n",
            "audit/_e.py": "def f(): ...\n",
            "__init__.py": "",
            "d.py": "def f(): ...\n",
        },
    )
    tests = tmp_path / "tests"
    good = ["test_d.py", "contracts/test_x.py", "test_signatures.py", "audit/test_audit.py"]
    for name in [*good, "test_b.py"]:
        (tests / name).parent.mkdir(parents=True, exist_ok=True)
        (tests / name).touch()
    assert missing_tests(source, tests) == [
        "_a.py has no test_a.py",
        "audit/b.py has no audit/test_b.py",
    ]
    assert stray_tests(source, tests) == ["test_b.py is the test of no source file"]
