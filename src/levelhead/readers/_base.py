"""What every reader shares: its options, its log, what it sees of a file before it reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from levelhead.readers._remote import AnyPath
from levelhead.records import Kind, Predictions

__all__ = [
    "BATCH_ROWS",
    "EVERYTHING",
    "OWN",
    "Head",
    "ReadLog",
    "ReadOptions",
    "Reader",
    "evidence_columns",
]

BATCH_ROWS = 131_072
"""Rows a reader hands over at a time: large enough to amortize a call, small enough for any memory."""

EVERYTHING = "*"
"""Among `ReadOptions.evidence`: every column that the file has."""

OWN = frozenset({
    "confidence", "correct", "outcome", "status", "provenance", "prompt_id", "weight", "model",
    "location", "row",
})  # fmt: skip
"""Names that a record uses itself; no column of a file is kept under them as evidence."""


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What the user says about the files; None means: find out, and say aloud what was found.

    Attributes:
        confidence: column of the stated confidence.
        correct: column of correctness (0/1, true/false); the records are answers.
        outcome: column of what happened (0/1); the records are events.
        prompt_id: column that names the prompt.
        weight: column of weights.
        text: column of raw model output, parsed with `elicitation` or `pattern`.
        answer: column of the given answer.
        gold: column of the right answer, compared with the parsed or given answer.
        model: column that names the model, where one file holds several.
        by: slice columns to keep.
        evidence: columns to keep where the file has them, such as `token_logprobs`; unlike `by`, no
            error where it has not. What a reader finds out itself (`answer`, `text`, ...) stays.
            `*` keeps every column.
        asked: (column, who asks for it) pairs, such as `("gene", "--split-by")`: a file without the
            column is an error that names the asker, which for a column of `by` is else `--by`.
        only: the model to read, where the files hold several.
        pool: True: all files together are one model; None: where each names the same model in a
            column, they are; False: every file (or folder, or set of shards) is one of its own.
        elicitation: name of a format in `levelhead.elicitation.TABLE`.
        pattern: regular expression with a group `confidence` and perhaps a group `answer`.
        percent: True: confidences are percentages; False: fractions; None: fractions, and a value
            above 1 is an error that says so.
        convention: whose published conventions the reading follows: `levelhead`, `paper_compat`, `rlcr`.
        format: name of the reader to use instead of the detected one.
        scorer: which scorer, metric or reward column holds what is asked, where a log has several.
        labels: file that holds `correct` (or `gold`) for logs that have none, joined by prompt id.
        unlabelled: the kind of records, `answer` or `event`, that a table without a truth holds; None:
            a table without a truth is an error.
        allow_pickle: read files that can run code when they are opened (lm-polygraph).
    """

    confidence: str | None = None
    correct: str | None = None
    outcome: str | None = None
    prompt_id: str | None = None
    weight: str | None = None
    text: str | None = None
    answer: str | None = None
    gold: str | None = None
    model: str | None = None
    by: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    asked: tuple[tuple[str, str], ...] = ()
    only: str | None = None
    pool: bool | None = False
    elicitation: str | None = None
    pattern: str | None = None
    percent: bool | None = None
    convention: str = "levelhead"
    format: str | None = None
    scorer: str | None = None
    labels: Path | None = None
    unlabelled: Kind | None = None
    allow_pickle: bool = False


@dataclasses.dataclass
class ReadLog:
    """What the readers decided and what they found odd, each said once, in order.

    Attributes:
        notes: decisions, such as a column or a format that was recognized.
        warnings: what was odd in the data.
    """

    notes: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def note(self, message: str) -> None:
        """A decision that the user should know of: a detected column, a detected format."""
        if message not in self.notes:
            self.notes.append(message)

    def warn(self, message: str) -> None:
        """Something odd in the data that does not stop the reading."""
        if message not in self.warnings:
            self.warnings.append(message)


@dataclasses.dataclass(frozen=True)
class Head:
    """What is known of a file before a reader is chosen.

    Attributes:
        path: the file.
        container: `parquet`, `arrow`, `jsonl`, `json`, `zip` or `unknown`, from the first bytes.
        columns: column names, or the keys of the first record (of the top-level object for `json`).
        first: the first record of JSON Lines or the whole object of JSON; empty for other containers.
        members: names of the members where the file is a ZIP archive.
    """

    path: AnyPath
    container: str
    columns: tuple[str, ...] = ()
    first: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    members: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Reader:
    """One file format: how to recognize it and how to read it.

    Attributes:
        name: what `--format` calls it.
        description: one line for `--help` and the docs table.
        recognizes: whether a file with this head is of this format; must not raise.
        read: yields blocks of at most `BATCH_ROWS` rows, each of one model (named in the block).
    """

    name: str
    description: str
    recognizes: Callable[[Head], bool]
    read: Callable[[AnyPath, ReadOptions, ReadLog], Iterator[Predictions]]


def evidence_columns(
    evidence: Sequence[str], schema: Iterable[str], kept: Mapping[str, str]
) -> dict[str, str]:
    """The evidence that a file has and that is not kept anyway, by the name it is kept under.

    Args:
        evidence: the columns that are asked for; `*` asks for all.
        schema: names of the columns of the file.
        kept: the columns that are kept already, by the name they are kept under.

    Returns:
        Column by name, to be added to `kept`.
    """
    schema = tuple(schema)
    there = set(schema) - OWN - set(kept.values())
    asked = dict.fromkeys((*evidence, *(schema if EVERYTHING in evidence else ())))
    return {name: name for name in asked if name in there and name not in kept}
