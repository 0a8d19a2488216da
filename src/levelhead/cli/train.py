"""`levelhead train`: from a recipe to a trained model, its predictions, and what they are worth."""

from __future__ import annotations

import json
import os
import shlex
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from levelhead.cli._train_display import Display
    from levelhead.train.config import Recipe
    from levelhead.train.run import Result

__all__ = ["train"]

INTERRUPTED = 130

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
@click.option(
    "--engine",
    type=click.Choice(["levelhead", "verl"]),
    default="levelhead",
    show_default=True,
    help="Who trains: this program, or verl on your Ray cluster (docs/verl.md).",
)
@click.option(
    "--engine-set",
    "engine_changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="With --engine verl: a setting of verl's, e.g. trainer.nnodes=2 (repeatable).",
)
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
    engine: str,
    engine_changes: tuple[str, ...],
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
    if engine_changes and engine != "verl":
        raise click.UsageError("--engine-set: belongs to --engine verl; use --set for the recipe")
    chosen = _chosen(recipe, all_changes, out, resume, dry_run)
    if engine == "verl":
        from levelhead.cli._engine_verl import train_with_verl

        code = train_with_verl(
            chosen, out, extra=engine_changes, resume=resume, dry_run=dry_run, as_json=as_json
        )
        click.get_current_context().exit(code)
    if dry_run:
        _show_dry_run(chosen, as_json)
        return
    _train(chosen, out, resume, as_json)


def _tell_about_recipes(as_schema: bool, as_json: bool) -> None:
    from levelhead.cli._output import still_open
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
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column()
        for one in recipes:
            mark = Text(" (needs data)" if one.needs_data else "", "dim")
            table.add_row(one.name, Text(one.about) + mark)
        _print(table)


def _print(table: Table) -> None:
    """A table without the blanks that fill its lines where a program reads them."""
    from levelhead.cli._output import console

    out = console()
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _chosen(
    name: str | None, changes: tuple[str, ...], out: Path, resume: bool, dry_run: bool
) -> Recipe:
    """The recipe that is named, or that of the run that goes on; its problems end the command."""
    from levelhead.cli._output import clean
    from levelhead.errors import ConfigError
    from levelhead.train.config import load
    from levelhead.train.config.reading import DEFAULT

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
        # One problem a line, where the general handler has one for all.
        for line in str(error).splitlines() if _first() else ():
            click.echo(f"levelhead: {clean(line)}" if line[:1] != " " else clean(line), err=True)
        click.get_current_context().exit(2)


def _show_dry_run(recipe: Recipe, as_json: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from levelhead.cli._output import clean, still_open
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
            _print(table)
    for problem in found.problems:
        click.echo(f"levelhead: {clean(problem)}", err=True)
    if found.problems:
        click.get_current_context().exit(2)
    if not as_json:
        click.echo("ready to train")


def _train(recipe: Recipe, out: Path, resume: bool, as_json: bool) -> None:
    from levelhead.cli._train_display import Display
    from levelhead.errors import ConfigError
    from levelhead.train.run import train as run

    first = _first()
    display = Display(recipe.name, recipe.steps, enabled=first and not as_json)
    context = click.get_current_context()
    try:
        with display:
            result = run(recipe, out, resume=resume, observer=display)
    except KeyboardInterrupt:
        if first:
            click.echo(how_to_go_on(out, display), err=True)
        context.exit(INTERRUPTED)
    except ConfigError as error:
        if first or in_a_step(error):
            raise
        context.exit(2)
    if first:
        report(result, display, as_json)
    if result.stopped is None:
        return
    interrupted = result.stopped == "interrupted"
    if first:
        text = how_to_go_on(out, display) if interrupted else f"stopped: {result.stopped}"
        click.echo(text, err=True)
    context.exit(INTERRUPTED if interrupted else 1)


def _first() -> bool:
    """Whether this process is the one that speaks, among those that torchrun has started."""
    return os.environ.get("RANK", "0") == "0"


def in_a_step(error: Exception) -> bool:
    """Whether it was raised in a step, where every process has prompts and problems of its own."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == "levelhead.train.loop" for frame, _ in frames)


def how_to_go_on(out: Path, display: Display) -> str:
    """What to do after an interruption, in one sentence."""
    if display.checkpoint is None and not (out / "checkpoints").is_dir():
        return "interrupted before the first checkpoint; nothing to go on with"
    at = "" if display.checkpoint is None else f" at step {display.checkpoint}"
    folder = shlex.quote(str(out))
    return f"interrupted, checkpoint{at} kept; go on with: levelhead train --resume --out {folder}"


def report(result: Result, display: Display, as_json: bool) -> None:
    """What a run came to, on standard output."""
    from levelhead._write import plain
    from levelhead.cli._output import still_open
    from levelhead.cli._train_display import metrics_table

    with still_open():
        if as_json:
            outcome: dict[str, Any] = {
                "out": str(result.out),
                "steps": result.steps,
                "metrics": result.metrics,
                "stopped": result.stopped,
                "seconds": result.seconds,
                "warnings": display.sentences,
            }
            click.echo(json.dumps(plain(outcome), allow_nan=False))
            return
        found = _evaluations(result.out)
        if result.metrics:
            _print(
                metrics_table(found[0], found[-1]) if found else metrics_table({}, result.metrics)
            )
            click.echo()
        if display.begun == result.steps:
            click.echo(f"already finished: {result.steps:,} steps; nothing was trained")
        else:
            click.echo(f"{result.steps:,} steps, {result.seconds:,.0f} s of this run")
        click.echo(f"model: {result.out / 'model'}")
        if found and found[-1]["step"] != result.steps:
            click.echo(
                f"the model is that of step {result.steps:,}, the predictions are those of step "
                f"{found[-1]['step']:,}"
            )
        if result.metrics:
            click.echo(f"look at it: levelhead audit {result.out / 'predictions.parquet'}")


def _evaluations(out: Path) -> list[dict[str, Any]]:
    """What the evaluations of a run found, those before an interruption included."""
    path = out / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = [json.loads(line) for line in lines]
    return [one for one in found if one.get("kind") == "evaluation"]
