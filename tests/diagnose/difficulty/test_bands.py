"""Bands of difficulty, against integrals of the posterior."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import integrate, special

from levelhead.diagnose.difficulty._bands import (
    PassCounts,
    band_posterior,
    column_of,
    pass_bands,
    pass_counts,
)
from levelhead.errors import InvalidInputError


def bands_of(*pairs: tuple[int, int]) -> list[str]:
    passed, samples = np.array(pairs).T
    names = tuple(f"p{i}" for i in range(len(pairs)))
    return pass_bands(PassCounts(names, passed, samples)).names()


def test_the_posterior_is_the_integral_of_the_likelihood() -> None:
    def likelihood(p: float) -> float:
        return p**3 * (1 - p) ** 7 / special.beta(4, 8)

    edges = (0.0, 0.2, 0.8, 1.0)
    expected = [integrate.quad(likelihood, a, b)[0] for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(band_posterior([3], [10])[0], expected, rtol=1e-9)


def test_without_samples_it_is_the_prior() -> None:
    np.testing.assert_allclose(band_posterior([0], [0])[0], [0.2, 0.6, 0.2], atol=1e-15)


def test_how_many_failures_make_a_prompt_impossible() -> None:
    # P(p <= 0.2 | 0 of n) = 1 - 0.8^(n + 1): 0.590 at n = 3, 0.672 at n = 4
    assert bands_of((0, 1), (0, 2), (0, 3), (0, 4)) == ["uncertain"] * 3 + ["impossible"]
    assert bands_of((1, 1), (3, 3), (4, 4)) == ["uncertain", "uncertain", "trivial"]


def test_one_of_eight_does_not_tell_hard_from_medium_and_one_of_sixteen_does() -> None:
    # 1 - (0.8^9 + 9 * 0.2 * 0.8^8) = 0.564 and 1 - (0.8^17 + 17 * 0.2 * 0.8^16) = 0.882
    assert bands_of((1, 8), (1, 16), (8, 16), (15, 16)) == ["uncertain", "hard", "medium", "easy"]


def test_right_and_wrong_mirror_the_bands() -> None:
    mirror = {"impossible": "trivial", "hard": "easy", "medium": "medium", "uncertain": "uncertain"}
    mirror |= {b: a for a, b in mirror.items()}
    pairs = [(c, n) for n in (3, 8, 20) for c in range(n + 1)]
    swapped = bands_of(*[(n - c, n) for c, n in pairs])
    assert [mirror[name] for name in bands_of(*pairs)] == swapped


def test_counts_follow_the_prompts_and_leave_out_what_is_unknown() -> None:
    counts = pass_counts([1, np.nan, 0, 1, np.nan], ["b", "b", "a", "a", "c"])
    assert counts.prompts == ("b", "a")
    assert counts.passed.tolist() == [1, 1]
    assert counts.samples.tolist() == [1, 2]
    bands = pass_bands(counts)
    assert bands.members("uncertain", "medium").all()
    assert not bands.members("easy").any()


def test_a_column_may_be_nested() -> None:
    rows = {"extra_info": [{"index": 3}, {"index": 4}], "a.b": [1, 2]}
    assert column_of(rows, "extra_info.index") == [3, 4]
    assert column_of(rows, "a.b") == [1, 2]
    with pytest.raises(InvalidInputError, match="expected one of extra_info, a.b, got 'id'"):
        column_of(rows, "id")
    with pytest.raises(InvalidInputError, match="expected records with 'x' in .* none in row 0"):
        column_of(rows, "extra_info.x")


def test_errors() -> None:
    with pytest.raises(InvalidInputError, match="correct: expected 0 or 1, got 0.5 at index 1"):
        pass_counts([1, 0.5], ["a", "a"])
    with pytest.raises(InvalidInputError, match="prompts: expected 2 names, .* got 1"):
        pass_counts([1, 0], ["a"])
    with pytest.raises(InvalidInputError, match="at least one sample with a known truth"):
        pass_counts([np.nan], ["a"])
    with pytest.raises(InvalidInputError, match="at most .*, 2, got 3 at index 0"):
        band_posterior([3], [2])
    with pytest.raises(InvalidInputError, match="0 < hard < easy < 1, got 0.8 and 0.2"):
        band_posterior([1], [2], hard=0.8, easy=0.2)
    counts = pass_counts([1, 0], ["a", "a"])
    with pytest.raises(InvalidInputError, match=r"mass: expected a number in \(0.5, 1\], got 0.5"):
        pass_bands(counts, mass=0.5)
    with pytest.raises(InvalidInputError, match="band: expected one of .* did you mean 'easy'"):
        pass_bands(counts).members("easyy")
