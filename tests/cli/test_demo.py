"""`levelhead demo`: policies trained on the spot, audited, with the picture on top."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from levelhead.cli import cli
from levelhead.cli._demo_models import evaluations, logistic
from levelhead.tasks import SurveyOptions, make_task


def test_the_demo_shows_grpo_overconfident_and_the_others_not(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = CliRunner().invoke(cli, ["demo", "--tabular", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert str(out / "report.html").replace("\n", "") in done.output.replace("\n", "")
    audit = json.loads((out / "audit.json").read_text())
    models = {model["name"]: model for model in audit["models"]}
    assert models["grpo"]["verdict"]["label"] == "overconfident"
    ece = {
        name: next(row["value"] for row in model["metrics"] if row["name"] == "ece")
        for name, model in models.items()
    }
    # Every question predicted as 0.01 or 0.99 by the side of 1/2 it is on has ECE 0.2386.
    assert abs(ece["grpo"] - 0.2386) < 0.02
    assert max(value for name, value in ece.items() if name != "grpo") < 0.03
    sentences = [c["sentence"] for c in audit["comparisons"]]
    assert any(s.startswith("grpo is worse calibrated than rloo") for s in sentences)
    html = (out / "report.html").read_text()
    assert html.index("dividing by the group") < html.index('class="verdicts ')
    assert (out / "figure1.png").stat().st_size > 20_000
    assert {p.name for p in out.glob("*.parquet")} == {
        "grpo.parquet", "grpo_no_std.parquet", "rloo.parquet", "ppo.parquet",
    }  # fmt: skip


def test_the_ceiling_is_a_logistic_regression_on_the_columns_behind_the_prompts() -> None:
    pytest.importorskip("statsmodels", reason="statsmodels has the survey")
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is the oracle")
    task = make_task(SurveyOptions(train=600, evaluation=200))
    found = logistic(task)
    names = sorted(task.train[0].columns)
    x, x_new = (
        np.array([[p.columns[n] for n in names] for p in part])
        for part in (task.train, task.evaluation)
    )
    outcomes = np.array([p.outcome for p in task.train])
    mean, sd = x.mean(axis=0), x.std(axis=0)
    oracle = linear.LogisticRegression(C=1.0).fit((x - mean) / sd, outcomes)
    expected = oracle.predict_proba((x_new - mean) / sd)[:, 1]
    # The strength of the penalty is chosen by cross-validation, so they agree but do not coincide.
    assert np.corrcoef(found.confidence, expected)[0, 1] > 0.98
    np.testing.assert_array_equal(found.label, [p.outcome for p in task.evaluation])
    assert found.kind == "event"


def test_the_course_of_a_run_is_its_evaluations(tmp_path: Path) -> None:
    records = [{"step": 0, "kind": "evaluation", "ece": 0.3}, {"step": 1, "kind": "step"}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert evaluations(tmp_path) == records[:1]


def test_recipes_are_changed_for_language_models_only(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cli, ["demo", "--tabular", "--set", "steps=2", "--out", str(tmp_path / "demo")]
    )
    assert done.exit_code == 2
    assert "leave out --tabular" in done.output
