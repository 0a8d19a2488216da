"""What to train on, by difficulty: masks and weights over samples, and filters over data sets.

Over samples they go between an estimator and the loss; `filtered_advantages` is all of them as one
estimator, for whatever takes `module:function`. Over data sets they go before the training.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from levelhead._arrays import (
    ArrayLike,
    BoolArray,
    FloatArray,
    IntArray,
    codes,
    flags,
    probabilities,
    real,
    vector,
)
from levelhead._registry import load_callable
from levelhead._write import replacing
from levelhead.advantages import TABLE
from levelhead.diagnose.difficulty._bands import HARD, band_index, column_of
from levelhead.errors import DataWarning, InvalidInputError, RecordError, unknown_name

__all__ = [
    "TRAINABLE",
    "cap_advantages",
    "difficulty_weights",
    "dynamic_sampling",
    "filter_parquet",
    "filtered_advantages",
    "prompt_filter",
    "rare_success_gate",
]

TRAINABLE = ("hard", "medium", "easy", "uncertain")
"""The bands of prompts that may have both right and wrong samples in a group."""

RowFilter = Callable[[Mapping[str, Any]], Any]
"""From a batch of rows, column by column, to which of them stay; from one row, to whether it does."""


@dataclasses.dataclass(frozen=True)
class _Groups:
    """(N,) code of each sample's group, whether it can be scored, and right and scored ones by group."""

    code: IntArray
    right: FloatArray
    passed: IntArray
    samples: IntArray


def _grouped(correct: ArrayLike, groups: ArrayLike, name: str = "correct") -> _Groups:
    right = vector(name, correct)
    known = ~np.isnan(right)
    bad = known & (right != 0.0) & (right != 1.0)
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(
            f"{name}: expected 0 or 1, or NaN for what cannot be scored, got {right[i]} at index {i}"
        )
    code = codes("groups", groups, right.size)
    size = int(code.max()) + 1 if code.size else 0
    passed = np.bincount(code[known], right[known], size).astype(np.int64)
    return _Groups(code, right, passed, np.bincount(code[known], minlength=size).astype(np.int64))


def dynamic_sampling(correct: ArrayLike, groups: ArrayLike) -> BoolArray:
    """Which samples are in a group with both right and wrong ones: 0 < c < G.

    Args:
        correct: (N,) 0 or 1; NaN for what cannot be scored, which counts as neither.
        groups: (N,) labels of prompts, in any order.

    Returns:
        (N,) mask; the same within a group.

    Raises:
        InvalidInputError: lengths differ, or a value is neither 0 nor 1.

    Edge cases: a group of one never stays.
    Properties: what goes has advantage 0 under every centered estimator; what changes is the mean over
        the batch and, in a trainer that draws again, which prompts are seen.
    Reference: DAPO, arXiv:2503.14476.

    Example:
        >>> dynamic_sampling([1, 1, 1, 0], ["a", "a", "b", "b"])
        array([False, False,  True,  True])
    """
    g = _grouped(correct, groups)
    return ((g.passed > 0) & (g.passed < g.samples))[g.code]


def difficulty_weights(
    correct: ArrayLike, groups: ArrayLike, *, pass_rate: ArrayLike | None = None
) -> FloatArray:
    """Weights that are largest at even odds: 4 p (1 - p).

    Args:
        correct: (N,) 0 or 1; NaN for what cannot be scored.
        groups: (N,) labels of prompts, in any order.
        pass_rate: (N,) in [0, 1], of each sample's prompt, from earlier rollouts; the group's own
            c / G unless given.

    Returns:
        (N,) weights in [0, 1].

    Raises:
        InvalidInputError: lengths differ, or a value outside its range.

    Edge cases: a group of which nothing can be scored gets 0.
    Properties: from the group's own rate the weight is (G - 1) / G too small on average, and it depends
        on the rewards that it multiplies; a rate of earlier rollouts has neither fault.

    Example:
        >>> difficulty_weights([1, 0, 0, 0], [7, 7, 7, 7])
        array([0.75, 0.75, 0.75, 0.75])
    """
    g = _grouped(correct, groups)
    if pass_rate is None:
        rate = (g.passed / np.maximum(g.samples, 1))[g.code]
    else:
        rate = probabilities("pass_rate", pass_rate)
        if rate.size != g.right.size:
            raise InvalidInputError(f"pass_rate: expected {g.right.size} values, got {rate.size}")
    return 4.0 * rate * (1.0 - rate)


def cap_advantages(advantages: ArrayLike, *, limit: float = 1.0) -> FloatArray:
    """Advantages that are nowhere larger than a limit: max(-limit, min(limit, A)).

    Args:
        advantages: (N,) finite.
        limit: > 0.

    Returns:
        (N,) float64.

    Raises:
        InvalidInputError: a value that is not finite, or a limit that is not above 0.

    Edge cases: none.
    Properties: not centered any more: under `grpo` the lone success of a group loses weight and its
        failures keep theirs, so the group pushes down in total.

    Example:
        >>> cap_advantages([2.475, -0.354])
        array([ 1.   , -0.354])
    """
    values = vector("advantages", advantages)
    if not np.isfinite(values).all():
        i = int((~np.isfinite(values)).argmax())
        raise InvalidInputError(
            f"advantages: expected finite numbers, got {values[i]} at index {i}"
        )
    if not 0.0 < real("limit", limit) < np.inf:
        raise InvalidInputError(f"limit: expected a number above 0, got {limit}")
    return np.clip(values, -limit, limit)


def rare_success_gate(
    correct: ArrayLike, groups: ArrayLike, clean: ArrayLike, *, max_rate: float = HARD
) -> BoolArray:
    """Which samples may teach: a lone success in a hard group only where its text is clean.

    A group with c = 1 and c / G <= max_rate whose success is not clean is left out as a whole.

    Args:
        correct: (N,) 0 or 1; NaN for what cannot be scored.
        groups: (N,) labels of prompts, in any order.
        clean: (N,) whether a sample's text shows no shortcut, or its steps were checked; only that of
            lone successes matters.
        max_rate: in (0, 1], up to which c / G a success is rare.

    Returns:
        (N,) mask; the same within a group. Multiply the advantages by it, or set the rewards of the
        others to NaN.

    Raises:
        InvalidInputError: lengths differ, or a value outside its range.

    Edge cases: with G < 1 / max_rate (below 5) nothing is rare, and all may teach.
    Properties: the advantages of a gated group are 0, those of its failures too: without its success it
        is a constant group.
    Reference: arXiv:2605.28388 on what is learned from lone successes.

    Example:
        >>> rare_success_gate([1, 0, 0, 0, 0], [7] * 5, [False] + [True] * 4)
        array([False, False, False, False, False])
    """
    g = _grouped(correct, groups)
    fine = flags("clean", clean, g.right.size)
    if not 0.0 < real("max_rate", max_rate) <= 1.0:
        raise InvalidInputError(f"max_rate: expected a number in (0, 1], got {max_rate}")
    rare = (g.passed == 1) & (g.passed <= max_rate * g.samples + 1e-9)
    dirty = np.zeros(rare.size, np.bool_)
    dirty[g.code[(g.right == 1.0) & ~fine]] = True
    return ~(rare & dirty)[g.code]


def filtered_advantages(
    rewards: ArrayLike,
    groups: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    estimator: str = "grpo",
    options: Mapping[str, Any] | None = None,
    dynamic: bool = False,
    weight: bool = False,
    limit: float | None = None,
    success: float = 0.5,
) -> FloatArray:
    """An advantage estimator with filters by difficulty behind it.

    A trainer takes it as `levelhead.diagnose.difficulty:filtered_advantages`, with its options.

    Args:
        rewards: (N,) finite, or NaN (cannot be scored).
        groups: (N,) labels of prompts, in any order.
        valid: (N,) booleans, False for what must not count, or None.
        estimator: a name of `levelhead.advantages.TABLE` or `module:function`.
        options: keyword arguments of the estimator.
        dynamic: groups of successes or of failures alone are not seen by the estimator and get 0.
        weight: multiply by 4 p (1 - p), p the group's share of successes.
        limit: cap |A| at this, after the weights; None for no cap.
        success: a reward from this on is a success.

    Returns:
        (N,) float64.

    Raises:
        InvalidInputError: no such estimator, or an argument outside its range.

    Edge cases: what cannot be scored gets 0; without any filter it is the estimator itself. An
        estimator with a memory starts anew at every call.
    Properties: not centered with a limit. With `dynamic` an estimator over the batch has the statistics
        of the groups that stay.
    Reference: arXiv:2503.14476 (dynamic sampling); arXiv:2605.28388 (lone successes).

    Example:
        >>> filtered_advantages([1.0, 0, 0, 0, 0, 0, 0, 0], [7] * 8, limit=1.0).round(3)
        array([ 1.   , -0.354, -0.354, -0.354, -0.354, -0.354, -0.354, -0.354])
    """
    if ":" not in estimator and estimator not in TABLE:
        raise unknown_name("estimator", estimator, TABLE)
    values = vector("rewards", rewards)
    if valid is not None:
        values = np.where(flags("valid", valid, values.size), values, np.nan)
    function = TABLE[estimator].function if ":" not in estimator else load_callable(estimator)
    right = np.where(np.isnan(values), np.nan, (values >= real("success", success)).astype(float))
    seen = np.where(dynamic_sampling(right, groups), values, np.nan) if dynamic else values
    out = np.asarray(function(seen, groups, **(options or {})), dtype=np.float64)
    out = np.where(np.isnan(seen), 0.0, out)
    if weight:
        out = out * difficulty_weights(right, groups)
    return out if limit is None else cap_advantages(out, limit=limit)


def prompt_filter(
    bands: Mapping[str, str],
    *,
    column: str = "prompt_id",
    keep: Iterable[str] = TRAINABLE,
    unseen: bool = True,
) -> RowFilter:
    """A filter over rows of prompts by their band, as `datasets.Dataset.filter` takes it.

    Args:
        bands: band of each prompt by its id, such as `Bands.by_prompt()`.
        column: column of the ids; a dotted name goes into nested records, as `extra_info.index`.
        keep: bands that stay.
        unseen: whether prompts without a band stay.

    Returns:
        A function from a batch, a mapping of columns, to a list of which rows stay: for TRL
        `dataset.filter(function, batched=True)`. From one row, as without `batched`, to whether it stays.

    Raises:
        InvalidInputError: a name that is no band; when it is called, a column that the rows lack.

    Edge cases: ids are compared as text. A batch in which no prompt has a band is warned about: its ids
        are hardly those of the samples.
    Properties: row by row, so that batches of any size give the same.

    Example:
        >>> keep = prompt_filter({"a": "impossible", "b": "medium"})
        >>> keep({"prompt_id": ["a", "b", "new"]})
        [False, True, True]
    """
    if isinstance(keep, str):
        raise InvalidInputError(f"keep: expected names of bands, got the text {keep!r}")
    wanted = set(keep)
    for name in (*wanted, *bands.values()):
        band_index(name)
    known = {str(prompt): name in wanted for prompt, name in bands.items()}

    def keeps(rows: Mapping[str, Any]) -> list[bool] | bool:
        if _is_one_row(rows, column):
            (prompt,) = column_of({name: [rows[name]] for name in rows}, column)
            return known.get(str(prompt), unseen)
        prompts = [str(prompt) for prompt in column_of(rows, column)]
        if prompts and known.keys().isdisjoint(prompts):
            warnings.warn(
                f"column {column}: expected ids of the {len(known):,} prompts that have a band, got none "
                f"of them in a batch of {len(prompts):,}, such as {prompts[0]!r}",
                DataWarning,
                stacklevel=2,
            )
        return [known.get(prompt, unseen) for prompt in prompts]

    return keeps


def _is_one_row(rows: Mapping[str, Any], column: str) -> bool:
    """Whether it is a single row, not a batch: its value is a text, a number or a record."""
    head = column.partition(".")[0]
    if not isinstance(rows, Mapping) or not (column in rows or head in rows):
        return False
    value = rows[column if column in rows else head]
    scalar = isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__")
    return scalar or getattr(value, "shape", None) == ()


class _Columns(Mapping[str, list[Any]]):
    """The columns of a table, made lists when they are asked for."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __getitem__(self, name: str) -> list[Any]:
        return self._table[name].to_pylist()

    def __contains__(self, name: object) -> bool:
        return name in self._table.column_names

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.column_names)

    def __len__(self) -> int:
        return self._table.num_columns


def filter_parquet(source: Path, target: Path, keep: RowFilter) -> tuple[int, int]:
    """Write the rows of a Parquet file of prompts that a filter keeps, as verl reads them.

    Args:
        source: a file of prompts, such as verl's `data.train_files`.
        target: the file to write; every column and its type stays.
        keep: such as `prompt_filter(bands, column="extra_info.index")`.

    Returns:
        (rows that stayed, rows there were).

    Raises:
        RecordError: the file cannot be read or written, or no row stays: verl could not train.
        InvalidInputError: the filter names a column that the file lacks.

    Edge cases: target may be source; it is replaced when all is written.
    Properties: order and row groups stay, but for those of which nothing is left; one row group is in
        memory at a time, and of it the columns that the filter asks for become Python objects.
    """
    source, target = Path(source), Path(target)
    try:
        with pq.ParquetFile(source) as file, replacing(target) as temporary:
            kept, seen = 0, 0
            with pq.ParquetWriter(temporary, file.schema_arrow) as out:
                for i in range(file.num_row_groups):
                    group = file.read_row_group(i)
                    rest = group.filter(pa.array(keep(_Columns(group)), pa.bool_()))
                    kept, seen = kept + rest.num_rows, seen + group.num_rows
                    if rest.num_rows:
                        out.write_table(rest)
            if not kept:
                raise RecordError(
                    f"expected at least one prompt that the filter keeps, got none of {seen:,}; keep "
                    "more bands",
                    str(source),
                )
    except (OSError, pa.ArrowException) as error:
        raise RecordError(
            f"expected a Parquet file of prompts, got {error}", str(source)
        ) from error
    return kept, seen
