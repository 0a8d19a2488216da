"""Words as claims, rates by condition, and Cramer's V against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats.contingency import association as cramer

from levelhead.diagnose.truth._claims import (
    association,
    claim_rates,
    claim_word,
    condition_word,
    read_claims,
    unread,
)
from levelhead.errors import InvalidInputError

EXACT = 1e-12


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        *[(text, 1.0) for text in ("Yes", " yes.", "**Yes**", '"YES", it has', "true", "1", "1.0")],
        *[(text, 0.0) for text in ("No", "no.", "No, it has none", "FALSE", "0", "(No)")],
        *[(text, None) for text in ("", "Yesterday", "Nothing", "I would not say Yes", "maybe")],
        *[(text, None) for text in ("no claim", "No answer.", "No idea", "not sure", "None", "10")],
        *[(text, None) for text in ("No claim is made", "No explicit claim", "unknown", None)],
    ],
)
def test_the_first_word_decides(text: str | None, claim: float | None) -> None:
    found = claim_word(text)
    assert math.isnan(found) if claim is None else found == claim


def test_conditions_have_short_names() -> None:
    named = [
        condition_word(x) for x in ("Positive", "NEG", " unknown ", 1, 0, True, "N", "x", None)
    ]
    assert named == ["Positive", "Negative", "Unknown", "Positive", "Negative", "Positive",
                     "Negative", None, None]  # fmt: skip


def test_rates_by_hand() -> None:
    """A hedge asserts nothing but is a row; of Unknown any fact deceives."""
    condition = ["Positive"] * 4 + ["Negative"] * 5 + ["Unknown"] * 10 + [None]
    claim = [1, 1, 1, 0] + [1, 0, 0, 0, np.nan] + [1] * 6 + [0] * 2 + [np.nan] * 2 + [1]
    found = claim_rates(condition, claim)
    by = {one.condition: one for one in found.rates}
    assert [by[c].rate for c in ("Positive", "Negative", "Unknown")] == [0.75, 0.2, 0.6]
    assert [by[c].deceptive for c in ("Positive", "Negative", "Unknown")] == [None, 0.2, 0.8]
    assert (by["Unknown"].yes, by["Unknown"].no, by["Unknown"].silent) == (6, 2, 2)
    assert found.pooled == 10 / 19
    assert found.n_no_condition == 1
    # Wilson by hand, k = 6 of 10: (k + z^2/2) / (n + z^2) +- z sqrt(k(n-k)/n + z^2/4) / (n + z^2)
    z = stats.norm.ppf(0.975)
    center, half = (6 + z * z / 2) / (10 + z * z), z * math.sqrt(2.4 + z * z / 4) / (10 + z * z)
    assert by["Unknown"].low == pytest.approx(center - half, abs=EXACT)
    assert by["Unknown"].high == pytest.approx(center + half, abs=EXACT)


def test_association_is_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, 200), rng.integers(0, 4, 200)
    b = np.where(rng.random(200) < 0.4, a, b)
    table = np.histogram2d(a, b, bins=(3, 4))[0]
    found = association(a, b)
    chi2 = stats.chi2_contingency(table, correction=False)
    assert found.chi2 == pytest.approx(chi2.statistic, abs=1e-9)
    assert found.dof == chi2.dof == 6
    assert found.v == pytest.approx(cramer(table.astype(int), method="cramer"), abs=EXACT)


def test_bias_and_null_of_v() -> None:
    """Independent columns: V is about its null on average, and V corrected is about 0."""
    rng = np.random.default_rng(1)
    drawn = [association(rng.integers(0, 3, 60), rng.integers(0, 2, 60), n_perm=1)
             for _ in range(200)]  # fmt: skip
    square = [(one.v or 0) ** 2 for one in drawn]
    assert math.sqrt(np.mean(square)) == pytest.approx(math.sqrt(2 / 59), rel=0.12)
    assert drawn[0].null == pytest.approx(math.sqrt(2 / 59), abs=EXACT)
    assert np.median([one.v_corrected or 0 for one in drawn]) < 0.05
    # By hand, 2 x 2 with chi2 = 36 of 100: phi2 = .36 - 1/99, r' - 1 = 1 - 1/99
    known = association([0] * 50 + [1] * 50, [0] * 40 + [1] * 10 + [0] * 10 + [1] * 40)
    assert known.v_corrected == pytest.approx(math.sqrt((0.36 - 1 / 99) / (98 / 99)), abs=EXACT)


def test_the_published_direction() -> None:
    """Assertions of Negative and Unknown .118 and .209 before, .679 and .845 after: V falls by half.

    The rates of Positive are not published; those that give V .575 and .269 with equal sizes are
    .745 and .929, found by solving V^2 = var(rates) / (mean (1 - mean)).
    """
    found = []
    for rates in ((0.745, 0.118, 0.209), (0.929, 0.679, 0.845)):
        claims = [np.arange(1000) < round(1000 * rate) for rate in rates]
        kinds = np.repeat(["Positive", "Negative", "Unknown"], 1000).tolist()
        linked = claim_rates(kinds, np.concatenate(claims).astype(float), n_perm=200).truth_by_claim
        found.append(linked.v)
        assert linked.p_value == 1 / 201
    assert found == pytest.approx([0.575, 0.269], abs=0.005)


def test_permutations_know_prompts() -> None:
    """Ten prompts of 50 equal rows are ten rows: no p below what ten rows can give."""
    condition = ["Positive"] * 250 + ["Negative"] * 250
    claim = np.repeat([1, 1, 1, 0, 1, 0, 1, 0, 0, 0], 50)
    prompt = np.repeat(np.arange(10), 50)
    rows, prompts = claim_rates(condition, claim), claim_rates(condition, claim, clusters=prompt)
    assert rows.truth_by_claim.p_value == 1 / 1001
    # Fisher's exact test of 4/5 against 1/5
    assert prompts.truth_by_claim.p_value == pytest.approx(
        stats.fisher_exact([[4, 1], [1, 4]]).pvalue, abs=0.04
    )
    width = [(one.rates[0].high or 0) - (one.rates[0].low or 0) for one in (rows, prompts)]
    assert width[1] > 4 * width[0]
    mixed = association([0, 1, 0, 1], [0, 1, 1, 0], clusters=[5, 5, 6, 6])
    assert mixed.p_value is None
    assert mixed.v == 0.0


def test_prompts_of_one_row_are_rows() -> None:
    """Naming prompts changes nothing where each has one row, least of all an interval to a point."""
    condition = ["Positive"] * 50 + ["Negative"] * 50
    claim = [1] * 50 + [0] * 48 + [1] * 2
    rows = claim_rates(condition, claim, n_perm=100)
    prompts = claim_rates(condition, claim, clusters=np.arange(100), n_perm=100)
    for one, other in zip(rows.rates, prompts.rates, strict=True):
        assert (one.low, one.high) == (other.low, other.high)
    assert (prompts.rates[0].low or 0) < 0.94


def test_undefined_is_none() -> None:
    alone = claim_rates(["Negative"] * 3, [1, 0, 1])
    assert alone.truth_by_claim.v is None
    assert [one.condition for one in alone.rates] == ["Negative"]
    nobody = claim_rates([None], [1])
    assert nobody.rates == ()
    assert nobody.pooled is None


def test_bad_input_is_named() -> None:
    words = "condition: expected Positive, Negative or Unknown, got 'blue' at index 1"
    with pytest.raises(InvalidInputError, match=words):
        claim_rates(["pos", "blue"], [1, 0])
    with pytest.raises(InvalidInputError, match="condition: expected 2 values, one for each claim"):
        claim_rates(["pos"], [1, 0])


def test_claims_of_a_column() -> None:
    found, odd, bad = read_claims(["Yes", False, None, "hedge", "I see", "I see", np.nan, 1.0])
    assert bad is None
    assert odd == {"I see": 2}
    assert np.array_equal(found, [1, 0] + [np.nan] * 5 + [1], equal_nan=True)
    assert read_claims(["yes", [1], 3])[2] == 1


def test_a_column_of_something_else_is_told_from_hedges() -> None:
    """Only where not one claim was read, and half of all are texts that are no hedge."""
    nothing = np.full(4, np.nan)
    for claim, odd, only in (
        (nothing, {"I see": 2}, True),
        (nothing, {"I see": 1}, False),
        (np.array([1, np.nan, np.nan, np.nan]), {"I see": 3}, False),
    ):
        text, found = unread(claim, odd)
        assert found == only
        assert f"{sum(odd.values())} of 4 claims begin with neither yes nor no" in text
        assert ("the first word must be yes, true or 1, or no, false or 0" in text) == only
    assert unread(nothing, {}) == ("", False)


def test_words_as_numbers_name_their_reader() -> None:
    with pytest.raises(
        InvalidInputError, match="words are read by levelhead.diagnose.truth.claim_word"
    ):
        claim_rates(["Positive"], ["yes"])
