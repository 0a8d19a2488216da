"""The guard: fit it, set its threshold, apply it, and judge it on rows that it has not seen.

The units (prompts, or the values of a column) are split by hash into four parts: the verifier learns
on one, its calibrator on the next, the threshold is set on the third and the last is kept for
`evaluate`. Because the part follows from the unit alone, each step finds its rows again in any file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from levelhead._sketch import Sketch
from levelhead.calibrators.scaling import PlattScaling
from levelhead.calibrators.stepwise import IsotonicCalibration
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.guard._evaluate import Judged, evaluated
from levelhead.guard._files import load, save
from levelhead.guard._guard import (
    Guard,
    flagged,
    histogram,
    own_reading,
    per_unit_of,
    scored,
)
from levelhead.guard._rows import (
    REFUSAL,
    Select,
    check_predictions,
    gives_answers,
    parts_of,
    rows_of,
)
from levelhead.guard._seen import collision, evaluated_sentence, row_keys, threshold_sentence
from levelhead.guard._steps import (
    check_part,
    column,
    counted,
    decisions,
    distinct,
    fit_notes,
    per_prompt,
    thresholds,
    warned,
)
from levelhead.guard.drift import ScoreReference
from levelhead.guard.evaluation import Evaluation
from levelhead.guard.features import features as features_of
from levelhead.guard.policy import ABSTAIN, Policy, decision_names
from levelhead.guard.ranking import MARGIN, shown_confidence
from levelhead.guard.splits import PARTS, SHARES
from levelhead.guard.verifier import Model, fit_verifier
from levelhead.records import PROVENANCES, Predictions

__all__ = [
    "ADDED",
    "Evaluation",
    "Guard",
    "apply_guard",
    "evaluate",
    "fit_guard",
    "load",
    "save",
    "set_threshold",
]

ISOTONIC_PROMPTS = 1000
"""From so many calibration prompts on, the calibrator may have any monotone shape."""

SKETCH_SIZE = 1_000_000
"""Units whose names are kept, 16 bytes of the file each; beyond that it cannot tell of every one."""

ADDED = ("stated_confidence", "verified", "shown", "overconfident", "rank", "decision")
"""The columns that `apply_guard` adds; `decision` once there is a threshold."""

TRAIN, CALIBRATE, THRESHOLD, TEST = range(4)


def fit_guard(
    predictions: Predictions,
    *,
    unit: str | None = None,
    features: Sequence[str] | None = None,
    evidence: Sequence[str] = (),
    model: Model = "logistic",
    select: Select = "top",
    seed: int = 0,
    shares: Sequence[float] = SHARES,
) -> Guard:
    """Fit a verifier and its calibrator to predictions whose truth is known.

    The verifier learns on the units of the first part, the calibrator (Platt scaling; isotonic
    regression from 1,000 prompts on) on those of the second. The other two are not touched.

    Args:
        predictions: answers or events of one model, with labels.
        unit: column whose values are never split, such as a gene or a document; None: the prompt.
        features: names in `features.TABLE`; None takes what the records carry evidence for.
        evidence: columns of numbers of your own, each a feature besides; new files need them too.
        model: `logistic` or `boosting`, see `verifier.fit_verifier`.
        select: `top`: of several answers to a prompt the best-ranked is the one that is given;
            `each`: every row is decided by itself.
        seed: decides the split, the folds and which row stands for a prompt.
        shares: of the units to train, calibrate, threshold and test.

    Returns:
        The guard, which has no threshold yet.

    Raises:
        InvalidInputError: an unknown column, feature or option, a prompt in two units, or too few
            prompts, or only right or only wrong claims, in a part.

    Edge cases: a missing confidence is evidence and stays in; refusals, rows without a truth, events
        without a probability, and rows whose answer is empty where others have one are left out. A
        row without a prompt id is a prompt of its own, known by its content.
    Properties: independent of the row order, to rounding.
    Reference: platt scaling: Platt 1999.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> support = rng.random(2000)
        >>> p = Predictions.from_arrays(
        ...     "answer", [0.9] * 2000, rng.random(2000) < support,
        ...     prompt_id=range(2000), columns={"retrieval_support": support})
        >>> guard = fit_guard(p)
        >>> guard.calibrator.method, guard.verifier.explain()[0].name
        ('platt', 'retrieval_support')
    """
    if select not in get_args(Select):
        raise unknown_name("select", str(select), get_args(Select))
    rows = rows_of(predictions, unit)
    given = tuple(float(share) for share in shares)
    parts = parts_of(rows, seed, given)
    usable = rows.claim & ~np.isnan(rows.correct)
    found = features_of(predictions, features, evidence)
    masks = [usable & (parts == part) for part in range(len(PARTS))]
    for part in (TRAIN, CALIBRATE):
        check_part(rows, masks[part], PARTS[part])
    weight = predictions.weight
    train, calibrate = masks[TRAIN], masks[CALIBRATE]
    verifier = fit_verifier(
        found.values[train],
        found.names,
        rows.correct[train],
        weights=None if weight is None else weight[train],
        groups=[rows.units[code] for code in rows.unit[train].tolist()],
        model=model,
        seed=seed,
    )
    isotonic = distinct(rows.prompt[calibrate]) >= ISOTONIC_PROMPTS
    calibrator = IsotonicCalibration() if isotonic else PlattScaling()
    calibrator.fit(
        verifier.predict(found.values[calibrate]),
        rows.correct[calibrate],
        sample_weight=None if weight is None else weight[calibrate],
    )
    draft = Guard(
        kind=predictions.kind,
        model=predictions.model,
        verifier=verifier,
        calibrator=calibrator,
        reference=ScoreReference.of([0.5]),
        unit=unit,
        seed=int(seed),
        shares=given,
        select=select,
        answers=gives_answers(predictions),
        fit_units=Sketch.of(rows.units, SKETCH_SIZE),
        fit_rows=Sketch.of(row_keys(predictions, found.names, found.values)),
        counts={name: counted(rows, masks[i]) for i, name in enumerate(PARTS)},
        notes=(*fit_notes(rows, usable), *verifier.notes),
    )
    seen = scored(draft, predictions, rows)
    kept = seen.score[seen.chosen[calibrate[seen.chosen]]]
    return dataclasses.replace(draft, reference=ScoreReference.of(kept), histogram=histogram(kept))


def set_threshold(
    guard: Guard,
    predictions: Predictions,
    *,
    max_error: float,
    delta: float = 0.05,
    by: str | None = None,
    method: Literal["ltt", "crc"] = "ltt",
    n_min: int | Literal["tenth"] | None = "tenth",
    escalate_above: float | None = None,
    margin: float = MARGIN,
    per_unit: bool | None = None,
    fresh: bool = False,
) -> Guard:
    """Decide what the guard answers, so that the error rate among the answered keeps a promise.

    One (verified confidence, error) pair per prompt goes into `threshold.risk_threshold` (`ltt`),
    so the promise is about prompts: P(error rate among answered prompts <= max_error) >= 1 - delta.

    Args:
        guard: from `fit_guard`.
        predictions: rows with labels. Units that were in the file of the fit count only where they
            are in its threshold part; all others count whole.
        max_error: the error rate to keep among the answered, in (0, 1); for `crc` the mean loss per
            prompt.
        delta: in how many samples the promise may fail, in (0, 1).
        by: column of slices that get a threshold each, at delta / D; `ltt` only.
        method: `ltt` (error rate among the answered, with high probability) or `crc` (errors per
            prompt, on average).
        n_min: see `threshold.risk_threshold`.
        escalate_above: verified confidence from which a prompt that is not answered is handed on.
        margin: how far a stated confidence may exceed the verified one before it is flagged.
        per_unit: take one prompt of each unit, at random; the promise is then about a random prompt
            of a new unit. The test needs prompts that are independent of one another, and those of
            one gene or document are often right or wrong together. None: where a unit holds several
            prompts. False uses all of them, and the promise can fail far more often than stated.
        fresh: declares that the ids of these rows number other prompts (or units) than those of the
            fit, so that equal ids mean nothing. Refused where the rows are those of the fit.

    Returns:
        The guard with a policy. Where nothing may be answered, it abstains always and says why.

    Raises:
        InvalidInputError: no rows are left, an unknown column, or an option out of its range.

    Edge cases: refusals, and rows whose answer is empty where others have one, count as prompts that
        are never answered; a prompt whose chosen row has no truth is left out. Where ids are known
        and the rows are not, they are left out all the same, and `warnings` says so.
    Properties: independent of the row order; which row stands for a prompt does not depend on truth.
    Reference: Angelopoulos et al. 2021 (arXiv:2110.01052), 2022 (arXiv:2208.02814).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> support = rng.random(2000)
        >>> p = Predictions.from_arrays(
        ...     "answer", [0.9] * 2000, rng.random(2000) < support,
        ...     prompt_id=range(2000), columns={"retrieval_support": support})
        >>> guard = set_threshold(fit_guard(p), p, max_error=0.3)
        >>> guard.policy.promise.partition(",")[0]
        'At most 30% of the answered are wrong'
    """
    if method not in ("ltt", "crc"):
        raise unknown_name("method", str(method), ("ltt", "crc"))
    rows = rows_of(predictions, guard.unit, guard.answers)
    per_unit = rows.coarse if per_unit is None else per_unit
    bare = dataclasses.replace(guard, threshold_units=None, threshold_contents=None)
    seen = bare.seen(rows, predictions, fresh)
    allowed = ~seen.fitted | (parts_of(rows, guard.seed, guard.shares) == THRESHOLD)
    left_out = int((~allowed).sum())
    collides = collision(seen, rows, left_out, guard.unit)
    if not allowed.any():
        raise InvalidInputError(
            "predictions: expected rows that the guard was not fitted on, or of its threshold part, "
            f"got none; {collides or 'give other rows'}"
        )
    found = scored(guard, predictions, rows)
    picked = per_prompt(found.chosen, rows, allowed)
    picked = picked[(found.ranks[picked] == 0) | ~np.isnan(rows.correct[picked])]
    if per_unit:
        picked = per_unit_of(picked, found, guard.seed)
    if not picked.size:
        raise InvalidInputError(
            "predictions: expected prompts with a known truth to set a threshold on, got none"
        )
    score = found.score[picked]
    error = np.where(found.ranks[picked] == 0, 0.0, 1.0 - rows.correct[picked])
    named = None if by is None else column(predictions, by)
    slices = None if named is None else [named[i] for i in picked.tolist()]
    found_thresholds = thresholds(
        slices, score, error, max_error=max_error, delta=delta, method=method, n_min=n_min
    )
    policy = Policy(found_thresholds, by, escalate_above, margin)
    return dataclasses.replace(
        guard,
        policy=policy,
        reference=guard.reference if np.isnan(score).all() else ScoreReference.of(score),
        histogram=histogram(score),
        per_unit=per_unit,
        threshold_units=Sketch.of(
            [rows.units[u] for u in np.unique(rows.unit[allowed])], SKETCH_SIZE
        ),
        threshold_contents=Sketch.of(row_keys(predictions.take(allowed), guard.verifier.names)),
        threshold_rows=threshold_sentence(rows, picked.size, seen, left_out, guard.unit, per_unit),
        warnings=warned(collides, rows, guard.unit, per_unit),
    )


def apply_guard(guard: Guard, predictions: Predictions) -> Predictions:
    """The predictions with the verified confidence in place of the stated one, and a decision.

    Adds the columns `stated_confidence` (as it was), `verified` (P(claim correct)), `shown` (the
    lower of the two), `overconfident` (stated exceeds verified by more than the margin), `rank`
    (among the prompt's answers, 1 is best) and, with a threshold, `decision`.

    Args:
        guard: from `fit_guard` or `set_threshold`.
        predictions: of the same kind, with the evidence columns that the guard uses; labels are not
            needed and not looked at.

    Returns:
        The same rows in the same order. `confidence` is the verified one in the kind's own reading;
        where none was stated, it now has the status `ok`.

    Raises:
        InvalidInputError: another kind, evidence columns that are missing, or predictions that went
            through a guard already.

    Edge cases: a refusal, an event without a probability, and a row whose answer is empty where the
        rows of the fit have one (its status becomes `refusal`), has no verified confidence, no rank,
        and the decision `abstain`. With `select="top"` only the row that is given gets a decision
        other than `abstain`, so that filtering on `answer` leaves at most one row per prompt.
    Properties: row order is kept; the values do not depend on it, nor on other prompts.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> support = rng.random(2000)
        >>> p = Predictions.from_arrays(
        ...     "answer", [0.9] * 2000, rng.random(2000) < support,
        ...     prompt_id=range(2000), columns={"retrieval_support": support})
        >>> guard = set_threshold(fit_guard(p), p, max_error=0.3)
        >>> new = Predictions.from_arrays(
        ...     "answer", [0.9, 0.9], [None, None], columns={"retrieval_support": [0.95, 0.05]})
        >>> apply_guard(guard, new).columns["decision"].to_pylist()
        ['answer', 'abstain']
    """
    check_predictions(predictions)
    columns = predictions.columns
    again = [name for name in ADDED if name in columns.column_names]
    if again:
        raise InvalidInputError(
            f"predictions: expected some without the column {again[0]!r}, got some that have it; "
            "apply a guard to the stated confidences, once"
        )
    found = scored(guard, predictions)
    claim = found.rows.claim
    stated, score = found.rows.stated, found.score
    shown = np.full(score.size, np.nan)
    if claim.any():
        shown[claim] = shown_confidence(stated[claim], score[claim])
    added: dict[str, Any] = {
        "stated_confidence": pa.array(predictions.confidence, from_pandas=True),
        "verified": pa.array(score, from_pandas=True),
        "shown": pa.array(shown, from_pandas=True),
        "overconfident": pa.array(flagged(guard, found)),
        "rank": pa.array(found.ranks, mask=found.ranks == 0),
    }
    if guard.policy is not None:
        decision = decisions(guard.policy, predictions, score)
        if guard.select == "top":
            given = np.zeros(score.size, np.bool_)
            given[found.chosen] = True
            decision[~given] = ABSTAIN
        added["decision"] = pa.array(decision_names(decision), pa.string())
    kept = {name: columns[name] for name in columns.column_names}
    computed = np.int8(PROVENANCES.index("computed"))
    return dataclasses.replace(
        predictions,
        confidence=own_reading(guard.kind, score, predictions),
        status=np.where(
            claim, np.int8(0), np.where(found.rows.silent, np.int8(REFUSAL), predictions.status)
        ),
        provenance=np.where(claim, computed, predictions.provenance),
        columns=pa.table({**kept, **added}),
    )


def evaluate(
    guard: Guard,
    predictions: Predictions,
    *,
    on_fit_rows: bool = False,
    by: str | None = None,
    fresh: bool = False,
    seed: int = 0,
) -> Evaluation:
    """How the guard does on rows that neither its fit nor its threshold has seen.

    Args:
        guard: from `fit_guard` or `set_threshold`.
        predictions: with labels. Units of the fit count only where they are in its test part, units
            of the threshold's rows not at all; the others count whole.
        on_fit_rows: judge all rows, seen or not; the result is then marked as no fair test.
        by: column of slices to report; None: those of the policy.
        fresh: as for `set_threshold`: equal ids are other prompts.
        seed: of the null distributions.

    Returns:
        The evaluation. Each prompt counts once for coverage and errors (one prompt of each unit where
        the threshold was set so), and every row for the quality of the confidences.

    Raises:
        InvalidInputError: no rows are left, or an unknown column.

    Edge cases: rows without a truth count for coverage only.
    Reference: the interval of the error rate: Clopper and Pearson 1934.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> support = rng.random(2000)
        >>> p = Predictions.from_arrays(
        ...     "answer", [0.9] * 2000, rng.random(2000) < support,
        ...     prompt_id=range(2000), columns={"retrieval_support": support})
        >>> found = evaluate(set_threshold(fit_guard(p), p, max_error=0.3), p)
        >>> found.verdict, found.verified.ece < found.stated.ece
        ('kept', True)
    """
    whole = rows_of(predictions, guard.unit, guard.answers)
    seen = guard.seen(whole, predictions, fresh)
    test = parts_of(whole, guard.seed, guard.shares) == TEST
    spent = (seen.fitted & ~test) | seen.bound
    keep = np.ones(spent.size, np.bool_) if on_fit_rows else ~spent
    left_out = int((~keep).sum())
    collides = collision(seen, whole, left_out, guard.unit)
    if not keep.any():
        raise InvalidInputError(
            "predictions: expected rows that the guard has not seen, or of its test part, got none; "
            + (collides or "give other rows, or judge it on these with on_fit_rows=True")
        )
    insisted = bool((spent & keep).any())
    kept = predictions.take(keep)
    rows = rows_of(kept, guard.unit, guard.answers)
    found = scored(guard, kept, rows)
    picked = per_prompt(found.chosen, rows, np.ones(len(kept), np.bool_))
    if guard.per_unit:
        picked = per_unit_of(picked, found, guard.seed)
    policy = guard.policy
    decision = None if policy is None else decisions(policy, kept, found.score)
    by = policy.by if by is None and policy is not None else by
    judged = Judged(
        guard=guard,
        predictions=kept,
        found=found,
        picked=picked,
        decision=decision,
        confidence=own_reading(guard.kind, found.score, kept),
        by=by,
        slices=None if by is None else column(kept, by),
        left_out=left_out,
        on_fit_rows=insisted,
        sentence=evaluated_sentence(whole, len(rows.prompts), seen, keep, insisted, guard.unit),
        collides=collides,
    )
    return evaluated(judged, seed)
