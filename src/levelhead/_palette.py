"""The colors of every picture: told apart by people with any color vision, readable on white.

No series is told by its color alone: each has a marker, a line style or a place of its own as well.
"""

from __future__ import annotations

__all__ = [
    "BAR",
    "INK",
    "MUTED",
    "OLIVE",
    "OVER",
    "ROSE",
    "RULE",
    "SHADE",
    "SLATE",
    "TEAL",
    "UNDER",
    "VIOLET",
    "YELLOW",
]

INK, MUTED, RULE, BAR = "#1c1d21", "#5c616b", "#dcd8cf", "#b4bac4"
OVER, UNDER = "#b5420f", "#1d609f"
SHADE = "#f6e9e1"
"""Background of the region where a prediction is too sure."""

SLATE, TEAL, VIOLET, YELLOW = "#2c3a52", "#09756a", "#7b3fb3", "#846100"
ROSE, OLIVE = "#b22f6b", "#4b7a12"
