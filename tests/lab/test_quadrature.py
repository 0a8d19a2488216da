"""The quadrature for one law, against sums over groups written out."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from levelhead._arrays import FloatArray
from levelhead.lab import _quadrature
from levelhead.lab._quadrature import Quadrature, power

CLOSE = 1e-9


def by_groups(
    values: FloatArray, q: FloatArray, n: int, eps: float, ddof: int, apart: bool
) -> FloatArray:
    """E[(x - mean) / (s + eps) | x] over all groups, those of equal rewards left out."""
    out = np.zeros(values.size)
    for k, rest in itertools.product(
        range(values.size), itertools.product(range(values.size), repeat=n if apart else n - 1)
    ):
        group = values[list(rest)] if apart else values[[k, *rest]]
        if len(set(group.tolist())) > 1:
            weight = math.prod(q[j] for j in rest)
            out[k] += weight * (values[k] - group.mean()) / (group.std(ddof=ddof) + eps)
    return out


@pytest.mark.parametrize("values", [[0.0, 1.0], [-4.6, -0.7, -0.011, -0.01], [-1.0, 0.0, 1e-5]])
@pytest.mark.parametrize(("n", "ddof"), [(2, 1), (2, 0), (3, 1), (5, 0)])
@pytest.mark.parametrize("eps", [0.0, 1e-6, 0.3, 100.0])
def test_both_integrals(values: list[float], n: int, ddof: int, eps: float) -> None:
    x = np.array(values)
    q = np.array([0.6, 0.1, 0.3, 0.0][: x.size])
    q[0] += 1.0 - q.sum()
    quadrature = Quadrature(x, n, eps, ddof, 1)
    within = by_groups(x, q, n, eps, ddof, apart=False)
    assert quadrature.within(q[None])[0] == pytest.approx(within, abs=CLOSE)
    apart = by_groups(x, q, n, eps, ddof, apart=True)
    scale = max(1.0, np.abs(apart).max())
    assert quadrature.apart(q[None])[0] == pytest.approx(apart, abs=CLOSE * scale)


def test_by_hand() -> None:
    """Of two values 0 and 1, a mixed pair standardizes to +-1/sqrt(2): half of the groups."""
    got = Quadrature(np.array([0.0, 1.0]), 2, 0.0, 1, 1).within(np.array([[0.5, 0.5]]))
    assert got[0] == pytest.approx([-0.5 / math.sqrt(2.0), 0.5 / math.sqrt(2.0)], abs=CLOSE)
    damped = Quadrature(np.array([0.0, 1.0]), 2, 1.0, 1, 1).within(np.array([[0.5, 0.5]]))
    assert damped[0, 1] == pytest.approx(0.5 * 0.5 / (1.0 + math.sqrt(0.5)), abs=CLOSE)


def test_equal_others_are_left_undivided() -> None:
    quadrature = Quadrature(np.array([0.0, 1.0, 5.0]), 3, 0.0, 1, 1)
    got = quadrature.from_equal(np.array([[0.5, 0.25, 0.25]]))[0]
    assert got == pytest.approx(
        [-(0.25**3) - 5 * 0.25**3, 0.125 - 4 * 0.25**3, 5 * 0.125 + 4 * 0.25**3]
    )


@pytest.mark.parametrize("exponent", [0, 1, 2, 7, 999])
def test_whole_powers(exponent: int) -> None:
    base = np.array([0.0, 0.3, 0.999, 1.0])
    kept = base.copy()
    assert power(base, exponent) == pytest.approx(base.astype(np.longdouble) ** exponent, rel=1e-12)
    assert (base == kept).all()


@pytest.mark.parametrize("n", [2, 5])
def test_many_rewards_give_what_all_of_them_in_full_give(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    x = np.sort(np.log(draw.uniform(0.01, 0.99, 60)))
    q = draw.dirichlet(np.full(60, 0.3), size=3)
    full = Quadrature(x, n, 1e-6, 1, 1)
    assert isinstance(full.kernel, np.ndarray)
    monkeypatch.setattr(_quadrature, "DENSE", 0)
    monkeypatch.setattr(_quadrature, "PORTION", 2 * full.center.size)  # portions of 2 and of 1
    sparse = Quadrature(x, n, 1e-6, 1, 1)
    assert sparse.kernel.nnz < 0.5 * full.kernel.size  # type: ignore[union-attr]
    assert sparse.within(q) == pytest.approx(full.within(q), abs=1e-12)
    assert sparse.apart(q) == pytest.approx(full.apart(q), abs=1e-12 * np.abs(full.apart(q)).max())


def test_six_hundred_rewards_fit_into_little_memory() -> None:
    """All rewards at all nodes would be 3 GB."""
    x = np.sort(np.log(np.random.default_rng(0).uniform(0.01, 0.99, 600)))
    tracemalloc.start()
    quadrature = Quadrature(x, 8, 1e-6, 1, 1)
    got = quadrature.within(np.full((1, 600), 1.0 / 600.0))[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500e6
    assert (np.diff(got) > 0.0).all()
    assert got.sum() == pytest.approx(0.0, abs=1e-7)  # the advantages of a group sum to 0
