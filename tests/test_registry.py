"""Functions by name and by file: what is found, what stays behind, and what a user is told."""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from levelhead import metrics
from levelhead._registry import load_callable
from levelhead.errors import InvalidInputError

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Loading leaves a folder at the end of the path and a module under a name of its own."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(name: str, *lines: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return to


def said(spec: str) -> str:
    with pytest.raises(InvalidInputError) as caught:
        load_callable(spec)
    return str(caught.value)


# -- what is found ---------------------------------------------------------------------------------


def test_a_function_of_a_module() -> None:
    assert load_callable("math:hypot") is math.hypot
    assert load_callable("levelhead.metrics:ece") is metrics.ece
    assert load_callable("pathlib:Path.cwd")() == Path.cwd()


def test_a_function_of_a_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("mine.py", "def double(x):", "    return 2 * x")
    assert load_callable(f"{path}:double")(4) == 8
    monkeypatch.chdir(path.parent)
    assert load_callable("mine.py:double")(4) == 8
    assert load_callable("./mine.py:double")(4) == 8


def test_a_file_is_read_anew_every_time(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = write("mine.py", "def f(): return 1")
    first = load_callable(f"{path}:f")
    write("mine.py", "def f(): return 2")  # same size, same second
    assert load_callable(f"{path}:f")() == 2
    assert first() == 1
    assert not (path.parent / "__pycache__").exists()


def test_a_file_does_not_run_its_main_part(write: Write) -> None:
    path = write("mine.py", "def f(): return 1", "if __name__ == '__main__':", "    raise OSError")
    assert load_callable(f"{path}:f")() == 1


def test_a_file_may_have_the_name_of_a_module(write: Write) -> None:
    before = sys.modules.get("json")
    path = write("json.py", "def f(): return __name__")
    name = load_callable(f"{path}:f")()
    assert name != "json"
    assert sys.modules.get("json") is before


def test_two_files_of_one_name_are_two_modules(write: Write) -> None:
    one = load_callable(f"{write('a/mine.py', 'def f(): return 1')}:f")
    two = load_callable(f"{write('b/mine.py', 'def f(): return 2')}:f")
    assert (one(), two()) == (1, 2)
    assert one.__module__ != two.__module__


def test_what_a_file_defines_can_be_found_by_its_module(write: Write) -> None:
    """A dataclass looks its module up while it is made; pickle does later."""
    path = write(
        "mine.py",
        "from __future__ import annotations",
        "import dataclasses",
        "@dataclasses.dataclass",
        "class State:",
        "    x: int = 3",
    )
    state = load_callable(f"{path}:State")()
    assert pickle.loads(pickle.dumps(state)) == state


# -- the modules beside a file ---------------------------------------------------------------------


def test_a_file_may_import_what_lies_beside_it(write: Write) -> None:
    write("beside.py", "from below.inner import three", "two = 2")
    write("below/__init__.py")
    write("below/inner.py", "three = 3")
    path = write("mine.py", "import beside", "def f(): return beside.two * beside.three")
    assert load_callable(f"{path}:f")() == 6
    assert not {"beside", "below", "below.inner", "mine"} & set(sys.modules)


def test_a_function_may_import_what_lies_beside_its_file(write: Write) -> None:
    write("beside.py", "two = 2")
    path = write("mine.py", "def f():", "    import beside", "    return beside.two")
    assert load_callable(f"{path}:f")() == 2


def test_each_file_gets_the_modules_from_its_own_folder(write: Write) -> None:
    for folder, number in (("a", 1), ("b", 2)):
        write(f"{folder}/beside.py", f"number = {number}")
        write(f"{folder}/mine.py", "import beside", "def f(): return beside.number")
    files = [write("a/other.py", "from mine import f"), write("b/other.py", "from mine import f")]
    assert [load_callable(f"{path}:f")() for path in files] == [1, 2]


def test_a_loaded_module_of_the_same_name_makes_way_and_comes_back(write: Write) -> None:
    """As `python file.py` would find it; and whoever had the name still has it afterwards."""
    elsewhere = type(sys)("beside")
    sys.modules["beside"] = elsewhere
    write("beside.py", "two = 2")
    path = write("mine.py", "import beside", "def f(): return beside.two")
    assert load_callable(f"{path}:f")() == 2
    assert sys.modules["beside"] is elsewhere


def test_the_folder_comes_last_on_the_path_afterwards_and_once(write: Write) -> None:
    path = write("mine.py", "def f(): return 1")
    before = list(sys.path)
    for _ in range(2):
        load_callable(f"{path}:f")
    assert sys.path == [*before, str(path.parent)]


def test_a_failed_import_leaves_nothing_behind(write: Write) -> None:
    write("beside.py", "two = 2")
    path = write("mine.py", "import beside", "1 / 0")
    modules = set(sys.modules)
    said(f"{path}:f")
    assert set(sys.modules) == modules


# -- what a user is told ---------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["grpo", "mine.py", ":f", "mine.py:", ""])
def test_another_form_is_told_the_form(spec: str) -> None:
    assert said(spec) == f"{spec}: expected 'module:function' or 'path/to/file.py:function'"


def test_a_missing_file_is_told_where_it_was_looked_for(write: Write) -> None:
    folder = write("mine.py", "").parent
    spec = f"{folder}/mime.py:f"
    assert said(spec) == (
        f"{spec}: expected a file, there is none at {folder}/mime.py; did you mean {folder}/mine.py?"
    )
    assert said("no/such/folder/mine.py:f").startswith(
        "no/such/folder/mine.py:f: expected a file, "
    )


def test_a_missing_module_is_told_of_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("levelhead_none:f") == (
        "levelhead_none:f: expected an installed module, there is none named levelhead_none"
    )
    assert said("levelhead.none.at_all:f").endswith("there is none named levelhead.none")
    monkeypatch.chdir(write("levelhead_none.py", "").parent)
    assert said("levelhead_none:f").endswith("; did you mean levelhead_none.py:f?")


def test_an_unknown_function_is_told_the_candidates(write: Write) -> None:
    path = write(
        "mine.py",
        "from math import sqrt",
        "LIMIT = 3",
        "def _hidden(): ...",
        "def my_advantage(): ...",
        "class Other: ...",
    )
    assert said(f"{path}:my_advantag") == (
        f"{path}:my_advantag: function in {path}: expected one of Other, my_advantage, got "
        "'my_advantag'; did you mean 'my_advantage'?"
    )
    assert said(f"{path}:LIMIT") == f"{path}:LIMIT: expected a function, got int '3'"
    assert "expected one of" not in said("math:hypott")  # too many to list
    assert said("math:hypott").endswith("got 'hypott'; did you mean hypot?")
    empty = write("empty.py", "X = 1")
    assert said(f"{empty}:f") == f"{empty}:f: expected the name of a function, {empty} has none"


def test_what_a_function_has_inside_is_no_function(write: Write) -> None:
    path = write("mine.py", "def mixed(): ...", "class Some:", "    def inner(self): ...")
    assert said(f"{path}:mixed.x") == (
        f"{path}:mixed.x: expected a function, and mixed in {path} has none named 'x'; did you mean "
        f"{path}:mixed?"
    )
    assert "did you mean 'inner'?" in said(f"{path}:Some.iner")


def test_another_kind_of_file_is_told_what_is_expected(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("mine.txt", "def f(): return 1")
    assert said(f"{path}:f") == f"{path}:f: expected a .py file, got {path}"
    monkeypatch.chdir(path.parent)
    assert said("mine.txt:f") == "mine.txt:f: expected a .py file, got mine.txt"


def test_what_an_import_prints_is_not_our_output(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    load_callable(f"{write('mine.py', 'print(3)', 'def f(): ...')}:f")
    assert tuple(capsys.readouterr()) == ("", "3\n")


def test_an_import_that_raises_shows_what_and_where(write: Write) -> None:
    path = write("mine.py", "x = 1", "", "def g():", "    return {}['key']", "g()")
    assert said(f"{path}:f") == f"{path}:f: the import raised KeyError: 'key' at {path}:4"
    with pytest.raises(InvalidInputError) as caught:
        load_callable(f"{path}:f")
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_error_beside_the_file_or_below_an_import_has_its_line(write: Write) -> None:
    beside = write("beside.py", "", "1 / 0")
    path = write("mine.py", "import beside")
    assert said(f"{path}:f").endswith(f"raised ZeroDivisionError: division by zero at {beside}:2")
    foreign = write("calls.py", "import json", "", "json.loads('{')")
    assert said(f"{foreign}:f").endswith(f" at {foreign}:3")


def test_a_syntax_error_has_its_own_line(write: Write) -> None:
    path = write("mine.py", "x = 1", "def f(:")
    assert said(f"{path}:f") == (
        f"{path}:f: the import raised SyntaxError: invalid syntax at {path}:2"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import levelhead_none", "ModuleNotFoundError: No module named 'levelhead_none'"),
        ("from . import beside", "ImportError: attempted relative import with no known parent"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise RuntimeError", "RuntimeError at "),
        ("from levelhead.errors import *; raise InvalidInputError('no')", "InvalidInputError: no"),
    ],
)
def test_whatever_is_raised_is_shown(write: Write, line: str, message: str) -> None:
    path = write("mine.py", line)
    text = said(f"{path}:f")
    assert text.startswith(f"{path}:f: the import raised {message}")
    assert text.endswith(f" at {path}:1")


def test_an_interrupt_stays_one(write: Write) -> None:
    path = write("mine.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_callable(f"{path}:f")


def test_a_broken_module_is_not_called_missing(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("levelhead_broken.py", "import levelhead_none")
    monkeypatch.syspath_prepend(str(path.parent))
    assert said("levelhead_broken:f") == (
        "levelhead_broken:f: the import raised ModuleNotFoundError: No module named 'levelhead_none' "
        f"at {path}:1"
    )
