"""What the class scalings take for logits and for probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from levelhead.calibrators import _class_scaling
from levelhead.calibrators._softmax import Columns
from levelhead.calibrators.classes import DirichletCalibration, VectorScaling
from levelhead.errors import InvalidInputError


def logits_of(n=600, k=4):
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.6, (n, k))
    return 2.0 * z, (z + rng.gumbel(size=z.shape)).argmax(axis=1)


def test_the_softmax_is_scipys_and_takes_any_size():
    scores = np.random.default_rng(0).normal(0, 300, (5, 40))
    np.testing.assert_allclose(
        _class_scaling.softmax(scores.copy()), softmax(scores.T, axis=1), atol=1e-15
    )


@pytest.mark.parametrize("offset", [0.0, 0.3, -1e4, 1e8])
def test_about_the_mean_is_one_number_however_it_is_summed(offset):
    z, y = logits_of()
    w = np.random.default_rng(1).integers(1, 4, y.size).astype(float)
    x = np.ascontiguousarray(z.T) + offset
    weighted = _class_scaling.about_mean(Columns.of(x, y, w))
    copies = np.repeat(x, w.astype(int), axis=1)[:, ::-1]
    assert weighted == _class_scaling.about_mean(Columns.of(copies, y, None))
    assert weighted == pytest.approx(copies.mean(), abs=1e-4)


@pytest.mark.parametrize("value", [0.0, 7.3, 5e-324, 1e99])
def test_about_the_mean_of_equal_scores(value):
    x = np.full((3, 5), value)
    columns = Columns.of(x, np.zeros(5, np.int64), None)
    assert _class_scaling.about_mean(columns) == pytest.approx(value, rel=1e-12)


def test_probabilities_given_as_logits_and_the_other_way_round():
    z, y = logits_of()
    with pytest.raises(InvalidInputError, match='sum to 1; if they are prob.* pass inputs="probs"'):
        VectorScaling().fit(softmax(z, axis=1), y)
    with pytest.raises(InvalidInputError, match="expected values in"):
        VectorScaling(inputs="probs").fit(z, y)
    with pytest.raises(InvalidInputError, match="rows that sum to 1"):
        DirichletCalibration().fit(softmax(z, axis=1) * 0.9, y)
    with pytest.raises(InvalidInputError, match="expected logits below 1e.100 in size"):
        VectorScaling().fit(z * 1e150, y)
