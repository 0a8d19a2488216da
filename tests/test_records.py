"""The record: what it accepts, what it refuses, and that nothing gets lost on the way."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelhead.errors import InvalidInputError
from levelhead.readers import load, write
from levelhead.records import (
    KINDS,
    PROVENANCES,
    STATUSES,
    Kind,
    Prediction,
    Predictions,
    as_ids,
    as_strings,
    concat,
)


def same(a: Predictions, b: Predictions) -> None:
    """Equal in every field, NaN equal to NaN, types of the columns included."""
    assert (a.kind, a.model, len(a)) == (b.kind, b.model, len(b))
    for name in ("confidence", "label", "status", "provenance"):
        first, second = getattr(a, name), getattr(b, name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    assert (a.weight is None) == (b.weight is None)
    if a.weight is not None and b.weight is not None:
        np.testing.assert_array_equal(a.weight, b.weight)
    assert (a.prompt_id is None) == (b.prompt_id is None)
    if a.prompt_id is not None and b.prompt_id is not None:
        assert a.prompt_id.to_pylist() == b.prompt_id.to_pylist()
    assert a.columns.to_pydict() == b.columns.to_pydict()


def example(kind: Kind = "answer") -> Predictions:
    return Predictions.from_arrays(
        kind,
        [0.9, None, 1.0, None, 0.0],
        [1, 0, None, 1, 0],
        model="base",
        status=[0, 1, 0, 4, 0],
        provenance=[0, 4, 1, 4, 3],
        prompt_id=["a", "a", "b", None, "c"],
        weight=[1, 0, 2.5, 1, 1],
        columns={
            "answer": ["A", "é", None, '"quoted"\n', ""],
            "level": [1, 2, None, 4, 5],
            "share": [0.1, 1 / 3, None, 1e-300, -0.0],
            "probs": [[0.9, 0.1], None, [], [0.5, 0.5], [1.0, 0.0]],
        },
    )


def test_missing_confidences_become_records_with_a_status() -> None:
    p = Predictions.from_arrays("answer", [0.9, None, float("nan")], [1, 0, None])
    assert p.status_counts() == {"ok": 1, "missing": 2}
    assert p.provenance_counts() == {"reported": 1, "missing": 2}
    assert p.row(1) == Prediction(None, 0.0, None, "missing", "missing")
    assert p.row(2).correct is None
    assert p.weight is None
    assert p.clusters is None


def test_an_event_has_an_outcome_and_an_answer_is_correct() -> None:
    event = Predictions.from_arrays("event", [0.3], [1]).row(0)
    answer = Predictions.from_arrays("answer", [0.3], [1]).row(0)
    assert (event.outcome, event.correct) == (1.0, None)
    assert (answer.outcome, answer.correct) == (None, 1.0)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"kind": "both"}, "kind: expected one of answer, event, got 'both'"),
    ({"label": [1, 2]}, "correct: expected 0 or 1 (or missing), got 2.0 in row 2"),
    ({"label": [0.5, 1]}, "correct: expected 0 or 1 (or missing), got 0.5 in row 1"),
    ({"label": [1, float("inf")]}, "correct: expected 0 or 1 (or missing), got inf in row 2"),
    ({"kind": "event", "label": [1, -1]}, "outcome: expected 0 or 1"),
    ({"label": [1]}, "label: expected 2 values, got 1"),
    ({"label": ["a", "b"]}, "label: expected numbers, got list"),
    ({"confidence": [0.5, 1.5]}, "got 1.5 with status 'ok' in row 2"),
    ({"confidence": [-0.1, 0.5]}, "got -0.1 with status 'ok' in row 1"),
    ({"confidence": [0.5, float("inf")]}, "got inf with status 'ok' in row 2"),
    ({"confidence": [[0.5], [0.6]]}, "confidence: expected one dimension"),
    ({"status": [0, 1]}, "got 0.6 with status 'missing' in row 2"),
    ({"confidence": [0.5, None], "status": [0, 0]}, "got nan with status 'ok' in row 2"),
    ({"confidence": [0.5, 7], "status": [0, 1]}, "got 7.0 with status 'missing' in row 2"),
    ({"status": [0, 5]}, "status: expected codes 0 to 4, got 5 in row 2"),
    ({"status": [0, -1]}, "status: expected codes 0 to 4, got -1 in row 2"),
    ({"status": [0]}, "status: expected 2 values, got 1"),
    ({"provenance": [0, 9]}, "provenance: expected codes 0 to 4, got 9 in row 2"),
    ({"weight": [1, -1]}, "weight: expected finite values >= 0, got -1.0 in row 2"),
    ({"weight": [float("nan"), 1]}, "weight: expected finite values >= 0, got nan in row 1"),
    ({"weight": [1]}, "weight: expected 2 values, got 1"),
    ({"prompt_id": ["a"]}, "prompt_id: expected 2 values, got 1"),
    ({"columns": {"a": [1]}}, "columns: expected 2 rows, got 1"),
]


@pytest.mark.parametrize(("change", "words"), BAD, ids=[words for _, words in BAD])
def test_what_is_refused(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"kind": "answer", "confidence": [0.5, 0.6], "label": [1, 0]}
    with pytest.raises(InvalidInputError) as caught:
        Predictions.from_arrays(**arguments | change)
    assert words in str(caught.value)


def test_the_input_is_not_written_to_and_not_shared() -> None:
    confidence = np.array([0.5, np.nan])
    p = Predictions.from_arrays("answer", confidence, [1, 0])
    p.confidence[0] = 0.1
    np.testing.assert_array_equal(confidence, [0.5, np.nan])


@pytest.mark.parametrize("suffix", ["parquet", "pq", "jsonl", "ndjson"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_back_exactly_what_was_written(
    suffix: str, kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / f"base.{suffix}"
    write(path, example(kind))
    same(load([path])["base"], example(kind))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


CONFIDENCE = st.one_of(
    st.none(), st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.1, 0.3, 5e-324, 1 - 2**-53])
)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)


@given(
    st.lists(
        st.tuples(
            CONFIDENCE,
            st.sampled_from([0, 1, None]),
            st.integers(1, 4),
            st.integers(0, 4),
            st.none() | TEXT,
            st.floats(0, 1e300),
            st.none() | TEXT,
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(KINDS),
    st.sampled_from(["parquet", "jsonl"]),
)
def test_any_predictions_survive_a_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], kind: Kind, suffix: str
) -> None:
    confidence, label, status, provenance, ids, weight, text = zip(*rows, strict=True)
    p = Predictions.from_arrays(
        kind,
        confidence,
        label,
        model="m",
        status=[0 if c is not None else s for c, s in zip(confidence, status, strict=True)],
        provenance=provenance,
        prompt_id=ids,
        weight=weight,
        columns={"text": pa.array(text, pa.string())},
    )
    path = tmp_path_factory.mktemp("round") / f"m.{suffix}"
    write(path, p)
    same(load([path])["m"], p)


def test_pickling_keeps_everything() -> None:
    same(pickle.loads(pickle.dumps(example())), example())


def test_take_by_mask_and_by_index() -> None:
    p = example()
    by_mask = p.take(np.array([False, True, False, False, True]))
    same(by_mask, p.take(np.array([1, 4])))
    assert by_mask.columns["answer"].to_pylist() == ["é", ""]
    assert by_mask.prompt_id is not None
    assert by_mask.prompt_id.to_pylist() == ["a", "c"]
    assert p.take(np.array([4, 0])).confidence.tolist() == [0.0, 0.9]
    assert len(p.take(np.zeros(5, dtype=bool))) == 0


def test_concat_is_the_rows_in_order() -> None:
    p = example()
    same(concat([p.take(np.array([0, 1])), p.take(np.array([2])), p.take(np.array([3, 4]))]), p)
    assert concat([p]) is p


def test_concat_fills_what_a_block_lacks() -> None:
    a = Predictions.from_arrays("answer", [0.5], [1], columns={"x": [1]}, prompt_id=["p"])
    b = Predictions.from_arrays("answer", [0.6], [0], columns={"y": ["u"]}, weight=[2.0])
    c = Predictions.from_arrays("answer", [0.7], [0])
    both = concat([a, b, c])
    assert both.columns.to_pydict() == {"x": [1, None, None], "y": [None, "u", None]}
    assert both.prompt_id is not None
    assert both.prompt_id.to_pylist() == ["p", None, None]
    assert both.n_without_prompt == 2
    assert concat([c, b]).prompt_id is None
    assert concat([c, b]).n_without_prompt == 0
    assert both.weight is not None
    assert both.weight.tolist() == [1.0, 2.0, 1.0]
    assert concat([c, c]).columns.num_columns == 0


def test_concat_makes_strings_of_columns_that_do_not_agree() -> None:
    a = Predictions.from_arrays("answer", [0.5], [1], columns={"x": [1], "z": [None]})
    b = Predictions.from_arrays("answer", [0.6], [0], columns={"x": ["u"], "z": [1.5]})
    assert concat([a, b]).columns.to_pydict()["x"] == ["1", "u"]
    assert len(concat([a, b])) == 2


def test_concat_refuses_nothing_and_a_mixture() -> None:
    with pytest.raises(InvalidInputError, match="at least one block"):
        concat([])
    a, b = (Predictions.from_arrays(kind, [0.5], [1]) for kind in KINDS)
    with pytest.raises(InvalidInputError, match="answers and events together"):
        concat([a, b])


@pytest.mark.parametrize(
    ("ids", "clusters"),
    [
        (["a", "b", "a"], [0, 1, 0]),
        (["a", "b", "c"], None),
        ([None, None, "a"], None),
        ([None, "a", "a"], [1, 0, 0]),
        ([None, None, "a", "a"], [1, 2, 0, 0]),
        ([7, 7, 8], [0, 0, 1]),
        (["", " \t", float("nan"), None, "a", "a"], [1, 2, 3, 4, 0, 0]),
        (["", "", "nan", "NaN"], None),
    ],
)
def test_clusters_are_the_prompts_with_several_samples(
    ids: list[Any], clusters: list[int] | None
) -> None:
    n = len(ids)
    p = Predictions.from_arrays("answer", [0.5] * n, [1] * n, prompt_id=ids)
    assert (None if p.clusters is None else p.clusters.tolist()) == clusters
    if p.prompt_id is not None:
        parts = concat([p.take(np.array([i])) for i in range(n)])
        assert (None if parts.clusters is None else parts.clusters.tolist()) == clusters


def test_ids_of_any_kind_become_strings() -> None:
    assert as_strings([1, "a", None, Path("x")]).to_pylist() == ["1", "a", None, "x"]
    assert as_strings(pa.array([1, None])).to_pylist() == ["1", None]
    assert as_strings(pa.array(["a", "b", "a"]).dictionary_encode()).to_pylist() == ["a", "b", "a"]
    assert as_strings(pa.array([[1], None])).to_pylist() == ["[1]", None]


def test_ids_of_raw_bytes_are_hexadecimal_and_blank_ones_are_none() -> None:
    digests = [bytes(range(i, i + 16)) for i in (200, 201, 200)]
    shown = [d.hex() for d in digests]
    for kind in (pa.binary(), pa.large_binary(), pa.binary(16)):
        column = pa.array([*digests, None], kind)
        assert as_ids(column).to_pylist() == [*shown, None]
        assert as_ids(column.dictionary_encode()).to_pylist() == [*shown, None]
    assert as_ids([*digests, b"caf\xc3\xa9", b"\0\1", b" "]).to_pylist() == [
        *shown, "caf\u00e9", "0001", None,
    ]  # fmt: skip
    parts = pa.chunked_array([pa.array(["a", " "]), pa.array([None, "nan"])])
    assert as_ids(parts).to_pylist() == ["a", None, None, None]
    assert as_ids(pa.array([1.5, float("nan")])).to_pylist() == ["1.5", None]
    assert as_ids(pa.array([[1], None])).to_pylist() == ["[1]", None]
    assert as_ids(pa.array(["Nan", " a "])).to_pylist() == ["Nan", " a "]


def test_ids_that_are_all_blank_are_no_ids() -> None:
    p = Predictions.from_arrays("answer", [0.5, 0.5], [1, 0], prompt_id=["", None])
    assert p.prompt_id is None
    assert p.n_without_prompt == 0
    q = Predictions.from_arrays("answer", [0.5, 0.5], [1, 0], prompt_id=["", "a"])
    assert q.n_without_prompt == 1


def test_the_table_has_canonical_names_and_says_what_it_is() -> None:
    table = example("event").to_table()
    assert table.column_names[:4] == ["confidence", "outcome", "status", "provenance"]
    assert table.schema.metadata == {
        b"levelhead.schema_version": b"1",
        b"levelhead.kind": b"event",
    }
    assert set(table["status"].to_pylist()) <= set(STATUSES)
    assert set(table["provenance"].to_pylist()) <= set(PROVENANCES)
    assert table["confidence"].null_count == 2


def test_many_predictions_are_shown_in_one_line() -> None:
    p = Predictions.from_arrays("event", [0.5] * 5000, [1] * 5000, model="a model")
    assert repr(p) == "Predictions(kind='event', n=5000, model='a model')"
