"""One check of options and of returned advantages, for every trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from levelhead.advantages import TABLE
from levelhead.errors import ConfigError, InvalidInputError
from levelhead.train._estimator_checks import check_options, checked_advantages

NAN = float("nan")


def checked(function: Callable[..., Any], rewards: list[float], name: str = "f") -> list[float]:
    groups = np.zeros(len(rewards), dtype=np.int64)
    array = np.array(rewards)
    return checked_advantages(function, array, groups, argument="advantage", name=name).tolist()


def test_what_is_unscorable_gets_0() -> None:
    """Whatever the function says of it, a number or NaN; integers become floats."""
    assert checked(lambda r, g: np.where(np.isnan(r), 9.0, r + 1.0), [1.0, NAN]) == [2.0, 0.0]
    assert checked(lambda r, g: r / 0.5, [NAN, 2.0]) == [0.0, 4.0]
    assert checked(lambda r, g: [2, 3], [0.0, 1.0]) == [2.0, 3.0]
    assert checked(lambda r, g: r, []) == []


@pytest.mark.parametrize(
    ("function", "rewards", "said"),
    [
        (
            lambda r, g: r[:, None],
            [1.0, 0.0],
            r"expected one advantage for each of 2 rewards, shape \(2,\), got shape \(2, 1\); try it "
            r"alone with `levelhead probe`$",
        ),
        (
            lambda r, g: {}["x"],
            [1.0],
            r"the function raised KeyError: 'x' at .*given 1 reward; try",
        ),
        (
            lambda r, g: ["up"],
            [1.0],
            r"the function returned no array of numbers, which raised ValueError: .*; try it alone",
        ),
        (
            lambda r, g: r * np.array([1.0, np.inf]),
            [1.0, 0.5],
            r"expected finite advantages, got inf at index 1, where the reward is 0\.5; try it alone "
            r"with `levelhead probe`$",
        ),
        (
            lambda r, g: r - r.mean(),
            [NAN, 0.5, NAN],
            r"expected finite advantages, got nan at index 1, where the reward is 0\.5; 2 of 3 rewards "
            r"are NaN, which stands for a completion that could not be scored: leave them out of every "
            r"mean$",
        ),
    ],
)
def test_what_is_wrong_is_said(
    function: Callable[..., Any], rewards: list[float], said: str
) -> None:
    with pytest.raises(ConfigError, match=f"^advantage f: {said}"):
        checked(function, rewards)


def test_what_can_be_loaded_by_its_name_is_probed_by_it() -> None:
    with pytest.raises(ConfigError, match=r"^advantage my\.py:f: .*`levelhead probe my\.py:f`$"):
        checked(lambda r, g: 0.0, [1.0], name="my.py:f")


def test_options_are_those_of_the_signature() -> None:
    check_options("key", "grpo", ["eps", "ddof"])
    check_options("key", "ema_std", ["decay", "initial"])  # of what `new` makes
    check_options("key", "my.py:f", ["anything"])
    for name in TABLE:
        check_options("key", name, [])
        with pytest.raises(InvalidInputError, match=rf"^key: .* of {name} \(.*\), got valid"):
            check_options("key", name, ["valid"])


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("rloo", ["tau"], r"key: expected options of rloo \(none\), got tau"),
        ("gae", ["lam"], r"key: expected options of gae \(none\), got lam"),
        ("grpo", ["epz"], r"key: expected options of grpo \(.*\), got epz; did you mean 'eps'\?"),
        ("grpo", ["eps", "rank", "tau"], r"key: expected options of grpo \(.*\), got rank, tau"),
    ],
)
def test_an_option_that_there_is_not(name: str, options: list[str], said: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{said}$"):
        check_options("key", name, options)
