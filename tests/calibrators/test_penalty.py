"""The choice among temperature, vector and matrix: what it takes where, and its standard errors."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.calibrators._folds import content_folds
from levelhead.calibrators._penalty import Chosen, _Trial, choose_penalty
from levelhead.calibrators._softmax import Columns


def world(n: int, mix: float, bias: float, k: int = 4, seed: int = 0) -> Columns:
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.6, (n, k))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    x = 2.0 * z + mix * np.roll(z, 1, axis=1) + bias * np.linspace(1, -1, k)
    return Columns.of((x - x.mean(axis=1, keepdims=True)).T.copy(), y, None)


def chosen(rows: Columns, min_rows: float = 30) -> Chosen:
    folds = content_folds(rows.x, rows.labels, 5)
    return choose_penalty(rows, folds, None, rows.labels.size, min_rows)


def test_mixed_classes_want_a_matrix():
    found = chosen(world(3000, 1.0, 1.0))
    assert found.best.method == "matrix"
    assert not found.short
    assert found.best.loss == min(one.loss for one in found.candidates)


def test_a_letter_bias_wants_a_vector_where_rows_are_few():
    found = chosen(world(300, 0.0, 2.0))
    assert found.short
    assert found.best.method == "vector"


def test_few_rows_take_the_temperature_unless_it_loses_clearly():
    for seed in range(20):
        found = chosen(world(100, 0.0, 0.3, seed=seed))
        assert found.short
        assert found.best.method == "temperature"


def test_more_parameters_than_rows_are_no_candidates():
    def methods(n: int, k: int) -> set[str]:
        return {one.method for one in chosen(world(n, 0.1, 1.0, k=k)).candidates}

    assert methods(60, 30) == {"temperature"}
    assert methods(300, 60) == {"temperature", "vector"}
    assert methods(400, 60) == {"temperature", "vector", "matrix"}


def test_candidates_are_tried_from_the_likelier_end():
    many = [one.weights.off_diagonal for one in chosen(world(3000, 1.0, 1.0)).candidates[2:]]
    assert many[0] == 0.0
    assert many == sorted(many)
    few = [one.weights.off_diagonal for one in chosen(world(300, 1.0, 1.0)).candidates[2:]]
    assert few == sorted(few, reverse=True)


def trial(n: int, weights: np.ndarray | None = None, units: np.ndarray | None = None) -> _Trial:
    rows = Columns.of(np.zeros((2, n)), np.zeros(n, np.int64), weights)
    return _Trial([rows], units, float(n if weights is None else weights.sum()))


def test_standard_errors_by_hand():
    d = np.array([1.0, 2.0, 3.0, 6.0])
    assert trial(4).standard_error(d) == pytest.approx(np.std(d) / 2)
    repeated = np.repeat(d, [1, 2, 0, 3])
    weighted = trial(4, np.array([1.0, 2.0, 0.0, 3.0])).standard_error(d)
    assert weighted == pytest.approx(np.std(repeated) / np.sqrt(6))
    # groups {0, 1} and {2, 3}: centered sums -3 and 3
    assert trial(4, None, np.array([0, 0, 1, 1])).standard_error(d) == pytest.approx(
        np.sqrt(18) / 4
    )


def test_one_fold_is_enough_for_the_hopeless():
    rng = np.random.default_rng(0)
    noise, base = rng.normal(0, 0.1, 100), rng.random(500)
    assert trial(500).hopeless(base[:100] + 0.05 + noise, base)
    assert not trial(500).hopeless(base[:100] + 0.01 + noise, base)
    assert not trial(500).hopeless(base[:100] - 0.05 + noise, base)
