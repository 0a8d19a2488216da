"""`levelhead demo`: train models with different estimators, audit them, and look at the difference."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from levelhead.audit.charts import to_svg
from levelhead.audit.report import Picture, write_report
from levelhead.cli._console import Progress, show
from levelhead.cli._progress import Bar
from levelhead.cli.audit import audit_files, write_outputs
from levelhead.lab.evaluate import predict, to_predictions
from levelhead.lab.figures import figure1, reliability_panels, write
from levelhead.lab.simulate import Run, Trained, simulate
from levelhead.lab.world import World, paper_world
from levelhead.readers import ReadOptions
from levelhead.readers import load as load_predictions
from levelhead.readers import write as write_predictions

__all__ = ["demo", "train"]

ESTIMATORS = {"grpo": "GRPO", "grpo_no_std": "GRPO, no std", "rloo": "RLOO", "ppo": "PPO"}
"""Whose policies are trained; the last three are calibrated."""

BASELINE = "rloo"
SALT = 9
"""Keeps the draws of the predictions apart from those of the training."""

CURVE = 21  # points of the exact curve
UPDATES, LR = 20_000, 1e-2
"""Fewer updates than in the paper, at a higher rate that falls to 0; the outcome is the same."""

TITLE = "Same rewards, same questions: dividing by the group's spread makes a policy overconfident"
CAPTION = (
    "Each point is one of 20 kinds of question: how often the event happens, and what the trained "
    "policy predicts. The reward is the log-likelihood, a proper scoring rule, in every panel. GRPO "
    "divides each reward by the standard deviation of its group, and ends up claiming near certainty "
    "for everything; without that division, and with RLOO and PPO, predictions match the frequencies."
)

EPILOG = """\b
Examples:
  levelhead demo                   (a language model; some minutes on 2 cores)
  levelhead demo --tabular         (seconds, without torch)
"""

MODELS_TITLE = "One language model, one survey, one reward: only the estimator differs"
MODELS_CAPTION = (
    "A small language model is asked, in words, how likely it is that a woman in a survey of 1974 "
    "reported an affair, and is paid the log-likelihood of her answer. Left: what it states against "
    "how often it happened, in tenths of the predictions. Right: the calibration error in the course "
    "of training. GRPO divides each reward by the spread of its group; RLOO and the exact "
    "Rao-Blackwell gradient do not. The logistic regression sees the same answers as numbers."
)


@click.command(epilog=EPILOG)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("levelhead-demo"),
    show_default=True,
    help="Folder for the runs, the predictions, the picture and the report.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Of the training and of every resampling.",
)
@click.option("--tabular", is_flag=True, help="A table of probabilities in place of a model.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipes.")
def demo(out: Path, seed: int, tabular: bool, changes: tuple[str, ...]) -> None:
    """Train with GRPO and with calibrated estimators, and audit what comes out.

    A small language model learns to predict a real survey from prompts in words, once with each
    estimator, from the same start and for the same reward. With --tabular: the first experiment
    of arXiv:2508.11800, a policy over 99 probabilities for each of 20 kinds of question.
    """
    if tabular and changes:
        raise click.UsageError("--set changes the recipes of the model; leave out --tabular")
    out.mkdir(parents=True, exist_ok=True)
    if tabular:
        _demo_tabular(out, seed)
    else:
        _demo_models(out, seed, changes)


def _demo_models(out: Path, seed: int, changes: tuple[str, ...]) -> None:
    import shutil

    from levelhead._optional import optional_import
    from levelhead.cli import _demo_models as models

    for module in ("torch", "transformers", "statsmodels"):
        optional_import(module, "levelhead demo with a language model", "train")
    from levelhead.tasks import make_task
    from levelhead.train.config import load
    from levelhead.train.picture import draw

    recipe = load(models.ARMS[0], [*changes, f"seed={seed}"])
    for name in models.ARMS:
        shutil.rmtree(out / name, ignore_errors=True)
    with Bar("training") as bar:
        folders = models.train_arms(out, seed, changes, bar)
    paths: dict[str, Path] = {}
    for name, folder in folders.items():
        paths[name] = out / f"{name}.parquet"
        shutil.copyfile(folder / "predictions.parquet", paths[name])
    paths[models.CEILING] = out / f"{models.CEILING}.parquet"
    write_predictions(paths[models.CEILING], models.logistic(make_task(recipe.task)))
    runs = {name: next(iter(load_predictions(path).values())) for name, path in paths.items()}
    histories = {name: models.evaluations(folder) for name, folder in folders.items()}
    figure = draw(runs, histories)
    figure.savefig(out / "figure1.png")
    _report(
        out,
        paths,
        seed,
        Picture(
            to_svg(figure, prefix="opening", label=MODELS_CAPTION), MODELS_TITLE, MODELS_CAPTION
        ),
    )


def _demo_tabular(out: Path, seed: int) -> None:
    world = paper_world()
    with Bar("training") as bar:
        trained = train(world, seed, bar)
    paths: dict[str, Path] = {}
    for name, run in trained.items():
        paths[name] = out / f"{name}.parquet"
        rng = np.random.default_rng([seed, SALT])
        single = predict(world, run.policy, n=1, rng=rng).single
        write_predictions(paths[name], to_predictions(world, single, model=name))
    policies = {name: run.policy for name, run in trained.items()}
    rng = np.random.default_rng([seed, SALT])
    figure = figure1(reliability_panels(world, policies, rng=rng, curve_points=CURVE))
    write(figure, out / "figure1")
    _report(
        out, paths, seed, Picture(to_svg(figure, prefix="opening", label=CAPTION), TITLE, CAPTION)
    )


def _report(out: Path, paths: dict[str, Path], seed: int, opening: Picture) -> None:
    """Audit the predictions against the baseline's, and say what came out."""
    report = out / "report.html"
    with Progress(enabled=True) as progress:
        result = audit_files(
            tuple(str(path) for name, path in paths.items() if name != BASELINE),
            ReadOptions(),
            baseline=(str(paths[BASELINE]),),
            seed=seed,
            progress=progress,
        )
    write_outputs(result, None, out / "audit.json")
    write_report(result, report, opening=opening)
    show(result, report, brief=True)
    click.echo(f"picture: {out / 'figure1.png'}")
    click.echo(f"predictions: {', '.join(str(p) for p in paths.values())}")


def train(world: World, seed: int, bar: Bar) -> dict[str, Trained]:
    """One policy for each estimator, trained off-policy on the same questions."""
    runs = [
        Run(
            estimator=name,
            seed=seed,
            group_size=1 if name == "ppo" else 10,
            updates_per_rollout=10,
            n_updates=UPDATES,
            lr=LR,
            schedule="linear",
        )
        for name in ESTIMATORS
    ]
    return dict(zip(ESTIMATORS, simulate(world, runs, progress=bar.set), strict=True))
