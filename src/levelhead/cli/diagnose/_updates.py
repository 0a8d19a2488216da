"""`levelhead diagnose updates`: which weights changed, beside what rounding alone would show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from levelhead.cli._options import json_option, path_option, quiet_option, seed_option, target
from levelhead.cli._output import check_targets
from levelhead.errors import InvalidInputError

__all__ = ["files_of", "updates"]

EPILOG = """\b
Examples:
  levelhead diagnose updates qwen-base/ qwen-grpo/ -o updates.html
  levelhead diagnose updates base/ run1/ --other run2/ --json updates.json
  levelhead diagnose updates base/ adapter/ --tolerance 1e-3
"""


def files_of(models: list[Path]) -> Iterator[str]:
    """The models, and the files of their folders: a report must not be written over weights."""
    for model in models:
        yield str(model)
        if model.is_dir():
            for pattern in ("*.safetensors", "*.safetensors.index.json", "*config.json"):
                yield from map(str, sorted(model.glob(pattern)))


@click.command(epilog=EPILOG, short_help="Which weights changed, and what rounding explains.")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("tuned", type=click.Path(path_type=Path))
@path_option(
    "--other", metavar="TUNED2", help="A second run from BASE: how far do both change the same?"
)
@click.option(
    "--tolerance",
    "tolerances",
    type=float,
    multiple=True,
    metavar="SIZE",
    help="Count changes above this size (repeatable).  [default: 1e-6, 1e-5, 1e-4]",
)
@click.option(
    "--ranks",
    default=8,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Matrices whose change's ranks are computed, drawn at random.",
)
@seed_option("Of the samples, the sketches and the matrices that are drawn.")
@json_option()
@quiet_option()
@path_option("-o", "--report", metavar="HTML", help="Write the report to this file.")
def updates(
    base: Path,
    tuned: Path,
    other: Path | None,
    tolerances: tuple[float, ...],
    ranks: int,
    seed: int,
    json_path: Path | None,
    quiet: bool,
    report: Path | None,
) -> None:
    """Which weights changed from BASE to TUNED, and how much of that rounding explains.

    BASE and TUNED are folders or files of safetensors, or TUNED is the folder of a LoRA adapter. They
    are read in slices, so models larger than memory can be compared. Ctrl-C keeps the tensors that
    were compared.
    """
    from levelhead.cli._console import Progress
    from levelhead.cli.diagnose._finish import finish
    from levelhead.diagnose.updates import TOLERANCES, diagnose_updates, section

    for one in tolerances:
        if not 0 <= one < float("inf"):
            raise InvalidInputError(f"--tolerance: expected a number of 0 or more, got {one}")
    models = [one for one in (base, tuned, other) if one is not None]
    check_targets((report, target(json_path)), tuple(files_of(models)))
    with Progress(enabled=not quiet) as progress:
        result = diagnose_updates(
            base,
            tuned,
            other,
            tolerances=tolerances or TOLERANCES,
            ranks=ranks,
            seed=seed,
            on_start=lambda total: progress.counting(total, "weights"),
            on_read=progress.advance,
        )
    finish([section(result)], report, json_path, quiet)
