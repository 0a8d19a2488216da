"""The pipeline on the real gene perturbation files, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from levelhead.readers import load as load_predictions
from levelhead.train import embedded
from levelhead.train.config import built_in, load
from levelhead.train.dry_run import dry_run
from levelhead.train.run import train

PUBLISHED = sorted(name for name in built_in() if name.startswith("crispr-qwen3-4b-"))
TINY = (
    "model.from_scratch={layers: 1, hidden: 32, heads: 2, kv_heads: 1, intermediate: 32, "
    "vocabulary: 2048, warmup_steps: 2}",
    "model.device=cpu",
    "steps=2",
    "optimizer.warmup_steps=0",
    "rollout.prompts=4",
    "rollout.group_size=2",
    "evaluation.prompts=40",
    "evaluation.every=0",
    "checkpoint.every=0",
    "guard.action=off",
)


@pytest.fixture
def files(shared_data: Path) -> Path:
    folder = shared_data / "crispr" / "task_verl"
    if not folder.is_dir():
        pytest.skip(f"the gene perturbation files are not at {folder}")
    return folder


# Two updates of a warm-up teach no format; that is told, and the run goes on.
@pytest.mark.filterwarnings("ignore::levelhead.errors.DataWarning")
def test_a_small_model_is_trained_and_evaluated_on_the_real_files(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "EXTRA_ROUNDS", 0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    result = train(load("crispr-small", [f"task.path={files}", *TINY]), tmp_path / "run")
    torch.set_num_threads(threads)
    assert (result.steps, result.stopped) == (2, None)
    (found,) = load_predictions(tmp_path / "run" / "predictions.parquet").values()
    assert (found.kind, len(found), found.model) == ("event", 40, "crispr-small")
    assert {"gene", "phenotype", "text"} <= set(found.columns.column_names)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["step", "step", "evaluation"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_recipe_passes_a_dry_run_on_the_real_files(name: str, files: Path) -> None:
    found = dry_run(load(name, [f"task.path={files}"]))
    lines = dict(found.lines)
    assert found.problems == ()
    assert lines["task"] == "crispr: 6,386 training prompts, 1402 held out"
    assert "CRISPRi perturbation applied to" in lines["prompt"]
    # The log of the stated probability of what happened, clipped to 0.01 from both ends.
    assert lines["  <answer>99</answer>"].startswith("-4.605")
    assert lines["a step"].startswith(
        "512 prompts x 4 = 2048 completions of at most 2,048 tokens, 8"
    )


def test_all_four_published_algorithms_have_a_recipe() -> None:
    assert [f"crispr-qwen3-4b-{a}" for a in ("grpo", "grpo_no_std", "ppo", "rloo")] == PUBLISHED
