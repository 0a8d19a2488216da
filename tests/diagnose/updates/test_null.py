"""The rounding null: published numbers, simulation with torch's rounding, and exact shuffles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from levelhead.diagnose.updates._bits import FORMATS, encode, rounded
from levelhead.diagnose.updates._null import (
    OverlapCounts,
    matched_null,
    overlap,
    rounding_density,
    strata_of,
)
from levelhead.errors import InvalidInputError

torch.set_num_threads(1)
BF16 = FORMATS["bfloat16"]


def stored(x: np.ndarray) -> np.ndarray:
    """In bfloat16, by torch."""
    return torch.from_numpy(np.asarray(x, np.float32)).bfloat16().double().numpy()


@pytest.mark.parametrize(
    ("step", "sparsity", "one_sided"),
    [(3e-6, 0.965, 0.587), (1e-5, 0.884, 0.591), (3e-5, 0.681, 0.621), (1e-4, 0.325, 0.752)],
)
def test_what_rounding_makes_of_two_dense_steps(
    step: float, sparsity: float, one_sided: float
) -> None:
    rng = np.random.default_rng(0)
    w = stored(rng.normal(0, 0.02, 400_000))
    first, second = (stored(w + rng.normal(0, step, w.size)) != w for _ in range(2))
    assert 1 - first.mean() == pytest.approx(sparsity, abs=0.002)
    assert 1 - rounding_density(w, step) == pytest.approx(sparsity, abs=0.0015)
    found = overlap(first, second)
    assert found.one_sided == pytest.approx(one_sided, abs=0.02)
    assert found.chance == pytest.approx(1 - sparsity, abs=0.002)
    # Matched by size, the same overlap is what the null expects.
    bits = encode(w, BF16)
    counts = OverlapCounts()
    counts.add(strata_of(bits[:65536], BF16).counts(bits, first, second))
    matched = counts.result()
    assert matched.matched == pytest.approx(one_sided, abs=0.02)
    assert matched.z is not None
    assert abs(matched.z) < 3.5


def test_weights_that_the_optimizer_keeps_in_float32() -> None:
    w = np.random.default_rng(1).normal(0, 0.02, 300_000).astype(np.float32)
    step = np.random.default_rng(2).normal(0, 1e-5, w.size)
    assert (stored(w + step) == stored(w)).mean() == pytest.approx(0.802, abs=0.003)
    assert 1 - rounding_density(w, 1e-5) == pytest.approx(0.802, abs=0.002)


def test_rounding_density_by_hand() -> None:
    # 1.5 has neighbors 2^-7 away on both sides: it changes beyond one standard deviation.
    assert rounding_density([1.5], 2.0**-8) == pytest.approx(0.31731, abs=1e-5)
    # Below 1 the neighbor is half as far.
    assert rounding_density([1.0], 2.0**-8) == pytest.approx((0.31731 + 0.61708) / 2, abs=1e-5)
    assert rounding_density([0.0], 1e-30) == pytest.approx(1.0)
    assert rounding_density([1.0], 1e-9, "float64") == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "step", "storage", "words"),
    [
        ([], 1.0, "bfloat16", "expected finite numbers"),
        ([np.nan], 1.0, "bfloat16", "expected finite numbers"),
        ([1.0], 0.0, "bfloat16", "step: expected a number above 0"),
        ([1.0], 1.0, "half", "storage format"),
    ],
)
def test_rounding_density_bad_input(
    weights: list[float], step: float, storage: str, words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        rounding_density(weights, step, storage)


def test_the_step_is_found_again_and_z_is_standard() -> None:
    rng, zs = np.random.default_rng(5), []
    for _ in range(100):
        w = rounded(rng.normal(0, 0.02, 20_000), BF16)
        step = 10 ** rng.uniform(-5.3, -3)
        new = rounded(w + rng.normal(0, step, w.size), BF16)
        moved = np.abs(new.astype(np.float64) - w)
        part = rng.choice(w.size, 4096, replace=False)
        found = matched_null(w[part], new[part] != w[part], float(moved.mean()), w.size, BF16, rng)
        assert found.step == pytest.approx(step, rel=0.2)
        zs.append(((moved > 0).mean() - found.density) / found.variance**0.5)
    # Five standard errors: the mean of 100 standard numbers, and their spread.
    assert abs(np.mean(zs)) < 0.5
    assert 0.7 < np.std(zs) < 1.3


def test_z_is_standard_where_every_weight_is_sampled() -> None:
    rng, zs = np.random.default_rng(8), []
    for _ in range(100):
        w = rounded(rng.normal(0, 0.02, 3000), BF16)
        new = rounded(w + rng.normal(0, 3e-5, w.size), BF16)
        moved = np.abs(new.astype(np.float64) - w)
        found = matched_null(w, moved > 0, float(moved.mean()), w.size, BF16, rng)
        zs.append(((moved > 0).mean() - found.density) / found.variance**0.5)
    # Five standard errors. With the spread between the weights in it, it would be 0.66; without the
    # chance in what was seen, 1.41.
    assert 0.7 < np.std(zs) < 1.35


def test_weights_held_at_zero_are_not_open_to_a_step() -> None:
    rng = np.random.default_rng(9)
    w = rounded(rng.normal(0, 0.02, 4096), BF16)
    w[:1500] = 0.0
    new = np.where(w == 0, w, rounded(w + rng.normal(0, 3e-5, w.size), BF16))
    found = matched_null(w, new != w, float(np.abs(new - w).mean()), w.size, BF16, rng)
    assert 20 < found.open_n < 600
    assert found.open_seen > 0.9 * found.open_expected


def test_overlap_of_a_fifth_by_chance() -> None:
    rng = np.random.default_rng(6)
    found = overlap(rng.random(200_000) < 0.2, rng.random(200_000) < 0.2)
    assert found.chance == pytest.approx(0.2, abs=0.003)
    assert found.one_sided == pytest.approx(0.2, abs=0.007)
    assert found.jaccard == pytest.approx(1 / 9, abs=0.004)
    assert found.jaccard_chance == pytest.approx(0.1111, abs=0.002)


def test_the_matched_null_is_every_shuffle() -> None:
    first = np.array([1, 1, 0, 0, 1, 0, 0], bool)
    second = np.array([1, 0, 1, 0, 1, 1, 0], bool)
    strata = np.array([0, 0, 0, 0, 1, 1, 1])
    common = [
        int((first & np.r_[np.array(a), np.array(b)]).sum())
        for a in itertools.permutations(second[:4])
        for b in itertools.permutations(second[4:])
    ]
    found = overlap(first, second, strata)
    assert found.expected == pytest.approx(np.mean(common))
    assert found.sd == pytest.approx(np.std(common))
    assert found.both == 2
    assert found.z == pytest.approx((2 - np.mean(common)) / np.std(common))
    assert found.one_sided == pytest.approx(2 / 3)
    assert found.other_sided == 0.5
    assert found.jaccard == pytest.approx(2 / 5)
    assert found.matched == pytest.approx(np.mean(common) / 3)
    assert (found.chance, found.other_chance) == pytest.approx((4 / 7, 3 / 7))
    assert found.jaccard_chance == pytest.approx(12 / 49 / (4 / 7 + 3 / 7 - 12 / 49))
    assert found.jaccard_matched == pytest.approx(np.mean(common) / (7 - np.mean(common)))


def test_overlap_that_is_undefined() -> None:
    found = overlap([False, False], [True, False])
    assert (found.one_sided, found.matched, found.z) == (None, None, None)
    assert found.other_sided == 0.0
    with pytest.raises(InvalidInputError, match="expected equal lengths above 0, got 1, 2 and 1"):
        overlap([True], [True, False])


def test_strata_hold_weights_of_one_spacing_only() -> None:
    w = rounded(np.random.default_rng(7).normal(0, 0.02, 20_000), BF16)
    bits = encode(w, BF16)
    strata = strata_of(bits, BF16)
    which = strata.table[(bits & strata.mask) >> strata.shift]
    power = np.frexp(np.abs(w))
    for one in np.unique(which):
        inside = which == one
        assert len(set(power[1][inside])) == 1
        assert len(set(power[0][inside] == 0.5)) == 1
    sizes = np.bincount(which)
    assert sizes.max() < 0.11 * w.size  # no stratum is wider than a decile
    assert strata.counts(bits, w > 0, w > 0).sum() == w.size


def test_strata_of_every_format_cover_all_numbers() -> None:
    for form in FORMATS.values():
        x = encode(np.array([0.0, 1.0, -1.5, 3e4, 6e-5]), form)
        counts = strata_of(x, form).counts(x, np.ones(5, bool), np.zeros(5, bool))
        assert counts[:, 2].sum() == 5
