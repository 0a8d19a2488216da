"""Contract checks: what every metric, scoring rule, advantage and calibrator must do, whoever wrote it.

A contract is a consequence of a definition (a mean does not depend on the order of its samples),
so it finds a large class of mistakes without knowing the right value. It cannot see a wrong scale:
a metric also needs a value computed by hand.

    >>> import numpy as np
    >>> def mean_gap(confidence, correct):
    ...     return float(np.mean(np.asarray(confidence) - correct))
    >>> check_metric(mean_gap, low=-1.0, high=1.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    levelhead.testing.ContractError: mean_gap: expected it to take weights=..., got TypeError: ...
"""

from __future__ import annotations

from levelhead.testing._advantage import Batch, batches, check_advantage, gradient_angle
from levelhead.testing._calibration_rows import CalibrationRows, calibration_rows
from levelhead.testing._calibrator import check_calibrator
from levelhead.testing._contract import ContractError
from levelhead.testing._metric import Sample, check_metric, samples
from levelhead.testing._rule import check_scoring_rule

__all__ = [
    "Batch",
    "CalibrationRows",
    "ContractError",
    "Sample",
    "batches",
    "calibration_rows",
    "check_advantage",
    "check_calibrator",
    "check_metric",
    "check_scoring_rule",
    "gradient_angle",
    "samples",
]
