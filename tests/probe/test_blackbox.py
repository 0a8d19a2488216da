"""A black box: what comes out is checked, what goes wrong is named, nothing else is known."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from levelhead.errors import LevelheadError
from levelhead.probe.blackbox import CHUNK, KEPT, BlackBox, EstimatorError, instances

REWARDS = np.random.default_rng(0).normal(size=16)
GROUPS = np.repeat([0, 1], 8)


def box(function: object) -> BlackBox:
    return BlackBox("mine", instances(function))  # type: ignore[arg-type]


def test_any_exception_becomes_a_sentence_with_the_input(planted: ModuleType) -> None:
    with pytest.raises(EstimatorError, match=r"mine raises Unhappy \(not today\) given two groups"):
        box(planted.raises_always).fresh()(REWARDS, GROUPS, "two groups")
    assert issubclass(EstimatorError, LevelheadError)


def test_an_interrupt_stays_one() -> None:
    def stopped(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        box(stopped).fresh()(REWARDS, GROUPS)


def test_the_end_of_a_script_becomes_a_sentence(planted: ModuleType) -> None:
    with pytest.raises(EstimatorError, match=r"mine raises SystemExit \(3\) given"):
        box(planted.leaves).fresh()(REWARDS, GROUPS)

    class Leaves:
        def __init__(self) -> None:
            raise SystemExit

    with pytest.raises(EstimatorError, match="mine raises SystemExit given nothing, while it is"):
        box(Leaves).fresh()


def test_what_is_printed_is_kept_and_not_shown(
    planted: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    one = box(planted.chatty)
    for _ in range(3):
        one.fresh()(REWARDS, GROUPS)
    assert one.printed.startswith("rewards [")
    assert len(one.printed) == KEPT
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda r, g: r[:-1], r"\(15,\)"),
        (lambda r, g: r[:, None], r"\(16, 1\)"),
        (lambda r, g: None, r"\(\)"),
    ],
)
def test_a_wrong_shape_is_named(function: object, shape: str) -> None:
    with pytest.raises(EstimatorError, match=f"returns shape {shape} for 16 rewards"):
        box(function).fresh()(REWARDS, GROUPS)


def test_what_is_not_finite_is_noted_and_counts_as_0(planted: ModuleType) -> None:
    one = box(planted.nan_for_equal)
    got = one.fresh()(np.r_[np.ones(8), REWARDS[:8]], GROUPS, "a group of ones")
    assert got[:8].tolist() == [0.0] * 8
    assert np.isfinite(got).all()
    assert one.not_finite == "a group of ones"
    assert np.isnan(one.fresh().raw(np.ones(16), GROUPS, "ones")).all()


def test_types_writes_sizes_and_calls_are_kept(planted: ModuleType) -> None:
    one, other = box(planted.single_precision), box(planted.writes)
    rewards = REWARDS.copy()
    one.fresh()(rewards, GROUPS)
    other.fresh()(rewards, GROUPS)
    assert (one.dtype, one.writes, one.calls) == ("float32", False, 1)
    assert (other.dtype, other.writes, other.calls) == ("float64", True, 1)
    assert np.array_equal(rewards, REWARDS)  # they were copies
    assert other.largest == pytest.approx(np.abs(planted.centered(REWARDS, GROUPS)).max())


def test_instances_have_no_common_past(planted: ModuleType) -> None:
    used = planted.EarlierMean()
    used(REWARDS, GROUPS)
    for make in (instances(planted.EarlierMean), instances(planted.EarlierMean())):
        first, second = make(), make()
        assert np.array_equal(first(REWARDS, GROUPS), REWARDS)
        assert np.array_equal(second(REWARDS, GROUPS), REWARDS)
        assert not np.array_equal(first(REWARDS, GROUPS), REWARDS)


def test_what_cannot_be_copied_is_used_as_it_is() -> None:
    class Locked:
        def __deepcopy__(self, memo: object) -> object:
            raise TypeError("no copies")

        def __call__(self, rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
            return rewards

    one = Locked()
    assert instances(one)() is one


def test_chunks_of_whole_groups(planted: ModuleType) -> None:
    seen: list[int] = []

    def counting(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        seen.append(np.unique(groups).size)
        assert groups.size == 8 * seen[-1]
        return planted.centered(rewards, groups)

    groups = np.repeat(np.arange(CHUNK + 3), 8)
    rewards = np.random.default_rng(1).normal(size=groups.size)
    got = box(counting).fresh().in_chunks(rewards, groups)
    assert seen == [CHUNK, 3]
    assert np.allclose(got, planted.centered(rewards, groups))
