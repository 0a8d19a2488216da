"""Which column is what: the user's names first, then the names that people use, said aloud."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping

import pyarrow as pa

from levelhead.errors import RecordError
from levelhead.readers._base import ReadLog, ReadOptions
from levelhead.readers._files import one_line, show
from levelhead.readers._remote import AnyPath
from levelhead.readers._values import is_list, is_number, is_text
from levelhead.records import Kind

__all__ = [
    "ANSWER",
    "ANSWERS",
    "CLEAR",
    "CONFIDENCE",
    "CONFIDENCES",
    "CORRECT",
    "GOLD",
    "LOGITS",
    "MODEL",
    "OUTCOME",
    "PROBS",
    "PROMPT",
    "PROMPT_ID",
    "ROW_ID",
    "STATUS",
    "TARGET",
    "TEXT",
    "TEXTS",
    "WEIGHT",
    "Roles",
    "is_scalar",
    "missing_column",
    "plain_names",
    "roles",
]

CONFIDENCE = (
    "confidence", "conf", "stated_confidence", "verbalized_confidence", "verbalised_confidence",
    "confidence_score", "probability", "prob", "proba", "p", "p_hat", "p_true", "p_yes", "prob_yes",
    "pred_prob", "predicted_prob", "predicted_probability", "y_prob", "prediction", "forecast",
)  # fmt: skip
"""Names of a stated probability. `hit_prob` and its like are truths, not statements."""

CORRECT = (
    "correct", "is_correct", "correctness", "acc", "accuracy", "is_right", "exact_match",
)  # fmt: skip
OUTCOME = ("outcome", "event", "occurred", "happened", "resolution", "resolved_to", "y")
AMBIGUOUS = ("label", "labels", "target", "y_true", "truth", "reward", "score")
PROMPT_ID = (
    "prompt_id", "question_id", "problem_id", "doc_id", "example_id", "item_id", "instance_id",
    "task_id", "qid", "custom_id",
)  # fmt: skip
ROW_ID = ("id", "uid", "unique_id")
PROMPT = ("prompt", "question", "problem", "input")
WEIGHT = ("weight", "weights", "sample_weight")
MODEL = ("model", "model_name", "model_id")
TEXT = (
    "completion", "response", "output", "generation", "generated_text", "model_output",
    "output_text", "raw_output", "text",
)  # fmt: skip
TEXTS = (
    "completions", "responses", "outputs", "generations", "generated_texts", "model_outputs",
)  # fmt: skip
"""Names of a column of texts where none has a usual name: lists of samples are called so."""

ANSWER = ("answer", "model_answer", "predicted_answer", "pred", "extracted_answer")
ANSWERS = ("model_answers", "predicted_answers", "preds", "predictions", "extracted_answers")
CONFIDENCES = ("confidences", "stated_confidences", "confidence_scores")
GOLD = (
    "gold", "gold_answer", "correct_answer", "reference_answer", "expected_answer", "ground_truth",
    "reference", "expected",
)  # fmt: skip
PROBS = ("probs", "probabilities", "class_probs", "class_probabilities")
LOGITS = ("logits", "class_logits")
STATUS = ("status",)
TARGET = ("target", "label", "target_index", "labels", "y_true", "gold_index", "gold", "class")

CLEAR = frozenset({"confidence", "conf", "stated_confidence", "verbalized_confidence",
                        "verbalised_confidence", "confidence_score", "probability", "prob",
                        "correct", "is_correct", "correctness", "outcome", "acc"})  # fmt: skip
"""Names clear enough to be taken even where the column holds strings."""


@dataclasses.dataclass(frozen=True)
class Roles:
    """The column of each role, None where there is none.

    Attributes:
        kind: `answer` or `event`.
        confidence: numbers, or None where `probs` or `text` give the confidence.
        label: correctness or outcome.
        probs: lists of class probabilities or logits; `target` is then the index of the right
            class.
        logits: whether `probs` are logits.
        target: index of the right class.
        text: raw output that is to be parsed.
        answer: the given answer.
        gold: the right answer.
        prompt_id: which prompt.
        prompt: text of the prompt.
        weight: weights.
        model: whose row it is.
        status: what became of the confidence, in our words; another column of that name is not
            harmful, because its words are none of ours.
    """

    kind: Kind
    confidence: str | None = None
    label: str | None = None
    probs: str | None = None
    logits: bool = False
    target: str | None = None
    text: str | None = None
    answer: str | None = None
    gold: str | None = None
    prompt_id: str | None = None
    prompt: str | None = None
    weight: str | None = None
    model: str | None = None
    status: str | None = None


def roles(
    schema: Mapping[str, pa.DataType], options: ReadOptions, path: AnyPath, log: ReadLog
) -> Roles:
    """Find the columns.

    Args:
        schema: column names and their types.
        options: the user's names, which win.
        path: the file, for errors.
        log: takes what was found.

    Returns:
        The columns.

    Raises:
        RecordError: a column that the user names is not there, two columns could play one part, or
            there is no confidence or no truth.
    """
    find = _Finder(schema, path, log)
    if options.correct is not None and options.outcome is not None:
        raise find.error(
            "expected either --correct (confidences in an answer) or --outcome (chances of an "
            "event), got both; audit them separately"
        )
    probs, logits, target = _classes(find, options)
    confidence = text = None
    if probs is None:
        confidence, text = _source(find, options)
    kind, label = ("answer", None) if probs is not None else _truth(find, options)
    usual = [name for name in ANSWER if find.plain.get(name) != (options.gold or "")]
    accept = None
    if not find.candidates(usual):  # a list there is of several answers, of which none was graded
        usual, accept = ["", *ANSWERS], lambda kind: not is_list(kind)
    answer = find.one("answer", options.answer, usual, "--answer", accept=accept, strict=False)
    gold = None
    if probs is None and label is None:
        gold = find.one("right answer", options.gold, GOLD, "--gold")
        if options.unlabelled is None:
            _need_truth(find, options, gold, answer, text)
        elif kind == "event" or not (answer or text):
            gold = None  # nothing to compare it with
    return Roles(
        kind=kind,
        confidence=confidence,
        label=label,
        probs=probs,
        logits=logits,
        target=target,
        text=text,
        answer=answer,
        gold=gold,
        prompt_id=_prompt_id(find, options),
        prompt=find.one("prompt", None, PROMPT, "", strict=False, quiet=True),
        weight=find.one("weight", options.weight, WEIGHT, "--weight", accept=is_number),
        model=find.one(
            "model", options.model, MODEL, "--model-column", accept=is_text, strict=False
        ),
        status=find.one("status", None, STATUS, "", accept=is_text, quiet=True),
    )


def missing_column(name: str, role: str, names: Iterable[str], path: AnyPath) -> RecordError:
    """The error for a column that the user names and the file does not have."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "; name one of these"
    return RecordError(
        one_line(f"{role}: expected a column named {name!r}, the file has {_listed(names)}{hint}"),
        show(path),
    )


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Each name by how it is compared: without case, and with `_` for a space or a hyphen."""
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(name.strip().lower().replace(" ", "_").replace("-", "_"), name)
    return plain


class _Finder:
    def __init__(self, schema: Mapping[str, pa.DataType], path: AnyPath, log: ReadLog) -> None:
        self.schema, self.path, self.log = schema, path, log
        self.plain = plain_names(schema)

    def error(self, problem: str) -> RecordError:
        return RecordError(one_line(problem), show(self.path))

    def candidates(self, names: Iterable[str], accept: object = None) -> list[str]:
        """Columns of these names whose type can play the part."""
        found = []
        for name in names:
            column = self.plain.get(name)
            if column is None:
                continue
            kind = self.schema[column]
            if callable(accept) and not (accept(kind) or pa.types.is_null(kind)):
                continue
            found.append(column)
        return found

    def one(
        self,
        role: str,
        asked: str | None,
        names: Iterable[str],
        option: str,
        *,
        accept: object = None,
        strict: bool = True,
        quiet: bool = False,
    ) -> str | None:
        """The column of a role: the one asked for, or the only one of a usual name."""
        if asked is not None:
            if asked not in self.schema:
                raise missing_column(asked, option or role, self.schema, self.path)
            return asked
        names = tuple(names)
        found = self.candidates(names, accept)
        if len(found) > 1 and strict:
            listed = " and ".join(repr(name) for name in found)
            raise self.error(
                f"{role}: expected one column, got {listed}; choose with {option} {found[0]}"
            )
        if not found:
            return None
        if not quiet and found[0] != names[0]:
            self.log.note(f"read {found[0]!r} as the {role}")
        return found[0]


def is_scalar(name: str, kind: pa.DataType) -> bool:
    """Whether a column of this name and type can hold confidences or labels."""
    if name == "prediction":  # whole numbers there are predicted classes
        return pa.types.is_floating(kind)
    if name in CLEAR:
        return True
    return is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)


def _named(find: _Finder, names: Iterable[str]) -> list[str]:
    return [n for n in names if n in find.plain and is_scalar(n, find.schema[find.plain[n]])]


def _classes(find: _Finder, options: ReadOptions) -> tuple[str | None, bool, str | None]:
    """(lists of class probabilities, whether they are logits, column of class indices)."""
    if options.confidence is not None:
        if options.confidence in find.schema and is_list(find.schema[options.confidence]):
            column = options.confidence
        else:
            return None, False, None
    else:
        if _named(find, CONFIDENCE) or options.text is not None:
            return None, False, None
        found = find.candidates((*PROBS, *LOGITS), is_list)
        if not found:
            return None, False, None
        if len(found) > 1:
            listed = " and ".join(repr(n) for n in found)
            raise find.error(
                f"confidence: expected one column, got {listed}; "
                f"choose with --confidence {found[0]}"
            )
        column = found[0]
    if options.correct is not None or options.outcome is not None:
        raise find.error(
            f"confidence: {column!r} holds class probabilities, whose truth is a class index; "
            "name that column with --gold, or a column of numbers with --confidence"
        )
    target = options.gold
    if target is None:
        indices = find.candidates(TARGET, lambda kind: is_number(kind) or is_text(kind))
        if not indices and options.unlabelled is not None:
            return column, "logit" in column.lower(), None
        if not indices:
            raise find.error(
                f"expected the index of the right class beside {column!r}, the file has "
                f"{_listed(find.schema)}; name its column with --gold"
            )
        target = indices[0]
    elif target not in find.schema:
        raise missing_column(target, "--gold", find.schema, find.path)
    logits = "logit" in column.lower()
    what = "the largest softmax probability" if logits else "the largest probability"
    find.log.note(f"read {what} in {column!r} as the confidence and {target!r} as the right class")
    return column, logits, target


def _source(find: _Finder, options: ReadOptions) -> tuple[str | None, str | None]:
    """(column of confidences, column of texts): exactly one of the two."""
    parse = (
        options.text is not None or options.elicitation is not None or options.pattern is not None
    )
    if options.confidence is not None:
        return find.one("confidence", options.confidence, (), "--confidence"), options.text
    if not parse:
        found = _named(find, CONFIDENCE)
        evidence = {"p_true", *options.evidence}  # beside another confidence it judges that one
        found = [n for n in found if find.plain[n] not in evidence] or found
        found = found or _named(find, CONFIDENCES)
        if found:
            return find.one("confidence", None, _first(CONFIDENCE, found), "--confidence"), None
    usual = TEXT if find.candidates(TEXT, is_text) else ("", *TEXTS)
    text = find.one("model output", options.text, usual, "--text", accept=is_text)
    if text is None:
        raise find.error(
            f"expected a column of confidences, the file has {_listed(find.schema)}; name it with "
            "--confidence, or name the model's output with --text"
        )
    return None, text


def _truth(find: _Finder, options: ReadOptions) -> tuple[Kind, str | None]:
    if options.correct is not None:
        return "answer", find.one("correctness", options.correct, (), "--correct")
    if options.outcome is not None:
        return "event", find.one("outcome", options.outcome, (), "--outcome")
    if options.gold is not None:
        return "answer", None
    right, event = _named(find, CORRECT), _named(find, OUTCOME)
    if right and event:
        first, second = find.plain[right[0]], find.plain[event[0]]
        raise find.error(
            f"got both {first!r} (was an answer right?) and {second!r} (did an event happen?); "
            f"choose with --correct {first} or --outcome {second}"
        )
    if event:
        return "event", find.one("outcome", None, _first(OUTCOME, event), "--outcome")
    if not right and options.unlabelled is not None:
        return options.unlabelled, None
    return "answer", find.one("correctness", None, _first(CORRECT, right), "--correct")


def _first(names: tuple[str, ...], found: list[str]) -> tuple[str, ...]:
    """The found names behind the usual one, so that only unusual ones are said aloud."""
    return tuple(dict.fromkeys((names[0], *found))) if names[0] in found else ("", *found)


def _need_truth(
    find: _Finder, options: ReadOptions, gold: str | None, answer: str | None, text: str | None
) -> None:
    if options.labels is not None or (gold is not None and (answer or text)):
        return
    if options.gold is not None:
        raise find.error(
            f"expected the given answers beside the right ones in {gold!r}, the file has "
            f"{_listed(find.schema)}; name their column with --answer"
        )
    for name in AMBIGUOUS:
        column = find.plain.get(name)
        if column is not None:
            raise find.error(
                f"{column!r} could say whether an answer was right or what happened; pass "
                f"--correct {column} or --outcome {column} (or --gold {column} for a right answer)"
            )
    raise find.error(
        f"expected a column that says what was right, the file has {_listed(find.schema)}; name it "
        "with --correct (answers) or --outcome (events), or pass --labels"
    )


def _prompt_id(find: _Finder, options: ReadOptions) -> str | None:
    if options.prompt_id is not None:
        return find.one("prompt id", options.prompt_id, (), "--prompt-id")
    found = find.one("prompt id", None, PROMPT_ID, "--prompt-id")
    if found is None:
        found = find.one("prompt id", None, ("", *ROW_ID), "--prompt-id", strict=False)
    return found


def _listed(names: Iterable[str]) -> str:
    shown = [repr(name) for name in names]
    more = f" and {len(shown) - 30} more" if len(shown) > 30 else ""
    return "columns " + ", ".join(shown[:30]) + more if shown else "no columns"
