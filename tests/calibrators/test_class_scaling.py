"""What the class scalings take for logits and for probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from levelhead.calibrators import _class_scaling
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
