"""Wrong versions of `levelhead._arrays`."""

from __future__ import annotations

from mutant import Mutant

TESTS = ["tests/test_arrays.py"]

MUTANTS = [
    Mutant(
        target="levelhead._arrays",
        old="if not (low >= 0.0 and high <= 1.0):",
        new="if low < 0.0 or high > 1.0:",
        why="the same thing for every number, and true for no comparison with NaN",
        tests=TESTS,
    ),
    Mutant(
        target="levelhead._arrays",
        old="bad = ~(np.isfinite(w) & (w >= 0.0))",
        new="bad = w < 0.0",
        why="NaN and infinite weights pass",
        tests=TESTS,
    ),
    Mutant(
        target="levelhead._arrays",
        old="    if not w.any():",
        new="    if w.size == 0:",
        why="weights that are all zero divide by zero later",
        tests=TESTS,
    ),
    Mutant(
        target="levelhead._arrays",
        old="off = np.abs(total - 1.0) > SUM_TOLERANCE",
        new="off = total - 1.0 > SUM_TOLERANCE",
        why="rows that sum to less than 1 pass",
        tests=TESTS,
    ),
    Mutant(
        target="levelhead._arrays",
        old="else (out < 0) | (out >= below)",
        new="else (out < 0) | (out > below)",
        why="a label one past the last class passes",
        tests=TESTS,
    ),
    Mutant(
        target="levelhead._arrays",
        old='array = array if whole and numbers.dtype.kind == "f" else numbers',
        new="array = numbers",
        why="ids of 64 bits become floats, and neighbors the same prompt",
        tests=[*TESTS, "tests/advantages/test_groups.py"],
    ),
]
