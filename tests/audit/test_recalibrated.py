"""Models beside themselves through a calibrator, and who is compared with whom."""

from __future__ import annotations

import dataclasses

import pytest

from levelhead.audit.model_records import ModelRecords
from levelhead.audit.recalibrated import recalibrated
from levelhead.errors import InvalidInputError
from levelhead.records import Predictions


def records(name: str, n: int = 4, max_rows: int = 100) -> ModelRecords:
    one = ModelRecords(name, "assert", ())
    one.add(
        Predictions.from_arrays("answer", [0.9] * n, [1, 0] * (n // 2)), f"{name}.parquet", max_rows
    )
    return one


def halved(predictions: Predictions) -> Predictions:
    return dataclasses.replace(predictions, confidence=predictions.confidence / 2)


def test_each_model_is_followed_by_itself() -> None:
    base, tuned = records("base"), records("tuned")
    both = recalibrated([base, tuned], halved, " (platt)", 100)
    assert [one.name for one in both.models] == ["base", "base (platt)", "tuned", "tuned (platt)"]
    assert both.models[0] is base
    assert both.models[3].rows().confidence.tolist() == [0.45] * 4
    assert both.models[3].files == ["tuned.parquet"]
    assert base.rows().confidence.tolist() == [0.9] * 4


def test_pairs_are_arms_then_before_and_after_then_arms_after() -> None:
    models = [records("base"), records("neutral"), records("sycophantic")]
    pairs = recalibrated(models, halved, "'", 100).pairs
    assert [(a.name, b.name) for a, b in pairs] == [
        ("neutral", "base"),
        ("sycophantic", "base"),
        ("base'", "base"),
        ("neutral'", "neutral"),
        ("sycophantic'", "sycophantic"),
        ("neutral'", "base'"),
        ("sycophantic'", "base'"),
    ]


def test_tallied_records_are_refused() -> None:
    with pytest.raises(
        InvalidInputError, match="big: expected at most 2 records .* got 4; put them"
    ):
        recalibrated([records("big", max_rows=2)], halved, "'", 2)
