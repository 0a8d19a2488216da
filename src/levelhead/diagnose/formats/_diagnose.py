"""Did training make one way of answering take over, more than neutral drift would?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, real, vector
from levelhead.diagnose.formats._compare import (
    Homogeneity,
    compare_clusters,
    design_effect,
    retained_interval,
)
from levelhead.diagnose.formats._drift import (
    MAX_POINTS,
    MOMENTUM,
    DriftTest,
    drift_test,
)
from levelhead.diagnose.formats._measures import (
    collapse_step,
    effective_number,
    entropy,
    jensen_shannon,
    pooled,
)
from levelhead.diagnose.formats._rules import (
    OTHER,
)
from levelhead.diagnose.formats._words import (
    AS_NOISE,
    FEW_SAMPLES,
    FEW_STEPS,
    LEAST,
    ONE_FORMAT_ALONE,
    UNCLEAR,
    FormatsResult,
    build,
)
from levelhead.errors import InvalidInputError

if TYPE_CHECKING:
    from levelhead.diagnose.section import Section

__all__ = ["compare_formats", "diagnose_formats", "section"]

LOST = 0.5
"""Share of the start's diversity, N_eff - 1, of which no more may be left for a collapse."""

ONE_FORMAT = 0.05
"""N_eff - 1 at the start below which there was nothing to lose."""

LARGEST = 2.0**53
"""Beyond it not every whole number is a float."""

FEW = 5
"""Labelled samples of a format from which its initial accuracy is told."""


def diagnose_formats(
    formats: Sequence[str],
    steps: ArrayLike,
    *,
    prompts: Sequence[str | None] | None = None,
    correct: ArrayLike | None = None,
    rate: float | None = None,
    momentum: float = MOMENTUM,
    level: float = 0.05,
    runs: int = 500,
    least: int | None = None,
    seed: int = 0,
    tick: Callable[[int], None] | None = None,
) -> FormatsResult:
    """The formats of a run over its steps, against neutral drift.

    Args:
        formats: (N,) format of each sample, from `classify`.
        steps: (N,) training step of each.
        prompts: (N,) prompt of each; None where they are unknown.
        correct: (N,) 1 right, 0 wrong, NaN unknown; None where none is known.
        rate: drift per step, from `drift_rate`; any rate unless given.
        momentum: of the optimizer, per step, in [0, 1); 0 for one without.
        level: false-alarm level of the verdict, above 1 / (runs + 1) and below 1.
        runs: simulated runs for each rate, at least 400.
        least: samples of a point; chosen by how many there are unless given.
        seed: of every random number.
        tick: called with 1 after each simulated point.

    Returns:
        The diagnosis.

    Raises:
        InvalidInputError: lengths differ, a format is no text, there are not two steps, or an option
            is out of range.

    Edge cases: fewer than 8 steps without a `rate` cannot be told from drift: `INCONCLUSIVE`, unless
        more than half of the diversity is left.

    Properties: where no format is better than another, `COLLAPSE BEYOND DRIFT` comes in at most a
        share `level` of runs.

    Reference: arXiv:2504.07912.

    Example:
        >>> import numpy as np
        >>> found = diagnose_formats(["code", "tagged"] * 500, np.repeat(np.arange(20), 50))
        >>> found.verdict
        'NO COLLAPSE'
    """
    t = vector("steps", steps)
    _check(formats, t, level, runs, momentum)
    names, codes = _codes(formats, t == t.min())
    points, at = np.unique(t, return_inverse=True)
    if points.size < 2:
        raise InvalidInputError(
            f"steps: expected at least two different steps, got {points.size}; compare with "
            "the texts of the start instead (--baseline)"
        )
    fine = np.zeros((points.size, len(names)), np.int64)
    np.add.at(fine, (at, codes), 1)
    whole = points.astype(np.int64)
    total = int(fine.sum())
    coarse, last, _ = pooled(fine, whole, least or min(512, max(LEAST, total // 24)))
    if len(coarse) < 2:
        coarse, last = fine[[0, -1]], whole[[0, -1]]
    effect = _design_effect(codes, at, prompts, len(names))
    thin, thin_steps, _ = pooled(fine, whole, max(1, total // MAX_POINTS))
    drift = drift_test(
        thin, thin_steps, rate=rate, momentum=momentum, design_effect=effect, runs=runs, seed=seed,
        tick=tick,
    )  # fmt: skip
    ends = coarse[[0, -1]]
    low, high = _ends_interval(ends, effect, seed)
    base = _measured(names, last, coarse)
    accuracy = _accuracy(codes, at, correct, len(names))
    verdict, why = _run_verdict(ends, base["retained"], (low, high), drift, level)
    return FormatsResult(
        verdict, why, **base, retained_low=low, retained_high=high, drift=drift, homogeneity=None,
        accuracy=accuracy, winner_accuracy_rank=_rank(accuracy, int(coarse[-1].argmax())),
        other=_other(formats), design_effect=effect, level=level, seed=seed, points=thin_steps,
        logged=points.size,
    )  # fmt: skip


def compare_formats(
    base: Sequence[str],
    tuned: Sequence[str],
    *,
    base_prompts: Sequence[str | None] | None = None,
    tuned_prompts: Sequence[str | None] | None = None,
    correct: ArrayLike | None = None,
    level: float = 0.05,
    seed: int = 0,
    models: tuple[str, str] = ("base", "tuned"),
) -> FormatsResult:
    """The formats of two sets of texts, against a permutation of prompts.

    Args:
        base: (N,) format of each sample before.
        tuned: (M,) after.
        base_prompts: (N,) prompt of each; every sample is its own where None.
        tuned_prompts: (M,) likewise; prompts that both have are swapped with themselves where they
            are the most.
        correct: (N,) of the base: 1 right, 0 wrong, NaN unknown.
        level: false-alarm level of the verdict.
        seed: of every random number.
        models: what both are called.

    Returns:
        The diagnosis; its steps are 0 and 1.

    Raises:
        InvalidInputError: a set is empty, a format is no text, or lengths differ.

    Properties: where both sets come from one model, `COLLAPSE BEYOND NOISE` comes in at most a share
        `level` of comparisons.

    Example:
        >>> compare_formats(["code", "tagged"] * 50, ["code"] * 100).verdict
        'COLLAPSE BEYOND NOISE'
    """
    level = real("level", level)
    if not base or not tuned:
        raise InvalidInputError("base: expected at least one text in each set, got none")
    if not 0.0 < level < 1.0:
        raise InvalidInputError(f"level: expected a number in (0, 1), got {level}")
    start = np.arange(len(base) + len(tuned)) < len(base)
    names, codes = _codes([*base, *tuned], start)
    first, second, paired = _clusters(
        codes[start], codes[~start], base_prompts, tuned_prompts, len(names)
    )
    ends = np.stack([first.sum(axis=0), second.sum(axis=0)])
    test = compare_clusters(first, second, paired=paired, seed=seed)
    low, high = retained_interval(first, second, paired=paired, seed=seed)
    found = _measured(names, np.array([0, 1]), ends)
    accuracy = _accuracy(codes[start], np.zeros(len(base), np.int64), correct, len(names))
    verdict, why = _two_verdict(ends, found["retained"], (low, high), test, level)
    return FormatsResult(
        verdict, why, **found, retained_low=low, retained_high=high, drift=None, homogeneity=test,
        accuracy=accuracy, winner_accuracy_rank=_rank(accuracy, int(ends[1].argmax())),
        other=_other([*base, *tuned]), design_effect=1.0, level=level, seed=seed,
        points=np.array([0, 1]), logged=2, models=models,
    )  # fmt: skip


def section(result: FormatsResult) -> Section:
    """The result in words, numbers, a picture and a table.

    Args:
        result: of `diagnose_formats` or `compare_formats`.

    Returns:
        The section that the command line prints and the report shows.
    """
    return build(result)


# --------------------------------------------------------------------------- inside


def _check(
    formats: Sequence[str], steps: FloatArray, level: float, runs: int, momentum: float
) -> None:
    if len(formats) != steps.size:
        raise InvalidInputError(f"steps: expected {len(formats)} values, got {steps.size}")
    if not np.isfinite(steps).all():
        raise InvalidInputError("steps: expected a training step for every sample, got NaN")
    odd = (steps != np.rint(steps)) | (np.abs(steps) > LARGEST)
    if odd.any():
        raise InvalidInputError(
            f"steps: expected whole numbers below 2^53, got {float(steps[odd][0]):g}; give training "
            "steps, not epochs"
        )
    if runs < 400:
        raise InvalidInputError(f"runs: expected at least 400, got {runs}")
    if not 1.0 / (runs + 1) < real("level", level) < 1.0:
        raise InvalidInputError(
            f"level: expected a number in (1 / (runs + 1), 1) with {runs} runs, got {level}"
        )
    if not 0.0 <= real("momentum", momentum) < 1.0:
        raise InvalidInputError(f"momentum: expected a number in [0, 1), got {momentum}")


def _codes(formats: Sequence[str], start: np.ndarray) -> tuple[tuple[str, ...], IntArray]:
    """The formats as numbers, those that the start has most of first."""
    for name in set(formats):
        if not isinstance(name, str):
            raise InvalidInputError(
                f"formats: expected the name of a format for every sample, got {name!r}; leave out "
                "samples without a text"
            )
    first = Counter(f for f, is_start in zip(formats, start, strict=True) if is_start)
    names = sorted(set(formats), key=lambda name: (-first[name], name == OTHER, name))
    number = {name: i for i, name in enumerate(names)}
    return tuple(str(name) for name in names), np.array([number[f] for f in formats], np.int64)


def _measured(names: tuple[str, ...], steps: IntArray, counts: IntArray) -> dict[str, Any]:
    number = effective_number(counts)
    last = int(counts[-1].argmax())
    before = float(number[0]) - 1.0
    return {
        "names": names,
        "steps": steps,
        "counts": counts,
        "number": number,
        "entropy": entropy(counts),
        "divergence": jensen_shannon(counts, counts[0]),
        "retained": (float(number[-1]) - 1.0) / before if before > 0.0 else math.nan,
        "collapsed_at": collapse_step(steps, number),
        "winner": names[last],
        "winner_share_rank": 1 + int((counts[0] > counts[0][last]).sum()),
    }


def _design_effect(
    codes: IntArray, at: IntArray, prompts: Sequence[str | None] | None, size: int
) -> float:
    """Between prompts it cancels from step to step where every step asks the same ones."""
    if prompts is None or all(p is None for p in prompts):
        return 1.0
    if len(prompts) != codes.size:
        raise InvalidInputError(f"prompts: expected {codes.size} values, got {len(prompts)}")
    names = [f"\0{i}" if p is None else p for i, p in enumerate(prompts)]
    _, own = np.unique(names, return_inverse=True)
    asked = np.unique(own * (int(at.max()) + 1) + at).size / (int(own.max()) + 1)
    if asked > (int(at.max()) + 1) / 2:
        return 1.0
    return design_effect(codes, own, at, size)


def _ends_interval(ends: IntArray, effect: float, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng([seed, 14])
    drawn: list[FloatArray] = []
    for row in ends:
        n = max(int(row.sum() / effect), 1)
        drawn.append(effective_number(rng.multinomial(n, row / row.sum(), size=1000)) - 1.0)
    there = drawn[0] > 1e-9
    if there.mean() < 0.5:
        return math.nan, math.nan
    low, high = np.quantile(drawn[1][there] / drawn[0][there], [0.025, 0.975])
    return float(low), float(high)


def _clusters(
    base: IntArray,
    tuned: IntArray,
    base_prompts: Sequence[str | None] | None,
    tuned_prompts: Sequence[str | None] | None,
    size: int,
) -> tuple[IntArray, IntArray, bool]:
    """Counts of each prompt in both sets; in the same order, where most prompts are in both."""
    ids: list[list[str]] = []
    for side, codes, prompts in (("b", base, base_prompts), ("t", tuned, tuned_prompts)):
        if prompts is not None and len(prompts) != codes.size:
            raise InvalidInputError(f"prompts: expected {codes.size} values, got {len(prompts)}")
        given: Sequence[str | None] = prompts if prompts is not None else [None] * codes.size
        ids.append([f"\0{side}{i}" if p is None else p for i, p in enumerate(given)])
    sets = [set(one) for one in ids]
    common = sets[0] & sets[1]
    paired = 2 * len(common) > max(len(sets[0]), len(sets[1]))
    tables: list[IntArray] = []
    for codes, own in zip((base, tuned), ids, strict=True):
        # A prompt of one set alone has a row of zeros in the other, and is swapped like the others.
        order = sorted(sets[0] | sets[1]) if paired else sorted(set(own))
        row = {p: i for i, p in enumerate(order)}
        table = np.zeros((len(order), size), np.int64)
        np.add.at(table, (np.array([row[p] for p in own]), codes), 1)
        tables.append(table)
    return tables[0], tables[1], paired


def _accuracy(codes: IntArray, at: IntArray, correct: ArrayLike | None, size: int) -> FloatArray:
    """Of each format among the first samples: a tenth of the steps, at least one."""
    found = np.full(size, np.nan)
    if correct is None:
        return found
    right = vector("correct", correct)
    if right.size != codes.size:
        raise InvalidInputError(f"correct: expected {codes.size} values, got {right.size}")
    early = (at <= int(at.max()) // 10) & np.isfinite(right)
    for f in range(size):
        own = right[early & (codes == f)]
        if own.size >= FEW:
            found[f] = own.mean()
    return found


def _rank(accuracy: FloatArray, winner: int) -> int | None:
    if not np.isfinite(accuracy[winner]):
        return None
    return 1 + int((accuracy > accuracy[winner]).sum())


def _other(formats: Sequence[str]) -> float:
    return sum(f == OTHER for f in formats) / len(formats)


def _untested(
    ends: IntArray, retained: float, interval: tuple[float, float]
) -> tuple[str, str] | None:
    """The verdict where no test is needed for it: nothing can be said, or half may be left."""
    if int(ends.sum(axis=1).min()) < LEAST:
        return "INCONCLUSIVE", FEW_SAMPLES
    if float(effective_number(ends[0])) - 1.0 < ONE_FORMAT:
        return "INCONCLUSIVE", ONE_FORMAT_ALONE
    if retained <= LOST:
        return None
    if interval[0] > LOST:
        return "NO COLLAPSE", "More than half of the diversity of the start is left."
    return "INCONCLUSIVE", UNCLEAR


def _run_verdict(
    ends: IntArray,
    retained: float,
    interval: tuple[float, float],
    drift: DriftTest,
    level: float,
) -> tuple[str, str]:
    if (found := _untested(ends, retained, interval)) is not None:
        return found
    if math.isnan(drift.p):
        return "INCONCLUSIVE", FEW_STEPS
    if drift.calibrated:
        beyond = "The winner rose more steadily than drift of any rate does."
        within = "The winner rose no more steadily than drift can."
    else:
        beyond = "Drift of the given rate loses less diversity."
        within = "Drift of the given rate loses as much diversity."
    if drift.p <= level:
        return "COLLAPSE BEYOND DRIFT", beyond
    return "WITHIN DRIFT", within


def _two_verdict(
    ends: IntArray,
    retained: float,
    interval: tuple[float, float],
    test: Homogeneity,
    level: float,
) -> tuple[str, str]:
    if (found := _untested(ends, retained, interval)) is not None:
        return found
    if test.p_number <= level:
        return "COLLAPSE BEYOND NOISE", "Sampling noise alone loses less diversity."
    return "INCONCLUSIVE", AS_NOISE
