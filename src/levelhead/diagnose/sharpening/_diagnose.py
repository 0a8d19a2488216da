"""Did training sharpen what the base model could do already, or add what it could not?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from levelhead._arrays import FloatArray, IntArray, real
from levelhead.diagnose.section import Section
from levelhead.diagnose.sharpening._counts import Paired, Samples, paired
from levelhead.diagnose.sharpening._nulls import (
    SWAPS,
    Resampled,
    guessed_newly_solved,
    newly_solved_null,
    resample,
    unlucky_base,
)
from levelhead.diagnose.sharpening._passk import (
    RATE_TOLERANCE,
    crossing_k,
    curve_tables,
    log_weights,
    pass_at_k_curve,
    transitions,
)
from levelhead.diagnose.sharpening._result import (
    Difference,
    SharpeningResult,
    difference,
    expands,
    fell,
    rose,
)
from levelhead.diagnose.sharpening._words import build
from levelhead.errors import InvalidInputError

__all__ = ["TAUS", "diagnose_sharpening", "section"]

TAUS = (0.01, 0.1, 0.25, 0.5, 0.8, 1.0)
"""Success rates at which Cover@tau is reported."""

ALL_K = 1024
"""Up to so many samples the bootstrap looks at every k; beyond them at so many k in all."""

FINE = 10
"""Random swaps for each chance of 1 - level: no p can be as small as half of it with fewer than 2."""

TOP_LEVEL = 0.9999
"""Above it the random swaps would have to be too many."""

MOST = 1 << 26
"""Numbers that the curves of all resamples may hold: half a gigabyte."""


def diagnose_sharpening(
    base: Samples,
    tuned: Samples,
    *,
    samples: int | None = None,
    guess_rate: float = 0.0,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> SharpeningResult:
    """Compare two models that answered the same problems several times.

    SHARPEN: pass@1 rose and pass@n fell, both intervals exclude 0, and so do the exact tests. EXPAND:
    more problems are newly solved than luck explains, be it that of an unchanged model, that of a
    base model which would have solved them in n + 1 samples, or that of guessing, on whichever of the
    problems each. INCONCLUSIVE: neither. Each side is tested at (1 - level) / 2.

    Args:
        base: samples of the model before.
        tuned: samples of the model after, for the same prompts at the same temperature.
        samples: how many of each problem to use; problems with fewer are left out. The fewest that
            a problem has unless given.
        guess_rate: chance in [0, 1) that an answer out of the blue is right.
        level: of the intervals, in [0.5, 0.9999].
        n_boot: resamples of the problems for the bands and the crossing, >= 100.
        seed: of every random number, >= 0.
        on_step: called with what is being done.

    Returns:
        The curves, their intervals, the nulls and the verdict.

    Raises:
        InvalidInputError: the models share no prompt, or an argument is out of range.

    Edge cases: a sample without a label counts as wrong, and a warning says how many there were.
        Where problems differ in their number of samples, as many of each are drawn at random. Where
        neighboring samples of a problem are alike, EXPAND is not said.
    Properties: a model whose pass@1 did not rise, or whose pass@n did not fall, is called SHARPEN with
        probability at most (1 - level) / 2; one that raised only what the base model solves at a
        rate of at least 1 / (n + 1), and else guesses or did not rise, is called EXPAND likewise.
        The former is about problems that these are drawn from, one by one, of which none changes
        more than the one that changed most.
    Reference: arXiv:2504.13837, arXiv:2510.08325; declines at large k that are no loss of the
        model's: arXiv:2606.15455; intervals: arXiv:1905.06208.

    Example:
        >>> before = Samples.from_matrix([[1, 0], [0, 0], [1, 1]], name="base")
        >>> after = Samples.from_matrix([[1, 1], [0, 0], [1, 1]], name="tuned")
        >>> diagnose_sharpening(before, after).verdict
        'INCONCLUSIVE'
    """
    _check(guess_rate, level, n_boot, samples, seed)
    say = on_step or (lambda text: None)
    say("counting")
    data = paired(base, tuned, samples=samples, seed=seed)
    n, right = data.n, (data.base, data.tuned)
    ks = _grid(n)
    _check_size(n_boot, ks.size)
    say("resampling problems")
    tables = [_rows_of(np.full(n + 1, n), np.arange(n + 1), ks, used) for used in data.used]
    draws = resample(data, tables, n_boot=n_boot, seed=seed)
    first, last, auc = _differences(data, ks, tables, level, seed)
    luck = _luck(*right, n, guess_rate, data.alike)
    verdict = _verdict(first, last, luck, (1.0 - level) / 2.0)
    crossing, low, high, share = _crossing(data, ks, draws, level)
    entropy, max_share = _answers(data, level, seed)
    return SharpeningResult(
        verdict=verdict,
        names=(base.name, tuned.name),
        problems=data.base.size,
        n=n,
        k=ks,
        base=draws.curves[0],
        tuned=draws.curves[1],
        bands=draws.bands(level),
        first=first,
        last=last,
        auc=auc,
        crossing=crossing,
        crossing_low=low,
        crossing_high=high,
        crossing_share=share,
        table=transitions(*right),
        guess_rate=guess_rate,
        **luck,
        cover=_cover(data, last, level, seed),
        entropy=entropy,
        max_share=max_share,
        answered=0 if data.entropy is None else data.entropy.shape[1],
        level=level,
        seed=seed,
        warnings=(*data.warnings, *_chosen(data, verdict, base.name)),
        notes=data.notes,
    )


def section(result: SharpeningResult) -> Section:
    """The result in words, numbers, pictures and tables.

    Args:
        result: of `diagnose_sharpening`.

    Returns:
        The section that the command line prints and the report shows.
    """
    return build(result)


# --------------------------------------------------------------------------- inside


def _luck(
    base: IntArray, tuned: IntArray, n: int, guess_rate: float, alike: bool
) -> dict[str, Any]:
    """What the three kinds of luck would show, as fields of the result.

    Samples that are alike can be unlucky together, to a degree that nothing tells.
    """
    null = newly_solved_null(base, tuned, n, whole=alike)
    unlucky = unlucky_base(base, tuned, n, guess_rate)
    guessed, p_guessed = guessed_newly_solved(base, tuned, n, guess_rate)
    return {
        "expected_new": null.expected,
        "p_new": null.p_new,
        "p_lost": null.p_lost,
        "solved_again": unlucky.new,
        "unlucky_new": math.nan if alike else unlucky.expected,
        "p_unlucky": 1.0 if alike else unlucky.p,
        "guessed_new": guessed,
        "p_guessed": p_guessed,
    }


def _verdict(first: Difference, last: Difference, luck: Mapping[str, Any], tail: float) -> str:
    if rose(first, tail) and fell(last, tail):
        return "SHARPEN"
    new = expands(luck["p_new"], luck["p_unlucky"], luck["p_guessed"], tail)
    return "EXPAND" if new else "INCONCLUSIVE"


def _chosen(data: Paired, verdict: str, name: str) -> list[str]:
    """Problems chosen by the very samples that are compared make a verdict by themselves."""
    if verdict == "EXPAND" and not data.base.any():
        what = "no problem"
    elif verdict == "SHARPEN" and data.base.min() > 0 and data.base.max() < data.n:
        what = "each problem in some samples and none in all"
    else:
        return []
    return [
        f"{name} solves {what}: if the problems were chosen by these samples, that alone makes the "
        f"verdict, as new samples of {name} would differ as well; draw new ones to compare"
    ]


def _differences(
    data: Paired, ks: IntArray, tables: list[FloatArray], level: float, seed: int
) -> tuple[Difference, Difference, Difference]:
    """pass@1, pass@n, and the mean height over log k."""
    rates = [c / data.n for c in (data.base, data.tuned)]
    solved = [(c > 0).astype(float) for c in (data.base, data.tuned)]
    areas = [(t @ log_weights(ks))[place] for t, place in zip(tables, data.places, strict=True)]
    swaps = max(SWAPS, math.ceil(FINE / (1.0 - level)))
    return (
        difference(rates[0], rates[1], level, seed, swaps=swaps),
        difference(solved[0], solved[1], level, seed, worst=1.0),
        difference(areas[0], areas[1], level, seed),
    )


def _cover(data: Paired, last: Difference, level: float, seed: int) -> dict[float, Difference]:
    """Cover@tau of both models; where it is pass@n, with the interval of pass@n."""
    found: dict[float, Difference] = {}
    for tau in TAUS:
        least = max(1, math.ceil(data.n * (tau - RATE_TOLERANCE)))
        if least == 1:
            found[tau] = last
            continue
        reached = [(c >= least).astype(float) for c in (data.base, data.tuned)]
        found[tau] = difference(reached[0], reached[1], level, seed, worst=1.0)
    return found


def _answers(data: Paired, level: float, seed: int) -> tuple[Difference | None, Difference | None]:
    """Entropy and largest share of the answers, where both models gave some."""
    if data.entropy is None or data.max_share is None:
        return None, None
    return (
        difference(data.entropy[0], data.entropy[1], level, seed),
        difference(data.max_share[0], data.max_share[1], level, seed),
    )


def _crossing(
    data: Paired, ks: IntArray, draws: Resampled, level: float
) -> tuple[int | None, int | None, int | None, float]:
    """The crossing over every k, and its interval, in which no crossing is later than any."""
    every = np.arange(1, data.n + 1)
    total = np.full(data.base.size, data.n)
    both = [pass_at_k_curve(total, c, every) for c in (data.base, data.tuned)]
    at = np.where(
        draws.crossing < ks.size, np.append(ks, 0)[draws.crossing], np.iinfo(np.int64).max
    )
    tail = (1.0 - level) / 2.0
    ends = np.quantile(at, (tail, 1.0 - tail), method="inverted_cdf")
    low, high = (int(end) if end <= data.n else None for end in ends)
    return crossing_k(every, both[0], both[1]), low, high, float(np.mean(at <= data.n))


def _grid(n: int) -> IntArray:
    """Every k, or every k up to half of `ALL_K` and evenly spaced ones on the log scale beyond."""
    if n <= ALL_K:
        return np.arange(1, n + 1)
    near = np.arange(1, ALL_K // 2 + 1)
    far = np.rint(np.geomspace(ALL_K // 2, n, ALL_K // 2)).astype(np.int64)
    return np.unique(np.concatenate([near, far]))


def _rows_of(n: IntArray, c: IntArray, ks: IntArray, used: IntArray) -> FloatArray:
    """(D, M) curves of the counts that occur."""
    return np.concatenate([table for _, table in curve_tables(n[used], c[used], ks)])


def _check(guess_rate: float, level: float, n_boot: int, samples: int | None, seed: int) -> None:
    if not 0.0 <= real("guess_rate", guess_rate) < 1.0:
        raise InvalidInputError(f"guess_rate: expected a chance in [0, 1), got {guess_rate}")
    if not 0.5 <= real("level", level) <= TOP_LEVEL:
        raise InvalidInputError(f"level: expected a value in [0.5, {TOP_LEVEL}], got {level}")
    for name, value, least, what in (
        ("n_boot", n_boot, 100, "at least 100 resamples"),
        ("samples", 1 if samples is None else samples, 1, "at least 1"),
        ("seed", seed, 0, "a whole number >= 0"),
    ):
        if not isinstance(value, int | np.integer) or value < least:
            raise InvalidInputError(f"{name}: expected {what}, got {value!r}")


def _check_size(n_boot: int, points: int) -> None:
    most = MOST // (2 * points)
    if n_boot > most:
        raise InvalidInputError(
            f"n_boot: expected at most {most:,} resamples of curves with {points:,} points, which "
            f"fill the memory, got {n_boot:,}; ask for fewer, or for fewer samples"
        )
