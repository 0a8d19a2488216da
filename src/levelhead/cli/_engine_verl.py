"""`levelhead train --engine verl`: a recipe as verl's settings, checked, shown, and run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from levelhead.adapters.verl_data import VerlData
    from levelhead.adapters.verl_engine import Plan
    from levelhead.train.config import Recipe

__all__ = ["train_with_verl"]

FREE = ("name", "steps", "evaluation", "checkpoint", "guard", "compute", "trackers")
"""Parts of a recipe that may change where a run is resumed."""


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
        LevelheadError: what is wrong with the recipe, its data, the folder, or this machine.

    Edge cases: a run that fails before its first validation or checkpoint leaves nothing in the way of
        another one. With RAY_ADDRESS what this machine lacks is a note.
    """
    from levelhead.adapters.verl_data import data_for
    from levelhead.adapters.verl_engine import FEATURE, launch, misspelled, plan
    from levelhead.errors import ConfigError, MissingDependencyError

    if as_json and not dry_run:
        raise click.UsageError("--json: verl prints its own lines; use it with --dry-run")
    if not dry_run:
        _check_folder(recipe, out, resume)
    data = data_for(recipe, out)
    if data.rows is None and not dry_run:
        raise ConfigError(
            f"task.path: expected files on this machine, there is no {data.train}: put the files that "
            "were published with arXiv:2508.11800 there, or files of your own in verl's format "
            "(--set task.path=FOLDER); --dry-run shows the command without them"
        )
    checked = _installed()
    try:
        planned = plan(recipe, data, out, extra=extra, resume=resume)
    except ConfigError as error:
        return _told([*str(error).splitlines(), *misspelled(extra)])
    if not checked and not dry_run:
        raise MissingDependencyError(FEATURE, "verl")
    resolved, notes = "", ()
    if checked:
        try:
            composed, resolved = _checked(planned)
        except ConfigError as error:
            return _told(str(error).splitlines())
        notes = () if dry_run else _machine(composed)
    _show(planned, resolved, checked, as_json)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if dry_run:
        return 0
    return _run(recipe, data, planned, out, launch)


def _told(problems: list[str]) -> int:
    """One problem a line, where the general handler has one for all."""
    from levelhead.cli._output import clean

    for line in problems:
        click.echo(f"levelhead: {clean(line)}", err=True)
    return 2


def _check_folder(recipe: Recipe, out: Path, resume: bool) -> None:
    """Refuse to mix two runs."""
    from levelhead.errors import ConfigError, RecordError
    from levelhead.train.config import load

    kept = out / "recipe.yaml"
    begun = kept.exists() or (out / "run.json").exists()
    if out.exists() and not out.is_dir():
        raise RecordError("expected a folder for the run, got a file", str(out))
    if not resume and begun:
        raise ConfigError(
            f"{out}: there is a run already; go on with it (--resume), or choose another --out"
        )
    if not resume:
        return
    if not kept.exists() or not (out / "verl.sh").exists():
        raise ConfigError(f"{out}: there is no run of verl's to resume; leave out --resume")
    theirs, ours = (one.model_dump(mode="json") for one in (load(kept), recipe))
    changed = [key for key in ours if key not in FREE and ours[key] != theirs.get(key)]
    if changed:
        raise ConfigError(
            f"{kept}: the run was begun with another {', '.join(changed)}; resume it with that recipe, "
            "or begin another run with --out"
        )


def _machine(composed: Any) -> tuple[str, ...]:
    """Refuse what cannot train here, before Ray is started; a cluster's nodes may have what it takes."""
    from levelhead.cli._progress import Bar
    from levelhead.cli.doctor import lacking
    from levelhead.errors import ConfigError

    trainer = composed.trainer
    wanted = trainer.nnodes * trainer.n_gpus_per_node if trainer.device == "cuda" else 0
    with Bar("looking at this machine"):
        found = lacking(
            composed.actor_rollout_ref.rollout.name, gpus=wanted, queue=bool(trainer.use_v1)
        )
    said = "; ".join(f"{one.name}: {one.found} ({one.advice})" for one in found)
    if not found:
        return ()
    address = os.environ.get("RAY_ADDRESS") or composed.ray_kwargs.ray_init.get("address")
    if address and address != "local":
        return (f"the nodes of {address} need what this machine lacks: {said}",)
    raise ConfigError(
        f"--engine verl: expected what verl trains with on this machine, got {said}; set RAY_ADDRESS to "
        "a cluster that has it, or look at the command with --dry-run"
    )


def _run(
    recipe: Recipe, data: VerlData, planned: Plan, out: Path, launch: Callable[[Plan], int]
) -> int:
    """verl's exit status; what a failed beginning leaves is taken away again."""
    there = {path for path in out.rglob("*") if path.is_file()}
    out.mkdir(parents=True, exist_ok=True)
    data.write(recipe.model.system)
    _keep(recipe, planned, out)
    code = launch(planned)
    results = ("checkpoints", "validation")
    if code and not any(path.is_file() for name in results for path in (out / name).rglob("*")):
        names = ("recipe.yaml", "verl.sh", data.train.name, data.evaluation.name)
        for path in {out / name for name in names} - there:
            path.unlink(missing_ok=True)
    return code


def _installed() -> bool:
    import importlib.util

    return importlib.util.find_spec("verl") is not None


def _checked(planned: Plan) -> tuple[Any, str]:
    """verl's configuration, and the name of its estimator."""
    from levelhead.adapters.verl_engine import compose, validate
    from levelhead.cli._progress import Bar

    with Bar("composing verl's configuration") as bar:
        composed = compose(planned)
        bar.set(0.3)
        return composed, validate(composed)


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
