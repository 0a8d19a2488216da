"""Wrong versions of the dynamics of lengths."""

from __future__ import annotations

from mutant import Mutant

TARGET = "levelhead.lab.lengths"
TESTS = ["tests/lab/test_lengths.py"]

MUTANTS = [
    Mutant(
        target=TARGET,
        old="return 1.0 / (lengths.size * np.asarray(lengths, dtype=np.float64))",
        new="return np.full(lengths.size, 1.0 / (lengths.size * float(np.mean(lengths))))",
        why="divides by the mean length and not by the own one: the token mean under another name",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return pushes - policy * pushes.sum()",
        new="return pushes - policy * pushes",
        why="the softmax's derivative with the wrong sum",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="np.exp(self.log_orders + logs.sum(axis=1))",
        new="np.exp(logs.sum(axis=1))",
        why="counts every multiset once, whatever the number of its orders",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="pushes = pushes * (self.rewards - policy @ self.rewards)",
        new="pushes = pushes * (self.rewards - self.rewards.mean())",
        why="a baseline that does not follow the policy",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="ratio=float(longest.mean() / shortest.mean())",
        new="ratio=float(shortest.mean() / longest.mean())",
        why="the ratio upside down",
        tests=TESTS,
    ),
]
