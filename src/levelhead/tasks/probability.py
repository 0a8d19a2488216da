"""Your own prediction task: prompts and outcomes from Parquet, JSON Lines, CSV or Arrow files."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from levelhead.tasks._base import Message, Prompt, Task, TaskKind, event_task, user_message
from levelhead.tasks._parts import FileOptions, prompts_from
from levelhead.tasks._rows import Row, check_slots, filled, is_event, messages

__all__ = ["KIND", "ProbabilityOptions", "build"]


class ProbabilityOptions(FileOptions):
    """Options of a prediction task from files."""

    kind: Literal["probability"] = "probability"
    """Which kind of task this is."""
    prompt: str | None = None
    """The prompt with a {column} slot for everything that a row tells; {{ and }} are braces."""
    messages: str | None = None
    """Instead of `prompt`: the column that holds the prompt as a text or as chat messages."""
    outcome: str = "outcome"
    """The column that says what happened, 0 or 1; a.b is the field b of the column a."""

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt (a template) or messages (a column)")
        return self


def build(options: ProbabilityOptions) -> Task:
    """The task.

    Args:
        options: the files and their columns.

    Returns:
        An event task.

    Raises:
        RecordError: a file cannot be read, a column is missing, a row has no outcome or no prompt,
            or an id names two different prompts.

    Edge cases: several prompts may share one outcome; `split_by` keeps them on one side.
    """
    template, column = options.prompt, options.messages
    names = [options.outcome]
    if column is not None:
        names.append(column)
    if template is not None:
        names += check_slots(template, options.path)

    def make(row: Row, name: str) -> Prompt:
        said = _said(template, column, row)
        outcome = is_event(row.values[options.outcome], options.outcome, row)
        return Prompt(name, said, outcome, (), {key: row.values[key] for key in options.columns})

    train, evaluation = prompts_from(options, names, make)
    return event_task(options.path.stem, train, evaluation)


def _said(template: str | None, column: str | None, row: Row) -> tuple[Message, ...]:
    if column is not None:
        return messages(row.values[column], column, row)
    text = filled(template or "", row)
    if not text.strip():
        raise row.error("prompt: expected a text, got an empty one; write what is asked")
    return user_message(text)


KIND = TaskKind(
    "probability",
    ProbabilityOptions,
    build,
    "P(an event) from your own files: a prompt template and a column of outcomes",
)
