"""The gate: has a candidate become worse than its baseline by more than it may?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from levelhead._text import interval, number, signed
from levelhead.audit.result import Comparison
from levelhead.audit.verdict import TOO_FEW
from levelhead.errors import InvalidInputError, unknown_name

__all__ = ["CRITERIA", "Criterion", "GateLine", "check_gate"]


SAME = 1e-12
"""Differences below this are rounding."""


@dataclasses.dataclass(frozen=True)
class Criterion:
    """How much worse one metric may become: `--max-ece-increase 0.01`."""

    metric: str
    direction: str  # "increase" | "drop": which change is the bad one

    @property
    def option(self) -> str:
        """The name of the command-line option, without the dashes in front."""
        return f"max-{self.metric.replace('_', '-')}-{self.direction}"


CRITERIA = {
    c.option: c
    for c in (
        Criterion("ece", "increase"),
        Criterion("overconfidence", "increase"),
        Criterion("confidence_on_errors", "increase"),
        Criterion("brier", "increase"),
        Criterion("nll", "increase"),
        Criterion("aurc", "increase"),
        Criterion("accuracy", "drop"),
        Criterion("auroc", "drop"),
        Criterion("trust", "drop"),
    )
}


@dataclasses.dataclass(frozen=True)
class GateLine:
    """The outcome of one criterion; `failed` only where the whole interval lies beyond the limit."""

    option: str
    metric: str
    limit: float
    change: float | None
    low: float | None
    high: float | None
    failed: bool
    sentence: str


def check_gate(comparison: Comparison, limits: Mapping[str, float]) -> list[GateLine]:
    """Hold a comparison (candidate minus baseline) against limits.

    A criterion fails only where the paired interval says so: the end of the interval that is kindest
    to the candidate still lies beyond the limit, on at least `TOO_FEW` items. A difference that is
    undecided passes and says so.

    Args:
        comparison: of the candidate with the baseline.
        limits: by option name (see `CRITERIA`), each >= 0.

    Returns:
        One line per criterion, in the order given.

    Raises:
        InvalidInputError: an unknown option or a negative limit.
    """
    rows = {row.name: row for row in comparison.rows}
    out = []
    for option, limit in limits.items():
        if option not in CRITERIA:
            raise unknown_name("gate criterion", option, CRITERIA)
        if not limit >= 0.0:
            raise InvalidInputError(f"--{option}: expected a limit >= 0, got {limit}")
        criterion = CRITERIA[option]
        row = rows[criterion.metric]
        if row.difference is None or row.low is None or row.high is None:
            sentence = f"undecided  {row.label} is undefined for one of the two"
            out.append(GateLine(option, row.name, limit, None, None, None, False, sentence))
            continue
        sign = 1.0 if criterion.direction == "increase" else -1.0
        low, high = sorted((sign * row.low, sign * row.high))
        change = sign * row.difference
        failed = low > limit and comparison.n_prompts >= TOO_FEW
        word = "FAIL" if failed else "pass" if high <= limit + SAME else "undecided"
        sentence = (
            f"{word:<9}  {row.label} {number(row.baseline_value)} -> {number(row.model_value)}, "
            f"{criterion.direction} {signed(change)} {interval(low, high, change=True)}, limit {limit:g}"
        )
        out.append(GateLine(option, row.name, limit, change, low, high, failed, sentence))
    return out
