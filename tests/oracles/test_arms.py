"""The planted faults are there, as large as stated, and an affine map takes them out again."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax

from levelhead import metrics
from levelhead.calibrators import cross_fitted
from levelhead.calibrators.classes import MatrixScaling


@pytest.fixture(scope="module")
def arms() -> ModuleType:
    path = Path(__file__).with_name("arms.py")
    spec = importlib.util.spec_from_file_location("levelhead_arms", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def claims(logits: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probs = softmax(logits, axis=1)
    return probs.max(axis=1), (probs.argmax(axis=1) == target).astype(np.float64)


def test_the_arms_answer_the_same_questions_and_differ_by_their_errors_alone(
    arms: ModuleType,
) -> None:
    base, neutral, sycophantic = arms.three_arms(100, seed=3)
    assert (base.name, neutral.name, sycophantic.name) == arms.ARMS
    for other in (neutral, sycophantic):
        assert (other.target == base.target).all()
        assert other.prompt_id == base.prompt_id
        assert not np.array_equal(other.logits, base.logits)
    again = arms.three_arms(100, seed=3, letter_bias={"sycophantic": 2.0})
    assert np.array_equal(again[1].logits, neutral.logits)
    assert np.allclose(again[2].logits - sycophantic.logits, arms.BIAS)


def test_the_faults_are_as_large_as_the_file_says(arms: ModuleType) -> None:
    arm = arms.three_arms(100_000, seed=0)[0]
    said, right = claims(arm.logits, arm.target)
    assert said.mean() == pytest.approx(0.67, abs=0.006)
    assert right.mean() == pytest.approx(0.61, abs=0.006)
    honest = 0.88 * (arm.logits - arms.BIAS) / arms.SCALES
    said, right = claims(honest, arm.target)
    assert said.mean() == pytest.approx(right.mean(), abs=0.005)
    assert right.mean() == pytest.approx(0.64, abs=0.006)
    assert metrics.ece(said, right) < 0.01


def test_matrix_scaling_that_saw_no_question_takes_the_faults_out(arms: ModuleType) -> None:
    arm = arms.three_arms(1000, seed=0)[0]
    scaled = np.log(cross_fitted(MatrixScaling(), arm.logits, arm.target))
    before, after = claims(arm.logits, arm.target), claims(scaled, arm.target)
    assert metrics.ece_excess_test(*before).p_value < 0.01
    assert metrics.ece_excess_test(*after).p_value > 0.05
    assert metrics.ece(*after) < 0.6 * metrics.ece(*before)
    assert metrics.accuracy(*after) > metrics.accuracy(*before)


def test_the_files_hold_logits_target_and_prompt(arms: ModuleType, tmp_path: Path) -> None:
    made = arms.three_arms(20, seed=1)
    paths = arms.write_arms(tmp_path, made)
    assert [path.name for path in paths] == [f"{name}.parquet" for name in arms.ARMS]
    table = pq.read_table(paths[1])
    assert table.schema.names == ["logits", "target", "prompt_id"]
    assert table.schema.field("logits").type == pa.list_(pa.float32())
    assert table["target"].to_pylist() == made[1].target.tolist()
    assert np.allclose(table["logits"].to_pylist(), made[1].logits, atol=1e-6)
