"""The tables of experiment 1: their rows, what is shared, how runs are judged and summed up."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from levelhead.errors import InvalidInputError
from levelhead.lab.evaluate import Scores
from levelhead.lab.experiments import (
    TABLES,
    Outcome,
    Row,
    RowResult,
    judge,
    limit,
    rows,
    runs_of,
    save_predictions,
    summarize,
)
from levelhead.lab.world import paper_world
from levelhead.readers import load

SCHEDULE = {"n_updates": 50_000, "lr": 3e-3}


def test_the_published_table_has_its_twelve_rows() -> None:
    published = rows(["published"])
    assert len(published) == 12
    assert len({row.name for row in published}) == 12
    grpo = [row for row in published if row.estimator == "grpo"]
    assert [(r.updates_per_rollout, r.clip) for r in grpo] == [(1, None), (10, 0.2), (10, 0.001)]
    assert [r.published for r in grpo] == [(0.239, 0.75, 0.751)] + 2 * [(0.239, 0.751, 0.751)]
    assert all(not row.applied for row in published)


def test_the_notebook_never_clips_so_its_rows_share_their_runs() -> None:
    distinct = {run for row in rows(["published"]) for run in runs_of(row, [0], **SCHEDULE)}
    assert len(distinct) == 8
    assert {run.clip for run in distinct} == {None}


def test_the_clipped_table_really_clips() -> None:
    clipped = rows(["clipped"])
    assert len(clipped) == 8
    distinct = {run for row in clipped for run in runs_of(row, [0], **SCHEDULE)}
    assert len(distinct) == 8
    assert {run.clip for run in distinct} == {0.2, 0.001}


def test_the_settings_are_the_papers() -> None:
    grpo, *_ = TABLES["published"]
    (run,) = runs_of(grpo, [3], **SCHEDULE)
    assert (run.group_size, run.seed, run.eps, run.weight_decay) == (10, 3, 1e-5, 0.01)
    ppo = next(row for row in TABLES["published"] if row.estimator == "ppo")
    (run,) = runs_of(ppo, [0], **SCHEDULE)
    assert (run.group_size, run.value_lr) == (1, 1e-5)


def test_unknown_tables_are_named() -> None:
    with pytest.raises(
        InvalidInputError, match="expected one of clipped, ours, published, got 'publshed'"
    ):
        rows(["publshed"])
    with pytest.raises(InvalidInputError, match="tables: expected some of published"):
        rows([])


def test_a_policy_of_point_masses_is_judged_by_hand() -> None:
    world = paper_world()
    nearest = np.abs(world.values - world.empirical_rates[:, None]).argmin(axis=1)
    policy = np.eye(world.n_tokens)[nearest]
    outcome = judge(world, policy, seed=0)
    assert outcome.mean == outcome.single
    # Every question of a category predicts the nearest hundredth of the category's frequency, so
    # no bin is off by more than half a hundredth.
    assert outcome.mean.ece <= 0.005
    extreme = np.eye(world.n_tokens)[np.where(world.empirical_rates > 0.5, 98, 0)]
    said = np.where(world.empirical_rates > 0.5, 0.99, 0.01)
    share = world.counts.sum(axis=1) / world.n_questions
    top = said > 0.5
    gap = [abs((share[m] * (said[m] - world.empirical_rates[m])).sum()) for m in (top, ~top)]
    assert judge(world, extreme, seed=0).mean.ece == pytest.approx(sum(gap), abs=1e-12)


def test_single_samples_and_their_mean_differ_for_a_lottery() -> None:
    world = paper_world()
    policy = np.zeros((world.n_categories, world.n_tokens))
    policy[:, -1] = (world.empirical_rates - 0.01) / 0.98  # mean exactly the frequency
    policy[:, 0] = 1.0 - policy[:, -1]
    outcome = judge(world, policy, seed=0)
    assert outcome.mean.ece < 0.02
    assert outcome.single.ece > 0.25


def test_the_limits_are_the_truth_and_the_extremes() -> None:
    world = paper_world(n_tokens=21)
    calibrated = limit(world, Row("x", "x", "rloo"))
    extreme = limit(world, Row("x", "x", "rank_linear"))
    assert calibrated is not None
    assert extreme is not None
    assert calibrated.mean.ece < 0.03  # tokens are 0.049 apart
    assert extreme.mean.ece == pytest.approx(0.2386, abs=1e-3)
    assert limit(world, Row("x", "x", "pl_zscore")) is None
    assert limit(world, Row("x", "x", "rloo", clip=0.2, applied=True)) is None


def test_predictions_are_ordinary_files(tmp_path: Path) -> None:
    world = paper_world(n_questions=300, n_categories=4)
    policy = np.full((4, 99), 1 / 99)
    single, mean = save_predictions(world, policy, "grpo-on", 7, tmp_path)
    assert [p.name for p in (single, mean)] == [
        "grpo-on-seed7-single.parquet",
        "grpo-on-seed7-mean.parquet",
    ]
    one, many = (load([path])[path.stem] for path in (single, mean))
    assert len(one) == len(many) == 300
    np.testing.assert_array_equal(one.label, world.outcome)
    assert set(np.round(one.confidence, 12)) <= set(np.round(world.values, 12))
    # Uniform over 0.01..0.99: sd 0.2858 of one sample, a tenth of that for a mean of 100.
    assert one.confidence.std() == pytest.approx(0.2858, abs=0.04)
    assert many.confidence.std() == pytest.approx(0.02858, abs=0.004)


def test_the_interval_over_seeds() -> None:
    values = [0.1, 0.4, 0.3, 0.2]
    found = summarize(values, level=0.9)
    half = stats.t.ppf(0.95, 3) * statistics.stdev(values) / 2
    assert (found.mean, found.least, found.most) == (pytest.approx(0.25), 0.1, 0.4)
    assert (found.low, found.high) == (pytest.approx(0.25 - half), pytest.approx(0.25 + half))
    assert math.isnan(summarize([0.1]).low)
    with pytest.raises(InvalidInputError, match="values: expected at least one run, got none"):
        summarize([])


def test_a_row_over_its_seeds() -> None:
    def scored(ece: float) -> Outcome:
        return Outcome(Scores(ece, 0.8, 0.7), Scores(2 * ece, 0.7, 0.6))

    result = RowResult(TABLES["ours"][0], {0: scored(0.1), 1: scored(0.3)}, None)
    assert result.over_seeds(lambda o: o.single.ece).mean == pytest.approx(0.4)
