"""The row type of the metric tables; each metrics file lists its own metrics in a `TABLE` at its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

__all__ = ["Metric"]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric with the signature `(confidence, correct, *, weights=None, ...) -> float`.

    Attributes:
        name: the function's name, used in JSON, in the gate and on the command line.
        function: the metric.
        label: what people call it.
        group: `calibration`, `overconfidence`, `scores`, `selective` or `trust`: its place in a report.
        better: `lower`, `higher`, or None where neither end is better (a signed bias).
        low: smallest possible value.
        high: largest possible value.
        event_reading: for event predictions, `event` (P(event) against the outcome) or `top-label`
            (max(p, 1-p) against being right, p = 0.5 counting half).
        plug_in: whether repeating every sample three times leaves it unchanged.
        reference: where the definition comes from.
    """

    name: str
    function: Callable[..., float]
    label: str
    group: Literal["calibration", "overconfidence", "scores", "selective", "trust"]
    better: Literal["lower", "higher"] | None
    low: float
    high: float
    event_reading: Literal["event", "top-label"]
    plug_in: bool = True
    reference: str = ""
