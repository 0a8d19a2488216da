"""The penalized logistic regression against a second library."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from levelhead.diagnose.truth._logistic import fit_probe
from levelhead.errors import InvalidInputError


@pytest.mark.parametrize("d", [8, 200])
def test_it_is_the_penalized_logistic_regression(d: int) -> None:
    """With fewer rows than features as well, where it works among the rows."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    x = (rng.normal(size=(60, d)) + 0.3 * y[:, None]) * np.linspace(1, 50, d) + 3
    probe = fit_probe(x, y, c=0.01)
    z = (x - x.mean(0)) / x.std(0)
    other = LogisticRegression(C=0.01, tol=1e-12, max_iter=10_000).fit(z, y)
    assert probe.converged
    assert np.abs(probe.weights - other.coef_[0]).max() < 1e-5
    assert np.abs(probe.predict(x) - other.predict_proba(z)[:, 1]).max() < 1e-5


def test_a_feature_without_spread_says_nothing() -> None:
    x = np.column_stack([np.arange(6.0), np.full(6, 0.1)])
    assert fit_probe(x, [0, 0, 0, 1, 1, 1]).weights[1] == 0.0


def test_bad_input_is_named() -> None:
    with pytest.raises(InvalidInputError, match="c: expected a number above 0, got 0"):
        fit_probe([[1.0], [2.0]], [0, 1], c=0)
    with pytest.raises(InvalidInputError, match="label: expected both 0 and 1, got one of them"):
        fit_probe([[1.0], [2.0]], [1, 1])
    with pytest.raises(InvalidInputError, match=r"hidden: expected shape \(N, d\), got \(2,\)"):
        fit_probe([1.0, 2.0], [0, 1])
