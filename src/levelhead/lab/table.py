"""The tables of the experiments as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from levelhead._write import plain
from levelhead.lab.experiments import TABLES, Interval, RowResult

__all__ = ["TITLES", "cells", "markdown", "to_json"]

TITLES = {
    "published": "The paper's table, as its notebook ran it (the clip is never applied)",
    "clipped": "The same off-policy rows with the clip really on",
    "ours": "Other estimators, off-policy, no clip",
}

HEADER = (
    "estimator",
    "updates",
    "clip",
    "paper ECE",
    "ECE, mean of 100",
    "ECE, one sample",
    "ECE, limit",
    "AUROC",
    "AUROC, one",
    "accuracy",
)


def cells(result: RowResult) -> tuple[str, ...]:
    """One row as text, in the order of the header.

    Args:
        result: the row and its runs.

    Returns:
        Label, updates a rollout, clip, the paper's ECE, then ECE of the mean of 100 samples, of one
        sample and in the limit, AUROC of the mean and of one sample, accuracy of the mean.
    """
    row, limit = result.row, result.limit
    return (
        row.label,
        str(row.updates_per_rollout),
        "-" if row.clip is None else f"{row.clip:g}",
        "-" if row.published is None else f"{row.published[0]:.3f}",
        _with_interval(result.over_seeds(lambda o: o.mean.ece)),
        _with_interval(result.over_seeds(lambda o: o.single.ece)),
        "-" if limit is None else f"{limit.mean.ece:.4f}",
        _number(result.over_seeds(lambda o: o.mean.auroc).mean),
        _number(result.over_seeds(lambda o: o.single.auroc).mean),
        _number(result.over_seeds(lambda o: o.mean.accuracy).mean),
    )


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def _with_interval(found: Interval) -> str:
    if math.isnan(found.low):
        return f"{found.mean:.4f}"
    return f"{found.mean:.4f} ± {found.high - found.mean:.4f}"


def markdown(results: Sequence[RowResult], about: Mapping[str, str]) -> str:
    """All tables with their titles, and what they were made with.

    Args:
        results: rows of one or more tables.
        about: facts for the end: settings, machine, time.

    Returns:
        Markdown text.
    """
    lines: list[str] = []
    for title, members in _by_table(results):
        lines += [f"## {title}", "", "| " + " | ".join(HEADER) + " |"]
        lines.append("|" + "---|" * 3 + "---:|" * (len(HEADER) - 3))
        lines += ["| " + " | ".join(cells(result)) + " |" for result in members] + [""]
    lines.append(
        "± is half of the 95% Student-t interval over the seeds. *Limit*: where the exact expected "
        "update leads, without sampling; `-` where no exact expectation is known or a clip acts on "
        "the samples."
    )
    lines += ["", *(f"* {name}: {fact}" for name, fact in about.items()), ""]
    return "\n".join(lines)


def to_json(results: Sequence[RowResult], about: Mapping[str, str]) -> dict[str, Any]:
    """All numbers of all runs.

    Args:
        results: rows of one or more tables.
        about: settings, machine, time.

    Returns:
        Plain values for `json.dumps`; what is not known is None.
    """
    out: list[dict[str, Any]] = []
    for result in results:
        limit = result.limit
        out.append(
            {
                **dataclasses.asdict(result.row),
                "limit": None if limit is None else dataclasses.asdict(limit),
                "seeds": {str(k): dataclasses.asdict(v) for k, v in result.outcomes.items()},
                "ece_mean": dataclasses.asdict(result.over_seeds(lambda o: o.mean.ece)),
                "ece_single": dataclasses.asdict(result.over_seeds(lambda o: o.single.ece)),
            }
        )
    return plain({"about": dict(about), "rows": out})


def _by_table(results: Sequence[RowResult]) -> Iterator[tuple[str, list[RowResult]]]:
    for name, rows in TABLES.items():
        members = [result for result in results if result.row in rows]
        if members:
            yield TITLES[name], members
