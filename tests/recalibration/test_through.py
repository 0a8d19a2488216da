"""Predictions through a calibrator: what changes, what stays, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from levelhead.calibrators import About, ClassTemperatureScaling, PlattScaling
from levelhead.errors import InvalidInputError
from levelhead.recalibration import (
    calibrated,
    cross_calibrated,
    fit_rows,
    missing_share,
)
from levelhead.records import PROVENANCES, STATUSES, Predictions

ROUNDING = 1e-12
PLATT = PlattScaling().fit([0.9, 0.9, 0.7, 0.7], [1, 0, 1, 0])

Make = Callable[..., Predictions]


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


def test_class_scores_become_probabilities_and_the_answer_follows(scored: Make) -> None:
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


def test_a_calibrator_refuses_what_it_was_not_fitted_on(answers: Make, scored: Make) -> None:
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


def test_cross_calibration_never_uses_the_row_itself(answers: Make) -> None:
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


def test_a_column_of_nulls_among_the_scores_is_left_alone(scored: Make) -> None:
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


def test_rows_without_a_confidence_are_counted_with_a_prior_and_refusals_are_not(
    answers: Make, holed: Make
) -> None:
    # 30 rows state nothing: 29 have a truth, 5 of these are right
    assert missing_share(holed()) == pytest.approx(6 / 31)
    weight = np.ones(60)
    weight[1] = 3.0  # the first missing one, which is right
    assert missing_share(holed(weight=weight)) == pytest.approx(8 / 33)
    assert missing_share(answers()) is None
    unknown = Predictions.from_arrays("answer", [0.9, None], [1, None])
    assert missing_share(unknown) is None
    refusals = Predictions.from_arrays(
        "answer", [0.9, None], [1, 0], status=[0, STATUSES.index("refusal")]
    )
    assert missing_share(refusals) is None


def test_rows_without_a_confidence_get_their_own_share(holed: Make) -> None:
    p = holed()
    out = calibrated(p, PLATT, About(kind="answer", n=4, missing=0.2))
    refused = p.status == STATUSES.index("refusal")
    unstated = (p.status != 0) & ~refused
    assert (out.confidence[unstated] == 0.2).all()
    assert (out.status[unstated] == 0).all()
    assert {PROVENANCES[c] for c in out.provenance[unstated]} == {"fallback"}
    np.testing.assert_array_equal(
        out.columns["stated_confidence"].to_numpy(zero_copy_only=False), p.confidence
    )
    assert out.columns["stated_confidence"].null_count == (p.status != 0).sum()
    assert np.isnan(out.confidence[refused]).all()
    assert (out.status[refused] == p.status[refused]).all()
    np.testing.assert_array_equal(out.label, p.label)
    # with a calibrator that knows of none they stay as they are
    np.testing.assert_array_equal(calibrated(p, PLATT, About(kind="answer", n=4)).status, p.status)


def test_class_calibrators_give_it_to_rows_without_scores(scored: Make) -> None:
    p = scored(30)
    lists = p.columns["logits"].to_pylist()
    lists[3] = None
    columns = p.columns.set_column(
        p.columns.column_names.index("logits"), "logits", pa.array(lists, pa.list_(pa.float64()))
    )
    confidence = [None if i == 3 else float(c) for i, c in enumerate(p.confidence)]
    gap = Predictions.from_arrays("answer", confidence, p.label, columns=columns)
    rows = fit_rows(gap)
    fitted = ClassTemperatureScaling().fit(rows.X, rows.y)
    out = calibrated(gap, fitted, About("classes", 29, missing=0.25))
    assert out.confidence[3] == 0.25
    assert out.columns["stated_confidence"].to_pylist()[3] is None
    alone = calibrated(gap.take(np.array([3])), fitted, About("classes", 29, missing=0.25))
    assert alone.confidence.tolist() == [0.25]
    assert cross_calibrated(gap, "temperature").confidence[3] == 0.5  # nothing else to go by


def test_out_of_fold_no_row_without_a_confidence_counts_for_itself(holed: Make) -> None:
    p = holed(120, hits=12)
    unstated = np.flatnonzero((p.status != 0) & (p.status != STATUSES.index("refusal")))
    out = cross_calibrated(p, "platt")
    assert (out.status[unstated] == 0).all()
    # 59 with a truth, 12 right, 5 folds of 12: 47 to 48 others of which 9 or 10 are right
    values = out.confidence[unstated]
    allowed = {(h + 1) / (n + 2) for h in (9, 10) for n in (47, 48)}
    assert min(min(abs(v - a) for a in allowed) for v in values) < 1e-12
    assert max(min(abs(v - a) for a in allowed) for v in values) < 1e-12
    label = p.label.copy()
    label[unstated[0]] = 1.0 - label[unstated[0]]
    one = Predictions.from_arrays("answer", p.confidence, label, status=p.status)
    # all of one prompt: none of the others is left, so the prior alone speaks
    same = Predictions.from_arrays(
        "answer", p.confidence, label, status=p.status,
        prompt_id=["q" if s else str(i) for i, s in enumerate(p.status)],
    )  # fmt: skip
    assert set(cross_calibrated(same, "platt").confidence[unstated].tolist()) == {0.5}
    assert cross_calibrated(one, "platt").confidence[unstated].std() < 0.02


def test_a_refusal_with_class_scores_stays_a_refusal() -> None:
    scores = [[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.5, 0.0]]
    p = Predictions.from_arrays(
        "answer",
        [0.88, None, 0.95, 0.62],
        [1, 0, 1, 0],
        status=[0, STATUSES.index("refusal"), 0, 0],
        columns={"logits": scores, "target_index": [0, 0, 0, 1], "answer": ["A", None, "A", "A"]},
    )
    fitted = ClassTemperatureScaling().fit(scores, [0, 0, 0, 1])
    out = calibrated(p, fitted, About(kind="classes", n=4))
    assert out.status.tolist() == p.status.tolist()
    assert math.isnan(out.confidence[1])
    assert out.columns["answer"].to_pylist() == ["A", None, "A", "A"]


def test_an_answer_in_words_is_null_where_another_class_is_the_likeliest_now() -> None:
    class Swap:
        n_features_in_ = 2

        def predict(self, scores: np.ndarray) -> np.ndarray:
            probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            return np.where(scores[:, :1] > 2.0, probs, probs[:, ::-1])

    p = Predictions.from_arrays(
        "answer",
        [0.95, 0.62],
        [1, 0],
        columns={
            "logits": [[3.0, 0.0], [0.5, 0.0]],
            "target_index": [0, 1],
            "answer": ["A", "A"],
        },
    )
    out = calibrated(p, Swap(), About(kind="classes", n=2))  # type: ignore[arg-type]
    assert out.columns["answer"].to_pylist() == ["A", None]
    assert out.label.tolist() == [1.0, 1.0]


def test_weights_reach_the_calibrator_across_folds(answers: Make) -> None:
    p = answers(200)
    weight = np.where(p.label == 1.0, 5.0, 1.0)
    heavy = Predictions.from_arrays(
        "answer", p.confidence, p.label, prompt_id=p.prompt_id, weight=weight
    )
    plain = cross_calibrated(p, "platt").confidence.mean()
    assert cross_calibrated(heavy, "platt").confidence.mean() > plain + 0.1


def test_the_order_of_the_rows_changes_no_cross_calibrated_value(answers: Make) -> None:
    p = answers(200)
    order = np.random.default_rng(3).permutation(200)
    straight = cross_calibrated(p, "isotonic").confidence
    np.testing.assert_allclose(
        cross_calibrated(p.take(order), "isotonic").confidence, straight[order], atol=ROUNDING
    )
