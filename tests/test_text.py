"""How numbers read in sentences."""

from __future__ import annotations

import math

import pytest

from levelhead._text import interval, number, p_value, percent, plural, points, signed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0%"), (1e-9, "<0.1%"), (0.0005, "0.1%"), (0.004, "0.4%"), (0.05, "5%"),
        (0.994, "99.4%"), (0.9999, ">99.9%"), (1.0, "100%"), (None, "undefined"),
        (float("nan"), "undefined"), (-0.05, "−5%"), (-1e-9, ">−0.1%"), (-0.9999, "<−99.9%"),
    ],
)  # fmt: skip
def test_only_nothing_and_everything_print_as_such(value: float | None, text: str) -> None:
    assert percent(value) == text


def test_one_of_a_thing_has_no_s() -> None:
    assert [plural(n, "row") for n in (0, 1, 2, 1500)] == [
        "0 rows",
        "1 row",
        "2 rows",
        "1,500 rows",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "undefined"), (float("nan"), "undefined"), (0.0, "0.000"), (0.2922134, "0.292"),
     (-0.0341, "−0.034"), (0.0004, "<0.001"), (-0.0004, ">−0.001"), (0.0005, "0.001"),
     (1.0, "1.000")],
)  # fmt: skip
def test_numbers_have_three_decimals_and_undefined_is_never_zero(
    value: float | None, text: str
) -> None:
    assert number(value) == text


def test_numbers_with_other_decimals() -> None:
    assert (number(0.25, 1), number(-2.4917, 2)) == ("0.2", "−2.49")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "+0.250"), (-0.25, "−0.250"), (0.0, "0.000"), (-0.0, "0.000"), (-1e-17, "0.000"),
     (-0.00042, "−0.0004"), (0.0006, "+0.001"), (3e-7, "+0.0000003"), (None, "undefined"),
     (math.inf, "undefined")],
)  # fmt: skip
def test_a_change_has_a_sign_and_says_on_which_side_of_0_it_is(
    value: float | None, text: str
) -> None:
    assert signed(value) == text


def test_changes_with_other_decimals() -> None:
    assert (signed(-1.005, 1), signed(-0.22, 2), signed(0.0, 2)) == ("−1.0", "−0.22", "0.00")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.134, "+13.4"), (-0.0467, "−4.7"), (0.0, "0.0"), (-1e-17, "0.0"), (-0.0002, "−0.02"),
     (math.nan, "undefined"), (None, "undefined"), (1.0, "+100.0")],
)  # fmt: skip
def test_points_are_of_a_percentage(value: float | None, text: str) -> None:
    assert points(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0317, "p = 0.032"), (1.0, "p = 1.000"), (0.0009999, "p < 0.001"), (0.001, "p = 0.001"),
     (1 / 200, "p = 0.005"),  # none of 199 draws
     (1 / 1001, "p < 0.001"),  # none of 1,000
     (0.0, "p < 0.001"), (math.nan, "p undefined"), (None, "p undefined")],
)  # fmt: skip
def test_p_values(p: float | None, text: str) -> None:
    assert p_value(p) == text


@pytest.mark.parametrize(
    ("p", "level", "text"),
    [(0.0504, 0.05, "p = 0.0504"), (0.05, 0.05, "p = 0.050"), (0.0496, 0.05, "p = 0.050"),
     (0.02504, 0.025, "p = 0.02504"), (0.3, 0.05, "p = 0.300"), (0.0008, 0.0005, "p = 0.0008"),
     (0.0003, 0.0005, "p = 0.0003"), (1e-5, 0.0005, "p < 0.0001"), (1e-5, 0.05, "p < 0.001"),
     (math.nan, 0.05, "p undefined"), (0.05 + 1e-15, 0.05, "p = 0.050000000")],
)  # fmt: skip
def test_a_p_value_reads_on_its_side_of_the_level(p: float, level: float, text: str) -> None:
    assert p_value(p, level) == text


@pytest.mark.parametrize(
    ("low", "high", "change", "text"),
    [(0.1, 0.25, False, "[0.100, 0.250]"), (-0.1, 0.25, True, "[−0.100, +0.250]"),
     (-0.0, 0.2, False, "[0.000, 0.200]"), (0.0, 0.2, True, "[0.000, +0.200]"),
     (-1e-17, 1e-17, True, "[0.000, 0.000]"), (-0.0004, 0.0004, True, "[−0.000, +0.000]"),
     (None, 1.0, True, ""), (0.0, math.inf, False, "")],
)  # fmt: skip
def test_an_interval_has_no_sign_before_0(
    low: float | None, high: float | None, change: bool, text: str
) -> None:
    assert interval(low, high, change=change) == text


def test_no_zero_is_negative_and_no_rounding_is_a_difference() -> None:
    assert (percent(-0.0), number(-0.0), points(-0.0)) == ("0%", "0.000", "0.0")
    assert (points(1e-10), points(-9e-10), points(2e-9)) == ("0.0", "0.0", "+0.0000002")


def test_what_is_not_all_never_reads_as_all() -> None:
    assert (percent(0.9995), percent(0.99949), percent(-0.9995)) == (">99.9%", "99.9%", "<−99.9%")
