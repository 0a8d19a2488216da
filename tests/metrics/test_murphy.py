"""Tests of Murphy's decomposition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelhead.errors import InvalidInputError
from levelhead.metrics.binned import bin_index
from levelhead.metrics.murphy import murphy_decomposition

ROUNDING = 1e-12

rows = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 20).map(lambda k: k / 20), st.floats(0.0, 1.0)),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.integers(0, 3),
    ),
    min_size=1,
)


def brute_force(c: np.ndarray, y: np.ndarray, n_bins: int) -> tuple[float, ...]:
    """Loops over samples and bins; correctness must be 0 or 1."""
    n, k = len(c), bin_index(c, n_bins)
    rel = res = var = cov = 0.0
    for b in range(n_bins):
        inside = [i for i in range(n) if k[i] == b]
        if not inside:
            continue
        conf = sum(c[i] for i in inside) / len(inside)
        acc = sum(y[i] for i in inside) / len(inside)
        rel += len(inside) / n * (conf - acc) ** 2
        res += len(inside) / n * (acc - sum(y) / n) ** 2
        var += sum((c[i] - conf) ** 2 for i in inside) / n
        cov += 2 * sum((c[i] - conf) * (y[i] - acc) for i in inside) / n
    rate = sum(y) / n
    brier = sum((a - b) ** 2 for a, b in zip(c, y, strict=True)) / n
    return rel, res, rate * (1 - rate), var, cov, brier


@given(rows, st.integers(1, 12), st.sampled_from(["width", "mass"]), st.booleans())
def test_the_parts_add_up_to_the_brier_score(
    data: list[tuple[float, float, int]], n_bins: int, bins: str, weighted: bool
) -> None:
    c, y, w = (np.array(v, dtype=float) for v in zip(*data, strict=True))
    if weighted and not w.any():
        return
    weights = w if weighted else None
    d = murphy_decomposition(c, y, n_bins=n_bins, bins=bins, weights=weights)
    whole = d.reliability - d.resolution + d.uncertainty + d.within_bin
    assert whole == pytest.approx(d.brier, abs=ROUNDING)
    assert d.within_bin == pytest.approx(d.within_variance - d.within_covariance, abs=ROUNDING)
    if weighted:
        i = np.repeat(np.arange(c.size), w.astype(int))
        other = murphy_decomposition(c[i], y[i], n_bins=n_bins, bins=bins)
        assert d.brier == pytest.approx(other.brier, abs=ROUNDING)
        assert d.reliability == pytest.approx(other.reliability, abs=ROUNDING)
        assert d.within_covariance == pytest.approx(other.within_covariance, abs=ROUNDING)


def test_against_brute_force() -> None:
    rng = np.random.default_rng(0)
    for n_bins in (1, 3, 10):
        c = np.round(rng.random(60), 2)
        y = (rng.random(60) < c).astype(float)
        d = murphy_decomposition(c, y, n_bins=n_bins)
        mine = (
            d.reliability,
            d.resolution,
            d.uncertainty,
            d.within_variance,
            d.within_covariance,
            d.brier,
        )
        assert mine == pytest.approx(brute_force(c, y, n_bins), abs=ROUNDING)


def test_by_hand() -> None:
    # One bin: conf .5, acc .5; var_b(c) = .0625, cov_b(c, y) = .125, so brier = .25 + .0625 - .25.
    d = murphy_decomposition([0.25, 0.75], [0, 1], n_bins=1)
    assert (d.reliability, d.resolution, d.uncertainty) == (0.0, 0.0, 0.25)
    assert (d.within_variance, d.within_covariance, d.brier) == (0.0625, 0.25, 0.0625)


def test_a_fraction_of_correctness_counts_as_two_samples() -> None:
    half = murphy_decomposition([0.7, 0.2], [0.5, 1.0])
    split = murphy_decomposition([0.7, 0.7, 0.2], [1, 0, 1], weights=[1, 1, 2])
    assert half.brier == pytest.approx(split.brier, abs=ROUNDING)
    assert half.uncertainty == pytest.approx(split.uncertainty, abs=ROUNDING)


def test_empty_input_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match=r"^confidence: expected at least one value, got"):
        murphy_decomposition([], [])
