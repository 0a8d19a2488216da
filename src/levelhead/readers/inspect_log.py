"""Inspect: evaluation logs, `.eval` (a ZIP archive) or `.json`.

A sample's correctness is the value of one scorer: C, I and N (no answer) are 1, 0 and 0; P (partly
right) is neither and leaves the label unknown. Its confidence is the one in the score's metadata,
else the one in the text of the output, or, asked for as `--scorer logprobs` (with the name of a
scorer: `NAME+logprobs`), the joint probability of the answer's tokens. Epochs are samples of one
prompt.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from levelhead.errors import RecordError
from levelhead.readers._base import Head, Reader, ReadLog, ReadOptions
from levelhead.readers._columns import as_label
from levelhead.readers._files import reading, show
from levelhead.readers._json import json_object
from levelhead.readers._logs import (
    LogRows,
    message_text,
    number,
    probability_of_tokens,
    stated,
    token_logprobs,
)
from levelhead.readers._remote import AnyPath
from levelhead.readers._zip import Archive, open_archive
from levelhead.records import Predictions

__all__ = ["READER"]

_SAMPLE_NAME = re.compile(r"samples/.+\.json")
_ATTACHMENT = re.compile(r"(?:attachment|tc)://(.+)")
_HEADERS = ("header.json", "_journal/start.json")
_LOGPROBS = "logprobs"
_CONFIDENCE = "confidence"
_NO_ANSWER, _PARTIAL = "N", "P"


class _Samples(LogRows):
    """The rows of one log and what was decided about it."""

    def __init__(self, path: AnyPath, options: ReadOptions, log: ReadLog) -> None:
        super().__init__(path, options, log)
        asked = options.scorer
        self.from_tokens = asked is not None and asked.split("+")[-1] == _LOGPROBS
        name = (
            (asked or "").removesuffix(_LOGPROBS).removesuffix("+") if self.from_tokens else asked
        )
        self.asked = options.correct or name or None
        self.chosen: tuple[str, str | None] | None = None
        self.failed = self.partial = self.no_answer = self.reported = self.in_text = 0

    def finish(self) -> None:
        name = self.path.name
        if self.from_tokens:
            self.log.note(
                "the confidence is the joint probability of the answer's tokens "
                "(inside <answer> tags where there are some)"
            )
        elif self.reported:
            self.log.note("the confidence is read from the metadata of the scores")
        if self.reported and self.in_text:
            self.log.warn(
                f"{name}: {self.reported} confidences come from the scores' metadata and "
                f"{self.in_text} from the text of the output"
            )
        if self.no_answer:
            self.log.note(
                f"{name}: {self.no_answer} samples are scored N (no answer) and count as wrong"
            )
        if self.partial:
            self.log.warn(
                f"{name}: {self.partial} samples are scored P (partly right), which is neither "
                "right nor wrong; their correctness is unknown"
            )
        if self.failed:
            self.log.warn(
                f"{name}: {self.failed} samples ended in an error; they count as records without a "
                "confidence and without a label"
            )


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a sample is: in the file, or in a member of the archive."""

    position: int
    member: str | None = None

    def problem(self, text: str) -> str:
        return text if self.member is None else f"{self.member}: {text}"


def _recognizes(head: Head) -> bool:
    if head.container == "zip":
        return any(name in _HEADERS for name in head.members)
    if head.container != "json":
        return False
    evaluation = head.first.get("eval")
    return isinstance(evaluation, Mapping) and bool({"task", "model", "eval_id"} & set(evaluation))


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    rows = _Samples(path, options, log)
    with reading(path), path.open("rb") as file:
        packed = file.read(2) == b"PK"
    yield from _read_archive(rows) if packed else _read_json(rows)
    rows.finish()
    yield from rows.rest()


def _read_json(rows: _Samples) -> Iterator[Predictions]:
    whole = json_object(rows.path)
    if not isinstance(whole, Mapping):
        raise rows.error("expected an Inspect log, that is an object with 'eval' and 'samples'")
    samples = whole.get("samples")
    if not isinstance(samples, list) or not samples:
        raise rows.error(
            f"expected at least one sample, got none (status of the run: {whole.get('status')!r}); "
            "logs read with header_only have none"
        )
    model = _model(whole)
    for i, sample in enumerate(samples, start=1):
        yield from _sample(sample, model, rows, _Place(i))


def _read_archive(rows: _Samples) -> Iterator[Predictions]:
    with open_archive(rows.path) as archive:
        header = next((name for name in _HEADERS if name in archive.names), None)
        if header is None:
            raise rows.error("expected an Inspect log, got an archive without header.json")
        model = _model(_member(archive, header, rows))
        names = [name for name in archive.names if _SAMPLE_NAME.fullmatch(name)]
        if not names:
            raise rows.error("expected at least one sample, got none")
        if header != _HEADERS[0]:
            rows.log.warn(
                f"{rows.path.name}: the run did not end, so only the {len(names)} samples that "
                "were written until then are read"
            )
        for i, name in enumerate(names, start=1):
            yield from _sample(_member(archive, name, rows), model, rows, _Place(i, name))


def _member(archive: Archive, name: str, rows: LogRows) -> Any:
    data = archive.read(name)
    try:
        return json.loads(data)
    except ValueError as error:
        raise rows.error(f"{name}: expected JSON ({error})") from error


def _model(header: Any) -> str | None:
    evaluation = header.get("eval") if isinstance(header, Mapping) else None
    model = evaluation.get("model") if isinstance(evaluation, Mapping) else None
    return model if isinstance(model, str) else None


def _sample(sample: Any, model: str | None, rows: _Samples, place: _Place) -> Iterator[Predictions]:
    if not isinstance(sample, Mapping) or sample.get("id") is None:
        raise _error(rows, place, "expected a sample with an 'id'")
    metadata = sample.get("metadata")
    common: dict[str, Any] = {
        "model": model,
        "prompt_id": sample["id"],
        "line": place.position,
        "prompt": _resolve(_input(sample.get("input"), rows, place), sample),
        "epoch": sample.get("epoch"),
        "slices": [sample, metadata] if isinstance(metadata, Mapping) else [sample],
    }
    if sample.get("error") is not None:
        rows.failed += 1
        return rows.add(
            confidence=None, status="missing", provenance="missing", label=None,
            answer=None, text=None, **common,
        )  # fmt: skip
    score = _score(sample, rows, place)
    text = _output_text(sample, rows, place)
    confidence = _confidence(sample, score, text, rows, place)
    answer = score.get("answer")
    if isinstance(answer, str):
        confidence = {**confidence, "answer": _resolve(answer, sample)}
    return rows.add(**confidence, label=_label(score, rows, place), **common)


def _error(rows: LogRows, place: _Place, problem: str) -> RecordError:
    return rows.error(place.problem(problem), place.position)


# --- correctness -------------------------------------------------------------------------------


def _score(sample: Mapping[str, Any], rows: _Samples, place: _Place) -> Mapping[str, Any]:
    """The one score that says what is right; empty where this sample has none."""
    scores = sample.get("scores") or {}
    if not isinstance(scores, Mapping):
        raise _error(rows, place, "scores: expected an object with a score for each scorer")
    if not scores:
        return {}
    if rows.chosen is None:
        rows.chosen = _choose(scores, rows, place)
    scorer, key = rows.chosen
    if scorer not in scores:
        return {}
    score = scores[scorer]
    if not isinstance(score, Mapping):
        raise _error(rows, place, f"scores.{scorer}: expected an object with a 'value'")
    if key is None:
        return score
    value = score.get("value")
    if not isinstance(value, Mapping) or key not in value:
        raise _error(rows, place, f"scores.{scorer}: expected a value named {key!r}")
    return {**score, "value": value[key]}


def _choose(scores: Mapping[str, Any], rows: _Samples, place: _Place) -> tuple[str, str | None]:
    """(scorer, key of its value): the user's choice, or the only one."""
    choices: list[tuple[str, tuple[str, str | None]]] = []
    for name, score in scores.items():
        value = score.get("value") if isinstance(score, Mapping) else None
        if isinstance(value, Mapping):
            choices += [(f"{name}.{key}", (name, str(key))) for key in value]
        else:
            choices.append((name, (name, None)))
    listed = ", ".join(name for name, _ in choices) or "none"
    if rows.asked is not None:
        for name, choice in choices:
            if name == rows.asked:
                return choice
        raise _error(rows, place, f"scorer: expected one of {listed}, got {rows.asked!r}")
    if len(choices) != 1:
        raise _error(
            rows,
            place,
            f"correctness: it is not clear which of the scorers {listed} says what is right; "
            "choose with --scorer",
        )
    rows.log.note(f"correctness is read from the scorer {choices[0][0]!r}")
    return choices[0][1]


def _label(score: Mapping[str, Any], rows: _Samples, place: _Place) -> float | None:
    value = score.get("value")
    if isinstance(value, list):
        raise _error(rows, place, "value: expected one value for each sample, got a list")
    if value == _NO_ANSWER:
        rows.no_answer += 1
        return 0.0
    if value == _PARTIAL:
        rows.partial += 1
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    name = "value" if rows.chosen is None else f"scores.{rows.chosen[0]}.value"
    return as_label(value, name=place.problem(name), path=show(rows.path), line=place.position)


# --- confidence --------------------------------------------------------------------------------


def _confidence(
    sample: Mapping[str, Any],
    score: Mapping[str, Any],
    text: str | None,
    rows: _Samples,
    place: _Place,
) -> dict[str, Any]:
    parsed = rows.text(text)
    if rows.from_tokens:
        value = _token_probability(sample, rows, place)
        return {
            **parsed,
            "confidence": value,
            "status": "missing" if value is None else "ok",
            "provenance": "missing" if value is None else "computed",
        }
    metadata = score.get("metadata")
    key = rows.options.confidence or _CONFIDENCE
    if not rows.options.elicitation and not rows.options.pattern and isinstance(metadata, Mapping):
        value = metadata.get(key)
        if value is not None and (number(value) is not None or rows.options.confidence):
            rows.reported += 1
            return {**parsed, **stated(value)}
    rows.in_text += parsed["confidence"] is not None
    return parsed


def _token_probability(sample: Mapping[str, Any], rows: LogRows, place: _Place) -> float | None:
    logprobs = _choice(sample, rows, place).get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if content is None:
        return None
    return probability_of_tokens(token_logprobs(content, rows.path, place.position), "joint")


# --- texts -------------------------------------------------------------------------------------


def _choice(sample: Mapping[str, Any], rows: LogRows, place: _Place) -> Mapping[str, Any]:
    """The first choice of the output; empty where the model gave none."""
    output = sample.get("output") or {}
    choices = output.get("choices", []) if isinstance(output, Mapping) else None
    if not isinstance(choices, list) or (choices and not isinstance(choices[0], Mapping)):
        raise _error(rows, place, "output: expected an object with a list of 'choices'")
    return choices[0] if choices else {}


def _output_text(sample: Mapping[str, Any], rows: LogRows, place: _Place) -> str | None:
    choice = _choice(sample, rows, place)
    where = place.problem("output.message")
    text = message_text(choice.get("message"), where, rows.path, place.position)
    output = sample.get("output")
    if text is None and isinstance(output, Mapping):
        text = message_text(output.get("completion") or None, where, rows.path, place.position)
    return _resolve(text, sample)


def _input(value: Any, rows: LogRows, place: _Place) -> str | None:
    """The prompt as text: the last message of a conversation."""
    if isinstance(value, list) and value:
        value = value[-1]
    return message_text(value, place.problem("input"), rows.path, place.position)


def _resolve(text: str | None, sample: Mapping[str, Any]) -> str | None:
    """The text itself where the log holds only a reference to one of its attachments."""
    found = None if text is None else _ATTACHMENT.fullmatch(text)
    attachments = sample.get("attachments")
    if found is None or not isinstance(attachments, Mapping):
        return text
    return attachments.get(found.group(1), text)


READER = Reader(
    name="inspect",
    description="Inspect evaluation logs (.eval and .json)",
    recognizes=_recognizes,
    read=_read,
)
