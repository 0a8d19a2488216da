"""Samples by group: blocks, labels of any kind, what is refused."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead.advantages import (
    EmaStd,
    gae,
    grpo,
    loo_std,
    pl_softmax,
    reinforce_pp,
    rloo,
)
from levelhead.advantages._groups import (
    ROUNDING,
    _stable_order,
    centered,
    constant,
    grouped,
    total_spread,
)
from levelhead.errors import InvalidInputError

NAN = math.nan


def test_equal_groups_side_by_side_are_not_copied() -> None:
    rewards = np.arange(6.0)
    layout = grouped(rewards, [9, 9, 4, 4, 7, 7], None)
    assert layout.blocks == (None,)
    (block,) = layout.dense()
    assert block.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert np.shares_memory(block, rewards)


def test_a_group_in_two_places_is_one_group() -> None:
    layout = grouped([0.0, 1.0, 2.0, 3.0], [9, 4, 4, 9], None)
    assert sorted(block.tolist() for block in layout.dense()[0]) == [[0.0, 3.0], [1.0, 2.0]]
    layout = grouped([0.0, 1.0, 2.0, 3.0], [4, 9, 4, 9], None)  # runs that are equally long
    assert sorted(block.tolist() for block in layout.dense()[0]) == [[0.0, 2.0], [1.0, 3.0]]


def test_blocks_hold_what_counts_by_size() -> None:
    layout = grouped([0.0, NAN, 2.0, 3.0, 4.0, 5.0], [1, 1, 2, 1, 3, 2], None)
    assert layout.sizes == (1, 2)
    assert [block.tolist() for block in layout.dense()] == [[[4.0]], [[0.0, 3.0], [2.0, 5.0]]]
    assert layout.first.tolist() == [4, 0, 2]
    assert layout.values().tolist() == [0.0, 2.0, 3.0, 4.0, 5.0]


@given(
    st.lists(st.integers(-3, 3), max_size=40),
    st.sampled_from([1, 20_001, 2**17, 2**40]),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_every_sample_comes_back_to_its_place(labels: list[int], spread: int, data) -> None:
    groups = [label * spread for label in labels]
    rewards = [float(i) for i in range(len(groups))]
    valid = data.draw(st.lists(st.booleans(), min_size=len(groups), max_size=len(groups)))
    layout = grouped(rewards, groups, valid)
    members = sorted(sorted(row) for block in layout.dense() for row in block.tolist())
    expected: dict[int, list[float]] = {}
    for reward, group, counts in zip(rewards, groups, valid, strict=True):
        if counts:
            expected.setdefault(group, []).append(reward)
    assert members == sorted(expected.values())
    back = layout.scattered(layout.dense())
    assert back.tolist() == [r if counts else 0.0 for r, counts in zip(rewards, valid, strict=True)]


@pytest.mark.parametrize("top", [2, 2**16 - 1, 2**16, 200_000, 2**32 - 1, 2**32, 2**62])
def test_the_order_is_numpys_stable_one(top: int) -> None:
    labels = np.random.default_rng(0).integers(-top // 2, top - top // 2, 500)
    labels[:3] = -top // 2, top - top // 2, -top // 2
    labels = np.concatenate([labels, labels])
    np.testing.assert_array_equal(_stable_order(labels), np.argsort(labels, kind="stable"))


@pytest.mark.parametrize(
    "groups",
    [
        ["q1", "q2", "q1", "q2", "q1"],
        np.array(["q1", "q2", "q1", "q2", "q1"]),
        np.array(["q1", "q2", "q1", "q2", "q1"], dtype=object),
        [1.0, 2.0, 1.0, 2.0, 1.0],
        np.array([-5, 3, -5, 3, -5], dtype=np.int8),
        np.array([0, 2**63, 0, 2**63, 0], dtype=np.uint64),
        [True, False, True, False, True],
    ],
)
def test_labels_of_any_kind(groups) -> None:
    assert rloo([1.0, 4.0, 0.0, 2.0, 0.5], groups).tolist() == [0.75, 2.0, -0.75, -2.0, 0.0]


@pytest.mark.parametrize("top", [2**63, 2**64])
@pytest.mark.parametrize("kind", [int, np.uint64])
def test_ids_of_64_bits_are_never_rounded(top: int, kind) -> None:
    if top == 2**64 and kind is np.uint64:
        top -= 9
    groups = [kind(top + 1), np.int64(-1), kind(top + 2), -1]  # numpy makes floats of such a list
    assert rloo([1.0, 0.0, 5.0, 9.0], groups).tolist() == [0.0, -9.0, 0.0, 9.0]


def test_masked_inputs_are_refused() -> None:
    hidden = np.ma.array([1, 0, 1], mask=[0, 0, 1])
    for name, arguments in (
        ("rewards", (hidden, [0, 0, 0], None)),
        ("groups", ([1.0, 0.0, 1.0], hidden, None)),
        ("valid", ([1.0, 0.0, 1.0], [0, 0, 0], hidden)),
    ):
        with pytest.raises(InvalidInputError, match=f"^{name}: expected an array without a mask"):
            rloo(arguments[0], arguments[1], valid=arguments[2])


@pytest.mark.parametrize("option", ["a", None, [1.0], 1j])
def test_options_that_are_no_numbers(option) -> None:
    for function, name in (
        (grpo, "eps"),
        (grpo, "ddof"),
        (loo_std, "eps"),
        (reinforce_pp, "eps"),
        (pl_softmax, "tau"),
    ):
        with pytest.raises(InvalidInputError, match=f"^{name}: expected a number, got "):
            function([1.0, 0.0], [0, 0], **{name: option})
    for name in ("decay", "eps", "initial", "ddof"):
        with pytest.raises(InvalidInputError, match=f"^{name}: expected a number, got "):
            EmaStd(**{name: option})
    for name in ("gamma", "lam"):
        with pytest.raises(InvalidInputError, match=f"^{name}: expected a number, got "):
            gae([[1.0]], [[0.0]], **{name: option})


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int64, np.bool_, np.uint8])
def test_rewards_of_any_number_type(kind) -> None:
    got = rloo(np.array([1, 0, 1], dtype=kind), [0, 0, 0])
    assert got.dtype == np.float64
    assert got.tolist() == [0.5, -1.0, 0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ([1.0, math.inf], [0, 0]),
            "rewards: expected finite numbers up to 1e+100 in size, or NaN for what cannot be "
            "scored, got inf at index 1",
        ),
        (
            ([NAN, -math.inf, 1.0], [0, 0, 0]),
            "rewards: expected finite numbers up to 1e+100 in size, or NaN for what cannot be "
            "scored, got -inf at index 1",
        ),
        (
            ([[1.0]], [0]),
            "rewards: expected one dimension (N,), got shape (1, 1); flatten it first",
        ),
        (([1.0, 2.0], [0]), "groups: expected shape (2,), one label per reward, got (1,)"),
        (([1.0], [[0]]), "groups: expected shape (1,), one label per reward, got (1, 1)"),
        (([1.0, 2.0], [[0], [1, 2]]), "groups: expected shape (2,), got rows of many lengths"),
        (([1.0, 2.0], [0.0, NAN]), "groups: expected labels, got nan at index 1"),
        (([1.0], [0], [True, True]), "valid: expected shape (1,), got (2,)"),
        (
            ([1.0], [0], [0.5]),
            "valid: expected booleans, True where a sample counts, got float64 numbers",
        ),
        (
            ([1.0], [0], [2]),
            "valid: expected booleans, True where a sample counts, got int64 numbers",
        ),
    ],
)
def test_wrong_inputs_are_named(arguments, message: str) -> None:
    rewards, groups, *valid = arguments
    with pytest.raises(InvalidInputError, match=f"^{re.escape(message)}$"):
        rloo(rewards, groups, valid=valid[0] if valid else None)


def test_an_infinity_is_refused_where_it_does_not_count_as_well() -> None:
    with pytest.raises(InvalidInputError, match="^rewards: .* got inf at index 0$"):
        rloo([math.inf, 1.0], [0, 0], valid=[False, True])


def test_no_samples() -> None:
    assert rloo([], []).tolist() == []
    assert rloo(np.zeros(0), np.zeros(0, dtype=int), valid=[]).tolist() == []


def test_inputs_are_left_alone() -> None:
    rewards, groups = np.array([1.0, NAN, 2.0]), np.array([3, 3, 3])
    valid = np.array([True, True, True])
    for array in (rewards, groups, valid):
        array.flags.writeable = False
    rloo(rewards, groups, valid=valid)
    reinforce_pp(rewards, groups, valid=valid)


def test_constant_up_to_rounding() -> None:
    one = np.float32(0.1)
    up = np.nextafter(one, np.float32(1))
    rows = np.array([[0.1, 0.1], [one, up], [0.0, 0.0], [1.0, 1.0 + 2 * ROUNDING], [0.0, 1e-30]])
    assert constant(rows).tolist() == [True, True, True, False, False]
    assert total_spread(np.array([0.3, 0.1 + 0.2]), 1) == 0.0
    assert total_spread(np.array([3.0]), 1) == 0.0
    assert total_spread(np.array([1.0, 3.0]), 1) == math.sqrt(2)


def test_centered_is_exact_for_equal_numbers() -> None:
    rows = np.array([[0.1] * 3, [1 / 3] * 3, [1e100] * 3])
    assert not centered(rows).any()
