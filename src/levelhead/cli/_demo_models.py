"""The demonstration on a language model: one data set, one seed, three estimators, and a ceiling."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead._processes import single_threaded
from levelhead.cli._progress import Bar
from levelhead.records import Predictions

if TYPE_CHECKING:
    from levelhead.tasks import Task

__all__ = ["ARMS", "CEILING", "evaluations", "logistic", "train_arms"]

ARMS = ("grpo", "rloo", "rb_exact")
"""Built-in recipes that are run, on the same prompts and with the same seed."""

CEILING = "logistic"
"""Name of the predictions of a logistic regression on the columns that the prompts are made from."""


def train_arms(out: Path, seed: int, changes: Sequence[str], bar: Bar) -> dict[str, Path]:
    """Train one model for each of `ARMS`, as many at a time as there are cores.

    Args:
        out: gets a folder for each run.
        seed: of all runs.
        changes: overrides of the recipes, for all of them.
        bar: shows how far they are.

    Returns:
        The folder of each run by its name.
    """
    folders = {name: out / name for name in ARMS}
    bar.say("making the model")
    _make_model(seed, changes)
    bar.say("training " + ", ".join(ARMS))
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, single_threaded():
        shares: Any = manager.dict()
        workers = min(len(ARMS), os.cpu_count() or 1)
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            jobs = [
                pool.submit(_train, name, str(folder), seed, tuple(changes), shares)
                for name, folder in folders.items()
            ]
            while wait(jobs, timeout=0.5).not_done:
                bar.set(sum(shares.values()) / len(ARMS))
            for job in jobs:
                job.result()
    return folders


def _make_model(seed: int, changes: Sequence[str]) -> None:
    """Built once, before several processes want it."""
    from levelhead.tasks import make_task
    from levelhead.train import model
    from levelhead.train.config import load

    recipe = load(ARMS[0], [*changes, f"seed={seed}"])
    model.load(recipe.model, task=make_task(recipe.task), seed=seed)


class _Share:
    """Tells another process how much of a run is done."""

    def __init__(self, name: str, shares: Any) -> None:
        self.name, self.shares, self.steps = name, shares, 1

    def event(self, kind: str, values: dict[str, Any]) -> None:
        if kind == "start":
            self.steps = values["steps"]
        elif kind == "step":
            self.shares[self.name] = values["step"] / self.steps


def _train(name: str, folder: str, seed: int, changes: Sequence[str], shares: Any) -> None:
    from levelhead.train.config import load
    from levelhead.train.run import train

    recipe = load(name, [*changes, f"seed={seed}", "checkpoint.every=0", "guard.action=off"])
    train(recipe, Path(folder), observer=_Share(name, shares))


def evaluations(folder: Path) -> list[Mapping[str, Any]]:
    """The evaluations of a run, from its log."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == "evaluation"]


def logistic(task: Task) -> Predictions:
    """Held-out predictions of a logistic regression on the columns behind the prompts.

    Args:
        task: an event task whose prompts have numbers as columns.

    Returns:
        Its predictions of the evaluation prompts: about as good as a model of these columns gets.
    """
    from levelhead.guard.verifier import fit_verifier

    names = sorted(task.train[0].columns)

    def table(prompts: Sequence[Any]) -> Any:
        return np.array([[float(p.columns[n]) for n in names] for p in prompts])

    def outcomes(prompts: Sequence[Any]) -> Any:
        return np.array([float(p.outcome) for p in prompts])

    fitted = fit_verifier(table(task.train), names, outcomes(task.train))
    held_out = list(task.evaluation)
    return Predictions.from_arrays(
        "event",
        fitted.predict(table(held_out)),
        outcomes(held_out),
        model=CEILING,
        prompt_id=[p.prompt_id for p in held_out],
    )
