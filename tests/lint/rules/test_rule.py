"""What a rule is, and how the rules are found."""

from __future__ import annotations

from pathlib import Path

import levelhead.lint.rules
from levelhead.lint import all_rules
from levelhead.lint.rules import SEVERITIES
from levelhead.lint.rules._rule import said
from levelhead.lint.settings import Value


def test_every_file_is_a_rule() -> None:
    folder = Path(levelhead.lint.rules.__file__).parent
    files = {path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py")}
    assert {rule.id for rule in all_rules()} == files


def test_the_worst_come_first() -> None:
    ranks = [SEVERITIES.index(rule.severity) for rule in all_rules()]
    assert ranks == sorted(ranks)


def test_how_a_setting_is_quoted() -> None:
    assert said(Value(0, "a.b", "0", 1)) == "a.b=0"
    assert said(Value(0, "--a", "0", 1)) == "--a 0"
    assert said(Value(0, "a", "0", None, True)) == "a is 0 by default"
