"""Predictions and metrics by hand, and as `levelhead audit` computes them from the file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from levelhead import readers
from levelhead.cli.audit import audit
from levelhead.errors import InvalidInputError, RecordError
from levelhead.records import Predictions
from levelhead.tasks import Prompt, Task
from levelhead.train.evaluation import METRICS, evaluate, measure, write

CLOSE = 1e-12


def coins(outcomes: list[float]) -> Task:
    prompts = tuple(
        Prompt(
            f"p{i}", ({"role": "user", "content": f"Coin {i}?"},), y, (), {"side": i, "text": "t"}
        )
        for i, y in enumerate(outcomes)
    )
    return Task("coins", "event", "percent_tag", prompts, prompts)


def test_by_hand() -> None:
    """Two coins, two samples each; one sample states nothing, and is certain of what did not happen."""
    task = coins([1.0, 0.0])
    texts = ["<answer>80</answer>", "<answer>60</answer>", "<answer>20</answer>", "heads"]
    found = evaluate(task, task.evaluation, texts, model_name="m", group=[0, 0, 1, 1])
    confidence, outcome = np.array([0.8, 0.6, 0.2, 0.99]), np.array([1.0, 1.0, 0.0, 0.0])
    metrics = found.metrics
    assert tuple(metrics) == METRICS
    # Four bins of one each; each pair of the statement and the outcome apart.
    assert metrics["ece"] == pytest.approx((0.2 + 0.4 + 0.2 + 0.99) / 4, abs=CLOSE)
    assert metrics["brier"] == pytest.approx(((confidence - outcome) ** 2).mean(), abs=CLOSE)
    assert metrics["auroc"] == 0.5  # of four pairs two are in order
    assert metrics["accuracy"] == 0.75
    assert metrics["mean_confidence"] == pytest.approx((0.8 + 0.6 + 0.8 + 0.99) / 4, abs=CLOSE)
    assert metrics["overconfidence"] == pytest.approx(0.7975 - 0.75, abs=CLOSE)
    # (c - 1/2) / (1/2) where right; plus ln((1 - c) / (1/2)) / (1/2) where wrong
    wrong = 2.0 * (0.49 + math.log(0.02))
    assert metrics["trust"] == pytest.approx((0.6 + 0.2 + 0.6 + wrong) / 4, abs=CLOSE)
    assert metrics["format_rate"] == 0.75
    assert metrics["samples"] == 4
    assert found.predictions.status_counts() == {"ok": 3, "missing": 1}
    assert metrics["ece_excess"] == pytest.approx(metrics["ece"] - metrics["ece_null"], abs=CLOSE)


def test_the_file_is_what_audit_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    task = coins((rng.random(60) < 0.4).astype(float).tolist())
    texts = [f"<answer>{k}</answer>" for k in rng.integers(1, 100, 120)]
    texts[7], texts[8] = "\ud800 broken", "<answer>200</answer>"
    group = np.arange(120) // 2
    found = evaluate(task, task.evaluation, texts, model_name="m", group=group)
    path = write(found, tmp_path / "step-1" / "predictions.parquet")
    back = readers.load([path])["m"]
    np.testing.assert_array_equal(back.confidence, found.predictions.confidence)
    assert back.columns["side"][8].as_py() == 4
    assert back.columns["coins_text"][0].as_py() == "t"
    assert back.columns["text"][7].as_py() == "\\ud800 broken"
    assert back.columns["prompt"][8].as_py() == "Coin 4?"
    result = CliRunner().invoke(audit, [str(path), "--json", "-", "--n-boot", "100"])
    assert result.exit_code == 0, result.output
    (model,) = json.loads(result.stdout)["models"]
    audited = {row["name"]: row["value"] for row in model["metrics"]}
    for name in ("ece", "trust", "brier", "auroc", "accuracy", "overconfidence"):
        assert audited[name] == pytest.approx(found.metrics[name], abs=CLOSE), name


def test_answers_without_an_answer_are_wrong() -> None:
    prompt = Prompt("q", ({"role": "user", "content": "?"},), targets=("A",))
    task = Task(
        "quiz", "answer", "answer_confidence_tags", (prompt,), verify=lambda a, p: float(a == "A")
    )
    texts = ["<answer>A</answer><confidence>0.9</confidence>", "<confidence>0.9</confidence>"]
    found = evaluate(task, [prompt] * 2, texts, model_name="m")
    np.testing.assert_array_equal(found.predictions.label, [1.0, 0.0])
    assert found.metrics["format_rate"] == 0.5
    assert found.metrics["accuracy"] == 0.5


def test_undefined_is_nan() -> None:
    nothing = measure(Predictions.from_arrays("answer", [0.5, 0.7], [None, None]))
    assert nothing["samples"] == 0
    assert nothing["format_rate"] == 1.0
    assert all(math.isnan(nothing[name]) for name in METRICS[:-2])
    assert math.isnan(measure(Predictions.from_arrays("answer", [0.5, 0.7], [1, 1]))["auroc"])
    refused = Predictions.from_arrays("answer", [0.99, None], [1, 0], status=[0, 4])
    assert measure(refused)["trust"] == pytest.approx(0.49, abs=CLOSE)  # half of (0.99 - 0.5) / 0.5
    assert measure(refused)["accuracy"] == 1.0


def test_errors(tmp_path: Path) -> None:
    task = coins([1.0])
    with pytest.raises(
        InvalidInputError, match="texts: expected at least one completion, got none"
    ):
        evaluate(task, task.evaluation, [], model_name="m")
    with pytest.raises(InvalidInputError, match="group: expected values >= 0 and below 1, got 1"):
        evaluate(task, task.evaluation, ["x"], model_name="m", group=[1])
    found = evaluate(task, task.evaluation, ["<answer>5</answer>"], model_name="m")
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot make this folder"):
        write(found, tmp_path / "file" / "predictions.parquet")
