"""Which columns of lists make a row several samples, and which are lists that one record has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa

from levelhead.readers._base import EVERYTHING, ReadOptions
from levelhead.readers._roles import (
    ANSWER,
    ANSWERS,
    CLEAR,
    CONFIDENCE,
    CONFIDENCES,
    CORRECT,
    GOLD,
    LOGITS,
    MODEL,
    OUTCOME,
    PROBS,
    PROMPT,
    PROMPT_ID,
    ROW_ID,
    STATUS,
    TARGET,
    TEXT,
    TEXTS,
    WEIGHT,
    is_scalar,
    plain_names,
)
from levelhead.readers._values import is_list, is_number, is_text

__all__ = ["Named", "holds_samples", "is_value"]

VAGUE = "text"
"""A name that a question may have as well as an answer: alone it says nothing."""

DOUBTFUL = "answer"
"""A name that the right answer may have as well as the given one."""

VAGUE_TRUTHS = ("y", "event")
"""Names of a truth that other lists have too, such as the classes of one record."""

FURTHER = frozenset({
    *PROMPT_ID, *ROW_ID, *PROMPT, *WEIGHT, *MODEL, *STATUS, *PROBS, *LOGITS, *TARGET, *ANSWER,
})  # fmt: skip
"""Further columns that are read without being asked for."""


def is_value(kind: pa.DataType) -> bool:
    """Whether a column holds numbers, words, or true and false."""
    return is_number(kind) or is_text(kind) or pa.types.is_boolean(kind)


def holds_samples(kind: pa.DataType, element: Callable[[pa.DataType], bool] = is_value) -> bool:
    """Whether a column holds lists of samples.

    Args:
        kind: its type.
        element: whether a type can be that of one sample.

    Returns:
        True for lists of such values, or of nothing; False for a chat, which is a list of messages.
    """
    if not is_list(kind) or _is_chat(kind):
        return False
    return element(kind.value_type) or pa.types.is_null(kind.value_type)


@dataclasses.dataclass(frozen=True)
class Named:
    """The columns that could play each part.

    Attributes:
        schema: of the table.
        truths: what was right, or what happened.
        texts: raw output.
        own: texts that are asked for besides.
        answers: given answers.
        doubtful: answers that may be the right ones.
        confidences: stated confidences.
        gold: right answers.
        one: whether a row has a truth and a confidence of its own, so that its lists are no samples.
    """

    schema: Mapping[str, pa.DataType]
    truths: tuple[str, ...]
    texts: tuple[str, ...]
    own: tuple[str, ...]
    answers: tuple[str, ...]
    doubtful: tuple[str, ...]
    confidences: tuple[str, ...]
    gold: tuple[str, ...]
    one: bool = False

    @classmethod
    def of(
        cls,
        schema: Mapping[str, pa.DataType],
        options: ReadOptions,
        texts: Sequence[str],
        *,
        labelled: bool,
    ) -> Named:
        plain = plain_names(schema)

        def there(asked: str | None, *names: str) -> tuple[str, ...]:
            if asked is not None:
                return (asked,) if asked in schema else ()
            return tuple(dict.fromkeys(plain[name] for name in names if name in plain))

        named = options.correct or options.outcome
        none = not labelled or (named is None and options.gold is not None)
        usual = there(options.text, *TEXT, *TEXTS)
        truths = there(named, *CORRECT, *OUTCOME)
        if named is None:
            known = {column: name for name, column in plain.items()}
            truths = tuple(
                n for n in truths if holds_samples(schema[n]) or is_scalar(known[n], schema[n])
            )
        if named is None and len(truths) > 1:
            truths = tuple(name for name in truths if name not in VAGUE_TRUTHS)
        gold = there(options.gold, *GOLD)
        answers = there(options.answer, *ANSWER, *ANSWERS)
        found = cls(
            schema,
            truths=() if none else truths,
            texts=usual,
            own=tuple(name for name in texts if name in schema and name not in usual),
            answers=tuple(n for n in answers if n == options.answer or n not in gold),
            doubtful=there(None, DOUBTFUL) if options.answer is None else (),
            confidences=there(options.confidence, *CONFIDENCE, *CONFIDENCES),
            gold=gold,
        )
        return dataclasses.replace(found, one=labelled and found.says_all(options))

    def says_all(self, options: ReadOptions) -> bool:
        """Whether single values say what was right and how sure the model was."""
        parsed = options.text or options.elicitation or options.pattern
        plain, several = plain_names(self.schema), self.many(self.truths, is_value)
        if several and (options.correct or options.outcome):
            return False
        if not parsed and self.holds_classes(options):
            return True
        if any(plain.get(name) in several for name in CLEAR):
            return False
        texts = [n for n in self.single(self.texts) if n == options.text or n != plain.get(VAGUE)]
        told = self.single(self.truths) or options.labels or options.unlabelled
        told = told or (self.gold and (self.single(self.answers) or texts))
        return bool(told and (texts or (not parsed and self.single(self.confidences))))

    def holds_classes(self, options: ReadOptions) -> bool:
        """Whether a row has the probabilities of classes and the index of the right one."""
        plain = plain_names(self.schema)

        def kinds(*names: str) -> list[tuple[str, pa.DataType]]:
            return [(name, self.schema[plain[name]]) for name in names if name in plain]

        if options.confidence or any(is_scalar(*one) for one in kinds(*CONFIDENCE)):
            return False
        lists = [kind for _, kind in kinds(*PROBS, *LOGITS) if is_list(kind)]
        if not any(is_number(kind.value_type) for kind in lists):
            return False
        if options.gold is not None:
            return options.gold in self.schema and is_number(self.schema[options.gold])
        return any(
            is_number(kind) or (is_text(kind) and n not in GOLD) for n, kind in kinds(*TARGET)
        )

    def many(self, names: Iterable[str], element: Callable[[pa.DataType], bool]) -> tuple[str, ...]:
        """Those that hold lists of samples."""
        return tuple(name for name in names if holds_samples(self.schema[name], element))

    def single(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those that hold single values."""
        return tuple(
            name
            for name in names
            if not is_list(self.schema[name]) and not pa.types.is_null(self.schema[name])
        )

    def lists(self) -> tuple[str, ...]:
        """The columns of lists that make a row several samples; none where it is one record."""
        if self.one:
            return ()
        truths = self.many(self.truths, is_value)
        texts = self.many((*self.texts, *self.own), _is_said)
        answers = self.many(self.answers, is_value)
        if not truths and not texts and not (answers and self.gold and not self.truths):
            return ()
        if truths or texts:  # beside them it may be the several right answers to one question
            answers = tuple(name for name in answers if name not in self.doubtful)
        return (*truths, *texts, *answers, *self.many(self.confidences, is_value))

    def lone(self, options: ReadOptions) -> tuple[str, ...]:
        """The columns of which one value cannot hold for several samples."""
        several = {*self.lists()}
        found = [] if several & {*self.truths} else list(self.single(self.truths))
        if options.answer is not None:
            found += self.single(self.answers)
        if not several & {*self.texts, *self.own, *self.answers}:
            vague = options.text is None
            found += [n for n in self.single(self.texts) if not (vague and n == VAGUE)]
        return tuple(found)

    def foreign(self, options: ReadOptions) -> tuple[str, ...]:
        """What cannot be of one sample, whatever its name says: a mean, a question, a right answer."""
        asked = {
            *(options.answer, options.gold, options.text, options.prompt_id, options.weight),
            *(options.model, options.confidence, *options.by, *dict(options.asked)),
        }
        found = [*self.single(self.answers), *self.doubtful]
        for names in (self.truths, self.texts):
            if {*self.lists()} & {*names}:
                found += self.single(names)
        return tuple(name for name in found if name not in asked)

    def several_right(self) -> tuple[str, ...]:
        """Lists of right answers, where answers are compared with them."""
        return () if self.truths else tuple(n for n in self.gold if is_list(self.schema[n]))[:1]

    def other(self, options: ReadOptions) -> tuple[str, ...]:
        """Further columns of lists that may be samples; several right answers are not."""
        never = {*self.gold, options.gold}
        plain = plain_names(self.schema)
        used = {
            *(column for name, column in plain.items() if name in FURTHER),
            *(options.prompt_id, options.weight, options.model),
            *(*options.by, *options.evidence, *dict(options.asked)),
        }
        return tuple(
            name
            for name, kind in self.schema.items()
            if is_list(kind) and not _is_chat(kind) and name not in never
            if name in used or EVERYTHING in used
        )


def _is_chat(kind: pa.DataType) -> bool:
    """Whether each row is one chat: a list of messages."""
    if not is_list(kind) or not pa.types.is_struct(kind.value_type):
        return False
    names = {field.name for field in kind.value_type}
    return "role" in names or "content" in names


def _is_said(kind: pa.DataType) -> bool:
    return is_text(kind) or _is_chat(kind)
