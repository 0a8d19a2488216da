"""Slices are ranked by the damage that they do, with intervals that know about prompts."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.audit.convention import convention
from levelhead.audit.model_records import OTHER, ModelRecords
from levelhead.audit.slices import summarize_slices
from levelhead.metrics import ece
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


def test_the_largest_slices_are_told_apart_in_every_column() -> None:
    many = ["big"] * 50 + [f"v{i}" for i in range(300)]
    columns = {"s": many[::-1], "t": ["a", "b"] * 175}
    given = {"confidence": [0.5] * 350, "label": [1, 0] * 175, "columns": columns}
    found = {
        (r.column, r.value): r.n for r in summarize_slices(records(("s", "t"), **given), RULES, 0.9)
    }
    assert found["s", "big"] == 50
    assert (found["t", "a"], found["t", "b"]) == (175, 175)
    folded = summarize_slices(records(("s", "t"), max_rows=10, **given), RULES, 0.9)
    found = {(r.column, r.value): r.n for r in folded}
    assert (found["t", "a"], found["t", "b"]) == (175, 175)


def test_a_slice_of_no_weight_and_a_long_value_do_no_harm() -> None:
    model = records(
        ("s",),
        confidence=[0.5] * 3,
        label=[1, 0, 1],
        weight=[1.0, 1.0, 0.0],
        columns={"s": ["x", "y" * 3_000_000, "empty"]},
    )
    found = summarize_slices(model, RULES, 0.95)
    assert len(found) == 2
    assert max(len(row.value) for row in found) < 300


def test_events_are_sliced_as_claims() -> None:
    model = records(
        ("s",), kind="event", confidence=[0.1, 0.1], label=[0, 1], columns={"s": ["x", "x"]}
    )
    (row,) = summarize_slices(model, RULES, 0.95)
    assert row.confidence == pytest.approx(0.9)
    assert row.accuracy == 0.5
    assert row.ece == pytest.approx(0.4)  # P(event) 0.1 against 0.5


def test_the_convention_bins_the_slices_too_and_events_keep_their_reading() -> None:
    rng = np.random.default_rng(0)
    p, y = np.round(rng.random(300) * 20) / 20, rng.integers(0, 2, 300).astype(float)
    model = records(("s",), kind="event", confidence=p, label=y, columns={"s": ["x"] * 300})
    for rules in (RULES, convention("rlcr")):
        (row,) = summarize_slices(model, rules, 0.95)
        assert row.ece == pytest.approx(ece(p, y, **rules.binning))
    assert ece(p, y) != pytest.approx(ece(p, y, **convention("rlcr").binning))
