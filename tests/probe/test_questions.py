"""Each question recognizes what it asks for, and only that, in estimators whose answer is known."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from levelhead.advantages import TABLE
from levelhead.probe.blackbox import BlackBox, EstimatorError, instances
from levelhead.probe.questions import Leak, Traits, ask

IGNORED = {"adjacent", "singleton", "unequal", "nan_reward", "one_group", "bound", "affine"}
"""What every function that reshapes into rows has in common, and a float."""


def traits(function: Any, group_size: int = 8, seed: int = 0) -> Traits:
    return ask(BlackBox("mine", instances(function)), group_size, seed=seed)


def unusual(found: Traits) -> dict[str, Any]:
    """What differs from (reward - group mean)."""
    plain = Traits()
    return {
        f.name: getattr(found, f.name)
        for f in dataclasses.fields(Traits)
        if f.name not in IGNORED and getattr(found, f.name) != getattr(plain, f.name)
    }


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("centered", {}),
        ("single_precision", {}),
        ("raises_for_one_group", {}),
        ("per_group", {"degree": 0, "batch_degree": 0}),
        ("per_group_ddof1", {"degree": 0, "batch_degree": 0}),
        ("variance", {"degree": -1, "batch_degree": -1}),
        ("wrong_sign", {"direction": -1}),
        ("by_rank", {"degree": 0, "batch_degree": 0, "ranks": True}),
        (
            "best_only",
            {"degree": 0, "batch_degree": 0, "ranks": True, "winner": True, "asymmetric": True},
        ),
        ("nan_for_equal", {"degree": 0, "batch_degree": 0, "constant_group": "nan"}),
        (
            "twice",
            {"degree": 0, "batch_degree": 0}
            | {"leak": Leak(any=True, scale=True, constant_only=True)},
        ),
        ("previous_sample", {"ordered": True}),
        ("EarlierSpread", {"stateful": True, "history": "scale"}),
    ],
)
def test_traits_that_differ_from_a_plain_baseline(
    planted: ModuleType, name: str, expected: dict[str, Any], seed: int
) -> None:
    assert unusual(traits(getattr(planted, name), seed=seed)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wrong_axis_spread", Leak(any=True, scale=True, by_position=True)),
        ("wrong_axis", Leak(any=True, scale=True, shift=True, by_position=True)),
        ("leaking_baseline", Leak(any=True, shift=True)),
        ("neighbors_baseline", Leak(any=True, shift=True, some_groups=True)),
        ("previous_of_all", Leak(any=True, shift=True, some_groups=True)),
        ("batch_spread", Leak(any=True, scale=True)),
        ("centered", Leak()),
        ("no_baseline", Leak()),
    ],
)
def test_what_other_prompts_do(planted: ModuleType, name: str, expected: Leak) -> None:
    found = traits(getattr(planted, name))
    assert found.leak == expected
    assert found.tabulable != expected.any


def test_order_that_matters_through_the_same_position_only(planted: ModuleType) -> None:
    for name in ("wrong_axis", "wrong_axis_spread"):
        found = traits(getattr(planted, name))
        assert (found.ordered, found.same_position) == (True, True)
    found = traits(planted.previous_sample)
    assert (found.ordered, found.same_position) == (True, False)


def test_constants_added_to_rewards(planted: ModuleType) -> None:
    none = traits(planted.no_baseline)
    assert (none.own_baseline, none.all_baseline) == (pytest.approx(1), pytest.approx(1))
    # r - (mean - r / G): of a constant c, c - (c - c / G) = c / 8 remains.
    part = traits(TABLE["rloo_notebook"].function)
    assert (part.own_baseline, part.all_baseline) == (pytest.approx(1 / 8), pytest.approx(1 / 8))
    # The mean over 6 groups: 5 / 6 of what is added to one group remains, nothing of what all get.
    batch = traits(planted.leaking_baseline)
    assert (batch.own_baseline, batch.all_baseline) == (pytest.approx(5 / 6), 0)


def test_bounds(planted: ModuleType) -> None:
    cut = traits(planted.cut_off)
    assert (cut.bound, cut.clipped) == (pytest.approx(1.0), True)
    share = traits(TABLE["pl_softmax"].function)
    assert (share.bound, share.clipped) == (pytest.approx(7 / 8), False)
    assert traits(planted.centered).bound == np.inf
    assert traits(planted.per_group).bound == np.inf  # bounded, but at any distance alike


@pytest.mark.parametrize(
    ("name", "degree", "affine"),
    [
        ("centered", 1.0, True),
        ("per_group", 0.0, True),
        ("root_of_spread", 0.5, True),
        ("variance", -1.0, True),
        ("signs", 0.0, False),
        ("no_bad_samples", 1.0, False),
        ("cut_off", np.nan, False),
    ],
)
def test_the_power_of_a_groups_scale(
    planted: ModuleType, name: str, degree: float, affine: bool
) -> None:
    found = traits(getattr(planted, name))
    assert found.degree == pytest.approx(degree, abs=0.01, nan_ok=True)
    assert found.affine == affine


def test_good_and_bad_samples(planted: ModuleType) -> None:
    names = ("no_bad_samples", "half_of_bad", "centered", "cut_off", "per_group", "by_rank")
    found = {name: traits(getattr(planted, name)) for name in names}
    assert [n for n, t in found.items() if t.asymmetric] == ["no_bad_samples", "half_of_bad"]
    assert [n for n, t in found.items() if t.no_negative] == ["no_bad_samples"]


def test_a_factor_from_the_past_is_a_divisor_only_if_it_shrinks(planted: ModuleType) -> None:
    class Multiplied(planted.EarlierSpread):
        def __call__(self, rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
            ids = groups[::8].tolist()
            before = np.array([self.spread.get(i, 1.0) for i in ids])
            super().__call__(rewards, groups)
            return (planted.rows(planted.centered(rewards, groups)) * before[:, None]).ravel()

    assert traits(planted.EarlierSpread).history == "scale"
    assert traits(Multiplied).history == "other"


def test_odd_inputs(planted: ModuleType) -> None:
    plain = traits(planted.centered)
    assert plain.singleton == "raises"
    assert "given groups of unequal size" in plain.unequal
    assert plain.nan_reward == "its group"
    assert plain.adjacent
    alone = traits(planted.raises_for_one_group)
    assert "a batch needs two prompts" in alone.one_group
    assert traits(planted.leaking_baseline).nan_reward == "the batch"
    ours = traits(TABLE["rloo"].function)
    assert (ours.singleton, ours.unequal, ours.one_group) == ("zero", "", "")
    assert (ours.nan_reward, ours.adjacent) == ("nowhere", False)
    assert traits(TABLE["reinforce"].function).singleton == "reward"


def test_ties_broken_by_position() -> None:
    def broken(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        rank = rewards.reshape(-1, 8).argsort(1).argsort(1)
        return (rank - 3.5).ravel()

    assert traits(broken).constant_group == "unequal"


def test_random_stateful_and_labels(planted: ModuleType) -> None:
    assert traits(planted.noisy).random
    assert traits(planted.by_id).labels
    assert traits(planted.EarlierMean).history == "shift"
    assert traits(planted.nothing).direction == 0


def test_two_samples_of_a_group_leave_nothing_but_their_order(planted: ModuleType) -> None:
    assert traits(TABLE["grpo"].function, group_size=2).ranks
    assert not traits(TABLE["rloo"].function, group_size=2).ranks


@pytest.mark.parametrize("name", TABLE)
def test_our_estimators_are_what_they_declare(name: str) -> None:
    row = TABLE[name]
    found = traits(row.new or row.function)
    assert found.direction == 1
    assert found.stateful == (row.scope == "history")
    assert found.leak.any == (row.scope == "batch")
    assert found.centered == row.centered
    assert (found.random, found.ordered, found.labels) == (False, False, False)


def test_what_fails_on_an_ordinary_batch(planted: ModuleType) -> None:
    with pytest.raises(EstimatorError, match="returns shape"):
        traits(planted.one_too_few)

    def broken(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return np.where(np.arange(rewards.size) == 3, np.nan, rewards)

    with pytest.raises(EstimatorError, match="returns nan for sample 3 of 48 ordinary rewards"):
        traits(broken)
