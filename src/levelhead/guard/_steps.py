"""What each step of a guard may use, and how it says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead._text import plural
from levelhead.errors import InvalidInputError
from levelhead.guard._rows import Rows
from levelhead.guard.policy import ABSTAIN, Policy
from levelhead.guard.threshold import (
    Threshold,
    conformal_threshold,
    risk_threshold,
    risk_thresholds_by,
)
from levelhead.records import Predictions

MIN_PROMPTS = 20
"""Fewer prompts than this in the first or second part fit nothing that could be relied on."""


def distinct(codes: IntArray) -> int:
    """How many different codes there are."""
    return int(np.unique(codes).size)


def counted(rows: Rows, mask: BoolArray) -> dict[str, int]:
    """Units, prompts and rows under a mask."""
    return {
        "units": distinct(rows.unit[mask]),
        "prompts": distinct(rows.prompt[mask]),
        "rows": int(mask.sum()),
    }


def check_part(rows: Rows, mask: BoolArray, part: str) -> None:
    """Refuse a part that nothing can be learned from, in one sentence."""
    prompts = distinct(rows.prompt[mask])
    if prompts < MIN_PROMPTS:
        raise InvalidInputError(
            f"predictions: expected at least {MIN_PROMPTS} prompts with a known truth in the part to "
            f"{part}, got {prompts}; add prompts (about {MIN_PROMPTS * 5} in all), or use another seed "
            "or a finer unit"
        )
    right = int(rows.correct[mask].sum())
    if right in (0, int(mask.sum())):
        word = "right" if right else "wrong"
        raise InvalidInputError(
            f"predictions: expected right and wrong claims in the part to {part}, got {int(mask.sum())} "
            f"that are all {word}; a guard has nothing to tell apart there"
        )


def per_prompt(chosen: IntArray, rows: Rows, allowed: BoolArray) -> IntArray:
    """One row of each allowed prompt: the chosen one, or the first of a prompt without a claim."""
    first = np.full(len(rows.prompts), -1, dtype=np.int64)
    order = np.arange(rows.prompt.size)[::-1]
    first[rows.prompt[order]] = order
    first[rows.prompt[chosen]] = chosen
    picked = first[first >= 0]
    return np.sort(picked[allowed[picked]])


def column(predictions: Predictions, name: str, option: str = "by") -> list[Any]:
    """The values of a column, or one sentence on the columns there are."""
    if name not in predictions.columns.column_names:
        have = ", ".join(predictions.columns.column_names) or "none"
        raise InvalidInputError(
            f"{option}: expected a column of the predictions, got {name!r}; they have {have} (keep it "
            "when reading, as in --by)"
        )
    return predictions.columns[name].to_pylist()


def thresholds(
    slices: Sequence[Any] | None,
    score: FloatArray,
    error: FloatArray,
    *,
    max_error: float,
    delta: float,
    method: str,
    n_min: int | Literal["tenth"] | None,
) -> dict[str, Threshold]:
    """One threshold, or one per slice."""
    if slices is not None and method == "crc":
        raise InvalidInputError("by: expected no slices with method 'crc', got some; use 'ltt'")
    if method == "crc":
        return {"": conformal_threshold(score, error, max_loss=max_error)}
    if slices is None:
        return {"": risk_threshold(score, error, max_error=max_error, delta=delta, n_min=n_min)}
    return risk_thresholds_by(score, error, slices, max_error=max_error, delta=delta, n_min=n_min)


def decisions(policy: Policy, predictions: Predictions, score: FloatArray) -> npt.NDArray[np.int8]:
    """(N,) what to do with each row; a row without a score is never answered nor handed on."""
    slices = None if policy.by is None else column(predictions, policy.by)
    decision = policy.decide(score, slices)
    decision[np.isnan(score)] = ABSTAIN
    return decision


def fit_notes(rows: Rows, usable: BoolArray) -> list[str]:
    """What must be known about the rows of a fit."""
    notes: list[str] = []
    unlabeled = int((rows.claim & np.isnan(rows.correct)).sum())
    if unlabeled:
        notes.append(f"{plural(unlabeled, 'row')} without a known truth left out")
    silent = int((~rows.claim & ~rows.silent).sum())
    if silent:
        notes.append(
            f"{plural(silent, 'row')} that claim nothing left out (refusals, or events without a "
            "probability)"
        )
    if rows.silent.any():
        notes.append(
            f"{plural(int(rows.silent.sum()), 'row')} without an answer left out: the guard never "
            "answers these"
        )
    unstated = int((usable & np.isnan(rows.stated)).sum())
    if unstated:
        notes.append(
            f"{plural(unstated, 'row')} without a stated confidence, which is evidence too"
        )
    if not rows.named:
        notes.append(
            "some rows name no prompt: each is a prompt of its own, known by its content, so that "
            "equal rows of two files count as the same"
        )
    return notes


def warned(collides: str, rows: Rows, unit: str | None, per_unit: bool) -> tuple[str, ...]:
    """What takes ground from under a promise on these rows."""
    dependent = unit is not None and rows.coarse and not per_unit
    return tuple(filter(None, (collides, dependence(rows, unit or "") if dependent else "")))


def dependence(rows: Rows, unit: str) -> str:
    """What a unit that holds several prompts means for a test that counts prompts."""
    each = len(rows.prompts) / len(rows.units)
    return (
        f"a {unit} holds {each:.3g} prompts on average and all of them were counted as independent of "
        "one another: if those of one are right or wrong together, the promise fails more often than "
        f"stated (per_unit=True, or --per-unit, takes one prompt of each {unit})"
    )
