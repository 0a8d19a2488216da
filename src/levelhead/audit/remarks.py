"""Data warnings: what a reader of the numbers has to know about the records behind them."""

from __future__ import annotations

import numpy as np

from levelhead._text import plural
from levelhead.audit.convention import CONVENTIONS, Convention
from levelhead.audit.model_records import MAX_SLICE_VALUES, OTHER, ModelRecords
from levelhead.audit.result import ModelAudit
from levelhead.audit.verdict import TOO_FEW
from levelhead.metrics.binned import ece
from levelhead.records import STATUSES

__all__ = ["nothing_to_score", "warnings_about"]

FEW_PER_BIN = 10
"""A bin with fewer records than this is called thin."""

MATTERS = 0.005
"""A difference in ECE between conventions from which it is worth a sentence."""


def warnings_about(summary: ModelAudit, records: ModelRecords, convention: Convention) -> list[str]:
    """Warnings about one model's data.

    Args:
        summary: the audit of the model.
        records: what was read of it.
        convention: what the audit followed.

    Returns:
        Sentences, the most important first.
    """
    return [
        *_about_records(summary, records, convention),
        *_about_numbers(summary, records, convention),
        *_convention_sentences(summary, records, convention),
    ]


def _about_records(summary: ModelAudit, records: ModelRecords, convention: Convention) -> list[str]:
    """What is odd about the records: refusals, missing confidences, labels, prompts."""
    out = []
    if records.n_refusals:
        out.append(
            f"{plural(records.n_refusals, 'refusal')} of {plural(summary.n_records, 'record')}: one "
            "scores 0 in Trust and is left out of every other metric."
        )
    unread = {k: v for k, v in summary.status_counts.items() if k not in ("ok", "refusal")}
    if unread:
        what = ", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in sorted(unread.items()))
        each = _which_count(records)
        how = {
            "assert": f"{each} as a claim of certainty (0.99); "
            "the 'parsed only' values leave them out",
            "drop": "they are left out of the metrics, as this convention does",
            "zero": f"{each} as confidence 0, as this convention does, "
            "which gives a wrong answer a perfect score",
        }[convention.missing]
        if not each:
            how = "they have no label, so they count nowhere"
        share = sum(unread.values()) / summary.n_records
        out.append(f"{what} of {plural(summary.n_records, 'confidence')} ({share:.1%}): {how}.")
    if summary.status_counts.get("out_of_range", 0) > summary.n_records / 2:
        out.append("most confidences are out of range; where they are percentages, pass --percent.")
    fallback = summary.provenance_counts.get("fallback", 0)
    if fallback:
        out.append(
            f"{plural(fallback, 'confidence')} not stated by the model: a stand-in, of another tool or "
            "of a calibrator for what is missing."
        )
    if summary.n_unlabelled:
        out.append(
            f"{summary.n_unlabelled:,} of {summary.n_records:,} records have no label and cannot be "
            "scored."
        )
    if records.n_without_prompt:
        out.append(
            f"{plural(records.n_without_prompt, 'record')} in files without prompt ids: each counts as "
            "a prompt of its own."
        )
    return out


def _which_count(records: ModelRecords) -> str:
    """Which records without a usable confidence are scored: those with a label; "" for none."""
    if not records.n_unlabelled:
        return "each counts"
    if records.streamed:  # the rows are gone, and nobody has counted both at once
        return "each that has a label counts"
    kept = records.predictions
    unread = ~np.isin(kept.status, [STATUSES.index("ok"), STATUSES.index("refusal")])
    labelled = int((unread & ~np.isnan(kept.label)).sum())
    if labelled == int(unread.sum()):
        return "each counts"
    return f"each of the {labelled:,} that have a label counts" if labelled else ""


def _about_numbers(summary: ModelAudit, records: ModelRecords, convention: Convention) -> list[str]:
    """What limits the numbers: thin bins, one class, too many records for memory."""
    out = []
    thin = sum(1 for k in summary.reliability.count if k < FEW_PER_BIN)
    if thin:
        out.append(
            f"fewer than {FEW_PER_BIN} records in {thin} of "
            f"{plural(len(summary.reliability.count), 'bin')}."
        )
    if summary.n_scored < TOO_FEW:
        out.append(
            f"only {plural(summary.n_scored, 'scored record')}: every number here is a rough guess."
        )
    if summary.metric("auroc").value is None:
        out.append("all records have the same label: AUROC and Brier skill are undefined.")
    if records.tally is not None and not records.tally.exact:
        low, high = records.tally.auroc_bounds()
        out.append(
            "too many records for memory: rank metrics treat confidences closer than "
            f"{records.tally.resolution:.1g} as ties (the exact AUROC of these records lies in "
            f"[{low:.4f}, {high:.4f}]), and no prompt clusters were formed."
        )
        if convention.closed == "left":
            out.append("left-closed bins are not exact here: audit fewer records at once.")
    elif records.streamed:
        out.append("too many records for memory: no prompt clusters were formed.")
    for column in sorted({row.column for row in summary.slices if row.value == OTHER}):
        out.append(
            f"{column} has more than {MAX_SLICE_VALUES} values: the others are counted together."
        )
    if records.streamed and not records.counted:
        out.append("too many weighted records for memory: there are no intervals.")
    return out


def _convention_sentences(
    summary: ModelAudit, records: ModelRecords, convention: Convention
) -> list[str]:
    """Where another convention would say something else, and by how much."""
    here = summary.metric("ece").value
    if here is None or (records.tally is not None and not records.tally.exact):
        return []
    out = []
    raw = records.rows()
    edge = (
        np.abs(raw.confidence * convention.n_bins - np.round(raw.confidence * convention.n_bins))
        < 1e-9
    )
    weights = np.ones(edge.size) if raw.weights is None else raw.weights
    share = float(np.average(edge, weights=weights)) if edge.size else 0.0
    for other in CONVENTIONS.values():
        if other.name == convention.name or other.closed == convention.closed:
            continue
        there = ece(raw.confidence, raw.correct, weights=raw.weights, **other.binning)
        if share > 0.0 and abs(there - here) >= MATTERS:
            out.append(
                f"the binning convention matters here: ECE is {here:.4f} with {convention.n_bins} "
                f"{convention.closed}-closed bins ({convention.name}) and {there:.4f} with "
                f"{other.n_bins} {other.closed}-closed bins ({other.name}), because {share:.0%} of the "
                "confidences lie on bin edges."
            )
            break
    return out


def nothing_to_score(records: ModelRecords) -> str:
    """Why a model has no record that can be scored, and what to do.

    Args:
        records: what was read of it.

    Returns:
        A sentence.
    """
    if records.n_records == 0:
        return f"{records.name}: expected at least one record, got none"
    if records.n_unlabelled == records.n_records:
        return (
            f"{records.name}: none of {records.n_records:,} records has a label; name the column with "
            "--correct or --outcome, or give a file with --labels"
        )
    found = ", ".join(f"{n:,} {status}" for status, n in records.status_counts.items())
    return (
        f"{records.name}: none of {plural(records.n_records, 'record')} states a confidence that can be "
        f"read ({found}); check --confidence, --elicitation, --pattern or --percent"
    )
