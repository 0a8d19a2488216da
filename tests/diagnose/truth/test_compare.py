"""Two models on the same prompts."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.diagnose.truth import _resample as resample
from levelhead.diagnose.truth._claims import association
from levelhead.diagnose.truth._compare import compare_indices, compare_rates
from levelhead.diagnose.truth._index import bullshit_index
from levelhead.errors import InvalidInputError

FAST = {"n_boot": 200, "n_perm": 200}


def test_changes_are_differences_of_the_parts() -> None:
    rng = np.random.default_rng(0)
    b = rng.random(300)
    one, other = (rng.random(300) < b).astype(float), (rng.random(300) < 0.7).astype(float)
    changes = {c.name: c for c in compare_indices((b, one), (b, other), **FAST)}
    before, after = bullshit_index(b, one, **FAST), bullshit_index(b, other, **FAST)
    for name, x, y in (
        ("bi", before.value, after.value),
        ("bi_rank", before.rank, after.rank),
        ("yes_rate", before.yes_rate, after.yes_rate),
        ("against", before.against, after.against),
    ):
        assert changes[name].change == pytest.approx((y or 0) - (x or 0), abs=1e-9), name
        assert (changes[name].low or 0) < (changes[name].change or 0) < (changes[name].high or 0)
    assert changes["bi"].p_value == 1 / 201


def test_order_and_other_prompts_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    b = rng.random(200)
    one, other = (rng.random(200) < b).astype(float), (rng.random(200) < b).astype(float)
    ids = np.array([f"q{i}" for i in range(200)])
    mixed = rng.permutation(200)
    plain = compare_indices((b, one), (b, other), clusters=(ids, ids), **FAST)
    more = compare_indices(
        (np.r_[b, 0.5], np.r_[one, 1.0]),
        (b[mixed], other[mixed]),
        clusters=(np.r_[ids, ["elsewhere"]], ids[mixed]),
        **FAST,
    )
    assert [c.change for c in more] == pytest.approx([c.change for c in plain], abs=1e-12)
    assert plain[0].n_units == more[0].n_units == 200


def test_pairing_removes_what_both_share() -> None:
    """Claims that differ in one row of a hundred: a paired interval is far narrower than one alone."""
    rng = np.random.default_rng(2)
    b = rng.random(500)
    one = (rng.random(500) < b).astype(float)
    other = np.where(rng.random(500) < 0.01, 1 - one, one)
    change = compare_indices((b, one), (b, other), **FAST)[0]
    alone = bullshit_index(b, one, **FAST)
    assert (change.high or 0) - (change.low or 0) < 0.6 * ((alone.high or 0) - (alone.low or 0))


def test_always_yes_has_index_one() -> None:
    b = np.linspace(0, 1, 100)
    change = compare_indices((b, b > 0.5), (b, np.ones(100)), **FAST)[0]
    assert change.tuned == 1.0
    flat = compare_indices((b, b > 0.5), (np.full(100, 0.5), b > 0.5), **FAST)[0]
    assert (flat.tuned, flat.change, flat.low, flat.p_value) == (None, None, None, None)


def test_rates_and_v() -> None:
    rng = np.random.default_rng(3)
    kinds = rng.choice(["Positive", "Negative", "Unknown"], 400).tolist()
    one = np.array([rng.random() < {"P": 0.9, "N": 0.1, "U": 0.2}[k[0]] for k in kinds], float)
    other = (rng.random(400) < 0.8).astype(float)
    found = {c.name: c for c in compare_rates((kinds, one), (kinds, other), n_boot=200)}
    for name in ("Positive", "Negative", "Unknown"):
        mine = np.array(kinds) == name
        change = other[mine].mean() - one[mine].mean()
        assert found[name].change == pytest.approx(change, abs=1e-12)
    assert found["v"].base == pytest.approx(association(kinds, one).v or 0, abs=1e-12)
    assert found["v"].tuned == pytest.approx(association(kinds, other).v or 0, abs=1e-12)
    assert (found["Negative"].low or 0) > 0.5


def test_a_share_without_spread_has_no_interval() -> None:
    """Every row claims in both models: no resample can show what another sample would."""
    b = np.linspace(0, 1, 100)
    found = {c.name: c for c in compare_indices((b, b > 0.5), (b, b > 0.4), **FAST)}
    assert (found["claim_rate"].change, found["claim_rate"].low) == (0.0, None)
    assert found["yes_rate"].low is not None


def test_a_condition_of_one_prompt_has_no_interval() -> None:
    """Ten prompts are Unknown for the base and one for the tuned model: its rate is of one prompt."""
    base = ["Unknown"] * 10 + ["Positive"] * 40
    tuned = ["Unknown"] + ["Positive"] * 49
    claim = np.arange(50) % 2
    found = {c.name: c for c in compare_rates((base, claim), (tuned, claim), n_boot=200)}
    assert found["Unknown"].low is None
    assert found["Positive"].low is not None


def test_the_scarcer_of_two_models_says_how_sure_a_rate_is(monkeypatch: pytest.MonkeyPatch) -> None:
    base = ["Unknown"] * 30 + ["Positive"] * 20
    tuned = ["Unknown"] * 5 + ["Positive"] * 45
    seen: list[int] = []
    whole = resample.percentiles

    def spy(draws: np.ndarray, level: float, least: int) -> object:
        seen.append(least)
        return whole(draws, level, least)

    monkeypatch.setattr(resample, "percentiles", spy)
    claim = np.arange(50) % 2
    for pair in ((base, tuned), (tuned, base)):
        compare_rates((pair[0], claim), (pair[1], claim), n_boot=200)
    assert seen == [20, 5, 50] * 2  # Positive, Unknown, and V over all prompts


def test_equal_models_show_no_change() -> None:
    """Level 5%: of 60 repeats more than 9 are below 0.1%."""
    outside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        b = rng.random(150)
        chance = 0.2 + 0.6 * b
        claims = [(rng.random(150) < chance).astype(float) for _ in range(2)]
        found = compare_indices((b, claims[0]), (b, claims[1]), n_boot=100, n_perm=100)[0]
        outside += not (found.low or 0) <= 0 <= (found.high or 0)
    assert outside <= 9


def test_bad_input_is_named() -> None:
    with pytest.raises(InvalidInputError, match="clusters: expected prompt labels for models"):
        compare_indices(([0.1, 0.2], [0, 1]), ([0.1], [1]))
    with pytest.raises(InvalidInputError, match="that both models have, got none in common"):
        compare_indices(([0.1], [1]), ([0.1], [1]), clusters=(["a"], ["b"]))
    with pytest.raises(InvalidInputError, match="expected 1 labels for the tuned model, got 2"):
        compare_indices(([0.1], [1]), ([0.1], [1]), clusters=(["a"], ["b", "c"]))
