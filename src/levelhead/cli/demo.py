"""`levelhead demo`: train policies with different estimators, audit them, and look at the difference."""

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
Example:
  levelhead demo --out levelhead-demo
"""


@click.command(epilog=EPILOG)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("levelhead-demo"),
    show_default=True,
    help="Folder for the predictions, the picture and the report.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Of the training and of every resampling.",
)
def demo(out: Path, seed: int) -> None:
    """Train policies with GRPO and with calibrated estimators, and audit what they claim.

    The first experiment of arXiv:2508.11800: 10,000 questions with uncertain outcomes, a policy
    that answers with a probability, and a reward for the likelihood of what happened.
    """
    out.mkdir(parents=True, exist_ok=True)
    world = paper_world()
    with Bar("training") as bar:
        trained = train(world, seed, bar)
    paths = {}
    for name, run in trained.items():
        paths[name] = out / f"{name}.parquet"
        rng = np.random.default_rng([seed, SALT])
        single = predict(world, run.policy, n=1, rng=rng).single
        write_predictions(paths[name], to_predictions(world, single, model=name))
    policies = {name: run.policy for name, run in trained.items()}
    rng = np.random.default_rng([seed, SALT])
    figure = figure1(reliability_panels(world, policies, rng=rng, curve_points=CURVE))
    picture, _ = write(figure, out / "figure1")
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
    opening = Picture(to_svg(figure, prefix="opening", label=CAPTION), TITLE, CAPTION)
    write_report(result, report, opening=opening)
    show(result, report, brief=True)
    click.echo(f"picture: {picture}")
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
