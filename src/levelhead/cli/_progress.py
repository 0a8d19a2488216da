"""A progress bar with an estimate on standard error; silent when piped."""

from __future__ import annotations

import sys
from types import TracebackType

from levelhead.cli._output import console

__all__ = ["Bar"]


class Bar:
    """Shows the share of the work that is done, the time it took, and what is left.

    Args:
        text: what is being done.
    """

    def __init__(self, text: str) -> None:
        self._text, self._bar = text, None

    def __enter__(self) -> Bar:
        if sys.stderr.isatty():
            from rich.progress import (
                BarColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._text, total=1.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def set(self, share: float) -> None:
        """So much is done, in [0, 1]."""
        if self._bar is not None:
            self._bar.update(self._task, completed=share)

    def say(self, text: str) -> None:
        """Now doing this."""
        if self._bar is not None:
            self._bar.update(self._task, description=text)
