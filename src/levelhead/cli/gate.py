"""`levelhead gate`: exit 1 only when the paired interval says that the candidate is worse."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from levelhead.audit.compare import compare
from levelhead.audit.convention import convention as named
from levelhead.audit.gate import CRITERIA, GateLine, check_gate
from levelhead.audit.result import Comparison
from levelhead.audit.verdict import TOO_FEW
from levelhead.cli._console import Progress
from levelhead.cli._options import json_option, on_stdout, target
from levelhead.cli._output import check_targets, emit, still_open
from levelhead.cli._reading import read_options, reading_options, resampling_options
from levelhead.cli.audit import gather_one
from levelhead.errors import InvalidInputError
from levelhead.readers import ReadLog

__all__ = ["gate"]

DEFAULT_LIMITS = {"max-ece-increase": 0.0, "max-trust-drop": 0.0}
"""What is checked where no limit is given: neither calibration nor Trust may have become worse."""

EPILOG = """\b
Example, in CI:
  levelhead gate --baseline base.parquet --candidate tuned.parquet \\
      --max-ece-increase 0.01 --max-accuracy-drop 0.02

Exit status: 0 no criterion failed (undecided counts as not failed), 1 at least one
failed, 2 the files cannot be read or compared.
"""


def _criteria_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, criterion in reversed(CRITERIA.items()):
        command = click.option(
            f"--{name}",
            type=float,
            metavar="LIMIT",
            help=f"Fail when {criterion.metric.replace('_', ' ')} surely "
            f"{'rises' if criterion.direction == 'increase' else 'drops'} by more.",
        )(command)
    return command


@click.command(epilog=EPILOG)
@click.option(
    "--baseline", required=True, multiple=True, metavar="FILES", help="What was there before."
)
@click.option("--candidate", required=True, multiple=True, metavar="FILES", help="What is to ship.")
@_criteria_options
@json_option("the outcome")
@click.option(
    "--max-missing",
    default=0.01,
    show_default=True,
    metavar="SHARE",
    help="Share of the baseline's items that the candidate may lack.",
)
@resampling_options
@reading_options
def gate(
    baseline: tuple[str, ...],
    candidate: tuple[str, ...],
    json_path: Path | None,
    max_missing: float,
    n_boot: int,
    level: float,
    seed: int,
    convention: str,
    **given: Any,
) -> int:
    """Compare a candidate with its baseline on the same items; made for CI.

    A criterion fails only when the whole paired interval of the change lies beyond its limit, so
    noise alone does not break a build. Without any limit, neither ECE nor Trust may become worse.
    """
    limits = {name: given.pop(name.replace("-", "_")) for name in CRITERIA}
    limits = {name: limit for name, limit in limits.items() if limit is not None} or DEFAULT_LIMITS
    silent = on_stdout(json_path)
    rules, log = named(convention), ReadLog()
    options = read_options(convention=convention, **given)
    check_targets((target(json_path),), (*baseline, *candidate))
    if not 0.0 <= max_missing <= 1.0:
        raise InvalidInputError(f"--max-missing: expected a share in [0, 1], got {max_missing}")
    with Progress(enabled=not silent) as progress:
        before = gather_one(baseline, options, log, rules, progress, "baseline")
        after = gather_one(candidate, options, log, rules, progress, "candidate")
        comparison = compare(after, before, rules, n_boot=n_boot, level=level, seed=seed)
    _check_missing(comparison, max_missing)
    lines = check_gate(comparison, limits)
    failed = any(line.failed for line in lines)
    with still_open():
        if json_path is not None:
            emit(json_path, _json(failed, lines, comparison.n_prompts))
        if not silent:
            for line in lines:
                click.echo(line.sentence)
            click.echo(_summary(comparison, failed))
    if not silent:
        for remark in (*log.warnings, *log.notes):
            click.echo(f"! {remark}", err=True)
    return 1 if failed else 0


def _check_missing(comparison: Comparison, allowed: float) -> None:
    """A candidate that left out the items it fails on must not pass for that."""
    missing, total = comparison.n_only_baseline, comparison.n_only_baseline + comparison.n_prompts
    if missing > allowed * total:
        raise InvalidInputError(
            f"--candidate: expected the baseline's {total:,} items, {missing:,} of them are missing "
            f"({missing / total:.1%}); predict them too, or raise --max-missing"
        )


def _summary(comparison: Comparison, failed: bool) -> str:
    extra = [
        f"{count:,} only in the {side}"
        for count, side in (
            (comparison.n_only_baseline, "baseline"),
            (comparison.n_only_model, "candidate"),
        )
        if count
    ]
    left_out = f" ({', '.join(extra)})" if extra else ""
    verdict = "the candidate is worse" if failed else "no criterion failed"
    few = "; too few to decide anything" if comparison.n_prompts < TOO_FEW else ""
    on = f"{comparison.n_prompts:,} items by {comparison.paired_by}"
    return f"{verdict}: compared on {on}{left_out}{few}"


def _json(failed: bool, lines: list[GateLine], n_pairs: int) -> str:
    content = {
        "schema_version": "1",
        "failed": failed,
        "n_pairs": n_pairs,
        "criteria": [dataclasses.asdict(line) for line in lines],
    }
    return json.dumps(content, indent=2) + "\n"
