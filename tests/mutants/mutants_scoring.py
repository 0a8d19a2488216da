"""Wrong versions of the scoring rules."""

from __future__ import annotations

from mutant import Mutant

TARGET = "levelhead.scoring"
TESTS = ["tests/test_scoring.py"]

MUTANTS = [
    Mutant(
        target=TARGET,
        old="return _mixture(y, -np.log(clipped), -np.log1p(-clipped))",
        new="return np.minimum(_mixture(y, -np.log(q), -np.log1p(-q)), -np.log(eta))",
        why="caps the loss instead of clipping the prediction: improper below p = 0.0268",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return (q - y) ** 2 + y * (1.0 - y)",
        new="return (q - y) ** 2",
        why="a fractional outcome is taken for a target, not for an expected outcome",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="norm = np.hypot(q, 1.0 - q)",
        new="norm = q + (1.0 - q)",
        why="normalizes by the sum and not by the length: the linear rule, improper",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="gain = np.clip(q, t0, 1.0 - eps) - t0",
        new="gain = np.minimum(q, 1.0 - eps) - t0",
        why="forgets that the agent is silent below t0",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return ((1.0 - t) * w) @ self.node_weights",
        new="return ((1.0 - t) ** 2 * w) @ self.node_weights",
        why="a second factor (1 - t), as if the weight were on the threshold's odds",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return last * ratio / (1.0 - ratio)",
        new="return 0.0",
        why="drops what lies beyond the last panel, where a singular weight has its mass",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return _mixture(y, loss(q, np.ones_like(q)), kappa * loss(q, np.zeros_like(q)))",
        new="return _mixture(y, kappa * loss(q, np.ones_like(q)), loss(q, np.zeros_like(q)))",
        why="weights the other class",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="np.where(y < 1.0, (1.0 - y) * if_zero, 0.0)",
        new="(1.0 - y) * if_zero",
        why="an infinite loss of an outcome that cannot happen makes NaN",
        tests=TESTS,
    ),
]
