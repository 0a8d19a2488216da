"""A sketch tells which share of some keys was in a set: exactly while it is small, closely beyond."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelhead._sketch import Sketch
from levelhead.errors import InvalidInputError

WORST = 5.0
"""Standard errors that an estimate may be off; the draws are fixed."""


def keys(start: int, stop: int) -> list[str]:
    return [f"prompt {i}" for i in range(start, stop)]


def hashed(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def test_small_sets_are_exact() -> None:
    sketch = Sketch.of(["a", "b", "b", "c"])
    assert sketch.complete
    assert sketch.hashes.tolist() == sorted(map(hashed, "abc"))
    assert sketch.seen(["a", "b", "c"]) == 1.0
    assert sketch.seen(["x", "y"]) == 0.0
    assert sketch.seen(["a", "x", "x", "x"]) == 0.5  # a repeated key counts once


@given(st.sets(st.text(max_size=3), max_size=30), st.sets(st.text(max_size=3), max_size=30))
def test_a_complete_sketch_equals_the_set(fitted: set[str], asked: set[str]) -> None:
    got = Sketch.of(fitted).seen(asked)
    if asked:
        assert got == len(fitted & asked) / len(asked)
    else:
        assert math.isnan(got)


@given(st.lists(st.integers(0, 200).map(str), max_size=60), st.integers(1, 20))
def test_the_order_does_not_matter_and_the_smallest_are_kept(listed: list[str], size: int) -> None:
    sketch = Sketch.of(listed, size)
    assert sketch == Sketch.of(reversed(listed), size) == Sketch.of(sorted(set(listed)), size)
    distinct = sorted({hashed(key) for key in listed})
    assert sketch.hashes.tolist() == distinct[:size]
    assert sketch.complete == (len(distinct) <= size)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
def test_beyond_its_size_it_estimates(share: float) -> None:
    n, m, size = 200_000, 100_000, 1000  # two chunks and more
    sketch = Sketch.of(keys(0, n), size)
    assert not sketch.complete
    assert sketch.hashes.size == size
    overlap = int(share * m)
    asked = keys(n - overlap, n) + keys(10 * n, 10 * n + m - overlap)
    told = m * size / n  # how many of the asked keys can be told, on average
    error = math.sqrt(max(share * (1.0 - share), 0.0) / told)
    assert abs(sketch.seen(asked) - share) <= WORST * error


def test_it_says_where_it_cannot_tell() -> None:
    assert math.isnan(Sketch.of([]).seen([]))
    assert Sketch.of([]).seen(["a"]) == 0.0  # nothing was fitted on, so it was not
    sketch = Sketch.of(keys(0, 10_000), 3)
    large = next(key for key in keys(10_000, 20_000) if hashed(key) > sketch.hashes[-1])
    assert math.isnan(sketch.seen([large]))


def test_json_round_trip() -> None:
    for sketch in (Sketch.of([]), Sketch.of(["a", "b"]), Sketch.of(keys(0, 50), 20)):
        again = Sketch.from_json(json.loads(json.dumps(sketch.to_json())))
        assert again == sketch
        assert hash(again) == hash(sketch)
    assert Sketch.of(["a"]) != Sketch.of(["b"])
    assert Sketch.of(["a"]) != "a"
    digits = Sketch.of(["a"]).to_json()["hashes"]
    assert digits == f"{hashed('a'):016x}"


@pytest.mark.parametrize(
    "entries",
    [
        {"hashes": "0" * 15},
        {"hashes": "g" * 16},
        {"hashes": "0" * 15 + "2" + "0" * 15 + "1"},  # falling
        {"hashes": ("0" * 16) * 2},  # twice the same
        {"hashes": None},
        {"size": 0},
        {"size": 1},
        {"size": True},
        {"size": 2.0},
        {"complete": False},  # cut, and yet not full
        {"complete": 1},
    ],
)
def test_another_json_is_refused(entries: dict[str, Any]) -> None:
    value = {"size": 5, "complete": True, "hashes": "0" * 15 + "1" + "0" * 15 + "2"}
    assert Sketch.from_json(value).hashes.tolist() == [1, 2]
    with pytest.raises(InvalidInputError) as error:
        Sketch.from_json(value | entries)
    assert str(error.value) == "sketch: expected size, complete and increasing hashes, got others"
    with pytest.raises(InvalidInputError, match="^sketch: "):
        Sketch.from_json([value])


def test_wrong_keys_and_sizes_are_refused() -> None:
    wrong: Any = [1, 2]
    with pytest.raises(InvalidInputError, match="^keys: expected texts, got int '1'$"):
        Sketch.of(wrong)
    with pytest.raises(InvalidInputError, match="^keys: expected texts, got int '1'$"):
        Sketch.of(["a"]).seen(wrong)
    with pytest.raises(InvalidInputError, match="^keys: expected several texts, got a single one"):
        Sketch.of("prompt")
    for size in (0, -1, 2.5, True, "3"):
        given_size: Any = size
        with pytest.raises(InvalidInputError, match="^size: expected a whole number of at least 1"):
            Sketch.of(["a"], given_size)


def test_broken_texts_are_keys_too() -> None:
    assert Sketch.of(["\ud800"]).seen(["\ud800", "\ud801"]) == 0.5


def test_hashes_are_spread_evenly() -> None:
    counts = np.bincount(
        (Sketch.of(keys(0, 4096)).hashes >> np.uint64(60)).astype(int), minlength=16
    )
    assert abs(counts - 256).max() < WORST * math.sqrt(256)


def test_each_key_is_told_on_its_own() -> None:
    known, beyond = Sketch.of(["a", "b"]).told(["c", "b", "b", "a"])
    assert known.tolist() == [False, True, True, True]
    assert not beyond.any()
    keys = [str(i) for i in range(1000)]
    sample = Sketch.of(keys, size=100)
    known, beyond = sample.told(keys)
    assert known.sum() == 100
    assert (known != beyond).all()  # every key was in the set: known, or it cannot be told
