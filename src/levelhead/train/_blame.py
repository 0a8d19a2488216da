"""One sentence for whatever a user's own function raises: which function, what, where, on what."""

from __future__ import annotations

import traceback
from types import TracebackType

from levelhead.errors import ConfigError

__all__ = ["Blamed"]


class Blamed:
    """Inside the block runs a function of the user's; what it raises becomes a `ConfigError`.

    A context manager and no handler: it lets nothing pass as if it had worked.

    Args:
        who: what the sentence begins with, e.g. "reward mine.py:score".
        given: what the function was called with.
        advice: what to do about it.
        what: what the function did, up to the name of the exception.

    Raises:
        ConfigError: the block raised an `Exception`, unless that is a `ConfigError` already.
    """

    def __init__(
        self, who: str, *, given: str, advice: str, what: str = "the function raised"
    ) -> None:
        self.who, self.given, self.advice, self.what = who, given, advice, what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or not isinstance(error, Exception) or isinstance(error, ConfigError):
            return
        every = traceback.extract_tb(error.__traceback__)
        frames = [
            frame for frame in every if frame.filename != every[0].filename
        ]  # not the caller's
        # The first frame is the function's own; what it calls in other files is not the user's line.
        own = [frame for frame in frames if frame.filename == frames[0].filename]
        at = f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
        said = f"{kind.__name__}: {error}" if str(error) else kind.__name__
        raise ConfigError(
            f"{self.who}: {self.what} {said}{at}, given {self.given}; {self.advice}"
        ) from error
