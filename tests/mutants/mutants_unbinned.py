"""Wrong versions of the unbinned metrics: scores, smooth ECE, isotonic fit."""

from __future__ import annotations

from mutant import Mutant

SMOOTH, SMOOTH_TESTS = "levelhead.metrics.smooth", ["tests/metrics/test_smooth.py"]
ISOTONIC, ISOTONIC_TESTS = "levelhead.metrics.isotonic", ["tests/metrics/test_isotonic.py"]
UNBINNED, UNBINNED_TESTS = "levelhead.metrics.unbinned", ["tests/metrics/test_unbinned.py"]

MUTANTS = [
    Mutant(
        target=SMOOTH,
        old="nodes[-1] *= 2.0",
        new="pass",
        why="loses half of what is said with certainty: a mass at 1 is its own reflection",
        tests=["tests/metrics/test_smooth.py::test_a_given_bandwidth_matches_the_direct_integral"],
    ),
    Mutant(
        target=SMOOTH,
        old="even = np.concatenate([nodes, nodes[-2:0:-1]])",
        new="even = np.concatenate([nodes, np.zeros(nodes.size - 2)])",
        why="no reflection: the kernel leaks out of [0, 1]",
        tests=SMOOTH_TESTS,
    ),
    Mutant(
        target=SMOOTH,
        old="np.exp(-0.5 * (math.pi * sigma * frequency) ** 2)",
        new="np.exp(-0.5 * (2.0 * math.pi * sigma * frequency) ** 2)",
        why="the period of the mirrored signal is 2, not 1",
        tests=SMOOTH_TESTS,
    ),
    Mutant(
        target=SMOOTH,
        old="at_node -= passed_on\n    at_node[1:] += passed_on[:-1]",
        new="pass",
        why="rounds every sample down to its node instead of splitting it",
        tests=SMOOTH_TESTS,
    ),
    Mutant(
        target=SMOOTH,
        old="or _split_error(c, residuals, cells, sigma) <= SPLIT_TOLERANCE",
        new="or sigma > 0.0",
        why="stays on the coarsest grid however narrow the kernel",
        tests=[
            "tests/metrics/test_smooth.py::test_errors_that_cancel_within_two_cells_of_the_coarsest_grid"
        ],
    ),
    Mutant(
        target=SMOOTH,
        old="np.abs(np.fft.irfft(spectrum, 2 * cells)).mean() * 2 * cells",
        new="abs(np.fft.irfft(spectrum, 2 * cells).mean()) * 2 * cells",
        why="lets over- and underconfidence cancel",
        tests=SMOOTH_TESTS,
    ),
    Mutant(
        target=ISOTONIC,
        old="rises = hits[1:] * mass[:-1] > hits[:-1] * mass[1:]",
        new="rises = hits[1:] > hits[:-1]",
        why="compares numbers of hits instead of accuracies",
        tests=ISOTONIC_TESTS,
    ),
    Mutant(
        target=ISOTONIC,
        old="while masses and total * masses[-1] <= totals[-1] * weight:",
        new="if masses and total * masses[-1] <= totals[-1] * weight:",
        why="pools once and does not look further back",
        tests=["tests/metrics/test_isotonic.py::test_large_inputs_match_scipy"],
    ),
    Mutant(
        target=ISOTONIC,
        old="starts = np.flatnonzero(np.append(True, c[1:] != c[:-1]))",
        new="starts = np.arange(c.size)",
        why="ties are broken by the order of the samples",
        tests=ISOTONIC_TESTS,
    ),
    Mutant(
        target=UNBINNED,
        old="np.abs(np.cumsum(mass * values - hits)).max()",
        new="np.cumsum(mass * values - hits).max()",
        why="sees overconfidence only",
        tests=UNBINNED_TESTS,
    ),
]
