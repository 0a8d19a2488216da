"""The rules: one file each, found by being here. A new rule is a file with a `RULE`, and a test."""

from __future__ import annotations

import functools
import pkgutil
from typing import cast

from levelhead._registry import load_callable
from levelhead.lint.rules._rule import SEVERITIES, SURE, Hit, Rule, Severity, Sure

__all__ = ["SEVERITIES", "SURE", "Hit", "Rule", "Severity", "Sure", "all_rules"]


@functools.cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule.

    Returns:
        Errors first, then warnings and notes, each by name.
    """
    names = [one.name for one in pkgutil.iter_modules(__path__) if not one.name.startswith("_")]
    found = [cast(Rule, load_callable(f"{__name__}.{name}:RULE")) for name in names]
    return tuple(sorted(found, key=lambda rule: (SEVERITIES.index(rule.severity), rule.id)))
