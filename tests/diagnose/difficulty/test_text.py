"""Detectors on texts of which it is plain what they do: ten that do it and ten that do not."""

from __future__ import annotations

import time
import zlib

import pytest

from levelhead.diagnose.difficulty._text import (
    answer_marks,
    answer_repetition,
    computation_skipping,
)
from levelhead.errors import InvalidInputError

WORK = "First 12 * 11 = 132. Then 132 + 68 = 200. Half of that: 200 / 2 = 100. "
PROSE = (
    "The treaty was signed in the spring, after three months of talks in which neither side gave "
    "much ground. Trade resumed at once, yet the old border posts stayed where they were until a "
    "flood carried two of them off. Historians differ on whether anybody noticed. "
)

REPEATED = [
    "The answer is 7. " * 3,
    "So \\boxed{12}. Thus \\boxed{12}. Hence \\boxed{12}.",
    "<answer>B</answer> " * 4,
    "The answer is 5. I check. <answer>5</answer> Again: \\boxed{5}",
    "the answer is 1,000; \\boxed{1000} and so $\\boxed{1000}$",
    "wait, no, hold on, " * 30,
    "We compute and compute and compute and compute " * 8,
    WORK + "I am sure of it now. " * 40,
    "ab" * 400,
    "0, 0, 0, 0, " * 60,
]
NOT_REPEATED = [
    "",
    "The answer is 7.",
    WORK + "The answer is \\boxed{100}.",
    "The answer is 7. Let me check: yes. <answer>7</answer>",
    "The answer is 3. No: the answer is 4. No: the answer is 5.",
    PROSE,
    PROSE + WORK + "\\boxed{100}",
    "no no no no",
    "1 + 1 = 2, 1 + 2 = 3, 1 + 3 = 4, 1 + 4 = 5, 1 + 5 = 6. The answer is 6.",
    "aaaaaaaa" * 20,  # compresses well, and is short
]

SKIPPED = [
    "The answer is 391.",
    "I have seen this question before, so the answer is 12.",
    "\\boxed{4} because it always is, whatever the numbers in the question are.",
    "After some thought about the matter I would say <answer>17</answer>",
    "3 + 4 = 7 is a start, and a good one at that, I think. The answer is 90.",
    "<answer>8</answer> since 4 * 2 = 8, and 8 - 0 = 8, and 8 + 0 = 8, and 8 / 1 = 8.",
    WORK + "The answer is 101.",
    "Computing carefully with all the numbers that are given here, x = 5. The answer is 5.",
    "It is clear that it works out. The answer is $1,250.",
    "Let me think about it. Yes. I am done. \\boxed{ 36 }",
]
NOT_SKIPPED = [
    WORK + "The answer is 100.",
    WORK + "So \\boxed{100}.",
    "Let 3 * 5 = 15, 15 + 1 = 16, 16 / 2 = 8 and 8 - 1 = 7, so <answer>7</answer>",
    WORK,  # states no answer
    "",
    "I do not know what 3 apples cost.",
    "a: 40 + 2 = 42\nb: 42 * 2 = 84\nc: 84 - 4 = 80\nThe answer is 80.",
    "2^5 = 32, 32 - 2 = 30, 30 / 3 = 10. Therefore the answer is $10.",
    WORK + "That is 1/2 + 1/4 = 3/4 of it. The answer is 3/4.",  # no number, so derivable
    "1.5 * 4 = 6, 6 + 1,000 = 1,006, 1,006 - 6 = 1,000. The answer is 1000.",
]


@pytest.mark.parametrize("text", REPEATED)
def test_repetition_is_found(text: str) -> None:
    found = answer_repetition(text)
    assert found.flag
    assert found.spans
    assert all(0 <= span.start < span.end <= len(text) and span.reason for span in found.spans)


@pytest.mark.parametrize("text", NOT_REPEATED)
def test_no_repetition_is_made_up(text: str) -> None:
    found = answer_repetition(text)
    assert not found.flag
    assert not found.spans


@pytest.mark.parametrize("text", SKIPPED)
def test_skipped_work_is_found(text: str) -> None:
    found = computation_skipping(text, usual_operations=5)
    assert found.flag
    assert found.spans
    assert all(0 <= span.start < span.end <= len(text) and span.reason for span in found.spans)


@pytest.mark.parametrize("text", NOT_SKIPPED)
def test_work_that_is_there_is_not_missed(text: str) -> None:
    assert computation_skipping(text, usual_operations=5).flag is False


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("the answer is $\\boxed{42}$.", ["42"]),
        ("The answer is 3.5, I say", ["3.5"]),
        ("ANSWER IS: x + 1\nnext", ["x+1"]),
        ("\\boxed{\\frac{1}{2}}", ["\\frac{1}{2}"]),
        ("<answer>\\boxed{1,000}</answer> and <ANSWER> b </ANSWER>", ["1000", "b"]),
        ("<answer>unclosed\nmore", ["unclosed"]),
        ("\\boxed{unclosed\nmore", ["unclosed"]),
        ("my answer isn't known", []),
    ],
)
def test_answers_are_read_in_one_spelling(text: str, values: list[str]) -> None:
    assert [mark.value for mark in answer_marks(text)] == values


def test_the_evidence_stands_where_it_says() -> None:
    text = "Hm. " + "the answer is 7. " * 3
    spans = answer_repetition(text).spans
    assert [text[s.start : s.end] for s in spans[:3]] == ["answer is 7"] * 3
    text = WORK + "round and round we go " * 30
    (circle, *_) = answer_repetition(text).spans
    assert text[circle.start :].startswith("round and round we")


def test_repeated_words_are_counted_near_the_end() -> None:
    # a b c d a b c d: five 4-grams, of which abcd comes twice
    assert answer_repetition("a b c d a b c d").rep4 == pytest.approx(1 - 4 / 5)
    assert answer_repetition("a b c").rep4 is None
    distinct = " ".join(map(str, range(256)))
    assert answer_repetition("so so " * 300 + distinct).rep4 == 0.0
    text = "héllo " * 100
    raw = text.encode()
    assert answer_repetition(text).zlib_ratio == pytest.approx(len(zlib.compress(raw)) / len(raw))


def test_what_a_question_usually_takes_decides() -> None:
    text = "We take 2 * 3 = 6 and leave it there, as nothing else is asked for. The answer is 6."
    assert operations_flag(text, 1) is None
    assert operations_flag(text, 2.9) is None
    assert operations_flag(text, 3) is False  # 1 / 3
    assert operations_flag(text, 4) is False  # 1 / 4 is not below a quarter
    assert operations_flag(text, 5) is True
    assert operations_flag(text, None) is False
    found = computation_skipping(text, usual_operations=5)
    assert (found.operations, found.skip, found.underivable) == (1, 0.2, False)
    assert found.equations_true == 1.0


def operations_flag(text: str, usual: float | None) -> bool | None:
    return computation_skipping(text, usual_operations=usual).flag


def test_what_lies_on_a_threshold_is_not_flagged() -> None:
    assert answer_repetition("a a a a a").rep4 == 0.5
    assert not answer_repetition("a a a a a").flag
    text = "abcanswer is B, yes."
    assert computation_skipping(text).early == 0.15
    assert computation_skipping(text).flag is False
    assert computation_skipping("ab" + text[3:]).flag is True


def test_code_is_counted_by_statements() -> None:
    text = "```python\nimport math\nx = math.pi\nprint(x)\n```\nThe answer is 3.14."
    found = computation_skipping(text, usual_operations=4, content="code")
    assert (found.operations, found.underivable, found.flag) == (3, None, False)
    assert computation_skipping(text, usual_operations=13, content="code").flag


def test_long_texts_take_time_in_proportion() -> None:
    start = time.process_time()
    for text in ("\\boxed{" * 20_000, "<answer>" * 20_000, "answer is " * 20_000, "\ud800 " * 99):
        answer_repetition(text)
        computation_skipping(text)
    assert time.process_time() - start < 4.0


def test_errors() -> None:
    with pytest.raises(InvalidInputError, match="text: expected a text, got NoneType"):
        answer_repetition(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="usual_operations: expected a number >= 0, got -1"):
        computation_skipping("", usual_operations=-1)
    with pytest.raises(InvalidInputError, match="content: expected arithmetic or code, got 'c'"):
        computation_skipping("", content="c")  # type: ignore[arg-type]
