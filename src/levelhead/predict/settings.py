"""How a model is asked: everything that decides a request, and nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from levelhead.elicitation import TABLE as ELICITATIONS
from levelhead.errors import InvalidInputError, unknown_name

__all__ = ["ENDPOINTS", "Settings", "spelled"]

ENDPOINTS = ("chat", "completions")
"""`chat` sends messages to /chat/completions, `completions` one text to /completions."""

MOST_LOGPROBS = 20
"""What servers give at most unless they are told otherwise."""

RESERVED = frozenset({"model", "messages", "prompt", "stream", "n", "logprobs", "top_logprobs"})
"""Fields of a request that are not the user's to set."""

OWN = frozenset({"temperature", "max_tokens", "seed"})
"""Fields that have a setting of their own; they can be taken out, but not set a second time."""

MARKS = " \t\r\n\"'`*_([{<.:,;\u0120\u010a\u2581"
"""What may stand around a word within its token, the spaces of tokenizers (Ġ, Ċ, ▁) among them."""


def spelled(word: str) -> str:
    """What two tokens have in common that say the same option.

    Args:
        word: a token, or an option.

    Returns:
        It without space and marks around it, in lower case unless it is a single letter (the
        article `a` is no option A).

    Example:
        >>> spelled(" Yes."), spelled("(A)"), spelled("a")
        ('yes', 'A', 'a')
    """
    word = word.strip(MARKS + ")]}>")
    return word if len(word) == 1 else word.casefold()


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a model is asked.

    Attributes:
        model: its name on the server, or the folder of a local model.
        method: a name in `METHODS`: `verbalized`, `options`, `p-true` or `consistency`.
        endpoint: `chat` or `completions`.
        samples: answers per prompt, at least 1; for `consistency` the votes behind one answer.
        temperature: of the answers, >= 0. Log-probabilities are always those at temperature 1.
        max_tokens: the longest answer in tokens, at least 1.
        seed: every request gets a seed of its own that follows from it, in [0, 2**63).
        system: a system message to put first, or None; one that a prompt has already stays.
        instruction: what follows each prompt; None takes the method's own, empty text none.
        elicitation: name of the format in which an answer and a confidence are read, or None for
            that of the questions.
        options: (K,) words of which the first token's probabilities are compared; empty: Yes and
            No for events, the letters of the options for a multiple-choice task. The first of them
            says that an event happens.
        top_logprobs: alternatives asked for at a token, 1 to 20.
        per_request: votes asked for in one request, at least 1.
        body: further fields of each request; None as a value takes a field out, also one of
            `temperature`, `max_tokens` and `seed`, which get no value here.

    Raises:
        InvalidInputError: a value is outside its range, or two of them do not go together.
    """

    model: str
    method: str = "verbalized"
    endpoint: str = "chat"
    samples: int = 1
    temperature: float = 1.0
    max_tokens: int = 1024
    seed: int = 0
    system: str | None = None
    instruction: str | None = None
    elicitation: str | None = None
    options: tuple[str, ...] = ()
    top_logprobs: int = MOST_LOGPROBS
    per_request: int = 1
    body: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise InvalidInputError("model: expected the name of a model, got nothing")
        for name, choices in (("method", NAMES), ("endpoint", ENDPOINTS)):
            if getattr(self, name) not in choices:
                raise unknown_name(name, getattr(self, name), choices)
        if self.elicitation is not None and self.elicitation not in ELICITATIONS:
            raise unknown_name("elicitation", self.elicitation, ELICITATIONS)
        for name, low, high in (
            ("samples", 1, 10_000),
            ("max_tokens", 1, 10**7),
            ("seed", 0, 2**63 - 1),
            ("top_logprobs", 1, MOST_LOGPROBS),
            ("per_request", 1, 10_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise InvalidInputError(
                    f"{name}: expected a whole number from {low} to {high}, "
                    f"got {getattr(self, name)}"
                )
        if not (math.isfinite(self.temperature) and self.temperature >= 0.0):
            raise InvalidInputError(
                f"temperature: expected a finite number >= 0, got {self.temperature}"
            )
        self._check_together()

    def _check_together(self) -> None:
        if self.method == "options" and self.samples > 1:
            raise InvalidInputError(
                f"samples: expected 1 with the method options, whose probabilities are the same "
                f"each time, got {self.samples}"
            )
        if self.method == "consistency" and self.samples < 2:
            raise InvalidInputError(
                f"samples: expected at least 2 answers to compare, got {self.samples}; give "
                "--samples 10"
            )
        if self.method == "consistency" and self.temperature == 0.0:
            raise InvalidInputError(
                "temperature: expected more than 0 with the method consistency, got 0; all samples "
                "would be the same"
            )
        names = {spelled(word).casefold() for word in self.options}
        if len(names) < len(self.options) or "" in names:
            raise InvalidInputError(
                "options: expected different words (case and marks such as brackets do not make "
                f"them different), got {', '.join(map(repr, self.options))}"
            )
        if len(self.options) == 1:
            raise InvalidInputError(f"options: expected at least 2, got {self.options[0]!r} alone")
        taken = sorted(RESERVED & set(self.body))
        if taken:
            raise InvalidInputError(
                f"body: expected fields that levelhead does not set itself, got {', '.join(taken)}"
            )
        twice = sorted(name for name in OWN if self.body.get(name) is not None)
        if twice:
            raise InvalidInputError(
                f"body: expected no value for {twice[0]}, which has a setting of its own "
                f"(--{twice[0].replace('_', '-')}; null takes the field out), got "
                f"{self.body[twice[0]]!r}"
            )

    def described(self) -> dict[str, Any]:
        """The settings as plain JSON values, as the head of a journal has them.

        Returns:
            One entry for each attribute.
        """
        found = dataclasses.asdict(self)
        return found | {"options": list(self.options), "body": dict(self.body)}


NAMES = ("verbalized", "options", "p-true", "consistency")
"""The methods by name; `methods.METHODS` says what each does."""
