"""Calls in Python files: what their arguments are, without running them."""

from __future__ import annotations

import time

import pytest

from levelhead.errors import RecordError
from levelhead.lint._python import Call, calls
from levelhead.lint.settings import Unread, Value


def one(text: str) -> Call:
    (call,) = calls(text, "f.py", {"GRPOConfig"}, suffix="Trainer")
    return call


def value(text: str, key: str = "a") -> object:
    found = one(text).given[key]
    return found.value if isinstance(found, Value) else found.why


KNOWN = [
    ("GRPOConfig(a=1e-6)", 1e-6),
    ("GRPOConfig(a=-0.5)", -0.5),
    ("GRPOConfig(a=2 * 8)", 16),
    ("N = 4\nGRPOConfig(a=N)", 4),
    ("N = 4\nM = N * 2\ndef f():\n    return GRPOConfig(a=M)", 8),
    ("N = 4\ndef f():\n    N = 5\n    return GRPOConfig(a=N)", 5),
    ("import trl\ntrl.GRPOConfig(a=[1, 2])", [1, 2]),
    ("from trl import GRPOConfig as C\nC(a='x')", "x"),
    ("def r(): ...\nGRPOConfig(a=[r, m.s, partial(t, 1)])", ["r", "s", "t"]),
    ("D = {'a': 3}\nGRPOConfig(**D)", 3),
    ("D = dict(a=3)\nGRPOConfig(**D)", 3),
    ("GRPOConfig(**{'a': 3})", 3),
]


@pytest.mark.parametrize(("text", "expected"), KNOWN)
def test_known(text: str, expected: object) -> None:
    assert value(text) == expected
    assert not one(text).open


UNKNOWN = [
    ("GRPOConfig(a=args.lr)", "args.lr is not a constant"),
    ("def f(N):\n    GRPOConfig(a=N)", "N is not set in this file"),
    ("N = 1\nN = 2\nGRPOConfig(a=N)", "N is assigned several times"),
    ("N = 1\nN += 1\nGRPOConfig(a=N)", "N is not set in this file"),
    ("for N in x:\n    GRPOConfig(a=N)", "N is not set in this file"),
    ("GRPOConfig(a=float('1'))", "float('1') is not a constant"),
    ("GRPOConfig(a=1 / 0)", "1 / 0 divides by 0"),
    ("GRPOConfig(a=10 ** 10 ** 10)", "10 ** 10 is computed"),
    ("N = N\nGRPOConfig(a=N)", "N: N: N: "),
]


@pytest.mark.parametrize(("text", "why"), UNKNOWN)
def test_unknown(text: str, why: str) -> None:
    assert str(value(text)).startswith(why)


def test_what_comes_in_by_two_stars() -> None:
    assert one("GRPOConfig(b=1, **kwargs)").open
    changed = one("D = {'a': 3}\nD['b'] = f()\nGRPOConfig(**D)")
    assert changed.open
    assert isinstance(changed.given["a"], Value)
    assert one("D = {'a': 3}\nD.update(c=1)\nGRPOConfig(**D)").open
    assert not one("D = {'a': 3}\nD.get('a')\nGRPOConfig(**D)").open


def test_lines_and_variables() -> None:
    call = one("x = 1\n\nargs = GRPOConfig(\n    a=1,\n    b=c,\n)\n")
    assert (call.line, call.variable) == (3, "args")
    assert call.given["a"] == Value(1, "a", "1", 4)
    assert isinstance(call.given["b"], Unread)


def test_a_class_of_the_same_name_elsewhere_is_left_alone() -> None:
    other = "from tunix.rl import GRPOConfig\nGRPOConfig(a=1)"
    assert calls(other, "f.py", {"GRPOConfig"}, suffix="Trainer") == []
    own = "class GRPOConfig:\n    pass\nGRPOConfig(a=1)"
    assert calls(own, "f.py", {"GRPOConfig"}, suffix="Trainer") == []


def test_functions_stand_by_their_names_where_functions_belong() -> None:
    for text in ("def r(): ...\n", "from m import r\n"):
        assert value(text + "GRPOConfig(reward_funcs=r)", "reward_funcs") == "r"
        assert value(text + "GRPOConfig(a=r)") == "r is not set in this file"


ATTRIBUTES = [
    ("c = GRPOConfig(a=1)\nc.a = 2", 2),
    ("c = GRPOConfig()\nc.a = 2", 2),
    ("N = 3\ndef f():\n    c = GRPOConfig()\n    c.a = N", 3),
    ("class T:\n    def f(self):\n        self.c = GRPOConfig(a=1)\n        self.c.a = 2", 2),
    ("c = GRPOConfig(a=1)\nsetattr(c, 'a', 2)", 2),
    ("c = GRPOConfig(a=1)\nd.a = 2", 1),
    ("c = GRPOConfig(a=1)\ndef f(c):\n    c.a = 2", 1),
    ("c.a = 2\nc = GRPOConfig(a=1)", 1),
    ("c = GRPOConfig(a=1)\nif x:\n    c.a = 2", "c.a is set elsewhere as well"),
    ("c = GRPOConfig(a=1)\nc.a = 2\nc.a = 3", "c.a is set elsewhere as well"),
    ("c = GRPOConfig(a=1)\nc.a += 2", "c.a is set elsewhere as well"),
    ("c = GRPOConfig(a=1)\ndef f():\n    c.a = 2", "c.a is set elsewhere as well"),
    ("c = GRPOConfig(a=1)\nc.a = x.y", "x.y is not a constant"),
]


@pytest.mark.parametrize(("text", "expected"), ATTRIBUTES)
def test_an_attribute_that_is_set_beside_the_call(text: str, expected: object) -> None:
    assert value(text) == expected


SCOPES = [
    ("N = 1\nclass C:\n    N = 2\n    x = GRPOConfig(a=N)", 2),
    ("N = 1\nclass C:\n    N = 2\n    def f(self):\n        GRPOConfig(a=N)", 1),
    ("N = 1\ndef g():\n    global N\n    N = 2\nGRPOConfig(a=N)", "N is not set in this file"),
    ("from m import N\nif x:\n    N = 1\nGRPOConfig(a=N)", "N is not set in this file"),
    ("N = 1\no.N = 2\nGRPOConfig(a=N)", 1),
    ("N = 1\ny = [N for N in z]\nGRPOConfig(a=N)", 1),
]


@pytest.mark.parametrize(("text", "expected"), SCOPES)
def test_scopes(text: str, expected: object) -> None:
    assert value(text) == expected


def test_positional_arguments() -> None:
    text = "MyTrainer('m', [r], cfg, *more)"
    (call,) = calls(text, "f.py", {"x"}, suffix="Trainer", positions=("model", "funcs", "args"))
    assert call.given["funcs"] == Value(["r"], "funcs", "[r]", 1)
    assert (call.names["args"], call.open) == ("cfg", True)


def test_many_lines_take_no_more_than_their_share() -> None:
    # A thousand bindings of a name took 6 seconds when each was looked up in a walk of its own.
    text = "x = 1\n" * 4000 + "GRPOConfig(a=x)"
    started = time.process_time()
    assert value(text) == "x is assigned several times"
    assert time.process_time() - started < 20  # it takes a hundredth of that, and took more


def test_what_is_no_python() -> None:
    with pytest.raises(RecordError, match=r"^f.py:1: expected Python, got something else: "):
        calls("def (", "f.py", {"GRPOConfig"}, suffix="Trainer")
    with pytest.raises(RecordError, match="expected Python"):
        calls("(" * 500, "f.py", {"GRPOConfig"}, suffix="Trainer")


def test_a_dictionary_within_a_dictionary() -> None:
    call = one("D = {'a': 3, **other}\nGRPOConfig(**D)")
    assert call.open
    assert isinstance(call.given["a"], Value)
