"""Operations and equations in texts, counted by hand."""

from __future__ import annotations

import time

import pytest

from levelhead.diagnose.difficulty._equations import (
    equation_validity,
    number_of,
    operation_count,
    right_hand_sides,
    statement_count,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("no numbers + at all", 0),
        ("3 * 4 = 12", 1),  # the 4 belongs to the first one
        ("13 * 14 = 182", 2),  # "13 * 1" and "4 = 1"
        ("1,234.5 / 2", 1),
        ("7×8 and 9÷3 and 2^3", 3),
        ("x = 5", 0),
        ("5 apples + 3", 0),
        ("1 + 2\n3", 1),
    ],
)
def test_operations(text: str, count: int) -> None:
    assert operation_count(text) == count


def test_statements_are_lines_that_are_neither_empty_nor_comments() -> None:
    fenced = "Look:\n```python\nx = 1\n\n# why\ny = x\n```\nand\n```\nz\n```"
    assert statement_count(fenced) == 3
    assert statement_count("a = 1\n// no\nb = 2") == 2


@pytest.mark.parametrize(
    ("value", "number"),
    [("-1,234.50", -1234.5), ("$7", 7.0), ("12kg", 12.0), ("3/4", None), ("x", None), ("", None)],
)
def test_numbers(value: str, number: float | None) -> None:
    assert number_of(value) == number


def test_right_sides_stand_alone() -> None:
    text = "2 + 3 = 5, x = $1,000, y = -2.5, 6 = 2 * 3 and z = \\boxed{9}"
    assert right_hand_sides(text) == {5.0, 1000.0, -2.5, 9.0}


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("2 + 2 = 4", 1.0),
        ("2 + 2 = 5.", 0.0),
        ("3 + 4 = 7 = 14 / 2", 1.0),
        ("3 + 4 = 7 = 15 / 2", 0.5),
        ("10 / 3 = 3.33", 1.0),
        ("10 / 3 = 3.3", 1.0),
        ("10 / 3 = 3", 0.0),  # whole numbers are not rounded
        ("10 / 3 = 3.34", 0.0),
        ("(1 + 2) × 3 = 9 and 8 ÷ 2 = 4 and 2^10 = 1,024", 1.0),
        ("Step 1: 3 - 5 = -2", 1.0),
        ("total = 3 * 5 = 15", 1.0),
        ("2x + 3 = 7", None),
        ("f(2) = 3 + 1", None),
        ("x - 3 = 4", None),
        ("5 / 10 = 50%", None),
        ("7 = 7", None),
        ("1 / 0 = 3", None),
        ("9^9^9^9 = 1", None),
        ("12:30 - 1.5.2 = 3", None),
    ],
)
def test_equations(text: str, share: float | None) -> None:
    assert equation_validity(text) == share


def test_long_runs_take_time_in_proportion() -> None:
    start = time.process_time()
    for text in ("1" * 200_000, "1." * 100_000, " " * 200_000, "= " * 100_000, "(" * 200_000):
        operation_count(text)
        right_hand_sides(text)
        equation_validity(text)
    assert time.process_time() - start < 3.0
