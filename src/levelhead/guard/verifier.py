"""The verifier: a second model that does nothing but judge the first one's confidence.

From the evidence of a row (`features`) it computes P(claim correct). L2 logistic regression unless
stated otherwise, because its weights can be read; boosted trees where scikit-learn is there to grow
them. What it knows is plain numbers that go through JSON exactly.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from scipy import special

from levelhead._arrays import (
    ArrayLike,
    BoolArray,
    FloatArray,
    IntArray,
    codes,
    probabilities,
    real,
    weights_or_none,
)
from levelhead.errors import DataWarning, InvalidInputError, unknown_name
from levelhead.guard._logistic import choose_l2, fit_logistic, log_losses, logits
from levelhead.guard._trees import Trees, grow
from levelhead.guard.splits import folds

__all__ = ["EPS", "STATED", "Column", "Effect", "Model", "Verifier", "fit_verifier"]

Model = Literal["logistic", "boosting"]

STATED = "stated"
"""The feature that is a probability and enters a second time as its logit."""

EPS = 1e-3
"""The stated confidence is clipped to [EPS, 1 - EPS] before its logit: certainty is finite."""

N_FOLDS = 5
DEFAULT_L2 = 1.0  # where cross-validation cannot judge
CONSTANT = 1e-12  # a column whose spread is below this share of its size says nothing


@dataclasses.dataclass(frozen=True)
class Column:
    """One input of the model, made from one feature.

    Attributes:
        feature: index of the feature among `Verifier.names`.
        form: `value`, `logit` (of a probability) or `missing` (1 where the feature is NaN, else 0).
        name: what `explain` calls it.
        fill: what a missing value becomes: the median of the fit rows, before any logit.
        low, high: the smallest and largest value on the fit rows; beyond them is clipped, because
            nothing is known there.
        center, scale: mean and standard deviation on the fit rows.
    """

    feature: int
    form: str
    name: str
    fill: float
    low: float
    high: float
    center: float
    scale: float

    def raw(self, values: FloatArray) -> FloatArray:
        """(N,) this column before standardization, from (N, F) features."""
        x = values[:, self.feature]
        absent = np.isnan(x)
        if self.form == "missing":
            return absent.astype(np.float64)
        if absent.any():
            x = np.where(absent, self.fill, x)
        return logits(x, EPS) if self.form == "logit" else x

    def standardized(self, values: FloatArray) -> FloatArray:
        """(N,) this column with mean 0 and standard deviation 1 on the fit rows."""
        return (np.clip(self.raw(values), self.low, self.high) - self.center) / self.scale


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one input does to the verified confidence.

    Attributes:
        name: the input.
        weight: log-odds per standard deviation of the input (logistic), or its share of the total
            gain, in [0, 1] (boosting).
        center: mean on the fit rows, in the input's own unit.
        scale: standard deviation on the fit rows, in the input's own unit.
    """

    name: str
    weight: float
    center: float
    scale: float


@dataclasses.dataclass(frozen=True)
class Verifier:
    """P(claim correct) from features, as plain numbers.

    Attributes:
        names: (F,) the features that it expects, in this order.
        columns: the inputs made of them.
        model: `logistic` or `boosting`.
        intercept: log-odds of an average row (logistic).
        weights: one for each column, log-odds per standard deviation (logistic).
        trees: the trees (boosting), else None.
        l2: the penalty on the squared weights (logistic), else None.
        n: rows that it was fitted on.
        loss: mean log loss on them, nats.
        converged: whether the fit reached its tolerance.
        notes: what was dropped or assumed, one sentence each.
    """

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    model: Model
    intercept: float
    weights: tuple[float, ...]
    trees: Trees | None
    l2: float | None
    n: int
    loss: float
    converged: bool
    notes: tuple[str, ...]

    def predict(self, values: ArrayLike) -> FloatArray:
        """The probability that each row's claim is correct, before calibration.

        Args:
            values: (N, F) features in the order of `names`; NaN where a row has no evidence.

        Returns:
            (N,) float64 in [0, 1].

        Raises:
            InvalidInputError: another number of features, or an infinite value.
        """
        x = _matrix(values, self.names)
        if self.model == "boosting" and self.trees is not None:
            return self.trees.predict(_stacked([c.raw(x) for c in self.columns], x.shape[0]))
        score = np.full(x.shape[0], self.intercept)
        for column, weight in zip(self.columns, self.weights, strict=True):
            score += weight * column.standardized(x)
        return special.expit(score)

    def explain(self) -> list[Effect]:
        """What each input contributes, strongest first."""
        shares = self.weights if self.trees is None else self.trees.importance
        rows = [
            Effect(column.name, weight, column.center, column.scale)
            for column, weight in zip(self.columns, shares, strict=True)
        ]
        return sorted(rows, key=lambda row: (-abs(row.weight), row.name))

    def state(self) -> dict[str, Any]:
        """Everything as plain lists, texts and numbers."""
        content = dataclasses.asdict(dataclasses.replace(self, trees=None))
        content["trees"] = None if self.trees is None else self.trees.state()
        content["columns"] = [dataclasses.asdict(column) for column in self.columns]
        return content

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Verifier:
        """The verifier that `state` described.

        Args:
            state: what `state` returned, through JSON or not.

        Returns:
            A verifier that predicts the same, bit for bit.

        Raises:
            InvalidInputError: an entry is missing or does not fit the others.
        """
        try:
            names = tuple(str(name) for name in state["names"])
            columns = tuple(_column(one) for one in state["columns"])
            trees = state["trees"]
            model = state["model"]
            weights = tuple(float(one) for one in state["weights"])
            verifier = cls(
                names=names,
                columns=columns,
                model=model,
                intercept=float(state["intercept"]),
                weights=weights,
                trees=None if trees is None else Trees.from_state(trees, len(columns)),
                l2=None if state["l2"] is None else float(state["l2"]),
                n=int(state["n"]),
                loss=float(state["loss"]),
                converged=bool(state["converged"]),
                notes=tuple(str(note) for note in state["notes"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidInputError(
                f"verifier: expected what fit_verifier wrote, got {type(error).__name__} {error}; "
                "fit it again"
            ) from error
        right = len(columns) if model == "logistic" else 0
        fits = all(0 <= c.feature < len(names) for c in columns) and len(weights) == right
        if model not in get_args(Model) or not fits or (model == "boosting") != (trees is not None):
            raise InvalidInputError(
                "verifier: expected a model whose columns and weights fit together, got others; "
                "fit it again"
            )
        return verifier


def _column(state: Mapping[str, Any]) -> Column:
    """The input that a state describes."""
    feature, form = state["feature"], state["form"]
    if type(feature) is not int or form not in ("value", "logit", "missing"):
        raise ValueError(f"a column of feature {feature!r} and form {form!r}")
    numbers = {name: float(state[name]) for name in ("fill", "low", "high", "center", "scale")}
    return Column(feature, form, str(state["name"]), **numbers)


def fit_verifier(
    values: ArrayLike,
    names: Sequence[str],
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    model: Model = "logistic",
    l2: Literal["auto"] | float = "auto",
    seed: int = 0,
) -> Verifier:
    """The model that predicts from the evidence whether a claim is correct.

    min over b0, b of sum_i w_i L(y_i, sigmoid(b0 + z_i b)) + l2 / 2 |b|^2

    with L the log loss and z the inputs, standardized on the fit rows. A feature enters as its value
    (a missing one as the median) and, where some but not all rows lack it, as a flag; the feature
    `stated` also as its logit, clipped to [0.001, 0.999]. Inputs that are constant, or
    equal to an earlier one, are dropped with a note. l2 = 1/C of scikit-learn.

    Args:
        values: (N, F) features, finite or NaN (no evidence).
        names: (F,) their names, each once.
        correct: (N,) in [0, 1], whether the claim was right; a fraction is an expected correctness.
        weights: (N,) finite weights >= 0; 3 is the same as three copies.
        groups: (N,) labels; rows of one group are never split between folds. None: each its own.
        model: `logistic`, or `boosting` (100 trees of depth 3; needs scikit-learn to fit, not to
            apply).
        l2: penalty > 0 on the standardized weights, never on the intercept; `auto` takes, of
            1e4, 1e3, ..., 1e-2, the one with the smallest log loss in 5-fold cross-validation.
        seed: decides the folds (and ties between splits of trees).

    Returns:
        The fitted verifier.

    Raises:
        InvalidInputError: no rows, lengths that differ, an infinite feature, a name twice, one
            class only, or an option out of range.
        MissingDependencyError: boosting without scikit-learn.

    Edge cases: without any input that varies, the verifier is the share of correct rows. With one
        group there are no folds: l2 = 1 with a note.
    Properties: the result does not depend on the row order (to rounding); the problem is strictly
        convex, so its solution is unique.
    Reference: Hoerl and Kennard 1970; Cox 1958; Friedman 2001 for boosting.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> evidence = rng.normal(size=(500, 1))
        >>> right = rng.random(500) < special.expit(2 * evidence[:, 0])
        >>> v = fit_verifier(evidence, ["agreement"], right)
        >>> bool(v.predict([[1.0]])[0] > 0.8 > 0.3 > v.predict([[-1.0]])[0])
        True
    """
    x = _matrix(values, names)
    y = probabilities("correct", correct)
    if y.size != x.shape[0]:
        raise InvalidInputError(
            f"correct: expected {x.shape[0]} values, one per row of values, got {y.size}"
        )
    given = weights_or_none(weights, y.size)
    w = np.ones(y.size) if given is None else given
    if model not in get_args(Model):
        raise unknown_name("model", str(model), get_args(Model))
    right, total = float(w @ y), float(w.sum())
    if not 0.0 < right < total:
        which = "correct" if right else "wrong"
        raise InvalidInputError(
            f"correct: expected right and wrong claims to learn from, got {y.size} rows that are "
            f"all {which}; add rows, or check the labels"
        )
    columns, matrix, notes = _prepared(x, tuple(names), w)
    if model == "boosting":
        return _boosted(tuple(names), columns, x, y, w, seed, notes)
    group = np.arange(y.size) if groups is None else codes("groups", groups, y.size)
    penalty = _penalty(l2, matrix, y, w, group, seed, notes)
    fit = fit_logistic(matrix, y, w, penalty)
    if not fit.converged:
        warnings.warn(
            f"the verifier's fit stopped after {fit.steps} steps before it reached its tolerance",
            DataWarning,
            stacklevel=2,
        )
    return Verifier(
        names=tuple(names),
        columns=columns,
        model="logistic",
        intercept=fit.intercept,
        weights=tuple(fit.weights.tolist()),
        trees=None,
        l2=penalty,
        n=y.size,
        loss=fit.loss,
        converged=fit.converged,
        notes=tuple(notes),
    )


def _matrix(values: ArrayLike, names: Sequence[str]) -> FloatArray:
    try:
        x = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"values: expected numbers (N, F), got {error}") from error
    if len(set(names)) != len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise InvalidInputError(f"names: expected each feature once, got {twice!r} twice")
    if x.ndim != 2 or x.shape[1] != len(names):
        raise InvalidInputError(
            f"values: expected shape (N, {len(names)}), one column for each of "
            f"{', '.join(names) or 'no features'}, got {x.shape}"
        )
    if np.isinf(x).any():
        i, j = np.argwhere(np.isinf(x))[0]
        raise InvalidInputError(
            f"values: expected finite numbers or NaN, got {x[i, j]} for {names[j]} in row {i}"
        )
    return x


def _stacked(columns: Sequence[FloatArray], n: int) -> FloatArray:
    return np.column_stack(columns) if columns else np.empty((n, 0))


def _prepared(
    x: FloatArray, names: tuple[str, ...], w: FloatArray
) -> tuple[tuple[Column, ...], FloatArray, list[str]]:
    """The inputs that say something, their standardized values, and notes on the others."""
    columns: list[Column] = []
    kept: list[FloatArray] = []
    notes: list[str] = []
    seen: dict[bytes, str] = {}
    counts = w > 0.0  # a weight of 0 is absence
    for j, form in _forms(x, names, counts, notes):
        fill = _median(x[counts & ~np.isnan(x[:, j]), j], w[counts & ~np.isnan(x[:, j])])
        name = {"value": "{}", "logit": "logit of {}", "missing": "{} missing"}[form]
        name = name.format(names[j])
        column = Column(j, form, name, fill, 0.0, 0.0, 0.0, 1.0)
        raw = column.raw(x)
        used = raw[counts]
        center = float(w @ raw) / float(w.sum())
        scale = float(np.sqrt(w @ (raw - center) ** 2 / w.sum()))
        if scale <= CONSTANT * max(1.0, abs(center)):
            notes.append(f"{name} was dropped: it is {used[0]:.6g} in every row that has it")
            continue
        twin = seen.setdefault(raw.tobytes(), name)
        if twin != name:
            if form != "missing":  # several features are often missing together
                notes.append(f"{name} was dropped: it equals {twin} in every row")
            continue
        column = dataclasses.replace(
            column, low=float(used.min()), high=float(used.max()), center=center, scale=scale
        )
        columns.append(column)
        kept.append((np.clip(raw, column.low, column.high) - center) / scale)
    return tuple(columns), _stacked(kept, x.shape[0]), notes


def _forms(
    x: FloatArray, names: tuple[str, ...], counts: BoolArray, notes: list[str]
) -> list[tuple[int, str]]:
    """(feature, form) of each possible input: values first, so that a flag never displaces one."""
    values: list[tuple[int, str]] = []
    flags: list[tuple[int, str]] = []
    for j, name in enumerate(names):
        absent = np.isnan(x[counts, j])
        if absent.all():
            notes.append(f"{name} was dropped: no row has it")
            continue
        values.append((j, "value"))
        if name == STATED:
            values.append((j, "logit"))
        if absent.any():
            flags.append((j, "missing"))
    return values + flags


def _median(values: FloatArray, w: FloatArray) -> float:
    """The weighted median: the middle of the two values where half of the weight is reached."""
    order = np.argsort(values, kind="stable")
    ordered, total = values[order], np.cumsum(w[order])
    half = total[-1] / 2.0
    low = ordered[int(np.searchsorted(total, half * (1.0 - 1e-12)))]
    high = ordered[min(int(np.searchsorted(total, half * (1.0 + 1e-12))), ordered.size - 1)]
    return float(low + (high - low) / 2.0)


def _penalty(
    l2: Literal["auto"] | float,
    x: FloatArray,
    y: FloatArray,
    w: FloatArray,
    group: IntArray,
    seed: int,
    notes: list[str],
) -> float:
    if l2 != "auto":
        penalty = real("l2", l2)
        if not 0.0 < penalty < np.inf:
            raise InvalidInputError(f"l2: expected 'auto' or a finite number above 0, got {l2!r}")
        return penalty
    n_groups = np.unique(group[w > 0.0]).size
    if x.shape[1] == 0 or n_groups < 2:
        if x.shape[1]:
            notes.append(f"the penalty is {DEFAULT_L2:g}: one group cannot be cross-validated")
        return DEFAULT_L2
    units = [str(code) for code in group.tolist()]
    fold = folds(units, min(N_FOLDS, np.unique(group).size), seed=seed)
    choice = choose_l2(x, y, w, fold)
    if choice is None:
        notes.append(f"the penalty is {DEFAULT_L2:g}: too few errors to cross-validate it")
        return DEFAULT_L2
    return choice.l2


def _boosted(
    names: tuple[str, ...],
    columns: tuple[Column, ...],
    x: FloatArray,
    y: FloatArray,
    w: FloatArray,
    seed: int,
    notes: list[str],
) -> Verifier:
    if not columns:
        raise InvalidInputError(
            "values: expected at least one feature that varies, got none; a boosted verifier needs "
            "evidence"
        )
    raw = _stacked([column.raw(x) for column in columns], y.size)
    trees = grow(raw, y, w, seed)
    p = trees.predict(raw)
    loss = float(w @ log_losses(special.logit(p), y)) / float(w.sum())
    return Verifier(
        names=names,
        columns=columns,
        model="boosting",
        intercept=0.0,
        weights=(),
        trees=trees,
        l2=None,
        n=y.size,
        loss=loss,
        converged=True,
        notes=tuple(notes),
    )
