"""`levelhead train --engine verl`: what is printed, and what is refused, without and with verl."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from levelhead.adapters import verl_engine
from levelhead.adapters.verl_engine import Plan
from levelhead.cli import _engine_verl as module
from levelhead.cli import doctor as doctors
from levelhead.cli._engine_verl import train_with_verl
from levelhead.cli.doctor import Check
from levelhead.errors import ConfigError, MissingDependencyError
from levelhead.train.config import Recipe, load

INSTALLED = importlib.util.find_spec("verl") is not None
needs_verl = pytest.mark.skipif(
    not INSTALLED, reason="verl is not installed here; `make test-peers` has it"
)
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


@needs_verl
def test_misspelled_settings_are_told_beside_the_problems_of_the_recipe(tmp_path: Path) -> None:
    extra = ("trainer.nodes=2", "data.sed=1", "nodes")
    done = run(tmp_path, "model.device=cpu", dry_run=True, extra=extra)
    assert (done.return_value, done.stdout) == (2, "")
    told = ["model.device", "--engine-set", "trainer.nodes", "data.sed"]
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == told
    done = run(tmp_path, dry_run=True, extra=extra[:2])
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == told[2:]


def test_data_that_are_elsewhere_are_not_trained_on(tmp_path: Path) -> None:
    error = run(tmp_path).exception
    assert isinstance(error, ConfigError)
    assert "task.path: expected files on this machine" in str(error)
    assert "that were published with arXiv:2508.11800 there" in str(error)


def oracle(*changes: str) -> Recipe:
    """A run whose prompts are made here."""
    fixed = ("task={kind: oracle}", "rollout.prompts=8", "algorithm.updates_per_rollout=1")
    return load("crispr-qwen3-4b-rloo", [*fixed, *changes])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Every plan that "verl" is started with; the settings are those of no verl, and nothing lacks."""
    plans: list[Plan] = []
    trainer = SimpleNamespace(nnodes=1, n_gpus_per_node=8, device="cuda", use_v1=True)
    composed = SimpleNamespace(
        trainer=trainer,
        actor_rollout_ref=SimpleNamespace(rollout=SimpleNamespace(name="vllm")),
        ray_kwargs=SimpleNamespace(ray_init={"num_cpus": None}),
    )

    def launch(planned: Plan) -> int:
        plans.append(planned)
        return 1

    monkeypatch.setattr(verl_engine, "launch", launch)
    monkeypatch.setattr(module, "_installed", lambda: True)
    monkeypatch.setattr(module, "_checked", lambda planned: (composed, "rloo"))
    monkeypatch.setattr(doctors, "lacking", lambda engine, **options: [])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return plans


def test_a_machine_that_cannot_train_is_told_before_ray_is_started(
    started: list[Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def lacking(engine: str, **options: Any) -> list[Check]:
        asked.append((engine, options))
        return [Check("GPU", "missing", "torch sees none", "verl needs GPUs")]

    monkeypatch.setattr(doctors, "lacking", lacking)
    with pytest.raises(ConfigError) as raised:
        train_with_verl(oracle(), tmp_path / "out")
    assert str(raised.value) == (
        "--engine verl: expected what verl trains with on this machine, got GPU: torch sees none (verl "
        "needs GPUs); set RAY_ADDRESS to a cluster that has it, or look at the command with --dry-run"
    )
    assert asked == [("vllm", {"gpus": 8, "queue": True})]
    assert (started, list(tmp_path.iterdir())) == ([], [])
    monkeypatch.setenv("RAY_ADDRESS", "local")
    with pytest.raises(ConfigError, match="on this machine, got GPU"):
        train_with_verl(oracle(), tmp_path / "out")


def test_the_nodes_of_a_cluster_may_have_what_this_machine_lacks(
    started: list[Plan],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctors, "lacking", lambda *a, **k: [Check("GPU", "missing", "none", "x")])
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert train_with_verl(oracle(), tmp_path / "out") == 1
    said = "note: the nodes of 10.0.0.1:6379 need what this machine lacks: GPU: none (x)"
    assert said in capsys.readouterr().err
    assert len(started) == 1


def test_a_folder_with_a_run_in_it_is_never_written_over(
    started: list[Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def launch(planned: Plan) -> int:
        (out / "checkpoints" / "global_step_5").mkdir(parents=True)
        (out / "checkpoints" / "global_step_5" / "data.pt").write_text("")
        return 1

    monkeypatch.setattr(verl_engine, "launch", launch)
    assert train_with_verl(oracle(), out) == 1
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {"recipe.yaml", "verl.sh", "train.parquet", "data.pt"} <= {path.name for path in before}
    with pytest.raises(
        ConfigError, match=r"there is a run already; go on with it \(--resume\), or"
    ):
        train_with_verl(oracle("optimizer.lr=1e-3"), out)
    with pytest.raises(
        ConfigError, match=r"begun with another optimizer; resume it with that recip"
    ):
        train_with_verl(oracle("optimizer.lr=1e-3"), out, resume=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    monkeypatch.setattr(verl_engine, "launch", lambda planned: 0)
    assert train_with_verl(oracle("steps=200"), out, resume=True) == 0
    native = tmp_path / "native"
    native.mkdir()
    (native / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match="there is a run already"):
        train_with_verl(oracle(), native)
    with pytest.raises(
        ConfigError, match="there is no run of verl's to resume; leave out --resume"
    ):
        train_with_verl(oracle(), native, resume=True)


def test_a_failed_beginning_leaves_nothing_in_the_way(started: list[Plan], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("")
    assert train_with_verl(oracle(), out) == 1
    assert [path.name for path in out.rglob("*")] == ["mine.txt"]
    assert train_with_verl(oracle("optimizer.lr=1e-3"), out) == 1
    assert len(started) == 2


@pytest.mark.skipif(INSTALLED, reason="verl is installed here")
def test_without_verl_nothing_is_started(tmp_path: Path) -> None:
    recipe = load(
        "crispr-qwen3-4b-rloo",
        ["task={kind: oracle}", "rollout.prompts=8", "algorithm.updates_per_rollout=1"],
    )
    with pytest.raises(MissingDependencyError, match=r"--engine verl needs .*levelhead\[verl\]"):
        train_with_verl(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()
