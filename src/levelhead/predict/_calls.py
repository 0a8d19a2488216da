"""One request: its path, its fields, and the key under which its reply is kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from levelhead.predict.settings import Settings
from levelhead.tasks import Message, Prompt

__all__ = ["Asked", "Call", "identity"]

SEEDS = 2**31
"""Servers read a seed as a signed number of 32 bits."""

PATHS = {"chat": "chat/completions", "completions": "completions"}


@dataclasses.dataclass(frozen=True)
class Call:
    """A request.

    Attributes:
        path: below the base URL.
        body: its fields.
        key: of everything that decides it; equal requests of different samples differ in it.
    """

    path: str
    body: dict[str, Any]
    key: str

    @property
    def wants_logprobs(self) -> bool:
        """Whether the alternatives at the first token are asked for."""
        return bool(self.body.get("logprobs"))


@dataclasses.dataclass(frozen=True)
class Asked:
    """One sample: a prompt, and which of its samples this is.

    Attributes:
        prompt: with its own messages.
        number: counts the samples of equal messages, from 0.
        settings: how it is asked.
        instruction: what follows the prompt; empty for nothing.
        options: words to choose from, where the method has some.
    """

    prompt: Prompt
    number: int
    settings: Settings
    instruction: str = ""
    options: tuple[str, ...] = ()

    def messages(self, last: str | None = None) -> list[Message]:
        """The conversation that is sent; where `last` is given, with that as the last thing said."""
        found = [dict(one) for one in self.prompt.messages]
        if last is not None:
            found[-1] = {"role": "user", "content": last}
        else:
            found[-1]["content"] = found[-1]["content"].rstrip()
            if self.instruction:
                found[-1]["content"] = f"{found[-1]['content']}\n\n{self.instruction}"
        if self.settings.system is not None and found[0].get("role") != "system":
            found.insert(0, {"role": "system", "content": self.settings.system})
        return found

    def answer(self, turn: int, votes: int = 1) -> Call:
        """A request for a whole answer, or for several; `turn` counts the requests of a sample."""
        fields: dict[str, Any] = {
            "temperature": self.settings.temperature,
            "max_tokens": self.settings.max_tokens,
        }
        return self._call(self.messages(), fields | ({"n": votes} if votes > 1 else {}), turn)

    def first_token(self, messages: Sequence[Message], turn: int) -> Call:
        """A request for the probabilities of the first token, as they are at temperature 1."""
        top = self.settings.top_logprobs
        wanted = {"logprobs": True, "top_logprobs": top}
        if self.settings.endpoint == "completions":
            wanted = {"logprobs": top}
        return self._call(messages, {"temperature": 1.0, "max_tokens": 1, **wanted}, turn)

    def _call(self, messages: Sequence[Message], fields: dict[str, Any], turn: int) -> Call:
        settings = self.settings
        said: dict[str, Any] = {"messages": list(messages)}
        if settings.endpoint == "completions":
            said = {"prompt": "\n\n".join(one["content"] for one in messages)}
        body = {"model": settings.model, **said, **fields, "seed": self._seed(turn)}
        body |= settings.body
        if fields["max_tokens"] == 1 and "max_completion_tokens" in body:
            body["max_completion_tokens"] = 1  # the name that some servers want instead
        body = {name: value for name, value in body.items() if value is not None}
        path = PATHS[settings.endpoint]
        return Call(path, body, _digest([path, body, self.number, turn]))

    def _seed(self, turn: int) -> int:
        told = [self.settings.seed, identity(self.prompt), self.number, turn]
        return int(_digest(told), 16) % SEEDS


def identity(prompt: Prompt) -> str:
    """A digest of what a prompt says, whatever its name and its place in the file."""
    return _digest(list(prompt.messages))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
