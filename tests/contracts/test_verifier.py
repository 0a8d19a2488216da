"""What holds for every verifier, whatever the evidence: gaps, ties, constants, few rows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from levelhead.guard.verifier import Verifier, fit_verifier

CLOSE = 1e-7
NAMES = ("stated", "agreement", "length")
VALUES = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, np.nan]) | st.floats(0.0, 1.0, width=32)


@st.composite
def evidence(draw: st.DrawFn) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Features in [0, 1] with gaps, and labels of both sorts."""
    n = draw(st.integers(4, 40))
    x = draw(hnp.arrays(np.float64, (n, 3), elements=VALUES))
    y = draw(hnp.arrays(np.float64, n, elements=st.sampled_from([0.0, 0.5, 1.0])))
    y[:2] = 0.0, 1.0
    return x, y


@settings(max_examples=60, deadline=None)
@given(rows=evidence(), l2=st.sampled_from([0.01, 1.0, 100.0]), seed=st.integers(0, 9))
def test_every_logistic_verifier(rows: tuple[Any, Any], l2: float, seed: int) -> None:
    x, y = rows
    kept = x.copy(), y.copy()
    fit = fit_verifier(x, NAMES, y, l2=l2, seed=seed)
    p = fit.predict(x)
    assert fit.converged
    assert p.shape == y.shape
    assert ((p >= 0.0) & (p <= 1.0)).all()
    assert abs(p.mean() - y.mean()) < CLOSE  # the intercept is free
    again = Verifier.from_state(json.loads(json.dumps(fit.state(), allow_nan=False)))
    assert np.array_equal(again.predict(x), p)
    order = np.random.default_rng(seed).permutation(y.size)
    other = fit_verifier(x[order], NAMES, y[order], l2=l2, seed=seed)
    assert np.abs(other.predict(x) - p).max() < CLOSE
    thrice = fit_verifier(x, NAMES, y, l2=3.0 * l2, weights=np.full(y.size, 3.0))
    assert np.abs(thrice.predict(x) - p).max() < CLOSE
    new = fit.predict(np.full((2, 3), np.nan))
    assert new[0] == new[1]
    assert 0.0 <= new[0] <= 1.0
    assert np.array_equal(x, kept[0], equal_nan=True)
    assert np.array_equal(y, kept[1])


@settings(max_examples=20, deadline=None)
@given(rows=evidence(), data=st.data())
def test_a_choice_of_the_penalty_depends_on_the_groups_alone(
    rows: tuple[Any, Any], data: st.DataObject
) -> None:
    x, y = rows
    groups = np.array(data.draw(st.lists(st.integers(0, 5), min_size=y.size, max_size=y.size)))
    order = np.random.default_rng(0).permutation(y.size)
    a = fit_verifier(x, NAMES, y, groups=groups)
    b = fit_verifier(x[order], NAMES, y[order], groups=groups[order])
    assert a.l2 == b.l2
    assert np.abs(a.predict(x) - b.predict(x)).max() < CLOSE
