"""Wrong versions of `levelhead.metrics.overconfidence`."""

from __future__ import annotations

from mutant import Mutant

TARGET = "levelhead.metrics.overconfidence"
TESTS = ["tests/metrics/test_overconfidence.py"]

MUTANTS = [
    Mutant(
        target=TARGET,
        old="return c >= level - THRESHOLD_TOLERANCE",
        new="return c >= level",
        why="0.3 * 3 misses a threshold of 0.9 by one bit",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return c >= level - THRESHOLD_TOLERANCE",
        new="return c > level + THRESHOLD_TOLERANCE",
        why="an exclusive threshold drops everything that is stated at exactly 90%",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="right[np.abs(p - 0.5) <= THRESHOLD_TOLERANCE] = 0.5",
        new="right[p == 1.0] = 1.0 * happened[p == 1.0]",
        why="p = 0.5 is taken for a prediction that the event does not happen",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="np.round(1.0 - p, COMPLEMENT_DECIMALS)",
        new="1.0 - p",
        why="1 - 0.07 is not 0.93, so percentages and their complements stop tying",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old='return float((values * mass).sum() / total) if total > 0 else float("nan")',
        new="return float((values * mass).sum() / total) if total > 0 else 0.0",
        why="undefined reported as 0: no errors would read as errors without confidence",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return 1.0 - y if w is None else w * (1.0 - y)",
        new="return (y < 0.5) * 1.0 if w is None else w * (y < 0.5)",
        why="half an error counts as none",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return float(np.average(c - y, weights=w))",
        new="return abs(float(np.average(c - y, weights=w)))",
        why="loses the sign, so underconfidence reads as overconfidence",
        tests=TESTS,
    ),
]
