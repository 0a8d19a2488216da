"""YAML with lines: duplicates, anchors, interpolation, lists of configurations."""

from __future__ import annotations

import pytest

from levelhead.errors import RecordError
from levelhead.lint._yaml import flat, is_base, parse
from levelhead.lint.settings import Unread, Value


def one(text: str) -> dict[str, Value | Unread]:
    (tree,) = parse(text, "f.yaml")
    return flat(tree)


def test_keys_values_and_lines() -> None:
    found = one("a:\n  b: 1e-6\n  c: [x, 2]\nd: false\n")
    assert found["a.b"] == Value(1e-6, "a.b", "1e-6", 2)
    assert found["a.c"] == Value(["x", 2], "a.c", "[x, 2]", 3)
    assert found["d"] == Value(False, "d", "false", 4)


def test_the_last_of_two_keys_counts() -> None:
    assert one("a: 1\na: 2\n")["a"] == Value(2, "a", "2", 2)


def test_anchors_are_merged_and_own_keys_win() -> None:
    found = one("base: &b {n: 1, m: 2}\nrun:\n  <<: *b\n  m: 3\n")
    assert [found[key].line for key in ("run.n", "run.m")] == [1, 4]
    assert isinstance(found["run.m"], Value)
    assert found["run.m"].value == 3


def test_of_several_merged_mappings_the_first_wins() -> None:
    # YAML's merge keys: keys of earlier mappings of the list override those of later ones.
    text = "a: &a {n: 1}\nb: &b {n: 2, m: 3}\nrun:\n  <<: [*a, *b]\n"
    found = one(text)
    assert [getattr(found[f"run.{key}"], "value", None) for key in "nm"] == [1, 3]


def test_mappings_that_others_are_built_on() -> None:
    (tree,) = parse("a: &a {n: 1}\nb: &b {n: 2}\nc: {<<: *a}\nd: *b\n", "f.yaml")
    assert [name for name, inner in tree.items() if is_base(inner)] == ["a"]


def test_a_placeholder_without_quotes() -> None:
    assert one("a: {{ x }}\n")["a"] == Unread("a", "'{{...}}' is decided elsewhere", 1)


def test_what_is_nested_too_deeply() -> None:
    with pytest.raises(RecordError, match=r"^f.yaml: expected YAML, got something nested too deep"):
        parse("a: " + "[" * 1500 + "]" * 1500, "f.yaml")


def test_interpolation() -> None:
    found = one("a: 4\nb: ${a}\nc: ${oc.env:N,8}\nd: ${b}\n")
    assert found["b"] == Value(4, "b", "4", 2)
    assert found["d"] == Value(4, "d", "4", 4)
    assert found["c"] == Unread("c", "'${oc.env:N,8}' is decided elsewhere", 3)


def test_a_circle_of_references_is_not_followed_for_ever() -> None:
    assert isinstance(one("a: ${b}\nb: ${a}\n")["a"], Unread)


def test_several_documents_and_lists() -> None:
    assert len(parse("a: 1\n---\nb: 2\n", "f")) == 2
    assert len(parse("- a: 1\n- b: 2\n- 3\n", "f")) == 2
    assert parse("", "f") == []
    assert parse("just text", "f") == []


def test_what_is_no_yaml() -> None:
    with pytest.raises(RecordError, match=r"^f.yaml:3: expected YAML, got something else: "):
        parse("a: 1\nb: [1\n", "f.yaml")


def test_aliases_that_multiply_are_refused() -> None:
    text = "a: &a {k: 1}\n" + "".join(
        f"{c}: &{c} {{x: *{p}, y: *{p}}}\n"
        for p, c in zip("abcdefghijklmnopqrst", "bcdefghijklmnopqrstu", strict=True)
    )
    with pytest.raises(RecordError, match="more than"):
        parse(text, "f.yaml")


def test_tags_do_not_run_anything() -> None:
    found = one("a: !!python/object/apply:os.system ['true']\nb: 1\n")
    assert isinstance(found["b"], Value)
