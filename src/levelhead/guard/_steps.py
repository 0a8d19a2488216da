"""What each step of a guard may use, and how it says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from levelhead._arrays import BoolArray, FloatArray, IntArray
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
        notes.append(f"{unlabeled:,} rows without a known truth were left out")
    silent = int((~rows.claim).sum())
    if silent:
        notes.append(
            f"{silent:,} rows claim nothing (refusals, or events without a probability) and were left "
            "out"
        )
    unstated = int((usable & np.isnan(rows.stated)).sum())
    if unstated:
        notes.append(f"{unstated:,} rows state no confidence, which is evidence too")
    if not rows.named:
        notes.append(
            "some rows name no prompt: each is a prompt of its own, known by its content, so that "
            "equal rows of two files count as the same"
        )
    return notes


def dependence(rows: Rows, unit: str) -> str:
    """What a unit that holds several prompts means for a test that counts prompts."""
    each = len(rows.prompts) / len(rows.units)
    return (
        f"a {unit} holds {each:.3g} prompts on average and all of them were counted as independent of "
        "one another: if those of one are right or wrong together, the promise fails more often than "
        f"stated (per_unit takes one prompt of each {unit})"
    )


def threshold_sentence(
    rows: Rows, picked: IntArray, seen: BoolArray, unit: str | None, per_unit: bool
) -> str:
    """Which rows a threshold was set on."""
    what = unit or "prompt"
    n = f"{picked.size:,} prompts" + (f", one of each {unit}," if per_unit and unit else "")
    known = distinct(rows.unit[seen])
    if not known:
        return f"the threshold was set on {n} that the fit had not seen (all of the file)"
    if known == len(rows.units):
        return f"the threshold was set on {n} of the threshold part of the file of the fit"
    return (
        f"the threshold was set on {n}: {known:,} of {len(rows.units):,} {what}s were in the file of "
        "the fit and count only where they are in its threshold part"
    )


def evaluated_sentence(
    n_prompts: int, left_out: int, fitted: bool, insisted: bool, unit: str | None
) -> str:
    """Which rows were judged, and whether that is fair."""
    what = unit or "prompt"
    if insisted:
        return f"Judged on {n_prompts:,} prompts, of which the guard has seen some: this is no fair test"
    if not left_out:
        return f"Judged on {n_prompts:,} prompts that the guard had not seen"
    where = "the test part of the file of the fit" if fitted else "those that it had not seen"
    return (
        f"Judged on {n_prompts:,} prompts, {where}; {left_out:,} rows were left out because the guard "
        f"learned from their {what}, or was given it to learn from"
    )
