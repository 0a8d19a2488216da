"""What a server replies, in the few fields that matter, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Choice", "MalformedReply", "Reply", "read_reply", "visible"]


MOST_TOKENS = 10**9
"""A count beyond this is no count."""


class MalformedReply(Exception):
    """A reply that is none; asking again may give one.

    Args:
        problem: what is wrong with it.
        foreign: whether it is none of this API at all.
    """

    def __init__(self, problem: str, *, foreign: bool = False) -> None:
        self.foreign = foreign
        super().__init__(problem)


@dataclasses.dataclass(frozen=True)
class Choice:
    """One completion.

    Attributes:
        text: what was said; empty where only reasoning came.
        reasoning: what a server keeps apart as reasoning, or None.
        finish: why it ended: `stop`, `length`, `content_filter`, ... or None.
        refusal: a refusal in the server's own field, or None.
        top: (token, log-probability) of the alternatives at the first token; None where the server
            gives none.
    """

    text: str
    reasoning: str | None = None
    finish: str | None = None
    refusal: str | None = None
    top: tuple[tuple[str, float], ...] | None = None


@dataclasses.dataclass(frozen=True)
class Reply:
    """The completions of one request, and the tokens they took.

    Attributes:
        choices: at least one.
        prompt_tokens: as the server counts them; None where it does not say.
        completion_tokens: likewise.
    """

    choices: tuple[Choice, ...]
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The reply as plain JSON values, without what is empty."""
        choices = [
            {name: value for name, value in dataclasses.asdict(c).items() if value is not None}
            for c in self.choices
        ]
        usage = {"in": self.prompt_tokens, "out": self.completion_tokens}
        return {"choices": choices, **{k: v for k, v in usage.items() if v is not None}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reply:
        """The reply that `to_json` gave; ValueError and its like for anything else."""
        choices = tuple(
            Choice(
                str(c["text"]),
                _text(c.get("reasoning")),
                _text(c.get("finish")),
                _text(c.get("refusal")),
                tuple((str(t), float(p)) for t, p in c["top"]) if "top" in c else None,
            )
            for c in value["choices"]
        )
        if not choices:
            raise ValueError("no choices")
        return cls(choices, _count(value, "in"), _count(value, "out"))


def read_reply(raw: Any) -> Reply:
    """The reply in the JSON that a server sent.

    Args:
        raw: the parsed body of a response with status 200.

    Returns:
        Its completions.

    Raises:
        MalformedReply: there is no completion in it, or one that is empty for no reason.
    """
    if not isinstance(raw, Mapping):
        raise MalformedReply("the reply is no JSON object", foreign=True)
    if raw.get("error"):  # gateways report what went wrong behind them with status 200
        raise MalformedReply(f"the reply is an error: {_said(raw['error'])}")
    listed = raw.get("choices")
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise MalformedReply("the reply has no choices", foreign="choices" not in raw)
    choices = tuple(_choice(one) for one in listed)
    usage = raw.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    return Reply(choices, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def visible(text: str) -> str:
    """A text without the reasoning that it holds in think tags.

    Args:
        text: what a model said.

    Returns:
        What follows the last `</think>`; nothing where the reasoning never ends.

    Example:
        >>> visible("<think>2 + 2</think> 4"), visible("<think>2 + 2"), visible("4")
        (' 4', '', '4')
    """
    _, mark, after = text.rpartition("</think>")
    return "" if not mark and text.lstrip().startswith("<think>") else after


def _choice(one: Any) -> Choice:
    if not isinstance(one, Mapping):
        raise MalformedReply("a choice of the reply is no object")
    message = one.get("message")
    finish = one.get("finish_reason")
    finish = finish if isinstance(finish, str) else None
    if isinstance(message, Mapping):
        content = message.get("content")
        # vLLM calls it `reasoning` since it has left DeepSeek's name.
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        refusal = message.get("refusal")
    elif "text" in one:
        content, reasoning, refusal = one["text"], None, None
    else:
        raise MalformedReply("a choice of the reply has no message")
    if isinstance(content, list):  # parts, of which texts count
        parts = [p.get("text") or "" for p in content if isinstance(p, Mapping)]
        if not all(isinstance(part, str) for part in parts):
            raise MalformedReply("a part of the reply is no text")
        content = "".join(parts)
    choice = Choice(
        content if isinstance(content, str) else "",
        reasoning if isinstance(reasoning, str) and reasoning else None,
        finish,
        refusal if isinstance(refusal, str) and refusal else None,
        _top(one.get("logprobs")),
    )
    explained = choice.reasoning or choice.refusal or finish in ("length", "content_filter")
    if not choice.text and not explained and not choice.top:
        raise MalformedReply("the reply is empty")
    return choice


def _top(logprobs: Any) -> tuple[tuple[str, float], ...] | None:
    """The alternatives at the first token, in the form of either endpoint."""
    if not isinstance(logprobs, Mapping):
        return None
    content, listed = logprobs.get("content"), logprobs.get("top_logprobs")
    found: list[tuple[Any, Any]] = []
    if isinstance(content, Sequence) and content and isinstance(content[0], Mapping):
        first = content[0].get("top_logprobs") or ()
        if not isinstance(first, Sequence):
            raise MalformedReply("the log-probabilities of the reply are no list")
        found = [(o.get("token"), o.get("logprob")) for o in first if isinstance(o, Mapping)]
    elif isinstance(listed, Sequence) and listed and isinstance(listed[0], Mapping):
        found = list(listed[0].items())
    try:
        kept = tuple(
            (token, float(value))
            for token, value in found
            if isinstance(token, str) and isinstance(value, int | float) and value <= 1e-6
        )
    except OverflowError as error:
        raise MalformedReply("a log-probability of the reply is no number") from error
    return kept or None


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and 0 <= value <= MOST_TOKENS else None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ValueError("no text")


def _said(error: Any) -> str:
    """All of it: whoever shows it takes the key out first and cuts it then."""
    return str(error.get("message", error) if isinstance(error, Mapping) else error)
