"""When an answer is right: as a text, a number, mathematics or an option."""

from __future__ import annotations

import threading
from fractions import Fraction

import pytest

from levelhead.errors import InvalidInputError
from levelhead.tasks import Prompt
from levelhead.tasks._verify import (
    Verifier,
    choice,
    exact,
    math,
    normalized,
    number,
    single_number,
)


@pytest.mark.parametrize(
    ("answer", "target", "right"),
    [
        ("the Eiffel Tower.", "Eiffel  tower", 1.0),
        ("“Rock-and-Roll”", "rock and roll", 1.0),
        ("Café", "CAFE\u0301", 1.0),
        ("1,000", "1000.0", 1.0),
        ("$5", "5", 1.0),
        ("-5", "5", 0.0),
        ("1.5 km", "15 km", 0.0),
        ("50%", "50", 0.0),
        ("C", "C++", 0.0),
        ("A", "A. Lincoln", 0.0),
        ("Paris or London", "Paris", 0.0),
        ("", "Paris", 0.0),
        ("???", "!!!", 0.0),
        ("The The", "the the", 1.0),
    ],
)
def test_a_text_is_the_same_without_its_dress(answer: str, target: str, right: float) -> None:
    assert exact(answer, [target]) == right
    assert exact(answer, ["something else", target]) == right


def test_articles_are_dropped_only_as_words() -> None:
    assert normalized("An apple; a theory") == "apple theory"
    assert normalized("Anne Thebes") == "anne thebes"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", Fraction(18)),
        ("$1,234,567.50", Fraction(2469135, 2)),
        ("-3", Fraction(-3)),
        ("− 3", Fraction(-3)),
        ("it is - 3", Fraction(3)),  # a dash between spaces is a dash
        ("about .5 kg", Fraction(1, 2)),
        ("3 / 4", Fraction(3, 4)),
        ("50 %", Fraction(50)),
        ("x-18", Fraction(18)),
        ("0.1", Fraction(1, 10)),  # exact, not 0.1 as a float
        ("1/0", None),
        ("17 or 18", None),
        ("5-3", None),
        ("10,00", None),
        ("1.2.3", None),
        ("1e5", None),
        ("eighteen", None),
        ("9" * 400, None),
    ],
)
def test_one_number_is_read_exactly(text: str, value: Fraction | None) -> None:
    assert single_number(text) == value


def test_a_number_is_right_if_it_is_the_only_one() -> None:
    assert number("18 eggs", ["18"]) == 1.0
    assert number("17, 18", ["18"]) == 0.0
    assert number("19", ["18", "19.0"]) == 1.0
    assert number("no idea", ["18"]) == 0.0
    assert number("18", ["eighteen"]) is None


@pytest.mark.parametrize(
    ("answer", "target", "right"),
    [
        (r"\frac{1}{2}", "0.5", 1.0),
        (r"\boxed{2\sqrt{2}}", r"\sqrt{8}", 1.0),
        ("x^2+2x+1", "(x+1)^2", 1.0),
        ("17 or 18", "18", 0.0),
        ("$17$ or $18$", "18", 0.0),
        ("}{", "3", 0.0),
        ("1" + "+1" * 5000, "5001", 0.0),
    ],
)
def test_mathematics_is_compared_by_value(answer: str, target: str, right: float) -> None:
    pytest.importorskip("math_verify", reason="math-verify is not installed")
    assert math(answer, [target]) == right


def test_mathematics_is_compared_outside_of_the_main_thread() -> None:
    pytest.importorskip("math_verify", reason="math-verify is not installed")
    found: list[float | None] = []
    thread = threading.Thread(target=lambda: found.append(math("1/2", ["0.5"])))
    thread.start()
    thread.join()
    assert found == [1.0]


@pytest.mark.parametrize(
    ("answer", "right"),
    [("B", 1.0), ("(b)", 1.0), ("B) bank", 1.0), ("bank", 1.0), ("Option B", 1.0),
     ("A", 0.0), ("B) mall", 0.0), ("A) bank", 0.0), ("A or B", 0.0), ("B) bank C) mall", 0.0)],
)  # fmt: skip
def test_an_option_is_named_by_its_letter_or_its_text(answer: str, right: float) -> None:
    assert choice(answer, ["B) bank"]) == right


def test_a_verifier_judges_by_the_targets_of_a_prompt() -> None:
    prompt = Prompt("q", (), None, ("18",))
    assert Verifier("number")("18 eggs", prompt) == 1.0
    assert Verifier("exact")("18 eggs", prompt) == 0.0
    with pytest.raises(InvalidInputError, match="verifier: expected one of .*did you mean 'exact'"):
        Verifier("exat")
