"""What TRL's rows and completions hold, as levelhead reads it: texts, truths, what texts say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from levelhead._arrays import BoolArray, FloatArray
from levelhead._text import plural
from levelhead.adapters._base import known_name
from levelhead.elicitation import TABLE as FORMATS
from levelhead.elicitation import Elicited
from levelhead.errors import InvalidInputError
from levelhead.tasks import Prompt
from levelhead.tasks._verify import VERIFIERS

__all__ = ["Said", "Truth", "Verify", "text_of"]

Verify = Callable[[str, Sequence[str]], float | None]
"""(answer, right answers) -> 1.0, 0.0, or None where nobody can say."""


@dataclasses.dataclass(frozen=True)
class Said:
    """What N completions say, and what is true.

    Attributes:
        elicited: (N,) what each says.
        confidence: (N,) in [0, 1]; NaN where there is none.
        truth: (N,) in [0, 1]: whether the answer is right, or the outcome; NaN where nobody can tell.
        formed: (N,) True where the format was kept.
    """

    elicited: tuple[Elicited, ...]
    confidence: FloatArray
    truth: FloatArray
    formed: BoolArray


@dataclasses.dataclass(frozen=True)
class Truth:
    """Where the truth stands in a data set, and how texts are held against it.

    Attributes:
        who: what an error begins with.
        outcome: the column with outcomes; not read where `answer` is given.
        answer: the column with right answers; None: probabilities of events are asked for.
        verify: judges an answer.
        elicitation: name of the format.
    """

    who: str
    outcome: str
    answer: str | None
    verify: Verify
    elicitation: str

    @classmethod
    def of(
        cls,
        who: str,
        outcome: str,
        answer: str | None,
        verifier: str | Verify,
        elicitation: str | None,
    ) -> Truth:
        """Every name checked."""
        default = "percent_tag" if answer is None else "answer_confidence_tags"
        form = default if elicitation is None else elicitation
        form = known_name(f"{who} elicitation", form, FORMATS)
        if not callable(verifier):
            verifier = VERIFIERS[known_name(f"{who} verifier", verifier, VERIFIERS)]
        return cls(who, outcome, answer, verifier, form)

    @property
    def column(self) -> str:
        """The column that holds the truth."""
        return self.outcome if self.answer is None else self.answer

    def read(self, texts: Sequence[str], columns: Mapping[str, Any]) -> Said:
        """What texts say and whether it is true, from the columns that a reward function gets."""
        given = self._given(columns, len(texts))
        elicited = tuple(FORMATS[self.elicitation].parse(text) for text in texts)
        if self.answer is None:
            truth = [self.outcome_of(value, i) for i, value in enumerate(given)]
        else:
            truth = [
                self.judged(e.answer, self.targets_of(value, i))
                for i, (e, value) in enumerate(zip(elicited, given, strict=True))
            ]
        confidence = np.array([_or_nan(e.confidence) for e in elicited], dtype=np.float64)
        answered = np.array([self.answer is None or bool(e.answer) for e in elicited], dtype=bool)
        return Said(
            elicited=elicited,
            confidence=confidence,
            truth=np.array([_or_nan(value) for value in truth], dtype=np.float64),
            formed=~np.isnan(confidence) & answered,
        )

    def outcome_of(self, value: object, row: int) -> float | None:
        """An outcome in [0, 1], or None where there is none."""
        if value is None:
            return None
        if isinstance(value, bool | int | float | np.integer | np.floating | np.bool_):
            number = float(cast(float, value))
            if math.isnan(number):
                return None
            if 0.0 <= number <= 1.0:
                return number
        raise InvalidInputError(
            f"{self.who}: expected outcomes in [0, 1], or None where unknown, in the column "
            f"{self.outcome!r}, got {value!r} in row {row}"
        )

    def targets_of(self, value: object, row: int) -> tuple[str, ...]:
        """The right answers; none where they are unknown."""
        if value is None:
            return ()
        values = list(cast(Sequence[object], value)) if isinstance(value, list | tuple) else [value]
        for one in values:
            if not isinstance(one, str | int | float | np.number):
                raise InvalidInputError(
                    f"{self.who}: expected right answers (texts or numbers, or a list of them) in "
                    f"the column {self.answer!r}, got {type(one).__name__} in row {row}"
                )
        return tuple(str(one) for one in values if not _is_nan(one))

    def judged(self, answer: str | None, targets: Sequence[str]) -> float | None:
        """Whether an answer is right; no answer is wrong, and without a target nobody can say."""
        if not targets:
            return None
        if answer is None:
            return 0.0
        found: object = self.verify(answer, targets)
        if found is None:
            return None
        ok = isinstance(found, bool | int | float | np.integer | np.floating | np.bool_)
        if ok and 0.0 <= float(cast(float, found)) <= 1.0:
            return float(cast(float, found))
        raise InvalidInputError(
            f"{self.who}: expected the verifier to return 1.0, 0.0 or None, got {found!r} for the "
            f"answer {answer[:60]!r}"
        )

    def verify_prompt(self, answer: str, prompt: Prompt) -> float | None:
        """The verifier of a `Task`."""
        return self.judged(answer, prompt.targets)

    def _given(self, columns: Mapping[str, Any], size: int) -> list[Any]:
        if self.column not in columns:
            kind = "outcome" if self.answer is None else "answer"
            known = ", ".join(repr(name) for name in columns) or "none but the prompt"
            raise InvalidInputError(
                f"{self.who}: expected a column {self.column!r} in the data set, got {known}; name the "
                f"one that holds the truth with {kind}=..."
            )
        given = list(columns[self.column])
        if len(given) != size:
            raise InvalidInputError(
                f"{self.who}: expected {plural(size, 'value')} in the column {self.column!r}, one for "
                f"each completion, got {len(given)}"
            )
        return given


def text_of(completion: object) -> str:
    """What a model wrote: a text, or the last message of the assistant in a conversation."""
    if isinstance(completion, str):
        return completion
    messages = cast(list[Any], completion) if isinstance(completion, list | tuple) else []
    own = [m for m in messages if isinstance(m, Mapping) and m.get("role") == "assistant"]
    if not own:
        return ""
    content: Any = cast(Mapping[str, Any], own[-1]).get("content")
    if isinstance(content, str):
        return content
    parts: list[Any] = list(content) if isinstance(content, list | tuple) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))


def _is_nan(value: object) -> bool:
    """The NaN that a table has where a right answer is unknown."""
    return isinstance(value, float | np.floating) and math.isnan(float(value))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
