"""Wrong versions of `levelhead.testing`: contract checks that check less than they say."""

from __future__ import annotations

from mutant import Mutant

METRICS = ["tests/test_testing.py::test_a_wrong_metric_is_caught"]
RULES = ["tests/test_testing.py::test_a_wrong_rule_is_caught"]

MUTANTS = [
    Mutant(
        target="levelhead.testing",
        old="for order in (slice(None, None, -1), mixed):",
        new="for order in (slice(None),):",
        why="the order that is tried is the one that was there",
        tests=METRICS,
    ),
    Mutant(
        target="levelhead.testing",
        old="given = [case.sample.confidence.copy(), case.sample.correct.copy()]",
        new="given = [case.sample.confidence, case.sample.correct]",
        why="what was written to is compared with itself",
        tests=METRICS,
    ),
    Mutant(
        target="levelhead.testing",
        old="if not close and not (math.isnan(wanted) and math.isnan(got)):",
        new="if not close and not (math.isnan(wanted) or math.isnan(got)):",
        why="a NaN passes for any value",
        tests=METRICS,
    ),
    Mutant(
        target="levelhead.testing",
        old="if not close and not (math.isnan(wanted) and math.isnan(got)):",
        new="if wanted > got + self.tolerance or math.isnan(wanted) != math.isnan(got):",
        why="a value that is too large passes",
        tests=METRICS,
    ),
    Mutant(
        target="levelhead.testing",
        old="    if strict and cost[rival] <= lowest:",
        new="    if strict and cost[rival] < lowest - 1.0:",
        why="a rule that does not care passes for strictly proper",
        tests=RULES,
    ),
    Mutant(
        target="levelhead.testing",
        old="    if cost.min() < lowest - TOLERANCE:",
        new="    if cost.min() < lowest - 1e-4:",
        why="a rule that is improper by two percent passes",
        tests=RULES,
    ),
    Mutant(
        target="levelhead.testing",
        old="if not proper and gain <= TOLERANCE:",
        new="if not proper and gain < 0.0:",
        why="a proper rule passes for a declared improper one",
        tests=["tests/test_testing.py"],
    ),
    Mutant(
        target="levelhead.testing",
        old="if argument is not None and argument not in str(error):",
        new="if argument is not None and not str(error):",
        why="an error that names no argument passes",
        tests=METRICS,
    ),
]
