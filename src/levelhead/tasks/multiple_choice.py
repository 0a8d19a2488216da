"""Multiple choice: one option is right; the model names it and says how sure it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from levelhead.tasks._base import Prompt, Task, TaskKind, shuffled, user_message
from levelhead.tasks._parts import FileOptions, prompts_from
from levelhead.tasks._rows import Row, plain
from levelhead.tasks._verify import Verifier, choice

__all__ = ["INSTRUCTION", "KIND", "LETTERS", "MultipleChoiceOptions", "build", "ordered", "parted"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LINE = re.compile(r"^[ \t]*\(?([A-Z])[).:][ \t]+(.*\S)[ \t]*$", re.MULTILINE)

INSTRUCTION = (
    "Think it through, then give the letter of the right option in <answer></answer> tags, and "
    "after it how likely it is to be right, as a number from 0 to 1, in <confidence></confidence> "
    "tags."
)
"""What follows the options."""


class MultipleChoiceOptions(FileOptions):
    """Options of a multiple-choice task."""

    kind: Literal["multiple_choice"] = "multiple_choice"
    """Which kind of task this is."""
    question: str = "question"
    """The column of questions."""
    options: str | None = None
    """The column of the options' texts, as a list; null: the question ends with a line for each,
    such as `A) bank`."""
    answer: str = "answer"
    """The column of the right option: its letter, its text, or its number counted from 0."""
    answer_form: Literal["any", "letter", "text", "index"] = "any"
    """Which of these it is; `any` takes what fits, and refuses a row that two of them fit
    differently."""
    order: Literal["shuffled", "file"] = "shuffled"
    """Whether the options come in an order of their own for each question, which follows from the
    seed, the question and their texts, or as in the file."""
    instruction: str = INSTRUCTION
    """What follows the options."""


def build(options: MultipleChoiceOptions) -> Task:
    """The task.

    Args:
        options: the files and their columns.

    Returns:
        An answer task. A target is the letter and the text of the right option, as in `B) bank`;
        `columns` of a prompt hold `n_options` beside what was asked for.

    Raises:
        RecordError: a file cannot be read, a column is missing, or a row has no question, fewer
            than two options, or no option that is the right one.
    """

    def make(row: Row, name: str) -> Prompt:
        question, listed = _asked(options, row)
        right = _right(row.values[options.answer], listed, options, row)
        order = list(range(len(listed)))
        if options.order == "shuffled":
            order = ordered(question, listed, options.seed)
        lines = [f"{LETTERS[i]}) {listed[k]}" for i, k in enumerate(order)]
        said = "\n".join([question, *lines, "", options.instruction])
        columns = {key: row.values[key] for key in options.columns}
        columns["n_options"] = len(listed)
        return Prompt(name, user_message(said), None, (lines[order.index(right)],), columns)

    names = [options.question, options.answer]
    train, evaluation = prompts_from(
        options, names if options.options is None else [*names, options.options], make
    )
    return Task(
        name=options.path.stem,
        kind="answer",
        elicitation="answer_confidence_tags",
        train=train,
        evaluation=evaluation,
        verify=Verifier("choice"),
    )


def ordered(question: str, listed: Sequence[str], seed: int) -> list[int]:
    """The order of a question's options, as a function of the seed and the texts alone.

    Args:
        question: the text of the question.
        listed: its options.
        seed: any whole number.

    Returns:
        (K,) which option comes first, second, ...

    Example:
        >>> sorted(ordered("Which?", ["left", "right"], seed=1))
        [0, 1]
    """
    keyed = [f"{question}\n{text}\n{k}" for k, text in enumerate(listed)]
    rank = {key: k for k, key in enumerate(keyed)}
    return [rank[key] for key in shuffled(keyed, seed)]


def parted(text: str) -> tuple[str, list[str]]:
    """A question and its options, from a text that ends with lines such as `A) bank`.

    Args:
        text: the whole.

    Returns:
        (question, options); no options where the lines at the end do not begin with A, B, ...

    Example:
        >>> parted("Where does money go?\\nA) bank\\nB) library\\n")
        ('Where does money go?', ['bank', 'library'])
    """
    found = list(LINE.finditer(text))
    start = max((i for i, one in enumerate(found) if one[1] == "A"), default=len(found))
    tail = found[start:]
    letters = "".join(one[1] for one in tail)
    between = LINE.sub("", text[tail[0].start() :]) if tail else ""
    if not tail or letters != LETTERS[: len(tail)] or between.strip():
        return text.strip(), []
    return text[: tail[0].start()].strip(), [one[2] for one in tail]


def _asked(options: MultipleChoiceOptions, row: Row) -> tuple[str, list[str]]:
    question: Any = row.values[options.question]
    if not isinstance(question, str) or not question.strip():
        raise row.error(
            f"{options.question}: expected a question, got {question!r:.60}; remove the row"
        )
    question = question.strip()
    if options.options is None:
        question, listed = parted(question)
        where = f"{options.question}: expected lines such as 'A) bank' at its end"
    else:
        listed = _texts(row.values[options.options])
        where = f"{options.options}: expected a list of texts"
    if not 2 <= len(listed) <= len(LETTERS) or not all(listed):
        raise row.error(
            f"{where}, 2 to {len(LETTERS)} of them, got {len(listed)}; name the column of the "
            "options with 'options'"
        )
    return question, listed


def _texts(value: Any) -> list[str]:
    """A list of texts, also as the `datasets` library nests it: {"label": [...], "text": [...]}."""
    if isinstance(value, Mapping):
        value = value.get("text")
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [str(one).strip() if one is not None else "" for one in value]


def _right(value: Any, listed: Sequence[str], options: MultipleChoiceOptions, row: Row) -> int:
    """The index of the right option; what could mean two of them is an error, not a guess."""
    said = plain(value).strip() if isinstance(value, str | int | float) else ""
    same = [k for k, text in enumerate(listed) if text.casefold() == said.casefold()]
    named = [k for k, text in enumerate(listed) if choice(said, [f"{LETTERS[k]}) {text}"]) == 1.0]
    letters = [k for k in named if k not in same]
    index = [int(said)] if said.isdecimal() and int(said) < len(listed) else []
    meant = {"letter": letters, "text": same, "index": index}
    if options.answer_form == "any":
        found = sorted({k for each in meant.values() for k in each})
        hint = "say which of them it is with answer_form" if len(found) > 1 else "correct it"
    else:
        found = meant[options.answer_form]
        hint = "correct it, or choose another answer_form"
    if len(found) != 1:
        raise row.error(
            f"{options.answer}: expected the letter, the text or the number (from 0) of one of "
            f"{len(listed)} options, got {value!r:.60}, which "
            f"{f'could be {len(found)} of them' if found else 'is none'}; {hint}"
        )
    return found[0]


KIND = TaskKind(
    "multiple_choice",
    MultipleChoiceOptions,
    build,
    "questions with options, from your own files",
)
