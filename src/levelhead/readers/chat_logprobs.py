"""OpenAI and vLLM chat completions with log-probabilities, raw or as batch output.

Where the text states a confidence it is parsed; elsewhere it is computed from the log-probabilities
of the answer's tokens: `joint` (the default), `mean` or `min`. Correctness comes from a labels
file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from levelhead.readers._base import Head, Reader, ReadLog, ReadOptions
from levelhead.readers._files import reading
from levelhead.readers._json import json_lines, json_object
from levelhead.readers._labels import attach_labels, needs_labels
from levelhead.readers._logs import (
    LOGPROB_RULES,
    LogRows,
    message_text,
    probability_of_tokens,
    token_evidence,
    token_logprobs,
)
from levelhead.readers._remote import AnyPath
from levelhead.records import Predictions

__all__ = ["READER"]

_TAG = "<confidence>"
_RULES_IN_WORDS = {
    "joint": "the joint probability of the answer's tokens",
    "mean": "the geometric mean of the probabilities of the answer's tokens",
    "min": "the probability of the answer's least likely token",
}


class _Responses(LogRows):
    """The rows of one file of responses, and how often which kind of confidence occurred."""

    def __init__(self, path: AnyPath, options: ReadOptions, log: ReadLog) -> None:
        super().__init__(path, options, log)
        if options.scorer is not None and options.scorer not in LOGPROB_RULES:
            raise self.error(
                f"scorer: expected one of {', '.join(LOGPROB_RULES)}, got {options.scorer!r}"
            )
        self.rule = options.scorer or "joint"
        self.parsed = self.computed = self.failed = 0
        self.model: str | None = None
        self.waiting: list[dict[str, Any]] = []

    def fail(self, **row: Any) -> Iterator[Predictions]:
        """Takes a request that got no answer: it counts for the model of the others around it."""
        self.failed += 1
        nothing = {"confidence": None, "status": "missing", "provenance": "missing", "label": None}
        self.waiting.append({**nothing, "answer": None, "text": None, **row})
        if self.model is not None:
            yield from self.answered(self.model)

    def answered(self, model: Any) -> Iterator[Predictions]:
        """Takes note of whose answers these are; failed requests that waited for it come first."""
        self.model = model if isinstance(model, str) else self.model
        waiting, self.waiting = self.waiting, []
        for row in waiting:
            yield from self.add(model=self.model, **row)

    def finish(self) -> None:
        if self.computed:
            self.log.note(
                f"the confidence is {_RULES_IN_WORDS[self.rule]} (inside <answer> tags where there "
                "are some; choose with --scorer joint, mean or min)"
            )
        if self.parsed and self.computed:
            self.log.warn(
                f"{self.path.name}: {self.parsed} confidences are stated in the text and "
                f"{self.computed} are computed from log-probabilities, which are different things; "
                "choose one with --elicitation or --scorer"
            )
        if self.failed:
            self.log.warn(
                f"{self.path.name}: {self.failed} requests failed; they count as records without a "
                "confidence"
            )


def _recognizes(head: Head) -> bool:
    if head.container not in ("json", "jsonl"):
        return False
    columns = set(head.columns)
    if columns >= {"custom_id", "response"}:
        return True
    choices = head.first.get("choices")
    return (
        isinstance(choices, list)
        and all(isinstance(c, Mapping) for c in choices)
        and (not choices or "message" in choices[0])
    )


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    needs_labels(path, options, "chat completions")
    yield from attach_labels(_rows(path, options, log), path, options, log)


def _rows(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    rows = _Responses(path, options, log)
    for line, record in _records(path, rows):
        if "response" in record and "choices" not in record:
            yield from _batch_line(record, rows, line)
        else:
            yield from _response(record, record.get("id"), rows, line, ())
    yield from rows.answered(None)
    rows.finish()
    yield from rows.rest()


def _records(path: AnyPath, rows: LogRows) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line, object) of JSON Lines, of an array (its position is the line) or of one object."""
    if not _is_whole(path):
        yield from json_lines(path)
        return
    whole = json_object(path)
    for i, record in enumerate(whole if isinstance(whole, list) else [whole], start=1):
        if not isinstance(record, Mapping):
            raise rows.error("expected chat completions, that is objects with 'choices'", i)
        yield i, record


def _is_whole(path: AnyPath) -> bool:
    """Whether the file is one JSON value over several lines, or an array."""
    with reading(path), path.open("rb") as file:
        for raw in file:
            start = raw.lstrip(b"\xef\xbb\xbf \t\r\n")
            if start:
                break
        else:
            return False
    if start.startswith(b"["):
        return True
    try:
        json.loads(start)
    except ValueError:
        return start.rstrip() in (b"{", b"") or not start.rstrip().endswith(b"}")
    return False


def _batch_line(record: Mapping[str, Any], rows: _Responses, line: int) -> Iterator[Predictions]:
    own_id = record.get("custom_id", record.get("id"))
    response = record["response"]
    body = response.get("body") if isinstance(response, Mapping) else None
    status = response.get("status_code", 200) if isinstance(response, Mapping) else None
    if record.get("error") is not None or status != 200 or not isinstance(body, Mapping):
        return rows.fail(prompt_id=own_id, line=line, slices=[record])
    return _response(body, own_id, rows, line, [record])


def _response(
    record: Mapping[str, Any],
    own_id: Any,
    rows: _Responses,
    line: int,
    slices: Any,
) -> Iterator[Predictions]:
    choices = record.get("choices")
    if not isinstance(choices, list) or not all(isinstance(c, Mapping) for c in choices):
        raise rows.error("choices: expected a list of answers", line)
    yield from rows.answered(record.get("model"))
    for choice in choices or [{"message": {}}]:
        message = choice.get("message")
        if not isinstance(message, Mapping):
            raise rows.error("message: expected an object with 'content'", line)
        yield from rows.add(
            **_stated_or_computed(message, choice.get("logprobs"), rows, line),
            model=rows.model,
            label=None,
            prompt_id=own_id,
            line=line,
            slices=[*slices, record],
        )


def _stated_or_computed(
    message: Mapping[str, Any], logprobs: Any, rows: _Responses, line: int
) -> dict[str, Any]:
    text = message_text(message.get("content"), "content", rows.path, line)
    if message.get("refusal"):
        return {
            "confidence": None, "status": "refusal", "provenance": "missing",
            "answer": None, "text": str(message["refusal"]),
        }  # fmt: skip
    parsed = rows.text(text)
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else logprobs
    wanted = rows.options.evidence
    if content is not None and {"token_logprobs", "top_logprobs"} & set(wanted):
        parsed |= token_evidence(content, wanted, rows.path, line)
    asked = rows.options.elicitation or rows.options.pattern
    if rows.options.scorer is None and (asked or (text is not None and _TAG in text)):
        rows.parsed += 1
        return parsed
    answer = text if parsed["answer"] is None else parsed["answer"]
    value = None
    if content is not None:
        tokens = token_logprobs(content, rows.path, line)
        value = probability_of_tokens(tokens, rows.rule)
    rows.computed += value is not None
    return parsed | {
        "confidence": value,
        "status": "missing" if value is None else "ok",
        "provenance": "missing" if value is None else "computed",
        "answer": answer,
    }


READER = Reader(
    name="chat_logprobs",
    description="OpenAI and vLLM chat completions or batch output with logprobs, with --labels",
    recognizes=_recognizes,
    read=_read,
)
