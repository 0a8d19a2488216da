"""Experiment 1 of arXiv:2508.11800: which estimator leaves a policy calibrated, over seeds.

A *row* is one line of a table: an estimator, how many updates each rollout serves, and the clip. Three
tables are defined here:

* `published`: the twelve rows of the paper's appendix table, run as its notebook ran them. The notebook
  computes the clipped loss and then overwrites it, so its rows for clip 0.2 and 0.001 are one and the
  same run, and so are ours.
* `clipped`: the same off-policy rows with the clip really applied.
* `ours`: estimators that the paper does not have.

Each row is run with several seeds. A run ends in a policy; its predictions are judged twice, as the mean
of 100 samples a question (as the paper's table does) and as single samples (what a user of the model
gets), and beside them stands the limit of the exact expected update, without any sampling.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import stats

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.lab.evaluate import Scores, predict, scores, to_predictions
from levelhead.lab.simulate import Run
from levelhead.lab.sweeps import mean_field
from levelhead.lab.world import World
from levelhead.readers import write

__all__ = [
    "Interval",
    "Outcome",
    "Row",
    "RowResult",
    "TABLES",
    "judge",
    "limit",
    "rows",
    "runs_of",
    "save_predictions",
    "summarize",
]

GROUP_SIZE = 10
SAMPLES = 100
"""Samples a question whose mean is the prediction in the paper's table."""

PAPER_EPS = 1e-5
"""Added to the standard deviation in the paper's notebook."""

PREDICTION_SALT = 9
"""Keeps the draws of an evaluation apart from those of the training with the same seed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        name: unique, and fit for a file name.
        label: what people call it.
        estimator: of the advantage; "ppo" and "rb_exact" are the simulator's own.
        updates_per_rollout: 1 is on-policy.
        clip: what the table says about the clip; None where there is nothing to clip.
        applied: whether the clip is really applied.
        published: ECE, AUROC and accuracy of the published row.
        scale_of: whose past `ema_std` divides by, each question's or each category's.
    """

    name: str
    label: str
    estimator: str
    updates_per_rollout: int = 10
    clip: float | None = None
    applied: bool = False
    published: tuple[float, float, float] | None = None
    scale_of: Literal["question", "category"] = "question"


def _published_rows() -> tuple[Row, ...]:
    numbers = {
        "grpo": ("GRPO", (0.239, 0.750, 0.751), (0.239, 0.751, 0.751)),
        "grpo_no_std": ("GRPO, no std", (0.002, 0.823, 0.751), (0.005, 0.823, 0.751)),
        "ppo": ("PPO", (0.005, 0.823, 0.751), (0.008, 0.823, 0.751)),
        "rloo_notebook": ("RLOO", (0.002, 0.823, 0.751), (0.004, 0.823, 0.751)),
    }
    out: list[Row] = []
    for name, (label, on, off) in numbers.items():
        out.append(Row(f"{name}-on", label, name, 1, None, False, on))
        out.extend(Row(f"{name}-off-{c:g}", label, name, 10, c, False, off) for c in (0.2, 0.001))
    return tuple(out)


def _clipped_rows() -> tuple[Row, ...]:
    return tuple(
        dataclasses.replace(row, name=row.name.replace("off", "clip"), applied=True, published=None)
        for row in _published_rows()
        if row.clip is not None
    )


OURS = {
    "rb_exact": "Rao-Blackwell",
    "rloo": "RLOO, exact",
    "batch_std": "batch std",
    "loo_std": "leave-one-out std",
    "rank_linear": "ranks",
    "pl_softmax": "Plackett-Luce",
    "top1": "top-1",
}

TABLES: dict[str, tuple[Row, ...]] = {
    "published": _published_rows(),
    "clipped": _clipped_rows(),
    "ours": (
        *(Row(f"{name}-off", label, name) for name, label in OURS.items()),
        Row("ema_std-off", "EMA std, category", "ema_std", scale_of="category"),
        Row("ema_std-question-off", "EMA std, question", "ema_std"),
    ),
}


def rows(tables: Iterable[str]) -> tuple[Row, ...]:
    """The rows of the named tables, in order.

    Args:
        tables: names of `TABLES`.

    Returns:
        The rows.

    Raises:
        InvalidInputError: there is no such table, or none is named.

    Example:
        >>> len(rows(["published", "clipped"]))
        20
    """
    out: list[Row] = []
    for name in tables:
        if name not in TABLES:
            raise unknown_name("table", name, TABLES)
        out.extend(TABLES[name])
    if not out:
        raise InvalidInputError(f"tables: expected some of {', '.join(TABLES)}, got none")
    return tuple(out)


def runs_of(row: Row, seeds: Sequence[int], *, n_updates: int, lr: float) -> tuple[Run, ...]:
    """The runs behind a row. Rows that differ only in a clip that is not applied share theirs.

    Args:
        row: of a table.
        seeds: one run each.
        n_updates: of the policy, in all.
        lr: of AdamW; the paper has 50,000 updates at 3e-3.

    Returns:
        One run for each seed.

    Example:
        >>> clip_02, clip_0001 = TABLES["published"][1:3]
        >>> options = {"n_updates": 100, "lr": 0.1}
        >>> runs_of(clip_02, [0], **options) == runs_of(clip_0001, [0], **options)
        True
    """
    single = row.estimator in ("ppo", "reinforce")
    return tuple(
        Run(
            estimator=row.estimator,
            seed=seed,
            group_size=1 if single else GROUP_SIZE,
            updates_per_rollout=row.updates_per_rollout,
            clip=row.clip if row.applied else None,
            n_updates=n_updates,
            lr=lr,
            eps=PAPER_EPS if row.estimator == "grpo" else None,
            scale_of=row.scale_of,
        )
        for seed in seeds
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy predicts, judged on the questions that it was trained on.

    Attributes:
        mean: scores of the mean of 100 samples a question.
        single: scores of one sample a question.
    """

    mean: Scores
    single: Scores


def judge(world: World, policy: FloatArray, seed: int) -> Outcome:
    """Sample predictions from a policy and score them.

    Args:
        world: the questions.
        policy: (C, K) probabilities.
        seed: of the samples.

    Returns:
        Scores of the mean of 100 samples and of single samples.
    """
    sampled = predict(world, policy, n=SAMPLES, rng=np.random.default_rng([seed, PREDICTION_SALT]))
    return Outcome(scores(world, sampled.mean), scores(world, sampled.single))


def save_predictions(
    world: World, policy: FloatArray, name: str, seed: int, folder: Path
) -> list[Path]:
    """Write a run's predictions as two ordinary files: single samples, and the mean of 100.

    Args:
        world: the questions.
        policy: (C, K) probabilities.
        name: of the row; the seed is added.
        seed: of the run, and of the samples.
        folder: where to; it must exist.

    Returns:
        The two paths, `NAME-seedS-single.parquet` and `NAME-seedS-mean.parquet`.
    """
    sampled = predict(world, policy, n=SAMPLES, rng=np.random.default_rng([seed, PREDICTION_SALT]))
    paths: list[Path] = []
    for kind, values in (("single", sampled.single), ("mean", sampled.mean)):
        model = f"{name}-seed{seed}-{kind}"
        paths.append(folder / f"{model}.parquet")
        write(paths[-1], to_predictions(world, values, model=model))
    return paths


def limit(world: World, row: Row, *, seed: int = 0) -> Outcome | None:
    """Where the expected update leads, without sampling: scores of the policy that it ends in.

    Args:
        world: the questions; their observed rates are the truth that the rewards show.
        row: whose estimator.
        seed: of the samples drawn from the final policy.

    Returns:
        Scores, or None where no exact expectation is known, or where a clip is applied, which
        acts on samples.
    """
    if row.applied or row.estimator == "pl_zscore" or row.name == "ema_std-question-off":
        return None  # a question's past holds its outcome, which the expectation does not know
    found = mean_field(row.estimator, world.empirical_rates, world.values, group_size=GROUP_SIZE)
    return judge(world, found.policy, seed)


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds and the Student-t interval of it.

    Attributes:
        mean: over the seeds.
        low: lower end; NaN with one seed.
        high: upper end; NaN with one seed.
        least: the smallest value.
        most: the largest value.
    """

    mean: float
    low: float
    high: float
    least: float
    most: float


def summarize(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Mean of a few runs, its Student-t interval, and their range.

    mean +- t_{(1 + level) / 2, n - 1} s / sqrt(n), s with n - 1 in the denominator.

    Args:
        values: (n,) one number a seed.
        level: of the interval, in (0, 1).

    Returns:
        The summary; one seed has no interval.

    Raises:
        InvalidInputError: no values.

    Example:
        >>> found = summarize([1.0, 2.0, 3.0])
        >>> found.mean, round(found.high - found.mean, 3)
        (2.0, 2.484)
    """
    if len(values) == 0:
        raise InvalidInputError("values: expected at least one run, got none")
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    half = math.nan
    if array.size > 1:
        t = float(stats.t.ppf(0.5 * (1.0 + level), array.size - 1))
        half = t * float(array.std(ddof=1)) / math.sqrt(array.size)
    return Interval(mean, mean - half, mean + half, float(array.min()), float(array.max()))


@dataclasses.dataclass(frozen=True, slots=True)
class RowResult:
    """A row with what its runs gave.

    Attributes:
        row: the line of the table.
        outcomes: by seed.
        limit: without sampling, where it is known.
    """

    row: Row
    outcomes: dict[int, Outcome]
    limit: Outcome | None

    def over_seeds(self, pick: Callable[[Outcome], float]) -> Interval:
        """One of the numbers of an outcome, over the seeds."""
        return summarize([pick(outcome) for outcome in self.outcomes.values()])
