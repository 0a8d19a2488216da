"""What the readers of logs share: texts of messages, stated numbers, probabilities of tokens."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from levelhead.elicitation import Elicited
from levelhead.errors import RecordError
from levelhead.readers._base import OWN, ReadLog, ReadOptions
from levelhead.readers._columns import RowBuilder, elicitation_name, parse_text
from levelhead.readers._files import show
from levelhead.readers._remote import AnyPath
from levelhead.records import Predictions

__all__ = [
    "LOGPROB_RULES",
    "LogRows",
    "message_text",
    "number",
    "pick",
    "probability_of_tokens",
    "prompt_key",
    "stated",
    "token_evidence",
    "token_logprobs",
]

LOGPROB_RULES = ("joint", "mean", "min")
"""How log-probabilities of tokens become one: exp of their sum, of their mean, of the least."""

_ROUNDING = 0.01
"""How far above 0 a log-probability may lie: sums in bfloat16 overshoot by this much."""

_LONGEST_KEY = 80

_TEXT_PARTS = ("text", "output_text")

_ANSWER_TAG = re.compile(rb"<(/?)answer>", re.IGNORECASE)

_TAGS = "answer_confidence_tags"

_MISSING = object()

_READ = OWN | {
    "answer", "text", "prompt", "gold", "step", "target_index", "completion", "response",
    "generation", "output",
}  # fmt: skip
"""What readers find out by themselves; it is never taken from a field of the same name."""


class LogRows:
    """The rows of one log, collected by model and handed over in blocks.

    Args:
        path: the log.
        options: what the user said.
        log: where decisions and oddities go.
    """

    def __init__(self, path: AnyPath, options: ReadOptions, log: ReadLog) -> None:
        self.path, self.options, self.log = path, options, log
        self._builders: dict[str, RowBuilder] = {}
        self._sought = set(options.by)
        # What a log calls so may be the right answer, or another text than the parsed one.
        self._evidence = [name for name in options.evidence if name not in _READ]
        self._parsing = options
        if options.elicitation is None and options.pattern is None:
            # A log of answers may hold <answer>37</answer>, which is no percentage.
            name = elicitation_name(options, _TAGS)
            self._parsing = dataclasses.replace(options, elicitation=name)
        self._texts = self._stating = 0
        self._fields: dict[str, None] = {}

    def error(self, problem: str, line: int | None = None) -> RecordError:
        """The error that names this log and a line of it."""
        return RecordError(problem, show(self.path), line)

    def text(self, text: str | None) -> dict[str, Any]:
        """Confidence, status, provenance, answer and text, as parsed from a model's output."""
        found = parse_text(text, self._parsing)
        self._texts += text is not None
        return {**_from_elicited(found), "answer": found.answer, "text": text}

    def add(
        self,
        *,
        model: str | None = None,
        slices: Sequence[Mapping[str, Any]] = (),
        **row: Any,
    ) -> Iterator[Predictions]:
        """Takes one row; gives a block when one is full.

        Args:
            model: whose row it is; the file's name when the log does not say.
            slices: where the columns of `options.by` and `options.evidence` are looked up, first
                hit wins.
            row: what `RowBuilder.add` takes.

        Yields:
            At most one block.
        """
        name = model or self.path.stem
        builder = self._builders.get(name)
        if builder is None:
            builder = RowBuilder("answer", name, self.path, self.options, self.log)
            self._builders[name] = builder
        for column in self.options.by:
            row.setdefault(column, self._slice(column, slices))
            if row[column] is not None:
                self._sought.discard(column)
        for column in self._evidence:
            if column not in row and (value := _field(column, slices)) is not None:
                row[column] = value
        self._stating += row.get("confidence") is not None
        builder.add(**row)
        if builder.full():
            self._check_slices()
            yield builder.block()

    def rest(self) -> Iterator[Predictions]:
        """The blocks that are left.

        Yields:
            At most one block for each model.

        Raises:
            RecordError: there was no record, or no record has a slice column that was asked for.
        """
        if not self._builders:
            raise self.error("expected at least one record, got none")
        self._check_slices()
        if self._texts and not self._stating:
            self.log.warn(
                f"{self.path.name}: none of its {self._texts} texts states a confidence in "
                "<confidence> tags; name another format with --elicitation or --pattern"
            )
        for builder in self._builders.values():
            block = builder.block()
            if len(block):
                yield block

    def _slice(self, column: str, slices: Sequence[Mapping[str, Any]]) -> str | None:
        for fields in slices:
            self._fields.update(dict.fromkeys(map(str, fields)))
            value: Any = fields.get(column, _MISSING)
            if value is _MISSING and "." in column:
                value = fields
                for part in column.split("."):
                    value = value.get(part, _MISSING) if isinstance(value, Mapping) else _MISSING
            if value is not _MISSING and value is not None:
                return value if isinstance(value, str) else json.dumps(value, default=str)
        return None

    def _check_slices(self) -> None:
        if self._sought:
            raise self.error(
                f"by: no record has the field {sorted(self._sought)[0]!r}; the fields are "
                + ", ".join(sorted(self._fields)[:40])
            )


def _field(column: str, records: Sequence[Mapping[str, Any]]) -> Any:
    """What the first record that has the field holds there; None where none has."""
    return next((r[column] for r in records if r.get(column) is not None), None)


def _from_elicited(found: Elicited) -> dict[str, Any]:
    """Confidence, status and provenance of a parsed text."""
    provenance = "missing" if found.confidence is None else found.provenance
    return {"confidence": found.confidence, "status": found.status, "provenance": provenance}


def message_text(value: Any, where: str, path: AnyPath, line: int | None = None) -> str | None:
    """The text of a completion, whatever shape it has.

    Args:
        value: a string, a message, a list of messages (the last assistant's counts) or of the parts
            of one message (the texts count, joined; reasoning and images do not), or None.
        where: what the log calls it.
        path: the log.
        line: the line of the record.

    Returns:
        The text, or None where there is none.

    Raises:
        RecordError: the value has another shape.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return message_text(value.get("content"), f"{where}.content", path, line)
    if isinstance(value, list | tuple) and all(isinstance(v, str | Mapping) for v in value):
        messages = [v for v in value if isinstance(v, Mapping) and "role" in v]
        if messages:
            own = [m for m in messages if m["role"] == "assistant"]
            return message_text(own[-1], where, path, line) if own else None
        parts = [v if isinstance(v, str) else _part(v) for v in value]
        return "".join(parts) if value else None
    raise RecordError(
        f"{where}: expected text, a message or a list of messages, got {_shown(value)}",
        show(path),
        line,
    )


def _part(part: Mapping[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) and part.get("type", "text") in _TEXT_PARTS else ""


def prompt_key(prompt: Any) -> str | None:
    """An id for a prompt that has none: the text itself where it is short, else a digest of it.

    Args:
        prompt: a text, or messages.

    Returns:
        The same string for the same prompt, or None where there is no prompt.
    """
    if prompt is None:
        return None
    text = prompt if isinstance(prompt, str) else json.dumps(prompt, sort_keys=True, default=str)
    if len(text) <= _LONGEST_KEY:
        return text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def number(value: Any) -> float | None:
    """A number that a log holds as a number or as a string; None where it is neither.

    Args:
        value: anything; true and false are no numbers.

    Returns:
        The float, which may be infinite or NaN, or None.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def stated(value: Any) -> dict[str, Any]:
    """A confidence that the log states as a number: what it says, or why it cannot be had.

    Args:
        value: a number, or None or NaN where there is none; `RowBuilder` checks its range.

    Returns:
        `confidence`, `status` and `provenance`.
    """
    got = number(value)
    if got is None:
        status = "missing" if value is None else "unparsable"
        return {"confidence": None, "status": status, "provenance": "missing"}
    if math.isnan(got):
        return {"confidence": None, "status": "missing", "provenance": "missing"}
    return {"confidence": got, "status": "ok", "provenance": "reported"}


def pick(
    what: str, asked: str | None, found: Sequence[str], preferred: Sequence[str], rows: LogRows
) -> str:
    """Which of several columns holds what is wanted.

    Args:
        what: what is wanted, for the message.
        asked: the user's choice, or None.
        found: the columns that exist.
        preferred: those that may be taken unasked, if just one of them exists.
        rows: the log.

    Returns:
        The column.

    Raises:
        RecordError: the choice does not exist, or there is none and it is not clear.
    """
    listed = ", ".join(found) or "none"
    if asked is not None:
        if asked in found:
            return asked
        raise rows.error(f"{what}: expected one of {listed}, got {asked!r}")
    likely = [name for name in found if name in preferred]
    if len(likely) == 1:
        rows.log.note(f"{what} is read from {likely[0]!r}")
        return likely[0]
    raise rows.error(f"{what}: it is not clear which of {listed} holds it; choose with --scorer")


def token_logprobs(
    content: Any, path: AnyPath, line: int | None = None
) -> list[tuple[bytes, float]]:
    """The tokens of an answer and their log-probabilities, from a chat `logprobs.content` list.

    Args:
        content: a list of objects with `token`, `logprob` and perhaps `bytes`.
        path: the log.
        line: the line of the record.

    Returns:
        Pairs of the token's bytes and its log-probability, at most 0 (nats); NaN where it is null.

    Raises:
        RecordError: another shape, or a log-probability above 0.
    """
    if not isinstance(content, list) or not all(isinstance(t, Mapping) for t in content):
        raise RecordError(
            f"logprobs: expected a list of tokens, got {_shown(content)}", show(path), line
        )
    tokens: list[tuple[bytes, float]] = []
    for token in content:
        value = token.get("logprob", _MISSING)
        logprob = math.nan if value is None else number(value)
        if value is _MISSING or logprob is None or logprob > _ROUNDING:
            got = "none" if value is _MISSING else _shown(value)
            raise RecordError(
                f"logprob: expected a log-probability (at most 0), got {got}", show(path), line
            )
        tokens.append((_token_bytes(token), min(logprob, 0.0)))
    return tokens


def _token_bytes(token: Mapping[str, Any]) -> bytes:
    raw = token.get("bytes")
    if isinstance(raw, list):
        try:
            return bytes(raw)
        except (TypeError, ValueError):
            pass
    text = token.get("token")
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else b""


def probability_of_tokens(tokens: Sequence[tuple[bytes, float]], rule: str) -> float | None:
    """One confidence from the log-probabilities of the answer's tokens.

    joint: exp(sum of logprobs), the probability of the whole answer; mean: exp(mean), the geometric
    mean of the tokens' probabilities; min: exp(min), the least likely token.

    Args:
        tokens: from `token_logprobs`; the tokens inside the last `<answer>` tags count if there are
            such tags, else all.
        rule: one of `LOGPROB_RULES`.

    Returns:
        A probability, or None where there are no tokens or one has no log-probability.
    """
    values = [logprob for _, logprob in _answer_tokens(tokens)]
    if not values or any(math.isnan(v) for v in values):
        return None
    total = {"joint": math.fsum, "mean": _mean, "min": min}[rule](values)
    return math.exp(total)


def token_evidence(
    content: Any, wanted: Sequence[str], path: AnyPath, line: int | None = None
) -> dict[str, Any]:
    """What a chat log says of the answer's tokens, as evidence columns.

    Args:
        content: the `logprobs.content` list.
        wanted: `ReadOptions.evidence`.
        path: the log.
        line: the line of the record.

    Returns:
        `token_logprobs`, a number a token, and `top_logprobs`, a list of the log-probabilities of
        the likeliest tokens at each place, as far as they are wanted and there.
    """
    tokens = token_logprobs(content, path, line)
    inside = [int(i) for _, i in _answer_tokens([(raw, i) for i, (raw, _) in enumerate(tokens)])]
    found: dict[str, Any] = {}
    if "token_logprobs" in wanted:
        found["token_logprobs"] = [tokens[i][1] for i in inside]
    if "top_logprobs" in wanted:
        tops = [content[i].get("top_logprobs") or [] for i in inside]
        if all(isinstance(top, list) and top for top in tops):
            found["top_logprobs"] = [[v for _, v in token_logprobs(t, path, line)] for t in tops]
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _answer_tokens(tokens: Sequence[tuple[bytes, float]]) -> list[tuple[bytes, float]]:
    """The tokens that overlap the text of the last closed pair of `<answer>` tags."""
    text = b"".join(raw for raw, _ in tokens)
    start, span = -1, None
    for tag in _ANSWER_TAG.finditer(text):
        if not tag[1]:
            start = tag.end()
        elif start >= 0:
            span, start = (start, tag.start()), -1
    if span is None:
        return list(tokens)
    inside: list[tuple[bytes, float]] = []
    at = 0
    for raw, logprob in tokens:
        if max(at, span[0]) < min(at + len(raw), span[1]):
            inside.append((raw, logprob))
        at += len(raw)
    return inside


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
