"""Slices: which part of the data carries the gap between confidence and accuracy."""

from __future__ import annotations

import dataclasses
from statistics import NormalDist

import numpy as np

from levelhead.audit.convention import Convention
from levelhead.audit.model_records import ModelRecords, Rows
from levelhead.audit.result import SliceRow
from levelhead.metrics.binned import ece
from levelhead.metrics.overconfidence import accuracy, mean_confidence, overconfidence
from levelhead.metrics.trust import trust

__all__ = ["summarize_slices"]


def summarize_slices(records: ModelRecords, convention: Convention, level: float) -> list[SliceRow]:
    """Every slice of one model, the most damaging first.

    damage = n |mean confidence - accuracy| / sum of the same over the slices of its column

    Args:
        records: what was read of the model, with its slice columns.
        convention: how the ECE is binned.
        level: of the intervals of the gap, in (0, 1).

    Returns:
        One row per value of each column; nothing where there are no slice columns.
    """
    event = records.kind == "event"
    out = []
    total: dict[str, float] = {}
    for column, value, native in records.slices():
        top = native.top_label() if event else native
        c, y, w = top.confidence, top.correct, top.weights
        gap, spread = overconfidence(c, y, weights=w), _gap_half_width(top, level)
        score = trust(c, y, weights=w)
        size = float(c.size if w is None else w.sum())
        damage = size * abs(gap)
        total[column] = total.get(column, 0.0) + damage
        out.append(
            SliceRow(
                column=column,
                value=value,
                n=round(size) if records.streamed else int(c.size),
                accuracy=float(accuracy(c, y, weights=w)),
                confidence=float(mean_confidence(c, y, weights=w)),
                gap=float(gap),
                ece=float(
                    ece(
                        native.confidence,
                        native.correct,
                        **convention.binning,
                        weights=native.weights,
                    )
                ),
                trust=float(score),
                damage=damage,
                gap_low=None if spread is None else float(gap - spread),
                gap_high=None if spread is None else float(gap + spread),
            )
        )
    ranked = [
        dataclasses.replace(
            row, damage=row.damage / total[row.column] if total[row.column] else 0.0
        )
        for row in out
    ]
    return sorted(ranked, key=lambda row: (-row.damage, row.column, row.value))


def _gap_half_width(rows: Rows, level: float) -> float | None:
    """Half the interval of the mean of c - y, clusters counted as one; None below two clusters."""
    d = rows.confidence - rows.correct
    w = np.ones(d.size) if rows.weights is None else rows.weights
    mean = np.average(d, weights=w)
    if rows.counted:
        squares, n = w * (d - mean) ** 2, w.sum()
    else:
        part = w * (d - mean)
        if rows.clusters is not None:
            part = np.bincount(np.unique(rows.clusters, return_inverse=True)[1], part)
        squares, n = part**2, part.size
    if n < 2:
        return None
    variance = float(squares.sum()) / w.sum() ** 2 * n / (n - 1)
    return NormalDist().inv_cdf(0.5 + level / 2.0) * variance**0.5
