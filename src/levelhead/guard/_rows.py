"""Which rows belong together, which may be used for what, and which row stands for a prompt."""

# pyarrow ships no type information.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as arrow_compute

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead._sketch import Sketch
from levelhead.errors import InvalidInputError
from levelhead.guard.evidence import NAMES, Evidence
from levelhead.guard.features import claim_correct
from levelhead.guard.ranking import rank_within
from levelhead.guard.splits import hashed, split
from levelhead.records import STATUSES, Predictions, as_ids

Select = Literal["top", "each"]

pc: Any = arrow_compute  # its functions are made at run time, where no type checker sees them

REFUSAL = STATUSES.index("refusal")


@dataclasses.dataclass(frozen=True)
class Rows:
    """What the guard needs to know of each row besides its features.

    `claim` is where there is something to judge: no refusal, an answer that is not empty where
    answers are given at all, and for an event a stated side.
    """

    unit: IntArray  # (N,) codes into units
    units: list[str]
    prompt: IntArray  # (N,) codes into prompts
    prompts: list[str]
    named: bool  # whether every row names its prompt
    stated: FloatArray  # (N,) confidence in the claim; NaN where none was stated
    correct: FloatArray  # (N,) whether the claim was right; NaN where unknown
    claim: BoolArray
    silent: BoolArray  # whether an answer was expected and is null or blank

    @property
    def coarse(self) -> bool:
        """Whether some unit holds several prompts."""
        return len(self.units) < len(self.prompts)


def rows_of(predictions: Predictions, unit: str | None, answers: bool = False) -> Rows:
    """The rows of a block; `unit` names a column, None stands for the prompt.

    `answers` says that the rows of the fit gave answers: else none is missed where no row has one.
    """
    check_predictions(predictions)
    keys = prompt_keys(predictions)
    prompt, prompts = _encoded(keys)
    if unit is None:
        codes, units = prompt, prompts
    else:
        if unit not in predictions.columns.column_names:
            have = ", ".join(predictions.columns.column_names) or "none"
            raise InvalidInputError(
                f"unit: expected a column of the predictions, got {unit!r}; they have {have} (keep "
                "it when reading, as in --by)"
            )
        values = as_ids(predictions.columns[unit]).to_pylist()
        pairs = zip(values, keys, strict=True)
        codes, units = _encoded([key if value is None else value for value, key in pairs])
        _one_unit_each(prompt, prompts, codes, units, unit)
    stated, correct = claim_correct(predictions)
    silent = unanswered(predictions, answers)
    correct = np.where(silent, np.nan, correct)
    claim = (predictions.status != REFUSAL) & ~silent
    if predictions.kind == "event":
        claim &= ~np.isnan(stated)
    ids = predictions.prompt_id
    named = ids is not None and not ids.null_count
    return Rows(codes, units, prompt, prompts, named, stated, correct, claim, silent)


def check_predictions(predictions: object) -> None:
    """Refuse what is no `Predictions`, such as an array, in one sentence."""
    if not isinstance(predictions, Predictions):
        raise InvalidInputError(
            f"predictions: expected Predictions, got {type(predictions).__name__}; make some with "
            "Predictions.from_arrays(kind, confidence, correct), or read them with readers.load"
        )


def unanswered(predictions: Predictions, expected: bool) -> BoolArray:
    """(N,) where the answer is null or blank, though other rows or those of the fit have one."""
    blank = _blank(predictions)
    if blank is None or (blank.all() and not expected):
        return np.zeros(len(predictions), np.bool_)
    return blank & (predictions.status != REFUSAL)


def gives_answers(predictions: Predictions) -> bool:
    """Whether some row has an answer, so that rows without one lack it."""
    blank = _blank(predictions)
    return blank is not None and not blank.all()


def _blank(predictions: Predictions) -> BoolArray | None:
    """(N,) whether the answer is null or nothing but spaces; None where rows of this kind have none."""
    evidence = Evidence(predictions)
    if predictions.kind == "event" or not evidence.has("answer"):
        return None
    trimmed = pc.utf8_trim_whitespace(evidence.answers)
    return np.asarray(pc.fill_null(pc.equal(trimmed, ""), True), dtype=np.bool_)


def prompt_keys(predictions: Predictions) -> list[str]:
    """Each row's prompt id; a row without one gets its content, as the only thing to know it by."""
    ids = predictions.prompt_id
    if ids is None:
        return contents(predictions, label=True)
    keys = cast(list[Any], ids.to_pylist())
    if ids.null_count:
        bare = np.flatnonzero(np.asarray(ids.is_null()))
        for i, key in zip(bare.tolist(), contents(predictions.take(bare), label=True), strict=True):
            keys[i] = key
    return keys


def contents(predictions: Predictions, *, label: bool) -> list[str]:
    """A digest of each row's content; the k-th of equal rows gets the number k.

    With the label where it tells prompts apart: then equal rows are interchangeable, so that
    reordering a file moves none of its rows into another part.
    """
    columns: list[list[Any]] = [predictions.confidence.tolist(), predictions.status.tolist()]
    if label:
        columns.append(predictions.label.tolist())
    # What is read for another reason, such as slices, is no content: it would make every row a new one.
    for name in sorted(set(predictions.columns.column_names) & set(NAMES)):
        columns.append(predictions.columns[name].to_pylist())
    seen: Counter[str] = Counter()
    keys: list[str] = []
    for row in zip(*columns, strict=True):
        digest = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16)
        text = digest.hexdigest()
        keys.append(f"row {text} {seen[text]}" if label else text)
        seen[text] += 1
    return keys


def _encoded(keys: list[str]) -> tuple[IntArray, list[str]]:
    encoded = pa.array(keys, pa.string()).dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, cast(list[str], encoded.dictionary.to_pylist())


def _one_unit_each(
    prompt: IntArray, prompts: list[str], unit: IntArray, units: list[str], name: str
) -> None:
    first = np.zeros(len(prompts), dtype=np.int64)
    first[prompt[::-1]] = unit[::-1]
    wrong = first[prompt] != unit
    if wrong.any():
        i = int(wrong.argmax())
        raise InvalidInputError(
            f"unit: expected each prompt in one {name}, got prompt {prompts[prompt[i]][:40]!r} in "
            f"{units[first[prompt[i]]]!r} and {units[unit[i]]!r}; samples of one prompt must not be "
            "split"
        )


def parts_of(rows: Rows, seed: int, shares: tuple[float, ...]) -> npt.NDArray[np.int8]:
    """(N,) the part of each row's unit."""
    return split(rows.units, seed=seed, shares=shares)[rows.unit]


def seen_units(rows: Rows, sketch: Sketch | None) -> tuple[BoolArray, BoolArray]:
    """(N,) whether each row's unit is known to be in the sketch, and whether that cannot be told.

    A sketch that is a sample tells nothing of the units whose hash lies beyond those that it keeps.
    """
    if sketch is None or not rows.units:
        return np.zeros(rows.unit.size, np.bool_), np.zeros(rows.unit.size, np.bool_)
    seen, beyond = sketch.told(rows.units)
    return seen[rows.unit], beyond[rows.unit]


def answers(
    rows: Rows, score: FloatArray, predictions: Predictions, select: Select, seed: int
) -> tuple[IntArray, IntArray]:
    """(N,) ranks within the prompt (0 for what is no claim) and the row that stands for each prompt.

    The second has one row index per prompt with a claim. Neither looks at a label.
    """
    ranks = np.zeros(score.size, dtype=np.int64)
    claims = np.flatnonzero(rows.claim)
    if claims.size:
        labels = _tie_breakers(rows, score, predictions, claims)
        ranks[claims] = rank_within(score[claims], rows.prompt[claims], tie_breaker=labels)
    among = np.flatnonzero(ranks == 1) if select == "top" else claims
    return ranks, one_of(among, rows.prompt, rows.prompts, score, seed, "row")


def _tie_breakers(
    rows: Rows, score: FloatArray, predictions: Predictions, claims: IntArray
) -> npt.NDArray[np.object_]:
    """For each claim a text that tells it from claims of its prompt with the same score."""
    order = claims[np.lexsort((score[claims], rows.prompt[claims]))]
    p, s = rows.prompt[order], score[order]
    same = np.concatenate((np.zeros(1, np.bool_), (p[1:] == p[:-1]) & (s[1:] == s[:-1])))
    tied = order[same | np.append(same[1:], False)]
    texts = np.full(score.size, "", dtype=object)
    if tied.size:
        texts[tied] = contents(predictions.take(tied), label=False)
    return texts[claims]


def one_of(
    among: IntArray,
    group: IntArray,
    names: list[str],
    score: FloatArray,
    seed: int,
    purpose: str,
) -> IntArray:
    """One row of each group, drawn by the hash of the group's name from its rows in order of score."""
    if not among.size:
        return among
    order = among[np.lexsort((among, score[among], group[among]))]
    codes = group[order]
    start = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
    size = np.diff(np.append(start, codes.size))
    draws = hashed([names[code] for code in codes[start].tolist()], seed=seed, purpose=purpose)
    return order[start + np.minimum((draws * size).astype(np.int64), size - 1)]
