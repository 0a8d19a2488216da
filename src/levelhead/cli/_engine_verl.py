"""`levelhead train --engine verl`: a recipe as verl's settings, checked, shown, and run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from levelhead.adapters.verl_engine import Plan
    from levelhead.train.config import Recipe

__all__ = ["train_with_verl"]


def train_with_verl(
    recipe: Recipe,
    out: Path,
    *,
    extra: tuple[str, ...] = (),
    resume: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Render, check and, unless it is a dry run, start verl; the command's exit status.

    Args:
        recipe: what is wanted.
        out: the folder of the run.
        extra: `--engine-set`, Hydra overrides of the user.
        resume: go on from the newest checkpoint in `out`.
        dry_run: show what would be run, and run nothing. Without verl the settings are shown unchecked.
        as_json: print the settings, notes and command as JSON; for a dry run only.

    Returns:
        0; verl's own exit status; or 2 where verl cannot do what the recipe says.

    Raises:
        LevelheadError: what is wrong with the recipe, its data, or verl's configuration.
    """
    from levelhead.adapters.verl_data import data_for
    from levelhead.adapters.verl_engine import FEATURE, launch, plan
    from levelhead.cli._output import clean
    from levelhead.errors import ConfigError, MissingDependencyError

    if as_json and not dry_run:
        raise click.UsageError("--json: verl prints its own lines; use it with --dry-run")
    data = data_for(recipe, out)
    if data.rows is None and not dry_run:
        raise ConfigError(
            f"task.path: expected files on this machine, there is no {data.train}; use --dry-run for "
            "the command alone"
        )
    try:
        planned = plan(recipe, data, out, extra=extra, resume=resume)
    except ConfigError as error:
        # One problem a line, where the general handler has one for all.
        for line in str(error).splitlines():
            click.echo(f"levelhead: {clean(line)}", err=True)
        return 2
    checked = _installed()
    if not checked and not dry_run:
        raise MissingDependencyError(FEATURE, "verl")
    resolved = _checked(planned) if checked else ""
    _show(planned, resolved, checked, as_json)
    if dry_run:
        return 0
    out.mkdir(parents=True, exist_ok=True)
    data.write(recipe.model.system)
    _keep(recipe, planned, out)
    return launch(planned)


def _installed() -> bool:
    import importlib.util

    return importlib.util.find_spec("verl") is not None


def _checked(planned: Plan) -> str:
    from levelhead.adapters.verl_engine import compose, validate
    from levelhead.cli._progress import Bar

    with Bar("composing verl's configuration") as bar:
        composed = compose(planned)
        bar.set(0.3)
        return validate(composed)


def _keep(recipe: Recipe, planned: Plan, out: Path) -> None:
    """What was run, beside what it leaves."""
    from levelhead._write import write_text

    write_text(out / "recipe.yaml", recipe.to_yaml())
    write_text(out / "verl.sh", planned.script() + "\n")


def _show(planned: Plan, resolved: str, checked: bool, as_json: bool) -> None:
    from levelhead._write import plain
    from levelhead.cli._output import clean, still_open

    with still_open():
        if as_json:
            found: dict[str, Any] = {
                "settings": {one.key: one.value for one in planned.overrides},
                "extra": list(planned.extra),
                "notes": [{"key": key, "text": text} for key, text in planned.notes],
                "command": list(planned.command),
                "checked": checked,
                "estimator": resolved or None,
            }
            click.echo(json.dumps(plain(found), allow_nan=False))
            return
        click.echo(planned.script())
    for key, text in planned.notes:
        click.echo(clean(f"note: {key}: {text}"), err=True)
    verdict = (
        f"verl takes these settings; its estimator is {resolved}"
        if checked
        else "verl is not installed here: the settings are not checked"
    )
    click.echo(verdict, err=True)
