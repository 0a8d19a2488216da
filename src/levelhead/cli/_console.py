"""What a person sees in the terminal: progress while it works, then the summary at 80 columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from levelhead.audit.remarks import plural
from levelhead.audit.result import AuditResult, Comparison, MetricRow, ModelAudit
from levelhead.cli._output import COLORS, clean, console
from levelhead.readers import Source

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

MAX_MODELS = 6

FULL_TABLES = 2
"""Comparisons whose tables are printed whole; of more, the rows in `FEW_ROWS`."""

FEW_ROWS = ("ece", "mce", "nll", "accuracy", "auroc", "trust")

SLOW = 20_000_000
"""Bytes of input from which a progress bar is shown."""

MAX_SLICES = 8


class Progress:
    """A progress bar on standard error while large files are read; silent when piped or quick."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled and sys.stderr.isatty()
        self._bar = None
        self._task = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def reading(self, sources: Sequence[Source]) -> None:
        """About to read these files: show a bar where they are large enough to wait for."""
        if not self._enabled or self._bar is not None:
            return
        files = [Path(f) for s in sources for f in s.files]
        size = sum(f.stat().st_size for f in files if f.exists())
        if size < SLOW:
            return
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        total = _row_count(files)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} records"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("reading", total=total)

    def advance(self, rows: int) -> None:
        """So many more records were read."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, rows)

    def step(self, text: str) -> None:
        """Now doing this."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=text)


def _row_count(files: Sequence[Path]) -> int | None:
    """Rows in Parquet files, from their footers; None for formats that do not say."""
    if any(f.suffix not in (".parquet", ".pq") for f in files):
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return sum(pq.read_metadata(f).num_rows for f in files)
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
    shown = FEW_ROWS if len(result.comparisons) > FULL_TABLES else ()
    for comparison in result.comparisons:
        out.print()
        out.print(Text(clean(comparison.sentence), style="bold"))
        if not brief:
            out.print(_comparison_table(comparison, result.level, shown))
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
    shown = result.models[:MAX_MODELS]
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    table.add_column("", no_wrap=True)
    for model in shown:
        table.add_column(escape(clean(model.name)), justify="right", overflow="fold")
    for name, label in SHOWN.items():
        rows = [model.metric(name) for model in shown]
        table.add_row(label, *[_cell(row, len(shown) <= WITH_INTERVALS) for row in rows])
    left_out = len(result.models) - len(shown)
    if left_out:
        table.caption = f"{plural(left_out, 'more model')} in the report and the JSON"
    return table


def _cell(row: MetricRow, interval: bool) -> str:
    if row.value is None:
        return "undefined"
    text = f"{row.value:.3f}"
    if interval and row.low is not None and row.high is not None:
        text += escape(f" [{row.low:.3f}, {row.high:.3f}]")
    return text


def _comparison_table(comparison: Comparison, level: float, only: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    table.add_column(escape(clean(f"{comparison.model} - {comparison.baseline}")), overflow="fold")
    table.add_column("change", justify="right", no_wrap=True)
    table.add_column(f"{level:.0%} interval", justify="right", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    words = {True: "worse", False: "better", None: "undecided"}
    for row in comparison.rows:
        if row.difference is None or row.low is None or row.high is None:
            continue
        if only and row.name not in only:
            continue
        word = "" if row.better is None else words[row.worse]
        p = "" if row.p_value is None else "<0.001" if row.p_value < 0.001 else f"{row.p_value:.3f}"
        interval = escape(f"[{row.low:+.3f}, {row.high:+.3f}]")
        table.add_row(SHOWN[row.name], f"{row.difference:+.3f}", interval, p, word)
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
            f"{row.gap:+.3f}",
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
