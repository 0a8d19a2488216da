"""TRL: the completions that GRPO and RLOO trainers log, `completions_{step}.parquet`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from levelhead.readers._base import Head, Reader, ReadLog, ReadOptions
from levelhead.readers._columns import as_label
from levelhead.readers._files import reading, show
from levelhead.readers._logs import LogRows, message_text, pick, prompt_key
from levelhead.readers._remote import AnyPath, arrow_source
from levelhead.records import Predictions

__all__ = ["READER"]

_ROWS = 8192
"""Rows of Parquet in memory at a time; texts are long."""

_NOT_REWARDS = frozenset({"step", "advantage", "advantages", "prompt_id", "index", "weight"})
_CORRECTNESS = (
    "accuracy_reward", "accuracy", "acc", "correctness_reward", "correctness_reward_func",
    "correctness", "correct", "correct_reward", "correct_answer", "exact_match",
    "exact_match_reward", "is_correct", "reasoning_accuracy_reward",
)  # fmt: skip


def _recognizes(head: Head) -> bool:
    columns = set(head.columns)
    return (
        head.container == "parquet"
        and columns >= {"prompt", "completion"}
        and bool(columns & {"advantage", "advantages", "step"})
    )


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    rows = LogRows(path, options, log)
    with reading(path), pq.ParquetFile(arrow_source(path)) as file:
        reward = _reward_column(file.schema_arrow, rows)
        line = 0
        for batch in file.iter_batches(batch_size=_ROWS):
            for record in batch.to_pylist():
                line += 1
                yield from _row(record, reward, rows, line)
    yield from rows.rest()


def _reward_column(schema: pa.Schema, rows: LogRows) -> str:
    if "completion" not in schema.names:
        raise rows.error(f"expected a column 'completion', got {', '.join(schema.names)}")
    rewards = [
        field.name for field in schema if field.name not in _NOT_REWARDS and _is_number(field.type)
    ]
    asked = rows.options.correct or rows.options.scorer
    return pick("correctness (a reward of 0 or 1)", asked, rewards, _CORRECTNESS, rows)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def _row(record: Mapping[str, Any], reward: str, rows: LogRows, line: int) -> Iterator[Predictions]:
    prompt = record.get("prompt")
    text = message_text(record["completion"], "completion", rows.path, line)
    value = record[reward]
    return rows.add(
        **rows.text(text),
        # NaN, which a reward function logs where it does not apply, is an unknown label.
        label=as_label(value, name=reward, path=show(rows.path), line=line),
        prompt_id=prompt_key(prompt),
        line=line,
        prompt=prompt if isinstance(prompt, str) else _asked(prompt, rows, line),
        step=record.get("step"),
        slices=[record],
    )


def _asked(prompt: Any, rows: LogRows, line: int) -> str | None:
    """The last message of a conversational prompt."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[-1], Mapping):
        return message_text(prompt[-1], "prompt", rows.path, line)
    return None


READER = Reader(
    name="trl",
    description="TRL completions of a training run (completions_*.parquet)",
    recognizes=_recognizes,
    read=_read,
)
