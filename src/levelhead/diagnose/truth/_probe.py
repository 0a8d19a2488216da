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
from scipy import special

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray, codes, flags
from levelhead.diagnose.truth import _resample as resample
from levelhead.diagnose.truth._logistic import LogisticProbe, Path, fit_probe, layer_states
from levelhead.errors import InvalidInputError
from levelhead.metrics import auroc, ece, ece_null

__all__ = [
    "C_GRID",
    "N_FOLDS",
    "LogisticProbe",
    "ProbeResult",
    "fit_probe",
    "n_searches",
    "truth_probe",
]

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse penalties, strongest first: the objective is sum log loss + |w|^2 / (2 C)."""

N_FOLDS = 5
N_CONTROLS = 3
SHARE_VALIDATION = 0.25
MIN_TOPICS = 4
TOPICS_FOR_INTERVAL = 8  # a fold of one topic has one AUROC, however often the topic is drawn
N_BOOT = 400

SEARCH_TOLERANCE = 1e-5
"""Of the fits that only choose a layer and a penalty."""

TWICE_TRAINED = math.sqrt(2.0)
"""How much wider an interval is than resampled topics make it. Of states that say nothing, the sum of
AUROCs is one of products of two folds' noise, each counted twice, as a test and as training: twice the
variance that resampling shows with the probes as they are."""

Layers = Sequence[Any]
"""(N, d) arrays, one for each layer, of any float type; only one at a time becomes float64."""


@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """How well the truth can be read from hidden states, in topics that the probe has not seen.

    Attributes:
        belief: (N,) probability of true for each row, from a probe without its topic; at the share of
            true of all rows, not at that of the other folds.
        auroc: in [0, 1]: within each fold, weighted by its pairs; None where no fold has both kinds.
        low: lower end of its interval over topics, or None, as of fewer than 8 topics.
        high: upper end, or None.
        ece: calibration error of `belief`, in [0, 1], 10 bins.
        ece_null: what a calibrated probe would show on average.
        layers: the layer chosen in each fold.
        penalties: the C chosen in each fold.
        layer: the one chosen most often.
        same_topics: AUROC where rows are split and topics are not kept apart, at that layer.
        control: AUROC of the control task in that split: random labels, one for each type.
        selectivity: `same_topics` - `control`; None where no type has several rows, or if interrupted.
        n: rows.
        n_topics: topics.
        converged: whether every fit reached its tolerance.
        level: of the interval.
        seed: of the folds, the controls and the resamples.
        interrupted: whether Ctrl-C ended the control task.
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
    interrupted: bool = False


def n_searches(n_layers: int, n_folds: int = N_FOLDS, n_controls: int = N_CONTROLS) -> int:
    """How many searches `truth_probe` makes at most."""
    return n_folds * (n_layers + 1 + n_controls)


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
        on_fit: called with how many more of `n_searches` are done.

    Returns:
        Out-of-topic predictions and how good they are.

    Raises:
        InvalidInputError: shapes differ, there are fewer than 4 topics, or one kind of label only.

    Edge cases: a fold whose test rows are of one kind counts in the ECE, not in the AUROC. Where
        nearly every type has one row, nothing can be memorized and `selectivity` is None. Ctrl-C in
        the control task ends that alone.
    Properties: nothing of a topic is used for its own predictions, neither its rows nor its mean nor
        the choice of layer and C. The selectivity compares the truth with random labels of types in
        one and the same split of rows; a probe that memorizes has none. All beliefs are at one share
        of true: each fold's own would be low where the fold's is high, and would make one who tells
        the truth look contrary. The interval allows for probes that share training topics, which is
        right where states say nothing; where they say much, it is wider than need be.
    Reference: Hewitt & Liang 2019 (arXiv:1909.03368, control tasks); Azaria & Mitchell 2023
        (arXiv:2304.13734, split by topic); Saerens et al. 2002 (another share of true); Bengio &
        Grandvalet 2004 (the variance over folds); Wen et al. 2024 (arXiv:2409.12822): such probes
        need not carry over to a model that learned to convince.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(0, 2, 200)
        >>> found = truth_probe([y[:, None] + rng.normal(size=(200, 3))], y, np.arange(200) % 10)
        >>> found.auroc > 0.6, found.layer
        (True, '0')
    """
    stack, y, topics, kinds = _inputs(layers, label, topic, types)
    named, costs = _settings(names, len(stack), grid, n_folds)
    rng = np.random.default_rng(seed)
    left = [n_searches(len(stack), n_folds, n_controls)]

    def told(done: int) -> None:
        left[0] -= done
        if on_fit is not None:
            on_fit(done)

    run = _nested(stack, y, topics, costs, n_folds, rng, told)
    common = Counter(run.layers).most_common(1)[0][0]
    area, low, high = _area(run, y, topics, level, rng)
    same, control, interrupted = None, None, False
    try:
        same, control = _control(stack[common], y, kinds, costs, n_folds, n_controls, rng, told)
    except KeyboardInterrupt:
        interrupted = True
    told(left[0])
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
        n_topics=int(topics.max()) + 1,
        converged=run.converged,
        level=level,
        seed=seed,
        interrupted=interrupted,
    )


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
    on_fit: Callable[[int], None],
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
            continue
        held = _validation(group, y, train, rng)
        inner = train & ~held
        best = (math.inf, 0, costs[0])
        for at, layer in enumerate(stack):
            x = np.asarray(layer, dtype=np.float64)
            for c, probe in Path(x[inner]).fit(y[inner], costs, SEARCH_TOLERANCE).items():
                value = _log_loss(probe.predict(x[held]), y[held])
                if value < best[0] - 1e-12:
                    best = (value, at, c)
            on_fit(1)
        x = np.asarray(stack[best[1]], dtype=np.float64)
        final = Path(x[train]).fit(y[train], (best[2],))[best[2]]
        moved = special.logit(y.mean()) - special.logit(y[train].mean())
        belief[test] = special.expit(special.logit(final.predict(x[test])) + moved)
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


def _within(belief: FloatArray, y: FloatArray, fold: IntArray) -> float:
    """AUROC within folds, weighted by their pairs: scores of different probes are not compared."""
    won = pairs = 0.0
    for k in range(int(fold.max()) + 1):
        mine = fold == k
        count = float(y[mine].sum()) * float((1.0 - y[mine]).sum())
        if count > 0.0:
            won += count * auroc(belief[mine], y[mine])
            pairs += count
    return won / pairs if pairs else math.nan


def _wins(belief: FloatArray, y: FloatArray, topic: IntArray, n_topics: int) -> FloatArray:
    """(T, T) how many pairs of a true row of one topic and a false one of another are ordered rightly."""
    wins = np.zeros((n_topics, n_topics))
    p, mine = belief[y == 1.0], topic[y == 1.0]
    for k in range(n_topics):
        others = np.sort(belief[(y == 0.0) & (topic == k)])
        both = np.searchsorted(others, p, "left") + np.searchsorted(others, p, "right")
        wins[:, k] = np.bincount(mine, both / 2.0, n_topics)
    return wins


def _area(
    run: _Run, y: FloatArray, topics: IntArray, level: float, rng: np.random.Generator
) -> tuple[float | None, float | None, float | None]:
    area = _within(run.belief, y, run.fold)
    if math.isnan(area):
        return None, None, None
    n = int(topics.max()) + 1
    if n < TOPICS_FOR_INTERVAL:
        return area, None, None
    times = rng.multinomial(n, np.full(n, 1.0 / n), N_BOOT).astype(np.float64)
    won, pairs = np.zeros(N_BOOT), np.zeros(N_BOOT)
    for k in range(int(run.fold.max()) + 1):
        mine = run.fold == k
        kept, place = np.unique(topics[mine], return_inverse=True)
        drawn, label = times[:, kept], y[mine]
        wins = _wins(run.belief[mine], label, place, kept.size)
        won += ((drawn @ wins) * drawn).sum(axis=1)
        pairs += (drawn @ np.bincount(place, label)) * (drawn @ np.bincount(place, 1.0 - label))
    with np.errstate(invalid="ignore"):
        low, high = resample.percentiles(won / pairs, level, n)
    if low is None or high is None:
        return area, None, None
    low, high = (area + TWICE_TRAINED * (end - area) for end in (low, high))
    return area, max(low, 0.0), min(high, 1.0)


def _control(
    layer: Any,
    y: FloatArray,
    kinds: IntArray,
    costs: tuple[float, ...],
    n_folds: int,
    n_controls: int,
    rng: np.random.Generator,
    on_fit: Callable[[int], None],
) -> tuple[float | None, float | None]:
    """(AUROC of the truth, mean AUROC of random labels of types), both with rows split, not topics."""
    n_kinds = int(kinds.max()) + 1
    if n_controls < 1 or n_kinds < 2 or n_kinds > y.size // 2:
        return None, None
    rows = np.arange(y.size)
    seed = int(rng.integers(2**62))
    truth = _nested([layer], y, rows, costs, n_folds, np.random.default_rng(seed), on_fit)
    areas: list[float] = []
    for _ in range(n_controls):
        drawn = rng.permutation(np.arange(n_kinds) % 2)[kinds].astype(np.float64)
        run = _nested([layer], drawn, rows, costs, n_folds, np.random.default_rng(seed), on_fit)
        areas.append(_within(run.belief, drawn, run.fold))
    return _within(truth.belief, y, truth.fold), float(np.mean(areas))


def _inputs(
    layers: Layers, label: ArrayLike, topic: ArrayLike, types: ArrayLike | None
) -> tuple[list[Any], FloatArray, IntArray, IntArray]:
    stack = list(layers)
    if not stack:
        raise InvalidInputError("layers: expected at least one (N, d) array, got none")
    sizes = {len(layer_states(one, f"layers[{i}]", copy=False)) for i, one in enumerate(stack)}
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


def _settings(
    names: Sequence[str] | None, n_layers: int, grid: Sequence[float], n_folds: int
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """(names of the layers, values of C in rising order)"""
    named = tuple(map(str, range(n_layers))) if names is None else tuple(names)
    if len(named) != n_layers:
        raise InvalidInputError(f"names: expected {n_layers}, one for each layer, got {len(named)}")
    if n_folds < 2:
        raise InvalidInputError(f"n_folds: expected at least 2, got {n_folds}")
    costs = tuple(sorted({float(c) for c in grid}))
    if not costs or costs[0] <= 0.0:
        raise InvalidInputError(f"grid: expected values of C above 0, got {list(grid)}")
    return named, costs
