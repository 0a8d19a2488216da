"""Numbers and lists that stand in a file as text."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from levelhead.errors import InvalidInputError
from levelhead.guard._spelled import is_text, spelled_lists, spelled_numbers


def test_numbers() -> None:
    words = pa.array([" 0.25", "1e-1", "", None, "NaN", "n/a", "True", "false", "-3"])
    found = spelled_numbers(words, "p", "numbers")
    np.testing.assert_array_equal(found, [0.25, 0.1, *[math.nan] * 4, 1.0, 0.0, -3.0])
    with pytest.raises(
        InvalidInputError, match="p: expected numbers, got 'high' in row 2; correct"
    ):
        spelled_numbers(pa.array([None, "high"]), "p", "numbers")


def test_lists() -> None:
    words = pa.array(["[1, 2.5]", "", None, "[]", "null", "7"])
    found = spelled_lists(words, "s", "scores").to_pylist()
    assert found == [[1.0, 2.5], None, None, [], None, [7.0]]
    nested = spelled_lists(pa.array(["[[1, 2], []]", ""]), "s", "scores")
    assert nested.to_pylist() == [[[1, 2], []], None]
    assert spelled_lists(pa.array(["1", "", "2"]), "s", "scores").to_pylist() == [1, None, 2]
    assert pa.types.is_null(spelled_lists(pa.array(["", "null"]), "s", "scores").type)


@pytest.mark.parametrize("word", ["[1, 2", "0.1 0.2", '"a"', "true", "{}", "[" * 100_000])
def test_no_lists(word: str) -> None:
    with pytest.raises(InvalidInputError, match="s: expected JSON lists of scores, .* in row 2; "):
        spelled_lists(pa.array(["[1]", word]), "s", "scores")


def test_lists_of_several_kinds() -> None:
    with pytest.raises(InvalidInputError, match="got lists of several kinds; write them alike"):
        spelled_lists(pa.array(["[1]", "[[1]]"]), "s", "scores")


def test_what_is_text() -> None:
    assert is_text(pa.string())
    assert is_text(pa.large_string())
    assert is_text(pa.string_view())
    assert not is_text(pa.float64())
