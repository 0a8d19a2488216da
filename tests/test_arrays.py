"""Validated arrays: what passes is float64 and untouched, what fails names value and index."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from levelhead import _arrays as arrays
from levelhead.errors import InvalidInputError


def test_a_float64_array_is_not_copied_and_not_written_to() -> None:
    values = np.array([0.1, 0.9])
    values.flags.writeable = False
    assert arrays.vector("confidence", values) is values
    assert arrays.probabilities("confidence", values) is values


@pytest.mark.parametrize("values", [[0, 1], (0.0, 1.0), np.array([0, 1], np.int8), [False, True]])
def test_numbers_of_any_kind_become_float64(values: Any) -> None:
    out = arrays.probabilities("confidence", values)
    assert out.dtype == np.float64
    assert out.tolist() == [0.0, 1.0]


VECTORS: list[tuple[Any, str]] = [
    (["a"], "confidence: expected numbers, got list \"['a']\""),
    ([[0.5]], "confidence: expected one dimension (N,), got shape (1, 1); flatten it first"),
    (0.5, "confidence: expected one dimension (N,), got the single number 0.5; put it in a list"),
    (["0.5"], "confidence: expected numbers, got list \"['0.5']\""),
    (np.array(["0.5"], dtype=object), "confidence: expected numbers, got ndarray"),
    ([b"1"], "confidence: expected numbers, got list"),
    (np.array([1 + 2j]), "confidence: expected numbers, got ndarray '[1.+2.j]'"),
    ([1j, 0], "confidence: expected numbers, got list"),
    (np.array(["2020-01-01"], dtype="M8[D]"), "confidence: expected numbers, got ndarray"),
    ([10**400, 0], "confidence: expected numbers, got list"),
    (
        np.ma.array([0.5, 0.1, 0.2], mask=[0, 1, 1]),
        "confidence: expected an array without a mask, got 2 masked values; leave these samples out",
    ),
    ([], "confidence: expected at least one value, got none"),
    ([0.5, 1.5], "got 1.5 at index 1; percentages must be divided by 100"),
    ([0.5, -0.1], "confidence: expected values in [0, 1], got -0.1 at index 1"),
    ([np.nan, 0.5], "got nan at index 0; a missing value must be given as a record with a status"),
    ([np.inf], "confidence: expected values in [0, 1], got inf at index 0"),
]


@pytest.mark.parametrize(("values", "words"), VECTORS, ids=[words for _, words in VECTORS])
def test_what_is_no_confidence(values: Any, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        arrays.probabilities("confidence", values)
    assert words in str(caught.value)


def test_a_hint_for_the_command_line_is_not_given_to_python() -> None:
    with pytest.raises(InvalidInputError) as caught:
        arrays.probabilities("confidence", [90])
    assert "--" not in str(caught.value)


def test_an_array_whose_mask_is_empty_is_an_array() -> None:
    masked = np.ma.array([0.5, 0.25], mask=[0, 0])
    assert arrays.vector("x", masked).tolist() == [0.5, 0.25]
    assert not isinstance(arrays.vector("x", masked), np.ma.MaskedArray)
    assert arrays.codes("clusters", np.ma.array([7, 3], mask=False), 2).tolist() == [1, 0]
    hidden = np.ma.array([1, 0], mask=[1, 0])
    for take in (arrays.codes, arrays.integers, arrays.flags):
        with pytest.raises(InvalidInputError, match="^g: expected an array without a mask, got 1"):
            take("g", hidden, 2)


@pytest.mark.parametrize("value", ["1", None, [1.0], 1j, np.complex128(1), np.array([1.0]), b"1"])
def test_an_option_that_is_no_number(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="^eps: expected a number, got "):
        arrays.real("eps", value)


def test_options_are_numbers_of_any_kind() -> None:
    for value in (1, 1.0, True, np.float32(1), np.int8(1), np.bool_(True)):
        out = arrays.real("eps", value)
        assert (out, type(out)) == (1.0, float)
    with pytest.raises(InvalidInputError, match="^eps: expected a number, got one beyond 1e308$"):
        arrays.real("eps", 10**400)


def test_flags() -> None:
    assert arrays.flags("parsed", [1, 0.0, True], 3).tolist() == [True, False, True]
    with pytest.raises(
        InvalidInputError, match="^parsed: expected True or False, got 2 at index 1"
    ):
        arrays.flags("parsed", [1, 2], 2)


def test_a_vector_may_hold_anything_numeric() -> None:
    out = arrays.vector("x", [np.nan, np.inf, -3])
    np.testing.assert_array_equal(out, [np.nan, np.inf, -3.0])


def test_pairs_have_one_length_and_their_own_names() -> None:
    c, y, w = arrays.paired([0.5, 1], [1, 0.5])
    assert (c.tolist(), y.tolist(), w) == ([0.5, 1.0], [1.0, 0.5], None)
    with pytest.raises(
        InvalidInputError, match="outcome: expected 2 values, one for each of p, got 1"
    ):
        arrays.paired([0.5, 1], [1], names=("p", "outcome"))
    with pytest.raises(InvalidInputError, match=r"correct: expected values in \[0, 1\], got 2"):
        arrays.paired([0.5], [2])


WEIGHTS: list[tuple[Any, str]] = [
    ([1], "weights: expected 2 values, one per sample, got 1"),
    ([1, -1], "weights: expected finite values >= 0, got -1.0 at index 1"),
    ([np.inf, 1], "weights: expected finite values >= 0, got inf at index 0"),
    ([np.nan, 1], "weights: expected finite values >= 0, got nan at index 0"),
    ([0, 0], "weights: expected at least one value above 0, got only zeros"),
]


@pytest.mark.parametrize(("weights", "words"), WEIGHTS, ids=[words for _, words in WEIGHTS])
def test_what_are_no_weights(weights: Any, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        arrays.weights_or_none(weights, 2)
    assert words in str(caught.value)
    assert arrays.weights_or_none(None, 2) is None
    assert np.array_equal(arrays.weights_or_none([0, 2], 2), [0.0, 2.0])


CLASSES: list[tuple[Any, str]] = [
    ([["a", "b"]], "probs: expected numbers"),
    ([0.5, 0.5], "probs: expected shape (N, K) with N >= 1 and K >= 2, got (2,)"),
    ([[1.0]], "got (1, 1)"),
    (np.zeros((0, 2)), "got (0, 2)"),
    ([[0.5, 0.5], [1.2, -0.2]], "probs: expected values in [0, 1], got 1.2 at row 1"),
    ([[0.5, np.nan]], "got nan at row 0"),
    ([[0.5, 0.4]], "got 0.9 in row 0; logits must go through a softmax first"),
]


@pytest.mark.parametrize(("probs", "words"), CLASSES, ids=[words for _, words in CLASSES])
def test_what_are_no_class_probabilities(probs: Any, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        arrays.class_probabilities("probs", probs)
    assert words in str(caught.value)


def test_class_probabilities_may_be_rounded_as_float32_does() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 1000)).astype(np.float32)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert arrays.class_probabilities("probs", probs).dtype == np.float64


INTEGERS: list[tuple[Any, str]] = [
    ([0, 3], "labels: expected values >= 0 and below 3, got 3 at index 1"),
    ([-1, 0], "labels: expected values >= 0 and below 3, got -1 at index 0"),
    ([0.5, 1], "labels: expected whole numbers, got fractions or NaN"),
    ([np.nan, 1], "labels: expected whole numbers, got fractions or NaN"),
    (["a", "b"], "labels: expected whole numbers, got dtype"),
    ([1], "labels: expected shape (2,), got (1,)"),
]


@pytest.mark.parametrize(("values", "words"), INTEGERS, ids=[words for _, words in INTEGERS])
def test_what_are_no_class_indices(values: Any, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        arrays.integers("labels", values, 2, below=3)
    assert words in str(caught.value)


def test_class_indices() -> None:
    assert arrays.integers("labels", [2.0, 0.0], 2, below=3).tolist() == [2, 0]
    assert arrays.integers("labels", [5, 0], 2).dtype == np.int64
    with pytest.raises(InvalidInputError, match="expected values >= 0, got -5 at index 0"):
        arrays.integers("groups", [-5], 1)


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        (["b", "a", "b"], [1, 0, 1]),
        ([7, 3, 7], [1, 0, 1]),
        (np.array(["x", None, "x"], dtype=object), [1, 0, 1]),
        ([0.5, 0.5, 0.1], [1, 1, 0]),
        ([10, 9, 10], [1, 0, 1]),
        (np.array([2, "2", 1], dtype=object), [1, 1, 0]),
        ([None, 1, None], [1, 0, 1]),
        ([2**63 + 1, -1, 2**63 + 2], [1, 0, 2]),
        ([np.uint64(2**63 + 1), np.int64(-1), np.uint64(2**63 + 2)], [1, 0, 2]),
        ([2**70, 2**70 + 1, 2**70], [0, 1, 0]),
    ],
)
def test_labels_of_any_kind_become_codes(values: Any, codes: list[int]) -> None:
    out = arrays.codes("clusters", values, 3)
    assert out.dtype == np.int64
    assert out.tolist() == codes


def test_one_long_label_does_not_pad_the_others() -> None:
    labels = ["x" * 2_000_000, *(f"{i % 10}" for i in range(30))]
    for values in (labels, np.array(labels, dtype=object)):
        tracemalloc.start()
        out = arrays.codes("clusters", values, 31)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert out.tolist() == [10, *(i % 10 for i in range(30))]
        assert peak < 10_000_000


def test_codes_need_one_label_for_each_sample() -> None:
    with pytest.raises(InvalidInputError, match=r"clusters: expected shape \(3,\), one label per"):
        arrays.codes("clusters", ["a"], 3)
