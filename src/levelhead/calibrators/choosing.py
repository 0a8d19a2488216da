"""Which calibrator: the simplest one that cross-validation cannot tell from the best."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray
from levelhead.calibrators._cross import (
    OutOfFold,
    Rows,
    Score,
    assign_folds,
    clone,
    clustered_mean,
    fit_rows,
    out_of_fold,
    row_losses,
    rows_of,
)
from levelhead.calibrators._foreign import (
    CalibratorLike,
    as_predicted,
    method_of,
    simplicity_of,
)
from levelhead.calibrators._table import AUTO, AUTO_AT_MOST, TABLE, make
from levelhead.errors import InvalidInputError, unknown_name

__all__ = ["Candidate", "Choice", "choose", "cross_fitted"]

Rule = Literal["one_se", "best"]
Inputs = Literal["logits", "probs"]

_SCORES = {"log": "log loss", "brier": "Brier score"}


ROUNDING = 1e-12
"""Losses that differ by less are one: a matrix that ends as a temperature is one up to its last bits."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One method of a comparison.

    Attributes:
        method: its name.
        loss: mean loss of the rows, each predicted by a fit without its fold; infinite where a row
            was stated with certainty and wrong, NaN where a fit failed.
        se: standard error of `loss`.
        difference: mean paired difference to the best method, at least 0.
        difference_se: its standard error; where groups are given, both are clustered by them.
        simplicity: rank among methods with equally good scores; the lower, the simpler.
        note: why it cannot win, or what else is to be said; else "".
    """

    method: str
    loss: float
    se: float
    difference: float
    difference_se: float
    simplicity: int
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Choice:
    """A chosen calibrator and how the choice was made.

    Attributes:
        calibrator: the chosen one, fitted on all rows; a `Calibrator`, unless one of somebody else's
            was among the methods and won.
        method: its name.
        candidates: all that were compared, the lowest loss first.
        reason: why this one, in a sentence or two.
    """

    calibrator: Any
    method: str
    candidates: tuple[Candidate, ...]
    reason: str


def choose(
    X: ArrayLike,
    y: ArrayLike,
    *,
    methods: Sequence[str | CalibratorLike] | None = None,
    inputs: Inputs = "logits",
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_folds: int = 5,
    score: Score = "log",
    rule: Rule = "one_se",
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> Choice:
    """The simplest calibrator whose cross-validated loss cannot be told from the best one's.

    choose the simplest m with mean(l_m - l_best) <= se(l_m - l_best)

    l_m are the losses of the rows, each predicted by a fit that did not see its fold. The differences
    are paired row by row, which takes out how hard a row is, and their standard error counts a group
    as one. Methods that are equally simple are taken in the order of their losses.

    Args:
        X: (N,) or (N, 1) confidences in [0, 1], or (N, K) columns of K classes.
        y: (N,) correctness in [0, 1], or (N,) class indices.
        methods: names in `TABLE` or calibrators, also of your own (see `CalibratorLike`), which count as
            the most complex unless they have a `simplicity`; by default those in `AUTO`, which are all
            that take such rows, except for the histogram: it does not keep the order of the confidences;
            and beyond 50,000 different confidences except for "venn_abers", which would take most of
            the time (it competes where it is named).
        inputs: for classes, whether the columns are "logits" or "probs"; calibrators that are given
            as objects keep their own.
        sample_weight: (N,) >= 0, or None. A row of weight 0 does not count.
        groups: (N,) labels (prompt ids) that no fold may split, or None.
        n_folds: at least 2, at most the number of groups (rows; for classes, different rows).
        score: "log", nats, unclipped, or "brier" (in [0, 1]; summed over the classes, [0, 2]).
        rule: "one_se" as above, or "best" for the lowest loss.
        seed: of the folds.
        on_step: is told what is fitted next; 100 classes and 10,000 rows take about 6 s.

    Returns:
        The choice: the calibrator, fitted on all rows, with all candidates and the reason.

    Raises:
        InvalidInputError: rows that no calibrator takes, of one class only, fewer groups than folds,
            an unknown method, or none that could be fitted with a finite loss.

    Edge cases: a method that fails or does not converge in a fold stays in the table with a note and
        cannot win; so does one that was certain and wrong, with an infinite loss (for the identity, one
        wrong answer at 100% is enough). A default method that is left out is in the table, with a note.
        Copies of a row of class scores with its label share a fold.
    Properties: the order of the rows does not matter; a rare class is in every fold where that is
        possible. The loss of the winner is optimistic, because it was picked for it: `cross_fitted`
        with "auto", or rows that were kept apart, are a fair test.
    Reference: Breiman et al. 1984, "Classification and Regression Trees", section 3.4 (the rule);
        Hastie, Tibshirani and Friedman 2009, section 7.10.

    Example:
        >>> said = np.repeat([0.6, 0.8, 0.9, 1.0], 50)
        >>> right = np.tile([1, 0], 100)
        >>> found = choose(said, right, methods=["identity", "temperature", "platt"])
        >>> found.method, found.candidates[-1].note
        ('temperature', 'infinite loss: it was certain of something that did not happen')
    """
    rows = rows_of(X, y, sample_weight, groups, inputs)
    if score not in _SCORES:
        raise unknown_name("score", str(score), _SCORES)
    if rule not in ("one_se", "best"):
        raise unknown_name("rule", str(rule), ("one_se", "best"))
    left_out = _left_out(rows) if methods is None else []
    named = _named(rows, methods, inputs)
    folds = assign_folds(rows, n_folds, seed)
    winner, candidates = _compared(rows, named, folds, score, rule, on_step)
    candidates += left_out
    chosen = candidates[winner]
    _tell(on_step, f"{chosen.method} on all rows")
    fitted = fit_rows(clone(named[chosen.method]), rows)
    reason = _reason(chosen, candidates, score, rule)
    return Choice(fitted, chosen.method, tuple(candidates), reason)


def cross_fitted(
    calibrator: str | CalibratorLike,
    X: ArrayLike,
    y: ArrayLike,
    *,
    inputs: Inputs = "logits",
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_folds: int = 5,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> FloatArray:
    """Calibrated values of all rows, each by a fit that did not see its fold.

    With "auto" the method is chosen anew without each fold, by a cross-validation inside of the other
    folds, so that the values are a fair test of choosing and fitting together.

    Args:
        calibrator: a name in `TABLE`, "auto", or a calibrator, also of your own.
        X: (N,) or (N, 1) confidences in [0, 1], or (N, K) columns of K classes.
        y: (N,) correctness in [0, 1], or (N,) class indices.
        inputs: for classes, whether the columns are "logits" or "probs".
        sample_weight: (N,) >= 0, or None.
        groups: (N,) labels (prompt ids) that no fold may split, or None.
        n_folds: at least 2, at most the number of groups (rows; for classes, different rows).
        seed: of the folds.
        on_step: is told what is fitted next.

    Returns:
        (N,) calibrated confidences or (N, K) class probabilities, in the order of the rows.

    Raises:
        InvalidInputError: rows that no calibrator takes, of one class only, fewer groups than folds,
            an unknown method, or a fit that fails without one of the folds.

    Edge cases: rows of weight 0 are predicted as well. Where fewer groups than `n_folds` are left for
        the choice inside, each of them is a fold.
    Properties: the folds are different functions, so values of different folds may be out of order
        although each function is monotone.
    Reference: Stone 1974 (cross-validatory choice and assessment).

    Example:
        >>> said, right = np.repeat([0.6, 0.8, 0.9, 1.0], 50), np.tile([1, 0], 100)
        >>> honest = cross_fitted("platt", said, right)
        >>> bool(np.abs(honest - 0.5).max() < 0.1)
        True
    """
    rows = rows_of(X, y, sample_weight, groups, inputs)
    auto = isinstance(calibrator, str) and calibrator == "auto"
    one = None if auto else _resolved(calibrator, rows, inputs)
    folds = assign_folds(rows, n_folds, seed)
    values = np.full(rows.X.shape, np.nan)
    for fold in range(n_folds):
        inside = folds == fold
        rest = rows.take(~inside)
        step = f"fold {fold + 1} of {n_folds}"
        if one is None:
            fitted = _chosen(rest, inputs, n_folds, seed, _prefixed(on_step, step))
        else:
            _tell(on_step, f"{step}: {method_of(one)}")
            fitted = fit_rows(clone(one), rest)
        values[inside] = as_predicted(fitted, rows.X[inside])
    return values


def _chosen(
    rows: Rows, inputs: Inputs, n_folds: int, seed: int, on_step: Callable[[str], None] | None
) -> CalibratorLike:
    named = _named(rows, None, inputs)
    folds = assign_folds(rows, min(n_folds, rows.n_units), seed)
    winner, candidates = _compared(rows, named, folds, "log", "one_se", on_step)
    return fit_rows(clone(named[candidates[winner].method]), rows)


def _named(
    rows: Rows, methods: Sequence[str | CalibratorLike] | None, inputs: Inputs
) -> dict[str, CalibratorLike]:
    """The candidates by name; two of one method go by what they were constructed with."""
    if isinstance(methods, str | CalibratorLike):
        raise InvalidInputError(
            f"methods: expected several, got the single {methods!r}; put it in a list"
        )
    if methods is None:
        out = {one.method for one in _left_out(rows)}
        methods = [one for one in AUTO[rows.input] if one not in out]
    listed = list(methods)
    if not listed:
        raise InvalidInputError("methods: expected at least one, got none")
    resolved = [_resolved(one, rows, inputs) for one in listed]
    names = [method_of(one) for one in resolved]
    named: dict[str, CalibratorLike] = {}
    for one in resolved:
        name = method_of(one) if names.count(method_of(one)) == 1 else repr(one)
        if name in named:
            raise InvalidInputError(f"methods: expected each once, got {name} twice")
        named[name] = one
    return named


def _left_out(rows: Rows) -> list[Candidate]:
    """The default methods that would take too long on so many different confidences."""
    if rows.input == "classes":
        return []
    n_different = int(np.unique(rows.X).size)
    return [
        Candidate(
            *(name, math.nan, math.nan, math.nan, math.nan, TABLE[name].simplicity),
            note=f"left out: more than {most:,} different confidences",
        )
        for name, most in AUTO_AT_MOST.items()
        if n_different > most
    ]


def _resolved(calibrator: object, rows: Rows, inputs: Inputs) -> CalibratorLike:
    if isinstance(calibrator, str):
        return make(calibrator, rows.input, inputs=inputs)
    if isinstance(calibrator, type) or not isinstance(calibrator, CalibratorLike):
        raise InvalidInputError(
            "calibrator: expected a name or a calibrator (an object with fit, predict and get_params), "
            f"got {calibrator.__name__ if isinstance(calibrator, type) else type(calibrator).__name__}"
        )
    made_for = getattr(calibrator, "input", rows.input)
    if made_for != rows.input:
        raise InvalidInputError(
            f"calibrator: expected one for {rows.input}, as X has shape {rows.X.shape}, got "
            f"{calibrator!r} for {made_for}"
        )
    return calibrator


def _compared(
    rows: Rows,
    named: dict[str, CalibratorLike],
    folds: IntArray,
    score: Score,
    rule: Rule,
    on_step: Callable[[str], None] | None,
) -> tuple[int, list[Candidate]]:
    """The place of the winner among the candidates, which are in the order of their losses."""
    outcomes: dict[str, OutOfFold] = {}
    losses: dict[str, FloatArray] = {}
    means: dict[str, tuple[float, float]] = {}
    for name, calibrator in named.items():
        _tell(on_step, name)
        found = outcomes[name] = out_of_fold(calibrator, rows, folds)
        if found.predicted is not None:
            losses[name] = row_losses(found.predicted, rows.y, score)
            means[name] = clustered_mean(losses[name], rows.weights, rows.groups)
    finite = [name for name, (mean, _) in means.items() if math.isfinite(mean)]
    if not finite:
        told = "; ".join(f"{name}: {_note(outcomes[name], name in means)}" for name in named)
        raise InvalidInputError(
            f"methods: expected one that can be fitted with a finite {_SCORES[score]}, got {told}"
        )
    best = min(finite, key=lambda name: (means[name][0], simplicity_of(named[name])))
    candidates: list[Candidate] = []
    eligible: set[str] = set()
    for name, calibrator in named.items():
        mean, se = means.get(name, (math.nan, math.nan))
        difference, spread = mean, se
        note = _note(outcomes[name], math.isinf(mean))
        if name in finite:
            with np.errstate(invalid="ignore"):  # what does not count may be infinite
                paired = losses[name] - losses[best]
            difference, spread = clustered_mean(paired, rows.weights, rows.groups)
            if difference <= (spread if rule == "one_se" else 0.0) + ROUNDING:
                eligible.add(name)
        candidates.append(
            Candidate(name, mean, se, difference, spread, simplicity_of(calibrator), note)
        )
    candidates.sort(key=lambda one: (math.isnan(one.loss), one.loss, one.simplicity))
    winner = min(
        (place for place, one in enumerate(candidates) if one.method in eligible),
        key=lambda place: (candidates[place].simplicity, place),
    )
    return winner, candidates


def _note(outcome: OutOfFold, infinite: bool) -> str:
    if outcome.problem:
        return outcome.problem
    if infinite:
        return "infinite loss: it was certain of something that did not happen"
    return outcome.note


def _reason(chosen: Candidate, candidates: list[Candidate], score: Score, rule: Rule) -> str:
    name = _plain(chosen.method)
    called = f"{name} (no calibration)" if chosen.simplicity == 0 else name
    text = f"{called}: cross-validated {_SCORES[score]} {chosen.loss:.4f} ± {chosen.se:.4f}"
    best = candidates[0]
    usable = [one for one in candidates if math.isfinite(one.loss)]
    simpler = [one for one in usable if one.simplicity < chosen.simplicity]
    if len(candidates) == 1:
        text += ", the only candidate"
    elif chosen is not best:
        text += (
            f"; {_plain(best.method)} is best with {best.loss:.4f}, within one standard error "
            f"({chosen.difference_se:.4f} for the paired difference {chosen.difference:.4f}), and "
            f"{name} is simpler"
        )
    elif rule == "best" or not simpler:
        text += f", the lowest of {len(usable)} candidates"
    else:
        text += (
            f", the lowest of {len(usable)} candidates, and no simpler one is within one standard "
            "error of it"
        )
    out = [_plain(one.method) for one in candidates if not math.isfinite(one.loss)]
    if out:
        text += f". Out of the running: {', '.join(out)}"
    return text


def _plain(method: str) -> str:
    """A method's name as it is asked for: `temperature`, also for class scores."""
    return method.removeprefix("class_")


def _prefixed(on_step: Callable[[str], None] | None, prefix: str) -> Callable[[str], None] | None:
    return None if on_step is None else lambda text: on_step(f"{prefix}: {text}")


def _tell(on_step: Callable[[str], None] | None, text: str) -> None:
    if on_step is not None:
        on_step(text)
