"""What readers that go row by row share: a builder of blocks, labels, texts and grading."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from levelhead import elicitation
from levelhead.elicitation import Elicited
from levelhead.errors import RecordError, unknown_name
from levelhead.readers._base import BATCH_ROWS, ReadLog, ReadOptions
from levelhead.readers._files import show
from levelhead.readers._remote import AnyPath
from levelhead.records import PROVENANCES, STATUSES, Kind, Predictions, id_text

__all__ = [
    "ROUNDING",
    "RowBuilder",
    "answer_key",
    "as_label",
    "elicitation_name",
    "grade",
    "parse_text",
    "parser",
    "plain_column",
]

ROUNDING = 1e-6
"""How far beyond [0, 1] a probability may lie through rounding; it is then clipped."""

MAX_BLOCK_TEXT = 64 * 2**20
"""Characters of text in one block: long texts come in smaller blocks."""

_TRUE = frozenset({"1", "1.0", "true", "t", "yes", "c", "correct", "right", "pass", "passed"})
_FALSE = frozenset({"0", "0.0", "false", "f", "no", "i", "incorrect", "wrong", "fail", "failed"})
_UNKNOWN = frozenset({"", "nan", "none", "null", "n/a", "na"})
_STATUS = {name: code for code, name in enumerate(STATUSES)}
_PROVENANCE = {name: code for code, name in enumerate(PROVENANCES)}


@dataclasses.dataclass
class RowBuilder:
    """Collects the rows of one model and hands them over in blocks.

    Args:
        kind: `answer` or `event`.
        model: whose rows these are.
        path: the file they come from, for locations and errors.
        options: what the user says about the files.
        log: takes what is odd.
    """

    kind: Kind
    model: str
    path: AnyPath
    options: ReadOptions
    log: ReadLog

    def __post_init__(self) -> None:
        self._clear()

    def __len__(self) -> int:
        return len(self._confidence)

    def add(
        self,
        *,
        confidence: float | None,
        label: float | None,
        status: str = "ok",
        provenance: str = "reported",
        prompt_id: object = None,
        weight: float | None = None,
        line: int | None = None,
        **columns: Any,
    ) -> None:
        """Add one row.

        Args:
            confidence: in [0, 1] (a percentage with `options.percent`); None or NaN where there is
                none.
            label: 1.0, 0.0 or None.
            status: one of `STATUSES`; `ok` without a confidence becomes `missing`.
            provenance: one of `PROVENANCES`; `reported` without a confidence becomes `missing`.
            prompt_id: which prompt this is a sample of; None, NaN and blank text name none.
            weight: how much it counts.
            line: 1-based line or row in the file.
            columns: everything else.

        Raises:
            RecordError: the confidence is outside [0, 1], or the weight is negative or not finite.
        """
        if status == "ok":
            confidence, status = self._checked(confidence, provenance, line)
        if status != "ok":
            confidence = None
            provenance = "missing" if provenance == "reported" else provenance
        if weight is not None and not (math.isfinite(weight) and weight >= 0.0):
            raise RecordError(
                f"weight: expected a finite number >= 0, got {weight}; correct the value",
                show(self.path),
                line,
            )
        i = len(self._confidence)
        self._confidence.append(math.nan if confidence is None else confidence)
        self._label.append(math.nan if label is None else label)
        self._status.append(_STATUS[status])
        self._provenance.append(_PROVENANCE[provenance])
        self._prompt_id.append(id_text(prompt_id))
        self._has_ids = self._has_ids or prompt_id is not None
        self._weight.append(weight)
        self._line.append(line)
        for name, value in columns.items():
            values = self._columns.setdefault(name, [])
            values.extend([None] * (i - len(values)))
            values.append(value)
            if isinstance(value, str):
                self._characters += len(value)

    def full(self) -> bool:
        """Whether it is time to hand over a block."""
        return len(self._confidence) >= BATCH_ROWS or self._characters >= MAX_BLOCK_TEXT

    def block(self) -> Predictions:
        """The rows so far as one block with a column `location`; the builder is then empty."""
        n = len(self._confidence)
        columns: dict[str, pa.Array] = {}
        for name, values in self._columns.items():
            columns[name] = plain_column(values + [None] * (n - len(values)))
        shown = show(self.path)
        columns["location"] = pa.array(
            [shown if line is None else f"{shown}:{line}" for line in self._line], pa.string()
        )
        weighted = any(w is not None for w in self._weight)
        block = Predictions(
            kind=self.kind,
            confidence=np.array(self._confidence, dtype=np.float64),
            label=np.array(self._label, dtype=np.float64),
            status=np.array(self._status, dtype=np.int8),
            provenance=np.array(self._provenance, dtype=np.int8),
            model=self.model,
            prompt_id=_strings(self._prompt_id) if self._has_ids else None,
            weight=np.array([1.0 if w is None else w for w in self._weight]) if weighted else None,
            columns=pa.table(columns),
        )
        self._clear()
        return block

    def _clear(self) -> None:
        self._confidence: list[float] = []
        self._label: list[float] = []
        self._status: list[int] = []
        self._provenance: list[int] = []
        self._prompt_id: list[str | None] = []
        self._has_ids = False
        self._weight: list[float | None] = []
        self._line: list[int | None] = []
        self._columns: dict[str, list[Any]] = {}
        self._characters = 0

    def _checked(
        self, confidence: float | None, provenance: str, line: int | None
    ) -> tuple[float | None, str]:
        if confidence is None or math.isnan(confidence):
            return None, "missing"
        if math.isinf(confidence):
            return None, "out_of_range"
        percent = self.options.percent is True and provenance == "reported"
        value = confidence / 100.0 if percent else float(confidence)
        if 0.0 <= value <= 1.0:
            return value, "ok"
        if -ROUNDING <= value <= 1.0 + ROUNDING:
            return min(max(value, 0.0), 1.0), "ok"
        hint = "; percentages must be divided by 100: pass --percent" if 1 < value <= 100 else ""
        raise RecordError(
            f"confidence: expected a value in {'[0, 100]' if percent else '[0, 1]'}, "
            f"got {confidence}{hint or '; correct the value or choose another column'}",
            show(self.path),
            line,
        )


def as_label(value: Any, *, name: str, path: str, line: int | None) -> float | None:
    """Correctness or outcome as 1.0, 0.0 or None.

    Args:
        value: true, false, 1, 0, `"C"`, `"I"`, `"correct"`, `"true"`, `"1"`, None, ...
        name: the column it stands in.
        path: the file.
        line: its 1-based line or row.

    Returns:
        1.0, 0.0, or None where it is unknown (None, NaN, an empty string).

    Raises:
        RecordError: anything else, such as a shaped reward.

    Example:
        >>> as_label("C", name="score", path="log.json", line=1)
        1.0
    """
    if value is None:
        return None
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in _TRUE:
            return 1.0
        if word in _FALSE:
            return 0.0
        if word in _UNKNOWN:
            return None
    elif isinstance(value, bool | int | float | np.bool_ | np.number):
        if value != value:  # NaN
            return None
        if value == 1 or value == 0:
            return float(value)
    shown = f"{value!s:.40}" if isinstance(value, int | float | np.number) else f"{value!r:.60}"
    raise RecordError(
        f"{name}: expected 0 or 1, got {shown}; a reward or a score is not correctness: name the "
        "column that says right or wrong with --correct (or what happened with --outcome)",
        path,
        line,
    )


def elicitation_name(options: ReadOptions, found: str | None) -> str | None:
    """The name of the format to parse with: the user's, else the convention's for `found`."""
    if options.elicitation is not None:
        if options.elicitation not in elicitation.TABLE:
            raise unknown_name("elicitation", options.elicitation, elicitation.TABLE)
        return options.elicitation
    published = {
        ("paper_compat", "percent_tag"): "percent_tag_paper",
        ("rlcr", "answer_confidence_tags"): "answer_confidence_tags_rlcr",
    }
    return None if found is None else published.get((options.convention, found), found)


def parse_text(text: str | None, options: ReadOptions) -> Elicited:
    """What a text says, by the user's pattern or elicitation format or else by the tags it has.

    Args:
        text: a model's output, or None.
        options: `pattern`, `elicitation`, `percent` and `convention` matter.

    Returns:
        What it says; status `missing` where there is no text or no known tag.

    Raises:
        InvalidInputError: the pattern is not valid or the format is unknown.

    Example:
        >>> parse_text("<answer>B</answer><confidence>0.7</confidence>", ReadOptions()).confidence
        0.7
    """
    if options.pattern is not None:
        parse = elicitation.by_pattern(options.pattern, percent=options.percent is True)
        return Elicited(None, None, "missing") if text is None else parse(text)
    if text is None:
        return Elicited(None, None, "missing")
    found = None if options.elicitation is not None else elicitation.detect([text])
    name = elicitation_name(options, found)
    if name is None:
        return Elicited(None, None, "missing")
    return parser(name, options)(text)


def parser(name: str, options: ReadOptions) -> Callable[[str], Elicited]:
    """The parser of a named format, told whether the user says that the numbers are percentages."""
    if name == "answer_confidence_tags" and options.percent is True:
        return functools.partial(elicitation.answer_confidence_tags, percent=True)
    return elicitation.TABLE[name].parse


_SPACE = re.compile(r"\s+")
_BOXED = re.compile(r"\\boxed\{(.*)\}\s*\$*", re.DOTALL)
_OPTION = re.compile(r"\(?([a-z])\s*[).:](?:\s+(.*))?", re.DOTALL)
_OPTION_WORD = re.compile(
    r"(?:option|choice|answer)\s+\(?([a-z])\b[).:]?(?:\s+which is\s*:?)?\s*(.*)", re.DOTALL
)
_AROUND = " ,;:!?\"'`$*()[]"
_PLAIN_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?:[^0-9]|$))")


def grade(answer: str | None, gold: Any) -> float | None:
    """Whether an answer is the right one, by normalized comparison.

    1 if the two are equal without case, outer punctuation and repeated space, equal as numbers, or
    name the same option letter (`A) bank`, `(A)`, `Option A`, `A`).

    Args:
        answer: what the model answered; None (it gave none) is wrong.
        gold: the right answer, or a list of right answers; None where it is unknown.

    Returns:
        1.0, 0.0, or None where the right answer is unknown.

    Example:
        >>> grade("A) bank", "A"), grade("1,000.0", 1000), grade("Paris.", ["paris", "Lutetia"])
        (1.0, 1.0, 1.0)
    """
    if gold is None or (isinstance(gold, float) and math.isnan(gold)):
        return None
    if isinstance(gold, Sequence | np.ndarray) and not isinstance(gold, str | bytes):
        grades = [grade(answer, one) for one in gold]
        known = [g for g in grades if g is not None]
        return max(known) if known else None
    if answer is None:
        return 0.0
    said, right = _normal(str(answer)), _normal(str(gold))
    if said == right:
        return 1.0
    first, second = _as_number(said), _as_number(right)
    if first is not None and second is not None:
        return float(first == second)
    return float(_same_option(str(answer), str(gold)))


def answer_key(answer: str | None) -> str | None:
    """What `grade` compares of an answer, as one text: answers of one key are the same answer.

    The option letter where one is marked, else the number, else the text without case, outer
    punctuation and repeated space.

    Args:
        answer: what the model answered.

    Returns:
        The key; None where there is no answer, or nothing is left of it.

    Edge cases: `50%` is no number, so it is another answer than `0.5`, as it is for `grade`.

    Example:
        >>> answer_key("A) bank") == answer_key("(a)"), answer_key("1,000.0") == answer_key("1000")
        (True, True)
    """
    if answer is None:
        return None
    letter, _ = _option(answer)
    if letter is not None:
        return f"option {letter}"
    said = _normal(answer)
    value = _as_number(said)
    return (said or None) if value is None else repr(value + 0.0)  # -0.0 is 0.0


def _normal(text: str) -> str:
    text = text.strip()
    boxed = _BOXED.search(text)
    if boxed is not None:
        text = boxed[1]
    plain = _SPACE.sub(" ", text.strip().casefold())
    # A point in front stays: `.5` is not `5`.
    return plain.lstrip(_AROUND).rstrip(_AROUND + ".")


def _as_number(text: str) -> float | None:
    plain = _THOUSANDS.sub("", text)
    return float(plain) if _PLAIN_NUMBER.fullmatch(plain) else None


def _same_option(answer: str, gold: str) -> bool:
    """Whether both name the same letter and neither spells out another text for it."""
    letter, text = _option(answer)
    right, right_text = _option(gold)
    if letter is not None and right is not None:
        return letter == right and (not text or not right_text or text == right_text)
    if right is not None and right_text:
        return _normal(answer) == right_text
    return False


def _option(text: str) -> tuple[str | None, str]:
    """(letter, text of the option), e.g. `("a", "bank")`; no letter where none is marked."""
    plain = _SPACE.sub(" ", text.strip().casefold()).strip("*$ ")
    bare = plain.strip(" .,;:()[]\"'")
    if len(bare) == 1 and bare.isascii() and bare.isalpha():
        return bare, ""
    match = _OPTION.fullmatch(plain) or _OPTION_WORD.fullmatch(plain)
    return (match[1], _normal(match[2] or "")) if match is not None else (None, "")


def plain_column(values: Sequence[Any]) -> pa.Array:
    """Python values of whatever types as one Arrow array; mixed types become strings."""
    try:
        return pa.array(values)
    except UnicodeEncodeError:
        return pa.array([None if v is None else _text(v) for v in values], pa.string())
    except (pa.ArrowException, OverflowError, TypeError):
        return pa.array([None if v is None else _text(v) for v in values], pa.string())


def _strings(values: Sequence[str | None]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([None if v is None else _text(v) for v in values], pa.string())


def _text(value: Any) -> str:
    if isinstance(value, str):
        shown = value
    elif isinstance(value, Mapping | list | tuple):
        shown = json.dumps(value, default=str, ensure_ascii=False)
    else:
        shown = str(value)
    return shown.encode("utf-8", "replace").decode("utf-8")
