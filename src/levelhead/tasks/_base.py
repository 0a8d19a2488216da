"""What every task is made of: prompts, how answers are read, and how they are judged."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from levelhead.elicitation import TABLE as ELICITATIONS
from levelhead.elicitation import Elicited
from levelhead.errors import InvalidInputError, unknown_name

__all__ = [
    "PERCENTAGES",
    "PERCENTAGE_VALUES",
    "Message",
    "Options",
    "Prompt",
    "Split",
    "Task",
    "TaskKind",
    "event_task",
    "shuffled",
    "split",
    "user_message",
]

Message = dict[str, str]
"""One turn of a conversation: `role` (system, user, assistant) and `content`."""

Verify = Callable[[str, "Prompt"], float | None]
"""(answer, prompt) -> 1.0, 0.0, or None where nobody can say."""

PERCENTAGES = tuple(str(k) for k in range(1, 100))
"""What may stand in the answer tag of an event: whole percentages from 1 to 99."""

PERCENTAGE_VALUES = tuple(k / 100 for k in range(1, 100))
"""The probabilities that they state."""

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a model, and what is known of its answer.

    Attributes:
        prompt_id: its name; prompts of one name are one prompt.
        messages: the conversation so far, each a dict with `role` and `content`.
        outcome: whether the event happened, 1.0 or 0.0; None for a question.
        targets: the right answers to a question, of which one is enough; empty for an event.
        columns: whatever else is known of it, to slice an evaluation by.
    """

    prompt_id: str
    messages: tuple[Message, ...]
    outcome: float | None = None
    targets: tuple[str, ...] = ()
    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])


@dataclasses.dataclass(frozen=True)
class Task:
    """Prompts to train on and to evaluate on, and how what a model says is read and judged.

    Attributes:
        name: what a report calls it.
        kind: `event` (a probability is asked for) or `answer` (an answer and a confidence are).
        elicitation: name of a format in `levelhead.elicitation.TABLE`.
        train: prompts to train on, at least one.
        evaluation: prompts that are never trained on, in no order, so that the first of them are a
            sample; may be empty.
        verify: (answer, prompt) -> 1.0, 0.0, or None where it cannot be judged; None for events.
        answers: (K,) every text that may stand between `opening` and `closing`, where they can be
            listed; empty where the answer is free.
        values: (K,) the probability in [0, 1] that each of `answers` states; empty likewise.
        opening: what precedes an answer.
        closing: what follows it.
        default_reward: the name of the reward that suits the task.

    Raises:
        InvalidInputError: an unknown elicitation format, no prompts, a prompt without a message,
            outcome or target, an answer task without `verify`, or lengths that differ.
    """

    name: str
    kind: Literal["event", "answer"]
    elicitation: str
    train: Sequence[Prompt]
    evaluation: Sequence[Prompt] = ()
    verify: Verify | None = None
    answers: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    opening: str = "<answer>"
    closing: str = "</answer>"
    default_reward: str = ""

    def __post_init__(self) -> None:
        if not self.default_reward:
            reward = "log" if self.kind == "event" else "rlcr"
            object.__setattr__(self, "default_reward", reward)
        if self.elicitation not in ELICITATIONS:
            raise unknown_name("elicitation", self.elicitation, ELICITATIONS)
        if len(self.answers) != len(self.values):
            raise InvalidInputError(
                f"values: expected one probability for each of the {len(self.answers)} answers, "
                f"got {len(self.values)}"
            )
        if self.kind == "answer" and self.verify is None:
            raise InvalidInputError(
                f"verify: task {self.name!r} asks for answers, expected a function that judges "
                "them, got None"
            )
        if not self.train:
            raise InvalidInputError(f"train: task {self.name!r} expected prompts, got none")
        for part in (self.train, self.evaluation):
            for prompt in part:
                self._check(prompt)

    def elicit(self, text: str) -> Elicited:
        """What a model's text says, read in the format that the task asks for.

        Args:
            text: a completion, without the prompt.

        Returns:
            Its answer, its confidence, and the status where there is none.
        """
        return ELICITATIONS[self.elicitation].parse(text)

    def correct(self, elicited: Elicited, prompt: Prompt) -> float | None:
        """What became of a prompt: whether the answer is right, or whether the event happened.

        Args:
            elicited: what the model said.
            prompt: what it was asked.

        Returns:
            For a question 1.0, 0.0 (no answer is wrong), or None where nobody can say; for an event
            its outcome, whatever was said.
        """
        if self.verify is None:
            return prompt.outcome
        if elicited.answer is None:
            return 0.0
        return self.verify(elicited.answer, prompt)

    def _check(self, prompt: Prompt) -> None:
        name = f"prompt {prompt.prompt_id!r}"
        if not any(message.get("content", "").strip() for message in prompt.messages):
            raise InvalidInputError(f"{name}: expected a message with text, got none")
        if self.kind == "event" and prompt.outcome not in (0.0, 1.0):
            raise InvalidInputError(f"{name}: expected an outcome of 0 or 1, got {prompt.outcome}")
        if self.kind == "answer" and not prompt.targets:
            raise InvalidInputError(f"{name}: expected at least one right answer, got none")


class Options(BaseModel):
    """What the options of every task share: nothing unknown passes, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


@dataclasses.dataclass(frozen=True)
class TaskKind:
    """One kind of task.

    Attributes:
        name: what `kind` says in a recipe.
        options: its options, a pydantic model with a field `kind`.
        build: options -> the task.
        description: one line.
    """

    name: str
    options: type[Options]
    build: Callable[[Any], Task]
    description: str


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows to train on and rows to evaluate on.

    Attributes:
        train: indices in the order of the data.
        evaluation: likewise; no index is in both.
    """

    train: tuple[int, ...]
    evaluation: tuple[int, ...]


def shuffled(
    items: Iterable[Item], seed: int, *, key: Callable[[Item], object] = str
) -> list[Item]:
    """The items in an order that follows from the seed and their texts alone.

    Sorted by SHA-256 of `seed:text`, so that it is the same on every machine and with every version
    of every library, and an item keeps its rank among the others when more are added.

    Args:
        items: any; equal texts keep their order.
        seed: any whole number.
        key: item -> its text.

    Returns:
        The same items.

    Example:
        >>> sorted(shuffled("abc", 1)), shuffled("abc", 1) == shuffled("bca", 1)
        (['a', 'b', 'c'], True)
    """
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{key(item)}".encode()).digest())


def split(units: Sequence[str], n_evaluation: int, seed: int) -> Split:
    """Rows to train on and to evaluate on, so that rows of one unit are never parted.

    Units are shuffled and held out one by one until at least `n_evaluation` rows are.

    Args:
        units: (N,) which unit each row belongs to.
        n_evaluation: rows to hold out, in [0, N).
        seed: of the shuffle.

    Returns:
        The two parts; the evaluation part exceeds `n_evaluation` by less than one unit.

    Raises:
        InvalidInputError: nothing would be left to train on.

    Example:
        >>> split(["a", "a", "b", "c"], 1, seed=0)
        Split(train=(2, 3), evaluation=(0, 1))
    """
    sizes: dict[str, int] = {}
    for unit in units:
        sizes[unit] = sizes.get(unit, 0) + 1
    held: set[str] = set()
    rows = 0
    for unit in shuffled(list(sizes), seed):
        if rows >= n_evaluation:
            break
        held.add(unit)
        rows += sizes[unit]
    if rows == len(units):
        raise InvalidInputError(
            f"evaluation: expected fewer rows than the {len(units)} that there are (in "
            f"{len(sizes)} units that stay together), got {n_evaluation}; lower it"
        )
    return Split(
        tuple(i for i, unit in enumerate(units) if unit not in held),
        tuple(i for i, unit in enumerate(units) if unit in held),
    )


def user_message(text: str) -> tuple[Message, ...]:
    """A conversation of one message by the user.

    Args:
        text: what the user says.

    Returns:
        One message.

    Example:
        >>> user_message("Hello")
        ({'role': 'user', 'content': 'Hello'},)
    """
    return ({"role": "user", "content": text},)


def event_task(name: str, train: Sequence[Prompt], evaluation: Sequence[Prompt]) -> Task:
    """A task that asks for a percentage from 1 to 99 in answer tags.

    Args:
        name: what a report calls it.
        train: prompts to train on.
        evaluation: prompts to evaluate on.

    Returns:
        The task, with the log score as its reward.
    """
    return Task(
        name=name,
        kind="event",
        elicitation="percent_tag",
        train=tuple(train),
        evaluation=tuple(evaluation),
        answers=PERCENTAGES,
        values=PERCENTAGE_VALUES,
    )
