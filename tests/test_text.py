"""How numbers read in sentences."""

from __future__ import annotations

import pytest

from levelhead._text import percent, plural


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0%"), (1e-9, "<0.1%"), (0.0005, "0.1%"), (0.004, "0.4%"), (0.05, "5%"),
        (0.994, "99.4%"), (0.9999, ">99.9%"), (1.0, "100%"), (None, "undefined"),
        (float("nan"), "undefined"),
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
