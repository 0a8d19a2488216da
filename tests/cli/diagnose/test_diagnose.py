"""`levelhead diagnose` as a group, and how a diagnosis ends: the terminal, the JSON, the report."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from levelhead.cli.diagnose import COMMANDS
from levelhead.cli.diagnose._finish import MAX_ROWS, finish
from levelhead.diagnose.section import Measure, Section, Table

RUN = [sys.executable, "-m", "levelhead.cli", "diagnose"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_question_has_a_command_that_ends_with_an_example(name: str) -> None:
    module, attribute = COMMANDS[name][0].split(":")
    command = getattr(importlib.import_module(module), attribute)
    assert command.name in (name, "everything")
    assert f"levelhead diagnose{'' if name == 'all' else f' {name}'} " in command.epilog


def test_what_is_no_command_is_for_all_of_them(tmp_path: Path) -> None:
    done = run(str(tmp_path / "base"), str(tmp_path / "tuned"))
    assert done.returncode == 2
    assert "base: expected a file" in done.stderr


def test_a_single_path_is_no_misspelled_command(tmp_path: Path) -> None:
    (tmp_path / "both.jsonl").write_text("{}")
    done = run(str(tmp_path / "both.jsonl"))
    assert done.returncode == 2
    assert "--models BASE TUNED" in done.stderr


def test_a_single_misspelled_word_names_the_nearest() -> None:
    done = run("sharpenning")
    assert done.returncode == 2
    assert "did you mean 'sharpening'" in done.stderr


SECTION = Section(
    name="formats",
    title="Formats",
    verdict="WITHIN DRIFT",
    tone="open",
    headline="One format gained, no more than drift alone would show.",
    sentences=["Noise alone: 0.4."],
    measures=[Measure("dominant share", 0.5, 0.4, 0.6, null=0.45, percent=True)],
    tables=[
        Table("Shares", ("format", "n"), [(f"[red]f{i}[/red]", i) for i in range(MAX_ROWS + 3)])
    ],
    next_steps=["retrain"],
    warnings=["w"],
    notes=["n"],
)


def test_it_prints_what_was_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = tmp_path / "r.html"
    finish([SECTION, SECTION], report, None, False)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for text in ("Formats  WITHIN DRIFT", "no more than drift", "Noise alone: 0.4.", "50%", "40% to 60%",
                 "45%", "[red]f0[/red]", "3 more in the report", "> retrain", "! w", "· n"):  # fmt: skip
        assert text in out
    assert f"[red]f{MAX_ROWS}[/red]" not in out
    assert out.splitlines()[0].split() == [
        "Formats",
        "WITHIN",
        "DRIFT",
    ]  # what was found comes first
    assert out.splitlines()[0] == out.splitlines()[1]
    page = report.read_text()
    assert page.count('<section class="block"') == page.count("<li>retrain</li>") == 2
    assert '<th scope="col"><bdi>format' in page
    assert '<th scope="col" class="n"><bdi>n<' in page


def test_numbers_stand_on_the_right_though_the_first_is_undefined(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("T", ("name", "a long head"), [("x", None), ("y", 1.5)])
    finish([dataclasses.replace(SECTION, tables=[table])], None, None, False)
    assert "y           1.500" in capsys.readouterr().out


def test_a_long_cell_is_cut_between_words(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("T", ("text", "n"), [("seven letters " * 5, 1)])
    finish([dataclasses.replace(SECTION, tables=[table])], None, None, False)
    assert "seven letters seven letters seven…" in capsys.readouterr().out


def test_a_cell_that_is_mostly_one_long_word_keeps_its_begin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("T", ("", "n"), [("unsolved by Qwen/Qwen2.5-Math-7B-Instruct", 1)])
    finish([dataclasses.replace(SECTION, tables=[table])], None, None, False)
    assert "unsolved by Qwen/Qwen2.5-Math-7B-Instru…" in capsys.readouterr().out


def test_long_sentences_hang_below_their_first_word(capsys: pytest.CaptureFixture[str]) -> None:
    finish([dataclasses.replace(SECTION, sentences=["word " * 30])], None, None, False)
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("- word"))
    assert lines[first + 1].startswith("  word")


def test_json_on_standard_output_is_alone_there(capsys: pytest.CaptureFixture[str]) -> None:
    finish([SECTION], None, Path("-"), False)
    assert json.loads(capsys.readouterr().out)["sections"][0]["verdict"] == "WITHIN DRIFT"


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    finish([SECTION], None, tmp_path / "x.json", True)
    assert capsys.readouterr().out == ""
    assert (tmp_path / "x.json").exists()
