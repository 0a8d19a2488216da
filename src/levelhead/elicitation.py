"""From a model's text to its answer and its stated confidence.

Each format is a function text -> `Elicited` and one line of `TABLE`. What a text does not say is
never
invented: a text without a confidence gives None and a status. The two `*_rlcr` and `*_paper`
formats follow a publication's own parser, stand-ins included, so that its numbers can be
reproduced.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterable

from levelhead.errors import InvalidInputError

__all__ = [
    "TABLE",
    "Elicited",
    "Format",
    "answer_confidence_tags",
    "answer_confidence_tags_rlcr",
    "by_pattern",
    "detect",
    "number",
    "percent_tag",
    "percent_tag_paper",
    "percent_value",
    "percent_value_paper",
]

_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(%?)\s*")
_FIRST_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
MAX_PATTERN_TEXT = 20_000
"""Characters at the end of a text that a user's pattern is searched in."""

_ANSWER = re.compile(r"<(/?)answer>", re.IGNORECASE)
_CONFIDENCE = re.compile(r"<(/?)confidence>", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Elicited:
    """What a text says.

    Attributes:
        answer: the stated answer without surrounding space, or None.
        confidence: the stated confidence in [0, 1], or None where `status` is not `ok`.
        status: one of `levelhead.records.STATUSES`.
        provenance: `parsed`, or `fallback` where a published parser puts a stand-in for nothing.
    """

    answer: str | None
    confidence: float | None
    status: str
    provenance: str = "parsed"


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """One elicitation format.

    Attributes:
        name: what `--elicitation` calls it.
        parse: text -> what it says.
        description: what it looks like, in one line.
        reference: who published this way to read it, if anybody did.
    """

    name: str
    parse: Callable[[str], Elicited]
    description: str
    reference: str = ""


def number(text: str) -> tuple[float | None, bool]:
    """The number that a text consists of, and whether a percent sign follows it.

    Digits, sign, point and exponent as in ASCII; `nan`, `inf`, `1_000` and anything else give None.

    Args:
        text: any string; surrounding space is ignored.

    Returns:
        (value or None, has a percent sign). The value can be infinite where its exponent is huge.

    Example:
        >>> number(" 85 %"), number("0.85"), number("nan"), number("about 3")
        ((85.0, True), (0.85, False), (None, False), (None, False))
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None, False
    return float(match[1]), match[2] == "%"


def percent_tag(text: str) -> Elicited:
    """The percentage in the last `<answer>..</answer>`: `<answer>37</answer>` says 0.37.

    confidence = value / 100 for a value in [0, 100], with or without a percent sign

    Args:
        text: a model's output.

    Returns:
        What it says. Status `missing` without a closed tag, `unparsable` where the tag holds no
        plain number, `out_of_range` outside [0, 100].

    Edge cases: a value strictly between 0 and 1 without a percent sign could be a fraction or a
        small percentage, so it is `out_of_range` and not guessed at.

    Example:
        >>> percent_tag("<think>..</think><answer>37%</answer>").confidence
        0.37
        >>> percent_tag("<answer>0.5</answer>").status
        'out_of_range'
    """
    inside = _last_tag(text, _ANSWER)
    if inside is None:
        return Elicited(None, None, "missing")
    return percent_value(inside)


def percent_value(value: str) -> Elicited:
    """`percent_tag` of a tag's content that has been taken out of the text already.

    confidence = value / 100 for a value in [0, 100], with or without a percent sign

    Args:
        value: the content of the tag.

    Returns:
        What it says; an empty content is `missing`.

    Example:
        >>> percent_value(" 12.5 % ").confidence, percent_value("").status
        (0.125, 'missing')
    """
    answer = value.strip()
    if not answer:
        return Elicited(answer, None, "missing")
    found, sign = number(answer)
    if found is None:
        return Elicited(answer, None, "unparsable")
    ambiguous = 0.0 < found < 1.0 and not sign
    if ambiguous or not 0.0 <= found <= 100.0:
        return Elicited(answer, None, "out_of_range")
    return Elicited(answer, found / 100.0, "ok")


def percent_tag_paper(text: str) -> Elicited:
    """The percentage in the first `<answer>` as the paper's reward reads it.

    confidence = int(float(x)) / 100 for 1 <= int(float(x)) <= 99; the fraction is cut off

    Args:
        text: a model's output.

    Returns:
        What it says; `70%` is `unparsable` and `0.5` (cut to 0) is `out_of_range`.

    Reference: Uncalibrated Reasoning (arXiv:2508.11800), the published reward function.

    Example:
        >>> percent_tag_paper("<answer>99.9</answer> or <answer>5</answer>").confidence
        0.99
    """
    start = text.find("<answer>")
    end = -1 if start < 0 else text.find("</answer>", start)
    if end < 0:
        return Elicited(None, None, "missing")
    answer = text[start + len("<answer>") : end].strip()
    try:
        value = int(float(answer))
    except (ValueError, OverflowError):
        return Elicited(answer, None, "unparsable")
    if not 1 <= value <= 99:
        return Elicited(answer, None, "out_of_range")
    return Elicited(answer, value / 100.0, "ok")


def percent_value_paper(value: str | float | None) -> Elicited:
    """The percentage of an extracted answer as the paper's evaluation reads it.

    confidence = min(max(float(x), 1), 99) / 100

    Args:
        value: the answer field of a published prediction file.

    Returns:
        What it says; what `float` refuses, and NaN, is `unparsable`; None is `missing`.

    Reference: Uncalibrated Reasoning (arXiv:2508.11800), the published evaluation.

    Example:
        >>> percent_value_paper("100").confidence, percent_value_paper("30 (low)").status
        (0.99, 'unparsable')
    """
    if value is None:
        return Elicited(None, None, "missing")
    answer = str(value).strip()
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return Elicited(answer, None, "unparsable")
    if math.isnan(found):
        return Elicited(answer, None, "unparsable")
    return Elicited(answer, min(max(found, 1.0), 99.0) / 100.0, "ok")


def answer_confidence_tags(text: str, *, percent: bool = False) -> Elicited:
    """The last `<answer>..</answer>` and the last `<confidence>0.8</confidence>`.

    confidence = value in [0, 1], or value / 100 where it carries a percent sign

    Args:
        text: a model's output.
        percent: whether the numbers are percentages; a percent sign says so by itself.

    Returns:
        What it says. Status `missing` without a closed confidence tag, `unparsable` where it holds
        no plain number, `out_of_range` outside [0, 1] (or [0, 100] with a percent sign).

    Edge cases: `90` without a percent sign is `out_of_range`: the format asks for a fraction.

    Example:
        >>> answer_confidence_tags("<answer> A </answer> <confidence> 80% </confidence>")
        Elicited(answer='A', confidence=0.8, status='ok', provenance='parsed')
    """
    answer = _last_tag(text, _ANSWER)
    answer = None if answer is None else answer.strip()
    return _fraction(answer, _last_tag(text, _CONFIDENCE), percent)


def answer_confidence_tags_rlcr(text: str) -> Elicited:
    """The last confidence tag as RLCR's evaluation reads it, with 0.0 for whatever it cannot read.

    confidence = x in [0, 1], x / 100 in (1, 100], 0.0 otherwise; x = float(content) or its first
    number

    Args:
        text: a model's output.

    Returns:
        What it says, always with status `ok`; provenance `fallback` where 0.0 stands for nothing.

    Reference: RLCR (arXiv:2507.16806), the published evaluation.

    Example:
        >>> answer_confidence_tags_rlcr("<confidence>about 90</confidence>").confidence
        0.9
        >>> answer_confidence_tags_rlcr("no tag").provenance
        'fallback'
    """
    answer = _last_lazy(text, "<answer>", "</answer>")
    answer = None if answer is None else answer.strip()
    inside = _last_lazy(text, "<confidence>", "</confidence>")
    if inside is not None:
        value = _float_or_first_number(inside)
        if value is not None and 0.0 <= value <= 1.0:
            return Elicited(answer, value, "ok")
        if value is not None and 1.0 < value <= 100.0:
            return Elicited(answer, value / 100.0, "ok")
    return Elicited(answer, 0.0, "ok", "fallback")


@functools.lru_cache(maxsize=32)
def by_pattern(pattern: str, *, percent: bool = False) -> Callable[[str], Elicited]:
    """A format from a regular expression with a group `confidence` and perhaps a group `answer`.

    The last match in a text counts, and only the last 20,000 characters of it are searched: the
    confidence comes last, and a pattern that tries every start would take minutes on a longer text.
    Without a group `answer` the answer is what the last `<answer>` tag of the text holds, if there
    is one.

    Args:
        pattern: a Python regular expression; the dot matches newlines.
        percent: whether the numbers are percentages; a percent sign in the group says so by itself.

    Returns:
        A function text -> `Elicited`.

    Raises:
        InvalidInputError: the expression is not valid or has no group `confidence`.

    Example:
        >>> by_pattern(r"Answer: (?P<answer>.*?), (?P<confidence>[0-9]+%)")("Answer: Rome, 85%")
        Elicited(answer='Rome', confidence=0.85, status='ok', provenance='parsed')
    """
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise InvalidInputError(
            f"pattern: expected a regular expression, got {pattern!r}: {error}"
        ) from error
    if "confidence" not in compiled.groupindex:
        raise InvalidInputError(
            f"pattern: expected a group named confidence, got {pattern!r}; "
            "write (?P<confidence>[0-9.]+) around the number"
        )
    has_answer = "answer" in compiled.groupindex

    def parse(text: str) -> Elicited:
        last = None
        start = max(0, len(text) - MAX_PATTERN_TEXT)
        for last in compiled.finditer(text, start):  # noqa: B007 - the last match is wanted
            pass
        if last is None:
            return Elicited(None, None, "missing")
        answer = last["answer"] if has_answer else _last_tag(text, _ANSWER)
        return _fraction(None if answer is None else answer.strip(), last["confidence"], percent)

    return parse


def detect(texts: Iterable[str]) -> str | None:
    """The name of the format that the first texts are in, by their tags.

    Args:
        texts: model outputs, best a hundred of them.

    Returns:
        `answer_confidence_tags` where any text closes a confidence tag, `percent_tag` where any
        answer tag holds a number, None otherwise.

    Example:
        >>> detect(["no tags", "<answer>37</answer>"])
        'percent_tag'
    """
    percent = False
    for text in texts:
        if _last_tag(text, _CONFIDENCE) is not None:
            return "answer_confidence_tags"
        inside = _last_tag(text, _ANSWER)
        percent = percent or (inside is not None and number(inside)[0] is not None)
    return "percent_tag" if percent else None


def _fraction(answer: str | None, text: str | None, percent: bool = False) -> Elicited:
    if text is None or not text.strip():
        return Elicited(answer, None, "missing")
    found, sign = number(text)
    if found is None:
        return Elicited(answer, None, "unparsable")
    value = found / 100.0 if sign or percent else found
    if not 0.0 <= value <= 1.0:
        return Elicited(answer, None, "out_of_range")
    return Elicited(answer, value, "ok")


def _last_tag(text: str, tag: re.Pattern[str]) -> str | None:
    """What the last closed pair encloses, in one pass whatever the text holds."""
    start, span = -1, None
    for match in tag.finditer(text):
        if not match[1]:
            start = match.end()
        elif start >= 0:
            span, start = (start, match.start()), -1
    return None if span is None else text[span[0] : span[1]]


def _last_lazy(text: str, opening: str, closing: str) -> str | None:
    """The last match of `opening(.*?)closing`, without that expression's quadratic worst case."""
    inside, position = None, 0
    while (start := text.find(opening, position)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            break
        inside, position = text[start + len(opening) : end], end + len(closing)
    return inside


def _float_or_first_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        match = _FIRST_NUMBER.search(text)
        return None if match is None else float(match[0])


TABLE: dict[str, Format] = {
    f.name: f
    for f in (
        Format(
            "percent_tag",
            percent_tag,
            "<answer>37</answer>: the last tag, a percentage from 0 to 100",
        ),
        Format(
            "percent_tag_paper",
            percent_tag_paper,
            "<answer>37</answer>: the first tag, cut to a whole percentage from 1 to 99",
            "arXiv:2508.11800",
        ),
        Format(
            "answer_confidence_tags",
            answer_confidence_tags,
            "<answer>A</answer> <confidence>0.8</confidence>: the last tags, a fraction or 80%",
        ),
        Format(
            "answer_confidence_tags_rlcr",
            answer_confidence_tags_rlcr,
            "the same as RLCR's evaluation reads it; 0.0 stands for what it cannot read",
            "arXiv:2507.16806",
        ),
    )
}
"""The formats by name; `--elicitation` takes these names."""
