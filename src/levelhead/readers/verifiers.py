"""verifiers: `results.jsonl` of an evaluation, one rollout a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from levelhead.readers._base import Head, Reader, ReadLog, ReadOptions
from levelhead.readers._columns import as_label
from levelhead.readers._files import show
from levelhead.readers._json import json_lines
from levelhead.readers._logs import LogRows, message_text, pick, prompt_key
from levelhead.readers._remote import AnyPath
from levelhead.records import Predictions

__all__ = ["READER"]

_ROLLOUT = frozenset({"completion", "reward"})
_CORRECTNESS = (
    "correct", "correctness", "correct_answer", "correct_answer_reward_func", "exact_match",
    "accuracy", "acc", "is_correct", "correct_reward", "accuracy_reward",
)  # fmt: skip


def _recognizes(head: Head) -> bool:
    columns = set(head.columns)
    return (
        head.container in ("json", "jsonl")
        and columns >= _ROLLOUT
        and bool(columns & {"example_id", "metrics", "answer", "task"})
    )


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    rows = LogRows(path, options, log)
    metric: str | None = None
    failed = 0
    for line, record in json_lines(path):
        missing = sorted(_ROLLOUT - set(record))
        if missing:
            raise rows.error(f"expected a rollout with {missing[0]!r}, got none", line)
        values = _values(record, rows, line)
        common = _common(record, line)
        if record.get("error") is not None:
            failed += 1
            yield from rows.add(
                confidence=None, status="missing", provenance="missing", label=None,
                answer=None, text=None, **common,
            )  # fmt: skip
            continue
        if metric is None:
            metric = _metric(values, rows)
        if metric not in values:
            raise rows.error(f"scorer: expected one of {', '.join(values)}, got {metric!r}", line)
        yield from rows.add(
            **rows.text(message_text(record["completion"], "completion", path, line)),
            label=as_label(values[metric], name=metric, path=show(path), line=line),
            **common,
        )
    if failed:
        log.warn(
            f"{path.name}: {failed} rollouts ended in an error; they count as records without a "
            "confidence and without a label"
        )
    yield from rows.rest()


def _values(record: Mapping[str, Any], rows: LogRows, line: int) -> dict[str, Any]:
    """Everything that may hold correctness: the metrics, and the reward that sums them up."""
    metrics = record.get("metrics") or {}
    if not isinstance(metrics, Mapping):
        raise rows.error("metrics: expected an object with a number for each metric", line)
    flat = {name: record[name] for name in _CORRECTNESS if name in record}
    return {**flat, **metrics, "reward": record["reward"]}


def _metric(values: Mapping[str, Any], rows: LogRows) -> str:
    asked = rows.options.scorer or rows.options.correct
    found = list(values)
    if asked is None and not any(name in _CORRECTNESS for name in found):
        rows.log.note("correctness is read from 'reward' (it must be 0 or 1)")
        return "reward"
    return pick("correctness", asked, found, _CORRECTNESS, rows)


def _common(record: Mapping[str, Any], line: int) -> dict[str, Any]:
    info = record.get("info")
    prompt = record.get("prompt")
    own_id = record.get("example_id", record.get("id"))
    return {
        "prompt_id": prompt_key(prompt) if own_id is None else own_id,
        "line": line,
        "prompt": prompt if isinstance(prompt, str) else _last_text(prompt),
        "slices": [record, info] if isinstance(info, Mapping) else [record],
    }


def _last_text(messages: Any) -> str | None:
    """What the user asked last, for the report."""
    if isinstance(messages, list) and messages and isinstance(messages[-1], Mapping):
        content = messages[-1].get("content")
        return content if isinstance(content, str) else None
    return None


READER = Reader(
    name="verifiers",
    description="verifiers evaluation results (results.jsonl)",
    recognizes=_recognizes,
    read=_read,
)
