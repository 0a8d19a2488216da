"""The scale of earlier visits."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest

from levelhead.advantages import TABLE, EmaStd, grpo_no_std
from levelhead.errors import InvalidInputError

NAN = math.nan


def test_a_visit_is_divided_by_the_past_and_then_counts() -> None:
    ema = EmaStd(decay=0.5, eps=0.0, initial=2.0)
    assert ema([4.0, 0.0], [7, 7]).tolist() == [1.0, -1.0]  # 2 / 2, -2 / 2
    scale = 0.5 * 2 + 0.5 * math.sqrt(8)  # the deviation of 4, 0 is sqrt 8
    assert ema.state == {"scales": {7: pytest.approx(scale)}}
    np.testing.assert_allclose(ema([1.0, 0.0], [7, 7]), [0.5 / scale, -0.5 / scale])
    scale = 0.5 * scale + 0.5 * math.sqrt(0.5)
    np.testing.assert_allclose(ema([3.0, 0.0], [7, 7]), [1.5 / scale, -1.5 / scale])


def test_the_first_visit_has_the_initial_scale() -> None:
    rewards, groups = [1.0, 0.0, 5.0, 2.0, 2.0], [1, 1, 0, 0, 3]
    expected = grpo_no_std(rewards, groups)
    np.testing.assert_array_equal(EmaStd(eps=0.0)(rewards, groups), expected)
    np.testing.assert_allclose(EmaStd(eps=0.5)(rewards, groups), expected / 1.5)
    np.testing.assert_allclose(EmaStd(eps=0.0, initial=4.0)(rewards, groups), expected / 4)


def test_ddof_and_decay_0() -> None:
    ema = EmaStd(decay=0.0, ddof=0)
    ema([4.0, 0.0], [7, 7])
    assert ema.state["scales"] == {7: pytest.approx(2.0)}


def test_every_prompt_has_its_own_scale() -> None:
    ema = EmaStd(decay=0.0, eps=0.0)
    ema([4.0, 0.0, 2.0, 0.0, 0.0], [7, 7, 3, 3, 3])
    ema([6.0, 0.0], [5, 5])
    half = math.sqrt(0.5)
    assert ema.state["scales"] == {
        3: pytest.approx(math.sqrt(4 / 3)),
        5: pytest.approx(6 * half),
        7: pytest.approx(4 * half),
    }
    got = ema([1.0, 1.0, 0.0, 0.0, 1.0, 0.0], [7, 3, 7, 3, 1, 1])
    root = math.sqrt(4 / 3)
    expected = [0.5 / (4 * half), 0.5 / root, -0.5 / (4 * half), -0.5 / root, 0.5, -0.5]
    np.testing.assert_allclose(got, expected)


def test_visits_without_a_spread_do_not_count() -> None:
    ema = EmaStd(decay=0.5)
    ema([4.0, 0.0], [7, 7])
    before = ema.state
    near = [0.1, float(np.nextafter(np.float32(0.1), np.float32(1))), float(np.float32(0.1))]
    for rewards in ([1.0, 1.0, 1.0], [NAN, NAN, NAN], [2.0, NAN, NAN], near):
        ema(rewards, [7, 7, 7])
        ema(rewards, [8, 8, 8])
    assert ema.state == before
    assert ema([0.1] * 3, [7] * 3).tolist() == [0.0, 0.0, 0.0]


def test_what_cannot_be_scored_is_left_out() -> None:
    ema, plain = EmaStd(), EmaStd()
    got = ema([4.0, NAN, 0.0, 9.0], [7, 7, 7, 7], valid=[1, 1, 1, 0])
    np.testing.assert_array_equal(got[[0, 2]], plain([4.0, 0.0], [7, 7]))
    assert not got[[1, 3]].any()
    assert ema.state == plain.state


def test_the_state_goes_through_json_and_pickle() -> None:
    ema = EmaStd(decay=0.7)
    ema([4.0, 0.0, 1.0, 0.0], [7, 7, 2, 2])
    twin, restored = pickle.loads(pickle.dumps(ema)), EmaStd(decay=0.7)
    restored.state = json.loads(json.dumps(ema.state))  # keys become texts on the way
    assert twin.state == restored.state == ema.state
    wanted = ema([3.0, 1.0], [7, 7])
    for other in (twin, restored):
        np.testing.assert_array_equal(other([3.0, 1.0], [7, 7]), wanted)


def test_the_state_is_a_copy() -> None:
    ema = EmaStd()
    ema([4.0, 0.0], [7, 7])
    before = ema.state
    ema.state["scales"][7] = 99.0
    ema.scales(np.array([7]))[:] = 99.0
    assert ema.state == before


@pytest.mark.parametrize("state", [{}, {"scales": 3}, {"scales": {"a": 1.0}}, None])
def test_a_state_of_another_form_is_refused(state) -> None:
    with pytest.raises(InvalidInputError, match="^state: expected {'scales': {prompt id: scale}}"):
        EmaStd().state = state


def test_scales_that_are_none_are_refused() -> None:
    with pytest.raises(
        InvalidInputError, match="^state: expected finite scales above 0, got nan for"
    ):
        EmaStd().state = {"scales": {3: NAN}}
    with pytest.raises(InvalidInputError, match="^state: .* above 0, got 0.0 for prompt 7$"):
        EmaStd().state = {"scales": {3: 1.0, 7: 0.0}}


def test_ids_that_64_bits_do_not_hold_are_refused() -> None:
    ema, ends = EmaStd(), [2**63 - 1, -(2**63)]
    ema([4.0, 0.0, 2.0, 0.0], [ends[0], ends[0], ends[1], ends[1]])
    ema.state = ema.state
    assert sorted(ema.state["scales"]) == sorted(ends)
    for far in (2**63, -(2**63) - 1):
        with pytest.raises(InvalidInputError, match=f"^state: expected prompt ids .*, got {far}$"):
            EmaStd().state = {"scales": {far: 1.0}}
    with pytest.raises(
        InvalidInputError, match=rf"^groups: .* below 2\*\*63, got {2**63} at index 0"
    ):
        ema([4.0, 0.0], [2**63, 2**63])
    with pytest.raises(InvalidInputError, match="^groups: expected integers below 2"):
        ema([4.0, 0.0], [2**63, -1])


def test_a_spread_whose_squares_vanish_divides_nothing() -> None:
    """Of 1e-170 and 0 the deviation is 0 in float64, and 0 is no scale."""
    for memory in (EmaStd(decay=0.0, eps=0.0), EmaStd(decay=0.5, eps=0.0)):
        before = memory.state
        memory([1e-170, 0.0], [7, 7])
        memory.dense(np.array([[1e-170, 0.0]]), np.array([7]))
        assert memory.state == before
        assert memory([1.0, 0.0], [7, 7]).tolist() == [0.5, -0.5]
    broken = EmaStd(eps=0.0)
    broken._ids, broken._scales = np.array([7]), np.array([0.0])
    assert broken([1.0, 0.0], [7, 7]).tolist() == [0.0, 0.0]


def test_options_are_checked() -> None:
    with pytest.raises(InvalidInputError, match=r"^decay: expected a number in \[0, 1\), got 1.0$"):
        EmaStd(decay=1.0)
    with pytest.raises(
        InvalidInputError, match="^initial: expected a finite number above 0, got 0"
    ):
        EmaStd(initial=0.0)
    with pytest.raises(InvalidInputError, match="^ddof: expected 0 or 1, got 2$"):
        EmaStd(ddof=2)
    with pytest.raises(InvalidInputError, match="^eps: expected a finite number >= 0, got -1"):
        EmaStd(eps=-1.0)


def test_labels_must_name_the_same_prompt_in_every_call() -> None:
    with pytest.raises(InvalidInputError, match=r"^groups: expected integers below 2\*\*63, which"):
        EmaStd()([1.0, 0.0], ["a", "a"])


def test_dense_blocks_are_calls() -> None:
    draw = np.random.default_rng(0)
    one, two = EmaStd(), EmaStd()
    for _ in range(5):
        rows = draw.permutation(9)[:6]
        block = draw.integers(0, 2, (6, 4)).astype(float)  # some are constant
        called = two(block.ravel(), np.repeat(rows, 4)).reshape(6, 4)
        np.testing.assert_array_equal(one.dense(block, rows), called)
        assert one.state == two.state


def test_rows_of_one_prompt_see_the_same_scale_and_count_with_their_mean() -> None:
    ema = EmaStd(decay=0.5, eps=0.0)
    block = np.array([[4.0, 0.0], [2.0, 0.0], [1.0, 1.0], [6.0, 0.0]])
    got = ema.dense(block, np.array([3, 3, 3, 1]))
    assert got.tolist() == [[2.0, -2.0], [1.0, -1.0], [0.0, 0.0], [3.0, -3.0]]
    half = math.sqrt(0.5)
    assert ema.state["scales"] == {
        1: pytest.approx(0.5 + 0.5 * 6 * half),
        3: pytest.approx(0.5 + 0.5 * 3 * half),
    }


def test_the_table_starts_a_new_memory_each_time() -> None:
    row = TABLE["ema_std"]
    first, second = row.start(), row.start()
    first(np.array([4.0, 0.0]), np.array([7, 7]))
    np.testing.assert_array_equal(
        second(np.array([4.0, 0.0]), np.array([7, 7])), row.function([4.0, 0.0], [7, 7])
    )
