"""Beliefs from option tokens, by hand and by a slow loop."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.diagnose.truth._options import option_beliefs, option_mass
from levelhead.errors import InvalidInputError

EXACT = 1e-12


def test_words_are_stripped_and_added() -> None:
    tokens = [(" Yes", 0.3), ("yes.", 0.2), ('"YES"', 0.1), ("No", 0.25), ("Yesterday", 0.1)]
    assert option_mass(tokens, ["Yes", "No", "Unknown"]) == pytest.approx([0.6, 0.25, 0.0])


def test_a_preference_for_a_place_cancels() -> None:
    """Belief 0.7; whatever stands first gains 0.2: 0.9 and 0.5 average to 0.7."""
    mass = np.array([[0.9, 0.1], [0.5, 0.5]]) * 0.8
    found = option_beliefs(mass, items=["q", "q"], yes_at=[0, 1])
    assert found.belief == pytest.approx([0.7], abs=EXACT)
    assert found.order_effect == pytest.approx(0.4, abs=EXACT)
    assert found.mass == pytest.approx([0.8], abs=EXACT)
    assert found.spread == pytest.approx([0.4 / np.sqrt(2)], abs=EXACT)


def test_orders_weigh_the_same_however_often_asked() -> None:
    mass = [[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.5, 0.5]]
    assert option_beliefs(mass, items=[1, 1, 1, 1], yes_at=[0, 0, 0, 1]).belief[0] == pytest.approx(
        0.7
    )


def test_little_mass_is_no_belief() -> None:
    found = option_beliefs([[0.02, 0.02], [0.03, 0.02], [np.nan, np.nan], [0.0, 0.0]])
    assert np.isnan(found.belief).tolist() == [True, False, True, True]
    assert found.belief[1] == pytest.approx(0.6, abs=EXACT)
    assert found.n_low == 2
    # An item whose one order has no belief has none at all: the other order alone leans.
    assert np.isnan(
        option_beliefs([[0.8, 0.1], [0.01, 0.01]], items=[0, 0], yes_at=[0, 1]).belief[0]
    )
    # ... but a second wording in the same order will do.
    more = option_beliefs([[0.8, 0.2], [0.01, 0.01]], items=[0, 0])
    assert more.belief[0] == pytest.approx(0.8, abs=EXACT)
    assert more.n_rows.tolist() == [1]


def test_unknown_is_apart() -> None:
    found = option_beliefs([[0.3, 0.1, 0.4]])
    assert found.belief[0] == pytest.approx(0.75, abs=EXACT)
    assert found.unknown[0] == pytest.approx(0.5, abs=EXACT)


def test_a_slow_loop_agrees() -> None:
    rng = np.random.default_rng(0)
    n = 60
    mass = rng.dirichlet(np.ones(4), n)[:, :3]
    items, yes = rng.integers(0, 8, n), rng.integers(0, 3, n)
    no = (yes + rng.integers(1, 3, n)) % 3
    found = option_beliefs(mass, items=items, yes_at=yes, no_at=no)
    for item, belief in zip(found.items, found.belief, strict=True):
        orders: dict[int, list[float]] = {}
        for i in np.flatnonzero(items == int(item)):
            a, b = mass[i, yes[i]], mass[i, no[i]]
            orders.setdefault(int(yes[i]), []).append(a / (a + b))
        assert belief == pytest.approx(np.mean([np.mean(v) for v in orders.values()]), abs=EXACT)


def test_bad_input_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"mass: expected shape \(N, K\)"):
        option_beliefs([0.1, 0.2])
    with pytest.raises(
        InvalidInputError, match="mass: expected probabilities that sum to at most 1, got"
    ):
        option_beliefs([[-1.0, -2.0]])
    with pytest.raises(
        InvalidInputError, match="yes_at: expected a place from 0 to 1, got 2.0 in row 0"
    ):
        option_beliefs([[0.1, 0.2]], yes_at=[2])
    with pytest.raises(InvalidInputError, match="no_at: expected another place than yes_at, got 0"):
        option_beliefs([[0.1, 0.2]], no_at=[0])
    with pytest.raises(InvalidInputError, match="options: expected different words"):
        option_mass([], ["Yes", " yes"])
    with pytest.raises(InvalidInputError, match="log-probabilities go through exp first"):
        option_mass([("Yes", -0.1)], ["Yes"])
