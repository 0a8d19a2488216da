"""From files to what an audit works on: every file is read once, block by block, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from levelhead.audit.convention import Missing
from levelhead.audit.model_records import ModelRecords
from levelhead.errors import RecordError
from levelhead.readers import AnyPath, ReadLog, ReadOptions, Source, find_reader, read, sniff

__all__ = ["MAX_ROWS", "collect", "interrupted", "model_name", "one_format"]

MAX_ROWS = 1_000_000
"""Rows of one model that are kept in memory; more are tallied by confidence as they are read."""


def collect(
    sources: Iterable[Source],
    options: ReadOptions,
    log: ReadLog,
    *,
    missing: Missing,
    max_rows: int | None = None,
    on_block: Callable[[int], None] | None = None,
) -> dict[str, ModelRecords]:
    """Read every source; Ctrl-C ends the reading early and keeps what was read, with a warning.

    Args:
        sources: named groups of files, one per model.
        options: what the user says about the files.
        log: takes what the readers decided and found odd.
        missing: how a record without a confidence counts.
        max_rows: rows of a model beyond which it is tallied instead of kept; `MAX_ROWS` unless given.
        on_block: called with the number of rows of each block that was read.

    Returns:
        What was read, by model, in order of appearance.

    Raises:
        RecordError: a file cannot be read, or answers and events are mixed in one model.
    """
    models: dict[str, ModelRecords] = {}
    sources = list(sources)
    limit = MAX_ROWS if max_rows is None else max_rows
    try:
        for source in sources:
            formats: dict[str, AnyPath] = {}
            for path in source.files:
                if len(source.files) > 1:
                    one_format(formats, find_reader(sniff(path), options).name, path)
                for block in read([path], options, log):
                    name = model_name(source, path, block.model, alone=len(sources) == 1)
                    model = models.setdefault(name, ModelRecords(name, missing, options.by))
                    model.add(block, str(path), limit)
                    if on_block is not None:
                        on_block(len(block))
    except KeyboardInterrupt:
        if not models:
            raise
        interrupted(models, log)
    return models


def interrupted(models: Mapping[str, ModelRecords], log: ReadLog) -> None:
    """Say how far the reading came.

    Args:
        models: what was read.
        log: takes the warning.
    """
    read_rows = sum(m.n_records for m in models.values())
    log.warn(f"interrupted: this covers the first {read_rows:,} records only")


def one_format(formats: dict[str, AnyPath], name: str, path: AnyPath) -> None:
    """Refuse to pool files of different formats as one model: they are different evaluations.

    Args:
        formats: a file of each format that the model's files had so far; this one's is entered.
        name: the format of this file.
        path: this file.

    Raises:
        RecordError: it is another one.
    """
    formats.setdefault(name, path)
    if len(formats) > 1:
        found = ", ".join(f"{one} ({file.name})" for one, file in formats.items())
        raise RecordError(
            f"expected files of one format to audit as one model, got {found}; name the files, "
            "each of which is then a model of its own",
            str(path.parent),
        )


def model_name(source: Source, path: AnyPath, block_model: str, *, alone: bool) -> str:
    """What a block's model is called, which a file need not name.

    Args:
        source: the files that this one belongs to.
        path: the file.
        block_model: how the file calls the model.
        alone: whether there are no other sources, whose models might have the same name.

    Returns:
        The name in the audit.
    """
    if block_model in (path.stem, path.name, source.name, "model", ""):
        return source.name
    return block_model if alone else f"{source.name}/{block_model}"
