"""Calibrators on predictions: which rows one is fitted on, and the same predictions through it.

`levelhead.calibrators` works on arrays. Here is what the arrays are for a file: the stated confidence
and whether it was right, the probability of an event and whether it happened, or the scores of all
classes and the right one. Rows without a confidence or without a truth are not fitted on. A row
without a usable confidence, which is no refusal, gets the share of such rows that were right.
"""

from __future__ import annotations

from levelhead.recalibration.rows import FitRows, fit_rows
from levelhead.recalibration.seen import Overlap, fit_sketch, overlap
from levelhead.recalibration.through import calibrated, cross_calibrated, missing_share

__all__ = [
    "FitRows",
    "Overlap",
    "calibrated",
    "cross_calibrated",
    "fit_rows",
    "fit_sketch",
    "missing_share",
    "overlap",
]
