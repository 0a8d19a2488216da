"""How a change of two models reads: from what to what, in points, and whether it is beyond chance."""

from __future__ import annotations

from collections.abc import Callable

from levelhead._text import ROUNDING, percent, points
from levelhead.diagnose.sharpening._result import Difference, fell, rose

__all__ = ["moved", "share", "span"]


def share(value: float) -> str:
    """A share in percent with one decimal; only 0 and 1 themselves read as such."""
    if 0.01 <= value <= 0.99:
        return f"{100.0 * value:.1f}%"
    return percent(value)


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
