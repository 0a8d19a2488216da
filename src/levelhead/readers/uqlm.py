"""uqlm: what `UQResult.to_dict()` holds, saved as JSON, or the records of `to_df()`.

The scorers are confidences; correctness is not part of the result and comes from a labels file, or
from a list that the user added. uqlm's own `exact_match` is a confidence (agreement among samples),
not correctness.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from levelhead.readers._base import Head, Reader, ReadLog, ReadOptions
from levelhead.readers._columns import as_label
from levelhead.readers._files import reading, show
from levelhead.readers._json import json_lines, json_object
from levelhead.readers._labels import attach_labels, needs_labels
from levelhead.readers._logs import LogRows, message_text, number, prompt_key, stated
from levelhead.readers._remote import AnyPath
from levelhead.records import Predictions

__all__ = ["READER"]

_TEXTS = ("prompts", "prompt", "responses", "response")
_LISTS = ("logprob", "logprobs", "multiple_logprob", "multiple_logprobs", "sampled_responses")
_CORRECTNESS = (
    "correct",
    "is_correct",
    "correctness",
    "grade",
    "grades",
    "graded",
    "label",
    "labels",
)
_SCORERS = frozenset({
    "semantic_negentropy", "noncontradiction", "exact_match", "cosine_sim", "bert_score", "bleurt",
    "entailment", "semantic_sets_confidence", "min_probability", "normalized_probability",
    "length_normalized_token_prob", "sequence_probability", "min_token_negentropy",
    "mean_token_negentropy", "probability_margin", "p_true", "monte_carlo_probability",
    "consistency_and_confidence", "ensemble_scores", "ensemble_score", "semantic_density",
    "min_token_probability", "judge_1",
})  # fmt: skip


def _recognizes(head: Head) -> bool:
    if head.container not in ("json", "jsonl"):
        return False
    data = head.first.get("data")
    names = set(data) if isinstance(data, Mapping) else set(head.columns)
    return bool(names & {"responses", "response"}) and bool(
        names & _SCORERS or (isinstance(data, Mapping) and "metadata" in head.first)
    )


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    rows = LogRows(path, options, log)
    data = _columns(path, rows)
    graded = _graded(data, rows)
    if graded is None:
        needs_labels(path, options, "uqlm results")
    blocks = _rows(data, _scorer(data, rows), graded, rows)
    yield from attach_labels(blocks, path, options, log, ids=False)


def _columns(path: AnyPath, rows: LogRows) -> dict[str, list[Any]]:
    """The result as equally long columns, whichever way round it was saved."""
    with reading(path), path.open("rb") as file:
        lines = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    whole = json_object(path) if lines.startswith(b"[") or b'"data"' in lines[:64] else None
    if isinstance(whole, Mapping):
        inner = whole.get("data")
        if not isinstance(inner, Mapping):
            raise rows.error("data: expected an object with a list for each scorer")
        found = {str(k): v for k, v in inner.items() if isinstance(v, list)}
    else:
        records = [r for _, r in json_lines(path)] if whole is None else whole
        if not all(isinstance(r, Mapping) for r in records):
            raise rows.error("expected an array of objects")
        names = dict.fromkeys(str(name) for r in records for name in r)
        found = {name: [r.get(name) for r in records] for name in names}
    responses = found.get("responses", found.get("response"))
    if not responses:
        raise rows.error("expected 'responses' with at least one response, got none")
    for name, values in found.items():
        if len(values) != len(responses) and name not in _LISTS:
            raise rows.error(
                f"{name}: expected {len(responses)} values, one for each response, got "
                f"{len(values)}"
            )
    return found


def _graded(data: Mapping[str, list[Any]], rows: LogRows) -> str | None:
    """The column that holds correctness, if the user added one."""
    asked = rows.options.correct
    if asked is not None and rows.options.labels is None:
        if asked not in data:
            raise rows.error(f"correct: expected one of {', '.join(data)}, got {asked!r}")
        return asked
    if rows.options.labels is not None:
        return None
    found = next((name for name in _CORRECTNESS if name in data), None)
    if found is not None:
        rows.log.note(f"correctness is read from {found!r}")
    return found


def _scorer(data: Mapping[str, list[Any]], rows: LogRows) -> str:
    asked = rows.options.confidence or rows.options.scorer
    found = [
        name
        for name, values in data.items()
        if name not in (*_TEXTS, *_LISTS, *_CORRECTNESS, rows.options.correct)
        and any(v is not None for v in values)
        and all(v is None or number(v) is not None for v in values)
        and not any(isinstance(v, str) for v in values)
    ]
    if asked is not None:
        # to_df() strips one "s" from the end of every column name.
        same = [name for name in found if asked in (name, f"{name}s") or f"{asked}s" == name]
        if same:
            return asked if asked in same else same[0]
        raise rows.error(f"scorer: expected one of {', '.join(found) or 'none'}, got {asked!r}")
    if len(found) != 1:
        raise rows.error(
            f"confidence: it is not clear which of the scorers {', '.join(found) or 'none'} is "
            "meant; choose with --scorer"
        )
    rows.log.note(f"the confidence is read from {found[0]!r}")
    return found[0]


def _rows(
    data: Mapping[str, list[Any]], scorer: str, graded: str | None, rows: LogRows
) -> Iterator[Predictions]:
    path = rows.path
    responses = data.get("responses", data.get("response", []))
    prompts: Sequence[Any] = data.get("prompts", data.get("prompt", [])) or [None] * len(responses)
    for i, (response, prompt) in enumerate(zip(responses, prompts, strict=True)):
        text = message_text(response, "response", path, i + 1)
        right = None if graded is None else data[graded][i]
        yield from rows.add(
            **stated(data[scorer][i]),
            label=as_label(right, name=graded or "", path=show(path), line=i + 1),
            prompt_id=prompt_key(prompt),
            line=i + 1,
            answer=text,
            text=text,
            prompt=prompt if isinstance(prompt, str) else prompt_key(prompt),
            slices=[{name: values[i] for name, values in data.items() if len(values) > i}]
            if rows.options.by or rows.options.evidence
            else (),
        )
    yield from rows.rest()


READER = Reader(
    name="uqlm",
    description="uqlm results (UQResult.to_dict() or to_df() as JSON) with --labels",
    recognizes=_recognizes,
    read=_read,
)
