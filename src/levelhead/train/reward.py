"""From what the model wrote to what it earns, with everything that went wrong counted and named.

Reading a text never fails: what does not say what it should gets a status, and the floor as its
reward. What nobody can score (an unknown outcome, an answer that the verifier cannot judge) is NaN,
which every estimator leaves out.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from levelhead import rewards as reward_rules
from levelhead._arrays import BoolArray, FloatArray
from levelhead._registry import load_callable
from levelhead._text import plural
from levelhead.elicitation import TABLE as FORMATS
from levelhead.elicitation import Elicited
from levelhead.errors import ConfigError, DataWarning, InvalidInputError, unknown_name
from levelhead.tasks import Prompt, Task
from levelhead.train._blame import Blamed

__all__ = ["Judged", "Reading", "Rewarder", "read_texts"]

ANSWER_RULES = ("correctness", "rlcr")
"""What only an answer can earn: an event has nothing that the model could get right."""

CLIPPED = ("log", "trust")
"""Rules that are unbounded without a clip."""

SAMPLE = 160
"""Characters of a completion that a message quotes."""

Function = Callable[[Sequence[Prompt], Sequence[str], Sequence[Elicited]], Any]


@dataclasses.dataclass(frozen=True)
class Reading:
    """What N completions say, and what is true.

    Attributes:
        elicited: (N,) what each text says.
        confidence: (N,) stated probability in [0, 1]; NaN where the status is not `ok`.
        correct: (N,) 1 or 0: whether the answer is right, or the outcome of the event; NaN where
            nobody can tell.
        status: (N,) one of `records.STATUSES` each.
        formed: (N,) True where the format was kept: a usable confidence and, for answer tasks, an
            answer.
    """

    elicited: tuple[Elicited, ...]
    confidence: FloatArray
    correct: FloatArray
    status: list[str]
    formed: BoolArray


@dataclasses.dataclass(frozen=True)
class Judged:
    """What N completions earned.

    Attributes:
        rewards: (N,) float64, higher is better; NaN where it could not be scored.
        confidence: (N,) stated probability in [0, 1]; NaN where there is none.
        correct: (N,) 1 or 0: correctness, or the outcome of an event; NaN where unknown.
        status: (N,) one of `records.STATUSES` each.
        statistics: means and shares over the N completions by name; NaN where there are none.
            `reward`, `confidence`, `correct` are means over those that have one; `format_rate`,
            `malformed` and `unscorable` are shares of all.
        reading: everything that was read, texts' answers included.
    """

    rewards: FloatArray
    confidence: FloatArray
    correct: FloatArray
    status: list[str]
    statistics: dict[str, float]
    reading: Reading


def read_texts(task: Task, prompts: Sequence[Prompt], texts: Sequence[str]) -> Reading:
    """What completions say by the task's format, and whether it is true.

    Args:
        task: names the format and judges answers.
        prompts: (N,) the prompt of each text.
        texts: (N,) completions without their prompts.

    Returns:
        A `Reading` of N.

    Raises:
        InvalidInputError: the lengths differ.

    Edge cases: without an answer an answer task's text is wrong, whatever its confidence.
    """
    if len(prompts) != len(texts):
        raise InvalidInputError(
            f"texts: expected {len(prompts)} completions, one for each prompt, got {len(texts)}"
        )
    elicited = tuple(task.elicit(text) for text in texts)
    event = task.kind == "event"
    truths = [
        p.outcome if event else task.correct(e, p) for p, e in zip(prompts, elicited, strict=True)
    ]
    confidence = np.array([_or_nan(e.confidence) for e in elicited], dtype=np.float64)
    answered = np.array([event or bool(e.answer) for e in elicited], dtype=np.bool_)
    return Reading(
        elicited=elicited,
        confidence=confidence,
        correct=np.array([_or_nan(truth) for truth in truths], dtype=np.float64),
        status=[e.status for e in elicited],
        formed=~np.isnan(confidence) & answered,
    )


class Rewarder:
    """Turns completions into rewards by a rule, with a floor for those that break the format.

    Events: r(q, outcome) for a rule of `rewards.TABLE`. Answers: the same rule of the confidence in
    one's own answer, r(q, correct); `rlcr` is correct + weight S(q, correct) with the Brier score S;
    `correctness` is correctness alone, whatever the confidence.

    Args:
        rule: a name in `rewards.TABLE`, `correctness`, or `module:function` (or `file.py:function`)
            that is called as `(prompts, texts, elicited)` and returns one number for each; None or
            NaN where it cannot score one.
        task: the format and the truth.
        weight: finite, >= 0, what a unit of the score counts against a right answer in `rlcr`; at
            most `rewards.max_calibration_weight`. No other rule has one.
        eta: in (0, 0.5), where predictions are clipped to [eta, 1 - eta] by `log`, and to 1 - eta by
            `trust`; no other rule uses it.
        floor: what malformed output earns, at most the least that a well-formed one can; None is
            that least. With a function of one's own None leaves malformed output to the function.

    Attributes:
        name: the rule as it was given.
        floor: what malformed output earns; NaN where a function decides it.
        low: the least that well-formed output can earn; NaN where a function decides it.

    Raises:
        InvalidInputError: an unknown rule, one that does not suit the task, or a number outside its
            range.

    Edge cases: RLCR's published reward (0.5 each for format, correctness and 1 - (y - q)^2, nothing for
        a broken format) is 1 + r / 2 of `rlcr`, and its broken format is worth -2 in that unit: it is
        `floor=-2`. A batch in which nothing can be read is warned about once, and earns the floor.
    Reference: arXiv:2508.11800 (log); arXiv:2507.16806 (rlcr).
    """

    def __init__(
        self,
        rule: str,
        *,
        task: Task,
        weight: float = 1.0,
        eta: float = 0.01,
        floor: float | None = None,
    ) -> None:
        self.name, self.task = rule, task
        self._function: Function | None = None
        self._rule: Callable[[FloatArray, FloatArray], FloatArray] | None = None
        self._warned: set[str] = set()
        if floor is not None and not math.isfinite(floor):
            raise InvalidInputError(f"floor: expected a finite number or None, got {floor}")
        if ":" in rule:
            self._function = load_callable(rule)
            self.low = math.nan
            self.floor = math.nan if floor is None else float(floor)
            return
        self._rule = _rule(rule, task, weight, eta)
        extremes = self._rule(np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0]))
        self.low = float(extremes.min())
        # What is refused here would otherwise be refused in the first step, after the model has loaded.
        checked = reward_rules.with_format_floor([0.0], [False], lowest=self.low, floor=floor)
        self.floor = float(checked[0])

    def __call__(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> Judged:
        """The rewards of N completions.

        Args:
            prompts: (N,) the prompt of each text.
            texts: (N,) completions without their prompts.

        Returns:
            A `Judged` of N.

        Raises:
            InvalidInputError: the lengths differ.
            ConfigError: the user's own function raised, or returned something else than one finite
                number, NaN or None for each.
        """
        reading = read_texts(self.task, prompts, texts)
        readable = self._readable(reading)
        if self._function is not None:
            rewards = self._own(prompts, texts, reading)
            if not math.isnan(self.floor):
                rewards = np.where(readable | np.isnan(rewards), rewards, self.floor)
        else:
            rewards = self._ruled(reading, readable)
        self._complain(rewards, readable, texts)
        statistics = {
            "reward": _mean(rewards),
            "confidence": _mean(reading.confidence),
            "correct": _mean(reading.correct),
            "format_rate": _mean(reading.formed.astype(np.float64)),
            "malformed": _mean((~readable).astype(np.float64)),
            "unscorable": _mean(np.isnan(rewards).astype(np.float64)),
        }
        confidence, correct, status = reading.confidence, reading.correct, reading.status
        return Judged(rewards, confidence, correct, status, statistics, reading)

    def answer_rewards(self, prompts: Sequence[Prompt]) -> FloatArray:
        """What every possible answer would earn.

        R[i, k] = reward of the text `opening answer_k closing` for prompt i

        Args:
            prompts: (N,) prompts; equal ones are scored once.

        Returns:
            (N, K) float64, K the number of `task.answers`; NaN where it cannot be scored.

        Raises:
            InvalidInputError: the task has no list of answers.
            ConfigError: as for a call.
        """
        task = self.task
        if not task.answers:
            raise InvalidInputError(
                f"task {task.name}: expected a task with a list of answers, such as 1 to 99, got one "
                "whose answers are free; the exact gradient needs them, so choose another estimator"
            )
        distinct = {id(prompt): prompt for prompt in prompts}
        texts = [f"{task.opening}{answer}{task.closing}" for answer in task.answers]
        rows: dict[int, FloatArray] = {}
        if self._rule is not None and task.kind == "event":
            readings = [task.elicit(text).confidence for text in texts]
            stated = np.array([_or_nan(c) for c in readings], dtype=np.float64)
            for key, prompt in distinct.items():
                rows[key] = self._of_event(stated, prompt.outcome)
        else:
            for key, prompt in distinct.items():
                repeated = [prompt] * len(texts)
                reading = read_texts(task, repeated, texts)
                if self._function is not None:
                    rows[key] = self._own(repeated, texts, reading)
                else:
                    rows[key] = self._ruled(reading, self._readable(reading))
        if not prompts:
            return np.empty((0, len(texts)))
        return np.stack([rows[id(prompt)] for prompt in prompts])

    def _of_event(self, stated: FloatArray, outcome: float | None) -> FloatArray:
        """(K,) rewards of these statements under one outcome."""
        truth = np.full(stated.size, _or_nan(outcome))
        return self._scored(stated, truth, ~np.isnan(stated))

    def _readable(self, reading: Reading) -> BoolArray:
        """What the rule can score: `correctness` needs no confidence."""
        if self.name == "correctness":
            return np.array([bool(e.answer) for e in reading.elicited], dtype=np.bool_)
        return reading.formed

    def _ruled(self, reading: Reading, readable: BoolArray) -> FloatArray:
        return self._scored(reading.confidence, reading.correct, readable)

    def _scored(self, stated: FloatArray, truth: FloatArray, readable: BoolArray) -> FloatArray:
        rule = self._rule
        if rule is None or not stated.size:
            return np.empty(0)
        scored = readable & ~np.isnan(truth)
        rewards = np.where(np.isnan(truth), np.nan, 0.0)
        if scored.any():
            # The confidence of an answer without one is not read by the only rule that takes it.
            rewards[scored] = rule(np.nan_to_num(stated[scored]), truth[scored])
        return reward_rules.with_format_floor(rewards, readable, lowest=self.low, floor=self.floor)

    def _own(self, prompts: Sequence[Prompt], texts: Sequence[str], reading: Reading) -> FloatArray:
        """What the user's function returns, checked."""
        function = self._function
        if function is None or not texts:
            return np.empty(0)
        with _blamed(self.name, texts):
            found = function(prompts, list(texts), reading.elicited)
        with _blamed(self.name, texts, "returned no sequence of numbers, which"):
            values = list(found)
        if len(values) != len(texts):
            raise ConfigError(
                f"reward {self.name}: expected {plural(len(texts), 'reward')}, one for each completion, "
                f"got {len(values)}; return None for a completion that it cannot score"
            )
        rewards = np.empty(len(values))
        for i, value in enumerate(values):
            with _blamed(self.name, texts[i : i + 1], f"returned no number at index {i}, which"):
                rewards[i] = math.nan if value is None else float(value)
            if math.isinf(rewards[i]):
                raise ConfigError(
                    f"reward {self.name}: expected a finite number, or None for what cannot be "
                    f"scored, got {rewards[i]} at index {i} for the completion {_quoted(texts[i])}"
                )
        return rewards

    def _complain(self, rewards: FloatArray, readable: BoolArray, texts: Sequence[str]) -> None:
        """Say once where a whole batch teaches nothing about the task."""
        if not texts:
            return
        name = self.task.elicitation
        form = FORMATS[name].description if name in FORMATS else name
        if not readable.any():
            self._warn(
                "format",
                f"none of {plural(len(texts), 'completion')} states an answer in the format of the "
                f"task ({form}), so that all earn the same; the first one is {_quoted(texts[0])}; let "
                "the prompt ask for the format, raise rollout.max_new_tokens where texts are cut off, "
                "or start from a model that keeps it",
            )
        if np.isnan(rewards).all():
            self._warn(
                "unscorable",
                f"reward {self.name}: none of {plural(len(texts), 'completion')} could be scored, so "
                "that there is nothing to learn from them; check the outcomes or targets of the data, "
                "and the verifier",
            )

    def _warn(self, kind: str, sentence: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(sentence, DataWarning, stacklevel=4)


def _rule(
    name: str, task: Task, weight: float, eta: float
) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """The rule of a name as `(confidence, correct) -> rewards`, every option checked."""
    table = reward_rules.TABLE
    if name not in table and name not in ANSWER_RULES:
        raise unknown_name("reward", name, [*table, *ANSWER_RULES])
    if task.kind == "event" and name in ANSWER_RULES:
        proper = ", ".join(sorted(set(table) - set(ANSWER_RULES)))
        raise InvalidInputError(
            f"reward: expected one of {proper} for task {task.name}, whose prompts ask for the "
            f"probability of an event, got {name!r}, which scores answers"
        )
    if name in CLIPPED and not 0.0 < eta < 0.5:
        raise InvalidInputError(
            f"eta: expected a number in (0, 0.5), got {eta}; without a clip a single certain mistake "
            "would be infinitely bad"
        )
    if name != "rlcr" and weight != 1.0:
        raise InvalidInputError(
            f"weight: expected 1 with the reward {name!r}, got {weight:g}; only rlcr weighs a score "
            "against correctness"
        )
    if name == "correctness":
        return lambda confidence, correct: correct
    function = table[name].function
    options = {"log": {"eta": eta}, "trust": {"eps": eta}, "rlcr": {"weight": weight}}.get(name, {})

    def rule(confidence: FloatArray, correct: FloatArray) -> FloatArray:
        return function(confidence, correct, **options)

    return rule


def _blamed(name: str, texts: Sequence[str], what: str = "") -> Blamed:
    """Around a call of the user's function."""
    first = _quoted(texts[0])
    return Blamed(
        f"reward {name}",
        what=f"the function {what} raised" if what else "the function raised",
        given=plural(len(texts), "completion")
        + (f", the first one {first}" if len(texts) > 1 else f": {first}"),
        advice="return None for a completion that it cannot score",
    )


def _quoted(text: str) -> str:
    """The end of a text, where the answer is, in quotation marks."""
    return repr(text if len(text) <= SAMPLE else "..." + text[-SAMPLE:])


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
