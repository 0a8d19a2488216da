"""`levelhead probe` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click import UsageError
from click.testing import CliRunner, Result

from levelhead.cli import cli
from levelhead.errors import LevelheadError

RUN = [sys.executable, "-m", "levelhead.cli", "probe"]

MINE = """
import numpy as np

def mine(rewards, groups):
    g = rewards.reshape(-1, 8)
    return ((g - g.mean(1, keepdims=True)) / (g.std(1, keepdims=True) + 1e-6)).ravel()

def broken(rewards, groups):
    raise RuntimeError("boom")

def leaves(rewards, groups):
    raise SystemExit(3)

def chatty(rewards, groups):
    print("hello")
    return rewards
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*RUN, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["probe", *map(str, arguments)], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


def test_a_function_of_ones_own_is_explained_within_80_columns(mine: Path) -> None:
    done = run(f"{mine}:mine")
    text = " ".join(done.stdout.split())
    assert "overconfident: where the truth is 0.75 the policy ends at 0.99" in text
    assert "depends on the outcome that the whole group shares" in text
    assert "0.75 0.99 0.00 0% 100% overconfident" in text
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == ""


def test_failures_are_sentences_with_status_2(mine: Path, tmp_path: Path) -> None:
    assert "raises RuntimeError (boom)" in " ".join(run(f"{mine}:broken", code=2).stdout.split())
    done = run(f"{mine}:broken", "--quiet", code=2)
    assert done.stdout == ""
    assert "boom" in done.stderr
    for arguments, message in (
        ([f"{mine}:min"], "did you mean 'mine'"),
        (["gpro"], "did you mean 'grpo'"),
        ([], "expected an estimator, or --leaderboard"),
        (["rloo", "--json", tmp_path / "no" / "x.json"], "no such folder"),
        (["rloo", "--picture", tmp_path / "a.pdf"], "expected .png or .svg"),
        (["rloo", "grpo", "--picture", tmp_path / "a.png"], "expected one estimator to draw"),
        (["--leaderboard", "--picture", tmp_path / "a.png"], "draws no picture"),
    ):
        with pytest.raises((LevelheadError, UsageError), match=message):
            invoke(*arguments)


def test_json_to_standard_output_and_nothing_else() -> None:
    done = invoke("rloo", "--group-size", 4, "--reward", "brier", "--json", "-")
    (reading,) = json.loads(done.stdout)["readings"]
    assert (reading["verdict"], reading["reward"], reading["group_size"]) == (
        "calibrated",
        "brier",
        4,
    )


def test_what_an_estimator_prints_does_not_get_into_the_output(mine: Path) -> None:
    done = run(f"{mine}:chatty", "--json", "-")
    (reading,) = json.loads(done.stdout)["readings"]
    assert any("not shown here: 'hello hello" in note for note in reading["notes"])
    mine.write_text("print('at import')\n" + MINE)
    assert json.loads(run(f"{mine}:mine", "--json", "-").stdout)


def test_a_reader_that_leaves_is_not_the_estimators_fault(mine: Path) -> None:
    with subprocess.Popen(
        [*RUN, f"{mine}:chatty"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_any_failure_is_status_2_and_the_others_are_shown(mine: Path) -> None:
    done = run(f"{mine}:leaves", "rloo", "loss:token_mean", "--group-size", 4, code=2)
    assert "raises SystemExit (3)" in " ".join(done.stdout.split())
    assert "calibrated" in done.stdout
    mine.write_text("import sys\nsys.exit(3)\n")
    done = run(f"{mine}:mine", code=2)
    assert f"the import raised SystemExit: 3 at {mine}:2" in done.stderr


def test_an_unwanted_verdict_is_status_1(mine: Path) -> None:
    fast = ("--group-size", 2, "--quiet")
    done = invoke("grpo", "rloo", *fast, "--fail-on", "lottery,overconfident")
    assert done.return_value == 1
    assert done.stderr == "levelhead: grpo is overconfident (--fail-on)\n"
    assert invoke("rloo", *fast, "--fail-on", "lottery", "--fail-on", "backwards").return_value == 0
    both = invoke("grpo", f"{mine}:broken", *fast, "--fail-on", "overconfident")
    assert both.return_value == 2
    board = invoke("--leaderboard", "grpo", *fast, "--jobs", 1, "--fail-on", "overconfident")
    assert board.return_value == 1
    loss = invoke("loss:token_mean", "--quiet", "--fail-on", "favors long wrong answers")
    assert loss.return_value == 1
    with pytest.raises(LevelheadError, match=r"--fail-on: .*did you mean 'overconfident'"):
        invoke("rloo", "--fail-on", "overconfidant")


def test_several_subjects_are_rows(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    done = invoke("rloo", "grpo", "loss:all", "--group-size", 4, "--out", out)
    lines = [line.split() for line in done.output.splitlines()]
    assert ["grpo", "overconfident", "0.01", "0.99", "÷", "group", "spread"] in lines
    assert ["rloo", "calibrated", "0.25", "0.75", "-", "group", "mean"] in lines
    assert ["loss:seq_mean_token_mean", "2.52", "favors", "long", "wrong", "answers"] in lines
    assert sorted(p.name for p in out.iterdir()) == ["grpo.png", "readings.json", "rloo.png"]
    kinds = [one["kind"] for one in json.loads((out / "readings.json").read_text())["readings"]]
    assert kinds == ["advantage", "advantage", "loss", "loss", "loss", "loss"]


def test_a_picture_of_one(tmp_path: Path) -> None:
    path = tmp_path / "rloo.svg"
    done = invoke("rloo", "--group-size", 2, "--picture", path)
    assert path.read_text().startswith("<?xml")
    assert "picture:" in done.output


def test_a_leaderboard_of_some(tmp_path: Path) -> None:
    out = tmp_path / "board.md"
    done = invoke("--leaderboard", "rloo", "--group-size", 2, "--jobs", 1, "--out", out)
    assert out.read_text().startswith("# Where estimators drive a policy")
    assert len(json.loads(out.with_suffix(".json").read_text())["readings"]) == 2
    assert "independent" in done.output
