"""Predictions through a calibrator: which rows count, what stays, what is recognized later."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from levelhead.calibrators import About, ClassTemperatureScaling, PlattScaling
from levelhead.errors import InvalidInputError, RecordError
from levelhead.recalibration import (
    calibrated,
    cross_calibrated,
    fit_rows,
    fit_sketch,
    overlap,
)
from levelhead.records import PROVENANCES, Predictions

ROUNDING = 1e-12


def answers(n: int = 200, *, seed: int = 0, truth: float = 0.6) -> Predictions:
    """Says 0.9, is right with probability `truth`; two samples a prompt."""
    rng = np.random.default_rng(seed)
    return Predictions.from_arrays(
        "answer",
        np.where(np.arange(n) % 2, 0.9, 0.8),
        (rng.random(n) < truth).astype(float),
        prompt_id=[f"q{seed}-{i // 2}" for i in range(n)],
        columns={"subject": [f"s{i % 4}" for i in range(n)]},
    )


def scored(n: int = 120, k: int = 4, *, seed: int = 0, scale: float = 3.0) -> Predictions:
    """Class scores `scale` times as large as the truth's."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, k))
    probs = np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True)
    target = np.array([rng.choice(k, p=p) for p in probs])
    logits = truth * scale
    said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions.from_arrays(
        "answer",
        said.max(axis=1),
        (said.argmax(axis=1) == target).astype(float),
        prompt_id=[str(i) for i in range(n)],
        columns={"logits": logits.tolist(), "target_index": target.tolist()},
    )


def test_rows_without_a_confidence_or_a_truth_are_not_fitted_on_and_stay() -> None:
    p = Predictions.from_arrays("answer", [0.9, None, 0.8, 0.7], [1, 0, None, 0])
    rows = fit_rows(p)
    assert rows.input == "confidence"
    assert rows.rows.tolist() == [0, 3]
    assert rows.X.tolist() == [0.9, 0.7]
    assert rows.y.tolist() == [1.0, 0.0]
    fitted = PlattScaling().fit([0.9, 0.9, 0.7, 0.7], [1, 0, 1, 0])
    out = calibrated(p, fitted, About(kind="answer", n=4))
    assert len(out) == 4
    assert math.isnan(out.confidence[1])
    assert out.status.tolist() == p.status.tolist()
    # a row without a truth has a confidence, which is calibrated like the others
    np.testing.assert_allclose(out.confidence[[0, 2, 3]], 0.5, atol=1e-6)
    assert out.columns["stated_confidence"].to_pylist() == [0.9, None, 0.8, 0.7]
    assert [PROVENANCES[c] for c in out.provenance] == [
        "computed",
        "missing",
        "computed",
        "computed",
    ]


def test_samples_of_a_prompt_are_one_group_and_a_column_can_be_instead() -> None:
    p = answers(40)
    assert len(set(fit_rows(p).groups.tolist())) == 20  # type: ignore[union-attr]
    assert len(set(fit_rows(p, split_by="subject").groups.tolist())) == 4  # type: ignore[union-attr]
    with pytest.raises(InvalidInputError, match="split_by: expected a column .* got 'gene'"):
        fit_rows(p, split_by="gene")


def test_class_scores_are_used_where_there_are_some() -> None:
    p = scored()
    rows = fit_rows(p)
    assert rows.input == "classes"
    assert rows.X.shape == (120, 4)
    np.testing.assert_array_equal(rows.X, np.array(p.columns["logits"].to_pylist()))
    assert fit_rows(p, "confidence").input == "confidence"
    with pytest.raises(InvalidInputError, match="expected class scores .* got subject"):
        fit_rows(answers(), "classes")


def test_class_scores_become_probabilities_and_the_answer_follows() -> None:
    p = scored()
    rows = fit_rows(p)
    fitted = ClassTemperatureScaling().fit(rows.X, rows.y)
    out = calibrated(p, fitted, About(kind="classes", n=len(p)))
    probs = np.array(out.columns["probs"].to_pylist())
    np.testing.assert_allclose(probs, fitted.predict(rows.X), atol=ROUNDING)
    np.testing.assert_allclose(out.confidence, probs.max(axis=1), atol=ROUNDING)
    target = np.array(p.columns["target_index"].to_pylist())
    np.testing.assert_array_equal(out.label, probs.argmax(axis=1) == target)
    assert "logits" not in out.columns.column_names
    assert out.confidence.mean() < p.confidence.mean()


def test_an_argmax_that_a_calibrator_changes_changes_what_is_right() -> None:
    class Swap:
        n_features_in_ = 2

        def predict(self, scores: np.ndarray) -> np.ndarray:
            probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            return probs[:, ::-1]

    p = Predictions.from_arrays(
        "answer",
        [0.8, 0.8],
        [1, 0],
        columns={"probs": [[0.8, 0.2], [0.8, 0.2]], "target_index": [0, 1]},
    )
    out = calibrated(p, Swap(), About(kind="classes", n=2))  # type: ignore[arg-type]
    assert out.label.tolist() == [0.0, 1.0]
    np.testing.assert_allclose(out.confidence, 0.8)


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


def test_a_calibrator_refuses_what_it_was_not_fitted_on() -> None:
    event = Predictions.from_arrays("event", [0.9, 0.2], [1, 0])
    platt = PlattScaling().fit([0.9, 0.9, 0.7, 0.7], [1, 0, 1, 0])
    with pytest.raises(InvalidInputError, match="expected answer predictions.*got event"):
        calibrated(event, platt, About(kind="answer", n=4))
    four = fit_rows(scored(k=4))
    fitted = ClassTemperatureScaling().fit(four.X, four.y)
    with pytest.raises(InvalidInputError, match="expected 4 classes.*got 3"):
        calibrated(scored(k=3), fitted, About(kind="classes", n=120))
    with pytest.raises(InvalidInputError, match="expected class scores .* got none"):
        calibrated(answers(), fitted, About(kind="classes", n=120))


def test_cross_calibration_never_uses_the_row_itself() -> None:
    p = answers(200)
    out = cross_calibrated(p, "platt")
    # changing one prompt's outcomes leaves that prompt's own calibrated confidences as they are
    label = p.label.copy()
    label[:2] = 1.0 - label[:2]
    changed = cross_calibrated(Predictions.from_arrays(
        "answer", p.confidence, label, prompt_id=p.prompt_id, columns=p.columns
    ), "platt")  # fmt: skip
    np.testing.assert_array_equal(out.confidence[:2], changed.confidence[:2])
    assert (out.confidence != changed.confidence).any()


def test_what_was_fitted_on_is_recognized() -> None:
    p, other = answers(seed=1), answers(seed=2)
    sketch = fit_sketch(p, np.arange(100))
    assert overlap(p.take(np.arange(100)), sketch).rows == 1.0
    assert overlap(p.take(np.arange(100, 200)), sketch).rows == 0.0
    assert overlap(p.take(np.arange(100, 200)), sketch).prompts == 0.0
    assert overlap(other, sketch).rows == 0.0
    assert math.isnan(overlap(p, None).rows)
    # other samples of the same prompts are told by the prompt
    again = Predictions.from_arrays(
        "answer", np.full(200, 0.33), np.ones(200), prompt_id=p.prompt_id
    )
    assert overlap(again, sketch).rows == 0.0
    assert overlap(again, sketch).prompts == 0.5


def test_without_prompt_ids_the_whole_file_is_recognized() -> None:
    p = Predictions.from_arrays("answer", [0.9, 0.8, 0.7], [1, 0, 1])
    sketch = fit_sketch(p, np.arange(3))
    assert overlap(p, sketch).rows == 1.0
    assert overlap(p.take(np.arange(2)), sketch).rows == 0.0
    assert math.isnan(overlap(p, sketch).prompts)


def test_a_column_of_nulls_among_the_scores_is_left_alone() -> None:
    p = scored(30)
    lists = p.columns["logits"].to_pylist()
    lists[3] = None
    columns = p.columns.set_column(
        p.columns.column_names.index("logits"), "logits", pa.array(lists, pa.list_(pa.float64()))
    )
    confidence = [None if i == 3 else float(c) for i, c in enumerate(p.confidence)]
    holed = Predictions.from_arrays("answer", confidence, p.label, columns=columns)
    rows = fit_rows(holed)
    assert 3 not in rows.rows.tolist()
    out = calibrated(holed, ClassTemperatureScaling().fit(rows.X, rows.y), About("classes", 29))
    assert math.isnan(out.confidence[3])
    assert out.columns["probs"].to_pylist()[3] is None
