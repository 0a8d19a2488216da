"""How a change of two models reads: from what to what, in points, and whether it is beyond chance."""

from __future__ import annotations

import math
from collections.abc import Callable

from levelhead._text import percent
from levelhead.diagnose.sharpening._result import Difference, fell, rose

__all__ = ["moved", "p_value", "plus", "points", "share", "span"]

ROUNDING = 1e-9
"""A change this close to 0 is rounding."""


def share(value: float) -> str:
    """A share in percent with one decimal; only 0 and 1 themselves read as such."""
    if 0.01 <= value <= 0.99:
        return f"{100.0 * value:.1f}%"
    return percent(value)


def plus(value: float, digits: int = 1) -> str:
    """A number with its sign; only 0 itself has none, and what rounds to it shows its first digit."""
    if not math.isfinite(value):
        return "undefined"
    if abs(value) < ROUNDING:
        return f"{0.0:.{digits}f}"
    text = f"{value:+.{digits}f}" if round(value, digits) else f"{value:+.1g}"
    return text.replace("-", "−")


def points(value: float) -> str:
    """A difference of shares in percentage points, without the word."""
    return plus(100.0 * value)


def span(d: Difference) -> str:
    """From what to what; where both read the same, by how many points."""
    before, after = percent(d.base), percent(d.tuned)
    if before != after:
        return f"from {before} to {after}"
    return f"from {before} by {points(d.value)} points"


def moved(name: str, d: Difference, tail: float, show: Callable[[float], str] = percent) -> str:
    """A clause on one number of both models, which says whether its change is beyond chance.

    Args:
        name: of the number, with which the clause begins; may be empty.
        d: the number of both models.
        tail: of each side of the test.
        show: how the number prints.
    """
    begin = f"{name} " if name else ""
    if abs(d.value) < ROUNDING:
        return f"{begin}{show(d.base)} in both"
    where = span(d) if show is percent else f"from {show(d.base)} to {show(d.tuned)}"
    if rose(d, tail):
        return f"{begin}rose {where} (beyond chance)"
    if fell(d, tail):
        return f"{begin}fell {where} (beyond chance)"
    return f"{begin}{where.removeprefix('from ')} could be noise"


def p_value(p: float) -> str:
    """How often chance shows as much."""
    if math.isnan(p):
        return "p undefined"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
