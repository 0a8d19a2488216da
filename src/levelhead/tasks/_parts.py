"""From one file, or two, to prompts to train on and prompts to evaluate on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from levelhead.records import id_text
from levelhead.tasks._base import Options, Prompt, shuffled, split
from levelhead.tasks._rows import Row, plain, read_rows

__all__ = ["FileOptions", "prompts_from"]

Make = Callable[[Row, str], Prompt]
"""(row, prompt id) -> prompt."""


class FileOptions(Options):
    """Options of every task that reads files."""

    path: Path
    """The file or folder to train on."""
    evaluation: Path | Annotated[int, Field(ge=1, strict=True)] = 200
    """The file or folder to evaluate on, or how many rows of `path` to hold out for it."""
    id: str | None = None
    """The column that names the prompt; null names a prompt by its file and row."""
    split_by: str | None = None
    """Where rows are held out: rows that are equal in this column stay together. Rows of one id, or
    without ids of one text, always do."""
    columns: tuple[str, ...] = ()
    """Columns to keep beside the predictions, to slice them by."""
    seed: int = 0
    """Seed of what is random: the split, and the order of options."""


@dataclasses.dataclass
class _Known:
    """The prompts of each id so far, and where each was first seen."""

    merge: bool
    first: dict[str, tuple[Prompt, Row, int]] = dataclasses.field(default_factory=dict)

    def add(self, prompt: Prompt, row: Row, part: int) -> None:
        before, where, other = self.first.setdefault(prompt.prompt_id, (prompt, row, part))
        name = f"id {prompt.prompt_id!r}"
        for what, one, two in (
            ("outcome", before.outcome, prompt.outcome),
            ("prompt", before.messages, prompt.messages),
            ("right answer", before.targets, before.targets if self.merge else prompt.targets),
        ):
            if one != two:
                raise row.error(
                    f"{name}: expected one {what} for each id, got another one than in "
                    f"{where.path}:{where.line}; correct it, or name another column of ids"
                )
        if other != part:
            raise row.error(
                f"{name}: expected prompts that are not trained on, got one that is also at "
                f"{where.path}:{where.line}; remove it from one of the files"
            )
        if prompt.targets != before.targets:
            targets = tuple(dict.fromkeys((*before.targets, *prompt.targets)))
            merged = dataclasses.replace(before, targets=targets)
            self.first[prompt.prompt_id] = (merged, where, part)

    def whole(self, prompt: Prompt) -> Prompt:
        """The prompt with the right answers of all rows of its id."""
        targets = self.first[prompt.prompt_id][0].targets
        return prompt if targets == prompt.targets else dataclasses.replace(prompt, targets=targets)


def prompts_from(
    options: FileOptions, names: Iterable[str], make: Make, *, merge: bool = False
) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
    """Prompts to train on, in the order of their file, and to evaluate on, shuffled by their ids.

    Args:
        options: the files, and how one is split.
        names: the columns that `make` needs.
        make: a row and its id -> the prompt.
        merge: whether rows of one id may give different right answers, of which each will do.

    Returns:
        Both parts.

    Raises:
        RecordError: a file or a row is wrong, an id names two different prompts, or a prompt is in
            both files.
        InvalidInputError: nothing would be left to train on.
    """
    extra = [name for name in (options.id, options.split_by) if name is not None]
    wanted = [*names, *options.columns, *extra]
    held = options.evaluation if isinstance(options.evaluation, int) else None
    files = [options.path] if isinstance(options.evaluation, int) else [
        options.path, options.evaluation
    ]  # fmt: skip
    known = _Known(merge)
    parts: list[list[Prompt]] = []
    rows: list[Row] = []
    for part, file in enumerate(files):
        rows = read_rows(file, wanted)
        same = len({one.stem for one in files}) < len(files)
        label = str(file) if same else file.stem
        parts.append([make(row, _id(row, options.id, label, i)) for i, row in enumerate(rows)])
        for prompt, row in zip(parts[-1], rows, strict=True):
            known.add(prompt, row, part)
    whole = [tuple(known.whole(prompt) for prompt in part) for part in parts]
    if held is None:
        return whole[0], _mixed(whole[1], options.seed)
    units = [_unit(p, row, options) for p, row in zip(whole[0], rows, strict=True)]
    chosen = split(units, held, options.seed)
    train = tuple(whole[0][i] for i in chosen.train)
    return train, _mixed([whole[0][i] for i in chosen.evaluation], options.seed)


def _mixed(prompts: Iterable[Prompt], seed: int) -> tuple[Prompt, ...]:
    """Files are often sorted, and an evaluation that takes the first so many wants a sample."""
    return tuple(shuffled(prompts, seed, key=lambda prompt: prompt.prompt_id))


def _unit(prompt: Prompt, row: Row, options: FileOptions) -> str:
    if options.split_by is not None:
        return plain(row.values[options.split_by])
    return json.dumps(prompt.messages) if options.id is None else prompt.prompt_id


def _id(row: Row, column: str | None, label: str, i: int) -> str:
    if column is None:
        return f"{label}-{i + 1:05d}"
    found = id_text(row.values[column])
    if found is None:
        raise row.error(f"{column}: expected an id, got nothing; give one, or name another column")
    return found
