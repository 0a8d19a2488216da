"""The columns of a table of claims: a row for each claim, and probabilities in either unit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from levelhead import elicitation
from levelhead.errors import RecordError, unknown_name
from levelhead.readers import ReadLog
from levelhead.readers._files import reading, show
from levelhead.readers._sniff import container_of
from levelhead.readers._tables import TEXT_BATCH_ROWS, open_table
from levelhead.readers._unfold import holds_samples, is_value, is_written_list, unfold
from levelhead.readers._values import NOTHING, Place, is_list

__all__ = ["At", "error_at", "number_of", "probability", "read_columns", "too_small"]

At = tuple[Place, int]
"""Where a row stands: a batch, and the place in it."""

PERCENT = 100.0


def read_columns(
    path: Path,
    names: Sequence[str],
    further: Sequence[str] = (),
    *,
    claim: str | None = None,
    belief: str | None = None,
    over_options: bool = False,
    log: ReadLog,
) -> tuple[dict[str, list[Any]], list[At]]:
    """The values of some columns, and the place of every row.

    Args:
        path: the file.
        names: columns that must be there.
        further: columns that are read where they are there.
        claim: of `names`; a row with a list of claims is a row for each of them.
        belief: of `names`; a list there has one for each claim.
        over_options: a list of numbers there is one belief, over options, and for all claims.
        log: takes how many claims the rows hold.

    Returns:
        The columns, and the places.

    Raises:
        RecordError: the file cannot be read, has not these columns or no rows; or lists in one row
            have different lengths.
    """
    with reading(path):
        table = open_table(path, container_of(path))
        for name in names:
            if name not in table.schema:
                raise RecordError(str(unknown_name("column", name, table.schema)), show(path))
        wanted = list(dict.fromkeys([*names, *(n for n in further if n in table.schema)]))
        if claim is not None and holds_samples(table.schema[claim]):
            needed = [claim]
            if belief is not None and holds_samples(
                table.schema[belief], is_list if over_options else is_value
            ):
                needed.append(belief)
            other = [name for name in wanted if name != belief]
            table = unfold(table, path, log, needed=needed, other=other)
        columns: dict[str, list[Any]] = {name: [] for name in wanted}
        places: list[At] = []
        for batch, place in table.batches(wanted, TEXT_BATCH_ROWS):
            for name in wanted:
                columns[name] += batch[name].to_pylist()
            if claim is not None:
                _refuse_lists(columns[claim][len(places) :], claim, place)
            places += [(place, i) for i in range(len(batch[wanted[0]]))]
    if not places:
        raise RecordError("expected at least one record, got a file of 0 rows", show(path))
    return columns, places


def _refuse_lists(values: Sequence[Any], name: str, place: Place) -> None:
    """Lists beside single values come as text, of which the first word would pass for the claim."""
    for i, value in enumerate(values):
        if isinstance(value, str) and "," in value and is_written_list(value):
            raise place.error(
                f"{name}: expected one claim in every row, or a list of claims in every row of JSON "
                f"Lines or Parquet, got {value[:60]!r}; write all rows in one way",
                i,
            )


def probability(
    value: Any, name: str, at: At, percent: bool | None, others: Iterable[Any]
) -> float:
    """One belief.

    Args:
        value: a number, or text with a number, a percentage with its sign, or nothing.
        name: its column.
        at: its place.
        percent: whether numbers are percentages.
        others: all numbers of the column, to tell a wrong unit from two units.

    Returns:
        It in [0, 1], or NaN where there is none.

    Raises:
        RecordError: it is no probability.
    """
    if value is None or (isinstance(value, str) and value.strip().casefold() in NOTHING):
        return math.nan
    said, signed = elicitation.number(value) if isinstance(value, str) else (None, False)
    number = number_of(value) if said is None else said
    if math.isnan(number) and isinstance(value, float):
        return math.nan
    unit = PERCENT if signed or percent else 1.0
    if 0.0 <= number <= unit + 1e-6 * unit:
        return min(number / unit, 1.0)
    expected = "a percentage in [0, 100]" if percent else "a probability in [0, 1]"
    numbers = [number_of(one) for one in others]
    fractions = sum(0.0 < one < 1.0 for one in numbers)
    if fractions and fractions >= sum(one > 1.0 for one in numbers):
        hint = "; fractions and percentages are mixed: bring them to one scale"
    else:
        hint = "; percentages must be divided by 100: pass --percent"
    hint = hint if 1.0 < number <= PERCENT and unit == 1.0 else ""
    raise error_at(at, f"{name}: expected {expected}, got {value!r}{hint}")


def too_small(values: Iterable[float], name: str, path: Path) -> str | None:
    """A warning where percentages look like fractions, else None."""
    known = [value for value in values if value > 0.0]
    if not known or max(known) > 1.0 / PERCENT:
        return None
    return (
        f"{show(path)}: {name!r} is read as percentages, but no value is above 1; leave --percent out "
        "if they are fractions"
    )


def number_of(value: Any) -> float:
    """The number that a value is or says, NaN where it is none."""
    try:
        if isinstance(value, str) and "_" in value:  # 1_000 is a number in Python alone
            return math.nan
        return math.nan if value is None or isinstance(value, list | Mapping) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def error_at(at: At, problem: str) -> RecordError:
    """The error about one row."""
    return at[0].error(problem, at[1])
