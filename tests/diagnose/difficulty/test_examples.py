"""Flagged answers that are shown: of each prompt one, of each kind some, and words in whole."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.diagnose.difficulty._bands import pass_bands, pass_counts
from levelhead.diagnose.difficulty._examples import EXCERPT, examples_of
from levelhead.diagnose.difficulty._view import Example

AGAIN = "So the answer is 7. " * 3
GUESS = "Nothing comes to mind that would lead anywhere here, I fear. So the answer is {}. "
SKIPS = GUESS + "I am quite sure of it."


def shown(texts: list[str], prompts: list[int], usual: float = float("nan")) -> list[Example]:
    names = [f"q{j}" for j in range(max(prompts) + 1)]
    bands = pass_bands(pass_counts([1, 0] * len(names), [n for n in names for _ in "10"]))
    n = len(texts)
    places = [(i + 1, n) for i in range(n)]
    code = np.array(prompts)
    wanted = np.array([bool(text) for text in texts])
    return list(examples_of(texts, wanted, code, places, np.full(n, usual), bands, "arithmetic"))


def test_kinds_are_mixed_and_no_prompt_comes_twice() -> None:
    """A kind that only the last prompt shows, in its second answer, is shown as well."""
    texts = [AGAIN] * 21 + [SKIPS.format(123)]
    found = shown(texts, [*range(20), 20, 20])
    assert [(one.prompt, one.sample) for one in found] == [
        ("q0", 1),
        ("q1", 2),
        ("q2", 3),
        ("q20", 22),
    ]
    assert found[-1].reasons == ("no equation ends with 123",)
    assert found[0].samples == 22


def test_numbers_make_no_kind_of_their_own() -> None:
    found = shown([f"I do not know. {SKIPS.format(j)}" for j in range(100, 109)], list(range(9)))
    assert [one.prompt for one in found] == ["q0", "q1", "q2"]
    assert len({one.reasons for one in found}) == 3


def test_what_is_not_wanted_is_not_shown() -> None:
    assert shown([""], [0]) == []


def test_a_repetition_is_shown_from_where_it_begins() -> None:
    (one,) = shown(["First some words. " + AGAIN], [0])
    assert one.excerpt == "…answer is 7. So the answer is 7. So…"


def test_what_leads_to_an_answer_is_shown_up_to_it() -> None:
    (one,) = shown([SKIPS.format(123)], [0])
    assert one.excerpt == "…here, I fear. So the answer is 123…"
    (whole,) = shown(["\\boxed{391}"], [0], usual=4.0)
    assert whole.excerpt == "\\boxed{391}"


@pytest.mark.parametrize(
    "text",
    ["x" * 300 + " answer is 123. " * 4, "\\boxed{" + "9" * 300 + "}", SKIPS.format("4" * 90),
     "よく" * 90 + "answer is 9。" * 5, "answer is 7. " * 3 + "y" * 900],
)  # fmt: skip
def test_an_excerpt_fits_into_a_cell(text: str) -> None:
    (one,) = shown([text], [0], usual=4.0)
    assert 0 < len(one.excerpt.strip("…")) <= len(one.excerpt) <= EXCERPT


def test_words_are_whole() -> None:
    for n in range(60):
        text = "a" * n + " " + SKIPS.format(123) + " more" * n
        (one,) = shown([text], [0])
        assert set(one.excerpt.strip("…").split()) <= set(text.split()) | {"123"}
