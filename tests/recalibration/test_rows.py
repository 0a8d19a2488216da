"""Which rows of a file a calibrator is fitted on, and what must stay together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from levelhead.errors import InvalidInputError, RecordError
from levelhead.recalibration import (
    fit_rows,
)
from levelhead.records import Predictions

ROUNDING = 1e-12

Make = Callable[..., Predictions]


def test_samples_of_a_prompt_are_one_group_and_a_column_can_be_instead(answers: Make) -> None:
    p = answers(40)
    assert len(set(fit_rows(p).groups.tolist())) == 20  # type: ignore[union-attr]
    assert len(set(fit_rows(p, split_by="subject").groups.tolist())) == 4  # type: ignore[union-attr]
    with pytest.raises(InvalidInputError, match="split_by: expected a column .* got 'gene'"):
        fit_rows(p, split_by="gene")


def test_class_scores_are_used_where_there_are_some(answers: Make, scored: Make) -> None:
    p = scored()
    rows = fit_rows(p)
    assert rows.input == "classes"
    assert rows.X.shape == (120, 4)
    np.testing.assert_array_equal(rows.X, np.array(p.columns["logits"].to_pylist()))
    assert fit_rows(p, "confidence").input == "confidence"
    with pytest.raises(InvalidInputError, match="expected class scores .* got subject"):
        fit_rows(answers(), "classes")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], [1.0, float("nan")]], r"logits: expected finite numbers, got nan"),
        ([[1.0, 2.0], [1.0, float("inf")]], r"logits: expected finite numbers, got inf"),
        ([[1.0, 2.0], [1.0, 2.0, 3.0]], r"expected 2 classes as in the first row, got 3"),
    ],
)
def test_scores_that_are_no_scores(rows: list[list[float]], message: str) -> None:
    p = Predictions.from_arrays(
        "answer", [0.9, 0.9], [1, 0], columns={"logits": rows, "target_index": [0, 1]}
    )
    with pytest.raises(RecordError, match=message + r".*\(row 2 of 'model'\)"):
        fit_rows(p)


def test_groups_do_not_depend_on_the_order_of_the_rows(answers: Make) -> None:
    p = answers(60)
    order = np.random.default_rng(1).permutation(60)
    straight, mixed = fit_rows(p).groups, fit_rows(p.take(order)).groups
    assert straight is not None
    assert mixed is not None
    np.testing.assert_array_equal(straight[order], mixed)
