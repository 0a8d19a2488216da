"""`levelhead train`: from a recipe to a trained model, its predictions, and what they are worth."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from levelhead.cli._train_display import Display
    from levelhead.train.config import Recipe
    from levelhead.train.run import Result

__all__ = ["train"]

INTERRUPTED = 130
DEFAULT = "rloo"
"""The recipe that is run where none is named."""

EPILOG = """\b
Examples:
  levelhead train                                  (the embedded model, RLOO)
  levelhead train grpo --out grpo --set steps=50   (a built-in recipe)
  levelhead train my.yaml --dry-run
  levelhead train --resume --out grpo
  levelhead audit grpo/predictions.parquet --report report.html
"""


@click.command(epilog=EPILOG)
@click.argument("recipe", required=False)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the recipe, e.g. optimizer.lr=1e-4 (repeatable).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("levelhead-train"),
    show_default=True,
    help="Folder of the run.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--dry-run", is_flag=True, help="Check everything, show it, and train nothing.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Short for --set seed=N.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.option("--list", "as_list", is_flag=True, help="Show the built-in recipes.")
@click.option("--schema", "as_schema", is_flag=True, help="Print the JSON schema of recipes.")
def train(
    recipe: str | None,
    changes: tuple[str, ...],
    out: Path,
    resume: bool,
    dry_run: bool,
    seed: int | None,
    as_json: bool,
    as_list: bool,
    as_schema: bool,
) -> None:
    """Post-train a language model by RECIPE: a YAML file or a built-in name.

    Without a RECIPE a small model is built, taught the answer format, and trained with RLOO to
    predict a real survey. Everything in a recipe has a default; docs/train.md explains each key.

    OUT gets recipe.yaml, run.json, metrics.jsonl, checkpoints/, evaluations/, predictions.parquet
    and model/. Interrupted by Ctrl-C, it finishes the step, saves a checkpoint, and goes on
    with --resume. For several processes: torchrun --nproc-per-node N --no-python levelhead train ...
    """
    if as_list or as_schema:
        _tell_about_recipes(as_schema, as_json)
        return
    if resume and dry_run:
        raise click.UsageError("--dry-run starts nothing; leave out --resume")
    all_changes = (*changes, *(() if seed is None else (f"seed={seed}",)))
    chosen = _chosen(recipe, all_changes, out, resume, dry_run)
    if dry_run:
        _show_dry_run(chosen, as_json)
        return
    _train(chosen, out, resume, as_json)


def _tell_about_recipes(as_schema: bool, as_json: bool) -> None:
    from levelhead.cli._output import console, still_open
    from levelhead.train.config import built_in, schema

    with still_open():
        if as_schema:
            click.echo(json.dumps(schema(), indent=1))
            return
        recipes = built_in().values()
        if as_json:
            click.echo(json.dumps({one.name: one.about for one in recipes}))
            return
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False)
        for one in recipes:
            table.add_row(one.name, one.about)
        console().print(table)


def _chosen(
    name: str | None, changes: tuple[str, ...], out: Path, resume: bool, dry_run: bool
) -> Recipe:
    """The recipe that is named, or that of the run that goes on; its problems end the command."""
    from levelhead.cli._output import clean
    from levelhead.errors import ConfigError
    from levelhead.train.config import load

    source: str | Path = name or DEFAULT
    if name is None and resume:
        source = out / "recipe.yaml"
        if not source.is_file():
            raise click.UsageError(
                f"--resume: expected a run in {out}, there is no recipe.yaml; give its folder "
                "with --out"
            )
    try:
        return load(source, changes)
    except ConfigError as error:
        for line in str(
            error
        ).splitlines():  # one problem a line, where the general handler has one
            click.echo(f"levelhead: {clean(line)}" if line[:1] != " " else clean(line), err=True)
        click.get_current_context().exit(2)


def _show_dry_run(recipe: Recipe, as_json: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from levelhead.cli._output import clean, console, still_open
    from levelhead.train.dry_run import dry_run

    found = dry_run(recipe)
    with still_open():
        if as_json:
            lines = [{"label": label, "value": value} for label, value in found.lines]
            click.echo(json.dumps({"lines": lines, "problems": list(found.problems)}))
        else:
            table = Table(box=None, pad_edge=False, show_header=False)
            table.add_column(no_wrap=True)
            table.add_column(overflow="fold")
            for label, value in found.lines:
                table.add_row(Text(clean(label)), Text("\n".join(map(clean, value.splitlines()))))
            console().print(table)
    for problem in found.problems:
        click.echo(f"levelhead: {clean(problem)}", err=True)
    if found.problems:
        click.get_current_context().exit(2)
    if not as_json:
        click.echo("ready to train")


def _train(recipe: Recipe, out: Path, resume: bool, as_json: bool) -> None:
    from levelhead.cli._train_display import Display
    from levelhead.train.run import train as run

    first = os.environ.get("RANK", "0") == "0"
    display = Display(recipe.name, recipe.steps, enabled=first)
    context = click.get_current_context()
    try:
        with display:
            result = run(recipe, out, resume=resume, observer=display)
    except KeyboardInterrupt:
        if first:
            click.echo(how_to_go_on(out, display), err=True)
        context.exit(INTERRUPTED)
    if first:
        _report(result, display, as_json)
    if result.stopped is None:
        return
    interrupted = result.stopped == "interrupted"
    if first:
        text = how_to_go_on(out, display) if interrupted else f"stopped: {result.stopped}"
        click.echo(text, err=True)
    context.exit(INTERRUPTED if interrupted else 1)


def how_to_go_on(out: Path, display: Display) -> str:
    """What to do after an interruption, in one sentence."""
    if display.checkpoint is None and not (out / "checkpoints").is_dir():
        return "interrupted before the first checkpoint; nothing to go on with"
    at = "" if display.checkpoint is None else f" at step {display.checkpoint}"
    folder = shlex.quote(str(out))
    return f"interrupted, checkpoint{at} kept; go on with: levelhead train --resume --out {folder}"


def _report(result: Result, display: Display, as_json: bool) -> None:
    from levelhead._write import plain
    from levelhead.cli._output import console, still_open
    from levelhead.cli._train_display import metrics_table

    with still_open():
        if as_json:
            found: dict[str, Any] = {
                "out": str(result.out),
                "steps": result.steps,
                "metrics": result.metrics,
                "stopped": result.stopped,
                "seconds": result.seconds,
            }
            click.echo(json.dumps(plain(found), allow_nan=False))
            return
        out = console()
        if result.metrics:
            out.print(metrics_table(display.first_metrics, result.metrics))
            out.print()
        click.echo(f"{result.steps:,} steps in {result.seconds:,.0f} s")
        click.echo(f"model: {result.out / 'model'}")
        click.echo(f"look at it: levelhead audit {result.out / 'predictions.parquet'}")
