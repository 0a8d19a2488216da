"""Hypothesis inside a mutant's subprocess: reproducible, and done at the first counterexample.

Shrinking makes a counterexample readable, and here nobody reads it.
"""

from __future__ import annotations

import os

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
