"""How a change reads, each case by hand."""

from __future__ import annotations

import pytest

from levelhead.diagnose.sharpening._phrases import moved, share, span
from levelhead.diagnose.sharpening._result import Difference


def change(base: float, tuned: float, half: float = 0.01, p: float = 0.001) -> Difference:
    value = tuned - base
    up, down = (p, 1.0) if value > 0 else (1.0, p)
    return Difference(base, tuned, value, value - half, value + half, up, down)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2816, "28.2%"), (0.0, "0%"), (1.0, "100%"), (0.0001, "<0.1%"), (0.9999, ">99.9%")],
)
def test_shares(value: float, text: str) -> None:
    assert share(value) == text


def test_where_both_read_the_same_the_points_are_said() -> None:
    assert span(change(0.28, 0.42)) == "from 28% to 42%"
    assert span(change(0.281, 0.284)) == "from 28% by +0.3 points"


@pytest.mark.parametrize(
    ("d", "text"),
    [
        (change(0.28, 0.42), "x rose from 28% to 42% (beyond chance)"),
        (change(0.42, 0.28), "x fell from 42% to 28% (beyond chance)"),
        (change(0.69, 0.64, half=0.06), "x 69% to 64% could be noise"),
        (change(0.69, 0.64, p=0.046), "x 69% to 64% could be noise"),
        (change(0.64, 0.64), "x 64% in both"),
    ],
)
def test_clauses(d: Difference, text: str) -> None:
    assert moved("x", d, 0.025) == text
    assert moved("", d, 0.025) == text[2:]


def test_other_numbers_print_their_own_way() -> None:
    text = moved("entropy", change(1.44, 1.22), 0.025, lambda nats: f"{nats:.2f}")
    assert text == "entropy fell from 1.44 to 1.22 (beyond chance)"
