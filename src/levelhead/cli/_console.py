"""What a person sees in the terminal: progress while it works, then the summary at 80 columns."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from levelhead._text import interval, number, plural, signed
from levelhead.audit.compare import shown_p
from levelhead.audit.result import AuditResult, Comparison, MetricRow, ModelAudit
from levelhead.cli._output import COLORS, clean, console
from levelhead.readers import AnyPath, Source

__all__ = ["Progress", "show"]

SHOWN = {
    "ece": "ECE",
    "mce": "MCE",
    "mean_confidence": "confidence",
    "accuracy": "accuracy",
    "overconfidence": "confidence - accuracy",
    "confidence_on_errors": "confidence on errors",
    "errors_at_90": "errors stated >= 90%",
    "brier": "Brier score",
    "nll": "log loss",
    "auroc": "AUROC",
    "aurc": "AURC",
    "trust": "Trust",
}
"""The rows of the terminal's tables, by the short name they have there; the report has them all."""

WITH_INTERVALS = 2
"""Models beside one another whose intervals fit into 80 columns; more are shown without."""

SIDE_BY_SIDE = 3
"""Models that have a column each; of more, each has a row, with the metrics in `ROW_COLUMNS`."""

ROW_COLUMNS = {
    "ece": "ECE",
    "mce": "MCE",
    "overconfidence": "conf - acc",
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "trust": "Trust",
}

NAME_WIDTHS = {1: 40, 2: 24, SIDE_BY_SIDE: 16}
"""Characters of a line of a model's name at the head of its column, by the number of models."""

ROW_NAME_WIDTH = 20

MAX_MODELS = 24

FULL_TABLES = 2
"""Comparisons whose tables are printed; of more, a line with the changes in `KEY_CHANGES`."""

KEY_CHANGES = ("ece", "mce", "accuracy")

WIDTH = 80

SLOW = 20_000_000
"""Bytes of input from which a progress bar is shown at once."""

PATIENCE_S = 1.0
"""Seconds of work after which one is shown for smaller files as well."""

MAX_SLICES = 8


class Progress:
    """A progress bar on standard error for whatever takes long; silent when piped or quick."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled and sys.stderr.isatty()
        self._bar = None
        self._task = None
        self._text = "reading"
        self._lock = threading.Lock()
        self._waiting: threading.Timer | None = None

    def __enter__(self) -> Progress:
        if self._enabled:
            self._waiting = threading.Timer(PATIENCE_S, self._begin)
            self._waiting.daemon = True
            self._waiting.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._enabled = False  # for a bar that is about to begin
            if self._waiting is not None:
                self._waiting.cancel()
            if self._bar is not None:
                self._bar.stop()

    def reading(self, sources: Sequence[Source]) -> None:
        """About to read these files: show a bar at once where they are large."""
        if not self._enabled or self._bar is not None:
            return
        files = [file for source in sources for file in source.files]
        if sum(_size(file) for file in files) < SLOW:
            return
        self._begin(_row_count(files), counts="records")

    def counting(self, total: int, what: str) -> None:
        """About to do this many: show a bar at once, which `advance` moves."""
        if self._enabled and self._bar is None:
            self._begin(total, counts=what)

    def advance(self, done: int) -> None:
        """So many more records were read."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, done)

    def step(self, text: str) -> None:
        """Now doing this."""
        with self._lock:
            self._text = clean(text)
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, description=escape(self._text))

    def _begin(self, total: int | None = None, *, counts: str | None = None) -> None:
        """Show the bar, with a counter of what is counted; without a total it only moves."""
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        counting = [TextColumn("{task.completed:,.0f} " + counts)] if counts else []
        left = [TimeRemainingColumn()] if counts else []
        with self._lock:
            if not self._enabled or self._bar is not None:
                return
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                *counting,
                TimeElapsedColumn(),
                *left,
                console=console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(escape(self._text), total=total)


def _size(file: AnyPath) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # the reader will say what is wrong with the file


def _row_count(files: Sequence[AnyPath]) -> int | None:
    """Rows in Parquet files, from their footers; None where these would take long to look up."""
    remote = any(not isinstance(file, Path) for file in files)
    if remote or any(f.suffix not in (".parquet", ".pq") for f in files):
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return sum(pq.read_metadata(str(f)).num_rows for f in files)
    except (pa.ArrowException, OSError):
        return None  # the reader will say what is wrong with the file


def show(result: AuditResult, report: Path | None = None, *, brief: bool = False) -> None:
    """Print the summary: verdicts, the table of metrics, comparisons, slices, warnings.

    Brief, it is the verdicts' first sentences, the table, and the comparisons in words.
    """
    out = console()
    for alarm in result.alarms:
        out.print(Text(clean(alarm), style="bold red"))
        out.print()
    for model in result.models:
        out.print(Text(clean(_heading(model)), style="bold"))
        out.print(Text(model.verdict.headline, style=COLORS[model.verdict.label]))
        for sentence in () if brief else model.verdict.sentences:
            out.print(Text(sentence))
        out.print()
    out.print(_metrics_table(result))
    for comparison in result.comparisons:
        out.print()
        out.print(Text(clean(comparison.sentence), style="bold"))
        if brief:
            continue
        if len(result.comparisons) > FULL_TABLES:
            out.print(Text(_key_changes(comparison)))
        else:
            out.print(_comparison_table(comparison, result.level))
    if not brief:
        for model in result.models:
            if model.slices:
                out.print()
                out.print(_slices_table(model, len(result.models) > 1))
        _print_remarks(out, result)
    if report is not None:
        out.print()
        out.print(Text(f"report: {report}"))


def _heading(model: ModelAudit) -> str:
    prompts = f" on {plural(model.n_prompts, 'prompt')}" if model.n_prompts else ""
    return f"{model.name}  ({plural(model.n_records, model.kind)}{prompts})"


def _metrics_table(result: AuditResult) -> Table:
    if len(result.models) > SIDE_BY_SIDE:
        return _model_rows(result)
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    table.add_column("", no_wrap=True)
    width = NAME_WIDTHS[max(len(result.models), 1)]
    for model in result.models:
        table.add_column(escape(folded(model.name, width)), justify="right", overflow="fold")
    for name, label in SHOWN.items():
        rows = [model.metric(name) for model in result.models]
        table.add_row(label, *[_cell(row, len(rows) <= WITH_INTERVALS) for row in rows])
    return table


def _model_rows(result: AuditResult) -> Table:
    """A row for each model, where there are too many for a column each."""
    shown = result.models[:MAX_MODELS]
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    table.add_column("", no_wrap=True)
    heads = list(ROW_COLUMNS.values())
    for head in (heads[0], "chance", *heads[1:]):
        table.add_column(head, justify="right", no_wrap=True)
    for model in shown:
        values = [model.metric(name).value for name in ROW_COLUMNS]
        cells = ["n/a" if value is None else number(value) for value in values]
        chance = "n/a" if model.null is None else number(model.null.expected)
        name = Text(folded(model.name, ROW_NAME_WIDTH))
        table.add_row(name, cells[0], chance, *cells[1:])
    table.caption = "chance: the ECE that a calibrated model would have here"
    left_out = len(result.models) - len(shown)
    if left_out:
        table.caption += f"; {plural(left_out, 'more model')} in the report and the JSON"
    return table


def folded(name: str, width: int) -> str:
    """A name in lines of at most so many characters, broken after a space or one of `_ - / . +`."""
    lines = [""]
    for piece in re.split(r"(?<=[\s_/.+-])", clean(name)):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > width:  # a single word that is too long
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return "\n".join(line.strip() for line in lines if line.strip())


def _cell(row: MetricRow, ends: bool) -> str:
    between = interval(row.low, row.high) if ends else ""
    return number(row.value) + (escape(f" {between}") if between else "")


def _key_changes(comparison: Comparison) -> str:
    """The most important changes with their intervals, in as few lines as they fit in."""
    rows = {row.name: row for row in comparison.rows}
    lines, mark = ["changes:"], ""
    for row in (rows[name] for name in KEY_CHANGES):
        if row.difference is None or row.low is None or row.high is None:
            continue
        ends = interval(row.low, row.high, change=True)
        text = f" {SHOWN[row.name]} {signed(row.difference)} {ends}"
        lines[-1] += mark
        if len(lines[-1]) + len(text) >= WIDTH:
            lines.append(" ")
        lines[-1] += text
        mark = ","
    return "\n".join(lines)


def _comparison_table(comparison: Comparison, level: float) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    title = folded(f"{comparison.model} - {comparison.baseline}", 2 * NAME_WIDTHS[SIDE_BY_SIDE])
    table.add_column(escape(title), overflow="fold")
    table.add_column("change", justify="right", no_wrap=True)
    table.add_column(f"{level:.0%} interval", justify="right", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    words = {True: "worse", False: "better", None: "undecided"}
    for row in comparison.rows:
        if row.difference is None or row.low is None or row.high is None:
            continue
        word = "" if row.better is None else words[row.worse]
        decided = shown_p(row, level)
        p = "" if decided is None else number(decided)
        ends = escape(interval(row.low, row.high, change=True))
        table.add_row(SHOWN[row.name], signed(row.difference), ends, p, word)
    table.caption = (
        f"on {comparison.n_prompts:,} common items, paired by {comparison.paired_by}; "
        "the interval decides"
    )
    return table


def _slices_table(model: ModelAudit, named: bool) -> Table:
    title = f"slices of {model.name} by damage" if named else "slices by damage"
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title=escape(clean(title)),
        title_justify="left",
    )
    for column in ("slice", "n", "says", "right", "gap", "damage"):
        table.add_column(column, justify="left" if column == "slice" else "right", overflow="fold")
    for row in model.slices[:MAX_SLICES]:
        table.add_row(
            escape(clean(f"{row.column}={row.value}")),
            f"{row.n:,}",
            f"{row.confidence:.0%}",
            f"{row.accuracy:.0%}",
            signed(row.gap),
            f"{row.damage:.0%}",
        )
    table.caption = "damage: share of the column's n x |gap|"
    if len(model.slices) > MAX_SLICES:
        table.caption += f"; {len(model.slices) - MAX_SLICES} more in the report and the JSON"
    return table


def _print_remarks(out: Console, result: AuditResult) -> None:
    several = len(result.models) > 1
    seen: set[str] = set()
    lines = []
    lines.extend(result.warnings)
    for model in result.models:
        for warning in model.warnings:
            lines.append(f"{model.name}: {warning}" if several else warning)
    shared = [line for line in lines if not (line in seen or seen.add(line))]
    if shared or result.notes:
        out.print()
    for line in shared:
        out.print(Text(clean(f"! {line}"), style="yellow"))
    for note in result.notes:
        out.print(Text(clean(f"· {note}"), style="dim"))
