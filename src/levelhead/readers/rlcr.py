"""RLCR's published evaluation outputs (arXiv:2507.16806): several arms, each a model, in one file.

An arm `X` has the columns `X-output_0` (text), `X-evals` (right or wrong, one entry a sample) and
`X-confidence_levels`. Where its text held no confidence, the published evaluation stored a
stand-in: 0.0 (which gives a wrong answer a perfect score), or 0.5 for answer probabilities. The
convention `rlcr` takes the stored values as they are; otherwise a stand-in is a missing confidence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from levelhead.elicitation import answer_confidence_tags, answer_confidence_tags_rlcr
from levelhead.errors import RecordError
from levelhead.readers._base import Head, Reader, ReadLog, ReadOptions, evidence_columns
from levelhead.readers._columns import RowBuilder, as_label
from levelhead.readers._files import show
from levelhead.readers._remote import AnyPath
from levelhead.readers._roles import missing_column
from levelhead.readers._sniff import container_of
from levelhead.readers._tables import open_table
from levelhead.readers.columns import check_by
from levelhead.records import Predictions

__all__ = ["READER"]

_EVALS, _LEVELS, _TEXT, _CLASSES = "-evals", "-confidence_levels", "-output_", "-class_output"
_PROMPTS = ("problem", "question", "prompt")
_ROWS = 1024
"""Rows at a time: each holds several long texts."""


@dataclasses.dataclass
class _Arm:
    """One arm: its name, its columns and what was found in them."""

    name: str
    levels: str | None
    classes: str | None
    texts: tuple[str, ...]
    rows: RowBuilder
    stand_ins: int = 0

    @property
    def stand_in(self) -> float:
        """What the published evaluation stores where there is no confidence."""
        return 0.5 if "answer-prob" in self.name.lower() else 0.0


def _recognizes(head: Head) -> bool:
    return head.container in ("parquet", "arrow", "jsonl", "json") and bool(_names(head.columns))


def _names(columns: Any) -> list[str]:
    present = set(columns)
    arms = [name.removesuffix(_EVALS) for name in columns if str(name).endswith(_EVALS)]
    return [a for a in arms if a and present & {a + _LEVELS, a + _CLASSES, a + _TEXT + "0"}]


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    table = open_table(path, container_of(path))
    columns = list(table.schema)
    check_by(options, table, path)
    if options.prompt_id is not None and options.prompt_id not in table.schema:
        raise missing_column(options.prompt_id, "--prompt-id", columns, path)
    arms = [_arm(name, columns, path, options, log) for name in _names(columns)]
    if not arms:
        raise RecordError(
            "expected columns NAME-evals with NAME-confidence_levels or NAME-output_0, got "
            f"{', '.join(map(str, columns[:20]))}; choose another --format",
            show(path),
        )
    log.note(f"the columns hold {len(arms)} models: {', '.join(arm.name for arm in arms)}")
    shared = _Shared.of(columns, options)
    used = [f"{a.name}{_EVALS}" for a in arms] + shared.columns
    used += [c for a in arms for c in (a.levels, a.classes, *a.texts) if c is not None]
    number = 0
    for batch, place in table.batches(list(dict.fromkeys(used)), _ROWS):
        lists = {name: column.to_pylist() for name, column in batch.items()}
        size = len(next(iter(lists.values())))
        for i in range(size):
            record = {name: values[i] for name, values in lists.items()}
            for arm in arms:
                _add(arm, record, shared, place.row(i))
        number += size
        for arm in arms:
            if len(arm.rows):
                yield arm.rows.block()
    if number == 0:
        raise RecordError("expected at least one record, got a file of 0 rows", show(path))
    _report(arms, options, path, log)


@dataclasses.dataclass(frozen=True)
class _Shared:
    """The columns that belong to the question and not to an arm."""

    prompt_id: str | None
    prompt: str | None
    gold: str | None
    by: tuple[str, ...]
    evidence: tuple[str, ...]

    @classmethod
    def of(cls, columns: list[str], options: ReadOptions) -> _Shared:
        # Its column 'answer' is the right answer, and the others belong to one arm.
        own = {name: name for name in ("answer", "text", "prompt", "gold", *options.by)}
        return cls(
            prompt_id=options.prompt_id or ("id" if "id" in columns else None),
            prompt=next((name for name in _PROMPTS if name in columns), None),
            gold="answer" if "answer" in columns else None,
            by=options.by,
            evidence=tuple(evidence_columns(options.evidence, columns, own)),
        )

    @property
    def columns(self) -> list[str]:
        return [
            n
            for n in (self.prompt_id, self.prompt, self.gold, *self.by, *self.evidence)
            if n is not None
        ]


def _arm(name: str, columns: list[str], path: AnyPath, options: ReadOptions, log: ReadLog) -> _Arm:
    texts = []
    while f"{name}{_TEXT}{len(texts)}" in columns:
        texts.append(f"{name}{_TEXT}{len(texts)}")
    return _Arm(
        name=name,
        levels=name + _LEVELS if name + _LEVELS in columns else None,
        classes=name + _CLASSES if name + _CLASSES in columns else None,
        texts=tuple(texts),
        rows=RowBuilder("answer", name, path, options, log),
    )


def _add(arm: _Arm, record: Mapping[str, Any], shared: _Shared, row: int) -> None:
    """Every sample of one row and one arm."""
    path = show(arm.rows.path)
    name = f"{arm.name}{_EVALS}"
    evals = _as_list(record[name])
    levels = None if arm.levels is None else _as_list(record[arm.levels])
    if levels is not None and record[arm.levels or ""] is not None and len(levels) != len(evals):
        raise RecordError(
            f"{arm.levels}: expected {len(evals)} values, one for each of {name}, got "
            f"{len(levels)}; the row is incomplete",
            path,
            row,
        )
    extra = {name: record[name] for name in (*shared.by, *shared.evidence)}
    if shared.prompt is not None:
        extra["prompt"] = record[shared.prompt]
    if shared.gold is not None:
        extra["gold"] = record[shared.gold]
    if shared.prompt_id is None:  # rows of another shard are other questions
        prompt_id: Any = f"{arm.rows.path.stem}:{row}"
    else:
        prompt_id = record[shared.prompt_id]
    for k, value in enumerate(evals):
        text = record[arm.texts[k]] if k < len(arm.texts) else None
        said = _confidence(arm, levels, record, k, text, row)
        answer = None if text is None else answer_confidence_tags(text).answer
        columns: dict[str, Any] = {"answer": answer, "text": text, **extra}
        arm.rows.add(
            **said,
            label=as_label(value, name=name, path=path, line=row),
            prompt_id=prompt_id,
            line=row,
            **columns,
        )


def _confidence(
    arm: _Arm,
    levels: list[Any] | None,
    record: Mapping[str, Any],
    k: int,
    text: str | None,
    row: int,
) -> dict[str, Any]:
    """Confidence, status and provenance of one sample."""
    published = arm.rows.options.convention == "rlcr"
    if levels is not None:
        level = _number(levels[k] if k < len(levels) else None, arm, row)
        if level is None or level != arm.stand_in or not _says_nothing(arm, text):
            return {"confidence": level}
        arm.stand_ins += 1
        if published:
            return {"confidence": level, "provenance": "fallback"}
        return {"confidence": None, "status": "missing", "provenance": "fallback"}
    if arm.classes is not None:
        classes = _as_list(record[arm.classes])
        second = _number(classes[1], arm, row) if len(classes) > 1 else None
        return {"confidence": second, "provenance": "computed" if second is not None else "missing"}
    if text is None:
        return {"confidence": None, "status": "missing"}
    said = answer_confidence_tags_rlcr(text) if published else answer_confidence_tags(text)
    found = said.provenance if said.confidence is not None else "missing"
    arm.stand_ins += said.provenance == "fallback"
    return {"confidence": said.confidence, "status": said.status, "provenance": found}


def _says_nothing(arm: _Arm, text: str | None) -> bool:
    """Whether the stored value stands for a confidence that the text does not hold.

    A classifier's zero is a statement of the classifier; without the text nobody can tell.
    """
    if arm.classes is not None or text is None:
        return False
    if arm.stand_in == 0.5:
        return text.count("answer") < 2
    return answer_confidence_tags_rlcr(text).provenance == "fallback"


def _number(value: Any, arm: _Arm, row: int) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise RecordError(
        f"{arm.levels or arm.classes}: expected numbers in [0, 1], got {str(value)[:60]!r}; "
        "correct it",
        show(arm.rows.path),
        row,
    )


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _report(arms: list[_Arm], options: ReadOptions, path: AnyPath, log: ReadLog) -> None:
    for arm in arms:
        if arm.stand_ins and options.convention == "rlcr":
            log.warn(
                f"{show(path)}: {arm.name}: {arm.stand_ins:,} confidences are the stand-in "
                f"{arm.stand_in} for a text without one, and count as published"
            )
        elif arm.stand_ins:
            log.warn(
                f"{show(path)}: {arm.name}: {arm.stand_ins:,} stored confidences of {arm.stand_in} "
                "stand for a text without one; they count as missing (convention rlcr keeps them)"
            )


READER = Reader(
    name="rlcr",
    description="RLCR's published evaluation outputs (arXiv:2507.16806)",
    recognizes=_recognizes,
    read=_read,
)
