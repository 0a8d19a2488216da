"""Which weights RL changed: density, ranks and overlap, beside what rounding alone would show."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from levelhead.diagnose.updates._result import UpdatesResult
from levelhead.diagnose.updates._run import Run
from levelhead.diagnose.updates._shared import shared_changes
from levelhead.diagnose.updates._tensors import Files, open_checkpoint
from levelhead.diagnose.updates._tensors_pairs import Pairs, in_one_format, pair_tensors
from levelhead.errors import InvalidInputError

__all__ = ["TOLERANCES", "density", "diagnose_updates"]

TOLERANCES = (0.0, 1e-6, 1e-5, 1e-4)
MOST_THREADS = 4
SHARED_SEED = 2505_11712


def density(before: Any, after: Any, tolerance: float = 0.0) -> float:
    """Share of the weights that changed by more than a tolerance.

    #{|after - before| > tolerance} / n, in the format in which they are stored.

    Args:
        before: array of numbers; of bfloat16 as float32 after rounding.
        after: array of the same shape.
        tolerance: absolute, >= 0; 0 counts every change.

    Returns:
        In [0, 1]; 1 minus this is the sparsity.

    Raises:
        InvalidInputError: different shapes, no numbers, one that is not finite, or a negative
            tolerance.

    Properties: falls with the tolerance; swapping the arrays changes nothing.

    Reference: Mukherjee et al. 2025, arXiv:2505.11711.

    Example:
        >>> density([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.5]), density([1.0], [1.1], tolerance=0.5)
        (0.25, 0.0)
    """
    one, two = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if one.shape != two.shape or one.size == 0:
        raise InvalidInputError(
            f"before, after: expected equal shapes with numbers in them, got {one.shape} and {two.shape}"
        )
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise InvalidInputError("before, after: expected finite numbers, got NaN or an infinity")
    _check_tolerances((tolerance,))
    return float(np.mean(np.abs(two - one) > tolerance))


def diagnose_updates(
    base: Path | str,
    tuned: Path | str,
    other: Path | str | None = None,
    *,
    tolerances: Sequence[float] = TOLERANCES,
    ranks: int = 8,
    seed: int = 0,
    on_start: Callable[[int], None] | None = None,
    on_read: Callable[[int], None] | None = None,
    threads: int | None = None,
) -> UpdatesResult:
    """Compare the weights of two models, or of three, block by block.

    The density is compared with that of a dense Gaussian step after rounding. In each tensor the step's
    size is the one that gives the mean absolute change that was seen, on a sample of the weights. The
    update is called sparse where the density is below that null at a false-alarm level of 1%, and where
    of the weights that rounding cannot hide the step from, three quarters or fewer of the expected ones
    changed: a dense step of uneven size fails the first test, and passes the second.

    Args:
        base: folder or .safetensors file of the model before.
        tuned: the same of the model after, or the folder of its LoRA adapter.
        other: a second run's model or adapter from the same base, for the overlap.
        tolerances: absolute tolerances, >= 0; 0 is added where it is missing.
        ranks: matrices whose change's ranks are computed, drawn at random; an adapter's all are.
        seed: of the samples, sketches and that draw.
        on_start: told how many weights there are.
        on_read: told how many more were compared.
        threads: blocks that are compared at a time; as many as there are cores, and at most 4, unless
            given. The result is the same.

    Returns:
        What changed. Ctrl-C ends early and keeps the tensors that were compared.

    Raises:
        InvalidInputError: files that are not safetensors, tensors that are missing, renamed or of
            another shape, or options out of range.

    Edge cases: different formats are both rounded to the coarser; an embedding with other rows, and
    tensors of whole numbers, are left out and reported; tied weights count once; NaN and infinite
    weights are counted apart.

    Reference: Mukherjee et al. 2025, arXiv:2505.11711; arXiv:2511.08567.
    """
    levels = tuple(sorted({0.0, *(float(t) for t in tolerances)}))
    _check_tolerances(levels)
    if ranks < 0:
        raise InvalidInputError(f"ranks: expected a number of matrices, 0 or more, got {ranks}")
    if threads is not None and threads < 1:
        raise InvalidInputError(f"threads: expected 1 or more, got {threads}")
    workers = threads or min(os.cpu_count() or 1, MOST_THREADS)
    before = open_checkpoint(base, "BASE")
    with Files() as files:
        first = pair_tensors(before, open_checkpoint(tuned, "TUNED"), files, "TUNED")
        second = None
        if other is not None:
            second = pair_tensors(before, open_checkpoint(other, "OTHER"), files, "OTHER")
            first, second = in_one_format(first, second)
        run = Run(first, second, files, levels, ranks, seed, on_read, workers)
        if on_start is not None:
            on_start(sum(pair.size for pair in first.pairs.values()))
        run.all()
        found = run.result(str(base), str(tuned), None if other is None else str(other))
        return found if second is None else _with_shared(found, first, second, files)


def _with_shared(found: UpdatesResult, first: Pairs, second: Pairs, files: Files) -> UpdatesResult:
    """With what the runs share beyond sizes, rows and columns; Ctrl-C leaves that out."""
    if found.overlap is None or not found.complete:
        return found
    rng = np.random.default_rng([SHARED_SEED, found.seed])
    try:
        left = shared_changes(first, second, tuple(first.pairs), files, rng)
    except KeyboardInterrupt:
        return found
    overlap = dataclasses.replace(found.overlap, shared=left.correlation, shared_z=left.z)
    return dataclasses.replace(found, overlap=overlap)


def _check_tolerances(tolerances: Sequence[float]) -> None:
    for one in tolerances:
        if not 0.0 <= one < math.inf:
            raise InvalidInputError(f"tolerance: expected a number of 0 or more, got {one}")
