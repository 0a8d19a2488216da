"""Every calibrator by its name, and which of them compete by default."""

from __future__ import annotations

from typing import Literal

from levelhead.calibrators._base import Calibrator
from levelhead.calibrators._identity import ClassIdentity, Identity
from levelhead.calibrators.classes import (
    ClassTemperatureScaling,
    DirichletCalibration,
    MatrixScaling,
    VectorScaling,
)
from levelhead.calibrators.scaling import BetaCalibration, PlattScaling, TemperatureScaling
from levelhead.calibrators.stepwise import HistogramBinning, IsotonicCalibration, VennAbers
from levelhead.errors import InvalidInputError, unknown_name

__all__ = ["AUTO", "AUTO_AT_MOST", "TABLE", "make"]

_ALL: tuple[type[Calibrator], ...] = (
    Identity,
    TemperatureScaling,
    PlattScaling,
    BetaCalibration,
    HistogramBinning,
    IsotonicCalibration,
    VennAbers,
    ClassIdentity,
    ClassTemperatureScaling,
    VectorScaling,
    MatrixScaling,
    DirichletCalibration,
)

TABLE: dict[str, type[Calibrator]] = {one.method: one for one in _ALL}
"""Every calibrator by its name, the ones for a confidence first."""

AUTO: dict[Literal["confidence", "classes"], tuple[str, ...]] = {
    "confidence": tuple(
        one.method for one in _ALL if one.input == "confidence" and one is not HistogramBinning
    ),
    "classes": tuple(one.method for one in _ALL if one.input == "classes"),
}
"""What competes where nobody says what shall.

Not the histogram: it can put a more confident answer below a less confident one, and so spoil an
order that was right.
"""

AUTO_AT_MOST: dict[str, int] = {VennAbers.method: 50_000}
"""Beyond so many different confidences a method does not compete by default.

Its sweep is not vectorized: with 300,000 of them it takes three quarters of the whole comparison.
"""

_FOR_CLASSES = {"identity": "class_identity", "temperature": "class_temperature"}


def make(
    name: str,
    input: Literal["confidence", "classes"] = "confidence",
    *,
    inputs: Literal["logits", "probs"] = "logits",
) -> Calibrator:
    """An unfitted calibrator with its default parameters, by name.

    Args:
        name: in `TABLE`; "identity" and "temperature" mean the one for this input.
        input: "confidence" for one probability per row, "classes" for one column per class.
        inputs: for classes, whether the columns are "logits" or "probs".

    Returns:
        The calibrator.

    Raises:
        InvalidInputError: the name is unknown, or of a calibrator for the other input.

    Example:
        >>> make("temperature"), make("temperature", "classes")
        (TemperatureScaling(), ClassTemperatureScaling())
    """
    if input not in AUTO:
        raise unknown_name("input", str(input), AUTO)
    fitting = tuple(one.method for one in _ALL if one.input == input)
    resolved = _FOR_CLASSES.get(name, name) if input == "classes" else name
    if resolved not in TABLE:
        raise unknown_name("method", name, fitting)
    if resolved not in fitting:
        raise InvalidInputError(
            f"method: expected one for {input} ({', '.join(fitting)}), got {name!r}, which is for "
            f"{TABLE[resolved].input}"
        )
    calibrator = TABLE[resolved]()
    return (
        calibrator.set_params(inputs=inputs) if "inputs" in calibrator.get_params() else calibrator
    )
