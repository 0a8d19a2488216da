"""Reinforce, leave-one-out and group-mean baselines, and GAE."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead.advantages import gae, grpo_no_std, reinforce, rloo, rloo_notebook
from levelhead.errors import InvalidInputError

NAN = math.nan
EXACT = 1e-10


def test_by_hand() -> None:
    rewards, groups = [4.0, 1.0, 0.0, 3.0], [7, 8, 7, 7]  # group 7: 4, 0, 3; group 8: 1
    assert reinforce(rewards, groups).tolist() == [4.0, 1.0, 0.0, 3.0]
    np.testing.assert_allclose(rloo(rewards, groups), [2.5, 0, -3.5, 1], atol=1e-15)
    np.testing.assert_allclose(grpo_no_std(rewards, groups), [5 / 3, 0, -7 / 3, 2 / 3], atol=1e-15)
    np.testing.assert_allclose(rloo_notebook(rewards, groups), [3, 1, -7 / 3, 5 / 3], atol=1e-15)


def test_what_cannot_be_scored_is_left_out() -> None:
    rewards, groups = [4.0, NAN, 0.0, 99.0, 3.0, NAN], [7, 7, 7, 7, 7, 8]
    valid = [True, True, True, False, True, True]
    got = rloo(rewards, groups, valid=valid)
    np.testing.assert_allclose(got, [2.5, 0, -3.5, 0, 1, 0], atol=1e-15)
    assert reinforce(rewards, groups, valid=valid).tolist() == [4.0, 0.0, 0.0, 0.0, 3.0, 0.0]
    expected = [5 / 3, 0, -7 / 3, 0, 2 / 3, 0]
    np.testing.assert_allclose(grpo_no_std(rewards, groups, valid=valid), expected, atol=1e-15)


def test_a_group_with_one_reward_that_counts() -> None:
    for function in (rloo, grpo_no_std):
        assert function([5.0], [0]).tolist() == [0.0]
        assert function([5.0, NAN, 2.0], [0, 0, 1]).tolist() == [0.0, 0.0, 0.0]
    for function in (reinforce, rloo_notebook):
        assert function([5.0, NAN, 2.0], [0, 0, 1]).tolist() == [5.0, 0.0, 2.0]


@pytest.mark.parametrize("value", [0.1, float(np.float32(0.1)), 1 / 3, 1e6 / 3, -7.7, 0.0])
@pytest.mark.parametrize("size", [2, 3, 7, 10])
def test_a_constant_group_gets_exactly_zero(value: float, size: int) -> None:
    for function in (rloo, grpo_no_std):
        assert function([value] * size, [3] * size).tolist() == [0.0] * size


def test_a_large_offset_costs_no_digits() -> None:
    offset = 2.0**30
    got = rloo(np.array([0.5, 0.25, 0.125]) + offset, [1, 1, 1])
    assert got.tolist() == rloo([0.5, 0.25, 0.125], [1, 1, 1]).tolist()


@given(
    st.lists(
        st.tuples(
            st.one_of(st.just(NAN), st.floats(-10, 10), st.sampled_from([0.0, 1.0])),
            st.integers(-2, 3),
        ),
        max_size=30,
    )
)
@settings(max_examples=60, deadline=None)
def test_loops_say_the_same(rows: list[tuple[float, int]]) -> None:
    rewards, groups = [r for r, _ in rows], [g for _, g in rows]
    left, means, notebook = [], [], []
    for i, (own, group) in enumerate(rows):
        rest = [r for j, (r, g) in enumerate(rows) if g == group and j != i and not math.isnan(r)]
        scorable = not math.isnan(own)
        enough = scorable and bool(rest)
        left.append(own - sum(rest) / len(rest) if enough else 0.0)
        means.append(own - (sum(rest) + own) / (len(rest) + 1) if enough else 0.0)
        notebook.append(own - sum(rest) / (len(rest) + 1) if scorable else 0.0)
    np.testing.assert_allclose(rloo(rewards, groups), left, atol=1e-12)
    np.testing.assert_allclose(grpo_no_std(rewards, groups), means, atol=1e-12)
    np.testing.assert_allclose(rloo_notebook(rewards, groups), notebook, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_expected_advantages_by_enumeration(setting, size: int) -> None:
    """Leave-one-out gives A, the group mean (G - 1) / G A, the notebook's baseline A + V / G."""
    truth = setting.advantage
    np.testing.assert_allclose(setting.expected(rloo, size), truth, atol=EXACT)
    got = setting.expected(grpo_no_std, size)
    np.testing.assert_allclose(got, (size - 1) / size * truth, atol=EXACT)
    got = setting.expected(rloo_notebook, size)
    np.testing.assert_allclose(got, truth + setting.value / size, atol=EXACT)
    np.testing.assert_allclose(setting.expected(reinforce, size), setting.quality, atol=EXACT)


# ---- GAE


def test_gae_by_hand() -> None:
    # delta = 1 + .5 * 4 - 2, 0 + .5 * 6 - 4, 3 - 6 = 1, -1, -3; gamma lam = 1/4
    got = gae([[1.0, 0.0, 3.0]], [[2.0, 4.0, 6.0]], gamma=0.5, lam=0.5)
    assert got.tolist() == [[1 - 1 / 4 - 3 / 16, -1 - 3 / 4, -3.0]]


def test_without_discount_gae_is_the_reward_to_go_minus_the_value() -> None:
    draw = np.random.default_rng(0)
    rewards, values = draw.normal(size=(4, 6)), draw.normal(size=(4, 6))
    to_go = np.array([[row[t:].sum() for t in range(6)] for row in rewards])
    np.testing.assert_allclose(gae(rewards, values), to_go - values, atol=1e-13)


def test_one_step_errors_for_lam_0() -> None:
    got = gae([[1.0, 2.0]], [[10.0, 20.0]], gamma=0.5, lam=0.0)
    assert got.tolist() == [[1 + 10 - 10.0, 2 - 20.0]]


def slow_gae(rewards, values, mask, gamma: float, lam: float) -> np.ndarray:
    out = np.zeros(np.shape(rewards))
    for row in range(len(rewards)):
        steps = [t for t in range(len(rewards[row])) if mask[row][t]]
        for here, t in enumerate(steps):
            total = 0.0
            for ahead, u in enumerate(steps[here:]):
                place = here + ahead
                after = values[row][steps[place + 1]] if place + 1 < len(steps) else 0.0
                delta = rewards[row][u] + gamma * after - values[row][u]
                total += (gamma * lam) ** ahead * delta
            out[row, t] = total
    return out


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.9, 0.95), (1.0, 0.5), (0.8, 0.0)])
def test_gae_skips_padding_and_what_a_tool_wrote(gamma: float, lam: float) -> None:
    draw = np.random.default_rng(1)
    mask = np.array(
        [
            [1, 1, 1, 1, 1, 1],
            [1, 1, 1, 0, 0, 0],  # padding on the right
            [0, 0, 1, 1, 1, 1],  # on the left
            [1, 0, 0, 1, 1, 0],  # a tool's output inside
            [0, 0, 0, 0, 0, 0],
        ]
    )
    rewards, values = draw.normal(size=mask.shape), draw.normal(size=mask.shape)
    rewards[3, 1], values[1, 5] = NAN, NAN  # masked numbers are not read
    got = gae(rewards, values, mask=mask, gamma=gamma, lam=lam)
    np.testing.assert_allclose(got, slow_gae(rewards, values, mask, gamma, lam), atol=1e-13)
    packed = gae(
        [[rewards[3, 0], rewards[3, 3], rewards[3, 4]]],
        [[values[3, 0], values[3, 3], values[3, 4]]],
        gamma=gamma,
        lam=lam,
    )
    np.testing.assert_allclose(got[3, [0, 3, 4]], packed[0], atol=1e-14)
    assert not got[mask == 0].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0]), "rewards: expected shape (N, T), got (1,)"),
        (([["a"]], [[1.0]]), "rewards: expected numbers of shape (N, T)"),
        (([[1.0]], [[1.0, 2.0]]), "values: expected shape (1, 1) as rewards have, got (1, 2)"),
        (
            ([[1.0, 0.0]], [[1.0, math.inf]]),
            "values: expected finite numbers where the mask is 1, got inf in row 0 at token 1",
        ),
        (
            ([[1.0], [NAN]], [[1.0], [2.0]]),
            "rewards: expected finite numbers where the mask is 1, got nan in row 1 at token 0",
        ),
    ],
)
def test_gae_refuses(arguments: tuple[list, list], message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{re.escape(message)}$"):
        gae(*arguments)


def test_gae_refuses_options_outside_their_range() -> None:
    one = [[1.0]]
    with pytest.raises(InvalidInputError, match=r"^gamma: expected a number in \[0, 1\], got 1.1$"):
        gae(one, one, gamma=1.1)
    with pytest.raises(InvalidInputError, match=r"^lam: expected a number in \[0, 1\], got -0.1$"):
        gae(one, one, lam=-0.1)
    with pytest.raises(InvalidInputError, match="mask: expected only 0 and 1"):
        gae(one, one, mask=[[2]])
    with pytest.raises(InvalidInputError, match=r"mask: expected shape \(1, 1\) as rewards have"):
        gae(one, one, mask=[1])


def test_gae_leaves_its_inputs_alone() -> None:
    rewards, values, mask = np.ones((2, 3)), np.ones((2, 3)), np.array([[1, 1, 0], [1, 0, 1]])
    for array in (rewards, values, mask):
        array.flags.writeable = False
    gae(rewards, values, mask=mask)
