"""From completions of held-out prompts to predictions and the numbers that a run watches."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from levelhead import metrics, readers
from levelhead._arrays import BoolArray, FloatArray, IntArray, integers
from levelhead.errors import InvalidInputError, RecordError
from levelhead.records import ETA, PROVENANCES, STATUSES, Predictions, as_strings
from levelhead.tasks import Prompt, Task
from levelhead.train.reward import Reading, read_texts

__all__ = ["METRICS", "Evaluated", "Scored", "evaluate", "measure", "scored", "write"]

METRICS = (
    "ece",
    "ece_null",
    "ece_excess",
    "ece_p_value",
    "trust",
    "brier",
    "auroc",
    "accuracy",
    "mean_confidence",
    "overconfidence",
    "format_rate",
    "samples",
)
"""What `measure` gives, in this order."""

RESERVED = frozenset(
    ("confidence", "correct", "outcome", "status", "provenance", "prompt_id", "weight", "model")
)
"""Columns of a predictions file that mean something; a task's column of that name gets a prefix."""


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """An evaluation.

    Attributes:
        predictions: one record for each completion, with `text`, `answer`, `prompt` and the task's own
            columns.
        metrics: the numbers of `METRICS` by name; NaN where one is undefined.
    """

    predictions: Predictions
    metrics: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Scored:
    """The records that metrics are computed on.

    Attributes:
        confidence: (M,) in [0, 1]; a missing one counts as a claim of certainty, as 0.99 for an answer
            and as 0.99 for what did not happen for an event.
        correct: (M,) 0 or 1.
        clusters: (M,) codes of the prompts, or None where no prompt has two samples.
        kept: (N,) True for the records that these are: a known truth, and no refusal.
    """

    confidence: FloatArray
    correct: FloatArray
    clusters: IntArray | None
    kept: BoolArray


def evaluate(
    task: Task,
    prompts: Sequence[Prompt],
    texts: Sequence[str],
    *,
    model_name: str,
    group: Sequence[int] | IntArray | None = None,
    **options: Any,
) -> Evaluated:
    """Predictions and metrics of completions.

    Args:
        task: the format and the truth.
        prompts: (N,) the prompt of each text, or (P,) prompts that `group` points into.
        texts: (N,) completions without their prompts, at least one.
        model_name: whose predictions these are.
        group: (N,) index of each text's prompt in `prompts`; None where they go one by one.
        options: of `measure`.

    Returns:
        An `Evaluated` of N records in the order of the texts.

    Raises:
        InvalidInputError: no texts, lengths that differ, or an index that points nowhere.

    Edge cases: a text that cannot be read is a record with a status; nothing is dropped.
    """
    if not texts:
        raise InvalidInputError("texts: expected at least one completion, got none")
    if group is not None:
        index = integers("group", group, len(texts), len(prompts))
        prompts = [prompts[i] for i in index.tolist()]
    reading = read_texts(task, prompts, texts)
    predictions = Predictions.from_arrays(
        task.kind,
        reading.confidence,
        reading.correct,
        model=model_name,
        status=np.array([STATUSES.index(status) for status in reading.status], dtype=np.int8),
        provenance=_provenance(reading),
        prompt_id=[prompt.prompt_id for prompt in prompts],
        columns=_columns(task, prompts, texts, reading),
    )
    found = measure(predictions, **options)
    found["format_rate"] = float(reading.formed.mean())
    return Evaluated(predictions, found)


def measure(predictions: Predictions, *, n_draws: int = 1000, seed: int = 0) -> dict[str, float]:
    """The numbers of `METRICS` for some predictions.

    ece_excess = ece - ece_null, the mean ECE of a calibrated model with the same confidences

    Args:
        predictions: of one model.
        n_draws: simulated calibrated models behind `ece_null` and `ece_p_value`, at least 1.
        seed: of these.

    Returns:
        A number for each name, in [0, 1] or NaN where it is undefined; `trust` (at most 1),
        `overconfidence` and `ece_excess` may be negative, and `samples` counts the records that are
        scored. ECE, AUROC and Brier score read an event's probability as it is; Trust, accuracy, mean
        confidence and overconfidence read it as a claim of the likelier side.

    Edge cases: a missing confidence counts as certainty (see `Scored`); a refusal is worth 0 in Trust
        and is not scored otherwise; without any truth all but `format_rate` and `samples` are NaN.
    """
    rows = scored(predictions)
    found: dict[str, float] = dict.fromkeys(METRICS, math.nan)
    found["samples"] = float(rows.confidence.size)
    found["format_rate"] = float((predictions.status == 0).mean()) if len(predictions) else math.nan
    if not rows.confidence.size:
        return found
    c, y = rows.confidence, rows.correct
    test = metrics.ece_excess_test(c, y, clusters=rows.clusters, n_draws=n_draws, seed=seed)
    claim, right = metrics.top_label(c, y) if predictions.kind == "event" else (c, y)
    refusals = int(np.count_nonzero(predictions.status == STATUSES.index("refusal")))
    found |= {
        "ece": test.ece,
        "ece_null": test.expected,
        "ece_excess": test.excess,
        "ece_p_value": test.p_value,
        "trust": metrics.trust(claim, right) * c.size / (c.size + refusals),
        "brier": metrics.brier(c, y),
        "auroc": metrics.auroc(c, y),
        "accuracy": metrics.accuracy(claim, right),
        "mean_confidence": metrics.mean_confidence(claim, right),
        "overconfidence": metrics.overconfidence(claim, right),
    }
    return {name: float(value) for name, value in found.items()}


def scored(predictions: Predictions) -> Scored:
    """The records that metrics are computed on, a missing confidence being a claim of certainty.

    Args:
        predictions: of one model.

    Returns:
        The `Scored` of those with a truth that are no refusals; may be empty.
    """
    ok = predictions.status == 0
    kept = ~np.isnan(predictions.label) & (predictions.status != STATUSES.index("refusal"))
    stand_in: float | FloatArray = 1.0 - ETA
    if predictions.kind == "event":
        stand_in = np.where(predictions.label == 1.0, ETA, 1.0 - ETA)
    confidence = np.where(ok, predictions.confidence, stand_in)
    clusters = predictions.clusters
    return Scored(
        confidence=confidence[kept],
        correct=predictions.label[kept],
        clusters=None if clusters is None else clusters[kept],
        kept=kept,
    )


def write(evaluated: Evaluated, path: str | os.PathLike[str]) -> Path:
    """Write the predictions, whole or not at all, in the form that `levelhead audit` reads.

    Args:
        evaluated: what to write.
        path: a file that ends with `.parquet` or `.jsonl`; folders above it are made.

    Returns:
        The path.

    Raises:
        InvalidInputError: another ending.
        RecordError: it cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"cannot make this folder: {error.strerror}", str(path.parent)) from error
    readers.write(path, evaluated.predictions)
    return path


def _provenance(reading: Reading) -> np.ndarray:
    missing = PROVENANCES.index("missing")
    codes = [
        PROVENANCES.index(e.provenance) if e.status == "ok" else missing for e in reading.elicited
    ]
    return np.array(codes, dtype=np.int8)


def _columns(
    task: Task, prompts: Sequence[Prompt], texts: Sequence[str], reading: Reading
) -> dict[str, pa.Array | pa.ChunkedArray]:
    """The columns of the file: what was asked and said, and what the task knows of the prompt."""
    columns: dict[str, Any] = {
        "prompt": pa.array([_asked(prompt) for prompt in prompts], pa.string()),
        "text": pa.array([_encodable(text) for text in texts], pa.string()),
        "answer": pa.array(
            [None if e.answer is None else _encodable(e.answer) for e in reading.elicited],
            pa.string(),
        ),
    }
    taken = RESERVED | set(columns)
    for name in dict.fromkeys(name for prompt in prompts for name in prompt.columns):
        column = _array([prompt.columns.get(name) for prompt in prompts])
        columns[f"{task.name}_{name}" if name in taken else name] = column
    return columns


def _array(values: list[Any]) -> pa.Array | pa.ChunkedArray:
    """Values of a column; such as have no common type become texts."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return as_strings(values)


def _asked(prompt: Prompt) -> str:
    """The last message of the user."""
    said = [m["content"] for m in prompt.messages if m.get("role") == "user"]
    said = said or [m.get("content", "") for m in prompt.messages]
    return _encodable(said[-1]) if said else ""


def _encodable(text: str) -> str:
    """A lone surrogate has no place in UTF-8; it becomes an escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
