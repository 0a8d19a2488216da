"""L-BFGS on functions whose minimum is known."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.calibrators._minimize import MEMORY, Memory, minimize
from levelhead.calibrators._newton import Penalty


def quadratic(seed: int = 0, size: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    return root @ root.T + np.eye(size), rng.normal(size=size)


def same(gradient: np.ndarray) -> np.ndarray:
    return gradient


@pytest.mark.parametrize("strength", [0.0, 5.0])
def test_a_quadratic_with_its_penalty(strength: float):
    a, b = quadratic()
    penalty = Penalty(np.full(30, strength), np.ones(30))
    fit = minimize(
        lambda t: (0.5 * float(t @ a @ t) - float(b @ t), a @ t - b),
        np.zeros(30),
        penalty,
        same,
        Memory(),
        tolerance=1e-14,
    )
    exact = np.linalg.solve(a + strength * np.eye(30), b + strength)
    assert fit.converged
    np.testing.assert_allclose(fit.theta, exact, atol=1e-5)


def test_an_exact_inverse_needs_one_step():
    a, b = quadratic()
    inverse = np.linalg.inv(a)
    fit = minimize(
        lambda t: (0.5 * float(t @ a @ t) - float(b @ t), a @ t - b),
        np.zeros(30),
        Penalty(np.zeros(30), np.zeros(30)),
        lambda g: inverse @ g,
        Memory(),
        tolerance=1e-12,
    )
    assert fit.iterations == 1


def test_memory_of_another_penalty_leads_to_the_same_end():
    a, b = quadratic()

    def steps(memory: Memory, strength: float, start: np.ndarray) -> tuple[int, np.ndarray]:
        fit = minimize(
            lambda t: (0.5 * float(t @ a @ t) - float(b @ t), a @ t - b),
            start,
            Penalty(np.full(30, strength), np.zeros(30)),
            same,
            memory,
            tolerance=1e-10,
        )
        return fit.iterations, fit.theta

    memory = Memory()
    _, theta = steps(memory, 1.0, np.zeros(30))
    assert len(memory.pairs) == MEMORY
    known, one = steps(memory, 1.2, theta)
    fresh, other = steps(Memory(), 1.2, theta)
    assert known <= 2 * fresh
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_long_valley_and_a_limit_of_steps():
    def rosenbrock(t: np.ndarray) -> tuple[float, np.ndarray]:
        x, y = t
        slope = np.array([-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)])
        return float(100 * (y - x * x) ** 2 + (1 - x) ** 2), slope

    free = Penalty(np.zeros(2), np.zeros(2))
    start = np.array([-1.2, 1.0])
    fit = minimize(rosenbrock, start, free, same, Memory(), tolerance=1e-14)
    np.testing.assert_allclose(fit.theta, [1.0, 1.0], atol=1e-5)
    cut = minimize(rosenbrock, start, free, same, Memory(), tolerance=1e-14, max_iterations=3)
    assert not cut.converged
    assert cut.iterations == 3
    assert rosenbrock(cut.theta)[0] < rosenbrock(start)[0]
