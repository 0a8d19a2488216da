"""Wrong versions of `levelhead.metrics.trust`."""

from __future__ import annotations

from mutant import Mutant

TARGET = "levelhead.metrics.trust"
TESTS = ["tests/metrics/test_trust.py"]

MUTANTS = [
    Mutant(
        target=TARGET,
        old="return np.where(sure > t0, gained / (1.0 - t0), 0.0)",
        new="return np.where(sure > t0, gained, 0.0)",
        why="an integral over the stakes instead of their mean",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="sure - t0 + wrong * (_log_left(c, wrong, eps) - np.log1p(-t0))",
        new="sure - t0 + wrong * _log_left(c, wrong, eps)",
        why="charges a wrong answer for the stakes below the floor as well",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="np.maximum(1.0 - c, eps), 1.0)",
        new="np.maximum(1.0 - c, 1e-12), 1.0)",
        why="the penalty is taken at the uncapped confidence, the gain at the capped one",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="share, rate = blocks.weight / total,",
        new="share, rate = blocks.weight / blocks.weight.sum(),",
        why="the parts are taken over the answered only, so they no longer add up to trust",
        tests=["tests/metrics/test_trust.py::test_unanswered_equals_a_confidence_of_zero"],
    ),
    Mutant(
        target=TARGET,
        old="below = np.searchsorted(ladder, sure)",
        new="below = np.searchsorted(ladder, c)",
        why="above the cap a floor of 1 - eps would still be exceeded",
        tests=["tests/metrics/test_trust.py::test_floors_on_a_confidence_and_beyond_the_cap"],
    ),
    Mutant(
        target=TARGET,
        old="scores[~mask] = 0.0",
        new="scores = scores[mask]; w = None if w is None else w[mask]",
        why="declining to answer is left out of the mean instead of scoring 0",
        tests=["tests/metrics/test_trust.py::test_silence_scores_zero_and_a_certain_fool_less"],
    ),
    Mutant(
        target=TARGET,
        old="scores[order] = np.where",
        new="scores[:] = np.where",
        why="floors given in any order get the scores of the sorted ones",
        tests=["tests/metrics/test_trust.py::test_the_curve_is_trust_at_each_floor"],
    ),
]
