"""What a person sees while a model is asked: a bar, or in a log a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from levelhead.cli._output import console
from levelhead.predict import Progress

__all__ = ["Display", "tokens"]

Prices = tuple[float | None, float | None]

SECONDS_PER_LOOK = 0.1
SECONDS_PER_LINE, SECONDS_OF_QUIET, SHARE_PER_LINE = 30.0, 5.0, 0.05
"""Where nobody sees a bar: a line each 30 s, or each 5%, but none more often than each 5 s."""


class Display:
    """The share that is done, the time left, tokens and cost, on standard error.

    On a terminal a bar, elsewhere a line now and then.

    Args:
        prices: per million prompt and completion tokens, None where unknown.
        enabled: False to say nothing.
    """

    def __init__(self, prices: Prices, *, enabled: bool) -> None:
        self._prices, self._bar = prices, None
        self._enabled = enabled
        self._last, self._share = 0.0, 0.0

    def __enter__(self) -> Display:
        self._last = time.monotonic()
        if self._enabled and sys.stderr.isatty():
            self._bar = Bars(
                MofNCompleteColumn(),
                BarColumn(bar_width=12),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.description}"),
                console=console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._bar is None:
            self._line(progress, now)
            return
        if now - self._last < SECONDS_PER_LOOK and progress.done < progress.total:
            return
        self._last = now
        words = self._words(progress)
        self._bar.update(
            self._task, total=progress.total, completed=progress.done, description=words
        )

    def _line(self, progress: Progress, now: float) -> None:
        share = progress.done / progress.total
        since, more = now - self._last, share - self._share
        due = since >= SECONDS_PER_LINE or (since >= SECONDS_OF_QUIET and more >= SHARE_PER_LINE)
        if not self._enabled or not due:
            return
        self._last, self._share = now, share
        click.echo(
            f"{progress.done:,} of {progress.total:,} samples ({share:.0%}), "
            f"{self._words(progress)}",
            err=True,
        )

    def _words(self, progress: Progress) -> str:
        words = tokens(progress, self._prices)
        if progress.failed:
            words += f", {progress.failed:,} failed"
        if progress.stopping:
            words = "waiting for what is in flight; Ctrl-C drops it"
        return words


def tokens(progress: Progress, prices: Prices) -> str:
    """The tokens of a run so far, and what they cost where that is known."""
    words = f"{_count(progress.prompt_tokens)} in, {_count(progress.completion_tokens)} out"
    if prices != (None, None):
        words += f", {progress.cost(prices[0] or 0.0, prices[1] or 0.0):.4g} spent"
    return words


def _count(tokens: int) -> str:
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if tokens >= size:
            return f"{tokens / size:.1f}{letter}"
    return str(tokens)
