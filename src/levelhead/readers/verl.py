"""verl: rollouts and validation generations, one `{step}.jsonl` per step."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.readers._base import Head, Reader, ReadLog, ReadOptions
from levelhead.readers._columns import as_label
from levelhead.readers._files import show
from levelhead.readers._json import json_lines
from levelhead.readers._logs import LogRows, message_text, prompt_key
from levelhead.readers._remote import AnyPath
from levelhead.records import Predictions

__all__ = ["READER"]

_ROLLOUT = frozenset({"input", "output", "score"})


def _recognizes(head: Head) -> bool:
    return head.container in ("json", "jsonl") and set(head.columns) >= _ROLLOUT


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    rows = LogRows(path, options, log)
    metric = options.scorer or options.correct
    for line, record in json_lines(path):
        missing = sorted(_ROLLOUT - set(record))
        if missing:
            raise rows.error(f"expected a rollout with {missing[0]!r}, got {_list(record)}", line)
        if metric is None:
            metric = "acc" if "acc" in record else "score"
            log.note(
                f"correctness is read from {metric!r}"
                + ("" if metric == "acc" else " (the reward itself: it must be 0 or 1)")
            )
        if metric not in record:
            raise rows.error(f"scorer: expected one of {_list(record)}, got {metric!r}", line)
        prompt = record["input"]
        yield from rows.add(
            **rows.text(message_text(record["output"], "output", path, line)),
            label=as_label(record[metric], name=metric, path=show(path), line=line),
            prompt_id=prompt_key(prompt),
            line=line,
            prompt=prompt if isinstance(prompt, str) else None,
            step=_step(record.get("step")),
            slices=[record],
        )
    yield from rows.rest()


def _step(value: object) -> int | None:
    """The training step; a float comes from pandas."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def _list(record: dict[str, object]) -> str:
    return ", ".join(name for name in record if name not in ("input", "output", "step"))


READER = Reader(
    name="verl",
    description="verl rollouts and validation generations ({step}.jsonl)",
    recognizes=_recognizes,
    read=_read,
)
