"""`levelhead train` as a user runs it; what it runs is tested in tests/train."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from levelhead.cli import cli
from levelhead.cli._train_display import Display
from levelhead.cli.train import how_to_go_on, in_a_step, report
from levelhead.errors import ConfigError
from levelhead.train.config import built_in, load
from levelhead.train.run import Result as RunResult

HELP_CPU_S = 0.3


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["train", *map(str, arguments)])


def test_recipes_are_listed_with_what_they_are() -> None:
    done = run("--list")
    assert done.exit_code == 0
    assert all(name in done.output for name in built_in())
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line != line.rstrip()]
    assert lines[0].startswith("rloo ")
    assert "(needs data)" not in done.output.partition("crispr")[0]
    assert " ".join(done.output.split()).count("(needs data)") == 6
    assert json.loads(run("--list", "--json").output) == {
        name: one.about for name, one in built_in().items()
    }


def test_the_schema_is_printed() -> None:
    assert json.loads(run("--schema").output)["title"] == "Recipe"


def test_every_problem_of_a_recipe_has_a_line_and_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("stepz: 1\nrollout:\n  prompts: 0\n")
    done = run(file, "--set", "optimizer.lr=x", "--seed", "-1")
    assert done.exit_code == 2
    done = run(file, "--set", "optimizer.lr=x")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"levelhead: {file}: 3 problems:",
        "  line 1: stepz: unknown key; did you mean 'steps'?",
        "  line 3: rollout.prompts: expected at least 1, got 0",
        "  --set optimizer.lr=x: optimizer.lr: expected a number, got 'x'",
    ]
    assert run("grop").exit_code == 2


def test_nothing_to_go_on_with_is_said(tmp_path: Path) -> None:
    done = run("--resume", "--out", tmp_path / "none")
    assert done.exit_code == 2
    assert "there is no recipe.yaml" in done.stderr
    assert run("--resume", "--dry-run").exit_code == 2


def test_of_several_processes_one_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.json").touch()  # no error of a recipe, but one of the run
    for rank, spoken in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        wrong = run("rloo", "--set", "steps=2")
        assert (wrong.exit_code, bool(wrong.stderr)) == (2, spoken)
        taken = run("rloo", "--out", tmp_path)
        assert isinstance(taken.exception, ConfigError) is spoken
        assert taken.exit_code == (1 if spoken else 2)


def test_an_error_in_a_step_is_told_by_whichever_process_meets_it() -> None:
    names: dict[str, Any] = {"__name__": "levelhead.train.loop", "ConfigError": ConfigError}
    exec("def step(): raise ConfigError('mine.py:f: raised')", names)
    with pytest.raises(ConfigError) as caught:
        names["step"]()
    assert in_a_step(caught.value)
    assert not in_a_step(ConfigError("elsewhere"))


def test_a_model_newer_than_its_predictions_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"kind": "evaluation", "step": 0, "ece": 0.3}, {"kind": "step", "step": 7}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    result = RunResult(tmp_path, 7, {"ece": 0.3}, "interrupted", 1.0)
    report(result, Display("x", 10), as_json=False)
    said = "the model is that of step 7, the predictions are those of step 0"
    assert said in capsys.readouterr().out.splitlines()


def test_how_to_go_on_names_the_folder_and_the_step(tmp_path: Path) -> None:
    display = Display("x", 10)
    assert "before the first checkpoint" in how_to_go_on(tmp_path, display)
    display.event("checkpoint", {"step": 7})
    assert how_to_go_on(tmp_path, display) == (
        f"interrupted, checkpoint at step 7 kept; go on with: levelhead train --resume --out {tmp_path}"
    )


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, levelhead.cli as c\n"
        "try: c.cli(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'pydantic', 'numpy', 'rich', 'yaml') if m in sys.modules])"
    )
    best, loaded = float("inf"), ""
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best, loaded = min(best, spent), done.stdout.splitlines()[-1]
    assert loaded == "[]"
    assert best < HELP_CPU_S


SMALL = """\
name: small
steps: 2
task: {kind: oracle, factors: 1, train: 8, evaluation: 40}
model:
  from_scratch:
    {layers: 1, hidden: 8, heads: 2, kv_heads: 1, intermediate: 8, vocabulary: 400, warmup_steps: 1}
rollout: {prompts: 2, group_size: 2, max_new_tokens: 3}
evaluation: {at_start: false}
guard: {action: "off"}
"""

INTERRUPTING = """\
import os, pathlib, signal
def reward(prompts, texts, elicited):
    first = pathlib.Path(__file__).with_name("first")
    if first.exists():
        first.unlink()
        os.kill(os.getpid(), signal.SIGINT)
    return [float(len(text)) for text in texts]
"""


@pytest.mark.filterwarnings("ignore::levelhead.errors.DataWarning")
def test_a_run_is_interrupted_goes_on_and_is_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe, reward, out = (tmp_path / name for name in ("small.yaml", "mine.py", "run"))
    recipe.write_text(SMALL)
    reward.write_text(INTERRUPTING)
    (tmp_path / "first").touch()
    begin = (recipe, "--out", out, "--set", f"reward.rule={reward}:reward")
    stopped = run(*begin)
    assert stopped.exit_code == 130, stopped.output
    assert f"checkpoint at step 1 kept; go on with: levelhead train --resume --out {out}" in (
        stopped.stderr
    )
    again = run(*begin)
    assert again.exit_code != 0
    assert "--resume" in str(again.exception)
    done = run("--resume", "--out", out, "--json")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    found = json.loads(done.stdout)
    assert (found["steps"], found["stopped"], found["out"]) == (2, None, str(out))
    assert 0.0 <= found["metrics"]["ece"] <= 1.0
    assert load(out / "recipe.yaml") == load(recipe, begin[-1:])
    over = run("--resume", "--out", out)
    assert "already finished: 2 steps" in over.stdout
    assert "step 2" in over.stdout.splitlines()[0]
    longer = run("--resume", "--out", out, "--set", "steps=3", "--set", "evaluation.every=3")
    assert "3 steps, " in longer.stdout
    audit = CliRunner().invoke(cli, ["audit", str(out / "predictions.parquet"), "--n-boot", "100"])
    assert audit.exit_code == 0, audit.output


def test_a_dry_run_shows_the_prompt_and_trains_nothing(tmp_path: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(SMALL)
    done = run(recipe, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "ready to train" in done.output
    assert "How likely is rain tomorrow?" in " ".join(done.output.split())
    bad = run(recipe, "--dry-run", "--set", "rollout.prompts=9", "--json")
    assert bad.exit_code == 2
    assert "at most the 8 prompts" in json.loads(bad.stdout)["problems"][0]
    assert "levelhead: rollout.prompts: expected at most the 8 prompts" in bad.stderr
