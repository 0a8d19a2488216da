"""What the guard's report says, as plain words and numbers: from an evaluation to a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from levelhead._text import number, p_value, percent
from levelhead.guard import charts
from levelhead.guard.evaluation import Evaluation, Overstated, Quality, SliceResult
from levelhead.guard.guard import Guard
from levelhead.guard.verifier import Verifier
from levelhead.guard.words import evidence_words, promise_words
from levelhead.metrics import ReliabilityCurve, RiskCoverageCurve

__all__ = ["Page", "page_of"]

TITLES = {
    "kept": ("Promise kept", "✓", "good"),
    "within chance": ("Promise not contradicted", "○", ""),
    "broken": ("Promise broken", "▲", "over"),
    "nothing answered": ("Nothing was answered", "○", ""),
    "no threshold": ("No threshold yet", "○", ""),
}
"""Title, symbol and color role of each verdict."""

CHIPS = {
    "kept": ("✓ kept", "fine"),
    "within chance": ("○ within chance", "open"),
    "broken": ("▲ broken", "bad"),
    "nothing answered": ("– nothing answered", "open"),
    "no threshold": ("– none", "open"),
}

MAX_TEXT = 20_000
"""Characters of a text that the report carries; longer ones are cut in the middle and say so."""

MAX_SLICES = 200

_VERBS = {"train": "train", "calibrate": "calibrate", "threshold": "set thresholds", "test": "test"}

TEXTS = {"answer": "said", "gold": "truth", "prompt": "prompt", "text": "text"}
"""Columns of a record that are shown, and what they are called."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number at the top, with its name and what goes with it."""

    name: str
    value: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """A metric of the stated and of the verified confidence."""

    name: str
    note: str
    before: float | None
    after: float | None
    before_note: str = ""
    after_note: str = ""


@dataclasses.dataclass(frozen=True)
class SliceRow:
    """A slice as the table shows it."""

    name: str
    n: int
    threshold: str
    answered: int
    coverage: float
    risk: float
    low: float
    high: float
    word: str
    role: str


@dataclasses.dataclass(frozen=True)
class WeightRow:
    """An input of the verifier; `share` is its size beside that of the largest."""

    words: str
    note: str
    weight: float
    share: float


@dataclasses.dataclass(frozen=True)
class AnswerRow:
    """An overconfident answer with its texts, by what they are called."""

    stated: float
    verified: float
    truth: str
    decision: str
    texts: tuple[tuple[str, str], ...]
    where: str


@dataclasses.dataclass(frozen=True)
class Page:
    """Everything that the template prints."""

    model: str
    size: str
    title: str
    symbol: str
    role: str
    lead: str
    sentences: tuple[str, ...]
    alarms: tuple[tuple[str, str], ...]
    figures: tuple[Figure, ...]
    risk: Markup
    reliability: Markup
    scores: Markup
    reliability_text: str
    drift: str
    metrics: tuple[MetricRow, ...]
    by: str
    slices: tuple[SliceRow, ...]
    slices_text: str
    verifier: str
    signed: bool
    weights: tuple[WeightRow, ...]
    answers: tuple[AnswerRow, ...]
    answers_text: str
    notes: tuple[str, ...]
    method: tuple[tuple[str, str], ...]


def page_of(evaluation: Evaluation, guard: Guard) -> Page:
    """What the report says of an evaluation.

    Args:
        evaluation: what `evaluate` found.
        guard: the guard that it judged.

    Returns:
        The page.
    """
    e = evaluation
    title, symbol, role = TITLES[e.verdict]
    if e.on_fit_rows and e.verdict in ("kept", "within chance"):
        title, symbol, role = "Not a test", "▲", "over"
    return Page(
        model=e.model,
        size=f"{e.n_prompts:,} prompts, {e.n_rows:,} {e.kind}s",
        title=title,
        symbol=symbol,
        role=role,
        lead=_sentence(e.sentence),
        sentences=tuple(_sentence(s) for s in (promise_words(e.promise, e.changed), e.rows) if s),
        alarms=_alarms(e),
        figures=_figures(e),
        risk=Markup(_risk(e)),
        reliability=Markup(_reliability(e)),
        scores=Markup(_scores(e, guard)),
        reliability_text=_reliability_text(e),
        drift=_drift_text(e),
        metrics=_metrics(e.stated, e.verified),
        by=e.by or "",
        slices=tuple(_slice(s) for s in e.slices[:MAX_SLICES]) if e.by else (),
        slices_text=_slices_text(e, guard),
        verifier=_verifier_text(guard.verifier),
        signed=guard.verifier.model == "logistic",
        weights=_weights(guard.verifier),
        answers=tuple(_answer(row, e.kind) for row in e.overstated),
        answers_text=f"{e.counts.get('overconfident', 0):,} of {e.n_rows:,} rows state more than was "
        "verified by more than the margin; these are the worst.",
        notes=(*e.warnings, *e.notes),
        method=_method(e, guard),
    )


def _alarms(e: Evaluation) -> tuple[tuple[str, str], ...]:
    """What takes the ground from under the promise; shown in red above everything else."""
    out: list[tuple[str, str]] = []
    if e.on_fit_rows:
        out.append(
            (
                "Not a test.",
                "The guard was fitted or its threshold was set on these rows, so it looks better here "
                "than it is. Judge it on predictions that it has not seen.",
            )
        )
    if e.drift is not None and e.drift.alarm:
        out.append(("The scores have drifted.", _sentence(e.drift.sentence)))
    if e.alarm is not None and e.alarm.alarm_at is not None:
        out.append(("Errors have become more frequent.", _sentence(e.alarm.sentence)))
    return tuple(out)


def _figures(e: Evaluation) -> tuple[Figure, ...]:
    o = e.outcome
    if e.max_error is None:
        return ()
    limit = Figure("promised", f"≤ {percent(e.max_error)}", "wrong among the answered")
    if e.method == "crc":
        limit = Figure("promised", f"≤ {percent(e.max_error)}", "wrong per prompt, on average")
    elif e.delta is not None:
        limit = dataclasses.replace(limit, note=f"{limit.note}, {percent(1 - e.delta)} sure")
    rate, low, high = o.error_rate, o.low, o.high
    if e.method == "crc":
        rate, (low, high) = o.errors_per_prompt, o.interval_per_prompt
    interval = f"95% interval {percent(low)} to {percent(high)}" if o.n_judged else ""
    return (
        limit,
        Figure("measured", percent(rate if o.n_judged else None), interval),
        Figure("answered", percent(o.coverage), f"{o.n_answered:,} of {o.n_prompts:,} prompts"),
        Figure("escalated", f"{o.n_escalated:,}"),
        Figure("abstained", f"{o.n_abstained:,}"),
    )


def _risk(e: Evaluation) -> str:
    curves = [
        charts.Curve(name, curve.coverage.tolist(), curve.risk.tolist())
        for name, curve in (("verified", e.curve), ("stated", e.stated_curve))
        if isinstance(curve, RiskCoverageCurve)
    ]
    o, mark = e.outcome, None
    if o.n_judged:
        mark = charts.Mark(
            o.coverage, o.error_rate, o.low, o.high, f"{percent(o.error_rate)} wrong"
        )
    promise = e.max_error if e.method == "ltt" else None
    return charts.risk_chart(curves, promise=promise, mark=mark)


def _reliability(e: Evaluation) -> str:
    found = [q for q in (e.verified, e.stated) if q is not None]
    curves = [_bins(q.name, q.reliability) for q in found]
    return charts.reliability_chart(curves, happened=e.kind == "event")


def _bins(name: str, curve: ReliabilityCurve) -> charts.Curve:
    share = curve.weight / curve.weight.sum()
    points = curve.confidence.tolist(), curve.accuracy.tolist(), share.tolist()
    return charts.Curve(name, *points)


def _reliability_text(e: Evaluation) -> str:
    if e.kind == "event":
        return (
            "Each point is a bin of events of similar probability: on the diagonal they happen as "
            "often as stated. Larger points hold more of them."
        )
    return (
        "Each point is a bin of answers of similar confidence: on the diagonal they are right as often "
        "as stated. Larger points hold more of them."
    )


def _scores(e: Evaluation, guard: Guard) -> str:
    policy = guard.policy
    lines: dict[str, float] = {}
    if policy is not None:
        values = {k: t.value for k, t in policy.thresholds.items() if t.value is not None}
        if policy.by is None:
            lines = {f"answered from {v:g}": v for v in values.values()}
        if policy.escalate_above is not None:
            lines[f"escalated from {policy.escalate_above:g}"] = policy.escalate_above
    return charts.score_chart(e.score_edges, e.score_shares, e.reference_shares, thresholds=lines)


def _drift_text(e: Evaluation) -> str:
    parts = [e.drift.sentence if e.drift is not None else "", e.alarm.sentence if e.alarm else ""]
    said = " ".join(_sentence(part) for part in parts if part)
    return said or "No reference of the scores was kept, so drift cannot be told."


def _metrics(before: Quality | None, after: Quality | None) -> tuple[MetricRow, ...]:
    def pair(field: str) -> tuple[float | None, float | None]:
        return getattr(before, field, None), getattr(after, field, None)

    def chance(q: Quality | None) -> str:
        if q is None:
            return ""
        return f"{number(q.ece_expected)} by chance, {p_value(q.ece_p_value)}"

    if before is None and after is None:
        return ()
    return (
        MetricRow("ECE", "lower is better", *pair("ece"), chance(before), chance(after)),
        MetricRow("overconfidence", "confidence minus accuracy", *pair("overconfidence")),
        MetricRow("AUROC", "higher is better", *pair("auroc")),
        MetricRow("Brier score", "lower is better", *pair("brier")),
        MetricRow("log loss", "lower is better", *pair("nll")),
        MetricRow("Trust", "higher is better, 0 is silence", *pair("trust")),
    )


def _slice(s: SliceResult) -> SliceRow:
    word, role = CHIPS[s.verdict]
    at = (
        "never seen"
        if not s.seen
        else "answers nothing"
        if s.threshold is None
        else f"{s.threshold:g}"
    )
    o = s.outcome
    return SliceRow(
        name=s.value or "(none)",
        n=o.n_prompts,
        threshold=at,
        answered=o.n_answered,
        coverage=o.coverage,
        risk=o.error_rate,
        low=o.low,
        high=o.high,
        word=word,
        role=role,
    )


def _slices_text(e: Evaluation, guard: Guard) -> str:
    if not e.by:
        return ""
    said = "A slice that the guard has no threshold for is never answered."
    if guard.policy is None or guard.policy.by != e.by:
        said = "The promise was made for all prompts together and not for each slice."
    left = len(e.slices) - MAX_SLICES
    more = f" {left:,} more slices are in the JSON." if left > 0 else ""
    return (
        f"{said} With many slices one exceeds the limit by chance now and then; the intervals are "
        f"those of each slice alone.{more}"
    )


def _verifier_text(v: Verifier) -> str:
    if v.model == "boosting":
        return (
            f"Boosted trees, grown on {v.n:,} rows; a bar is the share of their gain that an input is "
            "good for."
        )
    return (
        f"A logistic regression, fitted on {v.n:,} rows: by how much the log-odds of being right rise "
        "when an input rises by one standard deviation, all others unchanged. Inputs that say the same "
        "share their weight."
    )


def _weights(v: Verifier) -> tuple[WeightRow, ...]:
    effects = v.explain()
    largest = max((abs(effect.weight) for effect in effects), default=0.0) or 1.0
    return tuple(
        WeightRow(
            words=_capital(evidence_words(effect.name)),
            note=f"{effect.name}; mean {effect.center:.3g}, standard deviation {effect.scale:.3g}",
            weight=effect.weight,
            share=abs(effect.weight) / largest,
        )
        for effect in effects
    )


def _answer(row: Overstated, kind: str) -> AnswerRow:
    record, columns = row.record, row.record.columns
    known = row.correct == row.correct
    truth = ("right" if row.correct >= 0.5 else "wrong") if known else "unknown"
    texts = [(word, _text(columns.get(name))) for name, word in TEXTS.items()]
    if kind == "event":
        claim = "it happens" if (record.confidence or 0.0) >= 0.5 else "it does not happen"
        texts = [("claim", claim), *[(w, t) for w, t in texts if w != "truth"]]
    places = [_text(record.prompt_id), _text(columns.get("location"))]
    return AnswerRow(
        stated=row.stated,
        verified=row.verified,
        truth=truth,
        decision=row.decision,
        texts=tuple((word, text) for word, text in texts if text),
        where=" · ".join(place for place in places if place),
    )


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"


def _method(e: Evaluation, guard: Guard) -> tuple[tuple[str, str], ...]:
    rules = {
        "ltt": "fixed-sequence Learn-then-Test (arXiv:2110.01052)",
        "crc": "conformal risk control (arXiv:2208.02814)",
    }
    parts: list[tuple[str, str]] = [
        ("model judged", e.model),
        ("never split", e.unit or "prompt"),
        (
            "answered",
            "the best-ranked answer of each prompt" if e.select == "top" else "each answer",
        ),
        ("threshold", rules.get(e.method or "", "none yet")),
        ("intervals", "95%, exact (Clopper–Pearson)"),
    ]
    return (*parts, *_guard_terms(guard))


def _guard_terms(guard: Guard) -> Sequence[tuple[str, str]]:
    counts = guard.counts.items()
    parts = ", ".join(f"{c.get('prompts', 0):,} to {_VERBS.get(name, name)}" for name, c in counts)
    trees = guard.verifier.model == "boosting"
    return (
        ("verifier", "gradient boosting" if trees else "logistic regression, L2 penalty"),
        ("calibrator", guard.calibrator.method),
        ("fitted on", f"{guard.model}, split by hash with seed {guard.seed}: prompts {parts}"),
        *((("threshold set on", guard.threshold_rows),) if guard.threshold_rows else ()),
        *((("in the fit", "; ".join(guard.notes)),) if guard.notes else ()),
    )


def _sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{_capital(text).rstrip('.')}." if text else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
