"""Losses, gradients and Hessians of the softmax models, against loops and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from levelhead.calibrators._softmax import (
    Columns,
    MatrixModel,
    Model,
    TemperatureModel,
    VectorModel,
    losses,
    soften,
)

K, N = 3, 40
MODELS = [TemperatureModel(), VectorModel(K), MatrixModel(K)]
NAMES = ["temperature", "vector", "matrix"]


def columns(weighted: bool, n: int = N) -> Columns:
    rng = np.random.default_rng(0)
    w = rng.random(n) * 2 if weighted else None
    return Columns.of(rng.normal(size=(K, n)), rng.integers(0, K, n), w)


def theta(model: Model) -> np.ndarray:
    return np.random.default_rng(1).normal(size=model.size)


def table(model: Model, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(W, b) of any of the models."""
    if isinstance(model, TemperatureModel):
        return point[0] * np.eye(K), np.zeros(K)
    if isinstance(model, VectorModel):
        return np.diag(point[:K]), point[K:]
    full = point.reshape(K, K + 1)
    return full[:, :-1], full[:, -1]


def slow_loss(model: Model, rows: Columns, point: np.ndarray) -> float:
    w, b = table(model, point)
    total = 0.0
    for i in range(rows.labels.size):
        scores = w @ rows.x[:, i] + b
        weight = 1.0 if rows.weights is None else rows.weights[i]
        total += weight * (logsumexp(scores) - scores[rows.labels[i]])
    return total


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_sums_against_a_loop_and_finite_differences(model: Model, weighted: bool):
    rows, point = columns(weighted), theta(model)
    sums = model.sums(rows, point)
    assert sums.loss == pytest.approx(slow_loss(model, rows, point), rel=1e-12)
    assert sums.total == pytest.approx(N if rows.weights is None else rows.weights.sum())
    step = 1e-5
    for j in range(model.size):
        move = np.zeros(model.size)
        move[j] = step
        slope = (slow_loss(model, rows, point + move) - slow_loss(model, rows, point - move)) / (
            2 * step
        )
        assert sums.gradient[j] == pytest.approx(slope, abs=1e-6)
        up = model.sums(rows, point + move, second=False).gradient
        down = model.sums(rows, point - move, second=False).gradient
        np.testing.assert_allclose(sums.hessian[j], (up - down) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_blocks_and_parts_add_up(model: Model):
    rows, point = columns(True, n=70_000), theta(model)
    assert len(list(rows.blocks())) > 2
    whole = model.sums(rows, point)
    first, second = rows.part(slice(0, 20_000)), rows.part(slice(20_000, None))
    parts = model.sums(first, point) + model.sums(second, point)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-12)
    np.testing.assert_allclose(parts.hessian, whole.hessian, rtol=1e-9, atol=1e-9)
    rest = whole - model.sums(first, point)
    np.testing.assert_allclose(rest.gradient, model.sums(second, point).gradient, atol=1e-9)
    assert rest.total == pytest.approx(second.total)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_row_losses_and_single_precision(model: Model):
    rows, point = columns(True), theta(model)
    own = losses(model, rows, point)
    assert np.dot(own, rows.weights) == pytest.approx(slow_loss(model, rows, point), rel=1e-12)
    light = losses(model, rows.single(), point)
    assert light.dtype == np.float64
    np.testing.assert_allclose(light, own, atol=1e-5)


def test_block_diagonal_of_the_vector_model():
    rows, model = columns(True), VectorModel(K)
    point = theta(model)
    full, i = model.sums(rows, point).hessian, np.arange(K)
    expected = [full[i, i], full[i, i + K], full[i + K, i + K]]
    np.testing.assert_allclose(model.block_diagonal(rows, point), expected, atol=1e-12)


def test_huge_scores_do_not_overflow():
    scores = np.array([[1e4, -1e4], [0.0, 1e4]])
    np.testing.assert_array_equal(soften(scores, np.array([1, 1])), [1e4, 0.0])
    np.testing.assert_array_equal(scores, [[1.0, 0.0], [0.0, 1.0]])


def test_columns_taken_in_another_order():
    rows = columns(True)
    order = np.arange(N)[::-1]
    turned = rows.take(order)
    assert np.array_equal(turned.x, rows.x[:, ::-1])
    assert np.array_equal(turned.labels, rows.labels[::-1])
    assert turned.weights is not None
    assert rows.weights is not None
    assert np.array_equal(turned.weights, rows.weights[::-1])
