"""Hypothesis inside a mutant's subprocess: reproducible, and done at the first counterexample.

Shrinking makes a counterexample readable, and here nobody reads it.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings


def pytest_configure() -> None:
    settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=int(os.environ.get("MUTANT_EXAMPLES", "100")),
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutants")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the first tests of each file, where a number of them is asked for."""
    most = os.environ.get("MUTANT_TESTS_OF_A_FILE")
    if most is not None:
        seen: Counter[str] = Counter()
        kept: list[pytest.Item] = []
        for item in items:
            seen[str(item.path)] += 1
            kept += [item] if seen[str(item.path)] <= int(most) else []
        items[:] = kept
