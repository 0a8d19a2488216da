"""What worker processes have in common, whatever they work on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator

__all__ = ["THREADS", "single_threaded"]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What numerical libraries read when they are loaded."""


@contextlib.contextmanager
def single_threaded() -> Generator[None]:
    """Processes that are started inside get one thread each, so that they use as many cores as they are.

    Yields:
        Nothing; afterwards the environment is what it was.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
