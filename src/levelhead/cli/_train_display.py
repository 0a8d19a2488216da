"""What a person sees while a model trains: a bar with an estimate, and the numbers that matter."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from levelhead._text import percent, plural
from levelhead.cli._output import clean, console
from levelhead.errors import DataWarning

__all__ = ["Display", "evaluation_line", "metrics_table", "step_line"]

STEP = {
    "reward": ("reward", "+.3f"),
    "format_rate": ("format", "share"),
    "frac_zero_std": ("no spread", "share"),
    "clip_fraction": ("clipped", "share"),
    "entropy": ("entropy", ".2f"),
}
"""What a step's line shows: key -> (label, how)."""

EVALUATION = {
    "ece": ("ECE", ".3f"),
    "trust": ("Trust", "+.3f"),
    "overconfidence": ("over", "+.3f"),
    "auroc": ("AUROC", ".3f"),
}
"""What an evaluation's line shows, where `ece_null` goes with the ECE."""

FINAL = {
    "ece": "ECE",
    "ece_null": "ECE by chance",
    "trust": "Trust",
    "brier": "Brier score",
    "auroc": "AUROC",
    "accuracy": "accuracy",
    "mean_confidence": "mean confidence",
    "overconfidence": "confidence - accuracy",
    "format_rate": "well-formed",
}
"""The rows of the table at the end."""


class Display:
    """An observer of a training run; on a terminal a live display.

    Elsewhere a line for each thing that begins, each evaluation, and each alarm.

    Args:
        name: what the bar is called.
        steps: of the whole run.
        enabled: False for the processes that shall say nothing.
        screen: where to draw; standard error at most 80 columns wide by default.

    Attributes:
        begun: the step from which this process went on, None before it did.
        checkpoint: the step of the newest checkpoint that this process wrote.
        sentences: alarms and warnings, shown or not.
    """

    def __init__(
        self, name: str, steps: int, *, enabled: bool = True, screen: Console | None = None
    ) -> None:
        self.begun: int | None = None
        self.checkpoint: int | None = None
        self.sentences: list[str] = []
        self._phase = ""
        self._enabled = enabled
        self._screen = console(stderr=True) if screen is None else screen
        self._lines = {"step": Text("preparing"), "evaluation": Text("")}
        self._name, self._steps = clean(name), steps
        self._bar: Progress | None = None
        self._live: Live | None = None
        self._warn = warnings.showwarning

    def __enter__(self) -> Display:
        self._warn = warnings.showwarning
        warnings.showwarning = self._show_warning
        if self._enabled and self._screen.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._screen,
            )
            self._task = self._bar.add_task(self._name, total=self._steps, start=False)
            self._live = Live(
                self._drawn(), console=self._screen, transient=True, refresh_per_second=4
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        warnings.showwarning = self._warn
        if self._live is not None:
            self._live.stop()
            self._live = None

    def event(self, kind: str, values: Mapping[str, Any]) -> None:
        """Something happened: build, start, step, evaluation, checkpoint, alarm, end."""
        if kind == "build":
            self._doing(clean(str(values.get("doing", ""))))
        elif kind == "start":
            self._begin(int(values.get("done", 0)), int(values.get("dropped", 0)))
        elif kind == "step":
            self._lines["step"] = Text(step_line(values))
            if self._bar is not None:
                self._bar.update(self._task, completed=int(values.get("step", 0)))
        elif kind == "evaluation":
            self._lines["evaluation"] = Text(evaluation_line(values))
            self._log(evaluation_line(values))
        elif kind == "checkpoint":
            self.checkpoint = int(values.get("step", 0))
        elif kind == "alarm":
            self.say(str(values.get("sentence", "the calibration error has risen")), "red")
        if self._live is not None:
            self._live.update(self._drawn(), refresh=kind != "step")  # steps may be quick

    def say(self, sentence: str, style: str = "yellow") -> None:
        """One sentence above the display, or on standard error."""
        self.sentences.append(clean(sentence))
        if self._enabled:
            self._screen.print(Text(clean(f"! {sentence}"), style=style), soft_wrap=True)

    def _doing(self, doing: str) -> None:
        self._lines["step"] = Text(doing)
        phase = doing.partition(",")[0]  # how far it is follows the comma
        if phase != self._phase:
            self._log(phase)
        self._phase = phase

    def _log(self, line: str) -> None:
        """A line where there is no display that would show it."""
        if self._enabled and not self._screen.is_terminal:
            self._screen.print(Text(line), soft_wrap=True)

    def _begin(self, done: int, dropped: int) -> None:
        self.begun = done
        self._lines["step"] = Text("")
        if dropped:
            self.say(f"{plural(dropped, 'prompt')} longer than the limit left out")
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
            self._bar.start_task(self._task)

    def _drawn(self) -> Group:
        lines = [line for line in self._lines.values() if line.plain]
        return Group(*([] if self._bar is None else [self._bar]), *lines)

    def _show_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """A warning about the data is a sentence for the user; others are shown as ever."""
        if issubclass(category, DataWarning):
            self.say(str(message))
        elif self._enabled:
            self._warn(message, category, filename, lineno, file, line)


def step_line(values: Mapping[str, Any]) -> str:
    """A step's numbers, those of `STEP` that are there."""
    return " · ".join(_shown(values, STEP))


def evaluation_line(values: Mapping[str, Any]) -> str:
    """An evaluation's numbers, the ECE beside what chance alone would give."""
    parts = _shown(values, EVALUATION)
    if parts and _is_number(values.get("ece_null")) and "ece" in values:
        parts[0] += f" (chance {values['ece_null']:.3f})"
    at = f"step {values['step']}: " if "step" in values else ""
    return at + " · ".join(parts)


def metrics_table(first: Mapping[str, Any], last: Mapping[str, Any]) -> Table:
    """The last evaluation, beside the first where that is another one; `step` heads the columns."""
    both = bool(first) and any(first.get(name) != last.get(name) for name in FINAL)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for one in (first, last) if both else (last,):
        head = f"step {one['step']:,}" if "step" in one else "evaluation"
        table.add_column(head, justify="right", no_wrap=True)
    for name, label in FINAL.items():
        if name in last:
            cells = [_cell(first.get(name))] if both else []
            table.add_row(label, *cells, _cell(last[name]))
    return table


def _shown(values: Mapping[str, Any], shown: Mapping[str, tuple[str, str]]) -> list[str]:
    parts: list[str] = []
    for name, (label, how) in shown.items():
        if name in values:
            value = values[name]
            if not _is_number(value):
                text = "n/a"
            else:
                text = percent(value) if how == "share" else format(value, how)
            parts.append(f"{label} {text}")
    return parts


def _cell(value: float | None) -> str:
    return "undefined" if value is None or math.isnan(value) else f"{value:.3f}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
