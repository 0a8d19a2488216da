"""`levelhead lint`: what a person sees, what a build gets, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from levelhead.cli.lint import lint_command
from levelhead.errors import InvalidInputError, RecordError

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


def test_the_others_are_reported_before_a_file_that_is_of_no_use(bad: Path, tmp_path: Path) -> None:
    other, sarif = tmp_path / "other.yaml", tmp_path / "x.sarif"
    other.write_text("foo: 1\n")
    done, code = lint(other, bad, "--sarif", sarif)
    assert code == 2
    assert f"{bad}:2: error group-std" in done.output
    assert f"· skipped {other}: expected a configuration" in " ".join(done.output.split())
    assert json.loads(sarif.read_text())["runs"][0]["results"]
    quiet, code = lint(other, bad, "--json", "-")
    assert code == 2
    assert json.loads(quiet.stdout)["errors"] == 1
    assert f"skipped {other}" in quiet.stderr


def test_a_folder(bad: Path) -> None:
    done, code = lint(bad.parent)
    assert code == 1
    assert done.output.startswith(f"{bad}:2: error group-std\n")


def test_an_effect_is_told_once_and_no_line_ends_in_blanks(bad: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.sh"
    again.write_text(GRPO)
    done, _ = lint(bad, again)
    assert done.output.count("error group-std") == 2
    assert done.output.count("The divisor depends on the outcome") == 1
    assert [line for line in done.output.splitlines() if line != line.rstrip()] == []


def test_a_probe_whose_tool_is_not_installed_is_noted_once(
    bad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again.sh"
    again.write_text(GRPO)
    for installed, times in ((None, 1), (object(), 0)):
        monkeypatch.setattr("levelhead.cli.lint.find_spec", lambda name, x=installed: x)
        done, _ = lint(bad, again)
        assert done.output.count("the probes verl:... need verl, which is not installed") == times
        assert "need TRL" not in done.output


def test_a_rule_that_is_misspelled(bad: Path) -> None:
    told = "^--ignore: expected the name of a rule, got 'group-sdt'; did you mean 'group-std'"
    with pytest.raises(InvalidInputError, match=told):
        lint(bad, "--ignore", "group-sdt")
