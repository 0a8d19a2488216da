"""Questions with a right answer: the model answers and says how sure it is.

Reference: the form of answer and confidence follows RLCR (arXiv:2507.16806).
"""

from __future__ import annotations

from typing import Literal

from levelhead.tasks._base import Prompt, Task, TaskKind, user_message
from levelhead.tasks._parts import FileOptions, prompts_from
from levelhead.tasks._rows import Row, texts
from levelhead.tasks._verify import Verifier, single_number

__all__ = ["INSTRUCTION", "KIND", "QAOptions", "build"]

INSTRUCTION = (
    "Think it through, then give your final answer in <answer></answer> tags, and after it how "
    "likely it is to be right, as a number from 0 to 1, in <confidence></confidence> tags."
)
"""What follows the question: it asks for an answer and a confidence."""


class QAOptions(FileOptions):
    """Options of a task of questions and right answers."""

    kind: Literal["qa"] = "qa"
    """Which kind of task this is."""
    question: str = "question"
    """The column of questions."""
    answer: str = "answer"
    """The column of right answers, each a text, a number, or a list of which one is enough."""
    verifier: Literal["exact", "number", "math", "choice"] = "exact"
    """How answers are compared: as texts, as numbers, as mathematics, or as options."""
    instruction: str = INSTRUCTION
    """What follows the question."""


def build(options: QAOptions) -> Task:
    """The task.

    Args:
        options: the files, their columns and the verifier.

    Returns:
        An answer task.

    Raises:
        RecordError: a file cannot be read, a column is missing, a row has no question or no right
            answer, or one that is no number for the verifier `number`.

    Reference: RLCR (arXiv:2507.16806).
    """

    def make(row: Row, name: str) -> Prompt:
        question = row.values[options.question]
        if not isinstance(question, str) or not question.strip():
            raise row.error(
                f"{options.question}: expected a question, got {question!r:.60}; remove the row"
            )
        targets = texts(row.values[options.answer], options.answer, row)
        if options.verifier == "number":
            for target in targets:
                if single_number(target) is None:
                    raise row.error(
                        f"{options.answer}: expected one number, got {target[:60]!r}; choose "
                        "another verifier"
                    )
        said = user_message(f"{question.strip()}\n\n{options.instruction}")
        return Prompt(name, said, None, targets, {key: row.values[key] for key in options.columns})

    train, evaluation = prompts_from(options, [options.question, options.answer], make, merge=True)
    return Task(
        name=options.path.stem,
        kind="answer",
        elicitation="answer_confidence_tags",
        train=train,
        evaluation=evaluation,
        verify=Verifier(options.verifier),
    )


KIND = TaskKind("qa", QAOptions, build, "questions with a right answer, from your own files")
