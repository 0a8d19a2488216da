"""Slices are ranked by the damage that they do, with intervals that know about prompts."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.audit.collect import OTHER, ModelRecords
from levelhead.audit.convention import convention
from levelhead.audit.slices import summarize_slices
from levelhead.records import Predictions

RULES = convention("levelhead")


def records(
    by: tuple[str, ...], kind: str = "answer", max_rows: int = 10**6, **given: object
) -> ModelRecords:
    model = ModelRecords("m", "assert", by)
    model.add(Predictions.from_arrays(kind, **given), "f", max_rows)  # type: ignore[arg-type]
    return model


def test_by_hand() -> None:
    """a: three rows at 0.9, one right, gap 0.5667; b: one row at 0.6, right, gap -0.4."""
    model = records(
        ("part",),
        confidence=[0.9, 0.9, 0.9, 0.6],
        label=[1, 0, 0, 1],
        columns={"part": ["a", "a", "a", "b"]},
    )
    a, b = summarize_slices(model, RULES, 0.95)
    assert (a.value, a.n, b.value, b.n) == ("a", 3, "b", 1)
    assert a.gap == pytest.approx(0.9 - 1 / 3)
    assert b.gap == pytest.approx(-0.4)
    assert a.damage == pytest.approx(3 * (0.9 - 1 / 3) / (3 * (0.9 - 1 / 3) + 0.4))
    assert (b.gap_low, b.gap_high) == (None, None)  # one record has no spread
    # Standard error of the mean of (-0.1, 0.9, 0.9) with ddof 1 is sqrt(1/3 / 3) = 1/3.
    assert a.gap_high - a.gap == pytest.approx(1.959964 / 3, abs=1e-5)


def test_samples_of_a_prompt_count_as_one() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200).astype(float)
    once = records(("s",), confidence=np.full(200, 0.5), label=y, columns={"s": ["x"] * 200})
    again = records(
        ("s",),
        confidence=np.full(800, 0.5),
        label=np.repeat(y, 4),
        prompt_id=np.repeat(np.arange(200), 4),
        columns={"s": ["x"] * 800},
    )
    (one,), (four,) = (summarize_slices(m, RULES, 0.95) for m in (once, again))
    assert one.gap_high - one.gap == pytest.approx(four.gap_high - four.gap)


def test_tallied_slices_have_the_same_numbers() -> None:
    rng = np.random.default_rng(0)
    given = {
        "confidence": np.round(rng.random(500), 2),
        "label": rng.integers(0, 2, 500).astype(float),
        "columns": {"s": [("x", "y", "z")[i % 3] for i in range(500)]},
    }
    kept = summarize_slices(records(("s",), **given), RULES, 0.95)
    folded = summarize_slices(records(("s",), max_rows=10, **given), RULES, 0.95)
    for a, b in zip(kept, folded, strict=True):
        assert (a.value, a.n) == (b.value, b.n)
        for name in ("gap", "ece", "trust", "damage", "gap_low", "gap_high"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), abs=1e-9), name


def test_missing_values_are_a_slice_and_many_values_share_one() -> None:
    values = [None, *(str(i) for i in range(300))]
    model = records(("s",), confidence=[0.5] * 301, label=[1] * 301, columns={"s": values})
    found = {row.value: row.n for row in summarize_slices(model, RULES, 0.95)}
    assert len(found) == 201
    assert found[OTHER] == 101
    assert sum(found.values()) == 301


def test_events_are_sliced_as_claims() -> None:
    model = records(
        ("s",), kind="event", confidence=[0.1, 0.1], label=[0, 1], columns={"s": ["x", "x"]}
    )
    (row,) = summarize_slices(model, RULES, 0.95)
    assert row.confidence == pytest.approx(0.9)
    assert row.accuracy == 0.5
    assert row.ece == pytest.approx(0.4)  # P(event) 0.1 against 0.5
