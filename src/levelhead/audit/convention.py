"""Conventions: how the ECE is binned and how a record without a confidence counts.

Published numbers rest on choices that move them by more than the effects they report. A convention
names a set of such choices, so that a report can reproduce a paper and say what its choices did.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from levelhead.errors import unknown_name

__all__ = ["CONVENTIONS", "Convention", "Missing", "convention"]

Missing = Literal["assert", "drop", "zero"]
"""How a record without a confidence counts."""


@dataclasses.dataclass(frozen=True)
class Convention:
    """Choices that change the numbers.

    Attributes:
        name: what `--convention` calls it.
        n_bins: number of bins of the ECE, of equal width.
        closed: which edge belongs to a bin, `right` or `left`.
        edges: `decimal`: a confidence of 0.3 lies on the edge 0.3; `float`: on the side of it that
            the rounding of 0.3 and of the edge happen to say.
        missing: how a record without a confidence counts: `assert` (as a claim of certainty, 1 - eta;
            for an event: certain and wrong), `drop` (not at all, but it is counted), or `zero`
            (as confidence 0.0, which gives a wrong answer a perfect score).
        description: one line for people.
    """

    name: str
    n_bins: int = 10
    closed: Literal["right", "left"] = "right"
    edges: Literal["decimal", "float"] = "decimal"
    missing: Missing = "assert"
    description: str = ""

    @property
    def binning(self) -> dict[str, Any]:
        """The keyword arguments of every binned metric."""
        return {"n_bins": self.n_bins, "closed": self.closed, "edges": self.edges}


CONVENTIONS = {
    c.name: c
    for c in (
        Convention(
            "levelhead",
            description="10 right-closed bins of equal width; a missing confidence asserts certainty",
        ),
        Convention(
            "paper_compat",
            missing="drop",
            description="Uncalibrated Reasoning (arXiv 2508.11800): 10 right-closed bins; answers "
            "clipped to 1..99 percent; what float() refuses is left out",
        ),
        Convention(
            "rlcr",
            closed="left",
            edges="float",
            missing="zero",
            description="RLCR (arXiv 2507.16806): 10 left-closed bins with edges as "
            "floating point rounds them; a missing confidence is 0.0",
        ),
    )
}


def convention(name: str) -> Convention:
    """The convention of that name.

    Args:
        name: one of `CONVENTIONS`.

    Returns:
        The convention.

    Raises:
        InvalidInputError: there is none of that name.
    """
    if name not in CONVENTIONS:
        raise unknown_name("convention", name, CONVENTIONS)
    return CONVENTIONS[name]
