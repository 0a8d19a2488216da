"""Readers: the field's prediction logs as `Predictions`, without a conversion step.

A format is one file in this folder that ends with `READER = Reader(...)`, and one line in `TABLE`
here, specific formats first. Reading streams: blocks of at most `BATCH_ROWS` rows of one model
each.

    >>> import tempfile, pathlib
    >>> from levelhead.records import Predictions
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "base.jsonl"
    >>> write(path, Predictions.from_arrays("answer", [0.9, None], [1, 0], model="base"))
    >>> {name: len(predictions) for name, predictions in load([path]).items()}
    {'base': 2}
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from levelhead.elicitation import by_pattern
from levelhead.errors import InvalidInputError, RecordError, unknown_name
from levelhead.readers import (
    chat_logprobs,
    columns,
    crispr,
    inspect_log,
    lm_eval,
    lm_polygraph,
    native,
    rlcr,
    trl,
    uqlm,
    verifiers,
    verl,
)
from levelhead.readers._base import BATCH_ROWS, Head, Reader, ReadLog, ReadOptions
from levelhead.readers._columns import answer_key, elicitation_name
from levelhead.readers._files import os_problem, reading, show
from levelhead.readers._remote import AnyPath, RemotePath, as_path
from levelhead.readers._sniff import sniff
from levelhead.readers.sources import Source, chosen, is_chosen, pooled
from levelhead.readers.sources import resolve as _resolve
from levelhead.records import SCHEMA_VERSION, Predictions, concat

__all__ = [
    "BATCH_ROWS",
    "ENDINGS",
    "TABLE",
    "AnyPath",
    "Head",
    "ReadLog",
    "ReadOptions",
    "Reader",
    "Source",
    "answer_key",
    "find_reader",
    "load",
    "read",
    "resolve",
    "sniff",
    "write",
]

TABLE: tuple[Reader, ...] = (
    native.READER,
    rlcr.READER,
    crispr.READER,
    lm_eval.READER,
    inspect_log.READER,
    verifiers.READER,
    verl.READER,
    trl.READER,
    uqlm.READER,
    chat_logprobs.READER,
    lm_polygraph.READER,
    columns.READER,
)
"""The readers, the most specific formats first; the first that recognizes a file reads it."""

ENDINGS = (".parquet", ".pq", ".jsonl", ".ndjson")
"""How a file that `write` makes may end."""

MAX_LISTED = 20
"""Models that a message lists."""

_BY_NAME = {reader.name: reader for reader in TABLE}


def find_reader(head: Head, options: ReadOptions) -> Reader:
    """The reader for a file.

    Args:
        head: what is known of the file.
        options: `format` names the reader; `confidence` with `correct` or `outcome`, all three
            columns of the file, say that it is to be read as plain columns.

    Returns:
        The first reader of `TABLE` that recognizes the file.

    Raises:
        InvalidInputError: `options.format` is no format.
        RecordError: no reader recognizes the file.

    Example:
        >>> head = Head(Path("a.jsonl"), "jsonl", ("confidence", "correct"))
        >>> find_reader(head, ReadOptions()).name
        'columns'
    """
    if options.format is not None:
        if options.format not in _BY_NAME:
            raise unknown_name("format", options.format, _BY_NAME)
        return _BY_NAME[options.format]
    named = {options.confidence, options.correct or options.outcome}
    if None not in named and named <= set(head.columns) and not native.READER.recognizes(head):
        return columns.READER
    for reader in TABLE:
        if reader.recognizes(head):
            return reader
    inside = f" with {', '.join(head.members[:5])}" if head.members else ""
    what = "a ZIP archive" + inside if head.container == "zip" else "a file of another kind"
    raise RecordError(
        f"expected a file of predictions in one of the formats {', '.join(_BY_NAME)}, got {what}; "
        "convert it to Parquet or JSON Lines with columns such as confidence and correct",
        show(head.path),
    )


def read(
    files: Iterable[str | os.PathLike[str] | RemotePath],
    options: ReadOptions | None = None,
    log: ReadLog | None = None,
) -> Iterator[Predictions]:
    """The predictions in some files, block by block.

    Args:
        files: paths of files, or addresses such as `s3://bucket/file.parquet`.
        options: what the user says about them.
        log: takes what was found out.

    Returns:
        Blocks of at most `BATCH_ROWS` rows, each of one model; a file that names no models gives
        its own name.

    Raises:
        RecordError: a file cannot be read or a value in it cannot be a prediction.
        InvalidInputError: an option names something that does not exist.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "base.jsonl")
        >>> _ = path.write_text('{"confidence": 0.9, "correct": 1}')
        >>> [(block.model, len(block)) for block in read([path])]
        [('base', 1)]
    """
    options = ReadOptions() if options is None else options
    log = ReadLog() if log is None else log
    _check(options)
    for file in files:
        path = as_path(file)
        with reading(path):
            head = sniff(path)
            reader = find_reader(head, options)
            if reader is not columns.READER:
                log.note(f"read as {reader.name}: {reader.description}")
            yield from _named(reader.read(path, options, log), path, log)


def _named(blocks: Iterator[Predictions], path: AnyPath, log: ReadLog) -> Iterator[Predictions]:
    """The blocks of one file; how many of its rows name no prompt although it has ids is said."""
    rows = unnamed = 0
    has_ids = False
    for block in blocks:
        ids = block.prompt_id
        missing = len(block) if ids is None else ids.null_count
        rows, unnamed = rows + len(block), unnamed + missing
        has_ids = has_ids or ids is not None
        if ids is not None and missing == len(block):
            block = dataclasses.replace(block, prompt_id=None)
        yield block
    if has_ids and unnamed == rows:
        log.warn(
            f"{show(path)}: its prompt ids are all empty, as if it had none; "
            f"each of {rows:,} rows counts as a prompt of its own"
        )
    elif has_ids and unnamed:
        log.warn(
            f"{show(path)}: {unnamed:,} of {rows:,} rows have no prompt id; "
            "each counts as a prompt of its own"
        )


def _check(options: ReadOptions) -> None:
    """Options that are wrong whatever the file is are refused before any file is opened."""
    if options.format is not None and options.format not in _BY_NAME:
        raise unknown_name("format", options.format, _BY_NAME)
    elicitation_name(options, None)
    if options.pattern is not None:
        by_pattern(options.pattern)


def load(
    files: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    options: ReadOptions | None = None,
    log: ReadLog | None = None,
) -> dict[str, Predictions]:
    """All predictions in some files, folders or globs, by model.

    Args:
        files: files, folders and globs, as `resolve` takes them.
        options: what the user says about them.
        log: takes what was found out.

    Returns:
        The predictions of each model, in order of appearance; of `options.only` alone where it is
        given, and of all files as one where `options.pool` says so.

    Raises:
        RecordError: a file cannot be read, or one model has answers and events.
        InvalidInputError: an option names something that does not exist, such as a model.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "base.jsonl")
        >>> _ = path.write_text('{"confidence": 0.9, "correct": 1}')
        >>> load([path.parent])[path.parent.name].confidence
        array([0.9])
    """
    options = ReadOptions() if options is None else options
    log = ReadLog() if log is None else log
    sources = resolve(files, log=log)
    blocks: dict[str, list[Predictions]] = {}
    origin: dict[str, tuple[int, str | None]] = {}
    for i, source in enumerate(sources):
        for path in source.files:
            for block in read([path], options, log):
                name, model = source.name, None
                if block.model not in (path.stem, path.name, source.name, "model", ""):
                    model = block.model
                    name = model if len(sources) == 1 else f"{source.name}/{model}"
                parts = blocks.setdefault(name, [])
                origin[name] = i, model
                if options.only is None or is_chosen(name, options.only):
                    parts.append(block)
    blocks = _pooled(chosen(blocks, options.only), origin, sources, options, log)
    merged: dict[str, Predictions] = {}
    for name, parts in blocks.items():
        if len({part.kind for part in parts}) > 1:
            raise RecordError(f"model {name!r} has answers and events; read their files separately")
        merged[name] = dataclasses.replace(concat(parts), model=name)
    return merged


def _pooled(
    blocks: dict[str, list[Predictions]],
    origin: Mapping[str, tuple[int, str | None]],
    sources: Sequence[Source],
    options: ReadOptions,
    log: ReadLog,
) -> dict[str, list[Predictions]]:
    """The blocks of several sources as those of one model, where that is asked for."""
    used = [sources[i] for i in dict.fromkeys(origin[name][0] for name in blocks)]
    models = {origin[name][1] for name in blocks}
    same = len(models) == 1 and None not in models
    if len(used) < 2 or not (options.pool or (options.pool is None and same)):
        return blocks
    if len(blocks) > len(used):
        raise InvalidInputError(
            "--pool: expected one model in each file, got "
            f"{', '.join(list(blocks)[:MAX_LISTED])}; choose one with --only NAME"
        )
    name = next(iter(models)) if same else None
    name = pooled(used).name if name is None else name
    log.note(f"{', '.join(source.name for source in used)} are read as one model: {name}")
    counts: Counter[str] = Counter()
    for parts in blocks.values():
        ids = [part.prompt_id.unique().to_pylist() for part in parts if part.prompt_id is not None]
        counts.update({one for some in ids for one in some if one is not None})
    again = sum(count > 1 for count in counts.values())
    if again:
        log.warn(
            f"{again:,} of {len(counts):,} prompt ids occur in more than one of the files and count "
            "as the same prompts; where they only number rows, put the file's name before them"
        )
    return {name: [part for parts in blocks.values() for part in parts]}


def resolve(
    arguments: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    name: str | None = None,
    log: ReadLog | None = None,
) -> list[Source]:
    """The models that files, folders and globs name.

    A folder is one model, named after it; shards of one set in one folder are one model; any other
    file is a model of its own, named after it.

    Args:
        arguments: files, folders and globs, or a single one; also at an address that pyarrow opens,
            such as `s3://bucket/run/*.parquet`.
        name: puts all files together as one model of that name.
        log: takes what was put together.

    Returns:
        One source for each model, in the order of the arguments.

    Raises:
        RecordError: a file or folder does not exist, cannot be read, or holds nothing to read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "base.jsonl")
        >>> _ = path.write_text('{"confidence": 0.9, "correct": 1}')
        >>> [source.name for source in resolve([path])]
        ['base']
    """
    if isinstance(arguments, str | os.PathLike):
        arguments = [arguments]
    return _resolve(arguments, name=name, log=log, is_known=_is_known)


def write(path: str | os.PathLike[str], predictions: Predictions) -> None:
    """Write predictions so that reading the file gives them back exactly.

    The file appears whole or not at all: it is written beside its place and then moved there.

    Args:
        path: a file that ends with `.parquet`, `.pq`, `.jsonl` or `.ndjson`.
        predictions: at least one record.

    Raises:
        InvalidInputError: another ending, or no records.
        RecordError: the folder does not exist or cannot be written to.

    Example:
        >>> from levelhead.records import Predictions
        >>> write("x.xlsx", Predictions.from_arrays("event", [0.5], [1]))
        Traceback (most recent call last):
        ...
        levelhead.errors.InvalidInputError: path: expected .parquet, .pq, .jsonl or .ndjson, got
        'x.xlsx'
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in ENDINGS:
        raise InvalidInputError(
            f"path: expected .parquet, .pq, .jsonl or .ndjson, got {show(path)!r}"
        )
    if len(predictions) == 0:
        raise InvalidInputError("predictions: expected at least one record, got none")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if suffix in (".parquet", ".pq"):
            pq.write_table(predictions.to_table(), unfinished, compression="zstd")
        else:
            _write_lines(unfinished, predictions)
        os.replace(unfinished, path)
    except OSError as error:
        raise RecordError(f"cannot be written: {_writing(error, path)}", show(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _write_lines(path: Path, predictions: Predictions) -> None:
    version: dict[str, str] = {
        native.VERSION_KEY: SCHEMA_VERSION,
        native.KIND_KEY: predictions.kind,
    }
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for batch in predictions.to_table().to_batches(max_chunksize=BATCH_ROWS):
            for record in batch.to_pylist():
                # The first record alone says what the file is: a header line would be no record.
                file.write(json.dumps(record | version, ensure_ascii=False, default=str) + "\n")
                version = {}


def _writing(error: OSError, path: Path) -> str:
    if not path.parent.exists():
        return f"there is no folder {show(path.parent)!r}; make it first"
    return os_problem(error, path).removeprefix("cannot be read: ")


def _is_known(path: AnyPath) -> bool:
    return any(reader.recognizes(sniff(path)) for reader in TABLE[:-1]) or _is_table(path)


def _is_table(path: AnyPath) -> bool:
    """Whether a JSON file is an array of records, and not a configuration or a summary."""
    with reading(path), path.open("rb") as file:
        return file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
