"""Tasks: where prompts come from, and how what a model says to them is judged.

A kind of task is one file in this folder that ends with `KIND = TaskKind(...)`, and one line in
`TABLE` here.

    >>> task = make_task(OracleOptions(train=4, evaluation=2))
    >>> task.kind, len(task.train), task.answers[:3]
    ('event', 4, ('1', '2', '3'))
    >>> said = task.elicit("It looks wet. <answer>70</answer>")
    >>> said.confidence
    0.7
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from levelhead.errors import ConfigError, unknown_name
from levelhead.tasks._base import (
    PERCENTAGE_VALUES,
    PERCENTAGES,
    Message,
    Options,
    Prompt,
    Task,
    TaskKind,
)
from levelhead.tasks.arithmetic import KIND as ARITHMETIC
from levelhead.tasks.arithmetic import ArithmeticOptions
from levelhead.tasks.crispr import KIND as CRISPR
from levelhead.tasks.crispr import CrisprOptions
from levelhead.tasks.multiple_choice import KIND as MULTIPLE_CHOICE
from levelhead.tasks.multiple_choice import MultipleChoiceOptions
from levelhead.tasks.oracle import KIND as ORACLE
from levelhead.tasks.oracle import OracleOptions
from levelhead.tasks.probability import KIND as PROBABILITY
from levelhead.tasks.probability import ProbabilityOptions
from levelhead.tasks.qa import KIND as QA
from levelhead.tasks.qa import QAOptions
from levelhead.tasks.survey import KIND as SURVEY
from levelhead.tasks.survey import SurveyOptions

__all__ = [
    "PERCENTAGES",
    "PERCENTAGE_VALUES",
    "TABLE",
    "ArithmeticOptions",
    "CrisprOptions",
    "MultipleChoiceOptions",
    "OracleOptions",
    "ProbabilityOptions",
    "QAOptions",
    "SurveyOptions",
    "Message",
    "Prompt",
    "Task",
    "TaskKind",
    "TaskOptions",
    "make_task",
]

TABLE: dict[str, TaskKind] = {
    kind.name: kind
    for kind in (SURVEY, PROBABILITY, CRISPR, QA, MULTIPLE_CHOICE, ARITHMETIC, ORACLE)
}
"""The kinds of task by name."""

TaskOptions = Annotated[
    SurveyOptions
    | ProbabilityOptions
    | CrisprOptions
    | QAOptions
    | MultipleChoiceOptions
    | ArithmeticOptions
    | OracleOptions,
    Field(discriminator="kind"),
]
"""The options of any task, for pydantic: `kind` says which."""


def make_task(options: Options | Mapping[str, Any]) -> Task:
    """The task that the options describe.

    Args:
        options: the options of one of the kinds in `TABLE`, or a mapping with a key `kind`.

    Returns:
        The task.

    Raises:
        ConfigError: the mapping has no such kind, or its options are wrong; every problem at once.
        InvalidInputError: the options are those of no kind.
        RecordError: a file that it names cannot be read.
    """
    if not isinstance(options, Options):
        options = _checked(options)
    kinds = {kind.options: kind for kind in TABLE.values()}
    if type(options) not in kinds:
        raise unknown_name("task", type(options).__name__, [kind.__name__ for kind in kinds])
    return kinds[type(options)].build(options)


def _checked(options: Mapping[str, Any]) -> Options:
    name = options.get("kind")
    if name not in TABLE:
        raise ConfigError(str(unknown_name("task.kind", str(name), TABLE)))
    adapter: TypeAdapter[Options] = TypeAdapter(TABLE[name].options)
    try:
        return adapter.validate_python(dict(options))
    except ValidationError as error:
        problems = [
            f"task.{'.'.join(map(str, one['loc']))}: {one['msg']}, got {one['input']!r}"
            for one in error.errors()
        ]
        raise ConfigError("; ".join(problems)) from error
