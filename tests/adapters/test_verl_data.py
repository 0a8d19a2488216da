"""Prompts as verl's files, read back, and what is known about them for the reward."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from levelhead.adapters.verl_data import data_for, write_prompts
from levelhead.errors import ConfigError, RecordError
from levelhead.tasks import Prompt
from levelhead.train.config import load

SAID = ({"role": "user", "content": "Rain?"},)
GENES = ("A1", "B2")


def crispr_files(folder: Path) -> Path:
    """Two files of the task `crispr`: one perturbed gene each."""
    folder.mkdir()
    for name, gene in (("train", "A1"), ("val", "B2"), ("test", "B2")):
        text = f"How likely is a perturbation applied to {gene} to have an effect?"
        prompts = [Prompt("x", ({"role": "user", "content": text},), 1.0)]
        write_prompts(folder / f"{name}.parquet", "k562", prompts)
        (folder / f"{name}.parquet").rename(folder / f"{name}.pq")
    return folder


def test_an_event_is_written_as_verl_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    write_prompts(
        path, "weather", [Prompt("p1", SAID, 1.0), Prompt("p2", SAID, 0.0)], system="Short."
    )
    rows = pq.read_table(path).to_pylist()
    assert [row["reward_model"]["ground_truth"] for row in rows] == [1.0, 0.0]
    assert rows[0]["data_source"] == "weather"
    assert rows[1]["extra_info"] == {"index": 1, "prompt_id": "p2"}
    said = [(one["role"], one["content"]) for one in rows[0]["prompt"]]
    assert said == [("system", "Short."), ("user", "Rain?")]


def test_right_answers_are_a_list(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    write_prompts(path, "qa", [Prompt("p", SAID, None, ("yes", "indeed"))])
    assert pq.read_table(path).to_pylist()[0]["reward_model"]["ground_truth"] == ["yes", "indeed"]


def test_files_of_crispr_are_read_where_they_are(tmp_path: Path) -> None:
    folder = crispr_files(tmp_path / "task")
    changes = [f"task.path={folder}", "rollout.prompts=1", "algorithm.updates_per_rollout=1"]
    data = data_for(load("crispr-qwen3-4b-rloo", changes), tmp_path / "out")
    assert (data.train, data.evaluation) == (folder / "train.pq", folder / "test.pq")
    assert (data.rows, data.kind, data.reward) == (1, "event", "log")
    assert data.elicitation == "percent_tag_paper"
    data.write(None)
    assert not (tmp_path / "out").exists()


def test_a_system_message_makes_new_files_of_them(tmp_path: Path) -> None:
    folder, out = crispr_files(tmp_path / "task"), tmp_path / "out"
    changes = [f"task.path={folder}", "rollout.prompts=1", "algorithm.updates_per_rollout=1"]
    recipe = load("crispr-qwen3-4b-rloo", [*changes, "model.system=Be brief."])
    data = data_for(recipe, out)
    assert data.train == out / "train.parquet"
    out.mkdir()
    data.write(recipe.model.system)
    row = pq.read_table(data.train).to_pylist()[0]
    assert row["prompt"][0] == {"content": "Be brief.", "role": "system"}
    assert "A1" in row["prompt"][1]["content"]


def test_files_of_crispr_elsewhere_are_not_checked(tmp_path: Path) -> None:
    recipe = load(
        "crispr-qwen3-4b-rloo", [f"task.path={tmp_path / 'gone'}", "task.parser=levelhead"]
    )
    data = data_for(recipe, tmp_path)
    assert (data.rows, data.elicitation) == (None, "percent_tag")
    with pytest.raises(RecordError):  # a folder that is there must hold the files
        data_for(load("crispr-qwen3-4b-rloo", [f"task.path={tmp_path}"]), tmp_path)


def test_a_task_of_questions_tells_its_verifier(tmp_path: Path) -> None:
    recipe = load(None, ["task={kind: arithmetic}", "rollout.prompts=8"])
    data = data_for(recipe, tmp_path)
    assert (data.kind, data.elicitation) == ("answer", "answer_confidence_tags")
    assert data.verifier == "number"
    assert data.reward == "rlcr"
    data.write(None)
    rows = pq.read_table(data.train).to_pylist()
    assert data.rows == len(rows) > 8
    assert pq.read_table(data.evaluation).num_rows > 0


def test_a_task_without_held_out_prompts_is_refused(tmp_path: Path) -> None:
    recipe = load(None, ["task={kind: oracle, evaluation: 0}", "rollout.prompts=8"])
    with pytest.raises(
        ConfigError, match="task: expected prompts to evaluate on, the task 'oracle'"
    ):
        data_for(recipe, tmp_path)
