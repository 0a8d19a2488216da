"""The same reading as `collect`, spread over the machines of a Ray cluster.

A file is the unit of work. Each is read by the same readers into the same tallies, on whichever
worker is free; what comes back is merged in the order of the files, so that the result does not
depend on which worker was first. A file whose worker dies is read again by another.
"""

from __future__ import annotations

import dataclasses
import logging
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, cast

from levelhead._optional import optional_import
from levelhead.audit.collect import MAX_ROWS, interrupted, model_name, one_format
from levelhead.audit.convention import Missing
from levelhead.audit.model_records import MAX_PART_SLICES, ModelRecords
from levelhead.errors import LevelheadError, RecordError
from levelhead.readers import AnyPath, ReadLog, ReadOptions, Source, find_reader, read, sniff
from levelhead.readers._files import reading

__all__ = ["RayError", "collect_on_ray"]


_RAISED = re.compile(r"(?!ray\.)[A-Za-z_][\w.]*(Error|Exception): ")

RETRIES = 5
"""How often a file is read again whose worker died: one that kills every worker is given up."""


class RayError(LevelheadError):
    """Ray could not be started, or gave up on a part of the work."""


@dataclasses.dataclass(frozen=True)
class _Task:
    """What a worker needs to read one file."""

    source: Source
    path: AnyPath
    options: ReadOptions
    missing: Missing
    alone: bool
    max_rows: int


@dataclasses.dataclass
class _Part:
    """What came of it."""

    models: dict[str, ModelRecords] = dataclasses.field(default_factory=dict)
    log: ReadLog = dataclasses.field(default_factory=ReadLog)
    format: str = ""
    error: LevelheadError | None = None


def collect_on_ray(
    sources: Iterable[Source],
    options: ReadOptions,
    log: ReadLog,
    *,
    missing: Missing,
    max_rows: int | None = None,
    address: str | None = None,
    on_part: Callable[[int], None] | None = None,
) -> dict[str, ModelRecords]:
    """Read every source on a Ray cluster; the result is that of `collect`.

    Ctrl-C ends the reading early and keeps what was merged so far, with a warning.

    Args:
        sources: named groups of files, one per model; every worker must be able to read them.
        options: what the user says about the files.
        log: takes what the readers decided and found odd.
        missing: how a record without a confidence counts.
        max_rows: rows of a model beyond which it is tallied instead of kept; `MAX_ROWS` unless given.
        address: of the cluster; None asks `RAY_ADDRESS`, and starts Ray on this machine where there
            is none. A connection that is already open is used and left open.
        on_part: called with the number of files that were merged, after each.

    Returns:
        What was read, by model, in order of appearance.

    Raises:
        MissingDependencyError: Ray is not installed.
        RayError: Ray cannot be started or reached, or a file's workers keep dying.
        RecordError: a file cannot be read, answers and events are mixed in one model, or a slice
            column has thousands of values in a file.

    Edge cases: a model of which one file holds more than its share of `max_rows`, although all of
        its rows fit, is read a second time.
    """
    sources = list(sources)
    limit = MAX_ROWS if max_rows is None else max_rows
    models: dict[str, ModelRecords] = {}
    # Ray prints of workers that died; standard output is for what the audit says.
    with redirect_stdout(sys.stderr), _cluster(address) as data:
        complete = False
        passes = _Reading(data, options, log, missing, limit, alone=len(sources) == 1)
        try:
            shares = [limit // len(source.files) for source in sources]
            passes.merge_into(models, sources, shares, on_part)
            complete = True
            short = {name for name, m in models.items() if m.streamed and m.n_records <= limit}
            if short:
                files = {file for name in short for file in models[name].files}
                again = [s for s in sources if files & {str(path) for path in s.files}]
                fresh: dict[str, ModelRecords] = {}
                passes.merge_into(fresh, again, [limit] * len(again))
                models.update({name: fresh[name] for name in short})
            _refuse_many_slices(models)
        except KeyboardInterrupt:
            if not models or complete:
                raise
            interrupted(models, log)
    return models


def _refuse_many_slices(models: Mapping[str, ModelRecords]) -> None:
    for records in models.values():
        for column, file in records.too_many_slices.items():
            raise RecordError(
                f"--by {column}: expected at most {MAX_PART_SLICES:,} distinct values in a file, got "
                "more; slice by a column with fewer",
                file,
            )


@dataclasses.dataclass(frozen=True)
class _Reading:
    """What every pass over the files has in common; `alone`: whether there is one source only."""

    data: Any
    options: ReadOptions
    log: ReadLog
    missing: Missing
    limit: int
    alone: bool

    def merge_into(
        self,
        models: dict[str, ModelRecords],
        sources: Sequence[Source],
        shares: Sequence[int],
        on_part: Callable[[int], None] | None = None,
    ) -> None:
        """Merge the parts of every file into the models, in the order of the files."""
        tasks = [
            _Task(source, path, self.options, self.missing, self.alone, share)
            for source, share in zip(sources, shares, strict=True)
            for path in source.files
        ]
        formats: dict[str, dict[str, AnyPath]] = {source.name: {} for source in sources}
        for task, part in zip(tasks, _in_order(self.data, tasks), strict=True):
            for message in part.log.notes:
                self.log.note(message)
            for message in part.log.warnings:
                self.log.warn(message)
            if part.format and len(task.source.files) > 1:
                one_format(formats[task.source.name], part.format, task.path)
            if part.error is not None:
                raise part.error
            for name, records in part.models.items():
                whole = models.setdefault(name, ModelRecords(name, self.missing, self.options.by))
                whole.merge(records, self.limit)
            if on_part is not None:
                on_part(1)


def _in_order(data: Any, tasks: Sequence[_Task]) -> Iterator[_Part]:
    """The parts in the order of their tasks; whichever comes early waits for those before it."""
    rows = [{"place": i, "task": pickle.dumps(task)} for i, task in enumerate(tasks)]
    items = data.from_items(rows, override_num_blocks=len(rows))
    with warnings.catch_warnings():  # Ray will take this another way from 2.64 on
        warnings.simplefilter("ignore")
        parts = items.map(_read_row, max_retries=RETRIES)
    parts.context.enable_progress_bars = False
    waiting: dict[int, bytes] = {}
    due = 0
    for row in _through_ray(iter(parts.iter_rows())):
        waiting[row["place"]] = row["part"]
        while due in waiting:
            yield cast(_Part, pickle.loads(waiting.pop(due)))
            due += 1


def _through_ray(rows: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The rows; what Ray itself gives up on is told in one sentence."""
    errors = optional_import("ray.exceptions", "audits on Ray", "ray")
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except errors.RayError as error:
            raise RayError(
                f"Ray gave up on a file: {_cause(error)}; see that every worker has levelhead "
                "installed, reads the same files and has memory enough"
            ) from error
        yield row


def _cause(error: Exception) -> str:
    """What went wrong in a worker, out of the tracebacks that Ray puts around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    return (raised or lines[-1:] or [type(error).__name__])[0].rstrip(".")


def _read_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"place": row["place"], "part": pickle.dumps(_read(pickle.loads(row["task"])))}


def _read(task: _Task) -> _Part:
    """One file, as `collect` reads it; an error is handed over, for Ray would bury it in its own."""
    part = _Part()
    try:
        with reading(task.path):
            part.format = find_reader(sniff(task.path), task.options).name
        for block in read([task.path], task.options, part.log):
            name = model_name(task.source, task.path, block.model, alone=task.alone)
            if name not in part.models:
                part.models[name] = ModelRecords(name, task.missing, task.options.by, part=True)
            part.models[name].add(block, str(task.path), task.max_rows)
    except LevelheadError as error:
        part.error = error
    return part


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray Data on the user's cluster, or on this machine; what was started here is ended here."""
    ray = optional_import("ray", "audits on Ray", "ray")
    data = optional_import("ray.data", "audits on Ray", "ray")
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels = [logger.level for logger in loggers]
    for logger, level in zip(loggers, (logging.ERROR, logging.CRITICAL), strict=True):
        logger.setLevel(level)  # what Ray gives up on is told in one sentence of ours
    try:
        yield from _connected(ray, data, address)
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _connected(ray: Any, data: Any, address: str | None) -> Iterator[Any]:
    if ray.is_initialized():
        yield data
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        said = str(error).strip().splitlines()
        where = "" if address is None else f" at {address}"
        why = said[0].rstrip(".") if said else type(error).__name__
        raise RayError(
            f"Ray cannot be started or reached{where}: {why}; check the address (--ray-address or "
            "RAY_ADDRESS), or leave it out to use this machine"
        ) from error
    try:
        yield data
    finally:
        ray.shutdown()
