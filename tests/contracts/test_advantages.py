"""Every estimator in the table keeps the contracts of `levelhead.testing`, also under hypothesis."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead.advantages import TABLE, Estimator
from levelhead.testing import Batch, ContractError, check_advantage, gradient_angle
from levelhead.testing._gradient import World

EXAMPLES = 15
LARGEST = 24
SAME = 1e-9
"""Degrees between directions that are equal up to rounding."""

rewards = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, -1.0, 0.1]),
    st.integers(-5000, 5000).map(lambda k: k / 1000),  # a shift neither parts nor joins them
)


@pytest.fixture(scope="module", autouse=True)
def _cases_once() -> Iterator[None]:
    """The cases of a world are the same at every check, and enumerating them is most of its cost."""
    enumerate_cases = World.cases

    @functools.cache
    def cases(world: World):
        found = enumerate_cases(world)
        for array in found:
            array.setflags(write=False)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "cases", cases)
        yield


@st.composite
def given_batches(draw: st.DrawFn) -> Batch:
    """Many ties or none; groups of one and more, mixed or together."""
    pool = draw(st.lists(rewards, min_size=1, max_size=LARGEST))
    rows = draw(
        st.lists(st.tuples(st.sampled_from(pool), st.integers(0, 5)), min_size=1, max_size=LARGEST)
    )
    if draw(st.booleans()):
        rows.sort(key=lambda row: row[1])
    r, g = zip(*rows, strict=True)
    return Batch(np.array(r, dtype=np.float64), np.array(g, dtype=np.int64))


def check(row: Estimator, inputs: list[Batch] | None = None) -> None:
    check_advantage(
        row.start(),
        gradient=row.gradient,
        factor=row.factor if row.gradient == "proportional" else None,
        scope=row.scope,
        centered=row.centered,
        inputs=inputs,
        name=row.name,
    )


ROWS = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())


@ROWS
def test_an_estimator_keeps_its_contracts(row: Estimator) -> None:
    check(row)


@ROWS
@given(batch=given_batches())
@settings(max_examples=EXAMPLES, deadline=None)
def test_an_estimator_keeps_its_contracts_on_any_batch(row: Estimator, batch: Batch) -> None:
    check(row, [batch])


@ROWS
def test_an_estimator_cannot_pass_for_another_kind(row: Estimator) -> None:
    biased = row.gradient in ("biased", "other")
    with pytest.raises(ContractError, match=f"^{row.name}: expected a"):
        check_advantage(
            row.start(),
            gradient="proportional" if biased else "biased",
            scope=row.scope,
            centered=row.centered,
            name=row.name,
        )


@ROWS
def test_what_is_off_is_off_by_degrees(row: Estimator) -> None:
    angle = gradient_angle(row.start(), scope=row.scope)
    if row.gradient in ("biased", "other"):
        assert angle > 10.0
    else:
        assert angle < SAME


@pytest.mark.parametrize("name", ["loo_std", "max_at_k", "rloo", "pl_zscore"])
@given(batch=given_batches())
@settings(max_examples=EXAMPLES, deadline=None)
def test_equal_rewards_get_exactly_zero(name: str, batch: Batch) -> None:
    for value in (0.1, 1 / 3, 1e6 / 3):
        assert not TABLE[name].function(np.full(batch.rewards.size, value), batch.groups).any()
