"""Plain columns: any table of confidences and truths, of class probabilities, or of raw texts.

Parquet, Arrow, CSV, JSON Lines and JSON arrays. The columns of a role are the ones that the user
names or the only ones of a usual name; what was found is said aloud. A row with lists of samples is
a row for each of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from levelhead import elicitation
from levelhead._arrays import FloatArray
from levelhead.elicitation import Elicited
from levelhead.errors import RecordError
from levelhead.readers._base import (
    BATCH_ROWS,
    Head,
    Reader,
    ReadLog,
    ReadOptions,
    evidence_columns,
)
from levelhead.readers._columns import elicitation_name, grade, parser, plain_column
from levelhead.readers._files import show
from levelhead.readers._labels import attach_labels
from levelhead.readers._logs import prompt_key
from levelhead.readers._remote import AnyPath
from levelhead.readers._roles import Roles, missing_column, roles
from levelhead.readers._sniff import container_of
from levelhead.readers._status import StatusColumn
from levelhead.readers._tables import PEEK, TEXT_BATCH_ROWS, Table, open_table
from levelhead.readers._unfold import unfolded
from levelhead.readers._values import (
    ConfidenceColumn,
    Place,
    StatusArray,
    class_confidence,
    decoded,
    is_text,
    labels,
    weights,
)
from levelhead.records import PROVENANCES, STATUSES, Predictions, as_ids, as_strings

__all__ = ["READER", "by_model", "check_by", "keeps_text"]

MAX_TEXT_ROWS = 100_000
"""Rows up to which texts are kept for the report's list of confident errors."""

MAX_TEXT_BYTES = 256 * 2**20
"""Bytes of a file up to which its texts are kept."""

MAX_LOCATED_BYTES = 32 * 2**20
"""Bytes of a file of unknown length up to which every row carries its place."""

KEPT_TEXT = ("text", "response", "completion", "responses", "completions", "generations")
"""Columns of texts that are kept beside confidences that are not read from them."""

_OPEN = ("jsonl", "json")
"""Containers whose records may have columns that the first ones lack."""

_STATUS = {name: code for code, name in enumerate(STATUSES)}
_MISSING = PROVENANCES.index("missing")


def _recognizes(head: Head) -> bool:
    return head.container in ("parquet", "arrow", "csv", "jsonl", "json")


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    rows = open_table(path, container_of(path))
    table = unfolded(rows, options, path, log)
    found = roles(table.schema, options, path, log)
    if table is not rows and found.prompt_id is None and found.prompt is None:
        log.warn(
            f"{show(path)}: samples of one row count as if they were of different prompts, so that "
            "intervals are too narrow; name a column of prompts with --prompt-id"
        )
    check_by(options, table, path)
    blocks = _Columns(table, found, options, path, log).blocks()
    if options.labels is None:
        return blocks
    return attach_labels(blocks, path, options, log, ids=found.prompt_id is not None)


def keeps_text(table: Table, path: AnyPath) -> bool:
    """Whether the file is small enough for its texts to be kept."""
    few = table.rows is None or table.rows <= MAX_TEXT_ROWS
    return few and path.stat().st_size <= MAX_TEXT_BYTES


def check_by(options: ReadOptions, table: Table, path: AnyPath) -> None:
    """Raises:
    RecordError: a column that the user asks for, to slice by it or to keep it, is not in the file.
    """
    for name, asker in {**dict.fromkeys(options.by, "--by"), **dict(options.asked)}.items():
        if name not in table.schema:
            raise missing_column(name, asker, table.schema, path)


def by_model(block: Predictions, models: Any) -> Iterator[Predictions]:
    """The block as one block per model that its model column names, in order of appearance.

    Args:
        block: rows of several models.
        models: Arrow array of their names; a row without a name belongs to the block's own model.
    """
    encoded = as_strings(models).fill_null(block.model).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if len(names) == 1:
        yield dataclasses.replace(block, model=names[0])
        return
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    for code, name in enumerate(names):
        yield dataclasses.replace(block.take(codes == code), model=name)


class _Columns:
    """Reads one file of which the role of every column is known."""

    def __init__(
        self, table: Table, found: Roles, options: ReadOptions, path: AnyPath, log: ReadLog
    ) -> None:
        self.table, self.found, self.options = table, found, options
        self.path, self.log = path, log
        name = found.confidence or "confidence"
        self.confidence = ConfidenceColumn(name, options.percent is True, log)
        said = found.status
        if said is None and "status" not in table.schema and container_of(path) in _OPEN:
            said = "status"  # the first records may be without it
        self.status = None if said is None else StatusColumn(said, log)
        self.parse: Callable[[str], Elicited] | None = None
        self.percentages = False
        kept = [(found.answer, "answer"), (found.gold, "gold")]
        kept += [(found.text, "text"), (found.prompt, "prompt")]
        if found.text is None:
            kept += [(name, "text") for name in KEPT_TEXT if name in table.schema][:1]
        self.locate = keeps_text(table, path)
        if self.locate:
            self.locate = table.rows is not None or path.stat().st_size <= MAX_LOCATED_BYTES
        else:
            kept = [pair for pair in kept if pair[1] in options.evidence]
        if found.probs is not None:
            kept += [
                (found.probs, "logits" if found.logits else "probs"),
                (found.target, "target_index"),
            ]
        self.kept = {name: column for column, name in kept if column is not None}
        self.kept.update({name: name for name in options.by})
        used = [found.label, found.gold, found.target]
        if found.confidence not in options.evidence:
            used.append(found.confidence)
        others = [name for name in table.schema if name not in used]
        self.kept |= evidence_columns(options.evidence, others, self.kept)
        self.hashed = found.prompt if found.prompt_id is None else None
        if self.hashed is not None:
            log.note(f"rows with the same {self.hashed!r} count as samples of one prompt")

    def blocks(self) -> Iterator[Predictions]:
        found = self.found
        needed = [
            found.confidence, found.label, found.probs, found.target, found.text, found.answer,
            found.gold, found.prompt_id, found.weight, found.model, self.hashed,
            None if self.status is None else self.status.name,
        ]  # fmt: skip
        if "answer" not in self.kept and found.gold is None:
            needed.remove(found.answer)
        names = list(dict.fromkeys([n for n in needed if n is not None] + list(self.kept.values())))
        texts = {found.text, self.hashed, self.kept.get("text"), self.kept.get("prompt")} - {None}
        empty = True
        for columns, place in self.table.batches(names, TEXT_BATCH_ROWS if texts else BATCH_ROWS):
            empty = False
            block = self._block(columns, place)
            if found.model is None:
                yield block
            else:
                yield from by_model(block, columns[found.model])
        if empty:
            raise RecordError("expected at least one record, got a file of 0 rows", show(self.path))
        self.confidence.finish(self.path)

    def _block(self, columns: dict[str, Any], place: Place) -> Predictions:
        found = self.found
        answers: list[str | None] | None = None
        if found.probs is not None:
            scores = columns[found.probs]
            confidence, status, label = class_confidence(
                scores,
                pa.nulls(len(scores)) if found.target is None else columns[found.target],
                name=found.probs,
                target_name=found.target or "target",
                logits=found.logits,
                place=place,
            )
            source = PROVENANCES.index("computed")
        elif found.confidence is not None:
            confidence, status = self.confidence.convert(columns[found.confidence], place)
            label, source = self._label(columns, place, None), 0
        else:
            confidence, status, answers = self._parsed(columns[found.text or ""])
            label = self._label(columns, place, answers)
            source = PROVENANCES.index("parsed")
        if self.status is not None:
            stated = self.status.convert(columns[self.status.name], place)
            if stated is not None and stated.any():
                status = np.where(stated == 0, status, stated)
                confidence = np.where(stated == 0, confidence, np.nan)
        provenance = np.full(len(status), source, np.int8)
        if status.any():
            provenance[status != 0] = _MISSING
        return Predictions(
            kind=found.kind,
            confidence=confidence,
            label=label,
            status=status,
            provenance=provenance,
            model=self.path.stem,
            prompt_id=self._prompt_id(columns),
            weight=None
            if found.weight is None
            else weights(columns[found.weight], found.weight, place),
            columns=self._kept(columns, place, answers, len(status)),
        )

    def _label(
        self, columns: dict[str, Any], place: Place, answers: list[str | None] | None
    ) -> FloatArray:
        found = self.found
        if found.label is not None:
            return labels(columns[found.label], found.label, place)
        if found.gold is None:
            some = next(iter(columns.values()))
            return np.full(len(some), np.nan)
        if found.answer is None and self.percentages:
            raise place.error(
                f"{found.text}: expected answers to compare with {found.gold!r}, got percentages in "
                "the answer tags; name the column of answers with --answer, or of truths with --correct"
            )
        if found.answer is not None:
            answers = columns[found.answer].to_pylist()
        if answers is None:
            raise place.error(
                "expected answers to compare with the right ones; name them: --answer"
            )
        grades = map(grade, answers, columns[found.gold].to_pylist())
        return np.array([np.nan if g is None else g for g in grades], dtype=np.float64)

    def _parsed(self, column: Any) -> tuple[FloatArray, StatusArray, list[str | None]]:
        texts = [None if t is None else str(t) for t in decoded(column).to_pylist()]
        if self.parse is None:
            self.parse = self._parser(texts)
        parse, nothing = self.parse, Elicited(None, None, "missing")
        said = [nothing if text is None else parse(text) for text in texts]
        confidence = np.array([np.nan if e.confidence is None else e.confidence for e in said])
        status = np.array([_STATUS[e.status] for e in said], dtype=np.int8)
        ok = int(np.count_nonzero(status == 0))
        self.confidence.usable += ok
        self.confidence.unusable += len(said) - ok
        return confidence, status, [e.answer for e in said]

    def _parser(self, texts: list[str | None]) -> Callable[[str], Elicited]:
        options, column = self.options, self.found.text
        if options.pattern is not None:
            return elicitation.by_pattern(options.pattern, percent=options.percent is True)
        detected = None
        if options.elicitation is None:
            detected = elicitation.detect(t for t in texts[:PEEK] if t is not None)
        if detected == "percent_tag" and self.found.kind == "answer":
            detected = None  # <answer>37</answer> is the answer itself, not how sure it is
        name = elicitation_name(options, detected)
        if name is None:
            event = self.found.kind == "event"
            raise RecordError(
                f"{column}: expected texts with <confidence>0.8</confidence>"
                f"{' or <answer>37</answer>' if event else ''}, got none in the first rows; say how to "
                "parse them with --pattern or --elicitation, or name a column of confidences with "
                "--confidence",
                show(self.path),
            )
        self.percentages = name.startswith("percent_")
        if options.elicitation is None:
            self.log.note(f"parsed {column!r} as {name} ({elicitation.TABLE[name].description})")
        return parser(name, options)

    def _prompt_id(self, columns: dict[str, Any]) -> Any:
        if self.found.prompt_id is not None:
            return as_ids(columns[self.found.prompt_id])
        if self.hashed is None:
            return None
        keys: list[str | None] = [prompt_key(v) for v in columns[self.hashed].to_pylist()]
        return as_ids(keys)

    def _kept(
        self, columns: dict[str, Any], place: Place, answers: list[str | None] | None, n: int
    ) -> pa.Table:
        data: dict[str, Any] = {}
        for name, column in self.kept.items():
            values = columns[column]
            data[name] = decoded(values) if is_text(values.type) else values
        if answers is not None and "answer" not in data:
            data["answer"] = plain_column(answers)
        if self.locate:
            data["location"] = place.locations(n)
        elif self.found.model is not None or place.samples is not None:
            # The rows of one model, or the samples of a row, are not numbered as those of the file.
            data["row"] = place.numbers(n)
        return pa.table(data)


READER = Reader(
    name="columns",
    description="plain columns: confidences and truths, class probabilities, or raw text",
    recognizes=_recognizes,
    read=_read,
)
