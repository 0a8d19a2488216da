"""Ranks and inequality, by hand and beside numpy."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.diagnose.updates._bits import FORMATS
from levelhead.diagnose.updates._rank import (
    SKETCH,
    Rank,
    effective_rank,
    from_values,
    gini,
    rank_of,
    sketched,
    stable_rank,
)
from levelhead.diagnose.updates._view import NOISE_EFFECTIVE, NOISE_STABLE
from levelhead.errors import InvalidInputError


def sketch(change: np.ndarray, rng: np.random.Generator, rows: int = 1000) -> np.ndarray:
    """The sketch of a change from a matrix of zeros, read so many rows at a time."""
    after = change.astype(np.float32).view(np.uint32)
    blocks = [after[i : i + rows] for i in range(0, len(after), rows)]
    pairs = ((np.zeros_like(block), block) for block in blocks)
    return sketched(pairs, change.shape, FORMATS["float32"], rng)


def test_effective_rank_by_hand() -> None:
    assert effective_rank([2.0, 2.0, 2.0, 0.0]) == pytest.approx(3.0)
    # p = 3/4, 1/4: the entropy is ln 4 - 3/4 ln 3.
    assert effective_rank([3.0, 1.0]) == pytest.approx(4 / 3**0.75)
    assert effective_rank([0.0, 0.0]) is None


def test_a_random_matrix_of_rank_five_has_an_effective_rank_of_nearly_five() -> None:
    rng = np.random.default_rng(0)
    found = rank_of(rng.normal(size=(300, 5)) @ rng.normal(size=(5, 300)))
    assert found is not None
    assert found.rank == 5
    assert found.effective == pytest.approx(4.96, abs=0.04)
    assert found.full == 300


def test_stable_rank_by_hand() -> None:
    assert stable_rank([2.0, 1.0]) == 1.25
    assert stable_rank([0.0]) is None
    assert stable_rank(np.full(7, 1e-30)) == pytest.approx(7.0)


def test_gini_is_half_the_mean_difference_over_the_mean() -> None:
    x = np.random.default_rng(1).random(23)
    slow = sum(abs(a - b) for a in x for b in x) / (2 * len(x) ** 2 * x.mean())
    assert gini(x) == pytest.approx(slow)
    assert gini([0.0, 0.0, 0.0, 1.0]) == 0.75
    assert gini([0.0]) is None


@pytest.mark.parametrize("of", [effective_rank, stable_rank, gini])
@pytest.mark.parametrize("bad", [[], [-1.0], [np.nan]])
def test_bad_input(of: object, bad: list[float]) -> None:
    assert callable(of)
    with pytest.raises(InvalidInputError, match="expected finite numbers of 0 or more"):
        of(bad)


def test_rank_is_numpys() -> None:
    rng = np.random.default_rng(2)
    for r in (1, 3, 40):
        x = (rng.normal(size=(60, r)) @ rng.normal(size=(r, 40))).astype(np.float32)
        assert rank_of(x).rank == np.linalg.matrix_rank(x) == r


@pytest.mark.parametrize("shape", [(700, 900), (2000, 30), (40, 3000)])
def test_a_sketch_keeps_a_low_rank(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(shape[0], 9)) @ rng.normal(size=(9, shape[1]))
    small = sketch(x, rng, rows=128)
    assert small.shape == (min(shape[0], SKETCH), min(shape[1], SKETCH))
    assert rank_of(small, "sketch").rank == 9
    # Signs make it as long as the matrix on average.
    assert np.sum(small**2) == pytest.approx(np.sum(x**2), rel=0.5)


def test_the_rank_does_not_depend_on_the_size_of_the_change() -> None:
    rng = np.random.default_rng(5)
    x = (rng.normal(size=(60, 3)) @ rng.normal(size=(3, 40))).astype(np.float32)
    for factor in (1e-9, 1e9):
        found = rank_of(x * np.float32(factor))
        assert found is not None
        assert found.rank == 3


def test_a_change_that_overflows_has_no_rank() -> None:
    assert rank_of(np.array([[np.inf, 1.0], [1.0, 2.0]], np.float32)) is None


def spectrum(values: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A matrix with these singular values."""
    left, right = (np.linalg.qr(rng.normal(size=(n, values.size)))[0] for n in shape)
    return ((left * values) @ right.T).astype(np.float32)


def test_what_a_sketch_keeps_of_known_spectra() -> None:
    rng, shape = np.random.default_rng(6), (600, 500)

    def of(values: np.ndarray) -> Rank:
        found = rank_of(sketch(spectrum(values, shape, rng), rng), "sketch")
        assert found is not None
        return found

    # Few directions: rank, effective and stable rank are nearly the matrix's.
    few = of(np.array([4.0, 2.0, 1.0, 0.5, 0.01]))
    assert few.rank == 5
    assert few.effective == pytest.approx(effective_rank([4.0, 2.0, 1.0, 0.5, 0.01]), rel=0.15)
    assert few.stable == pytest.approx(stable_rank([4.0, 2.0, 1.0, 0.5, 0.01]), rel=0.15)
    # Many: the rank is kept, the others fall short, as is said of a sketch.
    many = of(np.ones(120))
    assert many.rank == 120
    assert many.effective is not None
    assert many.stable is not None
    assert 90 < many.effective < 118
    assert 20 < many.stable < 60


def test_single_entries_never_raise_the_rank_of_a_sketch() -> None:
    x, rng = np.zeros((600, 500), np.float32), np.random.default_rng(7)
    x[rng.permutation(600)[:100], rng.permutation(500)[:100]] = 1.0
    found = rank_of(sketch(x, rng), "sketch")
    assert found is not None
    assert 60 < found.rank < 100


def test_a_sketch_of_noise_is_what_the_section_says() -> None:
    x = np.random.default_rng(8).normal(size=(700, 700)).astype(np.float32)
    found = rank_of(sketch(x, np.random.default_rng(1)), "sketch")
    assert found is not None
    assert found.effective == pytest.approx(NOISE_EFFECTIVE * SKETCH, rel=0.02)
    assert found.stable == pytest.approx(NOISE_STABLE, rel=0.08)


def test_a_sketch_of_a_full_matrix_is_full() -> None:
    x = np.random.default_rng(4).normal(size=(600, 600)).astype(np.float32)
    assert rank_of(sketch(x, np.random.default_rng(0))).rank == SKETCH


def test_values_of_an_adapter_are_held_against_the_matrix() -> None:
    found = from_values(np.array([2.0, 1.0, 0.0]), 100, "adapter", 64)
    assert (found.rank, found.full, found.stable, found.how) == (2, 64, 1.25, "adapter")
