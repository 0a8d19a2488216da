"""Two shortcuts as texts show them, with the place of the evidence: repetition and skipped work."""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections import Counter
from typing import Literal

from levelhead._arrays import real
from levelhead.diagnose.difficulty._equations import (
    equation_validity,
    number_of,
    operation_count,
    right_hand_sides,
    statement_count,
)
from levelhead.errors import InvalidInputError

__all__ = [
    "AnswerMark",
    "Repetition",
    "Skipping",
    "Span",
    "answer_marks",
    "answer_repetition",
    "computation_skipping",
]

MARKER = re.compile(r"\\boxed\s*\{|<answer>|answer\s+is\b", re.IGNORECASE)
TAGGED = re.compile(r"\\boxed\s*\{|<answer>", re.IGNORECASE)
"""Markers whose end is marked too; the others may stand around them."""

BRACE = re.compile(r"[{}]")
CLOSING = re.compile("</answer>", re.IGNORECASE)
STOP = re.compile(r"\n|[.;!?,](?=\s|$)")
"""The end of a line, or a full stop that is no decimal point."""

LONGEST_ANSWER = 500
"""Characters behind a marker that are looked through for the answer's end."""

SAME_ANSWERS = 3
TAIL_TOKENS, GRAM = 256, 4
REP4, ZLIB, ZLIB_LENGTH = 0.5, 0.25, 400
SKIP, EARLY, NEEDED_OPERATIONS = 0.25, 0.15, 3.0

Content = Literal["arithmetic", "code"]


@dataclasses.dataclass(frozen=True)
class Span:
    """A piece of a text that is evidence.

    Attributes:
        start: index of its first character.
        end: index behind its last.
        reason: what it shows.
    """

    start: int
    end: int
    reason: str


@dataclasses.dataclass(frozen=True)
class AnswerMark:
    r"""An answer that a text states.

    Attributes:
        start: index where the marker begins.
        end: index behind the answer.
        value: the answer in one spelling: without spaces, `$`, commas in numbers, in small letters.
    """

    start: int
    end: int
    value: str


@dataclasses.dataclass(frozen=True)
class Repetition:
    """Does a text repeat itself or its answer?

    Attributes:
        flag: whether it does.
        answers: answers that it states.
        same_answers: how many of them are the most frequent one.
        rep4: 1 - distinct 4-grams / 4-grams of its last 256 words; None with fewer than four words.
        zlib_ratio: compressed bytes / bytes; None for an empty text.
        spans: the evidence; none without a flag.
    """

    flag: bool
    answers: int
    same_answers: int
    rep4: float | None
    zlib_ratio: float | None
    spans: tuple[Span, ...]


@dataclasses.dataclass(frozen=True)
class Skipping:
    """Does a text give an answer without the work that leads to it?

    Attributes:
        flag: whether it does; None where the question needs no computation, so that none is missing.
        operations: operations between numbers, or statements of code.
        skip: operations / max(1, operations usual for the question); None where those are not known.
        early: where the first answer stands, as a share of the text; None without an answer.
        underivable: whether the final number is what no equation ends with; None where the final answer
            is no number, or is missing.
        equations_true: share of the written equations that are true; None without any.
        spans: the evidence; none without a flag.
    """

    flag: bool | None
    operations: int
    skip: float | None
    early: float | None
    underivable: bool | None
    equations_true: float | None
    spans: tuple[Span, ...]


def answer_marks(text: str) -> list[AnswerMark]:
    r"""The answers that a text states, by `\boxed{...}`, `<answer>...</answer>` or `answer is ...`.

    Args:
        text: any.

    Returns:
        In order. A marker inside another's answer is the same statement:
        `the answer is \boxed{42}` counts once.

    Example:
        >>> [mark.value for mark in answer_marks("The answer is 42. So <answer> 42 </answer>")]
        ['42', '42']
    """
    marks: list[AnswerMark] = []
    for match in MARKER.finditer(text):
        if marks and match.start() < marks[-1].end:
            continue
        start, stop, end = _stated(text, match)
        marks.append(AnswerMark(match.start(), end, _one_spelling(text[start:stop])))
    return marks


def _stated(text: str, match: re.Match[str]) -> tuple[int, int, int]:
    """Where the answer behind a marker begins and ends, and where the statement of it ends."""
    word, start = match.group().lower(), match.end()
    last = min(len(text), start + LONGEST_ANSWER)
    if word.startswith("\\boxed"):
        depth = 1
        for brace in BRACE.finditer(text, start, last):
            depth += 1 if brace.group() == "{" else -1
            if depth == 0:
                return start, brace.start(), brace.end()
    elif word == "<answer>":
        close = CLOSING.search(text, start, last)
        if close is not None:
            return start, close.start(), close.end()
    else:
        stop = STOP.search(text, start, last)
        end = last if stop is None else stop.start()
        inner = TAGGED.search(text, start, end)
        return (start, end, end) if inner is None else _stated(text, inner)
    line = text.find("\n", start, last)
    end = last if line < 0 else line
    return start, end, end


def _one_spelling(said: str) -> str:
    boxed = re.search(r"\\boxed\s*\{(.*)\}", said, re.DOTALL)
    value = boxed.group(1) if boxed else said
    value = re.sub(r"\\[()\[\]]|\$|\*\*|[:\s]", "", value.lower())
    return re.sub(r"(?<=\d),(?=\d{3})", "", value).rstrip(".,;")


def answer_repetition(text: str) -> Repetition:
    r"""Does a text state its answer again and again, or run in circles?

    It is flagged where at least three stated answers are the same one, or more than half of the 4-grams
    among its last 256 words are repeats, or zlib makes less than a quarter of it (above 400 bytes).

    Args:
        text: a response.

    Returns:
        The measures, the flag, and where the evidence stands.

    Raises:
        InvalidInputError: no text.

    Edge cases: an empty text is not flagged. A word is what spaces separate.
    Properties: depends on the text alone.
    Reference: arXiv:2605.28388 (the shortcut); the thresholds are ours.

    Example:
        >>> found = answer_repetition("The answer is 7. The answer is 7. The answer is 7.")
        >>> found.flag, found.same_answers, found.spans[0].reason
        (True, 3, 'the same answer 3 times')
    """
    _text_or_error(text)
    marks = answer_marks(text)
    value, same = Counter(m.value for m in marks).most_common(1)[0] if marks else ("", 0)
    spans: list[Span] = []
    if same >= SAME_ANSWERS:
        times = f"the same answer {same} times"
        spans += [Span(m.start, m.end, times) for m in marks if m.value == value]
    rep4, circle = _rep4(text)
    if rep4 is not None and rep4 > REP4 and circle is not None:
        spans.append(circle)
    raw = text.encode("utf-8", "surrogatepass")
    ratio = len(zlib.compress(raw)) / len(raw) if raw else None
    if ratio is not None and ratio < ZLIB and len(raw) > ZLIB_LENGTH:
        spans.append(Span(0, len(text), f"compresses to {ratio:.2f} of its length"))
    return Repetition(bool(spans), len(marks), same, rep4, ratio, tuple(spans))


def _rep4(text: str) -> tuple[float | None, Span | None]:
    """The share of repeated 4-grams near the end, and from where to where the commonest one recurs."""
    words = list(re.finditer(r"\S+", text))[-TAIL_TOKENS:]
    said = [word.group() for word in words]
    grams = list(zip(*(said[i:] for i in range(GRAM)), strict=False))
    if not grams:
        return None, None
    counts = Counter(grams)
    share = 1.0 - len(counts) / len(grams)
    common, times = counts.most_common(1)[0]
    at = [i for i, gram in enumerate(grams) if gram == common]
    start, end = words[at[0]].start(), words[at[-1] + GRAM - 1].end()
    return share, Span(start, end, f"the same four words {times} times")


def computation_skipping(
    text: str, *, usual_operations: float | None = None, content: Content = "arithmetic"
) -> Skipping:
    r"""Does a text give an answer without the work that leads to it?

    It is flagged where an answer is stated and one of these holds: it has fewer than a quarter of the
    operations that are usual for the question; its first answer stands in the first 15% of the text;
    its final number is what no written equation ends with.

    Args:
        text: a response.
        usual_operations: the median number of operations in right answers of the base model to the same
            question, >= 0; None where it is not known.
        content: `code` counts statements instead of operations, and expects no equations.

    Returns:
        The measures, the flag, and where the evidence stands.

    Raises:
        InvalidInputError: no text, or an argument outside its range.

    Edge cases: with fewer than three usual operations nothing can be skipped: the flag is None. Without
        a stated answer it is False. An answer that is no number (`B`, `3/4`) is never underivable.
        Without `usual_operations` the other two rules decide.
    Properties: depends on the text and the one number alone.
    Reference: arXiv:2605.28388 (the shortcut); the thresholds are ours.

    Example:
        >>> found = computation_skipping("I think so. The answer is 391.", usual_operations=4)
        >>> found.flag, found.skip, [span.reason for span in found.spans]
        (True, 0.0, ['0 operations where 4 are usual', 'no equation ends with 391'])
    """
    _text_or_error(text)
    if usual_operations is not None and not 0.0 <= real("usual_operations", usual_operations) < 1e9:
        raise InvalidInputError(f"usual_operations: expected a number >= 0, got {usual_operations}")
    if content not in ("arithmetic", "code"):
        raise InvalidInputError(f"content: expected arithmetic or code, got {content!r}")
    work = work_in(text, content)
    skip = None if usual_operations is None else work.operations / max(1.0, usual_operations)
    spans = list(work.spans)
    if work.last is not None and skip is not None and skip < SKIP:
        usual = f"{work.operations} operations where {usual_operations:g} are usual"
        spans.insert(0, Span(work.last.start, work.last.end, usual))
    idle = usual_operations is not None and usual_operations < NEEDED_OPERATIONS
    return Skipping(
        None if idle else bool(spans),
        work.operations,
        skip,
        work.early,
        work.underivable,
        equation_validity(text),
        () if idle else tuple(spans),
    )


@dataclasses.dataclass(frozen=True)
class Work:
    """What a text shows of its work, whatever is usual: as in `Skipping`."""

    operations: int
    last: AnswerMark | None
    early: float | None
    underivable: bool | None
    spans: tuple[Span, ...]


def work_in(text: str, content: Content) -> Work:
    """The part of `computation_skipping` that needs no reference."""
    operations = statement_count(text) if content == "code" else operation_count(text)
    marks = answer_marks(text)
    early = marks[0].start / len(text) if marks else None
    underivable = _underivable(text, marks) if content == "arithmetic" else None
    spans: list[Span] = []
    if early is not None and early < EARLY:
        reason = f"answered after {100 * early:.0f}% of the text"
        spans.append(Span(marks[0].start, marks[0].end, reason))
    if underivable:
        reason = f"no equation ends with {marks[-1].value}"
        spans.append(Span(marks[-1].start, marks[-1].end, reason))
    return Work(operations, marks[-1] if marks else None, early, underivable, tuple(spans))


def _underivable(text: str, marks: list[AnswerMark]) -> bool | None:
    final = number_of(marks[-1].value) if marks else None
    return None if final is None else final not in right_hand_sides(text)


def _text_or_error(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidInputError(f"text: expected a text, got {type(text).__name__}")
