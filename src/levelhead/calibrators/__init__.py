"""Calibrators: functions that are fitted to make a stated confidence true.

For one confidence per row, and for one column per class. Each follows scikit-learn's protocol
(`fit`, `predict`, `get_params`), takes weights, and is saved as exact JSON:

    >>> from levelhead import calibrators
    >>> said, right = [0.6, 0.7, 0.9, 0.9, 0.95, 0.99] * 20, [0, 1, 1, 0, 1, 0] * 20
    >>> platt = calibrators.PlattScaling().fit(said, right)
    >>> platt.predict([0.6, 0.9]).round(2)
    array([0.5, 0.5])

`choose` picks one by cross-validation and says why; `TABLE` lists them by name.
"""

from __future__ import annotations

from levelhead.calibrators._base import (
    CalibrationWarning,
    Calibrator,
    ClassCalibrator,
    ConfidenceCalibrator,
    FitReport,
    NotFittedError,
)
from levelhead.calibrators._foreign import CalibratorLike
from levelhead.calibrators._identity import ClassIdentity, Identity
from levelhead.calibrators._table import AUTO, TABLE, make
from levelhead.calibrators.checks import check_fit, check_rows
from levelhead.calibrators.choosing import Candidate, Choice, choose, cross_fitted
from levelhead.calibrators.classes import (
    ClassTemperatureScaling,
    DirichletCalibration,
    MatrixScaling,
    VectorScaling,
)
from levelhead.calibrators.documents import About, from_text, load, save, to_text
from levelhead.calibrators.scaling import BetaCalibration, PlattScaling, TemperatureScaling
from levelhead.calibrators.stepwise import HistogramBinning, IsotonicCalibration, VennAbers

__all__ = [
    "AUTO",
    "About",
    "BetaCalibration",
    "CalibrationWarning",
    "Calibrator",
    "CalibratorLike",
    "Candidate",
    "Choice",
    "ClassCalibrator",
    "ClassIdentity",
    "ClassTemperatureScaling",
    "ConfidenceCalibrator",
    "DirichletCalibration",
    "FitReport",
    "HistogramBinning",
    "Identity",
    "IsotonicCalibration",
    "MatrixScaling",
    "NotFittedError",
    "PlattScaling",
    "TABLE",
    "TemperatureScaling",
    "VectorScaling",
    "VennAbers",
    "check_fit",
    "check_rows",
    "choose",
    "cross_fitted",
    "from_text",
    "load",
    "make",
    "save",
    "to_text",
]
