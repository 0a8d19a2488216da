"""Before and after: what was read of a model, and the same through a calibrator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from levelhead.audit.model_records import ModelRecords
from levelhead.errors import InvalidInputError
from levelhead.records import Predictions

__all__ = ["Recalibrated", "recalibrated"]


@dataclasses.dataclass(frozen=True)
class Recalibrated:
    """Models beside themselves.

    Attributes:
        models: each model, followed by itself through its calibrator.
        pairs: what to compare: a model with another.
    """

    models: list[ModelRecords]
    pairs: list[tuple[ModelRecords, ModelRecords]]


def recalibrated(
    models: list[ModelRecords],
    through: Callable[[Predictions], Predictions],
    suffix: str,
    max_rows: int,
) -> Recalibrated:
    """Every model, and beside it the model through a calibrator.

    Args:
        models: what was read, the one that others are compared with first.
        through: the predictions through a calibrator, row by row.
        suffix: what the name of the model gets, such as `, platt`.
        max_rows: rows beyond which nothing can be recalibrated, because they are not kept.

    Returns:
        The models in order, and the comparisons: each with the first, each recalibrated one with
        itself before, and each recalibrated one with the first recalibrated one.

    Raises:
        InvalidInputError: a model has too many rows to be kept.
    """
    after: list[ModelRecords] = []
    for records in models:
        if records.streamed:
            raise InvalidInputError(
                f"{records.name}: expected at most {max_rows:,} records to calibrate in one go, got "
                f"{records.n_records:,}; put them through `levelhead apply` first and audit the result"
            )
        new = ModelRecords(records.name + suffix, records.missing, records.by)
        new.add(through(records.predictions), records.files[0], max_rows)
        new.files = list(records.files)
        after.append(new)
    first = list(zip(models[1:], models[:1] * len(models), strict=False))
    own = list(zip(after, models, strict=True))
    others = list(zip(after[1:], after[:1] * len(after), strict=False))
    both = [one for pair in zip(models, after, strict=True) for one in pair]
    return Recalibrated(both, [*first, *own, *others])
