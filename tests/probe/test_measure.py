"""Exact expectations and ends, against closed forms and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from levelhead.advantages import TABLE
from levelhead.lab.expectation import expected_advantage
from levelhead.lab.meanfield import FixedPoints, fixed_points
from levelhead.probe import measure
from levelhead.probe.blackbox import BlackBox, instances
from levelhead.probe.measure import CLOSED, GRIDS, Setting, biases_at, exact, policies, pull

EXACT = 1e-9


def measured(name: str, outcomes: str = "shared", group_size: int = 8, reward: str = "log"):
    box = BlackBox(name, instances(TABLE[name].function))
    found = exact(box, reward, outcomes, group_size, seed=0)
    if found is None:
        raise ValueError("expected a table")
    return found


def one_step(*given, **named) -> FixedPoints:
    return fixed_points(*given, **{**named, "steps": 1})


def test_the_world_by_hand() -> None:
    setting = Setting.of("brier", "shared", 4, (0.01, 0.5, 0.75, 0.99))
    assert setting.truths.tolist() == [0.5, 0.75]
    assert setting.rewards[:, 1].tolist() == [-0.25, -0.25]
    assert setting.rewards[:, 2] == pytest.approx([-0.5625, -0.0625])
    assert setting.near(0.75).argmax() == 2


def test_how_many_groups_there_are() -> None:
    # ln(0.1) is a reward under both outcomes of a symmetric grid: 9 rewards and no more.
    assert Setting.of("log", "shared", 8, GRIDS[0]).n_groups() == math.comb(16, 8)
    assert Setting.of("log", "independent", 8, GRIDS[0]).n_groups() == math.comb(16, 8)
    assert Setting.of("trust", "shared", 8, GRIDS[0]).n_groups() == 2 * math.comb(16, 8)
    assert Setting.of("trust", "independent", 2, GRIDS[0]).n_groups() == math.comb(19, 2)


def test_larger_groups_get_fewer_tokens_until_none_are_left() -> None:
    sizes = {8: 9, 16: 7, 32: 5, 40: 4, 100: 4}
    for group_size, n_tokens in sizes.items():
        assert measured("rloo", group_size=group_size)[0].values.size == n_tokens
    box = BlackBox("rloo", instances(TABLE["rloo"].function))
    assert exact(box, "log", "shared", 512, seed=0) is None


def test_worlds_of_three_tokens_stand_beside_one_another() -> None:
    setting, ends, biases = measured("rloo", group_size=100)
    assert setting.values.tolist() == [0.01, 0.25, 0.75, 0.99]
    assert setting.truths.tolist() == [0.25, 0.75]
    assert ends.policy == pytest.approx(np.array([[0, 1, 0, 0], [0, 0, 1, 0]]), abs=1e-3)
    assert ends.start is not None
    assert ends.start == pytest.approx(np.array([[1, 1, 0, 1], [1, 0, 1, 1]]) / 3)
    assert [b.cosine for b in biases] == pytest.approx([1.0] * len(biases), abs=EXACT)
    (uniform,) = [b for b in biases if (b.policy, b.p) == ("uniform", 0.75)]
    assert uniform.probability == pytest.approx((1 / 3, 0.0, 1 / 3, 1 / 3))
    assert math.isnan(uniform.expected[1])
    reward = 0.75 * np.log([0.01, 0.75, 0.99]) + 0.25 * np.log([0.99, 0.25, 0.01])
    assert np.delete(uniform.expected, 1) == pytest.approx(reward - reward.mean())


@pytest.mark.parametrize("name", sorted(CLOSED))
def test_ours_are_exact_where_no_table_is_possible(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where one is possible, it has the closed form's expectations."""
    box = BlackBox(name, instances(TABLE[name].function), known=name)
    large = exact(box, "log", "shared", 1024, seed=0)
    assert large is not None
    setting, ends, _ = large
    assert setting.values.tolist() == list(GRIDS[0])
    assert (ends.error == 0).all()
    mean = ends.policy @ setting.values
    assert mean + mean[::-1] == pytest.approx(np.ones(7), abs=1e-3)
    assert box.calls == 0
    # The way to the ends is nearly all of the work, and it is the biases that are compared.
    monkeypatch.setattr(measure, "fixed_points", one_step)
    with_table, _, biases = measured(name, group_size=16)
    for bias in biases:
        policy = np.array(bias.probability)
        got = expected_advantage(name, policy, bias.p, with_table.rewards, 16)[0]
        assert bias.expected == pytest.approx(got - policy @ got, abs=1e-6)


def test_standardization_drives_to_the_ends_in_the_largest_groups() -> None:
    box = BlackBox("grpo", instances(TABLE["grpo"].function), known="grpo")
    for group_size in (64, 256, 1024):
        found = exact(box, "log", "shared", group_size, seed=0)
        assert found is not None
        mean = found[1].policy @ found[0].values
        wanted = [0.01, 0.01, 0.01, 0.5, 0.99, 0.99, 0.99]
        assert mean == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("outcomes", ["shared", "independent"])
@pytest.mark.parametrize(("name", "factor"), [("rloo", 1.0), ("grpo_no_std", 7 / 8)])
def test_unbiased_estimators_have_the_exact_direction_everywhere(
    name: str, factor: float, outcomes: str
) -> None:
    setting, ends, biases = measured(name, outcomes)
    assert [b.cosine for b in biases] == pytest.approx([1.0] * len(biases), abs=EXACT)
    assert [b.factor for b in biases] == pytest.approx([factor] * len(biases), abs=EXACT)
    assert all(b.pull == pytest.approx(b.exact_pull, abs=EXACT) for b in biases)
    assert ends.policy @ setting.values == pytest.approx(setting.truths, abs=1e-3)
    assert ends.settled.all()


def test_two_standardized_samples_follow_the_ranks() -> None:
    """With G = 2 the advantage is +-1/sqrt(2): (2p - 1) / sqrt(2) [F(k-) - (1 - F(k))]."""
    setting, _, biases = measured("grpo", group_size=2)
    for bias in biases:
        pi = np.array(bias.probability)
        above = 1.0 - np.cumsum(pi)
        below = np.cumsum(pi) - pi
        expected = (2 * bias.p - 1) / np.sqrt(2) * (below - above)
        assert bias.expected == pytest.approx(expected - pi @ expected, abs=1e-5)
    assert setting.values.size == 9


def test_linear_ranks_cannot_see_the_reward() -> None:
    """2 (2p - 1) [F(k-) - (1 - F(k))] for every group size and every reward."""
    for reward in ("log", "brier"):
        for bias in measured("rank_linear", reward=reward)[2]:
            pi = np.array(bias.probability)
            expected = 2 * (2 * bias.p - 1) * (np.cumsum(pi) - pi - (1.0 - np.cumsum(pi)))
            assert bias.expected == pytest.approx(expected - pi @ expected, abs=1e-9)


def test_standardization_drives_to_the_ends() -> None:
    setting, ends, _ = measured("grpo")
    mean = ends.policy @ setting.values
    assert mean[[0, 1]] == pytest.approx([0.01, 0.01], abs=1e-3)
    assert mean[[-2, -1]] == pytest.approx([0.99, 0.99], abs=1e-3)


def test_pull_by_hand() -> None:
    v, pi = np.array([0.2, 0.4, 0.9]), np.array([0.5, 0.25, 0.25])
    assert pull(v, pi, 3 * v + 1) == pytest.approx(1.0)
    assert pull(v, pi, -v) == pytest.approx(-1.0)
    assert pull(v, pi, np.full(3, 7.0)) == 0.0
    # cov = 0.5 * 0.25 * (0.9 - 0.3), var v = 0.0825, var a = 0.1875; mean v = 0.425
    got = pull(v, pi, np.array([0.0, 0.0, 1.0]))
    assert got == pytest.approx((0.225 - 0.425 * 0.25) / np.sqrt(0.081875 * 0.1875))


def test_biases_are_centered_and_named() -> None:
    setting = Setting.of("log", "shared", 4, GRIDS[2])
    names = [name for name, _ in policies(setting)]
    assert names == ["uniform", "near the truth", "near 0.25", "near 0.5", "near 0.75"]
    flat = np.full((3, 5), 2.0)
    (first, *_) = biases_at(setting, "uniform", setting.uniform, flat, np.zeros((3, 5)))
    assert first.expected == pytest.approx([0.0] * 5)
    assert math.isnan(first.cosine)
    assert first.factor == pytest.approx(0.0)
    assert first.pull == 0.0
