"""Wrong versions of `levelhead.metrics.selective` and of the tie blocks below it."""

from __future__ import annotations

from mutant import Mutant

TARGET = "levelhead.metrics.selective"
TIES = "levelhead.metrics._ties"
TESTS = ["tests/metrics/test_selective.py"]
TIES_TESTS = ["tests/metrics/test_ties.py"]

MUTANTS = [
    Mutant(
        target=TARGET,
        old="twice = int((right * (2 * below + wrong)).sum())",
        new="twice = int((right * (2 * below)).sum())",
        why="a tie counts as lost instead of half won",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old='        return float("nan")',
        new="        return 0.5",
        why="one class only reported as no information instead of undefined",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="rate * (weight - before * rise)",
        new="rate * weight",
        why="integrates P(wrong and answered) inside a tie block as if it were the risk",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="rise = harmonic_rise(before, weight)",
        new="rise = weight / ends",
        why="one step to the end of the block: ties are answered all at once, not averaged",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return float(curve.coverage[kept[-1]]) if kept.size else 0.0",
        new="return float(curve.coverage[kept.size - 1]) if kept.size else 0.0",
        why="counts the thresholds that pass, wrong where the risk falls again",
        tests=["tests/metrics/test_selective.py::test_coverage_at_risk_by_hand"],
    ),
    Mutant(
        target=TARGET,
        old="curve.risk <= limit + RISK_TOLERANCE",
        new="curve.risk <= limit",
        why="2 errors in 20 of weight 0.1 are 0.10000000000000006 and miss a limit of 10%",
        tests=["tests/metrics/test_selective.py::test_coverage_at_risk_knows_decimals"],
    ),
    Mutant(
        target=TARGET,
        old="unanswered = (float(ends[last]) - target) / weight",
        new="unanswered = 0.0",
        why="answers the whole last tie block, so that more than the coverage is answered",
        tests=[
            "tests/metrics/test_selective.py::test_a_certain_model_gets_its_error_rate_wherever_its_errors_stand"
        ],
    ),
    Mutant(
        target=TIES,
        old="middle[low] += SERIES_FROM",
        new="middle[low] += SERIES_FROM - 1",
        why="the series starts one step away from where the recurrence ends",
        tests=TIES_TESTS,
    ),
    Mutant(
        target=TIES,
        old="(keys[1:] ^ keys[:-1]) > 1",
        new="(keys[1:] ^ keys[:-1]) > 0",
        why="right and wrong at one confidence become two blocks: the order within ties counts",
        tests=TIES_TESTS,
    ),
]
