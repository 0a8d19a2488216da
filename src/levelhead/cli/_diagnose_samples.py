"""Samples whose answers come without a confidence, which no diagnosis of correctness needs."""

# pyarrow ships no type information.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers import BATCH_ROWS, AnyPath, ReadLog, ReadOptions, load, resolve
from levelhead.readers._columns import grade
from levelhead.readers._files import reading, show
from levelhead.readers._labels import attach_labels
from levelhead.readers._logs import prompt_key
from levelhead.readers._roles import Roles, roles
from levelhead.readers._sniff import container_of
from levelhead.readers._tables import open_table
from levelhead.readers._values import Place, decoded, labels
from levelhead.readers.columns import by_model
from levelhead.readers.sources import chosen, pooled
from levelhead.records import PROVENANCES, STATUSES, Predictions, as_ids, as_strings, concat

__all__ = ["TRACES", "load_samples", "one_model"]

TRACES = ("answer", "text")
"""Columns that are kept where a file has them."""

NO_CONFIDENCE = ("expected a column of confidences", ": expected texts with <confidence>")
"""What the readers say of a file whose answers come without a confidence."""

STAND_IN = "\0confidence"
"""A column of confidences that no file has."""


def load_samples(
    argument: str, options: ReadOptions, log: ReadLog, *, evidence: tuple[str, ...] = ()
) -> dict[str, Predictions]:
    """Predictions as `readers.load` reads them; where no confidence is stated all are missing.

    Args:
        argument: a file, a folder or a glob.
        options: what the user says about it.
        log: takes what was found out.
        evidence: columns to keep where the file has them.

    Returns:
        The predictions of each model.

    Raises:
        RecordError: it cannot be read.
        InvalidInputError: an option names something that does not exist.
    """
    options = dataclasses.replace(options, evidence=(*options.evidence, *evidence))
    first = ReadLog()
    try:
        found = load((argument,), options, first)
    except RecordError as error:
        asked = (options.confidence, options.text, options.pattern, options.elicitation)
        if any(asked) or not any(words in error.problem for words in NO_CONFIDENCE):
            raise
        first = ReadLog()
        found = _bare(argument, options, first)
        first.note(f"{argument}: its samples state no confidence; none is needed here")
    for text in first.notes:
        log.note(text)
    for text in first.warnings:
        log.warn(text)
    return found


def one_model(
    path: str, role: str, options: ReadOptions, log: ReadLog, *, evidence: tuple[str, ...] = ()
) -> Predictions:
    """The samples of the one model in some files.

    Args:
        path: a file, a folder or a glob.
        role: the argument's name, for errors.
        options: how to read them; files that name the same model are pooled.
        log: takes what was found out.
        evidence: columns to keep where the files have them.

    Returns:
        Its predictions.

    Raises:
        InvalidInputError: they hold several models.
    """
    options = dataclasses.replace(options, pool=options.pool or None)
    found = load_samples(path, dataclasses.replace(options, only=None), log, evidence=evidence)
    found = chosen(found, options.only) if len(found) > 1 else found
    if len(found) != 1:
        raise InvalidInputError(
            f"{role}: expected the samples of one model, got {len(found)}: {', '.join(found)}; choose "
            "one with --only NAME, or read the files together with --pool"
        )
    return next(iter(found.values()))


def _bare(argument: str, options: ReadOptions, log: ReadLog) -> dict[str, Predictions]:
    sources = resolve((argument,), log=log)
    if options.pool:
        sources = [pooled(sources)]
    blocks: dict[str, list[Predictions]] = {}
    for source in sources:
        for path in source.files:
            with reading(path):
                for block in _read(path, options, log):
                    own = block.model in (path.stem, path.name)
                    name = source.name if own else block.model
                    blocks.setdefault(name, []).append(block)
    return {
        name: dataclasses.replace(concat(parts), model=name)
        for name, parts in chosen(blocks, options.only).items()
    }


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    table = open_table(path, container_of(path))
    schema = {**table.schema, STAND_IN: pa.float64()}
    found = roles(schema, dataclasses.replace(options, confidence=STAND_IN), path, log)
    kept = {"answer": found.answer} if found.answer is not None else {}
    kept |= {name: name for name in (*options.by, *options.evidence) if name in table.schema}
    hashed = found.prompt if found.prompt_id is None else None
    needed = [found.label, found.answer, found.gold, found.prompt_id, found.model, hashed]
    names = list(dict.fromkeys([n for n in (*needed, *kept.values()) if n is not None]))
    blocks = _blocks(table.batches(names, BATCH_ROWS), found, kept, hashed, path)
    if options.labels is not None:
        blocks = attach_labels(blocks, path, options, log, ids=found.prompt_id is not None)
    yield from blocks


def _blocks(
    batches: Any, found: Roles, kept: dict[str, str], hashed: str | None, path: AnyPath
) -> Iterator[Predictions]:
    empty = True
    for columns, place in batches:
        empty = False
        label = _labels(columns, found, place)
        nothing = np.full(label.size, np.nan)
        ids: Any = None
        if found.prompt_id is not None:
            ids = as_ids(columns[found.prompt_id])
        elif hashed is not None:
            ids = as_ids([prompt_key(value) for value in columns[hashed].to_pylist()])
        texts = {
            name: as_strings(decoded(columns[column])) if name == "answer" else columns[column]
            for name, column in kept.items()
        }
        block = Predictions(
            kind=found.kind,
            confidence=nothing,
            label=label,
            status=np.full(label.size, STATUSES.index("missing"), np.int8),
            provenance=np.full(label.size, PROVENANCES.index("missing"), np.int8),
            model=path.stem,
            prompt_id=ids,
            columns=pa.table(texts),
        )
        yield from (block,) if found.model is None else by_model(block, columns[found.model])
    if empty:
        raise RecordError("expected at least one record, got a file of 0 rows", show(path))


def _labels(columns: dict[str, Any], found: Roles, place: Place) -> FloatArray:
    if found.label is not None:
        return labels(columns[found.label], found.label, place)
    if found.gold is None:
        return np.full(len(next(iter(columns.values()))), np.nan)
    if found.answer is None:
        raise place.error("expected answers to compare with the right ones; name them: --answer")
    said = as_strings(decoded(columns[found.answer])).to_pylist()
    grades = [grade(a, g) for a, g in zip(said, columns[found.gold].to_pylist(), strict=True)]
    return np.array([np.nan if one is None else one for one in grades], dtype=np.float64)
