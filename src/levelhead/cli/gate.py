"""`levelhead gate`: exit 1 only when the paired interval says that the candidate is worse."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from levelhead.audit.compare import compare
from levelhead.audit.convention import convention
from levelhead.audit.gate import CRITERIA, check_gate
from levelhead.cli._console import Progress
from levelhead.cli._reading import read_options, reading_options
from levelhead.cli.audit import gather_one, with_convention
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
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    metavar="JSON",
    help="Write the outcome to this file (- for standard output).",
)
@click.option("--n-boot", default=1000, show_default=True, help="Bootstrap replicates.")
@click.option("--level", default=0.95, show_default=True, help="Level of the intervals.")
@click.option("--seed", default=0, show_default=True, help="Of every random number.")
@reading_options
def gate(
    baseline: tuple[str, ...],
    candidate: tuple[str, ...],
    json_path: Path | None,
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
    to_stdout = json_path is not None and str(json_path) == "-"
    rules, log = _rules(convention), ReadLog()
    options = with_convention(read_options(**given), rules)
    with Progress(enabled=not to_stdout) as progress:
        before = gather_one(baseline, options, log, rules, progress, "baseline")
        after = gather_one(candidate, options, log, rules, progress, "candidate")
        comparison = compare(after, before, rules, n_boot=n_boot, level=level, seed=seed)
    lines = check_gate(comparison, limits)
    failed = any(line.failed for line in lines)
    if json_path is not None:
        _write_json(json_path, failed, lines, comparison.n_prompts)
    if not to_stdout:
        for line in lines:
            click.echo(line.sentence)
        for warning in log.warnings:
            click.echo(f"! {warning}", err=True)
    return 1 if failed else 0


def _rules(name: str) -> Any:
    return convention(name)


def _write_json(path: Path, failed: bool, lines: list[Any], n_pairs: int) -> None:
    from levelhead.audit.write import write_text

    text = json.dumps(
        {
            "schema_version": "1",
            "failed": failed,
            "n_pairs": n_pairs,
            "criteria": [dataclasses.asdict(line) for line in lines],
        },
        indent=2,
    )
    if str(path) == "-":
        click.echo(text)
    else:
        write_text(path, text + "\n")
