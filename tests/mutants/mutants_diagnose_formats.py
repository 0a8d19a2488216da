"""Wrong versions of the diagnosis of formats."""

from __future__ import annotations

from mutant import Mutant

MEASURES = "levelhead.diagnose._formats_measures"
DRIFT = "levelhead.diagnose._formats_drift"
COMPARE = "levelhead.diagnose._formats_compare"
RULES = "levelhead.diagnose._formats_rules"

MUTANTS = [
    Mutant(
        target=MEASURES,
        old="bias = (np.count_nonzero(c, axis=-1) - 1) / (2.0 * n)",
        new="bias = np.count_nonzero(c, axis=-1) / (2.0 * n)",
        why="corrects one format's entropy of 0 upward",
        tests=["tests/diagnose/test_formats_measures.py"],
    ),
    Mutant(
        target=MEASURES,
        old="np.where(seen & (c0 == 0.0), 0.5, c0)",
        new="c0 + 0.5",
        why="smooths every format of the start",
        tests=["tests/diagnose/test_formats_measures.py"],
    ),
    Mutant(
        target=MEASURES,
        old="return int(t[i - IN_A_ROW + 1])",
        new="return int(t[i])",
        why="tells the third evaluation of a collapse for its first",
        tests=["tests/diagnose/test_formats_measures.py"],
    ),
    Mutant(
        target=DRIFT,
        old="eta * math.sqrt(right * (1.0 - right) * (1.0 - 1.0 / group_size) / batch_size)",
        new="eta * math.sqrt(right * (1.0 - right) / batch_size)",
        why="forgets what the group's own mean takes out of the noise",
        tests=["tests/diagnose/test_formats_drift.py::test_noise_of_a_step_by_enumeration"],
    ),
    Mutant(
        target=COMPARE,
        old="swap = rng.random((size, len(rows))) < 0.5",
        new="swap = rng.random((size, 1)) + 0.0 * rng.random((size, len(rows))) < 0.5",
        why="swaps all prompts together",
        tests=["tests/diagnose/test_formats_compare.py"],
    ),
    Mutant(
        target=COMPARE,
        old="step = np.zeros((int(steps.max()) + 1, size))\n    np.add.at(step, (steps, formats), 1.0)",
        new="step = np.zeros((1, size))\n    np.add.at(step, (0 * steps, formats), 1.0)",
        why="takes the change of shares over the steps for a likeness of prompts",
        tests=["tests/diagnose/test_formats_compare.py"],
    ),
    Mutant(
        target=RULES,
        old="if found.start() < best:",
        new="if name == OTHER:",
        why="the order of the table decides between blocks, not which comes first in the text",
        tests=["tests/diagnose/test_formats_rules.py"],
    ),
]
