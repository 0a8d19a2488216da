"""`levelhead train --engine verl`: what is printed, and what is refused, without and with verl."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from levelhead.cli._engine_verl import train_with_verl
from levelhead.errors import ConfigError, MissingDependencyError
from levelhead.train.config import load

INSTALLED = importlib.util.find_spec("verl") is not None
pytestmark = pytest.mark.filterwarnings("ignore")  # what verl's dependencies warn about is theirs


def run(out: Path, *changes: str, **options: Any) -> Result:
    """The command's body, with the paper's RLOO run whose data are on no machine of ours."""
    recipe = load("crispr-qwen3-4b-rloo", [f"task.path={out / 'task'}", *changes])

    @click.command()
    def command() -> int:
        return train_with_verl(recipe, out, **options)

    return CliRunner().invoke(command, [], standalone_mode=False)


def test_a_dry_run_prints_the_command_and_starts_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, dry_run=True)
    assert done.return_value == 0
    lines = done.stdout.splitlines()
    assert lines[0].endswith("-m verl.trainer.main_ppo \\")
    assert "  algorithm.adv_estimator=rloo \\" in lines
    assert (
        "note: rollout.backend: native is levelhead's own; verl generates with vllm" in done.stderr
    )
    verdict = (
        "verl takes these settings" if INSTALLED else "verl is not installed here: the settings"
    )
    assert verdict in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(INSTALLED, reason="verl is installed here")
def test_json_is_for_machines(tmp_path: Path) -> None:
    done = run(tmp_path, dry_run=True, as_json=True, extra=("trainer.nnodes=2",))
    found = json.loads(done.stdout)
    assert found["settings"]["algorithm.adv_estimator"] == "rloo"
    assert found["extra"] == ["trainer.nnodes=2"]
    assert found["command"][-1] == "trainer.nnodes=2"
    assert (found["checked"], found["estimator"]) == (False, None)
    assert "guard" in [note["key"] for note in found["notes"]]
    with pytest.raises(click.UsageError, match="--json: verl prints its own lines"):
        raise run(tmp_path, as_json=True).exception or AssertionError


def test_each_problem_has_a_line(tmp_path: Path) -> None:
    done = run(tmp_path, "model.device=cpu", "optimizer.schedule=linear", dry_run=True)
    assert (done.return_value, done.stdout) == (2, "")
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["levelhead", "model.device"],
        ["levelhead", "optimizer.schedule"],
    ]


def test_data_that_are_elsewhere_are_not_trained_on(tmp_path: Path) -> None:
    error = run(tmp_path).exception
    assert isinstance(error, ConfigError)
    assert "task.path: expected files on this machine" in str(error)


@pytest.mark.skipif(INSTALLED, reason="verl is installed here")
def test_without_verl_nothing_is_started(tmp_path: Path) -> None:
    recipe = load(
        "crispr-qwen3-4b-rloo",
        ["task={kind: oracle}", "rollout.prompts=8", "algorithm.updates_per_rollout=1"],
    )
    with pytest.raises(MissingDependencyError, match=r"--engine verl needs .*levelhead\[verl\]"):
        train_with_verl(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()
