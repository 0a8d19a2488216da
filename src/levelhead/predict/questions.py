"""What is asked: the prompts of a task, or of a plain file with a template."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from levelhead.elicitation import Elicited
from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers._columns import as_label
from levelhead.readers._files import show
from levelhead.records import Kind, id_text
from levelhead.tasks import Prompt, Task
from levelhead.tasks._base import user_message
from levelhead.tasks._rows import (
    Row,
    check_slots,
    columns_of,
    filled,
    messages,
    plain,
    read_rows,
    texts,
)
from levelhead.tasks._verify import Verifier

__all__ = ["SPLITS", "Questions", "asks_for_tags", "of_task", "read_questions"]

SPLITS = ("evaluation", "train")
"""The parts of a task."""

MOST_LISTED = 20
TAGS = ("<answer>", "<confidence>")
SENTENCE = re.compile(r"(?<=[.?!])\s+|\n+")
"""What parts sentences."""

Verify = Callable[[str, Prompt], float | None]


@dataclasses.dataclass(frozen=True)
class Questions:
    """Prompts, and how what a model says to them is read and judged.

    Attributes:
        name: what a message calls them.
        kind: `answer` (with a confidence in it) or `event` (with its probability).
        prompts: at least one; what is not known of a prompt (outcome, targets) is left empty.
        elicitation: name of the format in `levelhead.elicitation.TABLE` that a stated confidence
            has.
        verify: (answer, prompt) -> 1.0, 0.0, or None where nobody can say; None for events.
        complete: whether the prompts ask for the format by themselves.

    Raises:
        InvalidInputError: no prompts.
    """

    name: str
    kind: Kind
    prompts: Sequence[Prompt]
    elicitation: str
    verify: Verify | None = None
    complete: bool = False

    def __post_init__(self) -> None:
        if not self.prompts:
            raise InvalidInputError(f"{self.name}: expected prompts, got none")

    def truth(self, elicited: Elicited, prompt: Prompt) -> float | None:
        """What became of a prompt: whether the answer is right, or whether the event happened.

        Args:
            elicited: what the model said.
            prompt: what it was asked.

        Returns:
            1.0, 0.0 (no answer to a question is wrong), or None where nobody can say.
        """
        if self.kind == "event":
            return prompt.outcome
        if not prompt.targets or self.verify is None:
            return None
        return 0.0 if elicited.answer is None else self.verify(elicited.answer, prompt)

    def without_format(self) -> Questions:
        """The questions without the sentences at their end that ask for the format of a task.

        Another method asks for another answer, and what contradicts itself is answered by chance.

        Returns:
            Questions that are not complete.

        Raises:
            InvalidInputError: a format is asked for elsewhere than in the last sentences of a prompt.
        """
        bare = tuple(_without_format(prompt) for prompt in self.prompts)
        return dataclasses.replace(self, prompts=bare, complete=False)


def asks_for_tags(text: str) -> bool:
    """Whether a text asks for an answer or a confidence in tags.

    Args:
        text: of a prompt, or of an instruction.

    Returns:
        Whether such a tag is in it.

    Example:
        >>> asks_for_tags("Answer in <answer></answer> tags."), asks_for_tags("Answer.")
        (True, False)
    """
    folded = text.casefold()
    return any(tag in folded for tag in TAGS)


def of_task(task: Task, part: str = "evaluation", *, complete: bool = True) -> Questions:
    """The prompts of a task.

    Args:
        task: any.
        part: `evaluation` or `train`.
        complete: whether its prompts ask for the task's format by themselves.

    Returns:
        Its prompts, with its format and its verifier.

    Raises:
        InvalidInputError: there is no such part, or it is empty.
    """
    if part not in SPLITS:
        raise InvalidInputError(f"split: expected one of {', '.join(SPLITS)}, got {part!r}")
    prompts = task.evaluation if part == "evaluation" else task.train
    if not prompts:
        other = SPLITS[1 - SPLITS.index(part)]
        raise InvalidInputError(
            f"split: task {task.name} has no prompts in its part {part!r}; give --split {other}"
        )
    return Questions(task.name, task.kind, prompts, task.elicitation, task.verify, complete)


def read_questions(
    path: str | Path,
    *,
    prompt: str | None = None,
    messages_column: str | None = None,
    answer: str | None = None,
    outcome: str | None = None,
    kind: Kind | None = None,
    verifier: str = "exact",
    id_column: str | None = None,
    columns: Sequence[str] = (),
) -> Questions:
    """The prompts of a plain file: a template or a column of prompts, and perhaps what is true.

    Args:
        path: Parquet, JSON Lines, JSON, CSV or Arrow, or a folder of Parquet or Arrow files.
        prompt: the prompt with `{column}` slots; `{{` and `}}` are braces.
        messages_column: instead of `prompt`: the column with the prompt, a text or chat messages.
        answer: the column of right answers, each a text, a number, or a list of which one is
            enough.
        outcome: the column that says whether the event happened.
        kind: `answer` or `event`; None: `event` where `outcome` is given, `answer` otherwise.
        verifier: how answers are compared: exact, number, math or choice.
        id_column: the column that names the prompt; None names it by its file and row.
        columns: columns to keep beside the predictions.

    Returns:
        One prompt for each row; without `answer` or `outcome`, and in a row where that is empty,
        the truth is unknown.

    Raises:
        InvalidInputError: not exactly one of `prompt` and `messages_column`, or labels that do not
            fit `kind`.
        RecordError: the file cannot be read, a column is missing, or a row has no prompt.
    """
    if (prompt is None) == (messages_column is None):
        raise InvalidInputError(
            "prompt: expected either a template (--prompt 'Question: {question}') or a column of "
            f"prompts (--messages), got {'both' if prompt else 'neither'}"
        )
    kind = kind or ("event" if outcome is not None else "answer")
    if (kind == "event" and answer is not None) or (kind == "answer" and outcome is not None):
        raise InvalidInputError(
            "answer and outcome: expected an outcome for events or right answers for answers, got "
            f"{'both' if answer and outcome else f'kind {kind!r} with the other one'}"
        )
    judge = Verifier(verifier)
    given = {"messages": messages_column, "answer": answer, "outcome": outcome, "id": id_column}
    named = [*given.items(), *(("keep", name) for name in columns)]
    _check_columns([(option, name) for option, name in named if name is not None], path)
    label = answer if kind == "answer" else outcome
    wanted = [name for name in (messages_column, label, id_column, *columns) if name is not None]
    if prompt is not None:
        wanted += check_slots(prompt, path)
    stem = Path(path).stem
    prompts = [
        _prompt(
            row, f"{stem}-{i:05d}", prompt, messages_column, answer, outcome, id_column, columns
        )
        for i, row in enumerate(read_rows(path, wanted), start=1)
    ]
    return Questions(
        stem,
        kind,
        tuple(prompts),
        "percent_tag" if kind == "event" else "answer_confidence_tags",
        judge if kind == "answer" else None,
    )


def _check_columns(named: Sequence[tuple[str, str]], path: str | Path) -> None:
    """Each column is there, or the option that names it is told."""
    known = columns_of(path) if named else ()
    for option, name in named:
        if name not in known and name.partition(".")[0] not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise RecordError(
                f"--{option}: expected one of {', '.join(known[:MOST_LISTED])}"
                f"{', ...' if len(known) > MOST_LISTED else ''}, got {name!r}{hint}",
                show(path),
            )


def _without_format(prompt: Prompt) -> Prompt:
    *before, last = prompt.messages
    text = last["content"].rstrip()
    while asks_for_tags(text):
        start = max((found.end() for found in SENTENCE.finditer(text)), default=0)
        if not asks_for_tags(text[start:]):
            break
        text = text[:start].rstrip()
    if not text or asks_for_tags(text) or any(asks_for_tags(one["content"]) for one in before):
        raise InvalidInputError(
            f"method: prompt {prompt.prompt_id!r} asks for an answer in tags, which contradicts "
            "every method but verbalized; take that out of the prompts (a file's are yours: FILE "
            "with --prompt or --messages), or use --method verbalized"
        )
    if text == last["content"].rstrip():
        return prompt
    return dataclasses.replace(prompt, messages=(*before, {**last, "content": text}))


def _prompt(
    row: Row,
    name: str,
    template: str | None,
    column: str | None,
    answer: str | None,
    outcome: str | None,
    id_column: str | None,
    columns: Sequence[str],
) -> Prompt:
    if column is not None:
        said = messages(row.values[column], column, row)
    else:
        text = filled(template or "", row)
        if not text.strip():
            raise row.error("prompt: expected a text, got an empty one; write what is asked")
        said = user_message(text)
    if id_column is not None:
        found = id_text(row.values[id_column])
        if found is None:
            raise row.error(f"{id_column}: expected an id, got nothing; name another column")
        name = found
    happened = None
    if outcome is not None:
        happened = as_label(row.values[outcome], name=outcome, path=row.path, line=row.line)
    targets: tuple[str, ...] = ()
    if answer is not None and not _is_blank(row.values[answer]):
        targets = texts(row.values[answer], answer, row)
    return Prompt(name, said, happened, targets, {key: row.values[key] for key in columns})


def _is_blank(value: Any) -> bool:
    return value is None or value == [] or plain(value).strip() in ("", "nan")
