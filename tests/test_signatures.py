"""The public signatures are frozen: a change of one is a decision, seen in the diff of a text file.

`python tests/test_signatures.py --write` writes `signatures.txt` anew.
"""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "levelhead"
FROZEN = Path(__file__).with_name("signatures.txt")
COMMAND = "python tests/test_signatures.py --write"


def signatures(package: Path) -> list[str]:
    """One line for each public name of each public module, and for each public method.

    Where a folder's `__init__` lists names, the others in the folder's files are internal; what it
    takes from files that begin with an underscore is the folder's own.
    """
    found: set[str] = set()
    for path in package.rglob("*.py"):
        parts = list(path.relative_to(package.parent).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        if not any(part.startswith("_") for part in parts):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            folder = path.with_name("__init__.py")
            names = _exported(tree)
            if folder.exists() and folder.parent != package:
                names &= _exported(ast.parse(folder.read_text(encoding="utf-8"))) or names
            module = ".".join(parts)
            found.update(_of_module(module, tree, names))
            for name in sorted(names) if path.name == "__init__.py" else ():
                found.update(_of_private(module, name, tree, path.parent))
    return sorted(found)


def _of_private(module: str, name: str, tree: ast.Module, folder: Path) -> Iterator[str]:
    """What a folder's `__init__` takes from one of its files that begin with an underscore."""
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom) or name not in {one.name for one in node.names}:
            continue
        if str(node.module).startswith(f"{module}._"):
            file = folder / f"{str(node.module)[len(module) + 1 :]}.py"
            yield from _of_module(module, ast.parse(file.read_text(encoding="utf-8")), {name})


def _of_module(module: str, tree: ast.Module, names: set[str]) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield f"{module}.{_function(node)}"
        elif isinstance(node, ast.ClassDef) and node.name in names:
            yield f"{module}.{_class(node)}"
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    kinds = {ast.unparse(one) for one in inner.decorator_list}
                    note = "".join(
                        f"@{kind} " for kind in sorted(kinds & {"classmethod", "property"})
                    )
                    yield f"{module}.{node.name}.{note}{_function(inner)}"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id in names:
                    yield f"{module}.{target.id}"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if str(node.module).startswith(f"{module}._"):
                    continue
                if (alias.asname or alias.name) in names:
                    yield f"{module}.{alias.asname or alias.name} <- {node.module}.{alias.name}"


def _exported(tree: ast.Module) -> set[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return {
                c.value
                for c in ast.walk(node.value)
                if isinstance(c, ast.Constant) and isinstance(c.value, str)
            }
    return set()


def _function(node: ast.FunctionDef) -> str:
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"{node.name}({ast.unparse(node.args)}){returns}"


def _class(node: ast.ClassDef) -> str:
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return f"{node.name}({ast.unparse(inner.args)})"
    fields = [ast.unparse(one) for one in node.body if isinstance(one, ast.AnnAssign)]
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    return f"{node.name}({bases})" if not fields else f"{node.name}({', '.join(fields)})"


def difference(frozen: str, current: str) -> str:
    lines = difflib.unified_diff(
        frozen.splitlines(), current.splitlines(), "frozen", "source", lineterm="", n=0
    )
    return "\n".join(lines)


def test_public_signatures_are_the_frozen_ones() -> None:
    current = "\n".join(signatures(PACKAGE)) + "\n"
    changed = difference(FROZEN.read_text(encoding="utf-8"), current)
    assert not changed, f"\n{changed}\nIf this is meant, run: {COMMAND}"


def test_a_change_of_a_signature_is_seen(tmp_path: Path) -> None:
    package = tmp_path / "levelhead"
    (package / "a").mkdir(parents=True)
    path = package / "a" / "b.py"
    text = (
        '__all__ = ["f", "C", "X", "g"]\nfrom m import g\nX = 1\n'
        "def f(a, *, b: int = 1) -> float: ...\ndef hidden(): ...\n"
        "class C:\n    x: int = 0\n    @property\n    def y(self) -> int: ...\n"
        "    def _z(self): ...\n"
    )
    path.write_text(text)
    (package / "a" / "__init__.py").write_text("")
    (package / "_private.py").write_text('__all__ = ["f"]\ndef f(): ...\n')
    before = signatures(package)
    assert before == [
        "levelhead.a.b.C(x: int = 0)",
        "levelhead.a.b.C.@property y(self) -> int",
        "levelhead.a.b.X",
        "levelhead.a.b.f(a, *, b: int=1) -> float",
        "levelhead.a.b.g <- m.g",
    ]
    for old, new in (("= 1)", "= 2)"), ("*, ", ""), ('"X", ', ""), ("x: int", "x: float")):
        path.write_text(text.replace(old, new))
        assert signatures(package) != before
    path.write_text(text)
    (package / "a" / "__init__.py").write_text('from levelhead.a.b import f\n__all__ = ["f"]\n')
    assert signatures(package) == [
        "levelhead.a.b.f(a, *, b: int=1) -> float",
        "levelhead.a.f <- levelhead.a.b.f",
    ]
    (package / "a" / "_c.py").write_text('__all__ = ["h", "i"]\ndef h(b): ...\ndef i(): ...\n')
    (package / "a" / "__init__.py").write_text('from levelhead.a._c import h\n__all__ = ["h"]\n')
    assert "levelhead.a.h(b)" in signatures(package)
    assert not [line for line in signatures(package) if "_c" in line or ".i(" in line]


def test_the_frozen_file_is_not_empty_and_sorted() -> None:
    lines = FROZEN.read_text(encoding="utf-8").splitlines()
    assert lines == sorted(lines)
    assert len(lines) > 100


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: {COMMAND}")
    FROZEN.write_text("\n".join(signatures(PACKAGE)) + "\n", encoding="utf-8")
    print(f"wrote {FROZEN}")
