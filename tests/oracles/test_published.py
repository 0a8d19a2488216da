"""Published predictions and published constants, recomputed from the outputs that were released."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.metrics.binned import ece
from levelhead.metrics.overconfidence import (
    accuracy,
    confidence_on_errors,
    errors_at_least,
    mean_confidence,
    overconfidence,
    top_label,
)
from levelhead.metrics.selective import auroc
from levelhead.metrics.trust import trust, trust_decomposition
from levelhead.metrics.unbinned import brier, nll

SIX_DIGITS = 5.001e-7
FOUR_DIGITS = 5.001e-5
THREE_DIGITS = 5.001e-4
EXACT = 1e-12

ARMS = ("Base", "RLVR", "RLVR-Classifier", "Answer-Prob", "RLCR")


@dataclasses.dataclass(frozen=True)
class Published:
    """A row of Table 1 of arXiv:2508.11800, to the digits that its released outputs give."""

    folder: str
    n: int
    ece: float
    auroc: float
    accuracy: float
    brier: float
    nll: float
    sure: float  # mean of max(p, 1 - p)


TABLE_1 = [
    Published("final_grpo", 5607, 0.292213, 0.688252, 0.669966, 0.304, 1.353, 0.960),
    Published("final_grpo_no_std", 5608, 0.035806, 0.720972, 0.675731, 0.209, 0.607, 0.692),
    Published("final_rloo", 5607, 0.040251, 0.721537, 0.677635, 0.212, 0.615, 0.701),
    Published("final_ppo", 5608, 0.037518, 0.718480, 0.664943, 0.211, 0.613, 0.692),
]


def percent(answer: str | None) -> float | None:
    try:
        return min(max(float(answer or ""), 1.0), 99.0) / 100
    except ValueError:
        return None


def hit_predictions(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """P(hit) clipped to [.01, .99] and the hits; answers that are no number are left out."""
    stated: list[float] = []
    hits: list[float] = []
    for path in sorted(folder.glob("*.pq")):
        table = pq.read_table(path, columns=["answer", "hit"])
        for row in table.to_pylist():
            p = percent(row["answer"])
            if p is not None:
                stated.append(p)
                hits.append(float(row["hit"]))
    return np.array(stated), np.array(hits)


@pytest.fixture(scope="module", params=TABLE_1, ids=lambda row: row.folder)
def released(request, shared_data: Path) -> tuple[Published, np.ndarray, np.ndarray]:
    folder = shared_data / "crispr" / "predictions" / request.param.folder
    if not folder.is_dir():
        pytest.skip(f"{request.param.folder} is not among the published predictions here")
    return request.param, *hit_predictions(folder)


def test_event_metrics_of_table_1(released: tuple[Published, np.ndarray, np.ndarray]) -> None:
    row, p, hit = released
    assert p.size == row.n
    assert ece(p, hit) == pytest.approx(row.ece, abs=SIX_DIGITS)
    assert auroc(p, hit) == pytest.approx(row.auroc, abs=SIX_DIGITS)
    assert brier(p, hit) == pytest.approx(row.brier, abs=THREE_DIGITS)
    assert nll(p, hit) == pytest.approx(row.nll, abs=THREE_DIGITS)


def test_top_label_metrics_of_table_1(released: tuple[Published, np.ndarray, np.ndarray]) -> None:
    row, p, hit = released
    sure, right = top_label(p, hit)
    assert accuracy(sure, right) == pytest.approx(row.accuracy, abs=SIX_DIGITS)
    assert mean_confidence(sure, right) == pytest.approx(row.sure, abs=THREE_DIGITS)
    expected = row.sure - row.accuracy
    assert overconfidence(sure, right) == pytest.approx(expected, abs=THREE_DIGITS)
    assert brier(sure, right) <= brier(p, hit) + EXACT  # p = .5 is half right, never more wrong
    parts = trust_decomposition(sure, right)
    assert parts.trust == pytest.approx(trust(sure, right), abs=EXACT)
    assert parts.resolution - parts.miscalibration == pytest.approx(parts.trust, abs=EXACT)


def test_percentages_and_their_complements_tie(
    released: tuple[Published, np.ndarray, np.ndarray],
) -> None:
    _, p, hit = released
    sure, _ = top_label(p, hit)
    tenths = np.rint(sure * 1000) / 1000
    np.testing.assert_allclose(sure, tenths, rtol=0, atol=1e-15)
    assert np.unique(sure).size == np.unique(tenths).size <= 100


def test_the_standardized_run_is_certain_and_worse_than_silence(shared_data: Path) -> None:
    folder = shared_data / "crispr" / "predictions"
    grpo = hit_predictions(folder / "final_grpo")
    assert np.mean((grpo[0] <= 0.01) | (grpo[0] >= 0.99)) == pytest.approx(0.87, abs=5e-3)
    certain = top_label(*grpo)
    honest = top_label(*hit_predictions(folder / "final_grpo_no_std"))
    assert trust(*certain) < 0.0 < trust(*honest)
    assert confidence_on_errors(*certain) > 0.9 > confidence_on_errors(*honest)
    assert errors_at_least(*certain) > 0.8 > 0.05 > errors_at_least(*honest)


@pytest.mark.parametrize("arm", ARMS)
def test_rlcr_publishes_these_numbers(arm: str, shared_data: Path) -> None:
    folder = shared_data / "rlcr" / "commonsenseqa"
    metrics = json.loads((folder / "metrics.json").read_text())[arm]
    with pa.memory_map(str(folder / "data-00000-of-00001.arrow")) as source:
        table = pa.ipc.open_stream(source).read_all()
    stated = np.array(table[f"{arm}-confidence_levels"].to_pylist(), dtype=float)[:, 0]
    right = np.array(table[f"{arm}-evals"].to_pylist(), dtype=float)[:, 0]
    assert accuracy(stated, right) == pytest.approx(metrics["accuracy"], abs=EXACT)
    assert mean_confidence(stated, right) == pytest.approx(metrics["confidence level"], abs=EXACT)
    assert brier(stated, right) == pytest.approx(metrics["brier_score"], abs=EXACT)
    assert auroc(stated, right) == pytest.approx(metrics["auroc"], abs=EXACT)
    assert ece(stated, right, closed="left") == pytest.approx(metrics["ece"], abs=EXACT)


def test_the_bin_edge_decides_what_rlcr_publishes_of_its_base(shared_data: Path) -> None:
    folder = shared_data / "rlcr" / "commonsenseqa"
    with pa.memory_map(str(folder / "data-00000-of-00001.arrow")) as source:
        table = pa.ipc.open_stream(source).read_all()
    stated = np.array(table["Base-confidence_levels"].to_pylist(), dtype=float)[:, 0]
    right = np.array(table["Base-evals"].to_pylist(), dtype=float)[:, 0]
    assert ece(stated, right, closed="left") == pytest.approx(0.0037, abs=FOUR_DIGITS)
    assert ece(stated, right, closed="right") == pytest.approx(0.0252, abs=FOUR_DIGITS)
    fifteen = ece(stated, right, closed="left", n_bins=15)
    assert fifteen == pytest.approx(0.0252, abs=FOUR_DIGITS)


def test_the_deterministic_limits_of_the_synthetic_experiment() -> None:
    # Twenty categories with a rate each: GRPO ends at the extremes, the others at the frequencies.
    rng = np.random.default_rng(2)
    category = rng.choice(20, size=(10_000,))
    rate = rng.uniform(0, 1, size=(20,))
    answer = rng.binomial(n=1, p=rate[category]).astype(float)
    frequency = np.array([answer[category == k].mean() for k in range(20)])[category]
    extreme = np.where(frequency > 0.5, 0.99, 0.01)
    assert ece(extreme, answer) == pytest.approx(0.2386, abs=FOUR_DIGITS)
    assert auroc(extreme, answer) == pytest.approx(0.7501, abs=FOUR_DIGITS)
    assert accuracy(*top_label(extreme, answer)) == pytest.approx(0.7514, abs=FOUR_DIGITS)
    assert ece(frequency, answer) == pytest.approx(0.0, abs=EXACT)
    assert auroc(frequency, answer) == pytest.approx(0.8229, abs=FOUR_DIGITS)
