"""Tests of top-label and classwise calibration errors."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.metrics.binned import ece
from levelhead.metrics.multiclass import classwise_ece, top_label_ece

ROUNDING = 1e-12


def data(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(k), n)
    return probs, rng.integers(0, k, n)


def loop_ece(c: list[float], y: list[float], n_bins: int) -> float:
    """Bins by comparison with their edges, one sample at a time."""
    total = 0.0
    for b in range(n_bins):
        inside = [i for i, v in enumerate(c) if b / n_bins < v <= (b + 1) / n_bins or v == b == 0]
        total += abs(sum(c[i] - y[i] for i in inside))
    return total / len(c)


@pytest.mark.parametrize("k", [2, 3, 10])
def test_top_label_against_a_loop(k: int) -> None:
    probs, labels = data(300, k, k)
    c = [float(max(row)) for row in probs]
    y = [float(int(np.argmax(row)) == label) for row, label in zip(probs, labels, strict=True)]
    assert top_label_ece(probs, labels) == pytest.approx(loop_ece(c, y, 10), abs=ROUNDING)
    for norm in ("l2", "max"):
        expected = ece(c, y, n_bins=7, norm=norm)
        value = top_label_ece(probs, labels, n_bins=7, norm=norm)
        assert value == pytest.approx(expected, abs=ROUNDING)
    assert top_label_ece(probs, labels, bins="mass") == ece(c, y, bins="mass")


@pytest.mark.parametrize("k", [2, 4])
def test_classwise_against_a_loop(k: int) -> None:
    probs, labels = data(200, k, k)
    expected = np.mean(
        [loop_ece(probs[:, j].tolist(), [float(v == j) for v in labels], 10) for j in range(k)]
    )
    assert classwise_ece(probs, labels) == pytest.approx(expected, abs=ROUNDING)


def test_many_chunks_and_many_classes() -> None:
    probs, labels = data(40_000, 10, 5)
    expected = ece(probs.max(axis=1), probs.argmax(axis=1) == labels)
    assert top_label_ece(probs, labels) == pytest.approx(expected, abs=ROUNDING)
    wide = np.full((3, 200_000), 0.0)
    wide[:, 7] = 1.0
    assert top_label_ece(wide, [7, 7, 8]) == pytest.approx(1 / 3)


def test_tied_classes_share_being_right() -> None:
    assert top_label_ece([[0.5, 0.5]], [0]) == 0.0
    assert top_label_ece([[0.5, 0.5]], [1]) == 0.0
    third = [[0.4, 0.4, 0.2]]
    assert top_label_ece(third, [0]) == pytest.approx(0.1)
    assert top_label_ece(third, [1]) == pytest.approx(0.1)
    assert top_label_ece(third, [2]) == pytest.approx(0.4)


def test_weights_equal_repetition() -> None:
    probs, labels = data(50, 3, 9)
    w = np.arange(50) % 4
    i = np.repeat(np.arange(50), w)
    for metric in (top_label_ece, classwise_ece):
        expected = metric(probs[i], labels[i])
        assert metric(probs, labels, weights=w) == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize("metric", [top_label_ece, classwise_ece])
def test_errors(metric: object) -> None:
    assert callable(metric)
    with pytest.raises(InvalidInputError, match=r"^probs: expected shape \(N, K\)"):
        metric([0.5, 0.5], [0])
    with pytest.raises(
        InvalidInputError, match=r"^probs: expected rows that sum to 1, got 1\.2 in"
    ):
        metric([[0.5, 0.5], [0.6, 0.6]], [0, 1])
    with pytest.raises(InvalidInputError, match=r"^probs: expected values in \[0, 1\], got -1"):
        metric([[-1.0, 2.0]], [0])
    with pytest.raises(InvalidInputError, match=r"^probs: expected values in \[0, 1\], got nan"):
        metric([[np.nan, 1.0]], [0])
    with pytest.raises(
        InvalidInputError, match=r"^labels: expected values >= 0 and below 2, got 2"
    ):
        metric([[0.5, 0.5]], [2])
    with pytest.raises(InvalidInputError, match=r"^norm: expected one of l1, l2, max, got 'l3'"):
        metric([[0.5, 0.5]], [1], norm="l3")
