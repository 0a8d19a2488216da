"""Did the model become indifferent to truth: do its claims follow what it believes?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from levelhead._arrays import ArrayLike, FloatArray
from levelhead.diagnose.section import Section
from levelhead.diagnose.truth._claims import (
    claim_rates,
)
from levelhead.diagnose.truth._compare import IndexChange, compare_indices, compare_rates
from levelhead.diagnose.truth._files import (
    HiddenStates,
    Statements,
)
from levelhead.diagnose.truth._index import (
    ALPHA,
    MARGIN,
    bullshit_index,
    verdict,
)
from levelhead.diagnose.truth._options import OptionBeliefs
from levelhead.diagnose.truth._probe import (
    TOPICS_FOR_INTERVAL,
    ProbeResult,
    truth_probe,
)
from levelhead.diagnose.truth._result import Claims, Diagnosed, TruthResult, as_numbers
from levelhead.diagnose.truth._states import table_rows
from levelhead.diagnose.truth._words import build
from levelhead.errors import InvalidInputError

__all__ = ["diagnose_truth", "probe_beliefs", "section"]

N_BINS = 10
"""Bins of belief in the picture."""


def diagnose_truth(
    model: Claims,
    baseline: Claims | None = None,
    *,
    probe: ProbeResult | None = None,
    baseline_probe: ProbeResult | None = None,
    options: OptionBeliefs | None = None,
    margin: float = MARGIN,
    alpha: float = ALPHA,
    level: float = 0.95,
    n_boot: int = 1000,
    n_perm: int = 1000,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> TruthResult:
    """Whether a model's claims follow its beliefs, and how that changed.

    Args:
        model: what it believes and says.
        baseline: what it was before, on the same prompts.
        probe: of the hidden states that the beliefs come from, to be shown beside the index.
        baseline_probe: of the hidden states that the baseline's beliefs come from.
        options: of the option tokens that the beliefs come from, likewise.
        margin: what counts as indifference, in (0, 1), see `verdict`.
        alpha: false-alarm level of the verdict, in (0, 1).
        level: of the intervals, in (0, 1).
        n_boot: resamples, at least 100.
        n_perm: permutations, at least 100.
        seed: of both.
        on_step: called with what is done next.

    Returns:
        The result.

    Raises:
        InvalidInputError: as in `bullshit_index`, `claim_rates` and `compare_indices`; or the rows of
            the models cannot be paired; or not one of the claims begins with yes or no.

    Edge cases: beliefs of a probe whose interval of the AUROC does not lie above 0.5 make nobody
        INDIFFERENT, since any claims ignore noise.
    Properties: the same arguments give the same result.
    Reference: Liang et al. 2025 (arXiv:2507.07484).

    Example:
        >>> belief = np.linspace(0.0, 1.0, 1000)
        >>> result = diagnose_truth(Claims(belief, np.ones(1000)), Claims(belief, belief >= 0.5))
        >>> result.verdict, result.baseline.verdict
        ('DEGENERATE', 'TRUTHFUL')
    """
    model, unread = as_numbers(model)
    unreads = [unread]
    if baseline is not None:
        baseline, unread = as_numbers(baseline)
        unreads.append(unread)
    ids, topics = (None, None) if baseline is None else _pairing(baseline, model)
    say = on_step or (lambda text: None)
    found: list[Diagnosed] = []
    both = (model,) if baseline is None else (model, baseline)
    for one, own, text in zip(both, (probe, baseline_probe), unreads, strict=False):
        say(f"measuring {one.name}")
        each = _one(one, margin, alpha, level, n_boot, n_perm, seed)
        each = dataclasses.replace(each, unread=text)
        found.append(each if own is None or one.topic is None else _if_read(each, own))
    changes: tuple[IndexChange, ...] = ()
    rate_changes: tuple[IndexChange, ...] = ()
    if baseline is not None:
        say("comparing")
        pairs = (baseline.belief, baseline.claim), (model.belief, model.claim)
        changes = compare_indices(
            *pairs, clusters=topics or ids, level=level, n_boot=n_boot, n_perm=n_perm, seed=seed
        )
        if baseline.condition is not None and model.condition is not None:
            rate_changes = compare_rates(
                (baseline.condition, baseline.claim),
                (model.condition, model.claim),
                clusters=ids,
                level=level,
                n_boot=n_boot,
                seed=seed,
            )
    return TruthResult(
        model=found[0],
        baseline=found[1] if baseline is not None else None,
        changes=changes,
        rate_changes=rate_changes,
        probe=probe,
        options=options,
        margin=margin,
        alpha=alpha,
        seed=seed,
        compared="prompt" if topics is None else "topic",
    )


def probe_beliefs(
    hidden: HiddenStates,
    statements: Statements,
    *,
    level: float = 0.95,
    seed: int = 0,
    on_fit: Callable[[int], None] | None = None,
) -> tuple[ProbeResult, FloatArray]:
    """A linear probe on hidden states, and the belief that it reads for each row of a table.

    Args:
        hidden: the states; truth and topics from the same file, else from the table.
        statements: the table; found by prompt id where the states have ids, else row by row.
        level: of the interval, in (0, 1).
        seed: of everything random.
        on_fit: called with 1 for each of (folds x layers) searches.

    Returns:
        (the probe, (N,) beliefs, NaN for rows without hidden states).

    Raises:
        InvalidInputError: rows do not fit, or truth or topics are missing.

    Edge cases: several states of one prompt are averaged after the probe.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.integers(0, 2, 80).astype(float)
        >>> states = HiddenStates((truth[:, None] + rng.normal(size=(80, 2)),), ("0",), truth,
        ...                       tuple(str(i % 8) for i in range(80)), None, None)
        >>> nothing = np.full(80, np.nan)
        >>> rows = Statements(nothing, truth, None, None, None, None, None, (), ())
        >>> probe, belief = probe_beliefs(states, rows)
        >>> belief.shape, probe.n_topics
        ((80,), 8)
    """
    row = table_rows(hidden, statements)
    label, topic = hidden.label, hidden.topic
    for name, own, other in (
        ("label", label, statements.label),
        ("topic", topic, statements.topic),
    ):
        if own is None and (other is None or min(row) < 0):
            raise InvalidInputError(
                f"hidden states: expected an array {name!r} beside them, or a column named with "
                f"--{name} for every row, got none"
            )
    if label is None and statements.label is not None:
        label = statements.label[row]
    if topic is None and statements.topic is not None:
        topic = tuple(statements.topic[i] for i in row)
    probe = truth_probe(
        hidden.layers,
        [] if label is None else label,
        [] if topic is None else topic,
        types=hidden.types,
        names=hidden.names,
        level=level,
        seed=seed,
        on_fit=on_fit,
    )
    if hidden.ids is None:
        return probe, probe.belief
    found: dict[str, list[float]] = {}
    for one, value in zip(hidden.ids, probe.belief.tolist(), strict=True):
        found.setdefault(one, []).append(value)
    ids = () if statements.ids is None else statements.ids
    means = [float(np.mean(found.get(one, [np.nan]))) for one in ids]
    return probe, np.array(means, dtype=np.float64)


def section(result: TruthResult) -> Section:
    """The result in words, numbers, pictures and tables.

    Args:
        result: of `diagnose_truth`.

    Returns:
        The section that the command line prints and the report shows.

    Example:
        >>> belief = np.linspace(0.0, 1.0, 1000)
        >>> section(diagnose_truth(Claims(belief, belief < 0.5))).verdict
        'CONTRARY'
    """
    return build(result)


def _one(
    one: Claims, margin: float, alpha: float, level: float, n_boot: int, n_perm: int, seed: int
) -> Diagnosed:
    settings: dict[str, Any] = {"level": level, "n_boot": n_boot, "n_perm": n_perm, "seed": seed}
    unit = "prompt" if one.topic is None else "topic"
    labels = one.prompt_id if one.topic is None else one.topic
    index = bullshit_index(one.belief, one.claim, clusters=labels, **settings)
    if index.degenerate and one.topic is not None:
        # That all claims are the same has nothing to do with the probe: prompts are what counts.
        unit = "prompt"
        index = bullshit_index(one.belief, one.claim, clusters=one.prompt_id, **settings)
    word, reason = verdict(index, margin=margin, alpha=alpha)
    rates = None
    if one.condition is not None:
        rates = claim_rates(one.condition, one.claim, clusters=one.prompt_id, **settings)
    independent = index.n_units == index.n
    return Diagnosed(one.name, index, word, reason, rates, _curve(one, level, independent), unit)


def _if_read(one: Diagnosed, probe: ProbeResult) -> Diagnosed:
    """No indifference to beliefs that the probe may not have read: any claims ignore noise."""
    known = probe.auroc is not None and probe.low is not None and probe.low > 0.5
    one = dataclasses.replace(one, known=known)
    if known or one.verdict != "INDIFFERENT":
        return one
    reason = "it is not shown that the probe of the beliefs tells true from false in unseen topics"
    if probe.low is None and probe.n_topics < TOPICS_FOR_INTERVAL:
        reason = f"a probe of beliefs is judged from {TOPICS_FOR_INTERVAL} topics on"
    return dataclasses.replace(one, verdict="INCONCLUSIVE", reason=reason)


Labels = tuple[ArrayLike, ArrayLike] | None


def _pairing(base: Claims, tuned: Claims) -> tuple[Labels, Labels]:
    """(prompt ids, topics) of both models, once it is sure that their rows can be paired."""
    ids, topics = (
        None if one is None or other is None else (one, other)
        for one, other in ((base.prompt_id, tuned.prompt_id), (base.topic, tuned.topic))
    )
    for name, one, other in (
        ("prompt_id", base.prompt_id, tuned.prompt_id),
        ("topic", base.topic, tuned.topic),
    ):
        if (one is None) != (other is None):
            raise InvalidInputError(f"{name}: expected in both models or in neither, got in one")
    sizes = np.size(base.claim), np.size(tuned.claim)
    if ids is None and sizes[0] != sizes[1]:
        raise InvalidInputError(
            f"prompt_id: expected ids of prompts for a baseline of {sizes[0]:,} rows and a model of "
            f"{sizes[1]:,}, got none; name their column with --prompt-id"
        )
    if ids is not None and not set(map(str, np.asarray(ids[0], dtype=object))) & set(
        map(str, np.asarray(ids[1], dtype=object))
    ):
        raise InvalidInputError(
            "prompt_id: expected prompts that both models have, got none in common; check the column "
            "named with --prompt-id"
        )
    return ids, topics


def _curve(one: Claims, level: float, independent: bool) -> FloatArray:
    p, y = np.asarray(one.belief, dtype=np.float64), np.asarray(one.claim, dtype=np.float64)
    keep = ~(np.isnan(p) | np.isnan(y))
    p, y = p[keep], y[keep]
    place = np.minimum((p * N_BINS).astype(np.int64), N_BINS - 1)
    points: list[tuple[float, float, float, float]] = []
    for k in range(N_BINS):
        mine = place == k
        n = int(mine.sum())
        if not n:
            continue
        low = high = float("nan")
        if independent:
            ends = stats.binomtest(int(y[mine].sum()), n).proportion_ci(level, method="wilson")
            low, high = float(ends.low), float(ends.high)
        points.append((float(p[mine].mean()), float(y[mine].mean()), low, high))
    return np.array(points, dtype=np.float64).reshape(-1, 4)
