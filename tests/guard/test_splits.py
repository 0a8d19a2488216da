"""Splits: who belongs where must depend on the seed and the unit, and on nothing else."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy import stats

from levelhead.errors import InvalidInputError
from levelhead.guard.splits import PARTS, folds, hashed, split

MANY = [f"prompt {i}" for i in range(40_000)]
ALARM = 1e-4  # a p-value below this is no accident


def test_the_number_of_a_unit_by_hand() -> None:
    key = hashlib.blake2b(b"7", digest_size=16).digest()
    digest = hashlib.blake2b(b"gene", digest_size=8, key=key, person=b"split").digest()
    expected = int("".join(f"{byte:08b}" for byte in digest)[:53], 2) / 2**53
    assert hashed(["gene"], seed=7).tolist() == [expected]


def test_numbers_are_uniform_and_different_seeds_and_purposes_independent() -> None:
    a = hashed(MANY, seed=0)
    assert stats.kstest(a, "uniform").pvalue > ALARM
    assert a.min() >= 0.0
    assert a.max() < 1.0
    for b in (hashed(MANY, seed=1), hashed(MANY, seed=0, purpose="row")):
        assert stats.pearsonr(a, b).pvalue > ALARM


def test_shares_are_kept() -> None:
    counts = np.bincount(split(MANY, seed=3), minlength=4)
    assert stats.chisquare(counts, np.array([0.5, 0.2, 0.15, 0.15]) * len(MANY)).pvalue > ALARM
    assert len(PARTS) == 4


def test_each_part_lies_between_its_neighbors_shares() -> None:
    shares = (0.1, 0.4, 0.2, 0.3)
    for u, part in zip(
        hashed(MANY[:500], seed=5), split(MANY[:500], seed=5, shares=shares), strict=True
    ):
        assert sum(shares[:part]) <= u < sum(shares[: part + 1]) + 1e-12


def test_neither_the_order_nor_other_units_matter() -> None:
    units = [f"u{i % 300}" for i in range(1000)]
    parts = dict(zip(units, split(units, seed=1).tolist(), strict=True))
    shuffled = np.random.default_rng(0).permutation(np.array(units, dtype=object)).tolist()
    assert [parts[u] for u in shuffled] == split(shuffled, seed=1).tolist()
    assert split(["u17"], seed=1).tolist() == [parts["u17"]]
    assert [parts[u] for u in units] == split(units, seed=1).tolist()  # equal units stay together


def test_another_seed_is_another_split() -> None:
    a, b = split(MANY, seed=0), split(MANY, seed=1)
    expected = (np.array([0.5, 0.2, 0.15, 0.15]) ** 2).sum()
    assert abs(np.mean(a == b) - expected) < 4 * np.sqrt(expected * (1 - expected) / len(MANY))


def test_a_part_without_a_share_stays_empty() -> None:
    assert set(split(MANY, seed=0, shares=(0.1, 0.9, 0.0, 0.0)).tolist()) == {0, 1}
    assert set(split(MANY, seed=0, shares=(0.0, 0.7, 0.0, 0.3)).tolist()) == {1, 3}
    thirds = (1 / 3, 1 / 3, 1 / 3, 0.0)  # their sum rounds
    assert set(split(MANY, seed=0, shares=thirds).tolist()) == {0, 1, 2}


def test_text_of_any_kind_is_a_unit() -> None:
    assert split(["", "ü", "\ud800", "a\x00b"], seed=0).shape == (4,)
    assert split([], seed=0).shape == (0,)


def test_folds_are_level_and_keep_units_together() -> None:
    units = [f"u{i % 53}" for i in range(1000)]
    fold = folds(units, 5, seed=0)
    of_unit = {u: {f for v, f in zip(units, fold, strict=True) if v == u} for u in set(units)}
    assert all(len(found) == 1 for found in of_unit.values())
    sizes = np.bincount([found.pop() for found in of_unit.values()])
    assert sizes.tolist() == [11, 11, 11, 10, 10]
    order = np.random.default_rng(1).permutation(1000)
    assert (folds([units[i] for i in order], 5, seed=0) == fold[order]).all()
    assert (folds(units, 5, seed=1) != fold).any()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: split(["a"], seed=0, shares=(0.5, 0.5)),
            "shares: expected 4 numbers (train, calibrate, threshold, test), got 2",
        ),
        (
            lambda: split(["a"], seed=0, shares=(1.5, -0.5, 0, 0)),
            "shares: expected finite numbers >= 0, got -0.5",
        ),
        (
            lambda: split(["a"], seed=0, shares=(0.5, 0.5, 0.5, 0)),
            "shares: expected numbers that sum to 1, got 1.5",
        ),
        (lambda: hashed([3], seed=0), "units: expected texts, got int 3 at index 0"),  # type: ignore[list-item]
        (lambda: hashed(["a"], seed=0.5), "seed: expected an integer, got float 0.5"),  # type: ignore[arg-type]
        (
            lambda: hashed(["a"], seed=0, purpose="far too long a word"),
            "purpose: expected at most 16 bytes, got 19",
        ),
        (
            lambda: folds(["a", "b"], 3, seed=0),
            "n_folds: expected 2 to 2, the number of distinct units, got 3",
        ),
    ],
)
def test_errors(call, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        call()
    assert str(caught.value) == text


def test_rows_of_one_unit_are_in_one_part() -> None:
    units = [f"u{i % 40}" for i in range(400)]
    parts = split(units, seed=3)
    assert all(len({parts[i] for i in range(k, 400, 40)}) == 1 for k in range(40))
