"""A guard as a value: what was fitted, on what, and the scores that it gives."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, cast, get_args

import numpy as np

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead._sketch import Sketch
from levelhead.calibrators.scaling import PlattScaling
from levelhead.calibrators.stepwise import IsotonicCalibration
from levelhead.errors import InvalidInputError
from levelhead.guard._rows import (
    Rows,
    Select,
    answers,
    check_predictions,
    one_of,
    parts_of,
    rows_of,
    unanswered,
)
from levelhead.guard._seen import Seen, met_sentence, seen_of
from levelhead.guard.drift import ScoreReference
from levelhead.guard.features import OWN, features
from levelhead.guard.policy import Policy
from levelhead.guard.ranking import MARGIN, overconfident
from levelhead.guard.splits import PARTS
from levelhead.guard.verifier import Verifier
from levelhead.records import KINDS, Kind, Predictions

CALIBRATORS: dict[str, type[PlattScaling] | type[IsotonicCalibration]] = {
    "platt": PlattScaling,
    "isotonic": IsotonicCalibration,
}


N_HISTOGRAM = 20
MAX_COUNT = 2**63 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guard:
    """A second-pass judge of stated confidences, and what it may answer.

    verified confidence g = calibrator(verifier(features)) = P(the claim is correct)

    Attributes:
        kind: `answer` or `event`: what it was fitted on, and what it can be applied to.
        model: whose predictions these were.
        verifier: P(claim correct) from the evidence.
        calibrator: makes the verifier's probability true; fitted on other units than the verifier.
        policy: what is answered; None before `set_threshold`.
        reference: how the verified confidences were spread, one per prompt.
        histogram: the same scores in 20 bins of equal width, for a picture.
        unit: the column whose values are never split, or None for the prompt.
        seed: of the split.
        shares: of the units in each of `splits.PARTS`.
        select: `top`: the best answer of each prompt is given; `each`: every row is decided by itself.
        per_unit: whether the threshold counted one prompt per unit only.
        answers: whether the rows of the fit gave answers; a row without one is then never answered.
        fit_units: the units of the file that it was fitted on, all parts of it.
        fit_rows: its rows by their content, which tells other units of the same names.
        threshold_units: the units that the threshold was set on, or None.
        threshold_contents: the rows of these by their content, or None.
        threshold_rows: which rows that were, in a sentence; "" before.
        warnings: what takes ground from under the promise, one sentence each.
        counts: units, prompts and rows with a known truth in each part of the fit.
        notes: what must be known about the fit, one sentence each.
    """

    kind: Kind
    model: str
    verifier: Verifier
    calibrator: PlattScaling | IsotonicCalibration
    policy: Policy | None = None
    reference: ScoreReference
    histogram: tuple[int, ...] = ()
    unit: str | None
    seed: int
    shares: tuple[float, ...]
    select: Select
    per_unit: bool = False
    answers: bool
    fit_units: Sketch
    fit_rows: Sketch
    threshold_units: Sketch | None = None
    threshold_contents: Sketch | None = None
    threshold_rows: str = ""
    warnings: tuple[str, ...] = ()
    counts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        verifier = f"{self.verifier.model} on {len(self.verifier.names)} features"
        found = "no threshold" if self.policy is None else repr(self.policy.promise)
        return f"Guard({self.kind}s of {self.model!r}, {verifier}, {found})"

    @property
    def evidence(self) -> tuple[str, ...]:
        """The columns of the user's own that it looks at, and that new files need."""
        own = (name for name in self.verifier.names if name.startswith(OWN))
        return tuple(name.removeprefix(OWN) for name in own)

    def seen(self, rows: Rows, predictions: Predictions, fresh: bool = False) -> Seen:
        """Which of the rows it has met; `fresh` declares that equal ids are other units."""
        return seen_of(
            rows,
            predictions,
            self.verifier.names,
            units=(self.fit_units, self.threshold_units),
            contents=(self.fit_rows, self.threshold_contents),
            test=parts_of(rows, self.seed, self.shares) == PARTS.index("test"),
            fresh=fresh,
        )

    def unanswered(self, predictions: Predictions) -> int:
        """How many rows it never answers because their own answer is empty."""
        return int(unanswered(predictions, self.answers).sum())

    def met(self, predictions: Predictions) -> str:
        """What it means that it has met these rows, in a sentence; "" where it has met none.

        By the ids of the prompts: new files need no column that says what is never split.
        """
        named = self.unit in (None, *predictions.columns.column_names)
        if not named:
            return ""
        rows = rows_of(predictions, self.unit, self.answers)
        return met_sentence(self.seen(rows, predictions), rows, self.unit)

    def state(self) -> dict[str, Any]:
        """Everything as plain JSON values; floats stay exact."""
        return {
            "kind": self.kind,
            "model": self.model,
            "unit": self.unit,
            "seed": self.seed,
            "shares": list(self.shares),
            "select": self.select,
            "per_unit": self.per_unit,
            "policy": None if self.policy is None else self.policy.state(),
            "verifier": self.verifier.state(),
            "calibrator": {
                "method": self.calibrator.method,
                "params": self.calibrator.get_params(),
                "state": self.calibrator.state(),
            },
            "reference": self.reference.state(),
            "histogram": list(self.histogram),
            "answers": self.answers,
            "fit_units": self.fit_units.to_json(),
            "fit_rows": self.fit_rows.to_json(),
            "threshold_units": _kept(self.threshold_units),
            "threshold_contents": _kept(self.threshold_contents),
            "threshold_rows": self.threshold_rows,
            "warnings": list(self.warnings),
            "counts": {part: dict(found) for part, found in self.counts.items()},
            "notes": list(self.notes),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Guard:
        """The guard that `state` described; it scores bit for bit the same.

        Args:
            state: what `state` returned, through JSON or not.

        Returns:
            The guard.

        Raises:
            InvalidInputError: an entry is missing or does not fit.
        """
        try:
            _check_numbers(state)
            return cls._restored(state)
        except InvalidInputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InvalidInputError(
                f"guard: expected what fit_guard wrote, got {type(error).__name__} {error}; fit it "
                "again"
            ) from error

    @classmethod
    def _restored(cls, state: Mapping[str, Any]) -> Guard:
        if state["kind"] not in KINDS or state["select"] not in get_args(Select):
            raise InvalidInputError(
                f"guard: expected a kind and a way to select, got {state['kind']!r} and "
                f"{state['select']!r}; fit it again"
            )
        kept = state["calibrator"]
        if kept["method"] not in CALIBRATORS:
            raise InvalidInputError(
                f"guard: expected a calibrator among {', '.join(CALIBRATORS)}, got "
                f"{kept['method']!r}; fit it again"
            )
        return cls(
            kind=state["kind"],
            model=str(state["model"]),
            verifier=Verifier.from_state(state["verifier"]),
            calibrator=CALIBRATORS[kept["method"]].from_state(kept["params"], kept["state"]),
            policy=None if state["policy"] is None else Policy.from_state(state["policy"]),
            reference=ScoreReference.from_state(state["reference"]),
            histogram=tuple(int(count) for count in state["histogram"]),
            unit=None if state["unit"] is None else str(state["unit"]),
            seed=int(state["seed"]),
            shares=tuple(float(share) for share in state["shares"]),
            select=state["select"],
            per_unit=bool(state["per_unit"]),
            answers=bool(state["answers"]),
            fit_units=Sketch.from_json(state["fit_units"]),
            fit_rows=Sketch.from_json(state["fit_rows"]),
            threshold_units=_restored(state["threshold_units"]),
            threshold_contents=_restored(state["threshold_contents"]),
            threshold_rows=str(state["threshold_rows"]),
            warnings=tuple(str(warning) for warning in state["warnings"]),
            counts=_counts(state["counts"]),
            notes=tuple(str(note) for note in state["notes"]),
        )


def _check_numbers(state: Mapping[str, Any]) -> None:
    """Refuse numbers that no guard holds and no array can, wherever they are."""
    rest: list[Any] = [value for name, value in state.items() if name != "seed"]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest.extend(cast(dict[str, Any], value).values())
        elif isinstance(value, list):
            rest.extend(cast(list[Any], value))
        elif (isinstance(value, int) and abs(value) > MAX_COUNT) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            raise InvalidInputError(
                "guard: expected finite numbers and counts below 2^63, got others; fit it again"
            )


def _counts(state: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    kinds = ("units", "prompts", "rows")
    return {part: {kind: int(state[part][kind]) for kind in kinds} for part in PARTS}


def _kept(sketch: Sketch | None) -> dict[str, Any] | None:
    return None if sketch is None else sketch.to_json()


def _restored(state: object) -> Sketch | None:
    return None if state is None else Sketch.from_json(state)


def histogram(score: FloatArray) -> tuple[int, ...]:
    """Counts of the scores in equal bins of [0, 1]; NaN in none."""
    counts = np.histogram(score[~np.isnan(score)], bins=N_HISTOGRAM, range=(0.0, 1.0))[0]
    return tuple(int(count) for count in counts)


@dataclasses.dataclass(frozen=True)
class Scored:
    """Rows with the guard's scores."""

    rows: Rows
    score: FloatArray  # (N,) verified confidence in the claim; NaN where there is no claim
    ranks: IntArray  # (N,) from 1; 0 where there is no claim
    chosen: IntArray  # the row that stands for each prompt with a claim


def scored(guard: Guard, predictions: Predictions, rows: Rows | None = None) -> Scored:
    """The verified confidence of every row, and which row stands for each prompt.

    Ranks follow the verifier, whose order the calibrator keeps and may only blunt.
    """
    check_predictions(predictions)
    if predictions.kind != guard.kind:
        raise InvalidInputError(
            f"predictions: expected {guard.kind}s, which the guard was fitted on, got "
            f"{predictions.kind}s"
        )
    rows = rows_of(predictions, None, guard.answers) if rows is None else rows
    raw = guard.verifier.predict(features(predictions, guard.verifier.names).values)
    score = np.full(raw.size, np.nan)
    if rows.claim.any():
        score[rows.claim] = guard.calibrator.predict(raw[rows.claim])
    ranks, chosen = answers(rows, raw, predictions, guard.select, guard.seed)
    return Scored(rows, score, ranks, chosen)


def flagged(guard: Guard, found: Scored) -> BoolArray:
    """(N,) whether the stated confidence exceeds the verified one by more than the margin."""
    margin = MARGIN if guard.policy is None else guard.policy.margin
    flags, claim = np.zeros(found.score.size, dtype=np.bool_), found.rows.claim
    if claim.any():
        flags[claim] = overconfident(found.rows.stated[claim], found.score[claim], margin)
    return flags


def per_unit_of(picked: IntArray, found: Scored, seed: int) -> IntArray:
    """Of rows that stand for prompts, one for each unit, whatever its truth."""
    score = np.where(np.isnan(found.score), -1.0, found.score)
    return np.sort(one_of(picked, found.rows.unit, found.rows.units, score, seed, "prompt"))


def own_reading(kind: Kind, score: FloatArray, predictions: Predictions) -> FloatArray:
    """P(claim correct) as the confidence of the kind: P(event) for events."""
    if kind == "answer":
        return score
    claims = features(predictions, ("claims_event",)).values[:, 0]
    return np.where(claims == 1.0, score, 1.0 - score)
