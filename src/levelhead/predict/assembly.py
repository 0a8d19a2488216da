"""From what samples came to, to predictions that `levelhead audit` reads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from levelhead.errors import InvalidInputError
from levelhead.predict.methods import Said
from levelhead.predict.questions import Questions
from levelhead.records import PROVENANCES, STATUSES, Predictions, as_strings
from levelhead.tasks import Prompt

__all__ = ["Answered", "assembled"]

OWN = frozenset(
    ("confidence", "correct", "outcome", "status", "provenance", "prompt_id", "weight", "model")
)


@dataclasses.dataclass(frozen=True)
class Answered:
    """One sample and what became of it.

    Attributes:
        prompt: what was asked.
        said: what the model said, or None where the request failed.
        failure: why it failed, or None.
        prompt_tokens: of all its requests, or None where the server does not count.
        completion_tokens: likewise.
    """

    prompt: Prompt
    said: Said | None
    failure: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def assembled(answered: Sequence[Answered], questions: Questions, model: str) -> Predictions:
    """The predictions, one for each sample, in their order.

    Args:
        answered: at least one sample.
        questions: judges the answers.
        model: whose predictions these are.

    Returns:
        Predictions with the columns `prompt`, `text`, `answer`, `finish_reason`, `failure`, the
        tokens, what the method has to add, and the columns that the prompts carry.

    Raises:
        InvalidInputError: no samples.

    Edge cases: a sample that cannot be read has a status, and no answer is wrong; one whose request
        failed has the status `missing`, and since nobody knows what the model would have said, no
        label. Nothing is dropped.
    """
    if not answered:
        raise InvalidInputError("answered: expected at least one sample, got none")
    confidence, label, status, provenance = [], [], [], []
    for one in answered:
        if one.said is None:
            confidence.append(math.nan)
            label.append(math.nan)
            status.append("missing")
            provenance.append("missing")
            continue
        found = one.said.elicited
        truth = questions.truth(found, one.prompt)
        confidence.append(math.nan if found.confidence is None else found.confidence)
        label.append(math.nan if truth is None else truth)
        status.append(found.status)
        provenance.append(found.provenance if found.status == "ok" else "missing")
    return Predictions.from_arrays(
        questions.kind,
        confidence,
        label,
        model=model,
        status=np.array([STATUSES.index(one) for one in status], dtype=np.int8),
        provenance=np.array([PROVENANCES.index(one) for one in provenance], dtype=np.int8),
        prompt_id=[one.prompt.prompt_id for one in answered],
        columns=_columns(answered, questions),
    )


def _columns(answered: Sequence[Answered], questions: Questions) -> dict[str, Any]:
    said = [one.said for one in answered]
    columns: dict[str, list[Any]] = {
        "prompt": [_utf8(one.prompt.messages[-1]["content"]) for one in answered],
        "text": [None if s is None else _utf8(s.text) for s in said],
        "answer": [None if s is None else _utf8(s.elicited.answer) for s in said],
        "finish_reason": [None if s is None else s.finish for s in said],
        "reasoning": [None if s is None else _utf8(s.reasoning) for s in said],
        "failure": [one.failure for one in answered],
        "prompt_tokens": [one.prompt_tokens for one in answered],
        "completion_tokens": [one.completion_tokens for one in answered],
    }
    for name in dict.fromkeys(name for s in said if s is not None for name in s.details):
        columns[name] = [None if s is None else s.details.get(name) for s in said]
    always = ("prompt", "text", "answer", "finish_reason", "failure")
    columns = {
        name: values
        for name, values in columns.items()
        if name in always or any(value is not None for value in values)
    }
    taken = OWN | set(columns)
    for name in dict.fromkeys(name for one in answered for name in one.prompt.columns):
        key = f"{questions.name}_{name}" if name in taken else name
        columns[key] = [one.prompt.columns.get(name) for one in answered]
    texts = {"prompt", "text", "answer", "finish_reason", "failure", "reasoning"}
    return {n: pa.array(v, pa.string()) if n in texts else _array(v) for n, v in columns.items()}


def _array(values: list[Any]) -> pa.Array | pa.ChunkedArray:
    """Values of a column; such as have no common type become texts."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return as_strings(values)


def _utf8(text: str | None) -> str | None:
    """A lone surrogate has no place in UTF-8; it becomes an escape."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")
