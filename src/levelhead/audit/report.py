"""The report: one HTML file that needs nothing else, and the JSON beside it.

Only the drawn charts are passed as markup; `levelhead._pages` says how everything else prints.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from levelhead._pages import clean, count, environment, known
from levelhead._text import interval, number, p_value, percent
from levelhead._write import write_text
from levelhead.audit import charts
from levelhead.audit.compare import shown_p
from levelhead.audit.explanations import EXPLANATIONS
from levelhead.audit.result import AuditResult, ComparisonRow, MetricRow, ModelAudit, json_text
from levelhead.records import ETA

__all__ = ["Picture", "render_html", "write_json", "write_report"]

GROUPS = {
    "calibration": "Calibration",
    "overconfidence": "Overconfidence",
    "scores": "Scores",
    "selective": "Selective prediction",
    "trust": "Trust",
}

READINGS = {
    "answer": "confidence in its own answer",
    "event": "a probability of the event, against whether it happened",
    "top-label": "a claim of the likelier outcome, against whether that was right",
}

VERDICTS = {
    "overconfident": ("▲", "over"),
    "underconfident": ("▼", "under"),
    "miscalibrated": ("◆", "plain"),
    "calibrated": ("●", "plain"),
    "inconclusive": ("○", "plain"),
}
"""Symbol and color role of each verdict; the words come with the verdict."""

SENSITIVITY_ROWS = (
    ("width", "right", "equal width, right edge in"),
    ("width", "left", "equal width, left edge in"),
    ("mass", "right", "equal mass"),
    ("mass", "left", "equal mass, left edge in"),
)

SHOWN_ERRORS, SHOWN_SLICES = 5, 12


@dataclasses.dataclass(frozen=True)
class Section:
    """One model as the template sees it."""

    audit: ModelAudit
    name: str
    id: str
    symbol: str
    role: str
    title: str
    lead: str
    records: list[str]
    rows: dict[str, MetricRow]
    reliability: Markup
    histogram: Markup
    color: str
    sensitivity: list[tuple[str, list[tuple[int, float | None, bool]]]]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture from outside of the audit to open the report with.

    Attributes:
        svg: an `<svg>` element, as `levelhead.audit.charts.to_svg` makes it; it is trusted.
        title: what it shows, in one line.
        caption: how to read it.
    """

    svg: str
    title: str
    caption: str


def render_html(result: AuditResult, *, opening: Picture | None = None) -> str:
    """The report as one HTML document without scripts and without anything to load.

    Args:
        result: what the audit found.
        opening: a picture to show before anything else.

    Returns:
        The document; the same result gives the same text.

    Example:
        >>> empty = AuditResult([], [], {}, 0.95, 1000, 0, "2026-01-01", "1.0", ["no data"])
        >>> "no data" in render_html(empty)
        True
    """
    sections = _sections(result)
    named = {section.name: section.audit for section in sections}
    pages = environment(
        "levelhead.audit", interval=_interval, share=percent, p_value=p_value, paired_p=_paired_p
    )
    return pages.get_template("report.html.j2").render(
        result=result,
        version=result.levelhead_version,
        position=_position,
        readings=READINGS,
        opening=opening,
        opening_svg=Markup(opening.svg if opening else ""),
        models=sections,
        risk_coverage=_chart(
            charts.risk_coverage_plot({n: m.risk_coverage for n, m in named.items()}),
            "risk",
            "Error rate among the answered over the share answered. " + _ends(sections, _risk_end),
        ),
        trust=_chart(
            charts.trust_plot({n: m.trust_curve for n, m in named.items()}),
            "trust",
            "Trustworthiness over the stakes floor. " + _ends(sections, _trust_end),
        ),
        metric_rows=_metric_rows(sections),
        groups=GROUPS,
        explanations=EXPLANATIONS,
        strip_end=_strip_end(sections),
        bins=sorted({s.n_bins for m in result.models for s in m.sensitivity}),
        warnings=[*((("", warning)) for warning in result.warnings), *_warnings(sections)],
        shown_errors=SHOWN_ERRORS if len(sections) == 1 else 3,
        shown_slices=SHOWN_SLICES,
        used_readings=sorted({r.reading for m in result.models for r in m.metrics}),
        any_parsed=any(r.parsed is not None for m in result.models for r in m.metrics),
        names_cut=any(len(section.name) > charts.MAX_NAME for section in sections),
        any_event=any(m.kind == "event" for m in result.models),
        any_slices=any(m.slices for m in result.models),
        any_errors=any(m.confident_errors for m in result.models),
    )


def write_report(result: AuditResult, path: str | Path, *, opening: Picture | None = None) -> None:
    """Write the report; the file appears whole or not at all.

    Args:
        result: what the audit found.
        path: where to; its folder must exist.
        opening: a picture to show before anything else.

    Raises:
        RecordError: the folder does not exist or cannot be written to, or `path` is a folder.
    """
    write_text(Path(path), render_html(result, opening=opening))


def write_json(result: AuditResult, path: str | Path) -> None:
    """Write the numbers as JSON; the file appears whole or not at all.

    Args:
        result: what the audit found.
        path: where to; its folder must exist.

    Raises:
        RecordError: the folder does not exist or cannot be written to, or `path` is a folder.
    """
    write_text(Path(path), json_text(result))


def _sections(result: AuditResult) -> list[Section]:
    out: list[Section] = []
    used: set[str] = set()
    for i, model in enumerate(result.models):
        name, k = model.name, 2
        while name in used:
            name, k = f"{model.name} ({k})", k + 1
        used.add(name)
        symbol, role = VERDICTS.get(model.verdict.label, ("○", "plain"))
        title, _, lead = model.verdict.headline.partition(": ")
        rows = {row.name: row for row in model.metrics}
        reliability, histogram = _model_charts(model, name, i, len(result.models) > 1)
        out.append(
            Section(
                audit=model,
                name=name,
                id=f"model-{i + 1}",
                symbol=symbol,
                role=role,
                title=title,
                lead=lead[:1].upper() + lead[1:],
                records=_record_sentences(model, result.convention),
                rows=rows,
                reliability=reliability,
                histogram=histogram,
                color=f"series-{i % 6 + 1}",
                sensitivity=_sensitivity(model, result.convention),
            )
        )
    return out


def _model_charts(model: ModelAudit, name: str, i: int, many: bool) -> tuple[Markup, Markup]:
    curve = model.reliability
    bins = "; ".join(
        f"{percent(says)} stated, {percent(right)} {curve.label} ({count(n)})"
        for says, right, n in zip(curve.confidence, curve.accuracy, curve.count, strict=True)
    )
    reliability = charts.reliability_diagram(curve)
    total = sum(curve.count)
    says = right = None
    if total > 0:
        says = sum(n * c for n, c in zip(curve.count, curve.confidence, strict=True)) / total
        right = sum(n * a for n, a in zip(curve.count, curve.accuracy, strict=True)) / total
    histogram = charts.confidence_histogram(
        model.histogram,
        kind=model.kind,
        mean_confidence=says,
        accuracy=right,
        height=charts.LOW if many else charts.SQUARE,
    )
    summary = f"Average {percent(says)}, {curve.label} {percent(right)}."
    return (
        _chart(reliability, f"reliability-{i}", f"Reliability diagram of {name}. {bins}."),
        _chart(histogram, f"histogram-{i}", f"Histogram of the confidences of {name}. {summary}"),
    )


def _chart(axes: Any, prefix: str, label: str) -> Markup:
    return Markup(charts.to_svg(axes.figure, prefix=prefix, label=clean(label)))


def _ends(sections: Sequence[Section], end: Any) -> str:
    return "; ".join(f"{s.name}: {end(s.audit)}" for s in sections)


def _risk_end(model: ModelAudit) -> str:
    risk = model.risk_coverage.risk
    return f"{percent(risk[-1])} wrong when all are answered" if risk else "undefined"


def _trust_end(model: ModelAudit) -> str:
    curve = model.trust_curve
    if not curve.t0:
        return "undefined"
    first, last = number(curve.trust[0]), number(curve.trust[-1])
    return f"{first} at {curve.t0[0]:g}, {last} at {curve.t0[-1]:g}"


def _metric_rows(sections: Sequence[Section]) -> dict[str, list[MetricRow]]:
    """By group, one row for each metric that any model has."""
    out: dict[str, list[MetricRow]] = {group: [] for group in GROUPS}
    seen: set[str] = set()
    for section in sections:
        for row in section.audit.metrics:
            if row.name not in seen:
                seen.add(row.name)
                out.setdefault(row.group, []).append(row)
    return {group: rows for group, rows in out.items() if rows}


def _strip_end(sections: Sequence[Section]) -> float:
    """The right end of the scale on which the ECE is set beside what chance gives."""
    values = [0.02]
    for section in sections:
        row, null = section.rows.get("ece"), section.audit.null
        values += [v for v in (row.value, row.high) if v is not None] if row else []
        values += [null.quantile_95] if null else []
    step = 0.05 if max(values) > 0.1 else 0.01
    return min(1.0, step * math.ceil(1.05 * max(values) / step))


def _sensitivity(
    model: ModelAudit, convention: dict[str, Any]
) -> list[tuple[str, list[tuple[int, float | None, bool]]]]:
    """A line per rule and in it (bins, ECE, whether that is the convention of this report)."""
    found = {(s.bins, s.closed, s.n_bins): s.ece for s in model.sensitivity}
    chosen = ("width", convention.get("closed"), convention.get("n_bins"))
    sizes = sorted({s.n_bins for s in model.sensitivity})
    out: list[tuple[str, list[tuple[int, float | None, bool]]]] = []
    for bins, closed, words in SENSITIVITY_ROWS:
        if any((bins, closed, n) in found for n in sizes):
            key = [(bins, closed, n) for n in sizes]
            out.append((words, [(k[2], found.get(k), k == chosen) for k in key]))
    return out


def _warnings(sections: Sequence[Section]) -> list[tuple[str, str]]:
    """(model or nothing, warning), each once; one that all models share names none of them."""
    out: dict[str, list[str]] = {}
    for section in sections:
        for warning in section.audit.warnings:
            out.setdefault(warning, []).append(section.name)
    everywhere = len(sections)
    return [
        ("" if len(names) == everywhere else ", ".join(dict.fromkeys(names)), warning)
        for warning, names in out.items()
    ]


def _record_sentences(model: ModelAudit, convention: dict[str, Any]) -> list[str]:
    """What became of the records: nothing is dropped without being said."""
    total = count(model.n_records)
    asserted = f"a claim of certainty ({1 - ETA:.2f})"
    if model.kind == "event":
        asserted = f"certain and wrong ({1 - ETA:.2f} for what did not happen)"
    counted = {
        "assert": f"counted as {asserted}",
        "drop": "left out of every number, as this convention says",
        "zero": "counted as a confidence of 0, as this convention says",
    }.get(str(convention.get("missing")), "counted as the convention says")
    words = {
        "missing": "had no confidence",
        "unparsable": "could not be parsed",
        "out_of_range": "lay outside [0, 1]",
    }
    out: list[str] = []
    for status, n in model.status_counts.items():
        if status == "ok" or n == 0:
            continue
        if status == "refusal":
            out.append(f"{count(n)} of {total} records are refusals; they are not scored.")
        else:
            what = "records" if status == "missing" else "confidences"
            said = words.get(status, f"have the status {status}")
            out.append(f"{count(n)} of {total} {what} {said}; {counted}.")
    if model.n_unlabelled:
        out.append(f"{count(model.n_unlabelled)} of {total} records have no label; not scored.")
    if not out:
        out.append(f"All {total} records have a usable confidence and a label.")
    came = ", ".join(f"{count(n)} {name}" for name, n in model.provenance_counts.items() if n)
    return [*out, f"Where the confidences come from: {came}."] if came else out


def _interval(pair: tuple[float | None, float | None], change: bool = False) -> str:
    return interval(*pair, change=change)


def _paired_p(row: ComparisonRow, level: float) -> str:
    """Nothing where the p-value would contradict the interval beside it, which decides."""
    shown = shown_p(row, level)
    return "" if shown is None and row.p_value is not None else number(shown)


def _position(value: float | None, end: float = 1.0) -> str:
    """A CSS length along a scale from 0 to `end`."""
    share = min(max(value / end, 0.0), 1.0) if known(value) else 0.0
    return f"{100 * share:.2f}%"
