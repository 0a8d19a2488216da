"""Is what the base solved before still solved?"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

import numpy as np

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, codes, real, vector
from levelhead.errors import InvalidInputError
from levelhead.metrics.paired import PairedDifference, paired_differences

__all__ = ["RegressionSuite", "regression_suite"]

SOLVED = 0.8
"""Pass rate from which on a prompt counts as solved before."""


@dataclasses.dataclass(frozen=True)
class RegressionSuite:
    """pass@1 of two models on prompts that the base had solved.

    Attributes:
        prompts: the suite.
        change: tuned - base, with its interval over prompts and its p-value.
    """

    prompts: tuple[str, ...]
    change: PairedDifference


def regression_suite(
    correct_tuned: ArrayLike,
    prompts_tuned: Iterable[object],
    correct_base: ArrayLike,
    prompts_base: Iterable[object],
    *,
    suite: Collection[str] | None = None,
    solved: float = SOLVED,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> RegressionSuite | None:
    """The change of pass@1 on prompts that the base had solved before.

    The suite is chosen on a random half of the base's samples of each prompt, and the tuned model is
    compared with the other half: chosen on the samples that it is compared with, the base would be
    lucky, and a model that did not change would seem to lose.

    Args:
        correct_tuned: (N,) 0 or 1; NaN where the truth is unknown.
        prompts_tuned: (N,) which prompt each is a sample of.
        correct_base: (M,) likewise.
        prompts_base: (M,) likewise.
        suite: the prompts, where they were frozen earlier; all samples of the base are then compared.
        solved: a prompt is solved from this pass rate on, in (0, 1].
        level: of the interval, in (0, 1).
        n_boot: resamples and swaps.
        seed: of the halves, the resamples and the swaps.

    Returns:
        The change, or None where no prompt is both in the suite and sampled from both models.

    Raises:
        InvalidInputError: lengths differ, or an argument outside its range.

    Edge cases: a prompt with one sample of the base cannot be in a suite that is chosen here.
    Properties: every prompt counts the same, however many samples it has.

    Example:
        >>> base, names = [1] * 8, ["a"] * 4 + ["b"] * 4
        >>> regression_suite([1, 0] * 4, names, base, names).change.difference
        -0.5
    """
    if not 0.0 < real("solved", solved) <= 1.0:
        raise InvalidInputError(f"solved: expected a number in (0, 1], got {solved}")
    tuned, names_tuned = _known("tuned", correct_tuned, prompts_tuned)
    base, names_base = _known("base", correct_base, prompts_base)
    rng = np.random.default_rng(seed)
    if suite is None:
        first, chosen = _split(base, names_base, solved, rng)
    else:
        first, chosen = np.zeros(base.size, np.bool_), {str(name) for name in suite}
    chosen &= set(names_tuned.tolist()) & set(names_base[~first].tolist())
    if not chosen:
        return None
    wanted = sorted(chosen)
    a, b = np.isin(names_tuned, wanted), np.isin(names_base, wanted) & ~first
    change = paired_differences(
        np.ones(int(a.sum())),
        tuned[a],
        np.ones(int(b.sum())),
        base[b],
        ["accuracy"],
        clusters_a=names_tuned[a],
        clusters_b=names_base[b],
        weights_a=_equal(names_tuned[a]),
        weights_b=_equal(names_base[b]),
        n_boot=n_boot,
        n_permutations=n_boot,
        level=level,
        seed=seed,
    )["accuracy"]
    return RegressionSuite(tuple(wanted), change)


def _known(
    which: str, correct: ArrayLike, prompts: Iterable[object]
) -> tuple[FloatArray, np.ndarray]:
    right = vector(f"correct_{which}", correct)
    names = np.array([str(name) for name in prompts], dtype=object)
    if names.size != right.size:
        raise InvalidInputError(f"prompts_{which}: expected {right.size} names, got {names.size}")
    keep = ~np.isnan(right)
    if not np.isin(right[keep], (0.0, 1.0)).all():
        raise InvalidInputError(f"correct_{which}: expected 0 or 1, or NaN where it is unknown")
    return right[keep], names[keep]


def _split(
    right: FloatArray, names: np.ndarray, solved: float, rng: np.random.Generator
) -> tuple[BoolArray, set[str]]:
    """Which samples choose the suite, and the prompts that they choose."""
    first = np.zeros(right.size, np.bool_)
    chosen: set[str] = set()
    code = codes("prompts", names, names.size)
    order = np.lexsort((rng.random(right.size), code))
    for rows in np.split(order, np.flatnonzero(np.diff(code[order])) + 1):
        half = rows[: rows.size // 2]
        first[half] = True
        if half.size and right[half].mean() >= solved - 1e-9:
            chosen.add(str(names[half[0]]))
    return first, chosen


def _equal(names: np.ndarray) -> FloatArray:
    """Weights under which every prompt counts 1."""
    _, code, count = np.unique(names.astype(str), return_inverse=True, return_counts=True)
    return 1.0 / count[code]
