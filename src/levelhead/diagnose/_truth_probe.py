"""A linear probe on hidden states: what could be read off the model about the truth, and how well.

Topics are never split. The layer and the penalty are chosen within the training topics, so what is
reported of a topic comes from a probe that has seen nothing of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import optimize, special

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray, codes, flags
from levelhead.diagnose import _truth_resample as resample
from levelhead.errors import InvalidInputError
from levelhead.metrics import auroc, ece, ece_null

__all__ = ["C_GRID", "N_FOLDS", "LogisticProbe", "ProbeResult", "fit_probe", "truth_probe"]

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse penalties, strongest first: the objective is sum log loss + |w|^2 / (2 C)."""

N_FOLDS = 5
N_CONTROLS = 3
SHARE_VALIDATION = 0.25
MIN_TOPICS = 4
N_BOOT = 400
TOLERANCE = 1e-9  # of the gradient's largest entry, as a share of the rows
CONSTANT = 1e-9  # a feature whose spread is below this share of its size says nothing

Layers = Sequence[Any]
"""(N, d) arrays, one for each layer, of any float type; only one at a time becomes float64."""


@dataclasses.dataclass(frozen=True)
class LogisticProbe:
    """P(true | h) = sigmoid(intercept + weights (h - center) / scale).

    Attributes:
        center: (d,) means of the training rows.
        scale: (d,) standard deviations (ddof 0) of the training rows; 1 where there is none.
        weights: (d,) log-odds per standard deviation.
        intercept: log-odds of an average row.
        converged: whether the fit reached its tolerance.
    """

    center: FloatArray
    scale: FloatArray
    weights: FloatArray
    intercept: float
    converged: bool

    def predict(self, hidden: ArrayLike) -> FloatArray:
        """The probability of true.

        Args:
            hidden: (N, d) hidden states of the layer that it was fitted on.

        Returns:
            (N,) in (0, 1).
        """
        x = (np.asarray(hidden, dtype=np.float64) - self.center) / self.scale
        return np.asarray(special.expit(self.intercept + x @ self.weights), dtype=np.float64)


@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """How well the truth can be read from hidden states, in topics that the probe has not seen.

    Attributes:
        belief: (N,) probability of true for each row, from a probe without its topic.
        auroc: in [0, 1]: within each fold, weighted by its pairs; None where no fold has both kinds.
        low: lower end of its interval over topics, or None.
        high: upper end, or None.
        ece: calibration error of `belief`, in [0, 1], 10 bins.
        ece_null: what a calibrated probe would show on average.
        layers: the layer chosen in each fold.
        penalties: the C chosen in each fold.
        layer: the one chosen most often.
        same_topics: AUROC where rows are split and topics are not kept apart, at that layer.
        control: AUROC of the control task in that split: random labels, one for each type.
        selectivity: `same_topics` - `control`; None where there is no type of several rows.
        n: rows.
        n_topics: topics.
        converged: whether every fit reached its tolerance.
        level: of the interval.
        seed: of the folds, the controls and the resamples.
    """

    belief: FloatArray
    auroc: float | None
    low: float | None
    high: float | None
    ece: float
    ece_null: float
    layers: tuple[str, ...]
    penalties: tuple[float, ...]
    layer: str
    same_topics: float | None
    control: float | None
    selectivity: float | None
    n: int
    n_topics: int
    converged: bool
    level: float
    seed: int


def fit_probe(hidden: ArrayLike, label: ArrayLike, *, c: float = 1e-2) -> LogisticProbe:
    """L2 logistic regression on standardized hidden states.

    min sum_i log(1 + exp(-s_i (b + x_i w))) + |w|^2 / (2 C), x standardized, s = 2 label - 1

    Args:
        hidden: (N, d) finite.
        label: (N,) 0 or 1, both kinds.
        c: inverse penalty, above 0.

    Returns:
        The fitted probe.

    Raises:
        InvalidInputError: the shapes differ, a value is not finite, or one kind is missing.

    Edge cases: a feature without spread has weight 0.
    Properties: the minimum is unique; the intercept is not penalized.
    Reference: Alain & Bengio 2016 (arXiv:1610.01644).

    Example:
        >>> probe = fit_probe([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1], c=1.0)
        >>> (probe.predict([[0.0], [3.0]]) > 0.5).tolist()
        [False, True]
    """
    if not c > 0.0:
        raise InvalidInputError(f"c: expected a number above 0, got {c}")
    x = _layer(hidden, "hidden")
    y = flags("label", label, len(x)).astype(np.float64)
    if y.min() == y.max():
        raise InvalidInputError("label: expected both 0 and 1, got one of them only")
    return _Path(x).fit(y, (c,))[c]


def truth_probe(
    layers: Layers,
    label: ArrayLike,
    topic: ArrayLike,
    *,
    types: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    grid: Sequence[float] = C_GRID,
    n_folds: int = N_FOLDS,
    n_controls: int = N_CONTROLS,
    level: float = 0.95,
    seed: int = 0,
    on_fit: Callable[[int], None] | None = None,
) -> ProbeResult:
    """A linear probe for the truth, split by topic, with a control task.

    For each fold of topics: layer and C of the least log loss on validation topics within the others;
    a fit on all the others; predictions for the fold. AUROC = sum_f pairs_f AUROC_f / sum_f pairs_f

    Args:
        layers: (N, d) hidden states of the last prompt token, one array for each layer.
        label: (N,) 1 where the statement is true, else 0.
        topic: (N,) labels of topics; at least 4.
        types: (N,) what the control task labels at random, such as the subject; topics unless given.
        names: of the layers; 0, 1, ... unless given.
        grid: values of C.
        n_folds: of topics, at least 2; at most as many as there are topics.
        n_controls: control tasks to average over.
        level: of the interval, in (0, 1).
        seed: of everything random.
        on_fit: called with 1 for each of (folds x layers) searches that is done.

    Returns:
        Out-of-topic predictions and how good they are.

    Raises:
        InvalidInputError: shapes differ, there are fewer than 4 topics, or one kind of label only.

    Edge cases: a fold whose test rows are of one kind counts in the ECE, not in the AUROC. Where
        nearly every type has one row, nothing can be memorized and `selectivity` is None.
    Properties: nothing of a topic is used for its own predictions, neither its rows nor its mean nor
        the choice of layer and C. The selectivity compares the truth with random labels of types in
        one and the same split of rows; a probe that memorizes has none.
    Reference: Hewitt & Liang 2019 (arXiv:1909.03368, control tasks); Azaria & Mitchell 2023
        (arXiv:2304.13734, split by topic); Wen et al. 2024 (arXiv:2409.12822): such probes need not
        carry over to a model that learned to convince.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(0, 2, 200)
        >>> found = truth_probe([y[:, None] + rng.normal(size=(200, 3))], y, np.arange(200) % 10)
        >>> found.auroc > 0.6, found.layer
        (True, '0')
    """
    stack, y, topics, kinds = _inputs(layers, label, topic, types)
    named = tuple(map(str, range(len(stack)))) if names is None else tuple(names)
    if len(named) != len(stack):
        raise InvalidInputError(
            f"names: expected {len(stack)}, one for each layer, got {len(named)}"
        )
    n_topics = int(topics.max()) + 1
    if n_folds < 2:
        raise InvalidInputError(f"n_folds: expected at least 2, got {n_folds}")
    costs = tuple(sorted({float(c) for c in grid}))
    if not costs or costs[0] <= 0.0:
        raise InvalidInputError(f"grid: expected values of C above 0, got {list(grid)}")
    rng = np.random.default_rng(seed)
    run = _nested(stack, y, topics, costs, n_folds, rng, on_fit)
    common = Counter(run.layers).most_common(1)[0][0]
    area, low, high = _area(run, y, topics, level, rng)
    same, control = _control(stack[common], y, kinds, costs, n_folds, n_controls, rng)
    null = ece_null(run.belief, n_draws=200, seed=seed)
    return ProbeResult(
        belief=run.belief,
        auroc=area,
        low=low,
        high=high,
        ece=ece(run.belief, y),
        ece_null=float(null.expected),
        layers=tuple(named[i] for i in run.layers),
        penalties=run.penalties,
        layer=named[common],
        same_topics=same,
        control=control,
        selectivity=None if same is None or control is None else same - control,
        n=y.size,
        n_topics=n_topics,
        converged=run.converged,
        level=level,
        seed=seed,
    )


class _Path:
    """Fits for several penalties on the same rows, in as many dimensions as the rows span."""

    def __init__(self, x: FloatArray) -> None:
        self._center = x.mean(axis=0)
        spread = x.std(axis=0)
        size = np.abs(x).max(axis=0, initial=0.0)
        varies = spread > CONSTANT * size
        self._scale = np.where(varies, spread, 1.0)
        z = np.where(varies, (x - self._center) / self._scale, 0.0)
        # The penalty does not see a rotation: with fewer rows than features, work among the rows.
        if z.shape[0] < z.shape[1]:
            values, vectors = np.linalg.eigh(z @ z.T)
            kept = values > max(float(values.max(initial=0.0)) * 1e-12, 0.0)
            roots = np.sqrt(values[kept])
            self._features = vectors[:, kept] * roots
            self._back = z.T @ (vectors[:, kept] / roots)
        else:
            self._features, self._back = z, None

    def fit(self, y: FloatArray, costs: Sequence[float]) -> dict[float, LogisticProbe]:
        """One probe for each C, each started at the one before it, strongest penalty first."""
        features = self._features
        n, width = features.shape
        start = np.zeros(width + 1)
        start[0] = special.logit(y.mean())
        found: dict[float, LogisticProbe] = {}
        for c in sorted(costs):

            def loss(beta: FloatArray, c: float = c) -> tuple[float, FloatArray]:
                score = beta[0] + features @ beta[1:]
                value = np.logaddexp(0.0, score).sum() - y @ score + beta[1:] @ beta[1:] / (2.0 * c)
                off = special.expit(score) - y
                slope = np.concatenate(([off.sum()], features.T @ off + beta[1:] / c))
                return float(value) / n, slope / n

            done = optimize.minimize(
                loss,
                start,
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": 2000, "gtol": TOLERANCE, "ftol": 1e-15, "maxcor": 20},
            )
            start = np.asarray(done.x, dtype=np.float64)
            weights = start[1:] if self._back is None else self._back @ start[1:]
            small = float(np.abs(loss(start)[1]).max()) < 1e-5
            found[c] = LogisticProbe(self._center, self._scale, weights, float(start[0]), small)
        return found


@dataclasses.dataclass(frozen=True)
class _Run:
    belief: FloatArray
    fold: IntArray
    layers: tuple[int, ...]
    penalties: tuple[float, ...]
    converged: bool


def _nested(
    stack: Layers,
    y: FloatArray,
    group: IntArray,
    costs: tuple[float, ...],
    n_folds: int,
    rng: np.random.Generator,
    on_fit: Callable[[int], None] | None = None,
) -> _Run:
    """Predictions for every row by a probe whose layer and C were chosen without its group."""
    fold = _parts(group, n_folds, rng)
    belief = np.full(y.size, float(y.mean()))
    layers: list[int] = []
    penalties: list[float] = []
    converged = True
    for k in range(int(fold.max()) + 1):
        test, train = fold == k, fold != k
        if y[train].min() == y[train].max():
            belief[test] = y[train].mean()
            continue
        held = _validation(group, y, train, rng)
        inner = train & ~held
        best = (math.inf, 0, costs[0])
        for at, layer in enumerate(stack):
            x = np.asarray(layer, dtype=np.float64)
            for c, probe in _Path(x[inner]).fit(y[inner], costs).items():
                value = _log_loss(probe.predict(x[held]), y[held])
                if value < best[0] - 1e-12:
                    best = (value, at, c)
            if on_fit is not None:
                on_fit(1)
        x = np.asarray(stack[best[1]], dtype=np.float64)
        final = _Path(x[train]).fit(y[train], (best[2],))[best[2]]
        belief[test] = final.predict(x[test])
        converged &= final.converged
        layers.append(best[1])
        penalties.append(best[2])
    if not layers:
        raise InvalidInputError("label: expected both kinds of label in the topics of every split")
    return _Run(belief, fold, tuple(layers), tuple(penalties), converged)


def _validation(
    group: IntArray, y: FloatArray, train: BoolArray, rng: np.random.Generator
) -> BoolArray:
    """About a quarter of the training groups, such that both kinds of label stay on the other side."""
    order = rng.permutation(np.unique(group[train]))
    share = max(1, round(SHARE_VALIDATION * order.size))
    for start in range(0, max(order.size - share, 0) + 1):
        held = train & np.isin(group, order[start : start + share])
        rest = y[train & ~held]
        if rest.size and rest.min() < rest.max():
            return held
    raise InvalidInputError(
        "label: expected topics that hold both kinds of label, got kinds that whole topics decide"
    )


def _parts(group: IntArray, n_folds: int, rng: np.random.Generator) -> IntArray:
    n = int(group.max()) + 1
    place = np.empty(n, dtype=np.int64)
    place[rng.permutation(n)] = np.arange(n) % min(n_folds, n)
    return place[group]


def _log_loss(p: FloatArray, y: FloatArray) -> float:
    q = np.clip(p, 1e-12, 1.0 - 1e-12)
    return float(-(y * np.log(q) + (1.0 - y) * np.log1p(-q)).mean())


def _within(
    belief: FloatArray, y: FloatArray, fold: IntArray, weights: FloatArray | None = None
) -> float:
    """AUROC within folds, weighted by their pairs: scores of different probes are not compared."""
    won = pairs = 0.0
    for k in range(int(fold.max()) + 1):
        mine = fold == k
        w = np.ones(int(mine.sum())) if weights is None else weights[mine]
        count = float(w @ y[mine]) * float(w @ (1.0 - y[mine]))
        if count > 0.0:
            won += count * auroc(belief[mine], y[mine], weights=None if weights is None else w)
            pairs += count
    return won / pairs if pairs else math.nan


def _area(
    run: _Run, y: FloatArray, topics: IntArray, level: float, rng: np.random.Generator
) -> tuple[float | None, float | None, float | None]:
    area = _within(run.belief, y, run.fold)
    if math.isnan(area):
        return None, None, None
    n = int(topics.max()) + 1
    draws = np.empty(N_BOOT)
    for b in range(N_BOOT):
        times = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        draws[b] = _within(run.belief, y, run.fold, times[topics])
    low, high = resample.percentiles(draws, level, n)
    return area, low, high


def _control(
    layer: Any,
    y: FloatArray,
    kinds: IntArray,
    costs: tuple[float, ...],
    n_folds: int,
    n_controls: int,
    rng: np.random.Generator,
) -> tuple[float | None, float | None]:
    """(AUROC of the truth, mean AUROC of random labels of types), both with rows split, not topics."""
    n_kinds = int(kinds.max()) + 1
    if n_controls < 1 or n_kinds < 2 or n_kinds > y.size // 2:
        return None, None
    rows = np.arange(y.size)
    seed = int(rng.integers(2**62))
    truth = _nested([layer], y, rows, costs, n_folds, np.random.default_rng(seed))
    areas: list[float] = []
    for _ in range(n_controls):
        drawn = rng.permutation(np.arange(n_kinds) % 2)[kinds].astype(np.float64)
        run = _nested([layer], drawn, rows, costs, n_folds, np.random.default_rng(seed))
        areas.append(_within(run.belief, drawn, run.fold))
    return _within(truth.belief, y, truth.fold), float(np.mean(areas))


def _inputs(
    layers: Layers, label: ArrayLike, topic: ArrayLike, types: ArrayLike | None
) -> tuple[list[Any], FloatArray, IntArray, IntArray]:
    stack = list(layers)
    if not stack:
        raise InvalidInputError("layers: expected at least one (N, d) array, got none")
    sizes = {len(_layer(one, f"layers[{i}]", copy=False)) for i, one in enumerate(stack)}
    if len(sizes) > 1:
        raise InvalidInputError(f"layers: expected equally many rows in each, got {sorted(sizes)}")
    n = sizes.pop()
    y = flags("label", label, n).astype(np.float64)
    if y.min() == y.max():
        raise InvalidInputError("label: expected both 0 and 1, got one of them only")
    topics = codes("topic", topic, n)
    found = int(topics.max()) + 1
    if found < MIN_TOPICS:
        raise InvalidInputError(
            f"topic: expected at least {MIN_TOPICS}, so that topics can be kept apart, got {found}"
        )
    return stack, y, topics, topics if types is None else codes("types", types, n)


def _layer(values: Any, name: str, copy: bool = True) -> Any:
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise InvalidInputError(f"{name}: expected shape (N, d), got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise InvalidInputError(
            f"{name}: expected real numbers, got dtype {array.dtype}; convert to float32 first"
        )
    if not np.isfinite(array).all():
        i = int((~np.isfinite(array)).any(axis=1).argmax())
        raise InvalidInputError(f"{name}: expected finite numbers, got some others in row {i}")
    return array.astype(np.float64) if copy else array
