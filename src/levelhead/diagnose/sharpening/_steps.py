"""What to do about a sharpened model, or to find out whether it is one."""

from __future__ import annotations

import math

from scipy.special import ndtri

from levelhead._text import percent, points
from levelhead.diagnose.sharpening._result import SharpeningResult, fell, rose

__all__ = ["OVERTAKEN", "next_steps", "problems_needed"]

OVERTAKEN = (128, 1024)
"""Where base models overtook in arXiv:2504.13837."""

POWER = 0.8
"""How often a change that is as large as it seems is to be found."""

MOST_PROBLEMS = 100_000
"""Nobody is told to collect more."""

CHECKPOINTS = (
    "Find out when it began: levelhead diagnose sharpening BASE CHECKPOINT, with samples of earlier "
    "checkpoints."
)

SHORTCUTS = (
    "See whether what is newly solved skips its work: levelhead diagnose difficulty TUNED --baseline "
    "BASE lists signs of that, where the files hold texts."
)


def next_steps(r: SharpeningResult) -> list[str]:
    """What the verdict calls for; empty where nothing can be done.

    Args:
        r: the result.
    """
    base, tuned = r.names
    tail = (1.0 - r.level) / 2.0
    if r.verdict == "SHARPEN":
        since = "" if r.crossing is None else f" from k = {r.crossing:,} on"
        return [
            f"Where a right answer among k samples can be told, {base} solves more{since}; for one "
            f"sample take {tuned}.",
            CHECKPOINTS,
        ]
    if r.verdict == "EXPAND":
        guess = (
            [] if r.guess_rate else ["If answers can be guessed, run it again with --guess-rate."]
        )
        return [SHORTCUTS, *guess]
    if fell(r.first, tail):
        return [CHECKPOINTS]
    if r.first.low == r.first.high == 0.0:
        return []
    if r.n == 1:
        return [
            "Draw several samples of each prompt from both models: levelhead predict --samples 16."
        ]
    if not rose(r.first, tail):
        return [
            f"Four times as many problems (here {r.problems:,}) halve the interval of the change of "
            f"pass@1, now {points(r.first.low)} to {points(r.first.high)} points."
        ]
    return [*_more_samples(r), *_more_problems(r, tail)]


def _more_samples(r: SharpeningResult) -> list[str]:
    if r.n >= OVERTAKEN[0]:
        return []
    return [
        f"Draw {OVERTAKEN[0]} samples of each prompt from both models instead of {r.n}: levelhead "
        f"predict --samples {OVERTAKEN[0]}."
    ]


def _more_problems(r: SharpeningResult, tail: float) -> list[str]:
    if r.last.value >= 0.0:
        return []
    needed = problems_needed(int(r.table[0, 1]), int(r.table[1, 0]), r.problems, tail)
    if not r.problems < needed <= MOST_PROBLEMS:
        return []
    return [
        f"Take more problems: were the fall of pass@{r.n} by {points(-r.last.value)[1:]} points real, "
        f"about {_rounded(needed):,} of them (here {r.problems:,}) would show it in "
        f"{percent(POWER)} of cases."
    ]


def problems_needed(gained: int, lost: int, problems: int, tail: float) -> float:
    """How many problems show a change of pass@n, if these shares of them are gained and lost.

    McNemar's exact test of one side, with shares d = |gained - lost| / P and s = (gained + lost) / P:

    N = (z_tail sqrt(s) + z_power sqrt(s - d^2))^2 / d^2
    needed = N (1 + sqrt(1 + 2 / (N d)))^2 / 4

    Args:
        gained: problems that only the tuned model solves.
        lost: problems that only the base model solves.
        problems: P.
        tail: of the test.

    Returns:
        A number of problems; infinite where nothing changed.

    Reference: Connor 1987, Biometrics 43; the second line, for counts, is that of Fleiss.
    """
    if gained == lost:
        return math.inf
    some, change = (gained + lost) / problems, abs(gained - lost) / problems
    z_tail, z_power = -float(ndtri(tail)), float(ndtri(POWER))
    root = z_tail * math.sqrt(some) + z_power * math.sqrt(some - change**2)
    needed = (root / change) ** 2
    return needed * (1.0 + math.sqrt(1.0 + 2.0 / (needed * change))) ** 2 / 4.0


def _rounded(value: float) -> int:
    """Up to two digits, as more would pretend to know."""
    unit = 10.0 ** max(0, math.floor(math.log10(value)) - 1)
    return int(math.ceil(value / unit) * unit)
