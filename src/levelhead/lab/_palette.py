"""Which color an estimator has in the lab's pictures, the same in all of them."""

from __future__ import annotations

from levelhead._palette import INK, OVER, ROSE, TEAL, UNDER, VIOLET

__all__ = ["SERIES"]

SERIES = {
    "grpo": OVER,
    "grpo_no_std": UNDER,
    "rloo": TEAL,
    "rloo_notebook": TEAL,
    "ppo": VIOLET,
    "top1": ROSE,
    "truth": INK,
}
"""Estimator to color."""
