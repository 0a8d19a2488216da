"""The picture of a run: what is drawn, and what is left out."""

from __future__ import annotations

import numpy as np

from levelhead.records import Predictions
from levelhead.train.picture import LEAST, draw


def predictions(confidence: list[float], outcome: list[float]) -> Predictions:
    return Predictions.from_arrays("event", confidence, outcome)


def test_claims_are_drawn_against_frequencies() -> None:
    sure = predictions([0.9] * 40, [1.0] * 10 + [0.0] * 30)
    figure = draw({"sure": sure}, {"sure": [{"step": 0, "ece": 0.3}, {"step": 5, "ece": None}]})
    left, right = figure.axes
    (curve,) = [line for line in left.lines if line.get_label() == "sure"]
    np.testing.assert_allclose(curve.get_xdata(), [0.9])
    np.testing.assert_allclose(curve.get_ydata(), [0.25])
    (course,) = right.lines
    np.testing.assert_array_equal(course.get_xdata(), [0, 5])
    np.testing.assert_array_equal(course.get_ydata(), [0.3, np.nan])


def test_a_bin_of_few_is_left_out_and_missing_confidences_too() -> None:
    few = predictions([0.2] * (LEAST - 1) + [0.8] * LEAST, [1.0] * (2 * LEAST - 1))
    figure = draw({"few": few}, {})
    (curve,) = [line for line in figure.axes[0].lines if line.get_label() == "few"]
    np.testing.assert_allclose(curve.get_xdata(), [0.8])
    missing = predictions([None, *[0.5] * LEAST], [0.0] * (LEAST + 1))  # type: ignore[list-item]
    figure = draw({"missing": missing}, {})
    (curve,) = [line for line in figure.axes[0].lines if line.get_label() == "missing"]
    np.testing.assert_allclose(curve.get_xdata(), [0.5])
