"""Whether an answer to a question is right: one function for each kind of right answer.

Each takes (answer, targets) and gives 1.0, 0.0, or None where nobody can say. One right target is
enough. None of them rewards an answer that names several: a policy would learn to.
"""

from __future__ import annotations

import dataclasses
import re
import threading
import unicodedata
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from levelhead._optional import optional_import
from levelhead.errors import unknown_name
from levelhead.readers._columns import grade
from levelhead.tasks._base import Prompt

__all__ = [
    "VERIFIERS",
    "Verifier",
    "choice",
    "exact",
    "math",
    "normalized",
    "number",
    "single_number",
]

MAX_DIGITS = 40
"""Digits of a number that is read: longer ones, and powers of ten, are no answers but attacks."""

MATH_SECONDS = 3
"""How long one comparison in mathematics may take; beyond it the answer is wrong."""

MAX_MATH = 500
"""Characters of an answer in mathematics that are read: nothing that is right is longer."""

_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_NUMBER = re.compile(
    r"(?:^\s*[+-]\s*|(?<![\w.)])[+-])?(?<![0-9.])(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?![0-9]|\.[0-9])"
    r"(?:\s*/\s*[0-9]+)?"
)
_BREAKS = re.compile(r"[\s\"'`.,;:!?()\[\]{}_-]+")
_ARTICLES = frozenset({"a", "an", "the"})


@dataclasses.dataclass(frozen=True, slots=True)
class Verifier:
    """Judges the answers of a task by the name of a verifier, so that the task can be pickled.

    Attributes:
        name: one of `VERIFIERS`.

    Raises:
        InvalidInputError: there is no such verifier.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in VERIFIERS:
            raise unknown_name("verifier", self.name, VERIFIERS)

    def __call__(self, answer: str, prompt: Prompt) -> float | None:
        return VERIFIERS[self.name](answer, prompt.targets)


def exact(answer: str, targets: Sequence[str]) -> float | None:
    """Whether the answer is the same text, or the same number, as one of the targets.

    Texts are compared without case, punctuation, articles and repeated space.

    Args:
        answer: what the model answered.
        targets: right answers.

    Returns:
        1.0 or 0.0.

    Edge cases: an answer that is nothing but punctuation or articles is compared as it stands.
    Reference: the normalization of SQuAD (arXiv:1606.05250).

    Example:
        >>> exact("The Eiffel Tower.", ["eiffel tower"]), exact("1,000", ["1000.0"])
        (1.0, 1.0)
    """
    said, value = normalized(answer), single_number(answer, alone=True)
    for target in targets:
        right = single_number(target, alone=True)
        same = said == normalized(target) if value is None or right is None else value == right
        if same:
            return 1.0
    return 0.0


def number(answer: str, targets: Sequence[str]) -> float | None:
    """Whether the one number in the answer equals one of the targets, exactly.

    Args:
        answer: what the model answered, such as `$1,200` or `18 eggs`.
        targets: right numbers.

    Returns:
        1.0 or 0.0; None where no target is a number.

    Edge cases: an answer with no number, or with two, is wrong. `1/2` is one number and equals 0.5;
        a percent sign is a unit: `50%` is 50.

    Example:
        >>> number("$1,200.00", ["1200"]), number("17 or 18", ["18"]), number("1/2", ["0.5"])
        (1.0, 0.0, 1.0)
    """
    right = {single_number(target) for target in targets} - {None}
    if not right:
        return None
    return float(single_number(answer) in right)


def math(answer: str, targets: Sequence[str]) -> float | None:
    """Whether the answer is the same mathematics as one of the targets.

    Args:
        answer: what the model answered, in LaTeX or plain.
        targets: right answers, likewise.

    Returns:
        1.0 or 0.0; None where no target can be read. An answer that cannot be read, is longer than
        500 characters, or takes longer than 3 seconds is wrong.

    Raises:
        MissingDependencyError: math-verify is not installed.

    Edge cases: outside of the main thread there is no time limit, since it is set by a signal.
    """
    library = optional_import("math_verify", "comparing answers in mathematics", "train")
    seconds = MATH_SECONDS if threading.current_thread() is threading.main_thread() else None
    golds = [found for target in targets if (found := _expression(library, target, seconds))]
    if not golds:
        return None
    said = _expression(library, answer, seconds) if len(answer) <= MAX_MATH else []
    if not said:
        return 0.0
    return float(any(library.verify(gold, said, timeout_seconds=seconds) for gold in golds))


def choice(answer: str, targets: Sequence[str]) -> float | None:
    """Whether the answer names the right option, by its letter, its text or both.

    Args:
        answer: what the model answered: `A`, `(A)`, `A) bank` or `bank`.
        targets: right options: `A) bank`, or `A`.

    Returns:
        1.0 or 0.0.

    Edge cases: the right letter with another text is wrong.

    Example:
        >>> choice("(a)", ["A) bank"]), choice("Bank", ["A) bank"]), choice("A) mall", ["A) bank"])
        (1.0, 1.0, 0.0)
    """
    return grade(answer, list(targets))


def normalized(text: str) -> str:
    """A text without case, punctuation, articles and repeated space; as it is if nothing is left.

    Args:
        text: any.

    Returns:
        The text that `exact` compares.

    Example:
        >>> normalized("  The “Beatles”, "), normalized("THE ")
        ('beatles', 'the')
    """
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_QUOTES)
    words = [word for word in _BREAKS.split(plain) if word and word not in _ARTICLES]
    return " ".join(words) or plain.strip()


def single_number(text: str, *, alone: bool = False) -> Fraction | None:
    """The value of the only number in a text; None where there is none, or several.

    Args:
        text: any; commas between thousands are read over.
        alone: whether the text must hold nothing else but money signs and a final point.

    Returns:
        The exact value.

    Example:
        >>> single_number("about -1,200.50 dollars"), single_number("3 or 4"), single_number("3/4")
        (Fraction(-2401, 2), None, Fraction(3, 4))
    """
    plain = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).replace("−", "-"))
    found = ["".join(one.split()) for one in _NUMBER.findall(plain)]
    if len(found) != 1 or len(found[0]) > MAX_DIGITS:
        return None
    if alone and "".join(plain.split()).strip("$€£").rstrip(".") != found[0]:
        return None
    over, _, under = found[0].partition("/")
    below = Fraction(under or "1")
    return Fraction(over) / below if below else None


def _expression(library: Any, text: str, seconds: int | None) -> list[Any]:
    """The formula that a text is; without dollar signs the whole text is taken for one."""
    return library.parse(text if "$" in text else f"${text}$", parsing_timeout=seconds) or []


_QUOTES = {ord(mark): "'" for mark in "‘’‚‛“”„‟«»´"}

VERIFIERS: dict[str, Callable[[str, Sequence[str]], float | None]] = {
    "exact": exact,
    "number": number,
    "math": math,
    "choice": choice,
}
"""The verifiers by name."""
