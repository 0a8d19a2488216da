"""What `levelhead guard` prints and what it writes as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from levelhead._text import percent, signed
from levelhead._write import plain
from levelhead.cli._output import clean, console
from levelhead.guard.words import advice, evidence_words, promise_words

if TYPE_CHECKING:
    from levelhead.guard.evaluation import Evaluation, Quality
    from levelhead.guard.guard import Guard
    from levelhead.records import Predictions

SCHEMA_VERSION = "1"
"""Of the JSON that the commands write."""

MAX_WEIGHTS, MAX_SLICES, MAX_WORDS = 12, 12, 58

VERDICT_STYLES = {"kept": "bold green", "broken": "bold red"}

METRICS = {"auroc": "AUROC", "ece": "ECE", "overconfidence": "overconfidence", "trust": "Trust"}


def fit_content(guard: Guard, held_out: Evaluation | None) -> dict[str, Any]:
    """What a fit found, for JSON."""
    verifier = guard.verifier
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": guard.kind,
        "model": guard.model,
        "unit": guard.unit or "prompt",
        "select": guard.select,
        "parts": {name: dict(counts) for name, counts in guard.counts.items()},
        "verifier": {
            "model": verifier.model,
            "n": verifier.n,
            "converged": verifier.converged,
            "weights": [dataclasses.asdict(effect) for effect in verifier.explain()],
        },
        "calibrator": guard.calibrator.method,
        "evidence": list(guard.evidence),
        "held_out": None if held_out is None else _qualities(held_out),
        "notes": list(guard.notes),
    }


def show_fit(
    guard: Guard,
    held_out: Evaluation | None,
    predictions: Predictions,
    notes: list[str],
    out: Path,
) -> None:
    """The verifier's weights in words, the parts, how it does, and what to do next."""
    screen = console()
    _remarks(screen, notes)
    _say(screen, f"{guard.model}: {len(predictions):,} {guard.kind}s", "bold")
    screen.print(_parts_table(guard))
    screen.print()
    screen.print(_weights_table(guard))
    if held_out is not None and held_out.verified is not None:
        screen.print()
        title = f"on the {held_out.n_prompts:,} prompts kept for the report"
        screen.print(_quality_table(held_out, title))
    _remarks(screen, guard.notes, mark="!", style="yellow")
    _say(screen, f"\nwritten: {out}")
    _say(screen, f"next: levelhead guard threshold {out} FILES --max-error 0.05", "dim")


def threshold_content(guard: Guard) -> dict[str, Any]:
    """What a threshold promises, for JSON."""
    policy = guard.policy
    if policy is None:
        return {"schema_version": SCHEMA_VERSION, "policy": None}
    return {
        "schema_version": SCHEMA_VERSION,
        "promise": policy.promise,
        "rows": guard.threshold_rows,
        "warnings": list(guard.warnings),
        "by": policy.by,
        "escalate_above": policy.escalate_above,
        "thresholds": {
            name: {
                "value": t.value,
                "coverage": t.coverage,
                "n": t.n,
                "n_answered": t.n_answered,
                "n_errors": t.n_errors,
                "max_error": t.max_error,
                "delta": t.delta,
                "method": t.method,
                "p_value": t.p_value,
                "advice": advice(t),
            }
            for name, t in policy.thresholds.items()
        },
    }


def show_threshold(guard: Guard, notes: list[str], out: Path) -> None:
    """The promise, the coverage, or why nothing is answered and what to do."""
    policy = guard.policy
    if policy is None:
        return
    screen = console()
    _remarks(screen, notes)
    silent = {name: t for name, t in policy.thresholds.items() if t.value is None}
    everything = len(silent) == len(policy.thresholds)
    if not everything:
        _say(screen, _sentence(policy.promise), "bold green")
    if policy.by is None:
        (only,) = policy.thresholds.values()
        _say(screen, _sentence(only.sentence), "bold yellow" if silent else "")
        if silent:
            _say(screen, advice(only), "yellow")
    else:
        if everything:
            _say(screen, _sentence(policy.promise), "bold yellow")
        screen.print()
        screen.print(_thresholds_table(guard))
        for name, t in list(silent.items())[:3]:
            _say(screen, f"{policy.by} {name!r}: {advice(t)}", "yellow")
        if len(silent) > 3:
            _say(
                screen, f"{len(silent) - 3:,} more answer nothing; --json has the advice.", "yellow"
            )
    _remarks(screen, guard.warnings, mark="!", style="yellow")
    _remarks(screen, [guard.threshold_rows])
    _say(screen, f"\nwritten: {out}")
    _say(screen, f"next: levelhead guard report {out} FILES -o report.html", "dim")


def apply_content(guard: Guard, given: Predictions, decided: Predictions) -> dict[str, Any]:
    """What was decided on what was given, for JSON: prompts with `select` top, rows with `each`."""
    columns = decided.columns
    decisions = Counter(columns["decision"].to_pylist())
    total, what = len(decided), "rows"
    if guard.select == "top":
        total, what = _n_prompts(decided), "prompts"
    acted = {name: decisions.get(name, 0) for name in ("answer", "escalate")}
    policy = guard.policy
    unseen: dict[str, int] = {}
    if policy is not None and policy.by is not None:
        unseen = policy.unseen(columns[policy.by].to_pylist())
    drift = guard.reference.check(_reference_scores(guard, decided))
    return {
        "schema_version": SCHEMA_VERSION,
        "model": decided.model,
        "counted": what,
        "total": total,
        **acted,
        "abstain": total - sum(acted.values()),
        "rows": len(decided),
        "overconfident_rows": sum(map(bool, columns["overconfident"].to_pylist())),
        "rows_without_answer": guard.unanswered(given),
        "unseen_slices": unseen,
        "warnings": [one for one in (guard.met(given), *_of_threshold(guard)) if one],
        "drift": {"alarm": drift.alarm, "psi": drift.psi, "p_value": drift.p_value},
        "drift_sentence": drift.sentence,
        "promise": "" if policy is None else policy.promise,
    }


def _of_threshold(guard: Guard) -> list[str]:
    return [f"when the threshold was set: {warning}" for warning in guard.warnings]


def show_apply(content: dict[str, Any], notes: list[str], out: Path) -> None:
    """How many are answered, handed on, and left, and whether the promise still applies."""
    screen = console()
    _remarks(screen, notes)
    total = content["total"]
    for name, word in (("answer", "answered"), ("escalate", "escalated"), ("abstain", "abstained")):
        share = percent(content[name] / total if total else None)
        _say(screen, f"{word:10s}{content[name]:>9,} of {total:,} {content['counted']} ({share})")
    _say(
        screen,
        f"{content['overconfident_rows']:,} of {content['rows']:,} rows state more than was verified "
        "by more than the margin",
    )
    silent = content["rows_without_answer"]
    if silent:
        _say(screen, f"rows without an answer, which are never answered: {silent:,}")
    if content["unseen_slices"]:
        n = sum(content["unseen_slices"].values())
        first = ", ".join(list(content["unseen_slices"])[:3])
        _say(
            screen,
            f"! rows in slices that have no threshold ({first}), which are never answered: {n:,}",
            "yellow",
        )
    _remarks(screen, content["warnings"], mark="!", style="yellow")
    _drift(screen, content["drift"]["alarm"], content["drift_sentence"])
    _say(screen, _sentence(promise_words(content["promise"], content["drift"]["alarm"])))
    _say(screen, f"written: {out}")


def report_content(found: Evaluation) -> dict[str, Any]:
    """An evaluation for JSON."""
    content = _as_json(found)
    if found.alarm is not None:
        del content["alarm"]["statistic"]  # as long as the data
    outcome = content["outcome"]
    for name in ("coverage", "error_rate", "errors_per_prompt"):
        outcome[name] = getattr(found.outcome, name)
    return {"schema_version": SCHEMA_VERSION, **content}


def show_report(
    found: Evaluation, guard: Guard, notes: list[str], guard_path: Path, out: Path | None
) -> None:
    """The verdict, the numbers before and after, and what takes the ground from under them."""
    screen = console()
    _remarks(screen, notes)
    size = f"{found.n_prompts:,} prompts, {found.n_rows:,} {found.kind}s"
    _say(screen, f"{found.model}  ({size})", "bold")
    if found.on_fit_rows:
        _say(
            screen,
            "Not a test: the guard was fitted, or its threshold was set, on some of these rows.",
            "bold red",
        )
    style = "bold" if found.on_fit_rows else VERDICT_STYLES.get(found.verdict, "bold")
    _say(screen, _sentence(found.sentence), style)
    if found.promise:
        _say(screen, _sentence(promise_words(found.promise, found.changed)))
    if guard.policy is None:
        _say(screen, f"next: levelhead guard threshold {guard_path} FILES --max-error 0.05", "dim")
    if found.verified is not None:
        screen.print()
        screen.print(_quality_table(found, ""))
    if found.by and found.slices:
        screen.print()
        screen.print(_slices_table(found))
    screen.print()
    if found.drift is not None:
        _drift(screen, found.drift.alarm, found.drift.sentence)
    if found.alarm is not None:
        _drift(screen, found.alarm.alarm_at is not None, found.alarm.sentence)
    _remarks(screen, found.warnings, mark="!", style="yellow")
    _remarks(screen, [found.rows, *found.notes, *(f"in the fit: {note}" for note in guard.notes)])
    if out is not None:
        _say(screen, f"report: {out}")


def json_text(content: dict[str, Any]) -> str:
    """The JSON of a command; undefined numbers are null."""
    return json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _qualities(found: Evaluation) -> dict[str, Any]:
    pair = {"stated": found.stated, "verified": found.verified}
    kept = {name: None if q is None else _as_json(q) for name, q in pair.items()}
    for one in kept.values():
        if one is not None:
            del one["reliability"]
    return {"n_prompts": found.n_prompts, **kept}


def _as_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _as_json(one) for key, one in value.items()}
    known = value is None or isinstance(value, str | int | float | bool | np.generic)
    return value if known else str(value)


def _say(screen: Console, words: str, style: str = "") -> None:
    screen.print(Text("\n".join(map(clean, words.split("\n"))), style=style))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}." if words else ""


def _remarks(screen: Console, notes: Any, mark: str = "·", style: str = "dim") -> None:
    for note in notes:
        if note:
            _say(screen, f"{mark} {note}", style)


def _drift(screen: Console, alarm: bool, sentence: str) -> None:
    mark, style = ("!", "bold red") if alarm else ("·", "dim")
    _say(screen, f"{mark} {_sentence(sentence)}", style)


def _table(*columns: tuple[str, str], title: str = "") -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title=Text(clean(title)) if title else None,
        title_justify="left",
        caption_justify="left",
    )
    for name, justify in columns:
        table.add_column(Text(clean(name)), justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def _parts_table(guard: Guard) -> Table:
    words = {
        "train": "trains the verifier",
        "calibrate": "calibrates it",
        "threshold": "kept for the threshold",
        "test": "kept for the report",
    }
    unit = guard.unit
    right = [("prompts", "right"), ("rows", "right"), ("", "left")]
    table = _table(("part", "left"), *([(unit, "right")] if unit else []), *right)
    for name, counts in guard.counts.items():
        numbers = [counts["units"]] if unit else []
        numbers += [counts["prompts"], counts["rows"]]
        table.add_row(name, *[f"{number:,}" for number in numbers], words.get(name, ""))
    return table


def _weights_table(guard: Guard) -> Table:
    effects = guard.verifier.explain()
    logistic = guard.verifier.model == "logistic"
    table = _table(
        ("what the verifier looks at", "left"), ("weight" if logistic else "gain", "right")
    )
    for effect in effects[:MAX_WEIGHTS]:
        weight = signed(effect.weight, 2) if logistic else percent(effect.weight)
        table.add_row(Text(clean(evidence_words(effect.name))), weight)
    unit = "log-odds per standard deviation" if logistic else "share of the gain"
    more = len(effects) - MAX_WEIGHTS
    table.caption = f"{unit}; {more} more in the JSON" if more > 0 else unit
    return table


def _quality_table(found: Evaluation, title: str) -> Table:
    table = _table((title, "left"), ("stated", "right"), ("verified", "right"))
    for field, label in METRICS.items():
        cells = [_cell(q, field) for q in (found.stated, found.verified)]
        table.add_row(label, *cells)
    chance = [f"{q.ece_expected:.3f}" if q else "" for q in (found.stated, found.verified)]
    table.add_row("ECE by chance alone", *chance, style="dim")
    return table


def _cell(quality: Quality | None, field: str) -> str:
    if quality is None:
        return "none"
    value = float(getattr(quality, field))
    return f"{value:.3f}" if value == value else "undefined"


def _thresholds_table(guard: Guard) -> Table:
    policy = guard.policy
    table = _table(
        (policy.by or "" if policy else "", "left"),
        ("prompts", "right"),
        ("answers from", "right"),
        ("answered", "right"),
        ("wrong", "right"),
    )
    rows = list(policy.thresholds.items()) if policy else []
    for name, t in rows[:MAX_SLICES]:
        share = percent(t.n_errors / t.n_answered) if t.n_answered else ""
        at = "nothing" if t.value is None else f"{t.value:g}"
        table.add_row(Text(clean(name or "(none)")), f"{t.n:,}", at, percent(t.coverage), share)
    if len(rows) > MAX_SLICES:
        table.caption = f"{len(rows) - MAX_SLICES} more in the JSON"
    return table


def _slices_table(found: Evaluation) -> Table:
    table = _table(
        (found.by or "", "left"),
        ("prompts", "right"),
        ("answered", "right"),
        ("wrong", "right"),
        ("95% interval", "right"),
        ("promise", "left"),
    )
    for s in found.slices[:MAX_SLICES]:
        o = s.outcome
        interval = f"{percent(o.low)} to {percent(o.high)}" if o.n_judged else ""
        wrong = percent(o.error_rate) if o.n_judged else ""
        numbers = (f"{o.n_prompts:,}", percent(o.coverage), wrong, interval)
        table.add_row(Text(clean(s.value or "(none)")), *numbers, s.verdict)
    if len(found.slices) > MAX_SLICES:
        table.caption = f"{len(found.slices) - MAX_SLICES} more in the report and the JSON"
    return table


def _n_prompts(decided: Predictions) -> int:
    ids = decided.prompt_id
    if ids is None:
        return len(decided)
    return len(set(ids.drop_null().to_pylist())) + ids.null_count


def _reference_scores(guard: Guard, decided: Predictions) -> list[float]:
    """One verified confidence per prompt, as the reference has: the best, or the first row's."""
    verified = decided.columns["verified"].to_pylist()
    ranks = decided.columns["rank"].to_pylist()
    n = len(decided)
    ids = [None] * n if decided.prompt_id is None else decided.prompt_id.to_pylist()
    found: dict[Any, float] = {}
    for i, (prompt, score, rank) in enumerate(zip(ids, verified, ranks, strict=True)):
        key = ("row", i) if prompt is None else prompt
        if rank is not None and (guard.select == "each" or rank == 1):
            found.setdefault(key, score)
    silent = {("row", i) if prompt is None else prompt for i, prompt in enumerate(ids)} - set(found)
    return [*found.values(), *[float("nan")] * len(silent)]
