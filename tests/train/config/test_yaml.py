"""YAML as people mean it."""

from __future__ import annotations

import math

import pytest
import yaml

from levelhead.train.config._yaml import YamlProblem, dump, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),  # text in YAML 1.1
        ("1.0e-6", 1e-6),
        (".5", 0.5),
        ("-1", -1),
        ("1_000", 1000),
        ("010", 10),  # 8 in YAML 1.1
        ("off", "off"),  # False in YAML 1.1, likewise no, yes, on, y
        ("no", "no"),
        ("True", True),
        ("~", None),
        ("", None),
        ("12:30", "12:30"),  # 750 in YAML 1.1
        ("2024-01-01", "2024-01-01"),  # a date in YAML 1.1
        ("'1e-6'", "1e-6"),
        ("{a: [1, x], b: }", {"a": [1, "x"], "b": None}),
    ],
)
def test_plain_values_are_what_they_look_like(text: str, value: object) -> None:
    found = parse(text).value
    assert found == value
    assert type(found) is type(value)


def test_what_is_written_is_read_back() -> None:
    values = ["off", "no", "1e-6", "1.5", "", "null", "~", "a: b", "x\ny", "é", " x", 0.1, 1e-12]
    values += [True, None, 3, -2.5e300, "true", "12:30", "#", "- a", "{", "'", '"', "1_0", ".5"]
    value = {"list": values, "nested": {"empty": {}, "none": []}}
    assert parse(dump(value)).value == value
    assert dump({"lr": 1e-6}) == "lr: 1.0e-06\n"  # readers of YAML 1.1 want the point


def test_other_readers_are_not_changed() -> None:
    assert yaml.safe_load("off") is False
    assert math.isinf(yaml.safe_load(".inf"))


def test_every_key_knows_its_line() -> None:
    lines = parse("a: 1\n\nb:\n  c:\n    - x\n    - d: 2\n").lines
    assert lines == {("a",): 1, ("b",): 3, ("b", "c"): 4, ("b", "c", "1", "d"): 6}


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("a: 1\nb: 2\na: 3", "the key 'a' stands twice, first in line 1; remove one", 3),
        ("a: [1", "expected YAML, got something else: while parsing a flow sequence", 1),
        ("a: 1\n b: 2", "mapping values are not allowed here", 2),
        ("[1]: 2", "expected a name as a key, got a list or a section", 1),
        ("x: !!binary aGk=", "expected a plain value, got one with the tag", 1),
        ("x: !!python/name:os.system ''", "expected a plain value", 1),
        ("a: 1\n---\nb: 2", "expected a single document", 2),
        ("a: \0", "unacceptable character", None),
        ("&a [*a]", "expected at most 20 levels, got more", 1),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, problem: str, line: int | None) -> None:
    with pytest.raises(YamlProblem) as caught:
        parse(text)
    assert problem in caught.value.text
    assert caught.value.line == line
