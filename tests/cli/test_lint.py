"""`levelhead lint`: what a person sees, what a build gets, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from levelhead.cli.lint import lint_command
from levelhead.errors import RecordError

GRPO = (
    "python -m verl.trainer.main_ppo \\\n  algorithm.adv_estimator=grpo \\\n"
    "  actor_rollout_ref.rollout.n=4 custom_reward_function.path=r.py\n"
)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "run.sh"
    path.write_text(GRPO)
    return path


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    path = tmp_path / "clean.yaml"
    path.write_text("num_generations: 8\nscale_rewards: none\nloss_type: dr_grpo\n")
    return path


def lint(*arguments: object) -> tuple[Result, int]:
    done = CliRunner().invoke(lint_command, list(map(str, arguments)), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done, int(done.return_value)


def test_a_finding_is_an_error(bad: Path) -> None:
    done, code = lint(bad)
    assert code == 1
    assert done.output.startswith(f"{bad}:2: error group-std\n")
    assert "fix: algorithm.norm_adv_by_std_in_grpo=False" in done.output
    assert "see: levelhead probe verl:grpo" in done.output
    assert "(follows from the formulas)" in done.output
    assert done.output.endswith("1 error, 0 warnings, 1 note in 1 training run\n")
    wide = [line for line in done.output.splitlines() if len(line) > 80 and str(bad) not in line]
    assert wide == []


def test_a_clean_file(clean: Path) -> None:
    done, code = lint(clean, "--strict")
    assert (done.output, code) == ("nothing found in 1 training run\n", 0)


def test_strict_counts_warnings(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("num_generations: 8\nscale_rewards: none\nloss_type: grpo\n")
    assert lint(path)[1] == 0
    assert lint(path, "--strict")[1] == 1
    assert lint(path, "--strict", "--ignore", "length-mean")[1] == 0


def test_machines(bad: Path, tmp_path: Path) -> None:
    done, code = lint(bad, "--json", "-")
    assert (json.loads(done.output)["errors"], code) == (1, 1)
    sarif = tmp_path / "x.sarif"
    done, _ = lint(bad, "--sarif", sarif, "--github")
    assert json.loads(sarif.read_text())["version"] == "2.1.0"
    assert done.output.startswith("::error file=")
    assert lint(bad, "--quiet")[0].output == ""


def test_what_could_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text("python -m verl.trainer.main_ppo algorithm.adv_estimator=$ADV\n")
    done, _ = lint(path)
    said = " ".join(done.output.split())
    assert "algorithm.adv_estimator could not be read: $ADV is set outside of this file" in said


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("a = 1\n")
    with pytest.raises(RecordError, match=r"x.toml: expected a configuration of TRL, verl"):
        lint(path)


def test_control_characters_are_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text('num_generations: 8\nscale_rewards: "\\e[31mred"\n')
    assert "\x1b" not in lint(path)[0].output


def test_help_ends_with_examples() -> None:
    done = CliRunner().invoke(lint_command, ["--help"])
    assert "levelhead lint run_grpo.sh" in done.output
    assert "Exit status: 0 no errors" in done.output
