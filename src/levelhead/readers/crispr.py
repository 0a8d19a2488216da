"""The prediction files of "Uncalibrated Reasoning" (arXiv:2508.11800): P(a gene has an effect).

Each row is one sample: `hit` is what happened, `answer` the extracted percentage. `hit_prob` is the
truth's posterior and no statement of the model. Prompts repeat; they are the clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from levelhead.elicitation import Elicited, percent_value, percent_value_paper
from levelhead.errors import RecordError
from levelhead.readers._base import BATCH_ROWS, Head, Reader, ReadLog, ReadOptions, evidence_columns
from levelhead.readers._files import show
from levelhead.readers._logs import prompt_key
from levelhead.readers._remote import AnyPath
from levelhead.readers._roles import missing_column
from levelhead.readers._sniff import container_of
from levelhead.readers._tables import TEXT_BATCH_ROWS, open_table
from levelhead.readers._values import Place, decoded, is_number, is_text, labels
from levelhead.readers.columns import check_by, keeps_text
from levelhead.records import PROVENANCES, STATUSES, Predictions, as_ids, as_strings, id_text

__all__ = ["READER"]

_COLUMNS = frozenset({"hit", "answer", "pert", "pheno"})
_TABLES = ("parquet", "arrow", "csv", "jsonl", "json")
_STATUS = {name: code for code, name in enumerate(STATUSES)}


def _recognizes(head: Head) -> bool:
    return head.container in _TABLES and set(head.columns) >= _COLUMNS


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    table = open_table(path, container_of(path))
    check_by(options, table, path)
    outcome = options.outcome or "hit"
    for role, name in (("--outcome", outcome), ("--prompt-id", options.prompt_id)):
        if name is not None and name not in table.schema:
            raise missing_column(name, role, table.schema, path)
    paper = options.convention == "paper_compat"
    how = (
        "as published: float(), clipped to 1..99 percent"
        if paper
        else "strictly: a percentage 0..100"
    )
    log.note(f"read 'answer' {how}, as the probability of {outcome!r}")
    texts = {"text": "thinking_content", "prompt": "prompt"}
    if not keeps_text(table, path):
        texts = {name: column for name, column in texts.items() if name in options.evidence}
    kept = {name: column for name, column in texts.items() if column in table.schema}
    kept = {"answer": "answer", **kept, **{name: name for name in options.by}}
    truths = dict.fromkeys((outcome, "hit_prob"))  # the posterior of the outcome is no evidence
    names = [name for name in table.schema if name not in truths]
    kept |= evidence_columns(options.evidence, names, kept)
    prompt = ["prompt"] if "prompt" in table.schema else ["pert", "pheno"]
    if options.prompt_id is not None:
        prompt = [options.prompt_id]
    names = list(dict.fromkeys(["answer", outcome, *prompt, *kept.values()]))
    size = TEXT_BATCH_ROWS if {"text", "prompt"} & set(kept) or "prompt" in prompt else BATCH_ROWS
    empty = True
    for columns, place in table.batches(names, size):
        empty = False
        confidence, status = _confidences(columns["answer"], paper, place)
        provenance = np.full(len(status), PROVENANCES.index("parsed"), np.int8)
        provenance[status != 0] = PROVENANCES.index("missing")
        data = {name: _plain(columns[column]) for name, column in kept.items()}
        data["answer"] = as_strings(data["answer"])
        data["location"] = place.locations(len(status))
        yield Predictions(
            kind="event",
            confidence=confidence,
            label=labels(columns[outcome], outcome, place),
            status=status,
            provenance=provenance,
            model=path.stem,
            prompt_id=_prompt_ids([columns[name] for name in prompt]),
            columns=pa.table(data),
        )
    if empty:
        raise RecordError("expected at least one record, got a file of 0 rows", show(path))


def _confidences(
    column: Any, paper: bool, place: Place
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.int8]]]:
    """Each distinct answer is parsed once: there are at most a few hundred."""
    column = decoded(column)
    if not (is_text(column.type) or is_number(column.type) or pa.types.is_null(column.type)):
        raise place.error(
            f"answer: expected percentages, got a column of type {column.type}; choose the columns "
            "with --format columns --confidence NAME"
        )
    encoded = column.dictionary_encode()
    parse: Callable[[Any], Elicited] = percent_value_paper if paper else _strict
    said = [parse(value) for value in encoded.dictionary.to_pylist()]
    said.append(Elicited(None, None, "missing"))  # null has the code -1
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    values = np.array([np.nan if e.confidence is None else e.confidence for e in said])
    statuses = np.array([_STATUS[e.status] for e in said], dtype=np.int8)
    return values[codes], statuses[codes]


def _strict(value: Any) -> Elicited:
    if value is None or value != value:
        return Elicited(None, None, "missing")
    return percent_value(str(value))


def _plain(column: Any) -> Any:
    return decoded(column) if is_text(column.type) else column


def _prompt_ids(columns: list[Any]) -> pa.Array:
    """One prompt id a row: a digest of the prompt, or the values that make it joined."""
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    if len(columns) == 1:
        return as_ids([prompt_key(id_text(v)) for (v,) in rows])
    return as_ids(
        [None if all(id_text(v) is None for v in row) else "/".join(map(str, row)) for row in rows]
    )


READER = Reader(
    name="crispr",
    description="prediction files of Uncalibrated Reasoning (arXiv:2508.11800)",
    recognizes=_recognizes,
    read=_read,
)
