"""Which columns of the files `levelhead guard fit` could use as evidence and did not."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
import pyarrow as pa

from levelhead.cli._reading import EVERYTHING, read_options
from levelhead.errors import RecordError
from levelhead.guard.evidence import NAMES
from levelhead.guard.features import numbers_of
from levelhead.readers import read, resolve
from levelhead.records import Predictions

__all__ = ["unused"]

MAX_COLUMNS = 8

ALIKE = 0.8
"""How alike a name must be to that of some evidence to be taken for a slip."""


def unused(files: tuple[str, ...], given: dict[str, Any], used: tuple[str | None, ...]) -> str:
    """A note on the numeric columns of the first rows that are no evidence by their names; or "".

    Args:
        files: as the command got them.
        given: the reading options.
        used: columns that have a purpose.
    """
    options = read_options(evidence=(*NAMES, EVERYTHING), **given)
    try:
        block = next(read([resolve(files)[0].files[0]], options))
    except RecordError:  # a column that is of no use may hold anything
        return ""
    purposes = {*NAMES, *used, *(v for v in given.values() if isinstance(v, str))}
    names = [n for n in block.columns.column_names if n not in purposes and _is_evidence(block, n)]
    if not names:
        return ""
    shown = ", ".join(map(_named, names[:MAX_COLUMNS]))
    more = f" and {len(names) - MAX_COLUMNS:,} more" if len(names) > MAX_COLUMNS else ""
    return (
        f"columns of numbers that were not used: {shown}{more}; what is known before the truth is "
        "becomes evidence with --evidence COLUMN"
    )


def _named(name: str) -> str:
    like = difflib.get_close_matches(name.lower(), NAMES, n=1, cutoff=ALIKE)
    return f"{name} (did you mean {like[0]}?)" if like else name


def _is_evidence(block: Predictions, name: str) -> bool:
    """Whether a column holds different numbers that are not the record's own under another name."""
    column = block.columns[name]
    values = numbers_of(column)
    if values is None:
        return False
    ids = block.prompt_id
    if ids is not None and column.cast("string").equals(_chunked(ids)):
        return False
    same = any(
        known is not None and np.array_equal(values, known, equal_nan=True)
        for known in (block.confidence, 100.0 * block.confidence, block.label, block.weight)
    )
    known = values[~np.isnan(values)]
    return not same and known.size > 0 and known.min() < known.max()


def _chunked(ids: Any) -> pa.ChunkedArray:
    whole = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([ids])
    return whole.cast("string")
