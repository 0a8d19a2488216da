"""What names are bound to, scope by scope."""

from __future__ import annotations

import ast

import pytest

from levelhead.lint._bindings import assigned, imported_or_defined

CASES = [
    ("x = 1", ["1"]),
    ("x: int = 1", ["1"]),
    ("x: int", []),
    ("x = y = 1\nif a:\n    x = 2", ["2", "1"]),
    ("x = 1\nx += 1", []),
    ("x, y = 1, 2", []),
    ("for x in y: pass", []),
    ("with f() as x: pass", []),
    ("(x := 1)", []),
    ("x = 1\ntry: pass\nexcept E as x: pass", []),
    ("import x\nx = 1", []),
    ("x = 1\ndef f(): x = 2", ["1"]),
    ("x = 1\ndef f():\n    global x\n    x = 2", []),
    ("o.x = 1", []),
]


@pytest.mark.parametrize(("text", "values"), CASES)
def test_what_a_name_is_assigned(text: str, values: list[str]) -> None:
    found = assigned("x", (ast.parse(text),))
    assert sorted(ast.unparse(one) for one in found) == sorted(values)


def test_the_innermost_scope_that_binds_a_name_decides() -> None:
    tree = ast.parse("x = 1\ndef f(y):\n    z = 2")
    function = tree.body[1]
    assert [ast.unparse(one) for one in assigned("x", (tree, function))] == ["1"]
    assert assigned("y", (tree, function)) == []
    assert [ast.unparse(one) for one in assigned("z", (tree, function))] == ["2"]
    assert assigned("z", (tree,)) == []


def test_functions_and_imports() -> None:
    tree = ast.parse("from m import a as b\ndef f(): pass\nclass C: pass\nd = 1")
    assert [imported_or_defined(name, tree) for name in "abfCd"] == [False, True, True, True, False]
