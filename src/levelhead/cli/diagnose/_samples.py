"""Samples whose answers come without a confidence, which no diagnosis of correctness needs."""

# pyarrow ships no type information.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError, RecordError, unknown_name
from levelhead.readers import BATCH_ROWS, AnyPath, ReadLog, ReadOptions, load, resolve
from levelhead.readers._columns import grade
from levelhead.readers._files import reading, show
from levelhead.readers._labels import attach_labels
from levelhead.readers._logs import message_text, prompt_key
from levelhead.readers._roles import TEXT, TEXTS, Roles, roles
from levelhead.readers._sniff import container_of
from levelhead.readers._tables import open_table
from levelhead.readers._unfold import unfolded
from levelhead.readers._values import Place, decoded, is_list, is_text, labels
from levelhead.readers.columns import by_model
from levelhead.readers.sources import chosen, is_chosen, pooled
from levelhead.records import PROVENANCES, STATUSES, Predictions, as_ids, as_strings, concat

__all__ = ["TRACES", "load_samples", "models_option", "one_model", "second_path", "two_models"]

TRACES = ("answer", "text")
"""Columns that are kept where a file has them."""

NO_CONFIDENCE = (
    "expected a column of confidences",
    ": expected texts with <confidence>",
    ": expected numbers in [0, 1], got no usable value",
)
"""What the readers say of a file whose answers come without a confidence."""

CHATS = "messages"
"""The usual column of chats: where texts are wanted and there are none, it is read."""

TURN = re.compile(
    r"(?:<\|im_start\|>assistant|<\|start_header_id\|>assistant<\|end_header_id\|>|<\|assistant\|>"
    r"|<start_of_turn>model|\[/INST\])\s*"
)
"""Where the assistant begins to speak in the chat templates of ChatML, Llama, Phi, Gemma and Mistral."""

ENDED = re.compile(r"\s*(?:<\|im_end\|>|<\|eot_id\|>|<\|end\|>|<end_of_turn>|</s>)\s*$")
"""And where it ends."""

STAND_IN = "\0confidence"
"""A column of confidences that no file has."""


def load_samples(
    argument: str,
    options: ReadOptions,
    log: ReadLog,
    *,
    evidence: tuple[str, ...] = (),
    labelled: bool | None = True,
) -> dict[str, Predictions]:
    """Predictions as `readers.load` reads them; where no confidence is stated all are missing.

    Args:
        argument: a file, a folder or a glob.
        options: what the user says about it.
        log: takes what was found out.
        evidence: columns to keep where the file has them; chats become what the assistant said last.
        labelled: whether it must say which answers are right; where it need not and does not, labels
            are NaN; None: also where what it says is neither right nor wrong.

    Returns:
        The predictions of each model.

    Raises:
        RecordError: it cannot be read.
        InvalidInputError: an option names something that does not exist.
    """
    if "text" in evidence:
        evidence = (*evidence, CHATS)
    options = dataclasses.replace(options, evidence=(*options.evidence, *evidence))
    if not labelled and options.unlabelled is None:
        options = dataclasses.replace(options, unlabelled="answer")
    first = ReadLog()
    try:
        found = load((argument,), options, first)
    except RecordError as error:
        first = ReadLog()
        found = _less(argument, options, first, error, ungraded=labelled is None)
    for text in first.notes:
        log.note(text)
    for text in first.warnings:
        log.warn(text)
    return {name: _plain_texts(one, evidence, argument, log) for name, one in found.items()}


def _less(
    argument: str, options: ReadOptions, log: ReadLog, error: RecordError, *, ungraded: bool
) -> dict[str, Predictions]:
    """Samples without confidences and, where they may be `ungraded`, without correctness."""
    named = (options.confidence, options.text, options.pattern, options.elicitation)
    if not any(named) and any(words in error.problem for words in NO_CONFIDENCE):
        try:
            found = _bare(argument, options, log)
        except RecordError as problem:
            error = problem
        else:
            log.note(f"{argument}: its samples state no confidence; none is needed here")
            return found
    truth = (options.correct, options.outcome, options.gold, options.scorer, options.labels)
    if not ungraded or options.format is not None or any((*named, *truth)):
        raise error
    try:
        found = _bare(argument, options, log, graded=False)
    except RecordError:
        raise error from None
    log.note(f"{argument}: read as texts, without correctness ({error.problem.partition(';')[0]})")
    return found


def _plain_texts(
    read: Predictions, names: tuple[str, ...], argument: str, log: ReadLog
) -> Predictions:
    """Chats as what the model said last; the question and the names of the roles are not its text."""
    columns = read.columns
    for name in dict.fromkeys(names):
        if name not in columns.column_names:
            continue
        if is_text(columns.schema.field(name).type):
            texts = _last_turns(columns[name])
        elif pa.types.is_nested(columns.schema.field(name).type):
            texts = _said(columns[name], name, argument)
        else:
            continue
        if texts is not None:
            place = columns.column_names.index(name)
            columns = columns.set_column(place, name, pa.array(texts, pa.string()))
            log.note(f"{name}: chats; the last turn of the assistant is what was written")
    if CHATS in names and CHATS in columns.column_names and "text" not in columns.column_names:
        columns = columns.append_column("text", columns[CHATS])
    return read if columns is read.columns else dataclasses.replace(read, columns=columns)


def _said(column: Any, name: str, argument: str) -> list[str | None]:
    chats = column.to_pylist()
    if _is_texts(column.type) and any(chat and chat[1:] for chat in chats):
        raise RecordError(
            f"{name}: expected one text in a row, got lists of texts; write a row for each sample",
            argument,
        )
    return [message_text(chat, name, Path(argument)) for chat in chats]


def _last_turns(column: Any) -> list[str | None] | None:
    """Texts under a chat template from where the assistant speaks last; None where there are none."""
    if not cast(Any, pc).any(cast(Any, pc).match_substring_regex(column, TURN.pattern)).as_py():
        return None
    return [None if text is None else _last_turn(text) for text in decoded(column).to_pylist()]


def _last_turn(text: str) -> str:
    turns = list(TURN.finditer(text))
    return text if not turns else ENDED.sub("", text[turns[-1].end() :])


def _is_texts(kind: Any) -> bool:
    """Whether a column of this type holds a list of texts in each row."""
    return is_list(kind) and is_text(kind.value_type)


def one_model(
    path: str,
    role: str,
    options: ReadOptions,
    log: ReadLog,
    *,
    evidence: tuple[str, ...] = (),
    labelled: bool | None = True,
    option: str = "--only",
) -> Predictions:
    """The samples of the one model in some files.

    Args:
        path: a file, a folder or a glob.
        role: the argument's name, for errors.
        options: how to read them; files that name the same model are pooled.
        log: takes what was found out.
        evidence: columns to keep where the files have them.
        labelled: whether they must say which answers are right, as for `load_samples`.
        option: what names the model on the command line, for errors.

    Returns:
        Its predictions.

    Raises:
        InvalidInputError: they hold several models.
    """
    options = dataclasses.replace(options, pool=options.pool or None)
    found = load_samples(
        path, dataclasses.replace(options, only=None), log, evidence=evidence, labelled=labelled
    )
    found = _named(found, options.only, option) if len(found) > 1 else found
    if len(found) != 1:
        raise InvalidInputError(
            f"{role}: expected the samples of one model, got {len(found)}: {', '.join(found)}; choose "
            "one with --only NAME (of one file that holds two: --models BASE TUNED), or read the files "
            "together with --pool"
        )
    return next(iter(found.values()))


def _named(found: dict[str, Predictions], only: str | None, option: str) -> dict[str, Predictions]:
    if only is not None and not any(is_chosen(name, only) for name in found):
        raise unknown_name(option, only, found)
    return chosen(found, only)


models_option = click.option(
    "--models",
    nargs=2,
    metavar="BASE TUNED",
    help="Names of the two models, where files hold several.",
)
"""Which model is which; for `two_models`."""


def second_path(
    first: str, second: str | None, models: tuple[str, str] | None, *, role: str = "TUNED"
) -> str:
    """Where the other model is: the same place as the one where `--models` names both there.

    Args:
        first: path of the one model, base or tuned.
        second: path of the other, or None.
        models: both names, or None.
        role: what names the second path on the command line, for errors.

    Returns:
        The path of the other model.

    Raises:
        InvalidInputError: there is neither a second path nor names, it is empty, or both models of one
            path have one name.
    """
    if second is None and models is None:
        raise InvalidInputError(
            f"{role}: expected a second path beside {first!r}, got none; where one file holds both "
            "models, name them: --models BASE TUNED"
        )
    if second is not None and not second.strip():
        raise InvalidInputError(
            f"{role}: expected a path, got an empty text; for this folder write a dot"
        )
    if models is not None and models[0] == models[1] and second in (None, first):
        raise InvalidInputError(
            f"--models: expected two different models of {first}, got {models[0]!r} twice"
        )
    return first if second is None else second


def two_models(
    paths: tuple[str, str],
    options: ReadOptions,
    log: ReadLog,
    *,
    models: tuple[str, str] | None = None,
    roles: tuple[str, str] = ("BASE", "TUNED"),
    evidence: tuple[str, ...] = (),
    labelled: bool | None = True,
) -> tuple[Predictions, Predictions]:
    """The samples of a base model and of a tuned one.

    Args:
        paths: of the base and of the tuned model; the same one where it holds both.
        options: how to read them.
        log: takes what was found out, and whether both are the same rows.
        models: their names, where files hold several.
        roles: the arguments' names, for errors; those of `--models` where it is given.
        evidence: columns to keep where the files have them.
        labelled: whether they must say which answers are right, as for `load_samples`.

    Returns:
        Both, under different names.

    Raises:
        InvalidInputError: the one holds answers and the other events, one holds several models, or
            the one path of both lacks a name.
    """
    names = models or (None, None)
    if models is not None:
        roles = ("BASE", "TUNED")
    if models is not None and options.only is not None:
        raise InvalidInputError("--only: expected no --models beside it; --models says all")
    base, tuned = (
        one_model(
            path,
            role,
            options if name is None else dataclasses.replace(options, only=name),
            log,
            evidence=evidence,
            labelled=labelled,
            option="--only" if name is None else "--models",
        )
        for path, role, name in zip(paths, roles, names, strict=True)
    )
    if models is not None and paths[0] == paths[1]:
        for name, one in zip(models, (base, tuned), strict=True):
            if not is_chosen(one.model, name):  # it is the only one there
                raise unknown_name("--models", name, [one.model])
    if base.kind != tuned.kind:
        raise InvalidInputError(
            f"{roles[1]}: expected {base.kind} predictions like those of {roles[0]}, got "
            f"{tuned.kind} predictions"
        )
    if _same_rows(base, tuned, (*TRACES, *evidence)):
        advice = "; where a file holds both models, name them: --models BASE TUNED"
        log.warn(
            f"{roles[0]} and {roles[1]} hold the same rows, so nothing can differ"
            f"{advice if models is None else ''}"
        )
    if base.model == tuned.model:
        base, tuned = (dataclasses.replace(one, model=name)
                       for one, name in ((base, "base"), (tuned, "tuned")))  # fmt: skip
    return base, tuned


def _same_rows(one: Predictions, other: Predictions, names: tuple[str, ...]) -> bool:
    common = [
        name
        for name in dict.fromkeys(names)
        if name in one.columns.column_names and name in other.columns.column_names
    ]
    return (
        len(one) == len(other)
        and (bool(common) or not np.isnan(one.label).all())
        and np.array_equal(one.label, other.label, equal_nan=True)
        and np.array_equal(one.confidence, other.confidence, equal_nan=True)
        and all(one.columns[name].equals(other.columns[name]) for name in common)
    )


def _bare(
    argument: str, options: ReadOptions, log: ReadLog, *, graded: bool = True
) -> dict[str, Predictions]:
    sources = resolve((argument,), log=log)
    if options.pool:
        sources = [pooled(sources)]
    blocks: dict[str, list[Predictions]] = {}
    for source in sources:
        for path in source.files:
            with reading(path):
                for block in _read(path, options, log, graded):
                    own = block.model in (path.stem, path.name)
                    name = source.name if own else block.model
                    blocks.setdefault(name, []).append(block)
    return {
        name: dataclasses.replace(concat(parts), model=name)
        for name, parts in chosen(blocks, options.only).items()
    }


def _read(path: AnyPath, options: ReadOptions, log: ReadLog, graded: bool) -> Iterator[Predictions]:
    texts = tuple(name for name in options.evidence if name != "answer")
    table = open_table(path, container_of(path))
    table = unfolded(table, options, path, log, texts=texts, labelled=graded)
    schema = {**table.schema, STAND_IN: pa.float64()}
    try:
        found = roles(schema, dataclasses.replace(options, confidence=STAND_IN), path, log)
    except RecordError as error:  # the columns that it lists are those that the file has
        raise RecordError(
            error.problem.replace(f", {STAND_IN!r}", ""), error.path, error.line
        ) from error
    if not graded:
        found = dataclasses.replace(found, kind="answer", label=None, gold=None)
    kept = {"answer": found.answer} if found.answer is not None else {}
    texts = [name for name in (*TEXT, *TEXTS) if name in table.schema]
    if texts and "text" in options.evidence:
        kept["text"] = "text" if "text" in texts else texts[0]
    kept |= {n: n for n in options.evidence if n in table.schema and n not in kept}
    kept |= {name: name for name in options.by if name in table.schema}
    hashed = found.prompt if found.prompt_id is None else None
    needed = [found.label, found.answer, found.gold, found.prompt_id, found.model, hashed]
    names = list(dict.fromkeys([n for n in (*needed, *kept.values()) if n is not None]))
    if not names:
        there = ", ".join(repr(name) for name in table.schema)
        raise RecordError(
            f"expected samples with a prompt, an answer or a text, got the columns {there or 'none'}; "
            "name them with --prompt-id, --answer or --text",
            show(path),
        )
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
