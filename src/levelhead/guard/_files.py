"""Guards in files."""

from __future__ import annotations

import os

from levelhead._sealed import read_sealed, write_sealed
from levelhead.errors import InvalidInputError, RecordError
from levelhead.guard._guard import Guard

SCHEMA_VERSION = "1"
KIND = "guard"


def save(path: str | os.PathLike[str], guard: Guard) -> None:
    """Write a guard to a file, whole or not at all.

    Args:
        path: where to; its folder must exist.
        guard: with or without a threshold.

    Raises:
        RecordError: the file cannot be written.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from levelhead.guard import fit_guard
        >>> from levelhead.records import Predictions
        >>> c, right = np.tile([0.9, 0.6], 200), np.tile([1, 1, 1, 0], 100)
        >>> guard = fit_guard(Predictions.from_arrays("answer", c, right, prompt_id=range(400)))
        >>> path = os.path.join(tempfile.mkdtemp(), "guard.json")
        >>> save(path, guard)
        >>> load(path).state() == guard.state()
        True
    """
    write_sealed(path, KIND, SCHEMA_VERSION, guard.state())


def load(path: str | os.PathLike[str]) -> Guard:
    """The guard in a file; a boosted one needs no scikit-learn.

    Args:
        path: a file that `save` wrote.

    Returns:
        The guard, which scores bit for bit what the saved one did.

    Raises:
        RecordError: there is no such file, it is not JSON, of another kind or version, was changed,
            or does not hold what a guard needs.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from levelhead.guard import fit_guard
        >>> from levelhead.records import Predictions
        >>> c, right = np.tile([0.9, 0.6], 200), np.tile([1, 1, 1, 0], 100)
        >>> guard = fit_guard(Predictions.from_arrays("answer", c, right, prompt_id=range(400)))
        >>> path = os.path.join(tempfile.mkdtemp(), "guard.json")
        >>> save(path, guard)
        >>> load(path).kind
        'answer'
    """
    content = read_sealed(path, KIND, SCHEMA_VERSION)
    try:
        return Guard.from_state(content)
    except InvalidInputError as error:
        raise RecordError(str(error), os.fspath(path)) from error
