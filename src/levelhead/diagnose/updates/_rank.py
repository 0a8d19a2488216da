"""Ranks of updates: exact on small matrices, of a random sketch on large ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from levelhead._arrays import ArrayLike, FloatArray, IntArray
from levelhead.diagnose.updates._bits import Bits, Format, decode
from levelhead.errors import InvalidInputError

__all__ = [
    "EXACT",
    "SKETCH",
    "Rank",
    "add_rows",
    "changes",
    "effective_rank",
    "gini",
    "rank_of",
    "sketched",
    "stable_rank",
]

Floats = npt.NDArray[np.float32]

EXACT = 1 << 18
"""Elements up to which a matrix is decomposed as it is."""

SKETCH = 256
"""Rows and columns of a sketch."""


@dataclasses.dataclass(frozen=True)
class Rank:
    """Ranks of an update.

    Attributes:
        rank: numerical rank, of `full`; of a sketch, at most that of the matrix.
        full: the largest rank that could be seen: the smaller side of the matrix, or of its sketch.
        effective: exp of the entropy of the singular values' shares; None for a matrix of zeros. Of a
            sketch it is the sketch's own, and that of the matrix is larger where many directions count.
        stable: squared Frobenius norm / squared largest singular value; None and of a sketch likewise.
        how: `exact`, `sketch` or `adapter` (from its two factors).
    """

    rank: int
    full: int
    effective: float | None
    stable: float | None
    how: str


def effective_rank(singular_values: ArrayLike) -> float | None:
    """Effective rank: how many equal singular values would be as spread out as these.

    exp(-sum p ln p), p = s / sum s.

    Args:
        singular_values: (r,) >= 0.

    Returns:
        In [1, r]; None where all are 0.

    Raises:
        InvalidInputError: none, or one that is negative or not finite.

    Properties: r for r equal values; unchanged when all are multiplied by a constant.

    Reference: Roy and Vetterli 2007, "The effective rank".

    Example:
        >>> round(effective_rank([3.0, 3.0, 0.0]), 6), effective_rank([0.0])
        (2.0, None)
    """
    s = _singular(singular_values)
    total = s.sum()
    if total == 0.0:
        return None
    p = s[s > 0] / total
    return float(np.exp(-np.sum(p * np.log(p))))


def stable_rank(singular_values: ArrayLike) -> float | None:
    """Stable rank: the squared Frobenius norm over the squared largest singular value.

    Args:
        singular_values: (r,) >= 0.

    Returns:
        In [1, r]; None where all are 0.

    Raises:
        InvalidInputError: none, or one that is negative or not finite.

    Properties: never above the rank; small changes of the matrix change it little.

    Example:
        >>> stable_rank([2.0, 1.0, 1.0]), stable_rank([0.0])
        (1.5, None)
    """
    s = _singular(singular_values)
    top = s.max()
    return float(np.sum((s / top) ** 2)) if top > 0 else None


def gini(values: ArrayLike) -> float | None:
    """Gini coefficient: how unequal numbers are.

    sum_i (2 i - n - 1) x_i / (n sum x), x ascending: half the mean absolute difference over the mean.

    Args:
        values: (n,) >= 0, such as the densities of matrices.

    Returns:
        0 where all are equal, (n - 1) / n where one has all; None where all are 0.

    Raises:
        InvalidInputError: none, or one that is negative or not finite.

    Example:
        >>> gini([0.2, 0.2]), gini([0.0, 1.0]), gini([0.0])
        (0.0, 0.5, None)
    """
    x = np.sort(_singular(values, "values"))
    total, n = x.sum(), x.size
    if total == 0.0:
        return None
    return float(np.sum((2 * np.arange(1, n + 1) - n - 1) * x) / (n * total))


def _singular(values: ArrayLike, name: str = "singular_values") -> FloatArray:
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    if array.size == 0 or not np.isfinite(array).all() or array.min() < 0:
        raise InvalidInputError(
            f"{name}: expected finite numbers of 0 or more, got {array[:5].tolist()}"
        )
    return array


def rank_of(matrix: npt.NDArray[np.floating], how: str = "exact") -> Rank | None:
    """Ranks from a matrix; a singular value counts above its rounding error in float32. None of one that
    overflows."""
    if not np.isfinite(matrix).all():
        return None
    values = np.linalg.svd(matrix, compute_uv=False).astype(np.float64)
    return from_values(values, max(matrix.shape), how)


def from_values(values: FloatArray, longest: int, how: str, full: int | None = None) -> Rank:
    """Ranks from singular values, descending; `longest` side of the matrix sets the error."""
    s = np.asarray(values, dtype=np.float64)
    bound = s[0] * longest * float(np.finfo(np.float32).eps) if s.size else 0.0
    return Rank(
        int(np.count_nonzero(s > bound)), full or s.size, effective_rank(s), stable_rank(s), how
    )


def add_rows(
    before: Bits, after: Bits, form: Format, group: IntArray, sign: Floats, sums: Floats
) -> None:
    """Add the changes of each row, (rows, columns) bits before and after, to the sums of its group."""
    for i, row in enumerate(changes(before, after, form)):
        (np.add if sign[i] > 0 else np.subtract)(sums[group[i]], row, out=sums[group[i]])


def changes(before: Bits, after: Bits, form: Format) -> Floats:
    """The differences; infinite ones and NaN among them."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (decode(after, form) - decode(before, form)).astype(np.float32, copy=False)


def sketched(
    blocks: Iterable[tuple[Bits, Bits]],
    shape: tuple[int, int],
    form: Format,
    rng: np.random.Generator,
    add: Callable[[Bits, Bits, Format, IntArray, Floats, Floats], None] = add_rows,
) -> npt.NDArray[np.float64]:
    """Rows and columns added up in random groups with random signs, at most 256 groups a side.

    A rank below the number of groups survives this almost surely where the change is spread out; a higher
    one shows as full. It never grows, but single entries that fall into one group count once. Effective
    and stable rank are of the sketch: many directions show as fewer.

    Args:
        blocks: the matrix before and after, rows by rows, as bits.
        shape: of the matrix.
        form: of its numbers.
        rng: draws the groups and signs.
        add: `add_rows`, or a faster one.
    """
    group, sign = _groups(shape[0], rng)
    right_group, right_sign = _groups(shape[1], rng)
    rows = np.zeros((int(group.max()) + 1, shape[1]), np.float32)
    start = 0
    for before, after in blocks:
        add(before, after, form, group[start:], sign[start:], rows)
        start += before.shape[0]
    each = np.arange(shape[1] + 1)
    columns = csr_array((right_sign.astype(np.float64), right_group, each))
    return rows.astype(np.float64) @ columns


def _groups(size: int, rng: np.random.Generator) -> tuple[IntArray, Floats]:
    """A group of at most 256 for each, as equal as can be, and a sign."""
    group = rng.permutation(size) % SKETCH if size > SKETCH else np.arange(size)
    return group, rng.choice(np.array([-1.0, 1.0], np.float32), size)
